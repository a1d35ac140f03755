"""A disk that is full, fails, or loses what was not synced. New work is refused, reads go on, what has been tested is
kept until it can be written, and nothing that was acknowledged is lost."""

import concurrent.futures
import http.client
import os
import subprocess
import threading
import time

import pytest
from cluster import clean_env, until


@pytest.fixture
def small_disk(folder):
    """A file system of 8 MB."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", disk], capture_output=True,
                             text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here (needs root): {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk):
    """Takes all the space there is."""
    with open(disk / "filler", "ab", buffering=0) as filler:
        for size in (65536, 4096, 1):
            try:
                while True:
                    filler.write(b"x" * size)
            except OSError:
                continue


def refuses_work(api):
    """Offers work until some is refused. Its answer."""
    names = iter(range(1000))
    return until("new work is refused", lambda: (a := api.setup(f"refused {next(names)}", wait=None)).status == 503 and a)


def expect_refusal(answer):
    assert answer.status == 503 and answer.json["code"] == "store_unavailable", answer
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0


def expect_reads(api, record):
    """What has been stored is shown as ever."""
    assert api.show(record["id"]) == record
    assert record["id"] in [i["id"] for i in api.all()]
    assert api.get("/healthz").status == 200


def ready(api):
    return api.get("/readyz").status == 200


def offer_until_accepted(api, name):
    def accepted():
        answer = api.setup(name)
        assert answer.status in (201, 503), answer
        return answer.status == 201 and answer.json
    return until("new work is accepted", accepted)


def outage(cluster, begin, end):
    """The store fails while a job runs, and recovers. What the job came to is kept meanwhile. Gives the names of all
    integrations that were acknowledged."""
    api = cluster.api()
    record = api.setup("before").json
    running = api.setup("running", "sk_test_slow1500", wait=None).json
    until("it runs", lambda: api.workers()["w1"]["running"] == 1)
    begin()
    expect_refusal(refuses_work(api))
    until("it has been tested", lambda: api.workers()["w1"]["running"] == 0)
    time.sleep(1.2)  # another try of the journal's
    assert api.job(running["id"])["state"] == "waiting"  # nothing is told before it is written
    expect_reads(api, record)
    assert not ready(api)
    expect_refusal(api.setup("refused, too", wait=None))
    end()
    assert api.finished(running["id"])["state"] == "done"
    until("it is ready", lambda: ready(api))
    offer_until_accepted(api, "after")
    assert cluster.sandbox.requests()["byKey"]["sk_test_slow1500"] == 1  # it was not run again
    return {"before", "running", "after"}


def names(api):
    return {i["name"] for i in api.all()}


def expect_all_after_a_crash(cluster, acknowledged, *options):
    """Only what was refused may be missing."""
    cluster.broker.kill()
    cluster.start_broker(*options)
    found = names(cluster.api())
    assert acknowledged <= found, found
    assert not any(name.startswith("refused,") for name in found), found
    assert "refuses to commit" in cluster.broker.log() and "commits again" in cluster.broker.log()


def test_a_full_disk_stops_new_work_and_loses_nothing(make_cluster, small_disk):
    cluster = make_cluster()
    store = ("--store", f"sqlite:{small_disk}/patchbay.db")
    cluster.start_broker(*store)
    cluster.start_worker()
    acknowledged = outage(cluster, lambda: fill(small_disk), lambda: os.remove(small_disk / "filler"))
    assert "free some space" in cluster.broker.log()
    expect_all_after_a_crash(cluster, acknowledged, *store)
    cluster.stop()  # before its disk is taken away


# -- a broker whose disk fails on command --

class Faulty:
    """A cluster whose broker's disk does what a file says."""

    def __init__(self, cluster):
        self.cluster, self.file = cluster, cluster.folder / "faults"
        self.say("none")
        cluster.start_broker(program="patchbay-broker-faulty", env=clean_env(FAULTS_FILE=str(self.file)))
        cluster.start_worker()

    def say(self, what):
        new = self.file.with_suffix(".new")
        new.write_text(what)
        new.rename(self.file)


@pytest.mark.parametrize("fault", ["full", "write", "sync"])
def test_a_failing_disk_stops_new_work_and_loses_nothing(make_cluster, fault):
    cluster = make_cluster()
    faulty = Faulty(cluster)
    acknowledged = outage(cluster, lambda: faulty.say(fault), lambda: faulty.say("none"))
    expect_all_after_a_crash(cluster, acknowledged)


class Submitters:
    """Clients that set up and delete integrations without end, and note what they were told."""

    def __init__(self, api, count=6):
        self.api, self.over = api, threading.Event()
        self.accepted, self.set_up = [], []
        self.pool = concurrent.futures.ThreadPoolExecutor(count)
        self.futures = [self.pool.submit(self.work, n) for n in range(count)]

    def work(self, n):
        for i in range(100000):
            if self.over.is_set():
                return
            try:
                if i % 2:
                    answer = self.api.setup(f"{n} {i}", "sk_test_slow20", wait=None)
                    if answer.status == 202:
                        self.accepted.append(answer.json["id"])
                else:
                    answer = self.api.setup(f"{n} {i}")
                    if answer.status == 201:
                        self.set_up.append(answer.json["id"])
            except (OSError, http.client.HTTPException):
                return  # the broker is gone

    def stop(self):
        self.over.set()
        for future in self.futures:
            future.result(timeout=60)
        self.pool.shutdown()


@pytest.mark.parametrize("keep", [0, 128, 230])
def test_a_power_cut_loses_nothing_that_was_acknowledged(make_cluster, keep):
    cluster = make_cluster()
    faulty = Faulty(cluster)
    submitters = Submitters(cluster.api())
    until("much is going on", lambda: len(submitters.accepted) > 20 and len(submitters.set_up) > 20)
    faulty.say(f"cut {keep} {keep + 7}")
    assert cluster.broker.wait() == 99
    submitters.stop()
    cluster.start_broker()
    api = cluster.api()
    lost = [i for i in submitters.set_up if api.get(f"/v1/integrations/{i}").status != 200]
    lost += [j for j in submitters.accepted if api.get(f"/v1/jobs/{j}").status != 200]
    assert not lost, f"{len(lost)} of {len(submitters.set_up) + len(submitters.accepted)}"
    for job in submitters.accepted:  # and all of it goes on
        assert api.finished(job)["state"] == "done"
