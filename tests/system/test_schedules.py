"""Schedules: batches start when they are due, once, whatever happens meanwhile.

What would take hours is made by moving a schedule's times in the store of a broker that does not run."""

import contextlib
import datetime
import json
import re
import signal
import sqlite3
import time
import zoneinfo

import pytest
from cluster import until
from test_command import DONE, NO, USAGE, Patchbay

HOUR_MS, DAY_MS = 3600 * 1000, 24 * 3600 * 1000
YEARLY = {"cron": "0 0 1 1 *", "kind": "revalidate"}
BATCH = "bat_" + "01" * 16


def put(api, name, body, query=""):
    return api.call("PUT", f"/v1/schedules/{name}{query}", body)


def show(api, name="yearly", query=""):
    answer = api.get(f"/v1/schedules/{name}{query}")
    return answer.json if answer.status == 200 else None


def batches(api):
    return api.get("/v1/batches").json["items"]


def ms(time_text):
    return datetime.datetime.fromisoformat(time_text.replace("Z", "+00:00")).timestamp() * 1000


def wall_ms():
    return int(time.time() * 1000)


@contextlib.contextmanager
def stored(cluster, name="yearly"):
    """A schedule's body, to be changed in the store while no broker runs."""
    with contextlib.closing(sqlite3.connect(cluster.data / "patchbay.db")) as db, db:
        body = json.loads(db.execute("SELECT body FROM schedules WHERE name = ?", (name,)).fetchone()[0])
        yield body
        db.execute("UPDATE schedules SET body = ? WHERE name = ?", (json.dumps(body), name))


def make_due(cluster, ago_ms=2 * HOUR_MS):
    with stored(cluster) as body:
        body["due"] = wall_ms() - ago_ms
        body["planned"] = wall_ms() - DAY_MS


def set_and_stop(cluster, **more):
    cluster.start_broker()
    assert put(cluster.api(), "yearly", {**YEARLY, **more}).status == 201
    cluster.broker.stop()
    return cluster


def has_run(api, name="yearly", but=None, patience=10):
    def ran():
        schedule = show(api, name)
        batch = schedule["lastRun"] and schedule["lastRun"]["batch"]
        return batch and batch != but and schedule
    return until("the schedule has run", ran, patience)


# -- setting --

def test_a_schedule_is_set_shown_replaced_and_removed(shared):
    api = shared.api()
    answer = put(api, "nightly", {"cron": "30 2 * * *", "timeZone": "Europe/Berlin", "kind": "revalidate",
                                  "filter": {"type": "stripe"}, "ratePerSecond": 50, "missed": "skip", "jitterSeconds": 60})
    assert answer.status == 201 and answer.headers["Location"] == "/v1/schedules/nightly", answer
    made = answer.json
    assert made == show(api, "nightly")
    assert (made["lastRun"], made["lastSkipped"], made["enabled"], made["tenant"]) == (None, None, True, "*")
    due = datetime.datetime.fromisoformat(made["nextRun"].replace("Z", "+00:00"))
    local = due.astimezone(zoneinfo.ZoneInfo("Europe/Berlin"))
    assert 0 < ms(made["nextRun"]) - wall_ms() <= 25 * HOUR_MS + 61000
    assert local.hour in (2, 3) and (local.minute, local.second) <= (31, 0), local
    answer = put(api, "nightly", {"name": "nightly", "cron": "@daily", "kind": "revalidate", "enabled": False})
    assert answer.status == 200, answer
    assert answer.json["nextRun"] is None and answer.json["timeZone"] == "UTC" and answer.json["filter"] == {}
    assert answer.json["createdAt"] == made["createdAt"]
    assert [s["name"] for s in api.get("/v1/schedules").json["items"]] == ["nightly"]
    assert api.call("DELETE", "/v1/schedules/nightly").status == 204
    assert api.call("DELETE", "/v1/schedules/nightly").status == 404
    assert show(api, "nightly") is None and api.get("/v1/schedules").json["items"] == []


def test_every_fault_is_named_by_its_member(shared):
    wrong = {"cron": "61 * * * *", "timeZone": "Europe/Nowhere", "kind": "rekey", "ratePerSecond": -1, "missed": "never",
             "filter": {"type": "strip", "notValidatedSince": "2026-01-01T00:00:00Z"}, "enabled": "yes",
             "jitterSeconds": 4000, "name": "other", "colour": 1}
    answer = put(shared.api(), "nightly", wrong)
    faults = {e["pointer"]: e["message"] for e in answer.json["errors"]}
    assert answer.status == 422 and set(faults) == {
        "/cron", "/timeZone", "/kind", "/ratePerSecond", "/missed", "/filter/type", "/filter/notValidatedSince", "/enabled",
        "/jitterSeconds", "/name", "/colour"}, faults
    assert "minute" in faults["/cron"] and "no such time zone" in faults["/timeZone"]
    for body, pointers in [({}, {"/cron", "/kind"}), ([], {""}), ({**YEARLY, "cron": "0 0 30 2 *"}, {"/cron"}),
                           ({**YEARLY, "filter": 1}, {"/filter"})]:
        answer = put(shared.api(), "nightly", body)
        assert answer.status == 422 and {e["pointer"] for e in answer.json["errors"]} == pointers, answer
    assert put(shared.api(), "Nightly", YEARLY).status == 422
    assert show(shared.api(), "nightly") is None


