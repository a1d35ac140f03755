#!/usr/bin/env python3
"""The load, and the log that the auditor believes.

Several threads ask for setups, validations and deletions, and write down each intent before it is sent and each answer
after it has come. An answer that is lost leaves the intent open; it is sent again with the same idempotency key until
something is known. When standard input says `stop` (or ends) nothing new is asked for, and whatever is open is followed
to its end; the last line of the log says whether that worked.

The log is JSON lines, each with `event`:
    intent  op kind key name type credential integration    what is wanted; before anything is sent
    send    op try wait                                     before each sending
    answer  op try status job integration state code        what the answer says; null where it says nothing
    lost    op try error                                    no answer came
    seen    op job state code                               what GET /v1/jobs/{id} says
    looked  integration status revision                     what GET /v1/integrations/{id} says
    settled open                                            the end, with the operations that are still open

To add an operation: a row in KINDS (its request, and what its answer says) and a move in MOVES that makes one."""

import argparse
import contextlib
import http.client
import json
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

THREADS = 16
PAUSE_SECONDS = 0.4         # between two moves of a thread, at most
TRIES = 3                   # sendings in a row before an operation is left open for later
ANSWER_SECONDS = 5          # beyond what was asked to wait
SETTLE_SECONDS = 180
SETTLE_PAUSE_SECONDS = 0.5
SETUPS_MAX = 12000          # the simulated provider counts by key, and knows 16,000 keys
BURST = 20
OPEN_MAX = 500              # operations without an answer; more would only be an outage measured again

FINAL = ("done", "failed", "cancelled", "dead")

# (weight, word of the simulated provider); slow ones are what faults meet under way
CREDENTIALS = ((30, "ok"), (15, "slow200"), (15, "slow900"), (8, "slow3000"), (10, "bad"), (4, "revoked"), (4, "error503"),
               (4, "flaky1"), (3, "reset"), (2, "limit1"), (1, "hang"))
# (weight, type, credential field, key prefix)
TYPES = ((3, "stripe", "apiKey", "sk_test_"), (2, "slack", "botToken", "xoxb-"))
# (weight, seconds of Prefer: wait; None: no such header)
WAITS = ((5, None), (2, 1), (3, 5), (2, 15))


def choose(rng, rows):
    return rng.choices(rows, [row[0] for row in rows])[0][1:]


@dataclass
class Told:
    """What an answer says about a job. state None: nothing."""
    job: str | None = None
    integration: str | None = None
    state: str | None = None
    code: str | None = None


@dataclass
class Operation:
    id: int
    kind: str
    key: str | None
    integration: str | None = None
    name: str | None = None
    type: str | None = None
    member: str | None = None  # of credentials
    credential: str | None = None
    tries: int = 0
    job: str | None = None
    state: str | None = None  # final, once it is known; "refused" and "gone" end it, too
    sending: object = field(default_factory=threading.Lock, repr=False)  # one sending at a time, but for twins

    def is_open(self):
        return self.state is None

    def intent(self):
        return {"kind": self.kind, "key": self.key, "name": self.name, "type": self.type, "credential": self.credential,
                "integration": self.integration}


# -- what is asked, and what an answer says --


def job_told(body):
    result = body.get("result") or {}
    return Told(body["id"], body["integration"], body["state"], result.get("code"))


def setup_request(op):
    return "POST", "/v1/integrations", {"type": op.type, "name": op.name, "credentials": {op.member: op.credential}}


def setup_done(body):
    return Told(integration=body["id"], state="done")  # its result may be a later validation's


def validate_request(op):
    return "POST", f"/v1/integrations/{op.integration}/validate", None


def delete_request(op):
    return "DELETE", f"/v1/integrations/{op.integration}", None


def delete_done(_):
    return Told(state="done")


@dataclass(frozen=True)
class Kind:
    request: object  # operation -> method, path, body
    success: int     # status of an answer with the outcome
    read: object     # that answer's body -> Told


KINDS = {
    "setup": Kind(setup_request, 201, setup_done),
    "validate": Kind(validate_request, 200, job_told),
    "delete": Kind(delete_request, 204, delete_done),
}


def read_problem(status, body):
    """A problem with a test's result is a job that failed; any other means that there is no job, or none any more."""
    code = body.get("code")
    if code == "cancelled":
        return Told(state="cancelled", code=code)
    if body.get("result"):
        return Told(state="failed", code=code)
    if status == 404:
        return Told(state="gone", code=code)
    if status in (429, 503):
        return Told(code=code)  # nobody knows: the same key tells, later
    return Told(state="refused", code=code)


