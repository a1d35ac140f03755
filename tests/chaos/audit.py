"""Compares what the client was told with what the store holds. It believes nobody else: the broker is not asked.

Each rule is a function of (History, Store, tally) that yields what it finds wrong, one sentence each, naming job,
integration or operation; RULES lists them with what they promise. An operation without an idempotency key whose answers
were all lost may have happened or not; everything else is known for certain."""

import collections
import contextlib
import json
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

KINDS = {1: "setup", 2: "validate", 3: "delete", 4: "test", 5: "ping"}       # common/job.h
STATES = {1: "waiting", 2: "done", 3: "failed", 4: "cancelled", 5: "dead"}
FINAL = ("done", "failed", "cancelled", "dead")
GOOD_STATUSES = {200, 201, 202, 204, 404, 409, 422, 429, 503}

# What may come between any credential and its answer: the way to the provider is not sure, names may be taken.
TROUBLE = {"provider_unavailable", "timeout", "network_unreachable", "tls_error", "rate_limited", "dns_failure",
           "unexpected_response", "name_taken", "not_found", "internal", None}
# Word of a credential: what the provider's answer can lead to; providers call a revoked key by different names.
WORDS = {"ok": {"ok"}, "slow": {"ok"}, "flaky": {"ok"}, "bad": {"invalid_credentials"},
         "revoked": {"credentials_revoked", "invalid_credentials"}, "error503": set(), "reset": set(), "limit": set(),
         "hang": set()}


# -- what the client wrote --


def possible(answer):
    """A problem document tells a job that failed from one that was given up no better than its code does."""
    return {"failed", "dead"} if answer["state"] == "failed" and answer["event"] == "answer" else {answer["state"]}


@dataclass
class Asked:
    """One operation, with all that its log lines say."""
    id: int
    kind: str
    key: str | None
    name: str | None
    type: str | None
    credential: str | None
    target: str | None  # the integration that it is about; of a setup: None
    sent: bool = False
    answers: list = field(default_factory=list)  # log lines `answer` and `seen`, in order

    def jobs(self):
        return {a["job"] for a in self.answers if a.get("job")}

    def integrations(self):
        """A setup's, as answered."""
        return {a["integration"] for a in self.answers if a.get("integration")}

    def told(self):
        """(states, code) of each answer with a job's end: those that it can mean, and the job's own code or None."""
        return [(possible(a), a["code"]) for a in self.answers if a["state"] in FINAL]

    def is_accepted(self):
        return any(a["state"] == "waiting" or a["state"] in FINAL for a in self.answers)

    def __str__(self):
        return f"operation {self.id} ({self.kind}{' ' + self.key if self.key else ''})"


@dataclass
class History:
    operations: dict = field(default_factory=dict)
    looks: list = field(default_factory=list)
    sendings: int = 0
    lost: int = 0

    def of_kind(self, kind):
        return [op for op in self.operations.values() if op.kind == kind]

    def by_key(self):
        return {op.key: op for op in self.operations.values() if op.key}

    def by_job(self):
        return {job: op for op in self.operations.values() for job in op.jobs()}


def read_line(history, line):
    event = line["event"]
    op = history.operations.get(line.get("op"))
    if event == "intent":
        history.operations[line["op"]] = Asked(line["op"], line["kind"], line["key"], line["name"], line["type"],
                                               line["credential"], line["integration"])
    elif event == "send":
        op.sent = True
        history.sendings += 1
    elif event == "lost":
        history.lost += 1
    elif event in ("answer", "seen"):
        op.answers.append(line)
    elif event == "looked":
        history.looks.append(line)


def read_history(path):
    history = History()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            read_line(history, json.loads(line))
    return history


# -- what the store holds --


@dataclass
class Job:
    id: str
    kind: str
    state: int
    idem: str | None
    type: str
    integration: str
    finished_at: int
    code: str | None
    has_payload: bool

    @property
    def state_name(self):
        return STATES.get(self.state, f"state {self.state}")


@dataclass
class Integration:
    id: str
    name: str
    type: str
    revision: int


