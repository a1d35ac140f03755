"""A Patchbay of real processes: sandbox provider, broker, workers, and a client of the HTTP API.

Everything listens on loopback, lives in a folder of its own, and ends with the test, whatever happened in it."""

import contextlib
import hashlib
import http.client
import json
import os
import random
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("BUILD", ROOT / "build")).resolve()
SANITIZED = "address" in BUILD.name
HOSTS = ("api.stripe.com", "slack.com")
PATIENCE = 30  # seconds, for what should take a fraction of one


def until(what, condition, patience=PATIENCE):
    """Waits until condition() gives something true, and returns that."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"after {patience} s still not: {what}")


def clean_env(**extra):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PATCHBAY_")}
    # NNG 1.5.2 keeps a listener for ever whose peers broke their handshakes off (see common/push.h)
    return {**kept, "NO_COLOR": "1", "LSAN_OPTIONS": f"suppressions={Path(__file__).parent}/lsan.supp", **extra}


def two_ports():
    """A port that is free and whose neighbour is, below those that the system gives to clients."""
    while True:
        port = random.randrange(20000, 30000)
        try:
            with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
                return port
        except OSError:
            continue


class Process:
    """A program with its standard error in a file."""

    def __init__(self, log, *command, **popen):
        self.log_path = Path(log)
        with open(log, "ab") as err:
            self.popen = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stderr=err,
                                          env=popen.pop("env", clean_env()), **popen)
        self.pid = self.popen.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def says(self, text):
        return until(f"{self.log_path.name} says {text!r}", lambda: text in self.log())

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, patience=PATIENCE):
        return self.popen.wait(patience)

    def stop(self):
        """Asks it to end, and insists. The exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
            try:
                self.popen.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.popen.wait()

    def kill(self):
        self.popen.kill()
        self.popen.wait()


class Sandbox(Process):
    def __init__(self, folder):
        self.ca = folder / "ca.pem"
        super().__init__(folder / "sandbox.log", BUILD / "patchbay-sandbox", "--https-port", "0", "--http-port", "0",
                         "--ca-file", self.ca, stdout=subprocess.PIPE)
        ports = json.loads(self.popen.stdout.readline())
        self.https, self.http = ports["https"], ports["http"]

    def ask(self, method, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=PATIENCE)
        connection.request(method, path)
        answer = connection.getresponse().read()
        connection.close()
        return json.loads(answer) if answer else None

    def requests(self):
        return self.ask("GET", "/__sandbox/requests")


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.text = response.status, response.headers, body.decode()
        kind = response.headers["Content-Type"] or ""
        is_json = "json" in kind and "ndjson" not in kind
        self.json = json.loads(self.text) if is_json and self.text else None

    def __repr__(self):
        return f"{self.status} {self.text}"


class Api:
    """The HTTP API, by one connection per call."""

    def __init__(self, port, token):
        self.port, self.token = port, token

    def call(self, method, path, body=None, wait=None, headers=None, raw=None):
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        if wait is not None:
            sent["Prefer"] = f"wait={wait}"
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        with contextlib.closing(connection):
            connection.request(method, path, body=raw, headers=sent)
            response = connection.getresponse()
            return Answer(response, response.read())

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def setup(self, name, key="sk_test_ok", type="stripe", field="apiKey", wait=PATIENCE, **more):
        body = {"type": type, "name": name, "credentials": {field: key}}
        return self.call("POST", "/v1/integrations", body, wait=wait, **more)

    def validate(self, id, wait=PATIENCE):
        return self.call("POST", f"/v1/integrations/{id}/validate", wait=wait)

    def show(self, id):
        return self.get(f"/v1/integrations/{id}").json

    def job(self, id):
        return self.get(f"/v1/jobs/{id}").json

    def finished(self, id):
        """A job's record once it has finished."""
        return until(f"job {id} has finished", lambda: (j := self.job(id))["state"] != "waiting" and j)

    def submit(self, kind="ping", wait=None, headers=None, **members):
        return self.call("POST", "/v1/jobs", {"kind": kind, **members}, wait=wait, headers=headers)

    def submit_many(self, jobs):
        raw = b"".join(json.dumps(job).encode() + b"\n" for job in jobs)
        return self.call("POST", "/v1/jobs", raw=raw, headers={"Content-Type": "application/x-ndjson"})

    def setup_job(self, name, key="sk_test_ok", **members):
        credentials = {"apiKey": key}
        return self.submit("setup", type="stripe", name=name, credentials=credentials, **members)

    def cancel(self, id):
        return self.call("POST", f"/v1/jobs/{id}:cancel")

    def retry(self, id, wait=None):
        return self.call("POST", f"/v1/jobs/{id}:retry", wait=wait)

    def jobs(self, query=""):
        return self.get(f"/v1/jobs?limit=500{query}").json["items"]

    def queue(self):
        return self.get("/v1/queue").json

    def in_phase(self, id, phase):
        return until(f"job {id} is {phase}", lambda: (j := self.job(id)).get("phase") == phase and j)

    def workers(self):
        return {w["name"]: w for w in self.get("/v1/workers").json["items"]}

    def all(self, query=""):
        """Every integration, page by page."""
        items, after = [], ""
        while True:
            page = self.get(f"/v1/integrations?limit=50{query}{after}").json
            items += page["items"]
            if not page["next"]:
                return items
            after = f"&after={page['next']}"