def test_tenants_have_their_own_and_operators_set_them(make_cluster):
    cluster = make_cluster()
    cluster.start_broker()
    acme, beta, viewer = cluster.new_apis(("acme", "admin"), ("beta", "admin"), ("acme", "viewer"))
    root = cluster.api()
    for api in (root, acme, beta):
        assert put(api, "same", YEARLY).status == 201
    assert put(viewer, "same", YEARLY).status == 403 and viewer.call("DELETE", "/v1/schedules/same").status == 403
    assert show(viewer, "same")["tenant"] == "acme" and show(viewer, "same")["filter"] == {"tenant": "acme"}
    assert put(acme, "same", {**YEARLY, "filter": {"tenant": "beta"}}).status == 422
    assert put(acme, "same", YEARLY, "?tenant=beta").status == 400
    assert put(root, "more", YEARLY, "?tenant=beta").status == 201
    assert [s["name"] for s in beta.get("/v1/schedules").json["items"]] == ["more", "same"]
    assert [s["tenant"] for s in root.get("/v1/schedules").json["items"]] == ["*", "acme", "beta", "beta"]
    page = root.get("/v1/schedules?limit=3").json
    assert len(page["items"]) == 3
    rest = root.get(f"/v1/schedules?limit=3&after={page['next'].replace('/', '%2F')}").json
    assert [(s["tenant"], s["name"]) for s in rest["items"]] == [("beta", "same")] and rest["next"] is None
    assert beta.call("DELETE", "/v1/schedules/same").status == 204
    assert show(root, "same") and show(acme, "same") and show(root, "same", "?tenant=acme") == show(acme, "same")
    before = root.get("/v1/schedules").json
    cluster.broker.signal(signal.SIGKILL)
    cluster.broker.wait()
    cluster.start_broker()
    assert root.get("/v1/schedules").json == before


# -- running --

def test_a_missed_run_comes_once(make_cluster):
    cluster = set_and_stop(make_cluster(), ratePerSecond=7)
    make_due(cluster, 400 * DAY_MS)  # and with it that of this year
    cluster.start_broker()
    api = cluster.api()
    schedule = has_run(api)
    assert abs(ms(schedule["lastRun"]["at"]) - wall_ms()) < 30000 and ms(schedule["nextRun"]) > wall_ms()
    assert [(b["id"], b["ratePerSecond"]) for b in batches(api)] == [(schedule["lastRun"]["batch"], 7)]
    cluster.broker.signal(signal.SIGKILL)
    cluster.broker.wait()
    cluster.start_broker()
    time.sleep(2)
    assert len(batches(api)) == 1 and show(api) == schedule


def test_a_missed_run_is_left_out_where_that_is_wanted(make_cluster):
    cluster = set_and_stop(make_cluster(), missed="skip")
    make_due(cluster)
    cluster.start_broker()
    api = cluster.api()
    schedule = until("the schedule was looked at", lambda: (s := show(api))["lastSkipped"] and s)
    assert schedule["lastSkipped"]["reason"] == "missed" and schedule["lastRun"] is None and not batches(api)
    assert ms(schedule["nextRun"]) > wall_ms() and "its time was missed" in cluster.broker.log()
    cluster.broker.stop()
    make_due(cluster, 20000)  # that is late, and no more
    cluster.start_broker()
    assert has_run(api) and len(batches(api)) == 1


def test_a_disabled_schedule_does_not_run(make_cluster):
    cluster = set_and_stop(make_cluster(), enabled=False)
    make_due(cluster)
    cluster.start_broker()
    time.sleep(2)
    assert show(cluster.api())["lastRun"] is None and not batches(cluster.api())


@pytest.mark.parametrize("batch_was_written", [False, True])
def test_a_crash_within_a_start_neither_repeats_nor_forgets_it(make_cluster, batch_was_written):
    cluster = set_and_stop(make_cluster())
    at = wall_ms() - 5000
    with stored(cluster) as body:
        body.update(run=at, batch=BATCH, started=False)
    cluster.start_broker()
    api = cluster.api()
    schedule = has_run(api)
    if batch_was_written:
        until("the batch has ended", lambda: batches(api)[0]["finishedAt"])
        cluster.broker.stop()
        with stored(cluster) as body:
            body["started"] = False
        cluster.start_broker()
        time.sleep(2)
        assert show(api) == schedule
    assert schedule["lastRun"]["batch"] == BATCH and ms(schedule["lastRun"]["at"]) == at
    assert [b["id"] for b in batches(api)] == [BATCH]


