"""What people get wrong: each gives one clear message that names the place and what to do, and leaves nothing
half-made."""

import json
import os
import shutil
import socket
import subprocess

import pytest
from cluster import BUILD, ROOT, clean_env, secret_file

NOBODY = 65534


# -- over HTTP --


def refused(shared, body=None, status=422, code="invalid_request", raw=None, **more):
    before = shared.sandbox.requests()["total"]
    count = len(shared.api().all())
    answer = shared.api().call("POST", "/v1/integrations", body, wait=10, raw=raw, **more)
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status and answer.json["code"] == code, answer
    assert answer.json["title"] and answer.json["detail"]
    assert shared.sandbox.requests()["total"] == before, "the service is not asked"
    assert len(shared.api().all()) == count
    return answer.json


def fault(problem, pointer):
    found = [e["message"] for e in problem["errors"] if e["pointer"] == pointer]
    assert found, problem
    return found[0]


def test_an_unknown_type_names_the_nearest(shared):
    problem = refused(shared, {"type": "strpe", "name": "x", "credentials": {}})
    assert "stripe" in fault(problem, "/type")


def test_a_misspelt_field_names_the_right_one(shared):
    problem = refused(shared, {"type": "stripe", "name": "x", "credentials": {"apikey": "sk_test_ok"}})
    assert "did you mean apiKey?" in fault(problem, "/credentials/apikey")
    assert fault(problem, "/credentials/apiKey")


def test_a_missing_field_is_named(shared):
    problem = refused(shared, {"type": "slack", "name": "x", "credentials": {}})
    assert "required" in fault(problem, "/credentials/botToken")


def test_a_value_of_the_wrong_form_is_named_and_not_repeated(shared):
    problem = refused(shared, {"type": "stripe", "name": "x", "credentials": {"apiKey": "pk_live_oops"}})
    assert fault(problem, "/credentials/apiKey")
    assert "pk_live_oops" not in json.dumps(problem)


@pytest.mark.parametrize("value", [7, None, True, ["sk_test_ok"], {"a": "b"}])
def test_a_value_that_is_no_string_is_named(shared, value):
    problem = refused(shared, {"type": "stripe", "name": "x", "credentials": {"apiKey": value}})
    assert "string" in fault(problem, "/credentials/apiKey")


def test_all_faults_are_told_together(shared):
    problem = refused(shared, {"type": "stripe", "name": "", "credentials": {"webhookSecret": "x"}, "extra": 1})
    assert {e["pointer"] for e in problem["errors"]} >= {"/name", "/credentials/apiKey", "/credentials/webhookSecret",
                                                         "/extra"}


@pytest.mark.parametrize("raw, hint", [
    (b'{"type":"stripe",', "line 1"),
    (b'{"type":"stripe"\n "name":"x"}', "line 2"),
    (b"", "JSON"),
    (b"null", "object"),
    (b"[]", "object"),
    (b'{"type":"stripe","type":"slack","name":"x","credentials":{}}', "there twice"),
    (b'{"type":"stripe","name":"\xff","credentials":{}}', "UTF-8"),
    (b"[" * 5000, "JSON"),
])
def test_malformed_json_is_placed(shared, raw, hint):
    before = len(shared.api().all())
    answer = shared.api().call("POST", "/v1/integrations", raw=raw, wait=5)
    assert answer.status in (400, 422), answer
    assert hint in answer.text, answer
    assert len(shared.api().all()) == before


def test_another_content_type_is_refused(shared):
    refused(shared, raw=b"type=stripe", status=415, code="unsupported_media_type",
            headers={"Content-Type": "application/x-www-form-urlencoded"})


def test_an_oversized_body_is_refused_with_the_limit(shared):
    head = f"POST /v1/integrations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shared.token()}\r\n" \
           f"Content-Type: application/json\r\nContent-Length: {1024 * 1024 + 1}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        connection.sendall(head.encode())  # and nothing of the body: the announcement is enough
        connection.settimeout(10)
        text = connection.recv(65536).decode()
    assert text.startswith("HTTP/1.1 413 ") and "1048576" in text
    assert shared.api().get("/v1/types").status == 200


def test_many_jobs_may_take_more_room_than_one_request_does(shared):
    jobs = [{"kind": "ping", "payload": "x" * 60000} for _ in range(40)]  # 2.4 MiB
    assert shared.api().call("POST", "/v1/jobs", jobs).status == 202
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {shared.token()}\r\n" \
           f"Content-Type: application/json\r\nContent-Length: {16 * 1024 * 1024 + 1}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        connection.sendall(head.encode())
        connection.settimeout(10)
        text = connection.recv(65536).decode()
    assert text.startswith("HTTP/1.1 413 ") and "16777216" in text


