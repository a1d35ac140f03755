"""Event payloads validated through the API with real processes: many a request (:batch) and one by one, by the type
(the broker checks) and by an integration (a worker does).

Prints a table: payloads a second, and the time of one request, with Stripe's smallest sample, its invoice, and the
invoice with as many lines as make about 10 KB. The client takes part of the machine, too."""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "system"))
from cluster import ROOT, Cluster  # noqa: E402

MOST = 15_000_000  # bytes of a request
NDJSON = "application/x-ndjson"


def sample(event):
    return json.loads((ROOT / "manifests/stripe/samples" / f"{event}.json").read_text())


def large_invoice():
    invoice = sample("invoice.paid")
    lines = invoice["data"]["object"]["lines"]["data"]
    while len(json.dumps(invoice)) < 10_000:
        lines.append({**lines[0], "id": f"il_1Sample{len(lines):02}"})
    return invoice


def ask(connection, token, path, body, type):
    connection.request("POST", path, body, {"Authorization": f"Bearer {token}", "Content-Type": type})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text[:300]
    return text


def batches(connection, token, path, payload, requests):
    line = json.dumps(payload) + "\n"
    count, times = min(MOST // len(line), 100_000), []
    created = f'"created": {payload["created"]}'  # no two lines alike, and some members longer than others
    body = "".join(line.replace(payload["id"], f"evt_{k * 7919}").replace(created, f'"created": {k * k}')
                   for k in range(count)).encode()
    for _ in range(requests):
        began = time.monotonic()
        text = ask(connection, token, path + ":batch", body, NDJSON)
        times.append(time.monotonic() - began)
        assert text.count(b'{"isValid":true') == count
    rate = count / statistics.median(times)
    return f"{rate:,.0f}/s, {rate * len(body) / count / 1e6:,.0f} MB/s"


def singles(connection, token, path, payload, requests):
    body, times = json.dumps(payload).encode(), []
    for _ in range(requests):
        began = time.monotonic()
        ask(connection, token, path, body, "application/json")
        times.append((time.monotonic() - began) * 1000)
    cuts = statistics.quantiles(times, n=100)
    return f"p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--requests", type=int, default=9, help="batches of a kind; singles are 200 times as many")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pb") as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start(options.workers)
            id = cluster.api().setup("bench").json["id"]
            connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=120)
            cases = [("payment_intent.succeeded", sample("payment_intent.succeeded")),
                     ("invoice.paid", sample("invoice.paid")), ("invoice.paid", large_invoice())]
            for owner, base in (("type", "/v1/types/stripe"), ("integration", f"/v1/integrations/{id}")):
                for event, payload in cases:
                    path = f"{base}/events/{event}/validate"
                    singles(connection, cluster.token(), path, payload, 100)
                    row = batches(connection, cluster.token(), path, payload, options.requests), \
                        singles(connection, cluster.token(), path, payload, 200 * options.requests)
                    print(f"{owner:12} {event:26} {len(json.dumps(payload)):6} bytes  batch {row[0]:26} one {row[1]}",
                          flush=True)
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