def test_a_run_is_skipped_while_the_batch_before_is_under_way(make_cluster):
    cluster = make_cluster().start(workers=1)
    api = cluster.api()
    assert api.setup("one").status == 201
    cluster.without_worker()  # so that no batch comes to an end
    assert put(api, "yearly", YEARLY).status == 201
    cluster.broker.stop()
    make_due(cluster)
    cluster.start_broker()
    first = has_run(api)["lastRun"]
    assert api.call("POST", f"/v1/batches/{first['batch']}:pause").status == 200
    cluster.broker.stop()
    make_due(cluster)
    cluster.start_broker()
    schedule = until("a run was skipped", lambda: (s := show(api))["lastSkipped"] and s)
    assert schedule["lastSkipped"]["reason"] == "under_way" and schedule["lastRun"] == first
    assert len(batches(api)) == 1 and "the batch of the run before is under way" in cluster.broker.log()
    assert api.call("POST", f"/v1/batches/{first['batch']}:cancel").status == 200
    cluster.broker.stop()
    make_due(cluster)
    cluster.start_broker()
    assert has_run(api, but=first["batch"]) and len(batches(api)) == 2


def test_a_clock_that_was_wrong_does_not_put_runs_off_for_ever(make_cluster):
    cluster = set_and_stop(make_cluster())
    with stored(cluster) as body:
        body.update(due=wall_ms() + 3650 * DAY_MS, planned=wall_ms() + 3600 * DAY_MS)
    cluster.start_broker()
    until("the next run is near", lambda: ms(show(cluster.api())["nextRun"]) < wall_ms() + 367 * DAY_MS)
    assert not batches(cluster.api())


def test_a_damaged_row_and_a_zone_that_is_gone_keep_no_broker_from_starting(make_cluster):
    cluster = set_and_stop(make_cluster())
    with stored(cluster) as body:
        body["spec"]["timeZone"] = "Europe/Gone"
        body["due"] = wall_ms() - HOUR_MS
    with contextlib.closing(sqlite3.connect(cluster.data / "patchbay.db")) as db, db:
        db.execute("INSERT INTO schedules (tenant, name, created_at, updated_at, body) VALUES ('*', 'bad', 0, 0, '{}')")
    cluster.start_broker()
    api = cluster.api()
    assert show(api)["nextRun"] is None and show(api, "bad") is None and not batches(api)
    assert "no such time zone" in cluster.broker.log() and "damaged" in cluster.broker.log()
    assert put(api, "yearly", YEARLY).json["nextRun"] and put(api, "bad", YEARLY).status == 201


def test_a_schedule_of_every_minute_runs_on_the_minute(make_cluster):
    api = make_cluster().start(workers=0).api()
    assert put(api, "minutely", {"cron": "* * * * *", "kind": "revalidate"}).status == 201
    due = ms(show(api, "minutely")["nextRun"])
    assert due % 60000 == 0 and 0 < due - wall_ms() <= 60000
    schedule = has_run(api, "minutely", patience=70)
    assert 0 <= ms(schedule["lastRun"]["at"]) - due < 5000 and ms(schedule["nextRun"]) == due + 60000
    assert [b["id"] for b in batches(api)] == [schedule["lastRun"]["batch"]]


# -- the command --

def test_the_command_sets_lists_shows_and_removes(shared):
    patchbay = Patchbay(shared)
    code, out, _ = patchbay("schedule")
    assert code == DONE and "no schedules yet" in out
    code, out, err = patchbay("schedule", "set", "nightly", "--cron", "30 4 * * mon-fri", "--time-zone", "Asia/Kolkata",
                              "--type", "stripe", "--rate", "20", "--missed", "skip", "--jitter", "30")
    assert code == DONE and re.search(r"^cron +30 4 \* \* mon-fri$", out, re.M), err
    assert re.search(r"^next run +20\d\d-", out, re.M) and re.search(r"^filter +type stripe", out, re.M)
    code, out, _ = patchbay("schedule", "list")
    assert code == DONE and re.search(r"^nightly +\* +30 4 \* \* mon-fri +Asia/Kolkata +20", out, re.M), out
    assert json.loads(patchbay("schedule", "show", "nightly", "--json")[1])["jitterSeconds"] == 30
    assert patchbay("schedule", "set", "nightly")[0] == USAGE
    code, out, err = patchbay("schedule", "set", "nightly", "--cron", "a b c d e")
    assert code == NO and "/cron" in out + err and "minute" in out + err
    assert patchbay("schedule", "set", "nightly", "--cron", "@hourly", "--tenant", "acme")[0] == DONE
    assert "acme" in patchbay("schedule", "show", "nightly", "--tenant", "acme")[1]
    assert patchbay("schedule", "rm", "nightly", "--tenant", "acme")[0] == DONE
    assert patchbay("schedule", "rm", "nightly")[0] == DONE and patchbay("schedule", "rm", "nightly")[0] == NO