def test_an_oversized_credential_is_refused(shared):
    problem = refused(shared, {"type": "stripe", "name": "x", "credentials": {"apiKey": "sk_test_" + "a" * 20000}})
    assert fault(problem, "/credentials/apiKey")


@pytest.mark.parametrize("name", ["a\nb", "x" * 201, "\u0007bell"])
def test_a_name_that_cannot_be_shown_is_refused(shared, name):
    fault(refused(shared, {"type": "stripe", "name": name, "credentials": {"apiKey": "sk_test_ok"}}), "/name")


def test_paths_methods_and_parameters_are_checked(shared):
    api = shared.api()
    assert api.get("/v1/nope").status == 404
    wrong = api.call("PUT", "/v1/types")
    assert wrong.status == 405 and "GET" in wrong.headers["Allow"]
    typo = api.get("/v1/integrations?typ=stripe")
    assert typo.status == 400 and "type" in typo.json["detail"]
    assert api.get("/v1/integrations?limit=0").status == 400
    assert api.get("/v1/integrations?status=broken").status == 400
    assert api.get("/v1/integrations?after=nonsense").status == 400
    assert api.get("/v1/integrations/int_" + "0" * 32).status == 404
    assert api.get("/v1/integrations/nonsense").status == 404
    assert api.get("/v1/jobs/job_" + "f" * 32).status == 404
    assert api.validate("int_" + "0" * 32).status == 404
    assert api.call("DELETE", "/v1/integrations/int_" + "0" * 32, wait=5).status == 404


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic YWRtaW46YWRtaW4=", "Bearer pb_" + "A" * 43])
def test_without_a_good_token_nothing_is_told(shared, header):
    for method, path in (("GET", "/v1/integrations"), ("GET", "/v1/nope"), ("POST", "/v1/integrations"),
                         ("GET", "/openapi.yaml")):
        answer = shared.api().call(method, path, headers={"Authorization": header}, body={} if method == "POST" else None)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer"), answer
        assert answer.json["code"] == "unauthorized"
    for path in ("/healthz", "/readyz"):
        assert shared.api().call("GET", path, headers={"Authorization": header}).status == 200


def test_the_description_of_the_api_is_served(shared):
    assert shared.api().get("/openapi.yaml").text.startswith("openapi: 3.1")


def test_before_any_worker_a_setup_is_refused_with_what_to_do(make_cluster):
    cluster = make_cluster()
    cluster.start_broker()
    answer = cluster.api().setup("too early")
    assert answer.status == 503 and answer.json["code"] == "no_worker" and "patchbay-worker" in answer.json["detail"]


# -- at the start of a program --


def run(program, *options, user=None):
    ended = subprocess.run([str(BUILD / program), *map(str, options)], env=clean_env(), capture_output=True, timeout=30,
                           cwd="/", user=user)
    text = ended.stderr.decode() + ended.stdout.decode()
    assert "Sanitizer" not in text, text
    return ended.returncode, text


def test_an_unknown_option_names_the_nearest(folder):
    for program, option, near in (("patchbay-broker", "--data-dri=x", "data-dir"),
                                  ("patchbay-worker", "--keyrng=x", "keyring")):
        code, text = run(program, option)
        assert code == 2 and near in text and text.count("\n") == 1, text


def test_a_number_out_of_bounds_is_an_error(folder):
    code, text = run("patchbay-broker", "--lease-ms=5")
    assert code == 2 and "--lease-ms" in text and "200" in text


@pytest.fixture
def parts(make_cluster):
    """A cluster of which nothing runs yet but the sandbox."""
    return make_cluster()


def start_broker(parts, *more, user=None):
    return run("patchbay-broker", *parts.broker_options(), *more, user=user)


def start_worker(parts, **options):
    return run("patchbay-worker", *parts.worker_options("w", **options))


def only_error(text, *words):
    errors = [json.loads(line) for line in text.splitlines() if line.startswith("{") and '"error"' in line]
    assert len(errors) == 1, text
    said = f"{errors[0].get('at', '')} {errors[0].get('reason', '')}"
    for word in words:
        assert str(word) in said, f"{word} is not in: {said}"


def test_a_port_in_use_is_named(parts):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, text = start_broker(parts, f"--http-listen=127.0.0.1:{port}")
    assert code == 1
    only_error(text, f"127.0.0.1:{port}", "in use", "--http-listen")


def test_a_second_broker_on_the_same_store_is_refused(parts):
    parts.start_broker()
    code, text = start_broker(parts, "--http-listen=127.0.0.1:0")
    assert code == 1
    only_error(text, "another broker")


