"""Workers that share the load, die, stall and come back; and a broker that does. No job is lost, and nothing that is
late changes anything."""

import concurrent.futures
import secrets
import signal
import socket
import threading
import time

from cluster import secret_file, two_ports, until


def setups(api, count, key, pool_size=40):
    """That many setups at once, in the background: the futures of their answers."""
    pool = concurrent.futures.ThreadPoolExecutor(pool_size)
    futures = [pool.submit(api.setup, f"job {n:03}", f"{key}_{n}") for n in range(count)]
    pool.shutdown(wait=False)
    return futures


def done(futures):
    return [f.result(timeout=120) for f in futures]


def busiest(api):
    return max(api.workers().values(), key=lambda w: w["running"])


def names(api):
    return sorted(i["name"] for i in api.all())


def test_two_workers_share_the_load(pair):
    api = pair.api()
    until("both have told how much they can take", lambda: all(w["free"] for w in api.workers().values()))
    assert {a.status for a in done(setups(api, 40, "sk_test_slow100"))} == {201}
    sent = [w["attemptsSent"] for w in api.workers().values()]
    assert sum(sent) == 40 and min(sent) >= 5, sent


def test_a_worker_killed_in_mid_job_costs_no_job(pair):
    api = pair.api()
    futures = setups(api, 30, "sk_test_slow2500")
    until("both work", lambda: all(w["running"] > 0 for w in api.workers().values()))
    pair.workers["w1"].kill()
    assert {a.status for a in done(futures)} == {201}
    assert names(api) == [f"job {n:03}" for n in range(30)]
    assert list(api.workers()) == ["w2"]
    assert {i["result"]["attempt"] for i in api.all()} == {1}, "who happened to be there loses no attempt"
    assert max(pair.sandbox.requests()["byKey"].values()) == 2


def test_a_worker_stopped_beyond_its_lease_changes_nothing_when_it_goes_on(pair):
    api = pair.api()
    futures = setups(api, 20, "sk_test_slow2500")
    until("both work", lambda: all(w["running"] > 0 for w in api.workers().values()))
    pair.workers["w1"].signal(signal.SIGSTOP)
    until("its lease is over", lambda: list(api.workers()) == ["w2"])
    assert {a.status for a in done(futures)} == {201}
    before = {i["id"]: (i["revision"], i["result"], i["updatedAt"]) for i in api.all()}
    assert len(before) == 20
    pair.workers["w1"].signal(signal.SIGCONT)
    until("it joins again", lambda: "w1" in api.workers())
    time.sleep(1)  # its late reports would come now
    after = {i["id"]: (i["revision"], i["result"], i["updatedAt"]) for i in api.all()}
    assert after == before
    assert {revision for revision, _, _ in after.values()} == {1}
    assert {a.status for a in done(setups_named(api, 10, "after"))} == {201}


def setups_named(api, count, name):
    pool = concurrent.futures.ThreadPoolExecutor(count)
    return [pool.submit(api.setup, f"{name} {n}", f"sk_test_slow50_{name}{n}") for n in range(count)]


def test_a_late_setup_does_not_bring_back_what_was_deleted(pair):
    """The stopped worker holds a setup; another one does it, and the integration is removed before it goes on."""
    api = pair.api()
    futures = setups(api, 6, "sk_test_slow2500")
    until("both work", lambda: all(w["running"] > 0 for w in api.workers().values()))
    pair.workers["w1"].signal(signal.SIGSTOP)
    records = [a.json for a in done(futures)]
    for record in records:
        assert api.call("DELETE", f"/v1/integrations/{record['id']}", wait=20).status == 204
    pair.workers["w1"].signal(signal.SIGCONT)
    until("it joins again", lambda: "w1" in api.workers())
    time.sleep(1)
    assert api.all() == []


def test_jobs_wait_while_there_is_no_worker(cluster):
    api = cluster.api()
    cluster.workers["w1"].stop()
    until("it has left", lambda: not api.workers())
    assert api.get("/readyz").status == 503
    jobs = [api.setup(f"waiting {n}", f"sk_test_ok_{n}", wait=None).json for n in range(5)]
    assert {j["state"] for j in jobs} == {"waiting"}
    cluster.start_worker("w2")
    assert {api.finished(j["id"])["state"] for j in jobs} == {"done"}


