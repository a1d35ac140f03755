"""Batches: every integration that a filter selects is tested once, whatever happens meanwhile, and the counts add up."""

import time

import pytest
from cluster import until
from pool import Pool, counted, unlimited

STRIPE, SLACK = 600, 400
PATIENCE = 90


def jobs(type, count, word="ok_{n}", prefix=""):
    return [(type, f"{prefix}{type} {n:05}", word.format(n=n).replace("_", "-" if type == "slack" else "_"))
            for n in range(count)]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Two types, of two tenants; some keys bad, some of a provider that is down."""
    special = [("stripe", f"bad {n}", f"bad_{n}") for n in range(20)]
    special += [("stripe", f"down {n}", f"error503_{n}") for n in range(10)]
    return Pool(tmp_path_factory.mktemp("pool"), jobs("stripe", STRIPE) + jobs("slack", SLACK) + special,
                {"acme": jobs("stripe", 50, "ok_acme{n}")})


def start(api, filter=None, rate=None):
    body = {"kind": "revalidate"}
    if filter is not None:
        body["filter"] = filter
    if rate is not None:
        body["ratePerSecond"] = rate
    answer = api.call("POST", "/v1/batches", body)
    assert answer.status == 202, answer
    return answer.json["id"]


def show(api, batch):
    return api.get(f"/v1/batches/{batch}").json


def order(api, batch, what):
    return api.call("POST", f"/v1/batches/{batch}:{what}")


def at_least(api, batch, done):
    return until(f"{done} are done", lambda: (b := show(api, batch))["done"] >= done and b, PATIENCE)


def ended(api, batch):
    return until("the batch has ended", lambda: (b := show(api, batch))["finishedAt"] and b, PATIENCE)


def adds_up(batch, total):
    assert batch["state"] == "done" and batch["total"] == batch["done"] == total == sum(batch["counts"].values()), batch
    assert sum(t["done"] for t in batch["types"].values()) == total, batch
    return batch


def revisions(api):
    return {i["id"]: i["revision"] for i in api.all()}


def test_all_are_tested_exactly_once(make_cluster, mixed):
    cluster = mixed.into(make_cluster()).start(workers=2)
    api = cluster.api()
    before = revisions(api)
    total = STRIPE + SLACK + 80
    batch = adds_up(ended(api, start(api)), total)
    assert batch["counts"] == {"ok": total - 30, "invalid_credentials": 20, "provider_unavailable": 10}
    assert batch["types"] == {"stripe": {"total": 680, "done": 680}, "slack": {"total": 400, "done": 400}}
    asked = counted(cluster)
    assert len(asked) == total and set(asked.values()) == {1}
    assert revisions(api) == {id: n + 1 for id, n in before.items()}
