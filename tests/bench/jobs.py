"""The queue from end to end with real processes: jobs that do nothing (ping), each made durable, sent to a worker and
finished, beside what SQLite alone can do with the same rows on the same disk.

Prints a table: jobs a second with one submitter and two workers, the time from submitting one job to its outcome
while nothing else happens, and the broker's memory for jobs that wait."""

import argparse
import concurrent.futures
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "system"))
from cluster import BUILD, Cluster  # noqa: E402

CHUNK = 10000
LINE = json.dumps({"kind": "ping", "payload": "x" * 256}).encode() + b"\n"


class Submitter:
    """One connection that stays open."""

    def __init__(self, cluster):
        self.connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=120)
        self.headers = {"Authorization": f"Bearer {cluster.token()}"}

    def post(self, body, type="application/x-ndjson", **headers):
        self.connection.request("POST", "/v1/jobs", body, {**self.headers, "Content-Type": type, **headers})
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 201, 202, 207), text[:300]
        return json.loads(text).get("refused", 0) if answer.status == 207 else 0

    def post_all(self, count):
        """Sends again what the broker has no room for at the moment."""
        while count := self.post(LINE * count):
            time.sleep(0.01)

    def get(self, path):
        self.connection.request("GET", path, headers=self.headers)
        return json.loads(self.connection.getresponse().read())


def waiting(client):
    return sum(client.get("/v1/queue")["jobs"].values())


def throughput(cluster, count):
    """One submitter with two requests on the way, so that one is read while the other is committed."""
    client, local = Submitter(cluster), threading.local()

    def post(_):
        if not hasattr(local, "submitter"):
            local.submitter = Submitter(cluster)
        local.submitter.post_all(CHUNK)

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(post, range(count // CHUNK)))
    submitted = time.monotonic()
    while waiting(client):
        time.sleep(0.02)
    ended = time.monotonic()
    return count / (submitted - began), count / (ended - began)


def latency(cluster, count):
    client = Submitter(cluster)
    body = json.dumps({"kind": "ping", "payload": "x" * 256})
    times = []
    for _ in range(count):
        began = time.monotonic()
        client.post(body, "application/json", Prefer="wait=10")
        times.append((time.monotonic() - began) * 1000)
        time.sleep(0.002)
    times.sort()
    return statistics.median(times), times[int(len(times) * 0.99)]


def resident_bytes(process):
    for line in Path(f"/proc/{process.popen.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def memory(cluster, count):
    client = Submitter(cluster)
    before = resident_bytes(cluster.broker)
    for _ in range(count // CHUNK):
        client.post_all(CHUNK)
    board = client.get("/v1/queue").get("boardBytes", 0)
    return (resident_bytes(cluster.broker) - before) / count, board / count


def sqlite_alone(folder, count, group):
    done = subprocess.run([BUILD / "tests/bench/rows", folder / "rows.db", str(count), str(group)], check=True,
                          capture_output=True, text=True)
    return done.stdout.strip()


def in_cluster(workers, measure, *arguments):
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start_broker("--tenant-jobs", "2000000")
            for n in range(workers):
                cluster.start_worker(f"w{n + 1}")
            return measure(cluster, *arguments)
        finally:
            cluster.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--waiting", type=int, default=1_000_000, help="jobs that wait, for the memory's row")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        print(f"SQLite alone         {sqlite_alone(Path(folder), options.jobs, 1000)}", flush=True)
    submitted, finished = in_cluster(2, throughput, options.jobs)
    print(f"durable jobs         {finished:,.0f} finished/s end to end; {submitted:,.0f} submitted/s meanwhile", flush=True)
    median, p99 = in_cluster(2, latency, 1000)
    print(f"one job when idle    {median:.1f} ms median, {p99:.1f} ms p99, from submitting to the outcome", flush=True)
    resident, board = in_cluster(0, memory, options.waiting)
    print(f"memory while waiting {resident:.0f} bytes a job resident, {board:.0f} of them the board's", flush=True)


if __name__ == "__main__":
    main()
