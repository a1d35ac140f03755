"""Jobs from outside: submitted by the thousand, delayed, in order, cancelled in every state, given up and sent again."""

import concurrent.futures
import datetime
import shutil
import time

import pytest
from cluster import PATIENCE, until


def seconds(text):
    return datetime.datetime.fromisoformat(text).timestamp()


def slow_setup(api, name, ms=20000, **members):
    """A setup that a worker has, and has for a while."""
    job = api.setup_job(name, f"sk_test_slow{ms}_{name.replace(' ', '')}", **members).json
    api.in_phase(job["id"], "running")
    return job


def without_package(cluster):
    """A worker that can do nothing: whatever it is given is to be tried again."""
    empty = cluster.folder / "empty"
    if not empty.exists():
        shutil.copytree(cluster.manifests / "slack", empty / "slack")
    whole, cluster.manifests = cluster.manifests, empty
    worker = cluster.start_worker("odd")
    cluster.manifests = whole
    return worker


# -- submitting --


def test_one_job_is_answered_as_any_request_is(shared):
    api = shared.api()
    accepted = api.submit("ping")
    assert accepted.status == 202 and accepted.json["durability"] == "durable" and accepted.json["priority"] == "normal"
    assert accepted.headers["Location"] == f"/v1/jobs/{accepted.json['id']}"
    ended = api.submit("ping", wait=20, payload="hello")
    assert ended.status == 200 and ended.json["state"] == "done" and ended.headers["Preference-Applied"] == "wait=20"
    refused = api.submit("ping", prioritaet="high", maxAttempts=0)
    assert refused.status == 422 and {e["pointer"] for e in refused.json["errors"]} == {"/prioritaet", "/maxAttempts"}


def test_a_setup_a_validation_and_a_deletion_as_jobs(shared):
    api = shared.api()
    made = api.setup_job("by job", "sk_test_ok_byjob", wait=20).json
    assert made["state"] == "done" and made["result"]["code"] == "ok" and made["type"] == "stripe"
    assert api.show(made["integration"])["name"] == "by job"
    tested = api.submit("validate", wait=20, integration=made["integration"]).json
    assert tested["state"] == "done" and tested["integration"] == made["integration"]
    assert api.submit("delete", wait=20, integration=made["integration"]).json["state"] == "done"
    gone = api.submit("validate", integration=made["integration"])
    assert gone.status == 404 and gone.json["errors"][0]["pointer"] == "/integration"


def test_ten_thousand_in_one_request_are_all_done(shared):
    api = shared.api()
    started = time.monotonic()
    answer = api.submit_many({"kind": "ping", "payload": f"number {n}"} for n in range(10000))
    assert answer.status == 202 and (answer.json["accepted"], answer.json["refused"]) == (10000, 0)
    ids = [item["job"]["id"] for item in answer.json["items"]]
    assert len(set(ids)) == 10000 and ids == sorted(ids), "in their order"
    until("all are done", lambda: api.queue()["live"] == 0, patience=120)
    assert {api.job(id)["state"] for id in ids[::500]} == {"done"}
    assert time.monotonic() - started < 60
    assert api.submit_many({"kind": "ping"} for _ in range(10001)).status == 413


def test_what_is_wrong_with_one_keeps_no_other_from_being_taken(shared):
    api = shared.api()
    answer = api.call("POST", "/v1/jobs", [{"kind": "ping"}, {"kind": "pong"}, 7,
                                           {"kind": "validate", "integration": "int_" + "0" * 32}, {"kind": "ping"}])
    assert answer.status == 207 and (answer.json["accepted"], answer.json["refused"]) == (2, 3)
    errors = [item.get("error") for item in answer.json["items"]]
    assert errors[0] is None and errors[4] is None
    assert [(e["code"], e["errors"][0]["pointer"]) for e in errors[1:4]] == [
        ("invalid_request", "/1/kind"), ("invalid_request", "/2"), ("not_found", "/3/integration")]


@pytest.mark.parametrize("raw, type, status, hint", [
    (b"", "application/json", 400, "empty"),
    (b"[]", "application/json", 422, "no job"),
    (b"\n \n", "application/x-ndjson", 422, "no job"),
    (b'[{"kind":"ping"}', "application/json", 400, "too early"),
    (b'{"kind":"ping"}', "text/plain", 415, "application/x-ndjson"),
    (b'{"kind":"ping"}\0', "application/x-ndjson", 400, "NUL"),
])
def test_a_body_that_is_none_is_refused_as_a_whole(shared, raw, type, status, hint):
    answer = shared.api().call("POST", "/v1/jobs", raw=raw, headers={"Content-Type": type})
    assert answer.status == status and hint in answer.json["detail"], answer


