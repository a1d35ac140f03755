"""A provider that was not written here: Stripe's own mock server, built from its Go module."""

import json
import os
import shutil
import socket
import subprocess

import pytest
from cluster import Process, ROOT, until

MODULE = "github.com/stripe/stripe-mock@v0.197.0"
GO = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
pytestmark = pytest.mark.skipif(not GO, reason="Go is not installed, so stripe-mock cannot be built")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Kept in the user's cache: building it takes longer than all that it is used for."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(cache, "patchbay-tests", MODULE.rsplit("@")[1])
    path = os.path.join(folder, "stripe-mock")
    if not os.path.exists(path):
        built = subprocess.run([GO, "install", MODULE], env={**os.environ, "GOBIN": folder}, capture_output=True, timeout=600)
        assert built.returncode == 0, built.stderr.decode()
    return path


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


@pytest.fixture
def stripe(make_cluster, program):
    """A cluster whose stripe package asks the mock, over plain http."""
    cluster = make_cluster()
    port, https = free_port(), free_port()
    mock = cluster.keep(Process(cluster.folder / "mock.log", program, "-http-port", port, "-https-port", https,
                                stdout=subprocess.DEVNULL))
    until("stripe-mock listens", lambda: listens(port) or mock.popen.poll() is not None)
    assert mock.popen.poll() is None, mock.log()
    cluster.manifests = cluster.folder / "manifests"
    shutil.copytree(ROOT / "manifests/stripe", cluster.manifests / "stripe")
    path = cluster.manifests / "stripe/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["http"]["baseUrl"] = f"http://127.0.0.1:{port}"
    del manifest["http"]["allowedHosts"]
    path.write_text(json.dumps(manifest))
    return cluster.start()


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_a_well_formed_key_is_connected_and_the_account_named(stripe):
    answer = stripe.api().setup("mock", "sk_test_123")
    assert answer.status == 201, answer
    record = answer.json
    assert record["account"]["id"].startswith("acct_")
    assert record["host"] == "127.0.0.1" and len(record["supportedEvents"]) == 6
    assert stripe.api().validate(record["id"]).json["result"]["code"] == "ok"


def test_a_key_of_another_form_is_refused_with_the_services_own_words(stripe):
    answer = stripe.api().setup("mock live", "sk_live_not_a_test_key")
    assert answer.status == 422 and answer.json["code"] == "invalid_credentials", answer
    assert answer.json["result"]["httpStatus"] == 401 and answer.json["detail"]
