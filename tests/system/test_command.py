"""The patchbay command: what people type, what they see, and the exit status that scripts go by."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest
from cluster import BUILD, HOSTS, PATIENCE, ROOT, Process, Sandbox, clean_env, until

DONE, NO, USAGE, UNREACHABLE = 0, 1, 2, 3


class Patchbay:
    """The command, pointed at a cluster."""

    def __init__(self, cluster):
        self.env = clean_env(PATCHBAY_URL=f"http://127.0.0.1:{cluster.port}", PATCHBAY_TOKEN=cluster.token(),
                             HOME=str(cluster.folder))

    def __call__(self, *args, stdin="", env=None):
        ended = subprocess.run([str(BUILD / "patchbay"), *args], input=stdin.encode(), capture_output=True, timeout=90,
                               env={**self.env, **(env or {})}, cwd="/")
        out, err = ended.stdout.decode(), ended.stderr.decode()
        assert "Sanitizer" not in err, err
        return ended.returncode, out, err

    def setup(self, name, type="stripe", **credentials):
        return self("setup", type, "--name", name, "--credentials", "-", stdin=json.dumps(credentials))


@pytest.fixture(scope="module")
def patchbay(shared):
    return Patchbay(shared)


def test_setup_says_what_is_connected(patchbay):
    code, out, err = patchbay.setup("First", apiKey="sk_test_ok_first")
    assert code == DONE and not err
    lines = out.splitlines()
    assert re.match(r"ok  connected to acct_\w+ \(.+\), \d+ ms$", lines[0])
    assert lines[1] == "ok  6 event types registered"
    assert re.match(r"int_[0-9a-f]{32}  First  stripe  active$", lines[2])


def test_a_refused_setup_says_why_and_exits_with_1(patchbay):
    code, out, err = patchbay.setup("Refused", apiKey="sk_test_bad_key")
    assert code == NO
    assert "invalid_credentials" in out + err and "Invalid API Key" in out + err and "apiKey" in out + err
    assert patchbay("show", "Refused")[0] == NO


def test_a_misspelt_field_is_named(patchbay):
    code, out, err = patchbay.setup("Misspelt", apikey="sk_test_ok")
    assert code == NO and "did you mean apiKey?" in out + err


def test_an_unknown_type_is_named(patchbay):
    code, out, err = patchbay.setup("x", type="strip", key="v")
    assert code in (NO, USAGE) and "stripe" in out + err


@pytest.mark.parametrize("stdin, hint", [("", "JSON"), ("{", "JSON"), ("[]", "object"), ('{"apiKey": 5}', "string")])
def test_malformed_credentials_are_refused(patchbay, stdin, hint):
    code, out, err = patchbay("setup", "stripe", "--name", "x", "--credentials", "-", stdin=stdin)
    assert code in (NO, USAGE) and hint in out + err


def test_without_a_terminal_credentials_must_come_from_a_file(patchbay):
    code, _, err = patchbay("setup", "stripe", "--name", "x")
    assert code == USAGE and "--credentials" in err


def test_secrets_are_asked_for_without_showing_them(patchbay):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(str(BUILD / "patchbay"), ["patchbay", "setup", "stripe", "--name", "Typed"], patchbay.env)
    seen = read_until(terminal, "API key: ")
    os.write(terminal, b"sk_test_ok_typed\n")
    seen += read_until(terminal, "secret")
    os.write(terminal, b"\n")
    seen += read_until(terminal, "Typed  stripe  active")
    assert os.waitpid(pid, 0)[1] == 0
    assert "sk_test_ok_typed" not in seen and "connected to" in seen


def read_until(terminal, text):
    seen, end = "", time.monotonic() + PATIENCE
    while text not in seen:
        assert time.monotonic() < end, seen
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 65536).decode()
    return seen


def test_types_list_and_show(patchbay):
    patchbay.setup("Shown", apiKey="sk_test_ok_shown")
    code, out, _ = patchbay("types")
    assert code == DONE and "stripe" in out and "slack" in out
    code, out, _ = patchbay("types", "stripe")
    assert code == DONE and "apiKey" in out and "invoice.paid" in out
    code, out, _ = patchbay("list", "--type", "stripe")
    assert code == DONE and "Shown" in out
    code, out, _ = patchbay("show", "Shown")
    assert code == DONE and "invoice.paid" in out and "sk_test" not in out
    record = json.loads(patchbay("show", "Shown", "--json")[1])
    assert record["name"] == "Shown" and json.loads(patchbay("show", record["id"], "--json")[1]) == record


def test_validate_tells_the_answer_by_its_status(patchbay):
    patchbay.setup("Good", apiKey="sk_test_ok_g")
    assert patchbay("validate", "Good")[0] == DONE
    patchbay.setup("Flaky", apiKey="sk_test_ok_f")
    assert patchbay("validate", "nothing of that name")[0] == NO


def test_rm_wants_a_yes(patchbay):
    patchbay.setup("Removed", apiKey="sk_test_ok_r")
    code, _, err = patchbay("rm", "Removed")
    assert code == USAGE and "--yes" in err
    assert patchbay("show", "Removed")[0] == DONE
    assert patchbay("rm", "Removed", "--yes")[0] == DONE
    assert patchbay("show", "Removed")[0] == NO


def test_revalidate_counts_by_result(patchbay):
    for n in range(25):
        patchbay.setup(f"Batch {n}", "slack", botToken=f"xoxb-ok-batch{n}")
    code, out, err = patchbay("revalidate", "--type", "slack")
    assert code == DONE, err
    assert re.search(r"25\s+ok", out) and "25 passed, 0 failed" in out


def test_workers_are_listed(patchbay):
    code, out, _ = patchbay("workers")
    assert code == DONE and "w1" in out


@pytest.mark.parametrize("args, hint", [
    (["lst"], "list"), (["setup"], "TYPE"), (["setup", "stripe", "--nmae", "x"], "--name"), (["show"], "ID"),
    (["list", "extra"], "extra"), (["list", "--type"], "--type"), (["frobnicate"], "--help"),
])
def test_wrong_usage_names_what_is_right(patchbay, args, hint):
    code, out, err = patchbay(*args)
    assert code == USAGE and hint in err and not out


def test_every_command_has_help(patchbay):
    code, out, _ = patchbay("--help")
    found = re.findall(r"^  ([a-z]+(?: \[?[a-z]+\]?)?)\s", out.split("Commands:")[1].split("Options")[0], re.M)
    commands = [c.translate(str.maketrans("", "", "[]")) for c in found]
    assert code == DONE and set(commands) >= {"up", "types", "test", "setup", "list", "show", "rm", "validate", "revalidate",
                                              "jobs list", "jobs submit", "queue show", "workers list", "keys init"}
    for command in commands:
        code, out, _ = patchbay(*command.split(), "--help")
        assert code == DONE and out.startswith(f"usage: patchbay {command}")
        first = command.split()[0]
        code, out, _ = patchbay(first, "--help")
        assert code == DONE and out.startswith(f"usage: patchbay {first}")


def test_a_broker_that_does_not_run_is_said_to(patchbay):
    code, out, err = patchbay("list", env={"PATCHBAY_URL": "http://127.0.0.1:1"})
    assert code == UNREACHABLE and "http://127.0.0.1:1" in err and "patchbay up" in err and not out


def test_a_wrong_token_is_said_to_be_one(patchbay):
    code, _, err = patchbay("list", env={"PATCHBAY_TOKEN": "pb_wrong"})
    assert code != DONE and "token" in err


def test_what_a_service_says_cannot_steer_the_terminal(patchbay):
    _, out, err = patchbay.setup("\u202eesrever", apiKey="sk_test_ok_rtl")
    assert "\u202e" not in out + err


def test_keys_init_makes_a_keyring_once(patchbay, folder):
    path = folder / "keyring"
    assert patchbay("keys", "init", "--keyring", str(path))[0] == DONE
    first = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600 and re.search(r"^key \S+ [0-9a-f]{64}$", first, re.M)
    code, _, err = patchbay("keys", "init", "--keyring", str(path))
    assert code == NO and str(path) in err and path.read_text() == first


# -- the queue --


def test_jobs_are_submitted_from_a_file_and_refusals_name_the_line(patchbay, folder):
    path = folder / "jobs.ndjson"
    path.write_text("".join(json.dumps({"kind": "ping", "payload": f"{n}"}) + "\n" for n in range(12000)) +
                    '{"kind": "pin"}\n\n{"kind": "ping"\n')
    code, out, err = patchbay("jobs", "submit", str(path))
    assert code == NO and "12000 accepted, 2 refused" in out, out + err
    assert re.search(r"^12001 +invalid_request .*did you mean ping\?", out, re.M)
    assert re.search(r"^12003 +invalid_json ", out, re.M)
    assert "12002 of 12002 submitted" in err
    code, out, _ = patchbay("jobs", "submit", "-", "--json", stdin='{"kind": "ping"}')
    assert code == DONE and json.loads(out) == {"accepted": 1, "refused": 0, "refusals": []}
    code, _, err = patchbay("jobs", "submit", str(folder / "none"))
    assert code == USAGE and "none" in err


def test_a_file_longer_than_there_is_room_for_gets_through(make_cluster):
    cluster = make_cluster()
    cluster.start_broker("--tenant-jobs", "500")
    cluster.start_worker("w1")
    jobs = "".join('{"kind": "ping"}\n' for _ in range(3000))
    code, out, err = Patchbay(cluster)("jobs", "submit", "-", stdin=jobs)
    assert code == DONE and "3000 accepted, 0 refused" in out, out + err
    until("all are done", lambda: cluster.api().queue()["live"] == 0)
    cluster.without_worker()
    code, out, _ = Patchbay(cluster)("jobs", "submit", "-", "--wait", "1", stdin=jobs)
    assert code == NO and "500 accepted, 2500 refused" in out and "tenant_busy" in out


def test_jobs_are_listed_shown_cancelled_and_sent_again(make_cluster):
    cluster = make_cluster()
    cluster.start_broker()
    patchbay, api = Patchbay(cluster), cluster.api()
    assert "no jobs" in patchbay("jobs")[1]
    late, waits = api.submit("ping", deadlineSeconds=1).json["id"], api.submit("ping", delaySeconds=600).json["id"]
    api.finished(late)
    code, out, _ = patchbay("jobs", "--state", "dead")
    assert code == DONE and late in out and "deadline_exceeded" in out and waits not in out
    assert [j["id"] for j in json.loads(patchbay("jobs", "list", "--json")[1])["items"]] == [waits, late]
    assert "the newest 1" in patchbay("jobs", "--limit", "1")[1]
    code, out, _ = patchbay("jobs", "show", waits)
    assert code == DONE and "waiting (delayed: it waits for its time)" in out
    code, out, _ = patchbay("jobs", "cancel", waits)
    assert code == DONE and "ok  cancelled" in out
    code, _, err = patchbay("jobs", "cancel", waits)
    assert code == NO and "job_ended" in err
    code, _, err = patchbay("jobs", "retry", waits)
    assert code == NO and "not_dead" in err
    assert patchbay("jobs", "retry", late)[0] == DONE and api.job(late)["state"] == "waiting"
    code, out, _ = patchbay("jobs", "retry", "--all", "--kind", "ping", "--rate", "100")
    assert code == DONE and "100 a second" in out
    for args in (("jobs", "retry"), ("jobs", "retry", late, "--all"), ("jobs", "retry", late, "--kind", "ping"),
                 ("jobs", "cancel", "x"), ("jobs", "show"), ("jobs", "frobnicate"), ("jobs", "lst")):
        assert patchbay(*args)[0] == USAGE, args


def test_the_queue_is_shown_paused_and_resumed(make_cluster):
    cluster = make_cluster()
    cluster.start_broker()
    patchbay = Patchbay(cluster)
    code, out, _ = patchbay("queue", "pause", "--type", "stripe")
    assert code == DONE and "type stripe is paused" in out
    cluster.api().submit("ping")
    code, out, _ = patchbay("queue")
    assert code == DONE and "1 live: 1 ready" in out and "paused    type stripe" in out and "start one" in out
    assert json.loads(patchbay("queue", "show", "--json")[1])["live"] == 1
    code, out, _ = patchbay("queue", "resume", "--type", "stripe")
    assert code == DONE and "goes on" in out and "paused" not in patchbay("queue")[1]
    for args in ((), ("--type", "a", "--kind", "ping")):
        code, _, err = patchbay("queue", "pause", *args)
        assert code == USAGE and "one of --tenant, --type" in err


def test_a_worker_is_drained_by_its_name(pair):
    patchbay = Patchbay(pair)
    code, out, _ = patchbay("workers", "drain", "w1")
    assert code == DONE and "w1" in out and pair.workers["w1"].wait() == 0
    code, out, _ = patchbay("workers")
    assert code == DONE and "w2" in out and "w1" not in out
    code, _, err = patchbay("workers", "drain", "w1")
    assert code == NO and "no worker \"w1\"" in err


def test_credentials_are_tried_without_being_kept(patchbay):
    before = len(json.loads(patchbay("list", "--json")[1])["items"])
    code, out, _ = patchbay("test", "stripe", "--credentials", "-", stdin='{"apiKey": "sk_test_ok_try"}')
    assert code == DONE and re.match(r"ok  connected to acct_", out)
    code, out, _ = patchbay("test", "stripe", "--credentials", "-", stdin='{"apiKey": "sk_test_bad_try"}')
    assert code == NO and "invalid_credentials" in out
    assert len(json.loads(patchbay("list", "--json")[1])["items"]) == before
    code, _, err = patchbay("test", "stripe")
    assert code == USAGE and "--credentials" in err


# -- patchbay up --


class Up:
    """patchbay up, with a sandbox to connect to."""

    def __init__(self, folder):
        self.folder = folder
        self.sandbox = Sandbox(folder)
        self.command = None

    def options(self, *more):
        to = [f"--connect-to={h}:443:127.0.0.1:{self.sandbox.https}" for h in HOSTS]
        return ["up", "--data-dir", self.folder / "data", "--http-listen", "127.0.0.1:0", "--manifests", ROOT / "manifests",
                "--ca-file", self.sandbox.ca, "--allow-egress", "127.0.0.1", *to, *more]

    def start(self, *more):
        with open(self.folder / "up.out", "wb") as out:
            self.command = Process(self.folder / "up.log", BUILD / "patchbay", *self.options(*more), stdout=out)
        out = self.folder / "up.out"
        until("it is up", lambda: "Ctrl-C" in out.read_text() or self.command.popen.poll() is not None)
        assert self.command.popen.poll() is None, self.command.log()
        self.url = re.search(r"http://[0-9.:]+", out.read_text())[0]
        return out.read_text()

    def __call__(self, *args, stdin=""):
        env = clean_env(PATCHBAY_URL=self.url, PATCHBAY_DATA_DIR=str(self.folder / "data"), HOME=str(self.folder))
        return subprocess.run([str(BUILD / "patchbay"), *args], input=stdin.encode(), capture_output=True, timeout=60, env=env)

    def setup(self, name):
        return self("setup", "stripe", "--name", name, "--credentials", "-", stdin='{"apiKey": "sk_test_ok_up"}')

    def children(self):
        """Process ids by name."""
        listed = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(self.command.pid)], capture_output=True)
        return {int(line.split()[0]): line.split()[1] for line in listed.stdout.decode().splitlines()}

    def stop(self):
        if self.command:
            self.command.stop()
        self.sandbox.stop()


@pytest.fixture
def up(folder):
    made = Up(folder)
    yield made
    made.stop()


def test_up_makes_what_is_needed_and_stops_it_all(up):
    banner = up.start()
    assert "pb_" in banner, "the first start shows the token"
    data = up.folder / "data"
    modes = {name: (data / name).stat().st_mode & 0o777 for name in ("", "keyring", "cluster.secret", "admin.token")}
    assert modes == {"": 0o700, "keyring": 0o600, "cluster.secret": 0o600, "admin.token": 0o600}
    assert up.setup("Up").returncode == DONE
    children = up.children()
    assert sorted(children.values()) == ["patchbay-broker", "patchbay-worker", "patchbay-worker"]
    up.command.signal(signal.SIGINT)
    assert up.command.wait() == 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in children)
    assert "pb_" not in up.start(), "and only the first"
    assert b"Up" in up("list").stdout


def test_up_starts_again_what_dies(up):
    up.start()
    for name in ("patchbay-worker", "patchbay-broker"):
        before = up.children()
        victim = next(pid for pid, comm in before.items() if comm == name)
        os.kill(victim, signal.SIGKILL)
        until(f"another {name}", lambda: len(up.children()) == 3 and victim not in up.children())
        until("it works again", lambda: up("validate", "none").returncode == NO and
              up("workers").stdout.count(b"worker-") == 2)
    assert up.setup("After").returncode == DONE
    assert "again" in up.command.log() + (up.folder / "up.out").read_text()


def test_up_takes_its_children_along_when_it_is_killed(up):
    up.start()
    children = up.children()
    up.command.kill()
    until("its children are gone", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), patience=60)


def test_a_second_up_on_the_same_folder_is_refused(up):
    up.start()
    ended = subprocess.run([str(BUILD / "patchbay"), *map(str, up.options())], capture_output=True, timeout=30,
                           env=clean_env())
    assert ended.returncode != 0 and str(up.folder / "data").encode() in ended.stderr
    assert up("list").returncode == DONE


def test_up_says_why_the_broker_cannot_start(up):
    up.start()
    port = up.url.rsplit(":", 1)[1]
    other = [o if o != up.folder / "data" else up.folder / "other" for o in up.options("--http-listen", f"127.0.0.1:{port}")]
    ended = subprocess.run([str(BUILD / "patchbay"), *map(str, other)], capture_output=True, timeout=30, env=clean_env())
    assert ended.returncode != 0 and b"in use" in ended.stderr, ended.stderr
    assert not any(b"Ctrl-C" in t for t in (ended.stdout, ended.stderr))


def test_up_works_from_an_installation(up):
    prefix = up.folder / "usr"
    subprocess.run(["make", "-s", "-o", "all", "install", f"PREFIX={prefix}", f"BUILD={BUILD}"], cwd=ROOT, check=True, capture_output=True)
    shutil.copytree(prefix, up.folder / "moved")
    ended = subprocess.run([str(up.folder / "moved/bin/patchbay"), "--version"], capture_output=True)
    assert ended.returncode == 0 and b"0.1" in ended.stdout
    assert (up.folder / "moved/share/patchbay/manifests/stripe/manifest.json").exists()
