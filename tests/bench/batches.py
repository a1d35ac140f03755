"""Batches from end to end with real processes: instances a second, with credentials that are really opened and records
that are really written, beside a bare loop over curl with the same requests and beside wrk, at the same nginx.

Needs nginx, and wrk where its row is wanted. All runs alternate, so that a busy machine is busy for all of them."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "system"))
from cluster import BUILD, Cluster, Process, two_ports, until  # noqa: E402
from pool import setup_jobs  # noqa: E402

NGINX = """daemon off; pid {folder}/nginx.pid; worker_processes 1; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            default_type application/json;
            return 200 '{{"object":"account","id":"acct_$request_id","charges_enabled":true,"payouts_enabled":true}}';
        }}
    }}
}}
"""


def start_nginx(folder):
    port = two_ports()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    nginx = Process(folder / "nginx.err", "nginx", "-c", folder / "nginx.conf")
    until("nginx listens", lambda: (folder / "nginx.pid").exists() or nginx.popen.poll() is not None)
    assert nginx.popen.poll() is None, nginx.log()
    return nginx, f"http://127.0.0.1:{port}"


def in_clear(manifest):
    """Both sides speak plain HTTP: what is compared is not TLS."""
    manifest["test"].pop("rateLimit", None)
    manifest["http"]["baseUrl"] = "http://api.stripe.com"


def status_kb(process, name):
    return int(re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text(), re.M)[1])


def forget_peak(process):
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def cpu_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def written(process):
    return int(re.search(r"^wchar: (\d+)", Path(f"/proc/{process.pid}/io").read_text(), re.M)[1])


def commits(api):
    return int(re.search(r"^patchbay_commit_seconds_count (\d+)", api.get("/metrics").text, re.M)[1])


def run_batch(cluster, count):
    """Instances a second; and the rest of a row."""
    api, broker = cluster.api(), cluster.broker
    for process in (broker, *cluster.workers.values()):
        forget_peak(process)
    bytes_before, commits_before = written(broker), commits(api)
    cpu_before = [cpu_seconds(p) for p in (broker, *cluster.workers.values())]
    began = time.monotonic()
    batch = api.call("POST", "/v1/batches", {"kind": "revalidate"}).json
    first = None
    while not batch["finishedAt"]:
        time.sleep(0.05)
        batch = api.get(f"/v1/batches/{batch['id']}").json
        first = first or (batch["done"] and time.monotonic() - began)
    took = time.monotonic() - began
    assert batch["counts"] == {"ok": count}, batch
    cpu = [cpu_seconds(p) - was for p, was in zip((broker, *cluster.workers.values()), cpu_before)]
    return count / took, dict(
        first_ms=1000 * (first or took), broker_mb=status_kb(broker, "VmHWM") / 1024,
        worker_mb=max(status_kb(w, "VmHWM") for w in cluster.workers.values()) / 1024,
        bytes=(written(broker) - bytes_before) / count, commits=(commits(api) - commits_before) / count,
        broker_us=1e6 * cpu[0] / count, worker_us=1e6 * sum(cpu[1:]) / count)


def run_curl(url, count, parallel):
    done = subprocess.run([BUILD / "tests/bench/requests", f"{url}/v1/account", str(count), str(parallel)], check=True,
                          capture_output=True, text=True)
    return float(done.stdout.split()[0])


def run_wrk(url, parallel):
    if not shutil.which("wrk"):
        return 0
    done = subprocess.run(["wrk", "-t1", f"-c{parallel}", "-d4", f"{url}/v1/account"], check=True, capture_output=True,
                          text=True)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])


def grow(cluster, have, want):
    setup_jobs(cluster, [("stripe", f"shop {n}", f"ok_{n}") for n in range(have, want)], count_only=True)


def measure(cluster, url, sizes, rounds, parallel):
    have = 0
    print(f"{'instances':>9} {'batch/s':>8} {'curl/s':>8} {'wrk/s':>8} {'of curl':>7} {'of wrk':>7} {'first ms':>8} "
          f"{'broker MB':>9} {'worker MB':>9} {'bytes':>6} {'commits':>8} {'broker us':>9} {'worker us':>9}")
    for size in sizes:
        grow(cluster, have, size)
        have = size
        cluster.broker.stop()  # so that its memory is that of batches, not of the setups before
        cluster.start_broker()
        until("the workers are back", lambda: len(cluster.api().workers()) == len(cluster.workers))
        for _ in range(rounds):
            curl, wrk = run_curl(url, max(size, 20000), parallel), run_wrk(url, parallel)
            speed, m = run_batch(cluster, size)
            print(f"{size:>9} {speed:>8.0f} {curl:>8.0f} {wrk:>8.0f} {speed / curl:>7.2f} {speed / (wrk or 1):>7.2f} "
                  f"{m['first_ms']:>8.0f} {m['broker_mb']:>9.1f} {m['worker_mb']:>9.1f} {m['bytes']:>6.0f} "
                  f"{m['commits']:>8.4f} {m['broker_us']:>9.0f} {m['worker_us']:>9.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 20000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--parallel", type=int, default=256, help="requests at a time, of curl and wrk (a worker: 256)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        nginx, url = start_nginx(folder)
        cluster = Cluster(folder).package("stripe", in_clear)
        try:
            cluster.start_broker()
            for n in range(options.workers):
                cluster.start_worker(f"w{n + 1}", "--connect-to=api.stripe.com:80:" + url.removeprefix("http://"))
            measure(cluster, url, options.sizes, options.rounds, options.parallel)
        finally:
            cluster.stop()
            nginx.stop()


if __name__ == "__main__":
    main()