def test_a_worker_told_to_end_finishes_what_it_has(cluster):
    api = cluster.api()
    futures = setups(api, 8, "sk_test_slow700")
    until("it works", lambda: busiest(api)["running"] == 8)
    cluster.workers["w1"].signal(signal.SIGTERM)
    assert cluster.workers["w1"].wait() == 0
    assert {a.status for a in done(futures)} == {201}
    assert {i["result"]["attempt"] for i in api.all()} == {1}
    assert "goodbye" in cluster.broker.log() and '"warn"' not in cluster.broker.log()


def test_workers_told_to_end_again_and_again_cost_no_attempt(pair):
    """Under a stream of short setups one worker after the other is told to end, most of them while they hold nothing
    and something is on its way to them. Nothing is lost, and nothing is begun twice or taken back."""
    api, stop, answers = pair.api(), threading.Event(), []

    def stream(n):
        count = 0
        while not stop.is_set():
            answers.append(api.setup(f"stream {n} {count}", f"sk_test_ok_{n}x{count}"))
            count += 1

    threads = [threading.Thread(target=stream, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for n in range(3, 43):
        pair.start_worker(f"w{n}")
        told = pair.workers[f"w{n - 2}"]
        told.signal(signal.SIGTERM)
        assert told.wait() == 0
    stop.set()
    for thread in threads:
        thread.join(60)
    assert len(answers) > 200 and {a.status for a in answers} == {201}
    records = api.all()
    assert len(records) == len(answers)
    assert {(i["result"]["attempt"], i["revision"]) for i in records} == {(1, 1)}
    assert '"warn"' not in pair.broker.log()


def test_an_idle_worker_told_to_end_leaves_at_once(cluster):
    started = time.monotonic()
    assert cluster.workers["w1"].stop() == 0
    assert time.monotonic() - started < 1, "it does not wait for a whole lease"


def test_a_worker_told_twice_leaves_its_work_to_others(pair):
    api = pair.api()
    futures = setups(api, 8, "sk_test_slow2500")
    until("both work", lambda: all(w["running"] > 0 for w in api.workers().values()))
    told = pair.workers["w1"]
    told.signal(signal.SIGTERM)
    until("it drains", lambda: api.workers()["w1"]["draining"])
    started = time.monotonic()
    told.signal(signal.SIGTERM)
    assert told.wait() == 0 and time.monotonic() - started < 1
    assert {a.status for a in done(futures)} == {201}
    assert {i["result"]["attempt"] for i in api.all()} == {1}, "that it left is nobody's fault"
    assert max(pair.sandbox.requests()["byKey"].values()) == 2


def test_a_broker_killed_in_mid_job_loses_no_job(pair):
    api = pair.api()
    jobs = [api.setup(f"job {n}", f"sk_test_slow2500_{n}", wait=None).json for n in range(20)]
    until("both work", lambda: all(w["running"] > 0 for w in api.workers().values()))
    pair.broker.kill()
    pair.start_broker()
    api = pair.api()
    assert {api.finished(j["id"])["state"] for j in jobs} == {"done"}
    assert len(api.all()) == 20
    key_counts = pair.sandbox.requests()["byKey"]
    repeated = [n for n in range(20) if key_counts[f"sk_test_slow2500_{n}"] != 1]
    assert not repeated, "what was under way is adopted, not repeated"


def break_handshakes(path, seconds):
    """Listens and hangs up, thousands of times: a dial now and then gets through and finds nobody when it speaks."""
    until_time = time.monotonic() + seconds
    while time.monotonic() < until_time:
        with socket.socket(socket.AF_UNIX) as dying:
            dying.bind(str(path))
            dying.listen()
        path.unlink()


def test_a_broken_handshake_keeps_no_worker_away(make_cluster):
    """A broker that dies breaks handshakes off; NNG's dialer falls silent for good when that meets its first word."""
    cluster = make_cluster()
    for n in range(6):
        cluster.start_worker(f"w{n}", wait=False)
    break_handshakes(cluster.data / "run" / "members", 1)
    cluster.start_broker()
    started = time.monotonic()
    until("all join", lambda: len(cluster.api().workers()) == 6)
    assert time.monotonic() - started < 4


def test_a_broker_told_to_end_answers_who_waits(cluster):
    api = cluster.api()
    futures = setups(api, 3, "sk_test_slow5000")
    until("it works", lambda: busiest(api)["running"] == 3)
    started = time.monotonic()
    assert cluster.broker.stop() == 0
    answers = done(futures)
    assert time.monotonic() - started < 20
    assert {a.status for a in answers} == {202}, answers
    cluster.start_broker()
    until("they are finished after all", lambda: len(cluster.api().all()) == 3)


def test_jobs_survive_the_death_of_everything(pair):
    api = pair.api()
    jobs = [api.setup(f"job {n}", f"sk_test_slow600_{n}", wait=None).json for n in range(30)]
    for process in (pair.broker, *pair.workers.values()):
        process.kill()
    pair.start_broker()
    pair.start_worker("w3")
    api = pair.api()
    assert {api.finished(j["id"])["state"] for j in jobs} == {"done"}
    assert names(api) == sorted(f"job {n}" for n in range(30))


def test_deleting_while_tests_run_ends_with_nothing_left(pair):
    api = pair.api()
    record = api.setup("busy", "sk_test_slow300").json
    pool = concurrent.futures.ThreadPoolExecutor(6)
    validations = [pool.submit(api.validate, record["id"]) for _ in range(4)]
    gone = pool.submit(api.call, "DELETE", f"/v1/integrations/{record['id']}", None, 20)
    assert gone.result().status == 204
    assert {v.result().status for v in validations} <= {200, 404}
    assert api.all() == []


def test_tests_of_one_integration_run_one_at_a_time(pair):
    api = pair.api()
    record = api.setup("lane", "sk_test_slow100_lane").json
    pair.sandbox.ask("POST", "/__sandbox/reset")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.validate(record["id"]), range(8)))
    assert {a.json["state"] for a in answers} == {"done"}
    assert pair.sandbox.requests()["maxConcurrent"] == 1
    assert api.show(record["id"])["revision"] == 9


