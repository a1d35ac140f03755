"""What a Prometheus server reads: well-formed by its own rules, and true."""

import re
import signal

from cluster import until

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\}})? (\S+)$')


class Metrics(dict):
    """Samples by name and labels, of a text that is checked as it is read: each family once, HELP and TYPE before its
    samples, names as the type wants them, histograms whole."""

    def __init__(self, text):
        super().__init__()
        assert text.endswith("\n")
        self.types, family = {}, None
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family = line.split()[2]
                assert family not in self.types and len(line.split(" ", 3)[3]) > 10
                self.types[family] = None
            elif line.startswith("# TYPE "):
                _, _, name, type = line.split()
                assert name == family and self.types[name] is None and type in ("counter", "gauge", "histogram")
                self.types[name] = type
            else:
                self.add(family, line)
        for name, type in self.types.items():
            assert name.startswith("patchbay_") and (type == "counter") == name.endswith("_total"), name
            if type == "histogram":
                self.check_histogram(name)

    def add(self, family, line):
        match = SAMPLE.match(line)
        assert match, line
        name, labels, value = match.groups()
        suffixes = ("_bucket", "_sum", "_count") if self.types[family] == "histogram" else ("",)
        assert name in [family + suffix for suffix in suffixes], line
        key = f"{name}{{{labels}}}" if labels else name
        assert key not in self, key
        self[key] = float(value)

    def buckets(self, name):
        found = [(float(m[1]), value) for key, value in self.items() if (m := re.match(rf'{name}_bucket{{le="(.*)"}}', key))]
        assert found == sorted(found)
        return found

    def check_histogram(self, name):
        buckets = self.buckets(name)
        counts = [count for _, count in buckets]
        assert counts == sorted(counts) and buckets[-1][0] == float("inf")
        assert counts[-1] == self[f"{name}_count"] and self[f"{name}_sum"] >= 0


def metrics(api):
    answer = api.get("/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(answer.text)


def test_a_token_is_needed(shared):
    assert shared.api("pb_none").get("/metrics").status == 401


def test_what_happened_is_counted(cluster):
    api = cluster.api()
    before = metrics(api)
    assert before["patchbay_workers"] == 1 and before["patchbay_store_up"] == 1
    for _ in range(10):
        assert api.submit("ping", wait=10).json["state"] == "done"
    api.cancel(api.submit("ping", delaySeconds=600).json["id"])
    api.submit("ping", delaySeconds=600)
    after = metrics(api)
    assert after['patchbay_jobs_finished_total{outcome="done"}'] == 10
    assert after['patchbay_jobs_finished_total{outcome="cancelled"}'] == 1
    assert after["patchbay_attempts_dispatched_total"] == after["patchbay_dispatch_wait_seconds_count"] == 10
    assert after['patchbay_jobs{state="delayed"}'] == 1 and after['patchbay_jobs{state="ready"}'] == 0
    assert after["patchbay_commits_total"] - before["patchbay_commits_total"] >= 10
    assert after["patchbay_commit_seconds_count"] == after["patchbay_commits_total"]
    assert after["patchbay_board_bytes"] > 0
    assert 1e6 < after["patchbay_resident_memory_bytes"] < 1e9
    assert after['patchbay_worker_slots{state="free"}'] > 0


def test_what_is_lost_and_late_is_counted(pair):
    api = pair.api()
    jobs = [api.setup_job(f"late {n}", f"sk_test_slow2500_late{n}").json["id"] for n in range(10)]
    until("both work", lambda: all(w["running"] > 0 for w in api.workers().values()))
    running = api.workers()["w1"]["running"]
    pair.workers["w1"].signal(signal.SIGSTOP)
    until("its lease is over", lambda: "w1" not in api.workers())
    lost = metrics(api)
    assert lost["patchbay_attempts_lost_total"] >= running and lost["patchbay_workers"] == 1
    assert {api.finished(id)["state"] for id in jobs} == {"done"}
    pair.workers["w1"].signal(signal.SIGCONT)
    until("it is back", lambda: "w1" in api.workers())
    end = metrics(api)
    assert end['patchbay_jobs_finished_total{outcome="done"}'] == 10
    assert end["patchbay_attempts_dispatched_total"] >= 10 + running


def test_what_waits_has_an_age(cluster):
    api = cluster.without_worker().api()
    api.submit("ping")
    waiting = until("it has an age", lambda: (m := metrics(api))["patchbay_oldest_ready_seconds"] > 0.2 and m)
    assert waiting['patchbay_jobs{state="ready"}'] == 1 and waiting["patchbay_workers"] == 0
