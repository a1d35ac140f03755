"""Event payloads checked against their schemas: of an integration by a worker, of a type by the broker."""

import concurrent.futures
import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time

import pytest
from cluster import BUILD, PATIENCE, ROOT, clean_env, until

EVENT = "charge.refunded"
MIB = 1 << 20
NDJSON = {"Content-Type": "application/x-ndjson"}
NESTED = b"[" * 600 + b"]" * 600


def sample(event=EVENT, type="stripe"):
    return json.loads((ROOT / "manifests" / type / "samples" / f"{event}.json").read_text())


def bad_sample(value="2000"):
    bad = sample()
    bad["data"]["object"]["amount"] = value
    return bad


@pytest.fixture(scope="module")
def routes(shared):
    """The two ways to the same question."""
    id = shared.api().setup("events of mine").json["id"]
    return {"integration": f"/v1/integrations/{id}/events/", "type": "/v1/types/stripe/events/"}


@pytest.fixture(params=["integration", "type"])
def route(routes, request):
    return routes[request.param]


def check(shared, route, raw, event=EVENT, **more):
    if not isinstance(raw, bytes):
        raw = json.dumps(raw).encode()
    return shared.api().call("POST", f"{route}{event}/validate", raw=raw, **more)


def check_lines(shared, route, lines, event=EVENT, headers=NDJSON):
    return shared.api().call("POST", f"{route}{event}/validate:batch", raw=b"".join(line + b"\n" for line in lines),
                             headers=headers)


def answers_of(answer):
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_every_sample_is_valid(shared, route):
    for event in ("charge.refunded", "invoice.paid", "checkout.session.completed", "charge.dispute.created"):
        answer = check(shared, route, sample(event), event)
        assert answer.status == 200 and answer.json == {"isValid": True, "errors": []}
        assert answer.text.endswith("\n")


def test_each_error_names_its_place(shared, route):
    bad = bad_sample()
    del bad["data"]["object"]["currency"]
    bad["livemode"] = "no"
    answer = check(shared, route, bad)
    assert answer.status == 200 and answer.json["isValid"] is False
    errors = {e["instanceLocation"]: e for e in answer.json["errors"]}
    assert set(errors) == {"/data/object", "/data/object/amount", "/livemode"}
    amount = errors["/data/object/amount"]
    assert amount["message"] == 'amount must be an integer, is the string "2000"'
    assert amount["keywordLocation"].endswith("/properties/amount/$ref/type")
    assert amount["absoluteKeywordLocation"] == "package://stripe/schemas/charge.refunded.json#/$defs/amount/type"
    assert "truncated" not in answer.json


@pytest.mark.parametrize("raw, says", [
    (b"", "line 1, column 1"), (b"{]", "line 1, column 2"), (b'{\n"a": tru}', "line 2, column 6"),
    (b'{"a":1} x', "something follows"), (b'{"a\0":1}', "control character"), (b"{}\0", "not JSON"),
    (b'{"a":"\xff"}', "column 7: not UTF-8"), (b'"\xed\xa0\x80"', "not UTF-8"), (b'{"a":"open}', "without end"),
    (NESTED, "nested too deeply"), (b'{"a":' * 5000, "nested too deeply"),
])
def test_what_is_no_json_is_not_valid_and_says_where(shared, route, raw, says):
    answer = check(shared, route, raw)
    assert answer.status == 200 and answer.json["isValid"] is False
    [error] = answer.json["errors"]
    assert error["message"].startswith("not JSON: line ") and says in error["message"]
    assert error["instanceLocation"] == "" and error["keywordLocation"] == ""


def test_an_unknown_event_is_not_found_and_the_nearest_is_named(shared, route):
    answer = check(shared, route, sample(), "charge.refundet")
    assert answer.status == 404 and answer.json["code"] == "not_found"
    assert answer.json["detail"].endswith("did you mean charge.refunded?")
    answer = check_lines(shared, route, [b"{}"], "nothing-like-it")
    assert answer.status == 404 and "lists its" in answer.json["detail"]