def test_a_line_that_is_no_json_says_where(shared):
    answer = shared.api().call("POST", "/v1/jobs", raw=b'{"kind":"ping"}\n\n{"kind":\r\n', headers={
        "Content-Type": "application/x-ndjson; charset=utf-8"})
    assert answer.status == 207 and answer.json["accepted"] == 1
    error = answer.json["items"][1]["error"]
    assert error["code"] == "invalid_json" and error["errors"][0]["pointer"] == "/1" and "column" in error["detail"]


def test_a_key_makes_repeating_safe(shared):
    api = shared.api()
    jobs = [{"kind": "ping", "idempotencyKey": f"repeat {n}"} for n in range(20)]
    first, again = api.submit_many(jobs), api.submit_many(jobs)
    ids = [[item["job"]["id"] for item in a.json["items"]] for a in (first, again)]
    assert ids[0] == ids[1] and first.status == again.status == 202
    other = api.call("POST", "/v1/jobs", [{**jobs[0], "kind": "setup", "type": "stripe", "name": "other",
                                           "credentials": {"apiKey": "sk_test_ok"}}])
    assert other.json["items"][0]["error"]["code"] == "idempotency_key_reused"
    header = {"Idempotency-Key": "repeat 3"}
    one = api.submit("ping", wait=10, headers=header)
    assert one.json["id"] == ids[0][3]
    assert api.call("POST", "/v1/jobs", [{"kind": "ping"}], headers=header).status == 400


def test_jobs_are_listed_newest_first_and_by_filter(shared):
    api = shared.api()
    made = api.setup_job("listed", "sk_test_ok_listed", wait=20).json
    refused = api.setup_job("refused", "sk_test_bad_listed", wait=20).json
    newest = api.jobs()
    assert [j["id"] for j in newest] == sorted((j["id"] for j in newest), reverse=True)
    assert newest[0] == refused
    assert [j["id"] for j in api.jobs(f"&integration={made['integration']}")] == [made["id"]]
    assert refused["id"] in [j["id"] for j in api.jobs("&state=failed&code=invalid_credentials&kind=setup&type=stripe")]
    assert not api.jobs("&type=slack")
    page = api.get("/v1/jobs?limit=1").json
    following = api.get(f"/v1/jobs?limit=1&after={page['next']}").json
    assert page["items"][0]["id"] == refused["id"] and following["items"][0]["id"] == made["id"]
    for query in ("state=ded", "kind=test", "integration=x", "code=A", "after=x", "limit=0", "sate=dead"):
        assert api.get(f"/v1/jobs?{query}").status == 400, query


# -- testing credentials --


def test_credentials_are_tested_and_nothing_is_kept(shared):
    api = shared.api()
    good = api.call("POST", "/v1/integrations:test", {"type": "stripe", "credentials": {"apiKey": "sk_test_ok_try"}})
    assert good.status == 200 and good.json["code"] == "ok" and good.json["account"]["id"].startswith("acct_")
    bad = api.call("POST", "/v1/integrations:test", {"type": "stripe", "credentials": {"apiKey": "sk_test_bad_try"}})
    assert bad.status == 200 and bad.json["code"] == "invalid_credentials" and bad.json["field"] == "apiKey"
    wrong = api.call("POST", "/v1/integrations:test", {"type": "stripe", "name": "x", "credentials": {"apikey": "k"}})
    assert wrong.status == 422 and {e["pointer"] for e in wrong.json["errors"]} >= {"/name", "/credentials/apikey"}
    assert not [i for i in api.all() if i["account"]["id"] == good.json["account"]["id"]]
    assert all(j["kind"] != "test" for j in api.jobs())


def test_a_test_whose_worker_is_lost_says_so(cluster):
    api = cluster.api()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        body = {"type": "stripe", "credentials": {"apiKey": "sk_test_slow20000_lost"}}
        answer = pool.submit(api.call, "POST", "/v1/integrations:test", body)
        until("it runs", lambda: api.workers()["w1"]["running"] == 1)
        cluster.workers["w1"].kill()
        lost = answer.result()
    assert lost.status == 503 and lost.json["code"] == "worker_lost" and lost.headers["Retry-After"]
    none = api.call("POST", "/v1/integrations:test", body)
    assert none.status == 503 and none.json["code"] == "no_worker"