@dataclass
class Store:
    jobs: dict = field(default_factory=dict)
    integrations: dict = field(default_factory=dict)
    tombstones: set = field(default_factory=set)

    def of_kind(self, kind, state=None):
        return [j for j in self.jobs.values() if j.kind == kind and (state is None or j.state_name == state)]

    def by_key(self):
        found = collections.defaultdict(list)
        for job in self.jobs.values():
            if job.idem:
                found[job.idem].append(job)
        return found

    def deleted(self):
        return {j.integration for j in self.of_kind("delete", "done")}


def read_job(row):
    result = json.loads(row["result"]) if row["result"] else {}
    return Job(f"job_{row['id'].hex()}", KINDS.get(row["kind"], f"kind {row['kind']}"), row["state"], row["idem"], row["type"],
               f"int_{row['integration'].hex()}", row["finished_at"], result.get("code"),
               row["payload"] is not None)


def read_integration(row):
    return Integration(f"int_{row['id'].hex()}", row["name"], row["type"], row["revision"])


def read_rows(db):
    db.row_factory = sqlite3.Row
    jobs = [read_job(row) for row in db.execute("SELECT * FROM jobs")]
    integrations = [read_integration(row) for row in db.execute("SELECT * FROM integrations")]
    tombstones = {f"int_{row['id'].hex()}" for row in db.execute("SELECT id FROM tombstones")}
    return Store({j.id: j for j in jobs}, {i.id: i for i in integrations}, tombstones)


