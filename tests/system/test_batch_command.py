"""patchbay revalidate and patchbay batch: what people see of batches, and the exit status that scripts go by."""

import json
import os
import pty
import re
import signal

import pytest
from cluster import BUILD
from pool import Pool
from test_command import DONE, NO, USAGE, Patchbay, read_until


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    jobs = [("stripe", f"s{n}", f"ok_{n}") for n in range(300)] + [("slack", f"c{n}", f"ok-{n}") for n in range(100)]
    return Pool(tmp_path_factory.mktemp("pool"), jobs + [("stripe", f"bad {n}", f"bad_{n}") for n in range(3)])


@pytest.fixture
def patchbay(make_cluster, some):
    return Patchbay(some.into(make_cluster()).start(workers=1))


def started(patchbay, *args):
    code, out, err = patchbay("revalidate", "--no-watch", "--json", *args)
    assert code == DONE, err
    return json.loads(out)["id"]


def test_revalidate_counts_and_says_which_failed_and_why(patchbay):
    code, out, err = patchbay("revalidate")
    assert code == NO, err
    assert re.search(r"^ +400  ok$", out, re.M) and re.search(r"^ +3  invalid_credentials$", out, re.M)
    assert "403  validated, 400 passed, 3 failed" in out
    assert len(re.findall(r"^bad \d +stripe +invalid_credentials +Invalid API Key", out, re.M)) == 3
    assert "403 of 403 validated" in err
    code, out, err = patchbay("revalidate", "--type", "slack", "--json")
    result = json.loads(out)
    assert code == DONE and result["counts"] == {"ok": 100} and result["failures"] == [], err


def test_revalidate_narrows_down(patchbay):
    assert json.loads(patchbay("revalidate", "--not-validated-since", "1d", "--json")[1])["total"] == 0
    assert json.loads(patchbay("revalidate", "--not-validated-since", "0s", "--json")[1])["total"] == 403
    assert json.loads(patchbay("revalidate", "--health", "degraded", "--json")[1])["total"] == 3
    code, _, err = patchbay("revalidate", "--not-validated-since", "yesterday")
    assert code == NO and "RFC 3339" in err
    code, _, err = patchbay("revalidate", "--type", "strip")
    assert code == NO and "/filter/type" in err


def test_a_filter_that_is_not_utf8_selects_nothing_rather_than_all(patchbay):
    for command in (["revalidate"], ["jobs", "retry", "--all"], ["schedule", "set", "nightly", "--cron", "@daily"]):
        code, _, err = patchbay(*command, "--type", b"\xff")
        assert code == USAGE and "UTF-8" in err, command
    assert json.loads(patchbay("batch", "list", "--json")[1])["items"] == []


def test_a_batch_is_shown_paused_resumed_and_cancelled(patchbay):
    id = started(patchbay, "--rate", "20")
    code, out, _ = patchbay("batch")
    assert code == DONE and re.search(rf"^{id} +running +\d+ +403 .* all$", out, re.M)
    code, out, _ = patchbay("batch", "pause", id)
    assert code == DONE and "paused" in out
    assert patchbay("batch", "pause", id)[0] == NO
    code, out, _ = patchbay("batch", "show", id)
    assert code == DONE and "paused" in out and "stripe" in out and "20 at most" in out
    assert patchbay("batch", "resume", id)[0] == DONE
    code, out, _ = patchbay("batch", "rate", id, "30")
    assert code == DONE and json.loads(patchbay("batch", "show", id, "--json")[1])["ratePerSecond"] == 30
    assert patchbay("batch", "cancel", id)[0] == DONE
    code, out, _ = patchbay("batch", "watch", id)
    assert "then it was cancelled" in out
    assert json.loads(patchbay("batch", "list", "--json")[1])["items"][0]["state"] == "cancelled"


def test_watch_follows_to_the_end(patchbay):
    id = started(patchbay, "--rate", "200", "--type", "slack")
    code, out, err = patchbay("batch", "watch", id)
    assert code == DONE and "100  validated, 100 passed, 0 failed" in out, err


@pytest.mark.parametrize("args, hint", [
    (["batch", "show", "job_1"], "batch list"), (["batch", "rate", "bat_1"], "N"),
    (["batch", "rate", "x", "fast"], "number"), (["revalidate", "--rate", "-1"], "number"), (["batch", "shw"], "show"),
])
def test_wrong_usage_says_what_is_right(patchbay, args, hint):
    code, _, err = patchbay(*args)
    assert code == USAGE and hint in err, err


def test_an_unknown_batch_is_no_answer(patchbay):
    code, _, err = patchbay("batch", "show", "bat_" + 32 * "0")
    assert code == NO and "no such batch" in err


def test_ctrl_c_leaves_the_batch_running(patchbay):
    """On a terminal, with a bar."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(str(BUILD / "patchbay"), ["patchbay", "revalidate", "--rate", "50"], patchbay.env)
    read_until(terminal, " of 403 validated")
    os.kill(pid, signal.SIGINT)
    seen = read_until(terminal, "ends it")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == NO
    id = re.search(r"patchbay batch watch (\S+) shows", seen)[1]
    assert json.loads(patchbay("batch", "show", id, "--json")[1])["state"] == "running"


def test_a_broker_that_is_started_again_is_waited_for(make_cluster, some):
    cluster = some.into(make_cluster()).start(workers=1)
    patchbay = Patchbay(cluster)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(str(BUILD / "patchbay"), ["patchbay", "revalidate", "--rate", "100"], patchbay.env)
    read_until(terminal, " of 403 validated")
    cluster.broker.kill()
    cluster.start_broker()
    seen = read_until(terminal, "403  validated")
    assert "lost the broker" not in seen and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == NO