def test_a_store_folder_that_is_not_writable_is_named(parts):
    os.chmod(parts.folder, 0o755)
    os.chmod(parts.data, 0o755)
    for above in parts.folder.parents:  # so that another user gets as far as the folder in question
        if above.stat().st_mode & 0o055 != 0o055:
            above.chmod(above.stat().st_mode | 0o055)
    secret = shutil.copy(parts.secret, parts.folder / "secret-of-nobody")
    os.chown(secret, NOBODY, NOBODY)
    os.chmod(secret, 0o600)
    code, text = run("patchbay-broker", *parts.broker_options(), "--cluster-secret", secret, user=NOBODY)
    assert code == 1
    only_error(text, parts.data, "ermission denied")
    assert sorted(p.name for p in parts.data.iterdir()) == ["cluster.secret", "keyring", "run"]


def test_a_store_folder_that_is_missing_is_named(parts):
    code, text = start_broker(parts, f"--data-dir={parts.folder}/nowhere")
    assert code == 1
    only_error(text, f"{parts.folder}/nowhere")
    assert not (parts.folder / "nowhere").exists()


def test_a_store_file_that_is_no_database_is_named(parts):
    (parts.data / "patchbay.db").write_text("something else entirely, and long enough to be looked at" * 20)
    code, text = start_broker(parts)
    assert code == 1
    only_error(text, parts.data / "patchbay.db", "not a database")


def test_an_unknown_kind_of_store_is_named(parts):
    code, text = start_broker(parts, "--store=postgres://localhost/x")
    assert code == 1
    only_error(text, "postgres://localhost/x", "sqlite:")


def test_a_cluster_secret_that_others_may_read_is_refused(parts):
    parts.secret.chmod(0o644)
    for code, text in (start_broker(parts), start_worker(parts)):
        assert code == 1
        only_error(text, parts.secret, "chmod 600")


def test_a_cluster_secret_that_is_none_is_refused(parts):
    secret_file(parts.secret, "hunter2\n")
    code, text = start_broker(parts)
    assert code == 1
    only_error(text, parts.secret, "64 hex")


def test_a_missing_cluster_secret_is_named(parts):
    parts.secret.unlink()
    code, text = start_worker(parts)
    assert code == 1
    only_error(text, parts.secret)


def test_a_keyring_that_others_may_read_is_refused(parts):
    parts.keyring.chmod(0o640)
    code, text = start_worker(parts)
    assert code == 1
    only_error(text, parts.keyring, "chmod 600")


def test_a_missing_keyring_says_how_to_make_one(parts):
    code, text = start_worker(parts, keyring=parts.data / "nokeys")
    assert code == 1
    only_error(text, parts.data / "nokeys", "patchbay keys init")


def test_a_malformed_keyring_names_the_line(parts):
    secret_file(parts.keyring, "# keys\nkey k1 abcd\n")
    code, text = start_worker(parts)
    assert code == 1
    only_error(text, f"{parts.keyring}:2", "64 hex")
    assert "abcd" not in text


def test_an_address_that_is_none_is_named(parts):
    code, text = start_broker(parts, "--cluster-listen=http://x")
    assert code == 1
    only_error(text, "http://x", "ipc://")


def test_a_missing_folder_of_packages_is_named(parts):
    code, text = start_broker(parts, "--manifests=/nonexistent")
    assert code == 1
    only_error(text, "/nonexistent")


def test_a_package_that_reaches_outside_itself_is_left_out_and_named(parts):
    manifests = parts.folder / "manifests"
    shutil.copytree(ROOT / "manifests", manifests)
    path = manifests / "slack" / "manifest.json"
    package = json.loads(path.read_text())
    package["events"][1]["schemaPath"] = "../stripe/schemas/invoice.paid.json"
    path.write_text(json.dumps(package))
    link = manifests / "linked"
    shutil.copytree(ROOT / "manifests" / "stripe", link)
    (link / "schemas" / "invoice.paid.json").unlink()
    (link / "schemas" / "invoice.paid.json").symlink_to("/etc/passwd")
    (link / "manifest.json").write_text((link / "manifest.json").read_text().replace('"type": "stripe"', '"type": "linked"'))
    parts.manifests = manifests
    parts.start_broker()
    log = parts.broker.log()
    assert "slack/manifest.json#/events/1/schemaPath" in log
    assert "linked/manifest.json#/events/2/schemaPath" in log
    parts.start_worker()
    assert [t["type"] for t in parts.api().get("/v1/types").json["items"]] == ["stripe"]
    assert parts.api().setup("still works").status == 201


def test_a_package_whose_test_is_wrong_says_where(parts):
    manifests = parts.folder / "manifests"
    shutil.copytree(ROOT / "manifests", manifests)
    path = manifests / "stripe" / "manifest.json"
    path.write_text(path.read_text().replace('"method": "GET"', '"method": "FETCH"'))
    parts.manifests = manifests
    parts.start()
    answer = parts.api().setup("wrong package")
    assert answer.status == 422 and answer.json["code"] == "manifest_invalid"
    assert "stripe/manifest.json#/test/steps/0/request/method" in answer.json["detail"]