def read_answer(kind, status, body):
    if status == 202:
        return job_told(body)
    if status == KINDS[kind].success:
        return KINDS[kind].read(body)
    return read_problem(status, body or {})


class Http:
    """One connection for each request: what breaks, breaks one."""

    def __init__(self, host, port, token):
        self.host, self.port, self.token = host, port, token

    def call(self, method, path, body=None, key=None, wait=None):
        headers = {"Authorization": f"Bearer {self.token}"}
        if key:
            headers["Idempotency-Key"] = key
        if wait:
            headers["Prefer"] = f"wait={wait}"
        if body is not None:
            headers["Content-Type"], body = "application/json", json.dumps(body)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_SECONDS + (wait or 0))
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            text = response.read()
        return response.status, json.loads(text) if text else None


class Client:
    def __init__(self, http_, log, seed):
        self.http, self.log, self.seed = http_, log, seed
        self.lock = threading.RLock()
        self.operations = []
        self.alive = {}  # integration: its setup's operation, as far as we know it exists
        self.deleted_names = []
        self.setups = 0
        self.stopping = threading.Event()

    # -- the log --

    def note(self, event, **more):
        line = json.dumps({"at": round(time.time() * 1000), "event": event, **more}, ensure_ascii=False)
        with self.lock:
            self.log.write(line + "\n")
            self.log.flush()

    def operation(self, rng, kind, with_key=0.9, **more):
        with self.lock:
            number = len(self.operations)
            key = f"chaos-{self.seed}-{number}" if rng.random() < with_key else None
            op = Operation(number, kind, key, **more)
            self.note("intent", op=op.id, **op.intent())
            self.operations.append(op)  # last: now other threads may pick it
        return op

    # -- one sending --

    def send(self, op, wait):
        """True when an answer came, whatever it says."""
        with self.lock:
            op.tries += 1
            number = op.tries
        method, path, body = KINDS[op.kind].request(op)
        self.note("send", op=op.id, **{"try": number}, wait=wait)
        try:
            status, answer = self.http.call(method, path, body, op.key, wait)
            told = read_answer(op.kind, status, answer)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.note("lost", op=op.id, **{"try": number}, error=f"{type(error).__name__}: {error}")
            return False
        self.note("answer", op=op.id, **{"try": number}, status=status, **vars(told))
        self.learn(op, told)
        return True

    def learn(self, op, told):
        with self.lock:
            op.job = op.job or told.job
            if op.kind == "setup":
                op.integration = op.integration or told.integration
            if op.state or told.state in (None, "waiting"):
                return
            op.state = told.state
            if op.kind == "setup" and op.state == "done" and op.integration:
                self.alive[op.integration] = op
            if op.kind == "delete" and op.state in ("done", "gone"):
                setup = self.alive.pop(op.integration, None)
                self.deleted_names += [setup.name] if setup else []

    def follow(self, op, wait=None):
        """What has become of an operation's job."""
        try:
            status, body = self.http.call("GET", f"/v1/jobs/{op.job}", wait=wait)
        except (OSError, http.client.HTTPException, ValueError):
            return
        if status != 200:
            self.note("seen", op=op.id, job=op.job, state=None, code=(body or {}).get("code"), status=status)
            return
        told = job_told(body)
        self.note("seen", op=op.id, job=told.job, state=told.state, code=told.code, status=status)
        self.learn(op, told)

    def perform(self, op, rng):
        wait, = choose(rng, WAITS)
        for _ in range(TRIES if op.key else 1):
            with op.sending:
                if self.send(op, wait) and (op.job or not op.is_open()):
                    return
            if self.stopping.wait(rng.uniform(0.1, 0.8)):
                return

    # -- choices --

    def pick(self, rng, wanted):
        with self.lock:
            found = [op for op in self.operations[-2000:] if wanted(op)]
        return rng.choice(found) if found else None

    def pick_alive(self, rng):
        with self.lock:
            return rng.choice(list(self.alive)) if self.alive else None

    def open_count(self):
        with self.lock:
            return sum(op.is_open() for op in self.operations)

    def new_setup(self, rng, name=None):
        with self.lock:
            self.setups += 1
            number = self.setups
        if number > SETUPS_MAX:
            return None
        type_, member, prefix = choose(rng, TYPES)
        word, = choose(rng, CREDENTIALS)
        return self.operation(rng, "setup", name=name or f"connection {number} of {self.seed}", type=type_, member=member,
                              credential=f"{prefix}{word}_c{number}x{self.seed}")


# -- moves: what a thread may do next --


def set_up(client, rng):
    op = client.new_setup(rng)
    if op:
        client.perform(op, rng)


