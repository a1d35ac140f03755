"""The client against a broker of a few lines that loses answers: its log tells all, in order, and its end is known."""

import io
import random
import threading
import types

import audit
import client as load
import pytest


@pytest.mark.parametrize("kind,status,body,state,code", [
    ("setup", 201, {"id": "int_1"}, "done", None),
    ("setup", 202, {"id": "job_1", "integration": "int_1", "state": "waiting", "result": None}, "waiting", None),
    ("setup", 422, {"code": "invalid_credentials", "result": {"code": "invalid_credentials"}}, "failed", "invalid_credentials"),
    ("setup", 422, {"code": "invalid_request"}, "refused", "invalid_request"),
    ("setup", 409, {"code": "name_taken"}, "refused", "name_taken"),
    ("setup", 409, {"code": "name_taken", "result": {"code": "name_taken"}}, "failed", "name_taken"),
    ("validate", 200, {"id": "job_1", "integration": "int_1", "state": "done", "result": {"code": "ok"}}, "done", "ok"),
    ("validate", 409, {"code": "cancelled"}, "cancelled", "cancelled"),
    ("validate", 404, {"code": "not_found"}, "gone", "not_found"),
    ("delete", 204, None, "done", None),
    ("delete", 503, {"code": "draining"}, None, "draining"),
    ("delete", 429, {"code": "busy"}, None, "busy"),
])
def test_an_answer_says(kind, status, body, state, code):
    told = load.read_answer(kind, status, body)
    assert (told.state, told.code) == (state, code)


class SmallBroker:
    """Stands in for Http. Does at once what it is asked, once by key, and loses a third of its answers."""

    def __init__(self):
        self.lock, self.random = threading.Lock(), random.Random(1)
        self.jobs, self.by_key, self.there, self.count = {}, {}, {}, 0

    def call(self, method, path, body=None, key=None, wait=None):
        with self.lock:
            if self.random.random() < 0.15:
                raise OSError("lost on the way there")
            answer = self.act(method, path.split("/")[2:], body, key)
            if self.random.random() < 0.15:
                raise OSError("lost on the way back")
            return answer

    def act(self, method, path, body, key):
        if method == "GET":
            return (200, self.jobs[path[1]]) if path[0] == "jobs" else (200, {"revision": 1}) if path[1] in self.there else (404, {})
        if key in self.by_key:
            return 202, self.by_key[key]
        integration = path[1] if len(path) > 1 else f"int_{self.count}"
        if len(path) > 1 and integration not in self.there:
            return 404, {"code": "not_found"}
        self.count += 1
        job = {"id": f"job_{self.count}", "integration": integration, "state": "done", "result": {"code": "ok"}}
        self.there[integration] = True
        if method == "DELETE":
            del self.there[integration]
        self.jobs[job["id"]] = job
        self.by_key.update({key: job} if key else {})
        return 202, job


@pytest.fixture
def history(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(load, "SETTLE_PAUSE_SECONDS", 0.01)
    path = tmp_path / "client.jsonl"
    enough = types.SimpleNamespace(readline=lambda: threading.Event().wait(2))
    monkeypatch.setattr(load.sys, "stdin", enough)
    with open(path, "w", encoding="utf-8") as log:
        settled = load.run(load.Client(SmallBroker(), log, "test"), "test")
    return settled, audit.read_history(path), path


def test_the_log_tells_all_in_order(history):
    settled, read, path = history  # an answer before its intent would have been an error
    assert settled and len(read.operations) > 50 and read.lost > 10
    assert {op.kind for op in read.operations.values()} == set(load.KINDS)
    assert all(len(op.jobs()) <= 1 for op in read.operations.values())
    assert '"settled", "open": []' in path.read_text().splitlines()[-1]


def test_what_has_no_end_is_named(monkeypatch):
    monkeypatch.setattr(load, "SETTLE_SECONDS", 0.1)
    log = io.StringIO()
    client = load.Client(SmallBroker(), log, "test")
    client.http.call = lambda *args: (503, {"code": "draining"})
    client.new_setup(random.Random(1))
    client.operations[0].key = "key"
    assert not load.settle(client)
    assert '"settled", "open": [0]' in log.getvalue()
