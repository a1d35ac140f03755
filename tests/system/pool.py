"""Hundreds and thousands of integrations, made once for all tests that need many.

They are set up for real, so that their credentials are sealed and open like any other; but by packages that send a
good key of their own, so that a key may be bad, slow or deadly from the first test on. Each test gets a copy."""

import shutil

from cluster import Cluster, until


def unlimited(manifest):
    manifest["test"].pop("rateLimit", None)


def with_good_key(manifest):
    unlimited(manifest)
    key = {"stripe": "sk_test_ok_setup", "slack": "xoxb-ok-setup"}[manifest["type"]]
    manifest["auth"] = {"scheme": "bearer", "token": key}


def credentials(type, word):
    return {"botToken": f"xoxb-{word}"} if type == "slack" else {"apiKey": f"sk_test_{word}"}


def setup_jobs(cluster, jobs, token=None, count_only=False):
    """jobs: (type, name, word of the key). The records by name, of all there are."""
    api = cluster.api(token)
    for at in range(0, len(jobs), 5000):
        api.submit_many([{"kind": "setup", "type": type, "name": name, "credentials": credentials(type, word)}
                         for type, name, word in jobs[at:at + 5000]])
    until("all are set up", lambda: cluster.api().queue()["live"] == 0, patience=180)
    return None if count_only else {i["name"]: i for i in api.all()}


def packages(cluster, change):
    for type in ("stripe", "slack"):
        cluster.package(type, change)
    return cluster


class Pool:
    """What jobs() lists, set up in a folder of its own; copied into clusters."""

    def __init__(self, folder, jobs, tenants={}):
        self.folder = folder
        cluster = packages(Cluster(folder), with_good_key)
        cluster.start_broker()
        self.tokens = {}
        if tenants:
            cluster.broker.stop()
            self.tokens = {tenant: cluster.new_token(tenant) for tenant in tenants}
            cluster.start_broker()
        for n in range(2):
            cluster.start_worker(f"w{n}")
        self.records = setup_jobs(cluster, jobs)
        self.of_tenant = {t: setup_jobs(cluster, jobs_of, self.tokens[t]) for t, jobs_of in tenants.items()}
        cluster.stop()

    def into(self, cluster, change=unlimited):
        """Into a cluster that has not been started."""
        shutil.rmtree(cluster.data)
        shutil.copytree(self.folder / "data", cluster.data, ignore=shutil.ignore_patterns("run"))
        (cluster.data / "run").mkdir(mode=0o700)
        return packages(cluster, change)


def counted(cluster):
    """How often each key was asked for."""
    return cluster.sandbox.requests()["byKey"]
