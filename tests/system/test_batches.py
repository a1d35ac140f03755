"""Batches: every integration that a filter selects is tested once, whatever happens meanwhile, and the counts add up."""

import concurrent.futures
import contextlib
import datetime
import shutil
import signal
import sqlite3
import time

import pytest
from cluster import SANITIZED, Sandbox, clean_env, until
from pool import Pool, counted, unlimited

STRIPE, SLACK = 600, 400
PATIENCE = 90


def jobs(type, count, word="ok_{n}", prefix=""):
    return [(type, f"{prefix}{type} {n:05}", word.format(n=n).replace("_", "-" if type == "slack" else "_"))
            for n in range(count)]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Two types, of two tenants; some keys bad, some of a provider that is down."""
    special = [("stripe", f"bad {n}", f"bad_{n}") for n in range(20)]
    special += [("stripe", f"down {n}", f"error503_{n}") for n in range(10)]
    return Pool(tmp_path_factory.mktemp("pool"), jobs("stripe", STRIPE) + jobs("slack", SLACK) + special,
                {"acme": jobs("stripe", 50, "ok_acme{n}")})


def start(api, filter=None, rate=None):
    body = {"kind": "revalidate"}
    if filter is not None:
        body["filter"] = filter
    if rate is not None:
        body["ratePerSecond"] = rate
    answer = api.call("POST", "/v1/batches", body)
    assert answer.status == 202, answer
    return answer.json["id"]


def show(api, batch):
    return api.get(f"/v1/batches/{batch}").json


def order(api, batch, what):
    return api.call("POST", f"/v1/batches/{batch}:{what}")


def at_least(api, batch, done):
    return until(f"{done} are done", lambda: (b := show(api, batch))["done"] >= done and b, PATIENCE)


def ended(api, batch):
    return until("the batch has ended", lambda: (b := show(api, batch))["finishedAt"] and b, PATIENCE)


def adds_up(batch, total):
    assert batch["state"] == "done" and batch["total"] == batch["done"] == total == sum(batch["counts"].values()), batch
    assert sum(t["done"] for t in batch["types"].values()) == total, batch
    return batch


def revisions(api):
    return {i["id"]: i["revision"] for i in api.all()}


def test_all_are_tested_exactly_once(make_cluster, mixed):
    cluster = mixed.into(make_cluster()).start(workers=2)
    api = cluster.api()
    before = revisions(api)
    total = STRIPE + SLACK + 80
    batch = adds_up(ended(api, start(api)), total)
    assert batch["counts"] == {"ok": total - 30, "invalid_credentials": 20, "provider_unavailable": 10}
    assert batch["types"] == {"stripe": {"total": 680, "done": 680}, "slack": {"total": 400, "done": 400}}
    asked = counted(cluster)
    assert len(asked) == total and set(asked.values()) == {1}
    assert revisions(api) == {id: n + 1 for id, n in before.items()}


# -- filters --

def sql(cluster, statement, *values):
    """In the store of a broker that does not run."""
    with contextlib.closing(sqlite3.connect(cluster.data / "patchbay.db")) as db, db:
        db.execute(statement, values)


def test_filters_select_what_they_say(make_cluster, mixed):
    cluster = mixed.into(make_cluster())
    sql(cluster, "UPDATE integrations SET status = 2 WHERE name LIKE 'slack 0000%'")
    sql(cluster, "UPDATE integrations SET health = 2 WHERE name LIKE 'stripe 0001%'")
    api = cluster.start(workers=2).api()
    acme = cluster.api(mixed.tokens["acme"])
    moment = api.get("/v1/integrations?limit=1").headers["Date"]
    for filter, total in [({"type": "slack"}, 400), ({"status": "inactive"}, 10), ({"health": "degraded"}, 20),
                          ({"tenant": "acme"}, 50), ({"type": "slack", "health": "degraded"}, 0)]:
        before = revisions(api)
        batch = adds_up(ended(api, start(api, filter)), total)
        assert batch["filter"] == filter
        after = revisions(api)
        assert sum(after[id] - before[id] for id in before) == total, (filter, moment)
    batch = adds_up(ended(acme, start(acme)), 50)  # a tenant's token reaches that tenant's alone
    assert batch["filter"] == {"tenant": "acme"}


def test_not_validated_since_leaves_out_what_was(make_cluster, mixed):
    api = mixed.into(make_cluster()).start(workers=2).api()
    time.sleep(0.01)
    moment = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    adds_up(ended(api, start(api, {"type": "slack"})), SLACK)
    adds_up(ended(api, start(api, {"notValidatedSince": moment})), STRIPE + 80)
    adds_up(ended(api, start(api, {"notValidatedSince": moment})), 0)


@pytest.mark.parametrize("filter, at", [
    ({"type": "strip"}, "/filter/type"), ({"status": "broken"}, "/filter/status"), ({"helth": "ok"}, "/filter"),
    ({"notValidatedSince": "yesterday"}, "/filter/notValidatedSince"), ([], "/filter"),
])
def test_a_wrong_filter_is_refused_by_its_place(shared, filter, at):
    answer = shared.api().call("POST", "/v1/batches", {"kind": "revalidate", "filter": filter})
    assert answer.status == 422, answer
    assert any(e["pointer"].startswith(at) for e in answer.json["errors"]), answer


def test_what_broke_and_what_healed_is_counted(make_cluster, mixed):
    cluster = mixed.into(make_cluster()).start(workers=1)
    api = cluster.api()
    batch = adds_up(ended(api, start(api, {"type": "stripe"})), STRIPE + 80)
    assert (batch["newlyBroken"], batch["newlyHealthy"]) == (0, 0)  # one bad answer flips nothing
    cluster.stop()
    sql(cluster, "UPDATE integrations SET suspect_since = 1000 WHERE suspect_since > 0")
    sql(cluster, "UPDATE integrations SET status = 3 WHERE tenant = 'acme' AND name LIKE 'stripe 0000%'")
    cluster.sandbox = cluster.keep(Sandbox(cluster.folder))
    cluster.start(workers=1)
    batch = adds_up(ended(api, start(api, {"type": "stripe"})), STRIPE + 80)
    assert (batch["newlyBroken"], batch["newlyHealthy"]) == (20, 10), batch
    assert len(api.all("&status=error")) == 20


# -- orders --

def test_a_rate_is_kept_and_can_be_changed(make_cluster, mixed):
    api = mixed.into(make_cluster()).start(workers=2).api()
    batch = start(api, rate=50)
    time.sleep(2)  # past what may be made up for in the beginning
    began, first = time.monotonic(), show(api, batch)["done"]
    time.sleep(3)
    speed = (show(api, batch)["done"] - first) / (time.monotonic() - began)
    assert 40 <= speed <= 60, speed
    answer = api.call("PATCH", f"/v1/batches/{batch}", {"ratePerSecond": 0})
    assert answer.status == 200 and answer.json["ratePerSecond"] == 0, answer
    adds_up(ended(api, batch), STRIPE + SLACK + 80)


def test_a_rate_is_kept_when_a_worker_comes_late(make_cluster, mixed):
    cluster = mixed.into(make_cluster())
    cluster.start_broker()
    api = cluster.api()
    start(api, rate=20)
    time.sleep(7)
    assert 80 <= api.queue()["live"] <= 100


def quiet(cluster):
    """Nothing is asked of the provider."""
    def same():
        before = cluster.sandbox.requests()["total"]
        time.sleep(0.5)
        return cluster.sandbox.requests()["total"] == before
    until("nothing is tested", same)


def test_paused_it_rests_over_a_restart_until_it_is_resumed(make_cluster, mixed):
    cluster = mixed.into(make_cluster()).start(workers=2)
    api = cluster.api()
    batch = start(api, rate=200)
    at_least(api, batch, 200)
    assert order(api, batch, "pause").json["state"] == "paused"
    assert order(api, batch, "pause").status == 409
    quiet(cluster)
    paused = show(api, batch)
    assert 200 <= paused["done"] < 900 and paused["finishedAt"] is None and paused["perSecond"] is None
    cluster.broker.kill()
    cluster.start_broker()
    quiet(cluster)
    assert show(api, batch) == paused
    assert order(api, batch, "resume").json["state"] == "running"
    assert api.call("PATCH", f"/v1/batches/{batch}", {"ratePerSecond": 0}).status == 200
    adds_up(ended(api, batch), STRIPE + SLACK + 80)
    assert order(api, batch, "resume").status == 409  # it has ended


def test_pause_and_resume_at_once_lose_nothing(make_cluster, mixed):
    cluster = mixed.into(make_cluster()).start(workers=2)
    api = cluster.api()
    batch = start(api)
    for _ in range(15):
        if order(api, batch, "pause").status == 200:
            order(api, batch, "resume")
    adds_up(ended(api, batch), STRIPE + SLACK + 80)
    assert len(counted(cluster)) == STRIPE + SLACK + 80


def test_cancelled_it_ends_and_what_is_done_stays(make_cluster, mixed):
    cluster = mixed.into(make_cluster()).start(workers=2)
    api = cluster.api()
    before = revisions(api)
    batch = start(api, rate=200)
    at_least(api, batch, 100)
    assert order(api, batch, "cancel").status == 200
    after = ended(api, batch)
    assert after["state"] == "cancelled" and 100 <= after["done"] < 1000
    assert sum(after["counts"].values()) == after["done"]
    quiet(cluster)
    assert sum(n - before[id] for id, n in revisions(api).items()) >= after["done"]
    assert order(api, batch, "resume").status == 409 and api.queue()["live"] == 0
    cluster.broker.kill()
    cluster.start_broker()
    assert show(api, batch) == after


def test_a_cancel_outlives_the_broker(make_cluster, slow):
    cluster = slow.into(make_cluster()).start(workers=1)
    api = cluster.api()
    batch = start(api)
    until("some run", lambda: api.workers()["w1"]["running"] > 0)
    cluster.workers["w1"].signal(signal.SIGSTOP)  # so that it cannot end yet
    assert order(api, batch, "cancel").status == 200
    cluster.broker.kill()
    cluster.workers["w1"].kill()
    cluster.start_broker()
    assert ended(api, batch)["state"] == "cancelled"


# -- failures --

@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    return Pool(tmp_path_factory.mktemp("pool"), jobs("stripe", 300, "slow100_{n}") + jobs("slack", 300))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return Pool(tmp_path_factory.mktemp("pool"), jobs("stripe", 4000))


def well(batch):
    """All passed, but for connections that a starved machine let wait for too long: a result like any other."""
    counts = batch["counts"]
    assert set(counts) <= {"ok", "timeout"} and counts["ok"] >= 0.8 * batch["total"], counts


def test_a_worker_that_dies_costs_nothing(make_cluster, many):
    cluster = many.into(make_cluster()).start(workers=2)
    api = cluster.api()
    batch = start(api, rate=1000)
    for n in range(3):
        at_least(api, batch, 300 * (n + 1))
        cluster.workers[f"w{n % 2 + 1}"].kill()
        cluster.start_worker(f"w{n % 2 + 1}", wait=False)
    well(adds_up(ended(api, batch), 4000))
    assert len(counted(cluster)) == 4000


@pytest.mark.parametrize("filter", [{}, {"status": "error"}, "not since"])
def test_a_broker_that_dies_goes_on_by_itself(make_cluster, many, filter):
    """Those that pass are not in status error any more, and validated since: they are counted all the same."""
    cluster = many.into(make_cluster())
    sql(cluster, "UPDATE integrations SET status = 3")
    api = cluster.start(workers=2).api()
    if filter == "not since":
        filter = {"notValidatedSince": datetime.datetime.now(datetime.timezone.utc).isoformat()}
    batch = start(api, filter, rate=1000)
    for n in range(3):
        at_least(api, batch, 700 * (n + 1))
        cluster.broker.kill()
        cluster.start_broker()
    well(adds_up(ended(api, batch), 4000))
    asked = counted(cluster)
    assert len(asked) == 4000
    assert sum(asked.values()) - 4000 <= 3 * 2048 and max(asked.values()) <= 4, sum(asked.values())


def test_a_failing_store_delays_it_and_no_more(make_cluster, mixed):
    cluster = mixed.into(make_cluster())
    faults = cluster.folder / "faults"
    faults.write_text("none")
    cluster.start_broker(program="patchbay-broker-faulty", env=clean_env(FAULTS_FILE=str(faults)))
    cluster.start_worker()
    api = cluster.api()
    batch = start(api, rate=300)
    at_least(api, batch, 200)
    (cluster.folder / "new").write_text("sync")
    (cluster.folder / "new").rename(faults)
    until("the store fails", lambda: api.get("/readyz").status != 200)
    quiet(cluster)
    stuck = show(api, batch)["done"]
    assert 200 <= stuck < 1000
    orders_are_refused_at_once(api, batch)
    (cluster.folder / "new").write_text("none")
    (cluster.folder / "new").rename(faults)
    adds_up(ended(api, batch), STRIPE + SLACK + 80)
    assert sum(i["revision"] for i in api.all()) >= 2 * (STRIPE + SLACK + 80)


def orders_are_refused_at_once(api, batch):
    daily = {"kind": "revalidate", "cron": "@daily"}
    for method, path, body in [("POST", f"/v1/batches/{batch}:pause", None), ("POST", "/v1/batches", {"kind": "revalidate"}),
                               ("PATCH", f"/v1/batches/{batch}", {"ratePerSecond": 1}),
                               ("PUT", "/v1/schedules/daily", daily), ("DELETE", "/v1/schedules/daily", None),
                               ("POST", "/v1/queue:pause", {"kind": "ping"}), ("POST", "/v1/queue:resume", {"kind": "ping"})]:
        began = time.monotonic()
        answer = api.call(method, path, body)
        assert answer.status == 503 and answer.json["code"] == "store_unavailable", answer
        assert time.monotonic() - began < 5
    assert api.get("/v1/queue").json["pauses"] == []


def test_an_integration_that_kills_workers_stops_nothing(make_cluster, deadly):
    cluster = deadly.into(make_cluster()).start(workers=1)
    api = cluster.api()
    batch, killed = start(api), 0
    while not (now := show(api, batch))["finishedAt"]:
        if counted(cluster).get("sk_test_hang_1", 0) > killed:
            killed = counted(cluster)["sk_test_hang_1"]
            cluster.workers["w1"].kill()
            cluster.start_worker("w1")
        time.sleep(0.02)
        assert killed < 20
    assert adds_up(now, 301)["counts"] == {"ok": 300, "not_tested": 1}


@pytest.fixture(scope="module")
def deadly(tmp_path_factory):
    return Pool(tmp_path_factory.mktemp("pool"),
                jobs("stripe", 150) + [("stripe", "deadly", "hang_1")] + jobs("slack", 150))


def test_a_slow_type_stalls_no_other(make_cluster, slow):
    def limited(manifest):
        unlimited(manifest)
        if manifest["type"] == "stripe":
            manifest["test"]["rateLimit"] = {"perSecond": 20, "concurrency": 4, "after": [], "at": [], "remaining": None}
    api = slow.into(make_cluster(), limited).start(workers=1).api()
    batch = start(api)
    now = until("all of Slack is done", lambda: (b := show(api, batch))["types"]["slack"]["done"] == 300 and b)
    assert now["types"]["stripe"]["done"] < 200 and now["state"] == "running"
    adds_up(ended(api, batch), 600)


# -- what happens meanwhile --

def test_made_deleted_and_tested_meanwhile(make_cluster, many):
    cluster = many.into(make_cluster()).start(workers=2)
    api = cluster.api()
    last = [many.records[f"stripe {n:05}"]["id"] for n in range(3990, 4000)]
    batch = start(api, rate=800)
    made = [api.setup(f"made meanwhile {n}", f"sk_test_ok_made{n}").json["id"] for n in range(5)]
    for id in last[:5]:  # not read yet
        assert api.call("DELETE", f"/v1/integrations/{id}", wait=10).status in (200, 204)
    for id in last[5:]:
        assert api.validate(id).status == 200
    assert adds_up(ended(api, batch), 4000)["counts"] == {"ok": 3995, "deleted": 5}
    after = revisions(api)
    assert [after[id] for id in made] == [1] * 5  # not part of it
    assert [after[id] for id in last[5:]] == [3] * 5


def test_deleted_and_tested_by_hand_within_the_window(make_cluster, slow):
    """Read already, and not tested yet: it is changed under the batch's hands, and does not wait behind the batch."""
    def limited(manifest):
        unlimited(manifest)
        if manifest["type"] == "stripe":
            manifest["test"]["rateLimit"] = {"perSecond": 40, "concurrency": 8, "after": [], "at": [], "remaining": None}
    api = slow.into(make_cluster(), limited).start(workers=1).api()
    batch = start(api, {"type": "stripe"})
    at_least(api, batch, 1)
    late = [slow.records[f"stripe {n:05}"]["id"] for n in range(270, 290)]
    for id in late[:10]:
        assert api.call("DELETE", f"/v1/integrations/{id}", wait=30).status in (200, 204)
    for id in late[10:]:
        assert api.validate(id).status == 200
    assert show(api, batch)["done"] < 200
    assert adds_up(ended(api, batch), 300)["counts"] == {"ok": 290, "deleted": 10}


