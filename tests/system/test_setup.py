"""Setting integrations up: what comes back, what is stored, and what is refused."""

import concurrent.futures
import json
import sqlite3

import pytest
from cluster import until

STRIPE_EVENTS = {"checkout.session.completed", "payment_intent.succeeded", "invoice.paid",
                 "customer.subscription.created", "charge.refunded", "charge.dispute.created"}


def test_a_good_key_makes_a_record_with_its_events(shared):
    answer = shared.api().setup("good")
    assert answer.status == 201, answer
    record = answer.json
    assert answer.headers["Location"] == f"/v1/integrations/{record['id']}"
    assert record["status"] == "active" and record["health"] == "ok"
    assert record["result"]["code"] == "ok" and record["lastValidated"]
    assert {e["eventType"] for e in record["supportedEvents"]} == STRIPE_EVENTS
    assert all(e["schemaReference"].startswith("integrations/stripe/schemas/") for e in record["supportedEvents"])
    assert record["account"]["id"].startswith("acct_") and record["host"] == "api.stripe.com"
    assert "credentials" not in record and "sk_test" not in answer.text
    assert shared.api().show(record["id"]) == record


def test_slack_answers_200_to_a_bad_token_and_is_refused_all_the_same(shared):
    api = shared.api()
    good = api.setup("slack good", "xoxb-ok", "slack", "botToken")
    bad = api.setup("slack bad", "xoxb-bad", "slack", "botToken")
    assert good.status == 201 and good.json["supportedEvents"]
    assert bad.status == 422 and bad.json["code"] == "invalid_credentials"
    assert bad.json["result"]["httpStatus"] == 200
    assert bad.json["errors"][0]["pointer"] == "/credentials/botToken"


@pytest.mark.parametrize("mood, code", [
    ("bad", "invalid_credentials"), ("expired", "credentials_expired"), ("scope", "insufficient_scope"),
    ("inactive", "account_disabled"), ("limit7", "rate_limited"), ("error500", "provider_unavailable"),
    ("error503", "provider_unavailable"), ("reset", "provider_unavailable"), ("truncated", "provider_unavailable"),
    ("html", "unexpected_response"), ("empty", "unexpected_response"), ("huge", "unexpected_response"),
    ("bomb", "unexpected_response"), ("redirectloop", "unexpected_response"),
    ("redirectother", "blocked_by_policy"),
])
def test_each_failure_has_its_code_and_leaves_nothing_behind(shared, mood, code):
    api = shared.api()
    answer = api.setup(f"mood {mood}", f"sk_test_{mood}")
    assert answer.status == 422, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    assert problem["code"] == code and problem["result"]["code"] == code
    assert problem["detail"] and problem["type"] == f"urn:patchbay:problem:{code}"
    assert not [i for i in api.all() if i["name"] == f"mood {mood}"]


def test_a_rate_limit_says_when_to_come_back(shared):
    result = shared.api().setup("limit", "sk_test_limit7").json["result"]
    assert result["httpStatus"] == 429 and result["retryAt"]


def test_a_service_that_never_answers_is_a_timeout(make_cluster):
    cluster = make_cluster()
    cluster.start_broker()
    fast = cluster.folder / "manifests"
    copy_package(cluster.manifests / "stripe", fast / "stripe", lambda m: m["http"].update(timeoutMs=300))
    cluster.manifests = fast
    cluster.start_worker("w1")
    answer = cluster.api().setup("hang", "sk_test_hang")
    assert answer.status == 422 and answer.json["code"] == "timeout"
    assert "300 ms" in answer.json["detail"]


def copy_package(source, target, change):
    import shutil
    shutil.copytree(source, target)
    manifest = json.loads((target / "manifest.json").read_text())
    change(manifest)
    (target / "manifest.json").write_text(json.dumps(manifest))


def test_a_redirect_to_another_host_does_not_see_the_key(shared):
    answer = shared.api().setup("redirecthost", "sk_test_redirecthost")
    assert answer.status == 422 and answer.json["code"] in ("dns_failure", "network_unreachable", "tls_error")