def secret_file(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


class Cluster:
    def __init__(self, folder, lease_ms=2000, manifests=ROOT / "manifests", cluster_listen=None, store=None):
        self.store = store  # URL; None: the embedded one
        self.folder, self.data, self.manifests, self.lease_ms = folder, folder / "data", manifests, lease_ms
        self.data.mkdir(mode=0o700)
        (self.data / "run").mkdir(mode=0o700)
        self.listen = cluster_listen or f"ipc://{self.data}/run"
        self.secret = secret_file(self.data / "cluster.secret", secrets.token_hex(32) + "\n")
        self.keyring = self.new_keyring("keyring")
        self.processes, self.workers = [], {}
        self.sandbox = self.keep(Sandbox(folder))
        self.broker = None
        self.port = two_ports()  # not one that the system may give to a client while the broker is down

    def new_keyring(self, name):
        return secret_file(self.data / name, f"key k1 {secrets.token_hex(32)}\n")

    def keep(self, process):
        self.processes.append(process)
        return process

    def broker_options(self):
        return ["--data-dir", self.data, "--manifests", self.manifests, "--http-listen", f"127.0.0.1:{self.port}",
                "--cluster-listen", self.listen, "--cluster-secret", self.secret, "--lease-ms", self.lease_ms,
                *(["--store", self.store] if self.store else [])]

    def start_broker(self, *more, program="patchbay-broker", env=None):
        log = self.folder / "broker.log"
        before = log.read_text().count('"ready"') if log.exists() else 0
        self.broker = self.keep(Process(log, BUILD / program, *self.broker_options(), *more, env=env or clean_env()))
        until("the broker is ready", lambda: self.ready_lines() > before or self.broker.popen.poll() is not None)
        assert self.broker.popen.poll() is None, self.broker.log()
        line = [json.loads(line) for line in self.broker.log().splitlines() if '"ready"' in line][-1]
        self.port = int(line["port"])
        return self.broker

    def ready_lines(self):
        return self.broker.log().count('"ready"')

    def worker_options(self, name, keyring=None, secret=None):
        return ["--name", name, "--broker", self.listen, "--cluster-secret", secret or self.secret, "--keyring",
                keyring or self.keyring, "--manifests", self.manifests, "--ca-file", self.sandbox.ca,
                "--allow-egress", "127.0.0.1"] + [f"--connect-to={host}:443:127.0.0.1:{self.sandbox.https}"
                                                  for host in HOSTS]

    def start_worker(self, name="w1", *more, wait=True, **options):
        worker = Process(self.folder / f"{name}.log", BUILD / "patchbay-worker", *self.worker_options(name, **options),
                         *more)
        self.workers[name] = self.keep(worker)
        if wait:
            until(f"{name} has joined", lambda: name in self.api().workers())
        return worker

    def start(self, workers=1):
        self.start_broker()
        for n in range(workers):
            self.start_worker(f"w{n + 1}")
        return self

    def token(self):
        return (self.data / "admin.token").read_text().strip()

    def api(self, token=None):
        return Api(self.port, token or self.token())

    def new_token(self, tenant, role="admin"):
        """Of a tenant; made in the store, which the broker reads when it starts: it must not run."""
        assert self.broker.popen.poll() is not None
        token = "pb_" + secrets.token_urlsafe(32)
        with contextlib.closing(sqlite3.connect(self.data / "patchbay.db")) as db, db:
            db.execute("INSERT INTO tokens (hash, tenant, role, name, created_at) VALUES (?, ?, ?, 'test', 0)",
                       (hashlib.blake2b(token.encode(), digest_size=32).digest(), tenant, role))
        return token

    def new_apis(self, *holders):
        """Of tenants and roles, with new tokens. The broker, which runs, is started again for them."""
        self.broker.stop()
        tokens = [self.new_token(tenant, role) for tenant, role in holders]
        self.start_broker()
        return [self.api(token) for token in tokens]

    def without_worker(self, name="w1"):
        self.workers.pop(name).stop()
        until(f"{name} has left", lambda: name not in self.api().workers())
        return self

    def package(self, type="stripe", change=lambda manifest: None):
        """A folder of packages of the cluster's own, in which one is changed; for what starts from now on."""
        own = self.folder / "packages"
        if not own.exists():
            shutil.copytree(self.manifests, own)
        manifest = json.loads((own / type / "manifest.json").read_text())
        change(manifest)
        (own / type / "manifest.json").write_text(json.dumps(manifest))
        self.manifests = own
        return self

    def stop(self):
        for process in reversed(self.processes):
            process.stop()
