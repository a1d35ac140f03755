"""The queue as a whole: paused and resumed, drained, watched; and who may do that."""

import time

import pytest
from cluster import until


def pause(api, **gate):
    return api.call("POST", "/v1/queue:pause", gate)


def resume(api, **gate):
    return api.call("POST", "/v1/queue:resume", gate)


def test_a_paused_type_waits_over_a_restart_and_nobody_else_does(cluster):
    api = cluster.api()
    answer = pause(api, type="stripe")
    assert answer.status == 200 and answer.json == {"key": "type", "name": "stripe", "paused": True}
    job = api.setup_job("held", "sk_test_ok_held").json
    assert api.submit("ping", wait=10).json["state"] == "done"
    assert api.job(job["id"])["phase"] == "ready"
    cluster.broker.kill()
    cluster.start_broker()
    api = cluster.api()
    assert api.queue()["pauses"] == [{"key": "type", "name": "stripe"}]
    until("the worker is back", lambda: "w1" in api.workers())
    assert api.submit("ping", wait=10).json["state"] == "done"
    time.sleep(2.5)  # a lease, for which a restarted broker holds what a worker may have
    assert api.job(job["id"])["phase"] == "ready"
    assert resume(api, type="stripe").json["paused"] is False and not api.queue()["pauses"]
    assert api.finished(job["id"])["state"] == "done"
    assert resume(api, type="stripe").status == 200, "and again, to no effect"


@pytest.mark.parametrize("gate", [{"host": "api.stripe.com"}, {"kind": "setup"}, {"tenant": "default"}])
def test_every_gate_holds_what_it_names(cluster, gate):
    api = cluster.api()
    assert pause(api, **gate).status == 200
    job = api.setup_job("held", "sk_test_ok_held").json
    time.sleep(0.3)
    assert api.job(job["id"])["phase"] == "ready"
    assert resume(api, **gate).status == 200
    assert api.finished(job["id"])["state"] == "done"


def test_what_runs_when_its_type_is_paused_goes_on(cluster):
    api = cluster.api()
    job = api.setup_job("under way", "sk_test_slow800_way").json
    api.in_phase(job["id"], "running")
    assert pause(api, type="stripe").status == 200
    assert api.finished(job["id"])["state"] == "done"


@pytest.mark.parametrize("gate, pointer", [
    ({}, ""), ({"type": "stripe", "kind": "ping"}, ""), ({"typ": "stripe"}, "/typ"), ({"type": 7}, "/type"),
    ({"type": "No Type"}, "/type"), ({"kind": "pong"}, "/kind"), ({"tenant": ""}, "/tenant"), ({"host": "h" * 300}, "/host"),
])
def test_a_gate_that_is_none_is_refused(shared, gate, pointer):
    refused = pause(shared.api(), **gate)
    assert refused.status == 422 and refused.json["errors"][0]["pointer"] == pointer, refused
    assert not shared.api().queue()["pauses"]


def test_who_may_do_what(cluster):
    roles = ("viewer", "submitter", "operator")
    by = dict(zip((*roles, "cluster"), cluster.new_apis(*[("acme", role) for role in roles], ("*", "operator"))))
    until("the worker is back", lambda: cluster.api().workers())
    worker = cluster.api().workers()["w1"]["id"]

    def statuses(act):
        return [act(by[who]).status for who in (*roles, "cluster")]

    assert statuses(lambda a: a.get("/v1/queue")) == [200] * 4
    assert statuses(lambda a: a.get("/metrics")) == [200] * 4
    assert statuses(lambda a: a.submit("ping")) == [403, 202, 202, 202]
    assert statuses(lambda a: pause(a, tenant="acme")) == [403, 403, 200, 200]
    assert statuses(lambda a: resume(a, tenant="acme")) == [403, 403, 200, 200]
    assert statuses(lambda a: pause(a, tenant="other")) == [403, 403, 403, 200]
    assert statuses(lambda a: pause(a, type="stripe")) == [403, 403, 403, 200]
    assert statuses(lambda a: a.call("POST", "/v1/jobs:retry", {"filter": {}})) == [403, 403, 202, 202]
    assert statuses(lambda a: a.call("POST", "/v1/workers/wrk_" + "0" * 32 + ":drain")) == [403, 403, 403, 404]
    assert by["operator"].queue()["pauses"] == [{"key": "type", "name": "stripe"}], "other tenants' are not its business"
    assert len(by["cluster"].queue()["pauses"]) == 2
    assert "w1" in by["cluster"].workers() and worker


def test_a_tenant_sends_only_its_own_dead_again(cluster):
    cluster.without_worker()
    mine, theirs = cluster.new_apis(("mine", "operator"), ("theirs", "operator"))
    jobs = [api.submit("ping", deadlineSeconds=1).json["id"] for api in (mine, theirs)]
    assert mine.finished(jobs[0])["state"] == theirs.finished(jobs[1])["state"] == "dead"
    assert mine.retry(jobs[1]).status == mine.cancel(jobs[1]).status == 404
    assert mine.call("POST", "/v1/jobs:retry", {"filter": {}}).status == 202
    until("it waits again", lambda: mine.job(jobs[0])["state"] == "waiting")
    until("the replay is over", lambda: not mine.queue()["replays"])
    assert theirs.job(jobs[1])["state"] == "dead"


def test_a_worker_that_is_drained_loses_nothing_and_costs_no_attempt(pair):
    api = pair.api()
    jobs = [api.setup_job(f"drained {n}", f"sk_test_slow2000_dr{n}").json["id"] for n in range(24)]
    until("both work", lambda: all(w["running"] > 0 for w in api.workers().values()))
    answer = api.call("POST", f"/v1/workers/{api.workers()['w1']['id']}:drain")
    assert answer.status == 202 and answer.json["draining"] is True
    assert pair.workers["w1"].wait() == 0
    jobs += [api.setup_job(f"after {n}", f"sk_test_ok_af{n}").json["id"] for n in range(5)]
    ended = [api.finished(id) for id in jobs]
    assert {(j["state"], j["attempts"], j["result"]["attempt"]) for j in ended} == {("done", 0, 1)}
    assert list(api.workers()) == ["w2"] and '"warn"' not in pair.broker.log()


def test_the_queue_tells_how_it_does(cluster):
    api = cluster.api()
    made = api.setup("lane", "sk_test_slow1500_lane").json["id"]
    for _ in range(3):
        api.submit("validate", integration=made)
    api.submit("ping", delaySeconds=600)
    queue = until("one runs, two wait for it", lambda: (q := api.queue())["jobs"]["running"] == 1 and q)
    assert queue["live"] == 4 and queue["jobs"]["blocked"] == 2 and queue["jobs"]["delayed"] == 1
    assert queue["store"] == "ok" and queue["workers"] == 1 and queue["oldestReadyMs"] is None
    assert queue["journal"]["commits"] >= 5 and queue["journal"]["commitMs"]["p99"] > 0
    cluster.without_worker()
    api.submit("ping")
    time.sleep(0.3)
    waits = api.queue()
    assert waits["jobs"]["ready"] >= 1 and waits["oldestReadyMs"] >= 300
    assert waits["perSecond"]["dispatched"] > 0