def test_a_test_that_takes_too_long_is_given_up(cluster):
    api = cluster.api()
    body = {"type": "stripe", "credentials": {"apiKey": "sk_test_slow60000_late"}}
    started = time.monotonic()
    late = api.call("POST", "/v1/integrations:test", body, wait=1)
    assert late.status in (200, 504) and time.monotonic() - started < 10
    assert late.json["code"] in ("no_outcome", "timeout")
    until("nothing runs for nobody", lambda: api.queue()["live"] == 0)


# -- cancelling --


def test_what_waits_without_a_worker_is_cancelled_at_once(cluster):
    api = cluster.without_worker().api()
    job = api.submit("ping").json
    assert api.job(job["id"])["phase"] == "ready"
    answer = api.cancel(job["id"])
    assert answer.status == 202 and answer.json["state"] == "cancelled" and answer.json["finishedAt"]
    again = api.cancel(job["id"])
    assert again.status == 409 and again.json["code"] == "job_ended" and "cancelled" in again.json["detail"]
    assert api.cancel("job_" + "0" * 32).status == 404


def test_what_is_delayed_is_cancelled_at_once(shared):
    api = shared.api()
    job = api.submit("ping", delaySeconds=600).json
    assert api.job(job["id"])["phase"] == "delayed"
    assert api.cancel(job["id"]).json["state"] == "cancelled"
    assert api.job(job["id"])["result"]["code"] == "cancelled"


def test_what_runs_is_stopped_and_leaves_nothing(cluster):
    api = cluster.api()
    job = slow_setup(api, "stopped")
    started = time.monotonic()
    assert api.cancel(job["id"]).status == 202
    assert api.finished(job["id"])["state"] == "cancelled" and time.monotonic() - started < 5
    assert not api.all() and api.workers()["w1"]["running"] == 0
    assert api.setup("after it", "sk_test_ok_after").status == 201


def test_what_is_blocked_behind_another_is_cancelled_at_once(cluster):
    api = cluster.api()
    made = api.setup("lane", "sk_test_slow3000_lane").json
    first, second, third = (api.submit("validate", integration=made["id"]).json for _ in range(3))
    api.in_phase(first["id"], "running")
    assert api.job(second["id"])["phase"] == api.job(third["id"])["phase"] == "blocked"
    assert api.cancel(second["id"]).json["state"] == "cancelled"
    assert api.finished(first["id"])["state"] == api.finished(third["id"])["state"] == "done"


def test_a_cancelled_job_is_not_brought_back_by_a_restart(cluster):
    api = cluster.without_worker().api()
    jobs = [api.submit("ping", delaySeconds=n).json for n in (0, 600)]
    for job in jobs:
        api.cancel(job["id"])
    cluster.broker.kill()
    cluster.start_broker()
    cluster.start_worker("w2")
    assert {cluster.api().job(j["id"])["state"] for j in jobs} == {"cancelled"}


# -- times --


def test_a_delay_is_kept_over_a_restart(cluster):
    api = cluster.api()
    early = api.submit("ping", delaySeconds=2.5).json
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=600)
    late = api.submit("ping", notBefore=at.isoformat(timespec="seconds").replace("+00:00", "Z")).json
    cluster.broker.kill()
    cluster.start_broker()
    api = cluster.api()
    done = api.finished(early["id"])
    assert done["state"] == "done"
    assert seconds(done["finishedAt"]) - seconds(early["createdAt"]) >= 2.45
    assert seconds(early["notBefore"]) - seconds(early["createdAt"]) == pytest.approx(2.5, abs=0.01)
    waits = api.job(late["id"])
    assert waits["state"] == "waiting" and waits["phase"] == "delayed"
    assert seconds(waits["notBefore"]) == pytest.approx(at.timestamp(), abs=1.1)


def test_what_is_too_late_is_given_up(cluster):
    api = cluster.without_worker().api()
    job = api.submit("ping", deadlineSeconds=1).json
    ended = api.finished(job["id"])
    assert ended["state"] == "dead" and ended["result"]["code"] == "deadline_exceeded"
    assert 0.9 < seconds(ended["finishedAt"]) - seconds(job["createdAt"]) < 4
    assert api.cancel(job["id"]).status == 409
    revived = api.retry(job["id"])
    assert revived.status == 202 and revived.json["state"] == "waiting" and revived.json["deadline"] is None
    cluster.start_worker("w2")
    assert api.finished(job["id"])["state"] == "done"
    assert api.retry(job["id"]).json["code"] == "not_dead"


