"""Integrations are tested when they are due, unasked: after their time, after a failure, and not when nobody wants it."""

import sqlite3
import time

from cluster import until


def make_due(cluster, where="1 = 1"):
    """As if their time had come; with the broker stopped, which is the file's only writer."""
    with sqlite3.connect(cluster.data / "patchbay.db") as db:
        db.execute(f"UPDATE integrations SET next_validation = 1 WHERE {where}")
    db.close()


def restart(cluster, *options):
    cluster.broker.stop()
    make_due(cluster)
    cluster.start_broker(*options)
    api = cluster.api()
    until("the worker is back", lambda: "w1" in api.workers())
    return api


def revisions(api):
    return {i["name"]: i["revision"] for i in api.all()}


def test_what_is_due_is_tested_by_itself(cluster):
    for n in range(20):
        assert cluster.api().setup(f"kept {n}", f"sk_test_ok_kept{n}").status == 201
    api = restart(cluster)
    until("all were tested once more", lambda: set(revisions(api).values()) == {2})
    time.sleep(2)
    assert set(revisions(api).values()) == {2}, "and once only: the next time is hours away"
    assert all(i["nextValidation"] > i["lastValidated"] for i in api.all())


def test_nothing_is_tested_unasked_when_it_is_switched_off(cluster):
    assert cluster.api().setup("left alone", "sk_test_ok").status == 201
    api = restart(cluster, "--keeper-jobs", "0")
    time.sleep(3)
    assert revisions(api) == {"left alone": 1}


def test_more_than_there_is_room_for_are_all_tested(cluster):
    for n in range(30):
        assert cluster.api().setup(f"many {n}", f"sk_test_ok_many{n}").status == 201
    api = restart(cluster, "--keeper-jobs", "4")
    until("all were tested", lambda: set(revisions(api).values()) == {2}, patience=60)


def team(api, n, word):
    answer = api.setup(f"team {word} {n}", f"xoxb-{word}-{n}", type="slack", field="botToken")
    assert answer.status == 201, answer
    return answer.json["id"]


def statuses(api, ids):
    return [api.show(i)["status"] for i in ids]


def test_most_failing_alike_is_an_outage_and_breaks_no_integration(cluster):
    """Of a single key it would be believed at once that it was revoked; of all keys at once it is not."""
    api = cluster.api()
    teams = [team(api, n, "turns1") for n in range(12)]
    codes = [api.validate(i).json["result"]["code"] for i in teams]
    assert set(codes) == {"credentials_revoked"}
    broken = statuses(api, teams).count("error")
    assert 1 <= broken <= 5, "the first ones, before it was seen that all fail"
    assert "its provider is taken to be down" in cluster.broker.log()
    assert set(statuses(api, teams[-3:])) == {"active"}
    outage = api.get("/v1/queue").json["outages"][0]
    assert outage["type"] == "slack" and outage["code"] == "credentials_revoked" and outage["failed"] == 12
    assert 'patchbay_outage{type="slack",code="credentials_revoked"} 1' in api.get("/metrics").text


def test_a_few_that_fail_are_no_outage(cluster):
    api = cluster.api()
    well = [team(api, n, "ok") for n in range(20)]
    revoked = [team(api, n, "turns1") for n in range(5)]
    for i in well + revoked:
        api.validate(i)
    assert set(statuses(api, revoked)) == {"error"} and set(statuses(api, well)) == {"active"}