def test_two_batches_at_once(make_cluster, many):
    cluster = many.into(make_cluster()).start(workers=2)
    api = cluster.api()
    both = [start(api), start(api)]
    for batch in both:
        well(adds_up(ended(api, batch), 4000))
    listed = [b["id"] for b in api.get("/v1/batches").json["items"]]
    assert listed == both[::-1]
    page = api.get("/v1/batches?limit=1").json
    assert [b["id"] for b in page["items"]] == listed[:1]
    assert [b["id"] for b in api.get(f"/v1/batches?limit=1&after={page['next']}").json["items"]] == listed[1:]


def test_a_batch_is_seen_by_its_tenant_alone(make_cluster, mixed):
    cluster = mixed.into(make_cluster()).start(workers=1)
    acme = cluster.api(mixed.tokens["acme"])
    batch = start(cluster.api())
    assert acme.get(f"/v1/batches/{batch}").status == 404
    for what in ("pause", "resume", "cancel"):
        assert order(acme, batch, what).status in (404, 409)
    assert acme.get("/v1/batches").json["items"] == []
    adds_up(ended(cluster.api(), batch), STRIPE + SLACK + 80)


def resident_kb(process):
    for line in open(f"/proc/{process.pid}/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1])


@pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps what is freed for a while")
def test_memory_does_not_grow_with_the_number(make_cluster, mixed, many):
    """A window's worth is held, of four times as many integrations as of fewer."""
    peaks = []
    for pool, folder in ((mixed, "few"), (many, "many")):
        cluster = make_cluster()
        api = pool.into(cluster).start(workers=1).api()
        ended(api, start(api))
        ended(api, start(api))
        peaks.append(resident_kb(cluster.broker))
        cluster.stop()
        shutil.rmtree(cluster.data)
        shutil.rmtree(cluster.manifests)
    assert peaks[1] - peaks[0] < 24 * 1024, peaks


def test_a_damaged_row_keeps_no_broker_from_starting(make_cluster, mixed):
    cluster = mixed.into(make_cluster())
    sql(cluster, "INSERT INTO batches VALUES (?, 1, '*', 1, 0, '{')", bytes(16))
    api = cluster.start(workers=1).api()
    adds_up(ended(api, start(api, {"type": "slack"})), SLACK)
    assert "cannot go on" in cluster.broker.log()


def test_one_tenants_batches_and_schedules_leave_room_for_others(cluster):
    acme, beta = cluster.new_apis(("acme", "admin"), ("beta", "admin"))
    until("the worker is back", lambda: "w1" in cluster.api().workers())
    for api in (acme, beta):
        assert api.setup("one").status == 201
    cluster.without_worker()
    start = {"kind": "revalidate", "filter": {}}
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: acme.call("POST", "/v1/batches", start), range(24)))
    assert sorted(a.status for a in answers) == [202] * 16 + [429] * 8, answers
    assert acme.call("POST", "/v1/batches", start).json["code"] == "busy"
    assert beta.call("POST", "/v1/batches", start).status == 202
    daily = {"kind": "revalidate", "cron": "@daily"}
    for n in range(200):
        assert acme.call("PUT", f"/v1/schedules/s{n}", daily).status == 201
    assert acme.call("PUT", "/v1/schedules/more", daily).json["code"] == "limit_reached"
    assert acme.call("PUT", "/v1/schedules/s7", daily).status == 200, "what there is can be changed"
    assert beta.call("PUT", "/v1/schedules/s0", daily).status == 201