def set_up_again(client, rng):
    """A name that an acknowledged deletion has set free."""
    with client.lock:
        name = client.deleted_names.pop(0) if client.deleted_names else None
    op = client.new_setup(rng, name) if name else None
    if op:
        client.perform(op, rng)


def at_once(*calls):
    threads = [threading.Thread(target=call, args=args) for call, *args in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def contest(client, rng):
    """Two setups of one name at once: one can win."""
    first = client.new_setup(rng)
    second = client.new_setup(rng, first.name) if first else None
    if second:
        at_once((client.perform, first, random.Random(rng.random())), (client.perform, second, random.Random(rng.random())))


def twins(client, rng):
    """One request, with its key, on two connections at once."""
    op = client.new_setup(rng)
    if op and op.key:
        wait, = choose(rng, WAITS)
        at_once((client.send, op, wait), (client.send, op, wait))
    elif op:
        client.perform(op, rng)


def validate(client, rng):
    integration = client.pick_alive(rng)
    if integration:
        client.perform(client.operation(rng, "validate", integration=integration), rng)


def delete(client, rng):
    integration = client.pick_alive(rng)
    if integration:
        client.perform(client.operation(rng, "delete", integration=integration), rng)


def burst(client, rng):
    """Many setups one after the other, none waited for: a backlog for whoever dies next."""
    for _ in range(BURST):
        op = client.new_setup(rng)
        if op and not client.stopping.is_set():
            client.send(op, None)


def crowd(client, rng):
    """Validations of one integration, side by side, and now and then its deletion among them."""
    integration = client.pick_alive(rng)
    if not integration:
        return
    kinds = ["validate"] * 4 + ["delete"] * (rng.random() < 0.3)
    at_once(*((client.perform, client.operation(rng, kind, integration=integration), random.Random(rng.random()))
              for kind in kinds))


def repeat(client, rng):
    """A request whose end is known, once more: nothing may happen."""
    op = client.pick(rng, lambda op: op.key and op.state in FINAL)
    if op:
        client.send(op, choose(rng, WAITS)[0])


def take_up(client, rng):
    """A request whose answers were all lost."""
    op = client.pick(rng, lambda op: op.key and op.is_open() and not op.job and not op.sending.locked())
    if op:
        client.perform(op, rng)


def ask(client, rng):
    op = client.pick(rng, lambda op: op.job and op.is_open())
    if op:
        client.follow(op, choose(rng, WAITS)[0])


def look(client, rng):
    integration = client.pick_alive(rng)
    if not integration:
        return
    try:
        status, body = client.http.call("GET", f"/v1/integrations/{integration}")
    except (OSError, http.client.HTTPException, ValueError):
        return
    client.note("looked", integration=integration, status=status, revision=(body or {}).get("revision"))


MOVES = ((24, set_up), (4, set_up_again), (3, contest), (3, twins), (1, burst), (30, validate), (2, crowd), (6, delete),
         (6, repeat), (12, take_up), (16, ask), (6, look))
MOVES_IN_AN_OUTAGE = ((1, take_up), (1, ask))


# -- the run --


def work(client, seed):
    rng = random.Random(seed)
    while not client.stopping.is_set():
        move, = choose(rng, MOVES_IN_AN_OUTAGE if client.open_count() > OPEN_MAX else MOVES)
        move(client, rng)
        client.stopping.wait(rng.uniform(0, PAUSE_SECONDS))


def settle_one(client, op):
    if op.job:
        client.follow(op, wait=5)
    elif op.key:
        client.send(op, None)


def unsettled(client):
    """Without a key and without an answer nothing can be learnt; the auditor allows for either end."""
    with client.lock:
        return [op for op in client.operations if op.is_open() and (op.key or op.job)]


def settle(client):
    end = time.monotonic() + SETTLE_SECONDS
    with ThreadPoolExecutor(THREADS) as pool:
        while (left := unsettled(client)) and time.monotonic() < end:
            list(pool.map(lambda op: settle_one(client, op), left[:100]))
            time.sleep(SETTLE_PAUSE_SECONDS)
    client.note("settled", open=[op.id for op in left])
    return not left


def run(client, seed):
    threads = [threading.Thread(target=work, args=(client, f"{seed}/{n}")) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    sys.stdin.readline()
    client.stopping.set()
    for thread in threads:
        thread.join()
    return settle(client)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--seed", required=True)
    options = parser.parse_args()
    with open(options.log, "a", encoding="utf-8") as log:
        client = Client(Http(options.host, options.port, options.token_file.read_text().strip()), log, options.seed)
        return 0 if run(client, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