def test_a_redirect_on_the_same_host_is_followed(shared):
    assert shared.api().setup("redirectsame", "sk_test_redirectsame").status == 201


def test_a_key_that_the_service_repeats_is_nowhere_to_be_seen(shared):
    key = "sk_test_echo_SECRETVALUE42"
    answer = shared.api().setup("echo", key)
    assert answer.status == 422
    assert "[redacted]" in answer.json["detail"]
    assert "SECRETVALUE42" not in answer.text
    assert all("SECRETVALUE42" not in log.read_text() for log in shared.folder.glob("*.log") if log.name != "sandbox.log")
    assert not found_on_disk(shared.data, b"SECRETVALUE42")


def found_on_disk(folder, needle):
    return [p for p in folder.rglob("*") if p.is_file() and needle in p.read_bytes()]


def test_credentials_are_encrypted_where_they_are_stored(cluster):
    key = "sk_test_ok_VISIBLENOWHERE"
    record = cluster.api().setup("at rest", key).json
    assert not found_on_disk(cluster.data, key.encode())
    box = sqlite3.connect(f"file:{cluster.data}/patchbay.db?mode=ro", uri=True).execute(
        "SELECT box_version, box_kid, length(box_nonce), length(box), name FROM integrations").fetchall()
    assert len(box) == 1 and box[0][:3] == (1, "k1", 24) and box[0][3] > len(key) + 16
    payloads = sqlite3.connect(f"file:{cluster.data}/patchbay.db?mode=ro", uri=True).execute(
        "SELECT count(*) FROM jobs WHERE payload IS NOT NULL").fetchone()
    assert payloads == (0,), "a finished job's sealed credentials are erased"
    assert cluster.api().validate(record["id"]).json["result"]["code"] == "ok"
    modes = {p.name: p.stat().st_mode & 0o777 for p in cluster.data.iterdir() if p.is_file()}
    assert set(modes.values()) == {0o600}, modes


def test_a_box_copied_to_another_record_does_not_open(cluster):
    api = cluster.api()
    one, two = api.setup("one", "sk_test_ok_1").json, api.setup("two", "sk_test_ok_2").json
    cluster.broker.stop()
    with sqlite3.connect(cluster.data / "patchbay.db") as db:
        rows = dict(db.execute("SELECT name, id FROM integrations").fetchall())
        db.execute("UPDATE integrations SET (box_nonce, box) = (SELECT box_nonce, box FROM integrations WHERE id = ?) "
                   "WHERE id = ?", (rows["one"], rows["two"]))
    cluster.start_broker()
    until("the worker is back", lambda: "w1" in cluster.api().workers())
    result = cluster.api().validate(two["id"]).json["result"]
    assert result["code"] == "decrypt_failed"
    assert cluster.api().show(two["id"])["status"] == "active", "that is no fault of the credentials"
    assert cluster.api().validate(one["id"]).json["result"]["code"] == "ok"


def test_the_answer_comes_at_once_without_prefer_and_the_job_can_be_followed(shared):
    api = shared.api()
    answer = api.setup("later", "sk_test_slow200", wait=None)
    assert answer.status == 202 and answer.json["state"] == "waiting" and answer.json["kind"] == "setup"
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json['id']}"
    job = api.finished(answer.json["id"])
    assert job["state"] == "done" and job["result"]["code"] == "ok" and job["finishedAt"]
    assert api.show(job["integration"])["name"] == "later"


def test_a_wait_that_is_too_short_gives_the_job(shared):
    api = shared.api()
    answer = api.setup("too short", "sk_test_slow2500", wait=1)
    assert answer.status == 202, answer
    assert api.finished(answer.json["id"])["state"] == "done"