def test_an_unknown_type_or_integration_is_not_found(shared):
    assert check(shared, "/v1/types/strpe/events/", sample()).json["detail"].endswith("did you mean stripe?")
    assert check(shared, "/v1/integrations/int_" + "0" * 32 + "/events/", sample()).status == 404
    assert check(shared, "/v1/integrations/x/events/", sample()).status == 404


def test_the_body_must_be_of_its_type(shared, route):
    for headers in ({"Content-Type": "text/plain"}, NDJSON):
        answer = check(shared, route, sample(), headers=headers)
        assert answer.status == 415 and ":batch" in answer.json["detail"]
    answer = check_lines(shared, route, [b"{}"], headers={"Content-Type": "application/json"})
    assert answer.status == 415 and "application/x-ndjson" in answer.json["detail"]


def announced(shared, path, length, type):
    """The answer to a request whose body is announced, and not sent."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shared.token()}\r\n" \
           f"Content-Type: {type}\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        connection.sendall(head.encode())
        connection.settimeout(10)
        return connection.recv(65536).decode()


def test_too_large_a_body_says_the_limit(shared, route):
    whole = json.dumps(sample()).encode()
    assert check(shared, route, whole + b" " * (MIB - len(whole))).json["isValid"] is True
    path = f"{route}{EVENT}/validate"
    text = announced(shared, path, MIB + 1, "application/json")
    assert text.startswith("HTTP/1.1 413 ") and "1048576" in text
    text = announced(shared, path + ":batch", 16 * MIB + 1, "application/x-ndjson")
    assert text.startswith("HTTP/1.1 413 ") and "16777216" in text


def test_too_many_lines_say_the_limit_and_none_is_a_mistake(shared, route):
    answer = check_lines(shared, route, [b"1"] * 100001)
    assert answer.status == 413 and "100000" in answer.json["detail"]
    answer = check_lines(shared, route, [b"", b" \t"])
    assert answer.status == 400 and "no payload" in answer.json["detail"]


def test_ten_thousand_lines_are_answered_in_their_order(shared, route):
    good = json.dumps(sample()).encode()
    lines = [good if i % 7 else json.dumps(bad_sample(f"line {i}")).encode() for i in range(10000)]
    lines[5000] = b"{]"
    answers = answers_of(check_lines(shared, route, lines))
    assert len(answers) == 10000
    for i, answer in enumerate(answers):
        if i == 5000:
            assert "not JSON: line 1, column 2" in answer["errors"][0]["message"]
        elif i % 7:
            assert answer == {"isValid": True, "errors": []}
        else:
            assert f'"line {i}"' in answer["errors"][0]["message"]


def test_lines_may_be_long_short_or_blank(shared, route):
    whole = json.dumps(sample()).encode()
    largest = whole + b" " * (MIB - len(whole))
    lines = [whole, b"", b"1", largest, b"  \r", largest + b" ", whole + b"\r", b'"\xff"', largest]
    answers = answers_of(check_lines(shared, route, lines))
    assert [a["isValid"] for a in answers] == [True, False, True, False, True, False, True]
    assert "1048576" in answers[3]["errors"][0]["message"]


def test_a_line_with_many_errors_leaves_room_for_the_others(shared, route):
    lines = [json.dumps({f"member{k}" * 20: 1 for k in range(50)}).encode() for _ in range(400)]
    answers = answers_of(check_lines(shared, route, lines))
    assert len(answers) == 400 and all(not a["isValid"] and a["errors"] for a in answers)


def test_a_hundred_thousand_of_the_smallest_lines(shared, route):
    answers = answers_of(check_lines(shared, route, [b"1"] * 100000))
    assert len(answers) == 100000 and not any(a["isValid"] for a in answers)


def test_many_ask_at_once(shared, routes):
    bodies = [sample() if i % 2 else bad_sample(f"n{i}") for i in range(200)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for kind in routes.values():
            answers = list(pool.map(lambda body: check(shared, kind, body), bodies))
            for i, answer in enumerate(answers):
                assert answer.status == 200 and answer.json["isValid"] == bool(i % 2)
                assert i % 2 or f'"n{i}"' in answer.json["errors"][0]["message"]


def test_it_is_no_stored_job(shared, routes):
    before = len(shared.api().jobs())
    check(shared, routes["integration"], sample())
    assert len(shared.api().jobs()) == before


# -- clusters of their own --


def test_a_type_needs_no_worker_and_an_integration_does(cluster):
    id = cluster.api().setup("mine").json["id"]
    cluster.without_worker()
    path = f"/events/{EVENT}/validate"
    assert cluster.api().call("POST", "/v1/types/stripe" + path, sample()).json["isValid"] is True
    answer = cluster.api().call("POST", f"/v1/integrations/{id}" + path, sample())
    assert answer.status == 503 and answer.json["code"] == "no_worker"


def test_a_worker_that_dies_meanwhile_is_503_worker_lost(cluster):
    id = cluster.api().setup("mine").json["id"]
    worker = cluster.workers["w1"]
    worker.signal(19)  # SIGSTOP: it takes the job and does nothing with it
    pool = concurrent.futures.ThreadPoolExecutor(2)
    path = f"/v1/integrations/{id}/events/{EVENT}/validate"
    one = pool.submit(cluster.api().call, "POST", path, sample())
    lines = json.dumps(sample()).encode() + b"\n"
    many = pool.submit(cluster.api().call, "POST", path + ":batch", raw=lines * 5000, headers=NDJSON)
    until("all run", lambda: cluster.api().queue()["jobs"]["running"] >= 9)
    worker.kill()
    for asked in (one, many):
        answer = asked.result(30)
        assert answer.status == 503 and answer.json["code"] == "worker_lost", answer
        assert answer.headers["Retry-After"]
    cluster.start_worker("w2")
    assert cluster.api().call("POST", path, sample()).json["isValid"] is True


def test_an_outcome_that_does_not_come_in_time_is_504(cluster):
    id = cluster.api().setup("mine").json["id"]
    assert cluster.api().call("POST", "/v1/queue:pause", {"kind": "validate_event"}).status < 300
    begun = time.monotonic()
    answer = cluster.api().call("POST", f"/v1/integrations/{id}/events/{EVENT}/validate", sample(), wait=1)
    assert answer.status == 504 and answer.json["code"] == "no_outcome"
    assert time.monotonic() - begun < 10


def test_the_workers_package_decides_and_the_brokers_for_a_type(make_cluster):
    cluster = make_cluster()
    cluster.start_broker()
    cluster.start_worker("old")
    id = cluster.api().setup("mine").json["id"]
    cluster.without_worker("old")
    cluster.package("stripe", lambda m: m["events"].pop(
        next(i for i, e in enumerate(m["events"]) if e["eventType"] == "invoice.paid")))
    schema = cluster.manifests / "stripe" / "schemas" / f"{EVENT}.json"
    changed = json.loads(schema.read_text())
    changed["required"].append("novelty")
    schema.write_text(json.dumps(changed))
    cluster.start_worker("new")
    ask = cluster.api().call
    answer = ask("POST", f"/v1/integrations/{id}/events/{EVENT}/validate", sample())
    assert answer.json["errors"][0]["message"].endswith('must have the member "novelty"')
    assert ask("POST", f"/v1/types/stripe/events/{EVENT}/validate", sample()).json["isValid"] is True
    answer = ask("POST", f"/v1/integrations/{id}/events/invoice.paid/validate", sample("invoice.paid"))
    assert answer.status == 404 and "validate the integration" in answer.json["detail"]


def test_files_of_the_package_are_found_and_others_are_not(make_cluster):
    cluster = make_cluster()
    cluster.package()
    folder = cluster.manifests / "stripe" / "schemas"
    (folder / "common").mkdir()
    (folder / "common" / "id.json").write_text('{"$defs": {"id": {"type": "string", "maxLength": 3}}}')
    (folder / f"{EVENT}.json").write_text('{"properties": {"id": {"$ref": "common/id.json#/$defs/id"}}}')
    cluster.start()
    id = cluster.api().setup("mine").json["id"]
    for base in (f"/v1/integrations/{id}", "/v1/types/stripe"):
        answer = cluster.api().call("POST", f"{base}/events/{EVENT}/validate", {"id": "long"})
        assert answer.json["errors"][0]["absoluteKeywordLocation"] == \
            "package://stripe/schemas/common/id.json#/$defs/id/maxLength"


def test_a_schema_that_is_gone_since_the_start_is_named(make_cluster):
    cluster = make_cluster()
    cluster.package().start()
    id = cluster.api().setup("mine").json["id"]
    (cluster.manifests / "stripe" / "schemas" / f"{EVENT}.json").unlink()
    for base in (f"/v1/integrations/{id}", "/v1/types/stripe"):
        answer = cluster.api().call("POST", f"{base}/events/{EVENT}/validate", sample())
        assert answer.status == 500 and answer.json["code"] == "schema_invalid"
        assert f"stripe/schemas/{EVENT}.json" in answer.json["detail"]


def test_tenants_do_not_see_each_others_integrations(make_cluster):
    cluster = make_cluster()
    cluster.start()
    id = cluster.api().setup("mine").json["id"]
    other, viewer = cluster.new_apis(("other", "admin"), ("default", "viewer"))
    path = f"/v1/integrations/{id}/events/{EVENT}/validate"
    until("the worker is back", lambda: cluster.api().workers())
    assert other.call("POST", path, sample()).status == 404
    assert viewer.call("POST", path, sample()).status == 403
    assert cluster.api().call("POST", path, sample()).status == 200


# -- the command --


def patchbay(*arguments, stdin=None, shared=None):
    env = clean_env()
    if shared:
        env |= {"PATCHBAY_URL": f"http://127.0.0.1:{shared.port}", "PATCHBAY_TOKEN": shared.token()}
    done = subprocess.run([BUILD / "patchbay", *arguments], input=stdin, capture_output=True, env=env, cwd=ROOT,
                          timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("target", ["stripe", "events of mine"])
def test_command_validates_one(shared, routes, folder, target):
    good = ROOT / "manifests" / "stripe" / "samples" / f"{EVENT}.json"
    assert patchbay("event", "validate", target, EVENT, str(good), shared=shared)[:2] == (0, f"ok  {good}\n")
    bad = json.dumps(bad_sample()).encode()
    code, out, _ = patchbay("event", "validate", target, EVENT, "-", stdin=bad, shared=shared)
    assert code == 1 and out == ('no  standard input\n    /data/object/amount: amount must be an integer, is the string '
                                 '"2000"\n        by stripe/schemas/charge.refunded.json#/$defs/amount/type\n')
    code, out, _ = patchbay("event", "validate", target, EVENT, "-", "--json", stdin=bad, shared=shared)
    assert code == 1 and json.loads(out)["isValid"] is False
    code, _, err = patchbay("event", "validate", target, "charge.refundet", str(good), shared=shared)
    assert code == 1 and "did you mean charge.refunded?" in err


def test_command_validates_a_file_of_lines(shared, routes, folder):
    lines = [json.dumps(sample()).encode()] * 12000
    lines[3], lines[7001] = b"", json.dumps(bad_sample()).encode()
    path = folder / "many.ndjson"
    path.write_bytes(b"\n".join(lines))
    code, out, _ = patchbay("event", "validate", "events of mine", EVENT, str(path), "--ndjson", shared=shared)
    assert code == 1 and out.startswith("no  line 7002\n    /data/object/amount: ")
    assert out.endswith("\n11998 valid, 1 not\n")
    code, out, _ = patchbay("event", "validate", "stripe", EVENT, str(path), "--ndjson", "--json", shared=shared)
    assert code == 1 and len(out.splitlines()) == 11999


def test_command_says_what_it_cannot_find(shared, routes):
    code, _, err = patchbay("event", "validate", "nobody", EVENT, "-", stdin=b"{}", shared=shared)
    assert code == 1 and "nobody" in err
    code, _, err = patchbay("event", "validate", "stripe", EVENT, "/nowhere", shared=shared)
    assert code == 2 and "/nowhere cannot be opened" in err


def test_command_checks_a_schema_and_documents(folder):
    schema = folder / "a schema.json"
    (folder / "b%.json").write_text('{"$defs": {"n": {"type": "integer"}}}')
    schema.write_text('{"items": {"$ref": "b%25.json#/$defs/n"}}')
    good, bad = folder / "good.json", folder / "bad.json"
    good.write_text("[1, 2]")
    bad.write_text('[1, "x"]')
    assert patchbay("schema", "check", str(schema))[0] == 0
    assert patchbay("schema", "check", str(schema), str(good))[:2] == (0, f"ok  {schema}\nok  {good}\n")
    code, out, _ = patchbay("schema", "check", str(schema), str(good), str(bad))
    assert code == 1 and f"no  {bad}\n    /1: " in out
    schema.write_text('{"properties": {"x": {"type": "objekt"}}}')
    code, out, _ = patchbay("schema", "check", str(schema), str(good))
    assert code == 1 and "    #/properties/x/type: " in out and str(good) not in out
    schema.write_text('{"$ref": "https://example.com/other.json"}')
    assert patchbay("schema", "check", str(schema))[0] == 1
    assert patchbay("schema", "check", str(folder / "none.json"))[0] == 2


def test_lint_takes_the_packages_that_there_are():
    code, out, _ = patchbay("lint", "--checks")
    assert code == 0 and "ok  stripe  6 events, 6 samples, " in out and "ok  slack" in out


def lint_of(folder, break_it, *options):
    package = folder / "packages" / "stripe"
    shutil.copytree(ROOT / "manifests" / "stripe", package)
    break_it(package)
    whole = patchbay("lint", str(package.parent), *options)
    assert patchbay("lint", str(package), *options)[:2] == whole[:2]
    return whole


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("break_it, says", [
    (lambda p: replace(p / "manifest.json", '"type": "password"', '"type": "passwrd"'), "stripe/manifest.json#/credentialSchema/"),
    (lambda p: replace(p / "schemas" / f"{EVENT}.json", '"type": "boolean"', '"type": "bool"'),
     f"stripe/schemas/{EVENT}.json#/properties/livemode/type: "),
    (lambda p: replace(p / "samples" / f"{EVENT}.json", "5082,", '"5082",'),
     f"stripe/samples/{EVENT}.json#/data/object/amount: amount must be an integer"),
    (lambda p: (p / "samples" / f"{EVENT}.json").write_text("{"), f"stripe/samples/{EVENT}.json: not JSON: line 1"),
    (lambda p: (p / "samples" / f"{EVENT}.json").unlink(), f"stripe/samples/{EVENT}.json: every event needs a sample"),
], ids=["manifest", "schema", "sample", "no JSON", "no sample"])
def test_lint_names_file_place_and_reason(folder, break_it, says):
    code, out, _ = lint_of(folder, break_it)
    assert code == 1 and out.startswith("no  stripe\n") and says in out


@pytest.mark.parametrize("break_it, says", [
    (lambda p: replace(p / "checks.json", '"code": "credentials_expired"', '"code": "ok"'), "the code is"),
    (lambda p: (p / "checks.json").write_text("[1, {"), "line 1, column"),
    (lambda p: (p / "checks.json").write_text('[1, {"name": 2, "expect": 3}]'), "expect"),
    (lambda p: (p / "checks.json").write_text("{}"), "must be a list"),
    (lambda p: (p / "checks.json").unlink(), "there is none"),
], ids=["other code", "no JSON", "other types", "no list", "none"])
def test_lint_plays_the_recorded_answers(folder, break_it, says):
    code, out, _ = lint_of(folder, break_it, "--checks")
    assert code == 1 and "stripe/checks.json: " in out and says in out


def test_a_broker_that_stops_while_payloads_come_ends_in_order(cluster):
    id = cluster.api().setup("stopped").json["id"]
    body = b'{"id": "x"}\n' * 20000
    for delay in (0, 0.02, 0.04):
        requests = [threading.Thread(target=check_until_it_stops, args=(cluster.api(), id, body)) for _ in range(30)]
        for request in requests:
            request.start()
        time.sleep(delay)
        cluster.broker.popen.terminate()
        assert cluster.broker.popen.wait(PATIENCE) == 0, cluster.broker.log()
        for request in requests:
            request.join()
        cluster.start_broker()
        until("the worker is back", lambda: "w1" in cluster.api().workers())


def check_until_it_stops(api, id, body):
    with contextlib.suppress(OSError, http.client.HTTPException):
        answer = api.call("POST", f"/v1/integrations/{id}/events/{EVENT}/validate:batch", raw=body,
                          headers={"Content-Type": "application/x-ndjson"})
        assert answer.status in (200, 503), answer
