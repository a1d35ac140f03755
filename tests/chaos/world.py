"""The processes of a run, each in the network namespace of its node: broker, workers, simulated provider, client."""

import ctypes
import http.client
import json
import secrets
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
from cluster import BUILD, HOSTS, ROOT, Process, secret_file, until  # noqa: E402

import client as load  # noqa: E402
import net  # noqa: E402

WORKERS = ("w1", "w2", "w3")
LEASE_MS = 2000
HTTP_PORT, CLUSTER_PORT, PROVIDER_PORT, TALLY_PORT = 7400, 7401, 8443, 8080
# node: (host on the network cluster, host on the network provider); None: not there
HOSTS_OF = {"broker": (1, None), "provider": (None, 2), "client": (21, None),
            **{name: (11 + n, 11 + n) for n, name in enumerate(WORKERS)}}
END_SECONDS = 30
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def die_with_parent():
    """A run that is killed must leave no process behind."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def networks(wire):
    made = net.Networks(wire)
    for node, hosts in HOSTS_OF.items():
        for network, host in zip(("cluster", "provider"), hosts):
            if host:
                made.add(node, network, host)
    return made


class World:
    """start() and the verbs of the faults are for the main thread: children die with the thread that made them."""

    def __init__(self, folder, nets):
        self.folder, self.nets, self.data = folder, nets, folder / "data"
        self.data.mkdir(mode=0o700)
        self.secret = secret_file(self.data / "cluster.secret", secrets.token_hex(32) + "\n")
        self.keyring = secret_file(self.data / "keyring", f"key k1 {secrets.token_hex(32)}\n")
        self.running, self.frozen, self.deaths = {}, set(), []
        self.client = None

    # -- commands --

    def listen(self):
        return f"tcp://{self.nets.address('broker', 'cluster')}:{CLUSTER_PORT}"

    def broker_command(self, _):
        return [BUILD / "patchbay-broker", "--data-dir", self.data, "--manifests", ROOT / "manifests",
                "--http-listen", f"{self.nets.address('broker', 'cluster')}:{HTTP_PORT}", "--cluster-listen", self.listen(),
                "--cluster-secret", self.secret, "--lease-ms", LEASE_MS]

    def worker_command(self, name):
        provider = self.nets.address("provider", "provider")
        return [BUILD / "patchbay-worker", "--name", name, "--broker", self.listen(), "--cluster-secret", self.secret,
                "--keyring", self.keyring, "--manifests", ROOT / "manifests", "--ca-file", self.folder / "ca.pem",
                "--allow-egress", provider] + [f"--connect-to={host}:443:{provider}:{PROVIDER_PORT}" for host in HOSTS]

    def provider_command(self, _):
        return [BUILD / "patchbay-sandbox", "--listen", "0.0.0.0", "--https-port", PROVIDER_PORT, "--http-port", TALLY_PORT,
                "--ca-file", self.folder / "ca.pem"]

    def command(self, node):
        if node in WORKERS:
            return self.worker_command(node)
        return {"broker": self.broker_command, "provider": self.provider_command}[node](node)

    def spawn(self, node, words, **popen):
        return Process(self.folder / f"{node}.log", "ip", "netns", "exec", self.nets.namespace(node), *words,
                       start_new_session=True, preexec_fn=die_with_parent, **popen)

    # -- what faults do --

    def start(self, node):
        process = self.spawn(node, self.command(node), stdout=subprocess.DEVNULL)
        process.told, process.told_at, process.again = False, 0, True
        self.running[node] = process

    def kill(self, node):
        if node in self.running:
            self.frozen.discard(node)
            self.running.pop(node).kill()

    def tell_to_end(self, node):
        """Returns at once; check() and finish() see to the end."""
        process = self.running.get(node)
        if process:
            process.signal(signal.SIGTERM)
            process.told, process.told_at, process.again = True, time.monotonic(), False

    def freeze(self, node):
        if node in self.running:
            self.running[node].signal(signal.SIGSTOP)
            self.frozen.add(node)

    def thaw(self, node):
        if node in self.frozen:
            self.running[node].signal(signal.SIGCONT)
            self.frozen.discard(node)

    def start_again(self, node):
        """At once, or as soon as it has ended."""
        if node in self.running:
            self.running[node].again = True
        else:
            self.start(node)

    def ended(self, node, process, status):
        self.running.pop(node)
        if process.told and status is None:
            process.kill()
            self.deaths.append(f"{node} (process {process.pid}) was told to end and did not within {END_SECONDS} s")
        elif status or not process.told:
            how = "was told to end and did" if process.told else "ended by itself"
            self.deaths.append(f"{node} (process {process.pid}) {how} with status {status}")

    def check(self):
        """Notes who ended as it should not have; starts again who is to live."""
        for node, process in list(self.running.items()):
            status = process.popen.poll()
            late = process.told and time.monotonic() > process.told_at + END_SECONDS
            if status is None and not late:
                continue
            self.ended(node, process, status)
            if process.again:
                self.start(node)

    # -- the run --

    def ask(self, node, port, path):
        def call():
            with closing(http.client.HTTPConnection("127.0.0.1" if node == "provider" else self.nets.address(node, "cluster"),
                                                    port, timeout=5)) as connection:
                connection.request("GET", path)
                return json.loads(connection.getresponse().read())

        try:
            return net.inside(self.nets.namespace(node), call)
        except OSError:
            return None

    def workers_ready(self):
        return (self.ask("broker", HTTP_PORT, "/readyz") or {}).get("workers")

    def open(self):
        for node in ("provider", "broker"):
            self.start(node)
        until("the provider answers", lambda: self.ask("provider", TALLY_PORT, "/__sandbox/requests"))
        for name in WORKERS:
            self.start(name)
        until("all workers have joined", lambda: self.workers_ready() == len(WORKERS))
        return self

    def start_client(self, seed):
        words = ["ip", "netns", "exec", self.nets.namespace("client"), sys.executable, HERE / "client.py",
                 "--host", self.nets.address("broker", "cluster"), "--port", HTTP_PORT, "--seed", seed,
                 "--token-file", self.data / "admin.token", "--log", self.folder / "client.jsonl"]
        with open(self.folder / "client.err", "ab") as err:
            self.client = subprocess.Popen([str(w) for w in words], stdin=subprocess.PIPE, stderr=err, start_new_session=True,
                                           preexec_fn=die_with_parent)

    def settle_client(self):
        """Tells the client that it is enough, and waits until it knows the end of all that it began. False: it does not."""
        try:
            self.client.communicate(b"stop\n", timeout=load.SETTLE_SECONDS + END_SECONDS)
        except subprocess.TimeoutExpired:
            self.client.kill()
        return self.client.wait() == 0

    def heal(self):
        self.nets.heal()
        for node in list(self.frozen):
            self.thaw(node)
        for node in ("provider", "broker", *WORKERS):
            self.await_end(node)
            if node not in self.running:
                self.start(node)

    def await_end(self, node):
        while node in self.running and self.running[node].told:
            self.check()
            time.sleep(0.05)

    def tally(self):
        """How often the provider was asked, by key."""
        return (self.ask("provider", TALLY_PORT, "/__sandbox/requests") or {}).get("byKey", {})

    def finish(self):
        """All of it in good order: workers first, so that their last reports are heard."""
        self.check()
        for node in (*WORKERS, "broker", "provider"):
            self.tell_to_end(node)
            self.await_end(node)

    def close(self):
        for process in (*(p.popen for p in self.running.values()), *([self.client] if self.client else [])):
            if process.poll() is None:
                process.kill()
                process.wait()