def test_a_name_is_taken_once_and_free_again_after_removal(shared):
    api = shared.api()
    first = api.setup("only one", "sk_test_ok_n1")
    before = shared.sandbox.requests()["total"]
    again = api.setup("only one", "sk_test_ok_n2")
    assert first.status == 201 and again.status == 409 and again.json["code"] == "name_taken"
    assert "only one" in again.json["detail"]
    assert shared.sandbox.requests()["total"] == before, "the service is not asked for a name that is taken"
    gone = api.call("DELETE", f"/v1/integrations/{first.json['id']}", wait=10)
    assert gone.status == 204
    assert api.get(f"/v1/integrations/{first.json['id']}").status == 404
    assert api.setup("only one", "sk_test_ok_n3").status == 201


def test_of_two_setups_at_once_with_one_name_one_is_refused(shared):
    api = shared.api()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda n: api.setup("race", f"sk_test_slow300_{n}"), range(2)))
    assert sorted(a.status for a in answers) == [201, 409], answers
    assert len([i for i in api.all() if i["name"] == "race"]) == 1


def test_an_idempotency_key_makes_one_integration_of_many_calls(shared):
    api = shared.api()
    headers = {"Idempotency-Key": "order-4711"}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.setup("idem", "sk_test_slow100_idem", headers=headers), range(8)))
    assert {a.status for a in answers} == {201}, answers
    assert len({a.json["id"] for a in answers}) == 1
    assert shared.sandbox.requests()["byKey"]["sk_test_slow100_idem"] == 1
    later = api.setup("idem", "sk_test_slow100_idem", headers=headers)
    assert later.status == 201 and later.json["id"] == answers[0].json["id"]


def test_validation_again_keeps_the_record_up_to_date(shared):
    api = shared.api()
    record = api.setup("again", "sk_test_ok_again").json
    job = api.validate(record["id"])
    assert job.status == 200 and job.json["state"] == "done" and job.json["result"]["code"] == "ok"
    after = api.show(record["id"])
    assert after["lastValidated"] > record["lastValidated"]
    assert after["revision"] == record["revision"] + 1 and after["generation"] == record["generation"]


def test_a_passing_failure_degrades_health_and_leaves_status_alone(cluster):
    api = cluster.api()
    record = api.setup("flaky later", "sk_test_ok_f").json
    cluster.sandbox.stop()
    result = api.validate(record["id"]).json["result"]
    assert result["code"] == "network_unreachable"
    after = api.show(record["id"])
    assert after["status"] == "active" and after["health"] == "degraded" and after["failures"] == 1


def test_many_setups_at_once_are_all_done(shared):
    api = shared.api()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: api.setup(f"many {n:03}", f"sk_test_ok_m{n}"), range(120)))
    assert {a.status for a in answers} == {201}
    names = [i["name"] for i in api.all("&q=many")]
    assert sorted(names) == [f"many {n:03}" for n in range(120)]


def test_lists_filter_and_page(shared):
    api = shared.api()
    for n in range(3):
        api.setup(f"paged {n}", f"xoxb-ok_p{n}", "slack", "botToken")
    page = api.get("/v1/integrations?limit=2&type=slack&q=paged").json
    assert [i["name"] for i in page["items"]] == ["paged 0", "paged 1"] and page["next"]
    rest = api.get(f"/v1/integrations?limit=2&type=slack&q=paged&after={page['next']}").json
    assert [i["name"] for i in rest["items"]] == ["paged 2"] and rest["next"] is None
    assert api.get("/v1/integrations?status=error&q=paged").json["items"] == []


def test_types_tell_form_and_schemas(shared):
    api = shared.api()
    assert [t["type"] for t in api.get("/v1/types").json["items"]] == ["slack", "stripe"]
    stripe = api.get("/v1/types/stripe").json
    assert stripe["credentialSchema"]["apiKey"]["required"] is True
    schema = api.get("/v1/types/stripe/events/invoice.paid/schema")
    assert schema.status == 200 and schema.json["type"] == "object"
    assert api.get("/v1/types/stripe/events/nope/schema").status == 404