# -- who goes first --


def order_of(jobs):
    return [j["id"] for j in sorted(jobs, key=lambda j: j["finishedAt"])]


def test_priority_goes_first(cluster):
    api = cluster.api()
    made = [api.setup(f"p{n}", f"sk_test_slow60_p{n}").json["id"] for n in range(9)]
    cluster.without_worker()
    sent = [api.submit("validate", integration=id, priority=p).json
            for id, p in zip(made, ["low"] * 3 + ["normal"] * 3 + ["high"] * 3)]
    cluster.start_worker("single", "--capacity", "1")
    ended = [api.finished(j["id"]) for j in sent]
    by_end = [next(e["priority"] for e in ended if e["id"] == id) for id in order_of(ended)]
    assert by_end == ["high"] * 3 + ["normal"] * 3 + ["low"] * 3


def test_one_tenant_s_thousands_do_not_keep_another_waiting(cluster):
    cluster.without_worker()
    many, few = cluster.new_apis(("many", "submitter"), ("few", "submitter"))
    assert many.submit_many({"kind": "ping"} for _ in range(10000)).status == 202
    one = few.submit("ping").json
    assert one["tenant"] == "few" and few.jobs() == [{k: v for k, v in one.items() if k != "durability"}]
    cluster.start_worker("single", "--capacity", "1")
    few.finished(one["id"])
    left = cluster.api().queue()["live"]
    assert left > 9000, f"it did not wait for the others: {10000 - left} of them are done"
    assert many.get(f"/v1/jobs/{one['id']}").status == 404


def test_a_provider_is_asked_no_faster_than_its_package_says(make_cluster):
    cluster = make_cluster()
    cluster.package("stripe", lambda m: m["test"].update(rateLimit={"perSecond": 5, "concurrency": 1}))
    cluster.start()
    api = cluster.api()
    started = time.monotonic()
    jobs = [api.setup_job(f"limited {n}", f"sk_test_slow50_lim{n}").json for n in range(15)]
    pings = [api.submit("ping").json for _ in range(50)]
    assert all(api.finished(j["id"])["state"] == "done" for j in pings)
    assert time.monotonic() - started < 2, "what does not ask the provider does not wait for it"
    assert {api.finished(j["id"])["state"] for j in jobs} == {"done"}
    took = time.monotonic() - started
    assert cluster.sandbox.requests()["maxConcurrent"] == 1
    assert 1.8 < took < 8, f"5 at once, then 5 a second: {took:.1f} s"


# -- giving up --


def test_what_is_out_of_attempts_is_dead_and_can_be_sent_again(cluster):
    api = cluster.without_worker().api()
    job = api.setup_job("dead", "sk_test_ok_dead", maxAttempts=1).json
    without_package(cluster)
    dead = api.finished(job["id"])
    assert dead["state"] == "dead" and dead["result"]["code"] == "attempts_exhausted" and dead["attempts"] == 1
    cluster.without_worker("odd")
    cluster.start_worker("good")
    revived = api.retry(job["id"], wait=20)
    assert revived.status == 200 and revived.json["state"] == "done" and revived.json["result"]["code"] == "ok"
    assert api.show(job["integration"])["name"] == "dead", "its sealed credentials were kept"


def test_a_dead_job_is_sent_again_once_however_many_ask_for_it(cluster):
    api = cluster.without_worker().api()
    job = api.submit("ping", deadlineSeconds=1).json
    api.finished(job["id"])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.retry(job["id"]), range(8)))
    assert sorted(a.status for a in answers) == [202] + [409] * 7, answers
    assert api.job(job["id"])["phase"] == "ready" and api.queue()["live"] == 1
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.cancel(job["id"]), range(8)))
    assert {a.status for a in answers} <= {202, 409} and api.job(job["id"])["state"] == "cancelled"


