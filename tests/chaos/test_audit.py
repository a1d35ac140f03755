"""The auditor bites: each way of losing, doubling or inventing work is found, by the rule that promises it."""

import json
import sqlite3

import audit
import pytest

SCHEMA = """
CREATE TABLE jobs (id BLOB, kind INTEGER, state INTEGER, tenant TEXT, type TEXT, idem TEXT, integration BLOB, attempts INTEGER,
                   created_at INTEGER, finished_at INTEGER, result TEXT, payload BLOB);
CREATE TABLE integrations (id BLOB, tenant TEXT, name TEXT, type TEXT, revision INTEGER);
CREATE TABLE tombstones (id BLOB, fence INTEGER, deleted_at INTEGER);
"""
NUMBER = {name: number for names in (audit.KINDS, audit.STATES) for number, name in names.items()}


def raw(number):
    return bytes([number]) * 16


def job_id(number):
    return f"job_{raw(number).hex()}"


def int_id(number):
    return f"int_{raw(number).hex()}"


class Scene:
    """A log and a store that agree: A set up and validated twice, B set up and deleted, C (B's name) set up after that, a bad
    key refused, and a validation of A without a key whose answer was lost."""

    def __init__(self, folder):
        self.log, self.db, self.tally = [], sqlite3.connect(folder / "patchbay.db"), {}
        self.folder = folder
        self.db.executescript(SCHEMA)
        self.setup(1, "A", "sk_test_ok_1", at=100)
        self.validate(2, 1, at=110)
        self.validate(3, 1, at=120)
        self.setup(4, "B", "sk_test_slow200_4", at=130)
        self.delete(5, 4, at=140)
        self.setup(6, "B", "xoxb-ok_6", type="slack", at=150)
        self.setup(7, "D", "sk_test_bad_7", state="failed", code="invalid_credentials", status=422, at=160)
        self.intent(8, "validate", integration=int_id(1), key=None)
        self.note("lost", op=8, **{"try": 1}, error="OSError")

    # -- the log --

    def note(self, event, **more):
        self.log.append({"event": event, **more})

    def intent(self, op, kind, key="", name=None, type=None, credential=None, integration=None):
        self.note("intent", op=op, kind=kind, key=f"key-{op}" if key == "" else key, name=name, type=type, credential=credential,
                  integration=integration)
        self.note("send", op=op, **{"try": 1}, wait=5)

    def answer(self, op, status, job=None, integration=None, state=None, code=None, event="answer"):
        self.note(event, op=op, status=status, job=job, integration=integration, state=state, code=code)

    # -- log and store together --

    def job(self, number, kind, integration, state, code, at, type):
        result = json.dumps({"code": code, "attempt": 1}) if code else None
        self.db.execute("INSERT INTO jobs VALUES (?, ?, ?, 'default', ?, ?, ?, 0, 1, ?, ?, NULL)",
                        (raw(number), NUMBER[kind], NUMBER[state], type, f"key-{number}", raw(integration), at, result))

    def setup(self, op, name, credential, state="done", code="ok", status=201, type="stripe", at=0):
        self.intent(op, "setup", name=name, type=type, credential=credential)
        self.answer(op, 202, job_id(op), int_id(op), "waiting")
        self.answer(op, status, None, int_id(op) if state == "done" else None, state, None if state == "done" else code)
        self.job(op, "setup", op, state, code, at, type)
        self.tally[credential] = 1
        if state == "done":
            self.db.execute("INSERT INTO integrations VALUES (?, 'default', ?, ?, 1)", (raw(op), name, type))

    def validate(self, op, integration, at):
        self.intent(op, "validate", integration=int_id(integration))
        self.answer(op, 200, job_id(op), int_id(integration), "done", "ok")
        self.job(op, "validate", integration, "done", "ok", at, "stripe")
        self.db.execute("UPDATE integrations SET revision = revision + 1 WHERE id = ?", (raw(integration),))

    def delete(self, op, integration, at):
        self.intent(op, "delete", integration=int_id(integration))
        self.answer(op, 204, state="done")
        self.job(op, "delete", integration, "done", None, at, "stripe")
        self.db.execute("DELETE FROM integrations WHERE id = ?", (raw(integration),))
        self.db.execute("INSERT INTO tombstones VALUES (?, 1, 1)", (raw(integration),))

    # -- doctoring, and the verdict --

    def change_job(self, number, **columns):
        for name, value in columns.items():
            self.db.execute(f"UPDATE jobs SET {name} = ? WHERE id = ?", (value, raw(number)))

    def lose_job(self, number):
        self.db.execute("DELETE FROM jobs WHERE id = ?", (raw(number),))

    def make_integration(self, number, name, type="stripe", revision=1):
        self.db.execute("INSERT INTO integrations VALUES (?, 'default', ?, ?, ?)", (raw(number), name, type, revision))

    def lose_integration(self, number):
        self.db.execute("DELETE FROM integrations WHERE id = ?", (raw(number),))

    def found(self):
        """{rule: violations}, of the rules that found something."""
        self.db.commit()
        (self.folder / "client.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self.log))
        history = audit.read_history(self.folder / "client.jsonl")
        store = audit.read_store(self.folder / "patchbay.db")
        return {rule: found for rule, found in audit.audit(history, store, self.tally).items() if found}


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def test_a_log_and_a_store_that_agree_pass(scene):
    assert scene.found() == {}


def test_a_lost_answer_without_a_key_may_have_been_a_job_or_not(scene):
    scene.job(8, "validate", 1, "done", "ok", 170, "stripe")
    scene.change_job(8, idem=None)
    scene.db.execute("UPDATE integrations SET revision = 4 WHERE id = ?", (raw(1),))
    assert scene.found() == {}


def test_a_problem_may_mean_that_the_job_was_given_up(scene):
    scene.change_job(7, state=5, payload=b"may be tried again")
    scene.answer(7, 200, job_id(7), int_id(7), "dead", "invalid_credentials", event="seen")
    assert scene.found() == {}


# (what is done to it, the rule that must find it, what it must name)
DOCTORED = {
    "an accepted job is lost": (lambda s: s.lose_job(3), "what was accepted is in the store", job_id(3)),
    "a job whose every answer was lost but the acceptance": (
        lambda s: (s.intent(9, "validate", integration=int_id(1)), s.answer(9, 202, job_id(9), int_id(1), "waiting")),
        "what was accepted is in the store", "key-9"),
    "a job waits for ever": (lambda s: s.change_job(3, state=1), "every job has ended, in one state", job_id(3)),
    "a job ended without a time": (lambda s: s.change_job(3, finished_at=0), "every job has ended, in one state", job_id(3)),
    "a job is in a state that nobody knows": (lambda s: s.change_job(3, state=9), "every job has ended, in one state", job_id(3)),
    "told done, stored failed": (lambda s: s.change_job(2, state=3), "every job ended as the client was told", job_id(2)),
    "told one code, stored another": (lambda s: s.change_job(7, result='{"code": "timeout"}'),
                                      "every job ended as the client was told", job_id(7)),
    "told two ends": (lambda s: s.answer(2, 422, job_id(2), int_id(1), "failed", "timeout"),
                      "who was told an end is told the same ever after", "key-2"),
    "over and waiting again": (
        lambda s: [s.answer(2, 200, job_id(2), int_id(1), state, code, event="seen")
                   for state, code in (("done", "ok"), ("waiting", None))],
        "who was told an end is told the same ever after", "key-2"),
    "a key made two jobs": (lambda s: (s.job(9, "validate", 1, "done", "ok", 125, "stripe"), s.change_job(9, idem="key-3")),
                            "one idempotency key, one job", "key-3"),
    "a key was answered with two jobs": (lambda s: s.answer(3, 202, job_id(9), int_id(1), "waiting"),
                                         "one idempotency key, one job", job_id(9)),
    "a key was answered with two integrations": (lambda s: s.answer(1, 201, None, int_id(9), "done"),
                                                 "one idempotency key, one job", int_id(9)),
    "an integration is doubled": (lambda s: s.make_integration(9, "A"), "a setup that is done is there once, as asked for", "'A'"),
    "an integration is lost": (lambda s: s.lose_integration(1), "a setup that is done is there once, as asked for", int_id(1)),
    "an integration has another name": (lambda s: s.db.execute("UPDATE integrations SET name = 'Z' WHERE name = 'A'"),
                                        "a setup that is done is there once, as asked for", int_id(1)),
    "a refused setup left something": (lambda s: s.make_integration(7, "D"), "a setup that is not done leaves nothing", int_id(7)),
    "a name was held by two at once": (lambda s: s.change_job(5, finished_at=155), "a name is held by one integration at a time",
                                       job_id(6)),
    "a deleted one is back": (lambda s: s.make_integration(4, "B again"), "what was deleted is gone", int_id(4)),
    "an acknowledged deletion has no job and no effect": (
        lambda s: (s.lose_job(5), s.make_integration(4, "B again")), "what was deleted is gone", int_id(4)),
    "a deletion left no mark": (lambda s: s.db.execute("DELETE FROM tombstones"), "what was deleted is gone", int_id(4)),
    "one was not found that nobody deleted": (lambda s: s.note("looked", integration=int_id(1), status=404, revision=None),
                                              "nothing is missing that nobody has deleted", int_id(1)),
    "a validation found nothing to validate": (
        lambda s: (s.intent(9, "validate", integration=int_id(1)), s.answer(9, 404, state="gone", code="not_found")),
        "nothing is missing that nobody has deleted", int_id(1)),
    "a job was not found": (lambda s: s.answer(2, 404, job_id(2), event="seen"), "nothing is missing that nobody has deleted",
                            job_id(2)),
    "a job has a key that nobody sent": (lambda s: s.job(9, "validate", 1, "done", "ok", 1, "stripe"),
                                         "nothing is there that nobody asked for", "key-9"),
    "more jobs without a key than were asked for": (
        lambda s: [(s.job(n, "validate", 1, "done", "ok", 1, "stripe"), s.change_job(n, idem=None)) for n in (9, 10)],
        "nothing is there that nobody asked for", job_id(10)),
    "a job is about another integration": (lambda s: s.change_job(3, integration=raw(6)),
                                           "nothing is there that nobody asked for", job_id(3)),
    "an integration from nowhere": (lambda s: s.make_integration(9, "Z"), "nothing is there that nobody asked for", int_id(9)),
    "a validation counted twice": (lambda s: s.db.execute("UPDATE integrations SET revision = 4 WHERE name = 'A'"),
                                   "each validation counts once", int_id(1)),
    "a validation was overwritten": (lambda s: s.db.execute("UPDATE integrations SET revision = 2 WHERE name = 'A'"),
                                     "each validation counts once", int_id(1)),
    "a revision was seen that is no more": (lambda s: s.note("looked", integration=int_id(1), status=200, revision=5),
                                            "each validation counts once", int_id(1)),
    "a bad key was accepted": (lambda s: s.change_job(7, state=2), "outcomes fit the credentials", job_id(7)),
    "a good key was refused": (lambda s: s.change_job(3, result='{"code": "invalid_credentials"}'),
                               "outcomes fit the credentials", job_id(3)),
    "done without asking the provider": (lambda s: s.tally.pop("sk_test_ok_1"), "what is done has reached the provider", job_id(1)),
    "credentials outlive their job": (lambda s: s.change_job(1, payload=b"box"), "jobs that have ended hold no payload", job_id(1)),
    "an answer that should not be": (lambda s: s.answer(3, 500, code="internal"), "every answer is one that the API knows", "500"),
    "a key counts as another request's": (lambda s: s.answer(3, 422, state="refused", code="idempotency_key_reused"),
                                          "every answer is one that the API knows", "key-3"),
}


@pytest.mark.parametrize("what", DOCTORED)
def test_it_is_found_that(scene, what):
    doctor, rule, named = DOCTORED[what]
    doctor(scene)
    found = scene.found()
    assert any(named in violation for violation in found.get(rule, [])), found


def test_each_rule_is_bitten_by_one_of_these():
    assert {rule for _, rule, _ in DOCTORED.values()} == {name for name, _ in audit.RULES}


def test_an_accepted_job_that_only_the_log_of_writes_holds_is_read(scene):
    """The store is copied with its -wal file, as a killed broker leaves it."""
    scene.db.commit()
    scene.db.execute("PRAGMA journal_mode = WAL")
    scene.lose_job(3)
    assert "what was accepted is in the store" in scene.found()


def test_a_damaged_store_is_no_store(scene):
    scene.db.commit()
    path = scene.folder / "patchbay.db"
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises((AssertionError, sqlite3.DatabaseError)):
        audit.read_store(path)