def read_store(path):
    """Of a copy, log included: reading must not change what is kept for whoever looks into a failure."""
    with tempfile.TemporaryDirectory() as folder:
        for part in ("", "-wal"):
            source = Path(f"{path}{part}")
            if source.exists():
                shutil.copy(source, Path(folder) / f"copy{part}")
        with contextlib.closing(sqlite3.connect(Path(folder) / "copy")) as db:
            broken = [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
            if broken:
                raise AssertionError(f"the store is damaged: {broken[:3]}")
            return read_rows(db)


# -- who belongs to whom --


def job_of(op, store, jobs_by_key):
    """The operation's job in the store: by its key, or by what an answer said."""
    found = jobs_by_key.get(op.key) if op.key else None
    if found:
        return found[0]
    return next((store.jobs[j] for j in op.jobs() if j in store.jobs), None)


def matched(history, store):
    """(operation, its job or None) for each."""
    by_key = store.by_key()
    return [(op, job_of(op, store, by_key)) for op in history.operations.values()]


def keyless_setup(op, store):
    """A setup without a key that was answered with the integration alone: its job is the one that made it."""
    return next((j for j in store.of_kind("setup") if j.integration in op.integrations()), None)


# -- rules --


def accepted_is_there(history, store, _):
    for op, job in matched(history, store):
        for missing in sorted(op.jobs() - set(store.jobs)):
            yield f"{op} was answered with {missing}, which the store does not have"
        if op.is_accepted() and op.key and not job:
            yield f"{op} was accepted, and the store has no job with its key"
        if op.kind == "setup" and op.is_accepted() and not op.key and not job and op.integrations() \
                and not keyless_setup(op, store):
            yield f"{op} was answered with {sorted(op.integrations())}, which no job in the store made"


def all_have_ended(_, store, __):
    for job in store.jobs.values():
        if job.state_name not in FINAL:
            yield f"{job.id} ({job.kind}, key {job.idem}) is {job.state_name}"
        elif not job.finished_at:
            yield f"{job.id} is {job.state_name} without a time of its end"


def ended_as_told(history, store, _):
    for op, job in matched(history, store):
        for states, code in op.told() if job else []:
            if job.state_name not in states:
                yield f"{op} was told {' or '.join(sorted(states))}; {job.id} is {job.state_name}"
            elif code is not None and code != job.code:
                yield f"{op} was told {code}; {job.id} has {job.code}"


def told_the_same_always(history, _, __):
    for op in history.operations.values():
        told = [states for states, _ in op.told()]
        codes = {code for _, code in op.told() if code is not None}
        if told and not set.intersection(*told) or len(codes) > 1:
            yield f"{op} was told {sorted(set().union(*told))} with {sorted(codes)}"
        ended = False
        for answer in op.answers:
            if ended and answer["event"] == "seen" and answer["state"] == "waiting":
                yield f"{op} was over and then waiting again"
                break
            ended = ended or answer["event"] == "seen" and answer["state"] in FINAL


def one_job_by_key(history, store, _):
    for key, jobs in store.by_key().items():
        if len(jobs) > 1:
            yield f"the key {key} made {len(jobs)} jobs: {', '.join(j.id for j in jobs)}"
    for op, job in matched(history, store):
        if len(op.jobs()) > 1:
            yield f"{op} was answered with several jobs: {sorted(op.jobs())}"
        if op.kind == "setup" and len(op.integrations()) > 1:
            yield f"{op} was answered with several integrations: {sorted(op.integrations())}"
        if job and op.kind == "setup" and op.integrations() - {job.integration}:
            yield f"{op} was answered with {sorted(op.integrations())}; {job.id} is about {job.integration}"


def setups_exist_once(history, store, _):
    by_name = collections.Counter(i.name for i in store.integrations.values())
    for name, count in by_name.items():
        if count > 1:
            yield f"the name {name!r} is there {count} times"
    for op, job in matched(history, store):
        job = job or (keyless_setup(op, store) if op.kind == "setup" else None)
        if op.kind != "setup" or not job or job.state_name != "done" or job.integration in store.deleted():
            continue
        there = store.integrations.get(job.integration)
        if not there:
            yield f"{op} is done ({job.id}), nobody deleted {job.integration}, and it is not there"
        elif (there.name, there.type) != (op.name, op.type):
            yield f"{there.id} is {there.name!r} of type {there.type}; {op} asked for {op.name!r} of {op.type}"


def failed_setups_leave_nothing(_, store, __):
    for job in store.of_kind("setup"):
        if job.state_name != "done" and job.integration in store.integrations:
            yield f"{job.integration} is there, and its setup {job.id} is {job.state_name}"


def names_are_held_by_one(history, store, _):
    """Done setups of one name: each but the last was deleted before the next one was done."""
    ended = {j.integration: j.finished_at for j in store.of_kind("delete", "done")}
    by_name = collections.defaultdict(list)
    for op, job in matched(history, store):
        if op.kind == "setup" and job and job.state_name == "done":
            by_name[op.name].append(job)
    for name, jobs in by_name.items():
        jobs.sort(key=lambda j: (j.finished_at, ended.get(j.integration, float("inf"))))
        for first, second in zip(jobs, jobs[1:]):
            if ended.get(first.integration, float("inf")) > second.finished_at:
                yield f"{first.id} and {second.id} both set up {name!r}, and the first was not deleted in between"


def deleted_is_gone(history, store, _):
    told = {op.target for op in history.of_kind("delete") if any("done" in states for states, _ in op.told())}
    for integration in sorted(told | store.deleted()):
        if integration in store.integrations:
            yield f"{integration} was deleted and is there"
        elif integration not in store.tombstones:
            yield f"{integration} was deleted and has left no mark that keeps a late setup out"


def gone_means_deleted(history, store, _):
    """Who was told that an integration is not there (any more) was told so after somebody had deleted it."""
    missed = [(str(op), integration) for op in history.operations.values() for a in op.answers if a["state"] == "gone"
              for integration in ([op.target] if op.target else op.integrations())]
    missed += [("a look", look["integration"]) for look in history.looks if look["status"] == 404]
    for who, integration in missed:
        if integration not in store.deleted():
            yield f"{who} did not find {integration}, which nobody has deleted"
    for op in history.operations.values():
        for a in op.answers:
            if a["event"] == "seen" and a["status"] == 404:
                yield f"{op}: GET did not find {a['job']}"


def explained_by_keyless(history, store):
    """How many jobs without a key each (kind, integration) may have: what was sent and not refused. A setup's target is
    not known beforehand."""
    allowed = collections.Counter()
    for op in history.operations.values():
        if not op.key and op.sent:
            allowed[op.kind, op.target] += 1
    return allowed


def nothing_unasked(history, store, _):
    keys, jobs = history.by_key(), history.by_job()
    allowed = explained_by_keyless(history, store)
    for job in store.jobs.values():
        op = keys.get(job.idem) if job.idem else jobs.get(job.id)
        if not job.idem:
            lane = job.kind, None if job.kind == "setup" else job.integration
            allowed[lane] -= 1
            if allowed[lane] < 0:
                yield f"{job.id} ({job.kind} of {job.integration}): more of them than were asked for"
        elif not op or not op.sent:
            yield f"{job.id} has the key {job.idem}, which nobody has sent"
        if op and (op.kind != job.kind or (op.target or job.integration) != job.integration
                   or (op.type or job.type) != job.type):
            yield f"{job.id} is a {job.kind} of {job.integration} ({job.type}); {op} asked for something else"
    made = {j.integration for j in store.of_kind("setup", "done")}
    names = {op.name for op in history.of_kind("setup") if op.sent}
    for integration in store.integrations.values():
        if integration.id not in made or integration.name not in names:
            yield f"{integration.id} ({integration.name!r}) is there, and no setup that was asked for made it"


def revisions_count(history, store, _):
    """1 of the setup, and 1 of each validation that is done."""
    validations = collections.Counter(j.integration for j in store.of_kind("validate", "done"))
    for integration in store.integrations.values():
        wanted = 1 + validations[integration.id]
        if integration.revision != wanted:
            yield f"{integration.id} has revision {integration.revision}; a setup and its validations make {wanted}"
    for look in history.looks:
        there = store.integrations.get(look["integration"])
        if there and (look["revision"] or 0) > there.revision:
            yield f"{there.id} was seen with revision {look['revision']} and has {there.revision}"


def codes_of(credential):
    text = credential.split("_", 2)[2] if credential.startswith("sk_") else credential.split("-", 1)[1]
    return next((codes for word, codes in WORDS.items() if text.startswith(word)), set())


def outcomes_fit_credentials(history, store, _):
    codes_for = {job.integration: codes_of(op.credential) for op, job in matched(history, store)
                 if op.kind == "setup" and job}
    for job in store.jobs.values():
        codes = codes_for.get(job.integration)
        if codes is None or job.kind == "delete":
            continue
        if job.kind == "setup" and job.state_name == "done" and "ok" not in codes:
            yield f"{job.id} is done, with a credential that does not work"
        elif job.code not in TROUBLE | codes:
            yield f"{job.id} has {job.code}, with a credential that leads to {' or '.join(sorted(codes)) or 'trouble'}"


def done_reached_the_provider(history, store, tally):
    """Evidence from the other side. More requests than one are fine: a lost attempt is made again."""
    for op, job in matched(history, store):
        if op.kind == "setup" and job and job.state_name == "done" and not tally.get(op.credential):
            yield f"{job.id} is done, and the provider was never asked with its credential"


def ended_jobs_hold_nothing(_, store, __):
    for job in store.jobs.values():
        if job.state_name in ("done", "failed", "cancelled") and job.has_payload:
            yield f"{job.id} is {job.state_name} and still holds its sealed payload"


def answers_are_known(history, _, __):
    for op in history.operations.values():
        for answer in op.answers:
            if answer["status"] not in GOOD_STATUSES or answer["code"] in ("idempotency_key_reused", "invalid_request"):
                yield f"{op} was answered {answer['status']} {answer['code']}"


RULES = (
    ("what was accepted is in the store", accepted_is_there),
    ("every job has ended, in one state", all_have_ended),
    ("every job ended as the client was told", ended_as_told),
    ("who was told an end is told the same ever after", told_the_same_always),
    ("one idempotency key, one job", one_job_by_key),
    ("a setup that is done is there once, as asked for", setups_exist_once),
    ("a setup that is not done leaves nothing", failed_setups_leave_nothing),
    ("a name is held by one integration at a time", names_are_held_by_one),
    ("what was deleted is gone", deleted_is_gone),
    ("nothing is missing that nobody has deleted", gone_means_deleted),
    ("nothing is there that nobody asked for", nothing_unasked),
    ("each validation counts once", revisions_count),
    ("outcomes fit the credentials", outcomes_fit_credentials),
    ("what is done has reached the provider", done_reached_the_provider),
    ("jobs that have ended hold no payload", ended_jobs_hold_nothing),
    ("every answer is one that the API knows", answers_are_known),
)


def audit(history, store, tally):
    """{rule: what it found wrong, each once}"""
    return {name: list(dict.fromkeys(rule(history, store, tally))) for name, rule in RULES}