# -- who may be a member --


def test_a_worker_with_another_secret_is_refused_with_a_reason(cluster):
    wrong = secret_file(cluster.data / "wrong.secret", secrets.token_hex(32) + "\n")
    worker = cluster.start_worker("stranger", secret=wrong, wait=False)
    worker.says("cluster secret")
    cluster.broker.says("cluster secret")
    assert list(cluster.api().workers()) == ["w1"]
    assert cluster.api().setup("still fine", "sk_test_ok").status == 201


def test_a_worker_with_another_keyring_is_refused_with_a_reason(cluster):
    worker = cluster.start_worker("other", keyring=cluster.new_keyring("other-keyring"), wait=False)
    worker.says("keyring")
    assert list(cluster.api().workers()) == ["w1"]


def test_a_cluster_over_tcp(make_cluster):
    cluster = make_cluster(cluster_listen=f"tcp://127.0.0.1:{two_ports()}").start(workers=2)
    assert {a.status for a in done(setups(cluster.api(), 20, "sk_test_slow50"))} == {201}
    futures = setups_named(cluster.api(), 6, "killed")
    cluster.workers["w1"].kill()
    assert {a.status for a in done(futures)} == {201}


def record(relay, port, seen):
    """Passes connections on to a port, and keeps what goes either way."""

    def copy(source, target):
        while chunk := source.recv(65536):
            seen.extend(chunk)
            target.sendall(chunk)
        target.close()

    while True:
        near, _ = relay.accept()
        far = socket.create_connection(("127.0.0.1", port))
        for pair in ((near, far), (far, near)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def test_whoever_listens_in_on_a_hello_learns_nothing(make_cluster):
    port, seen = two_ports(), bytearray()
    cluster = make_cluster(cluster_listen=f"tcp://127.0.0.1:{port}")
    cluster.start_broker()
    relay = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=record, args=(relay, port, seen), daemon=True).start()
    cluster.listen = f"tcp://127.0.0.1:{relay.getsockname()[1]}"
    cluster.start_worker("spied")
    assert cluster.api().setup("through the relay").status == 201
    assert len(seen) > 300 and b"spied" not in seen and b"stripe" not in seen
