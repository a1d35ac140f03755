"""Faults around the broker: strangers at the members' socket, another keyring, other packages, an integration that is
gone. Nobody else is kept waiting, and the log says what is wrong."""

import concurrent.futures
import contextlib
import json
import shutil
import socket
import struct
import time

import pytest
from cluster import ROOT, secret_file, two_ports, until

REQ, REP = 0x30, 0x31  # as NNG's handshake names the two ends


def greet(connection, protocol):
    connection.sendall(b"\0SP\0" + struct.pack(">HH", protocol, 0))
    assert len(connection.recv(8)) == 8


def question(body, number=1):
    body = struct.pack(">I", 0x80000000 | number) + body
    return struct.pack(">Q", len(body)) + body


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def hello_of_a_stranger(cluster):
    """The bytes of a hello that does not know the cluster's secret."""
    listener = socket.create_server(("127.0.0.1", 0))
    cluster.listen, right = f"tcp://127.0.0.1:{listener.getsockname()[1]}", cluster.listen
    wrong = secret_file(cluster.data / "wrong.secret", "ab" * 32 + "\n")
    worker = cluster.start_worker("stranger", secret=wrong, wait=False)
    cluster.listen = right
    with contextlib.closing(listener.accept()[0]) as connection:
        greet(connection, REP)
        whole = connection.recv(4096)
        while len(whole) < 8 or len(whole) < 8 + struct.unpack(">Q", whole[:8])[0]:
            whole += connection.recv(4096)
    worker.kill()
    return whole[12:]


@pytest.fixture
def over_tcp(make_cluster):
    port = two_ports()
    cluster = make_cluster(cluster_listen=f"tcp://127.0.0.1:{port}")
    cluster.members = port
    cluster.start_broker()
    return cluster


def test_hellos_that_get_no_answer_leave_the_broker_at_rest(over_tcp):
    hello = hello_of_a_stranger(over_tcp)
    with socket.create_connection(("127.0.0.1", over_tcp.members)) as stranger:
        greet(stranger, REQ)
        for n in range(40):  # more than are answered in a second
            stranger.sendall(question(hello, n))
            time.sleep(0.005)
        time.sleep(0.5)
        before = cpu_seconds(over_tcp.broker.pid)
        time.sleep(1.5)
        assert cpu_seconds(over_tcp.broker.pid) - before < 0.5
    over_tcp.start_worker()


def test_a_stranger_that_takes_no_answers_keeps_nobody_out(over_tcp):
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stranger.connect(("127.0.0.1", over_tcp.members))
        stranger.settimeout(20)
        greet(stranger, REQ)
        many = b"".join(question(b"x", n) for n in range(1000))
        with pytest.raises(ConnectionError):  # it is put out
            while True:
                stranger.sendall(many)
    over_tcp.start_worker()
    assert over_tcp.api().setup("not kept out").status == 201


def test_another_keyring_is_told_in_the_log(cluster):
    kept = cluster.api().setup("sealed with the first").json
    cluster.workers.pop("w1").stop()
    until("it has left", lambda: not cluster.api().workers())
    cluster.keyring = cluster.new_keyring("second")
    cluster.start_worker("w2")
    cluster.broker.says("the workers' keyring is another one than before")
    assert cluster.api().validate(kept["id"]).json["result"]["code"] == "decrypt_failed"
    assert cluster.api().show(kept["id"])["status"] == "active"


@pytest.mark.parametrize("fault", ["missing", "differs"])
def test_packages_that_are_not_the_brokers_are_told_in_the_log(cluster, fault):
    assert "packages are not" not in cluster.broker.log()
    folder = cluster.folder / "packages"
    shutil.copytree(ROOT / "manifests", folder)
    if fault == "missing":
        shutil.rmtree(folder / "stripe")
    else:
        manifest = json.loads((folder / "stripe" / "manifest.json").read_text())
        (folder / "stripe" / "manifest.json").write_text(json.dumps({**manifest, "version": "0.0.1"}))
    cluster.manifests = folder
    cluster.start_worker("odd")
    line = json.loads([line for line in cluster.broker.log().splitlines() if "packages are not" in line][0])
    assert (line["worker"], line["type"], line["package"]) == ("odd", "stripe", fault)


def test_a_validation_that_finds_its_integration_gone_says_when_it_ended(cluster):
    api = cluster.api()
    record = api.setup("short-lived").json
    cluster.workers.pop("w1").stop()
    until("it has left", lambda: not api.workers())
    api.call("DELETE", f"/v1/integrations/{record['id']}")
    job = api.validate(record["id"], wait=None).json
    cluster.start_worker("w2")
    ended = api.finished(job["id"])
    assert (ended["state"], ended["result"]["code"]) == ("failed", "not_found")
    assert ended["finishedAt"] is not None


def test_a_worker_without_the_package_leaves_the_job_to_another(cluster):
    """Packages are brought to one worker after the other."""
    fewer = cluster.folder / "fewer"
    shutil.copytree(ROOT / "manifests/slack", fewer / "slack")
    cluster.manifests = fewer
    cluster.start_worker("odd")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: cluster.api().setup(f"job {n}", f"sk_test_ok_{n}", wait=60), range(12)))
    assert [a.status for a in answers].count(201) >= 9, answers
    assert max(a.json["result"]["attempt"] for a in answers) > 1
