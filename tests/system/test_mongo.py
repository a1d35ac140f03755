"""The same on MongoDB: nothing that a user sees is different, and what was acknowledged outlives every process.

Needs a server: PATCHBAY_TEST_MONGODB_URI (scripts/mongo run -- COMMAND sets it); skipped without one."""

import concurrent.futures
import os
import subprocess
import uuid

import pytest
from cluster import BUILD, clean_env, until
from wire import Wire

URI = os.environ.get("PATCHBAY_TEST_MONGODB_URI")
pytestmark = pytest.mark.skipif(not URI, reason="no MongoDB: make test-mongo finds or starts one")


def store_url(database, uri=URI):
    """The server's URI with a database of the test's own; it goes with the server's folder."""
    base, _, options = uri.partition("?")
    scheme, _, rest = base.partition("://")
    return f"{scheme}://{rest.split('/')[0]}/{database}" + (f"?{options}" if options else "")


@pytest.fixture
def on_mongo(make_cluster):
    return make_cluster(store=store_url(f"patchbay_test_{uuid.uuid4().hex}"))


def test_setup_list_validate_and_delete_are_as_ever(on_mongo):
    api = on_mongo.start().api()
    made = api.setup("one")
    assert made.status in (200, 201), made
    assert api.setup("bad", key="sk_test_bad").status == 422
    assert api.setup("one").status in (409, 422)  # the name is taken
    [item] = api.all()
    assert item["name"] == "one" and item["status"] == "active" and item["supportedEvents"]
    assert api.validate(item["id"]).json["result"]["code"] == "ok"
    shown = api.show(item["id"])
    assert shown["revision"] > item["revision"] and shown["lastValidated"]
    gone = api.call("DELETE", f"/v1/integrations/{item['id']}", wait=30)
    assert gone.status in (200, 204), gone
    assert api.get(f"/v1/integrations/{item['id']}").status == 404
    assert api.setup("one").status in (200, 201)  # and free again


def test_a_job_that_was_acknowledged_outlives_a_broker_that_is_killed(on_mongo):
    on_mongo.start_broker()
    on_mongo.start_worker()
    on_mongo.api().setup("first")  # the workers' key is known from here on
    on_mongo.workers["w1"].stop()
    jobs = [on_mongo.api().call("POST", "/v1/integrations", {"type": "stripe", "name": f"n{n}",
                                "credentials": {"apiKey": "sk_test_ok"}}).json["id"] for n in range(5)]
    on_mongo.broker.kill()
    on_mongo.start_broker()
    on_mongo.start_worker("w2")
    api = on_mongo.api()
    for job in jobs:
        assert api.finished(job)["state"] == "done"
    assert sorted(i["name"] for i in api.all()) == ["first"] + [f"n{n}" for n in range(5)]


def test_idempotency_keys_are_known_after_a_restart(on_mongo):
    api = on_mongo.start().api()
    first = api.setup("one", headers={"Idempotency-Key": "k1"})
    on_mongo.broker.kill()
    on_mongo.start_broker()
    until("w1 is back", lambda: "w1" in on_mongo.api().workers())
    again = on_mongo.api().setup("one", headers={"Idempotency-Key": "k1"})
    assert again.status == first.status, (first, again)
    assert len(on_mongo.api().all()) == 1


def test_workers_that_are_killed_lose_no_job(on_mongo):
    on_mongo.start(workers=2)
    api = on_mongo.api()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(api.setup, f"n{n}", wait=60) for n in range(24)]
        until("some are done", lambda: len(api.all()) >= 4)
        on_mongo.workers["w1"].kill()
        on_mongo.start_worker("w3", wait=False)
        assert all(a.result().status in (200, 201) for a in answers), [a.result() for a in answers]
    assert sorted(i["name"] for i in api.all()) == sorted(f"n{n}" for n in range(24))


def test_a_password_in_the_uri_is_never_shown(on_mongo, folder):
    on_mongo.start()
    secret = "hunter2hunter2"
    host = URI.partition("://")[2].split("/")[0].rpartition("@")[2]
    on_mongo.broker.stop()
    for bad in (f"mongodb://joe:{secret}@{host}/x?authMechanism=SCRAM-SHA-256", f"mongodb://joe:{secret}@{host}/x?w=1",
                f"mongodb://joe:{secret}/{secret}@{host}/x", f"mongodb://joe:{secret}@127.0.0.1:1/x?serverSelectionTimeoutMS=300"):
        on_mongo.store = bad
        with pytest.raises(AssertionError):
            on_mongo.start_broker()
        on_mongo.broker.wait()
    assert secret not in (folder / "broker.log").read_text()
    assert "***@" in (folder / "broker.log").read_text()


def test_what_a_file_held_goes_on_in_mongodb(make_cluster, folder):
    cluster = make_cluster().start()
    made = [cluster.api().setup(f"n{n}").json for n in range(3)]
    token, record = cluster.token(), cluster.api().all()
    file = f"sqlite:{cluster.data}/patchbay.db"
    url = store_url(f"patchbay_test_{uuid.uuid4().hex}")

    def migrate(*stores):
        return subprocess.run([BUILD / "patchbay", "store", "migrate", *stores], capture_output=True, text=True,
                              env=clean_env(), timeout=120)

    busy = migrate(file, url)
    assert busy.returncode == 1 and "another broker uses this store" in busy.stderr, busy
    cluster.broker.stop()
    done = migrate(file, url)
    assert done.returncode == 0 and "the same in number and content" in done.stdout, done
    again = migrate(file, url)
    assert again.returncode == 1 and "is not empty" in again.stderr, again
    assert migrate("sqlite:/nowhere/x.db", url).returncode == 1
    cluster.store = url
    cluster.start_broker()
    until("w1 is back", lambda: "w1" in cluster.api().workers())
    assert cluster.token() == token and cluster.api().all() == record and len(made) == 3
    assert cluster.api().validate(record[0]["id"]).json["result"]["code"] == "ok"


@pytest.fixture
def wire():
    host, _, port = URI.partition("://")[2].split("/")[0].rpartition("@")[2].split(",")[0].partition(":")
    made = Wire(host, int(port or 27017))
    yield made
    made.close()


def test_an_outage_of_the_store_is_no_error_of_the_jobs(make_cluster, wire):
    url = store_url(f"patchbay_test_{uuid.uuid4().hex}", f"mongodb://127.0.0.1:{wire.port}/")
    cluster = make_cluster(store=url + "?directConnection=true&serverSelectionTimeoutMS=1000").start()
    api = cluster.api()
    for n in range(4):
        assert api.setup(f"n{n}", wait=60).status in (200, 201)
    ids = [i["id"] for i in api.all()]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ends = [pool.submit(api.validate, id, wait=60) for id in ids]
        wire.cut()
        until("the broker says that it is not ready",
              lambda: api.setup("late", wait=0).status == 503 and api.get("/readyz").status == 503)
        wire.mend()
        until("it is ready again", lambda: api.get("/readyz").status == 200, patience=60)
        for end in ends:  # taken before the cut, or refused while it lasted: never lost
            answer = end.result()
            assert answer.status in (200, 202, 503), answer
            if answer.status == 202:
                assert api.finished(answer.json["id"])["state"] == "done"
    for id in ids:
        until("it can be validated", lambda: (a := api.validate(id)).status == 200 and a.json["result"]["code"] == "ok")
    assert sorted(i["name"] for i in api.all()) == [f"n{n}" for n in range(4)]