def test_dead_ones_are_sent_again_by_filter_and_no_faster_than_wanted(cluster):
    api = cluster.without_worker().api()
    jobs = [api.setup_job(f"dead {n}", f"sk_test_ok_d{n}", maxAttempts=1).json for n in range(12)]
    without_package(cluster)
    assert {api.finished(j["id"])["state"] for j in jobs} == {"dead"}
    cluster.without_worker("odd")
    late = api.submit("ping", deadlineSeconds=1).json
    api.finished(late["id"])
    cluster.start_worker("good")
    for body, pointer in (({}, "/filter"), ({"filter": {"type": "Ä"}}, "/filter/type"),
                          ({"filter": {}, "perSecond": 0}, "/perSecond"), ({"filter": {"knd": 1}}, "/filter/knd")):
        refused = api.call("POST", "/v1/jobs:retry", body)
        assert refused.status == 422 and refused.json["errors"][0]["pointer"] == pointer, refused
    started = time.monotonic()
    assert api.call("POST", "/v1/jobs:retry", {"filter": {"type": "stripe", "code": "attempts_exhausted"},
                                               "perSecond": 6}).status == 202
    until("they are done", lambda: len(api.jobs("&state=done&kind=setup")) == 12)
    assert time.monotonic() - started > 1.5
    assert len(api.all()) == 12 and api.job(late["id"])["state"] == "dead"
    until("the replay is over", lambda: not api.queue()["replays"])


def test_poison_is_kept_from_workers_and_bystanders_lose_nothing(cluster):
    """A job that kills whoever runs it: its worker is killed each time that it runs that job."""
    api = cluster.api()
    bystanders = [slow_setup(api, f"bystander {n}", 1500) for n in range(4)]
    poison = slow_setup(api, "poison", 20000)
    deaths = 0
    cluster.workers["w0"] = cluster.workers.pop("w1")

    def runs_it(alone):
        """Its worker has begun it, and, once that is a suspect, nothing else that could take the blame."""
        job = api.job(poison["id"])
        if job["state"] != "waiting":
            return "over"
        running = [w["running"] for w in api.workers().values()]
        return job["phase"] == "running" and (running == [1] if alone else running and running[0] > 0)

    while until("it runs, or is over", lambda: runs_it(alone=deaths > 0), patience=60) != "over":
        time.sleep(0.3)
        cluster.workers.pop(f"w{deaths}").kill()
        deaths += 1
        assert deaths < 10
        cluster.start_worker(f"w{deaths}")
    dead = api.job(poison["id"])
    assert dead["state"] == "dead" and dead["result"]["code"] == "poison", dead
    ended = [api.finished(j["id"]) for j in bystanders]
    assert {j["state"] for j in ended} == {"done"}
    assert {j["attempts"] for j in ended} == {0}, "they were suspects, not culprits"


def test_ended_jobs_are_kept_up_to_a_number(make_cluster):
    cluster = make_cluster()
    cluster.start_broker("--keep-jobs", "5")
    cluster.start_worker("w1")
    api = cluster.api()
    ids = [api.submit("ping", wait=10).json["id"] for _ in range(20)]
    until("the old ones are gone", lambda: len(api.jobs()) == 5, patience=40)
    assert sorted(j["id"] for j in api.jobs()) == sorted(ids)[-5:]
    assert api.get(f"/v1/jobs/{ids[0]}").status == 404


def test_a_tenant_that_has_too_many_is_told_to_come_back(make_cluster):
    cluster = make_cluster()
    cluster.start_broker("--tenant-jobs", "3")
    api = cluster.api()
    assert [api.submit("ping").status for _ in range(3)] == [202] * 3
    refused = api.submit("ping")
    assert refused.status == 429 and refused.json["code"] == "tenant_busy" and int(refused.headers["Retry-After"]) > 0
    many = api.submit_many({"kind": "ping"} for _ in range(2))
    assert many.status == 207 and {i["error"]["code"] for i in many.json["items"]} == {"tenant_busy"}
    api.cancel(api.jobs()[0]["id"])
    assert api.submit("ping").status == 202


def test_a_broker_that_stops_while_it_sends_dead_jobs_again_ends_in_order(cluster):
    api = cluster.without_worker().api()
    assert api.submit_many([{"kind": "ping", "deadlineSeconds": 0.01}] * 5000).json["accepted"] == 5000
    until("all are dead", lambda: api.queue()["live"] == 0)
    for delay in (0, 0.02, 0.04):
        assert cluster.api().call("POST", "/v1/jobs:retry", {"filter": {}, "perSecond": 1}).status == 202
        time.sleep(delay)
        cluster.broker.popen.terminate()
        assert cluster.broker.popen.wait(PATIENCE) == 0, cluster.broker.log()
        cluster.start_broker()
