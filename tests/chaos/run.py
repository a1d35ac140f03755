#!/usr/bin/env python3
"""Chaos: real processes in network namespaces under load and faults, then an audit of what was promised.

Prints the seed (--seed repeats its faults), a line for each fault, a summary, and one closing line. The exit status is 0
when every rule of audit.py holds; if one does not, the folder with logs and store is kept and named.

Needs root and iproute2. Without netem in the kernel a relay of its own delays and drops packets; --wire chooses."""

import argparse
import collections
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import audit
import nemesis
import net
from world import BUILD, World, networks

MINUTES_MAX = 24 * 60
VIOLATIONS_SHOWN = 40


def say(text):
    print(text, flush=True)


def unable():
    """Why this machine cannot run it, or None."""
    if os.geteuid() != 0:
        return "it needs root, for network namespaces"
    if not shutil.which("ip") or not shutil.which("tc"):
        return "iproute2 is missing: run scripts/deps --ci"
    name = f"pbtry-{secrets.token_hex(3)}"
    if not net.command("ip", "netns", "add", name, check=False):
        return "this machine lets nobody make network namespaces"
    net.command("ip", "netns", "del", name)
    return None


def rampage(world, options, plan):
    world.start_client(options.seed)
    nemesis.carry_out(plan, options.minutes * 60, world, say)
    say("healing; the client follows what is open to its end")
    world.heal()
    settled = world.settle_client()
    world.check()
    tally = world.tally()
    world.finish()
    return settled, tally


def sanitizer_reports(folder):
    marks = ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer")
    return [f"{log.name}: {mark}" for log in sorted(folder.glob("*.log")) for mark in marks
            if mark in log.read_text(errors="replace")]


def summary(history, store, tally, plan, seconds):
    counts = collections.Counter(op.kind for op in history.operations.values())
    states = collections.Counter(audit.STATES.get(j.state, str(j.state)) for j in store.jobs.values())
    faults = collections.Counter(e.fault.name for e in plan)
    say(f"asked for: {sum(counts.values())} ({', '.join(f'{n} {k}' for k, n in sorted(counts.items()))}), "
        f"sendings {history.sendings}, answers lost {history.lost}")
    say(f"accepted: {len(store.jobs)} jobs: {', '.join(f'{n} {s}' for s, n in sorted(states.items()))}; "
        f"{len(store.integrations)} integrations")
    tests = sum(j.kind in ("setup", "validate") for j in store.jobs.values())
    say(f"provider: asked {sum(tally.values())} times, for {tests} jobs that ask it")
    say(f"faults: {sum(faults.values())} ({', '.join(f'{n} {f}' for f, n in faults.most_common())})")
    say(f"duration: {seconds:.0f} s")


def judge(folder, plan, seconds, settled, tally, deaths):
    history, store = audit.read_history(folder / "client.jsonl"), audit.read_store(folder / "data" / "patchbay.db")
    summary(history, store, tally, plan, seconds)
    found = audit.audit(history, store, tally)
    found["the client knows the end of all that it began"] = [] if settled else ["see the last line of client.jsonl"]
    found["no process ends or fails by itself"] = deaths + sanitizer_reports(folder)
    for rule, violations in found.items():
        say(f"{'ok  ' if not violations else 'FAIL'}  {rule}")
        for violation in violations[:VIOLATIONS_SHOWN]:
            say(f"        {violation}")
        if len(violations) > VIOLATIONS_SHOWN:
            say(f"        and {len(violations) - VIOLATIONS_SHOWN} more")
    return sum(not v for v in found.values()), sum(bool(v) for v in found.values())


def one_run(options, folder):
    wire = net.choose_wire(options.wire)
    plan = nemesis.make_plan(options.seed, options.minutes * 60, wire.shapes)
    say(f"chaos: SEED={options.seed} for {options.minutes:g} minutes, {len(plan)} faults")
    say(f"wire {wire.name}: {wire.note}")
    started = time.monotonic()
    nets = networks(wire)
    world = World(folder, nets)
    try:
        nets.open()
        world.open()
        settled, tally = rampage(world, options, plan)
    finally:
        world.close()
        nets.close()
    return judge(folder, plan, time.monotonic() - started, settled, tally, world.deaths)


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3, help="how long faults are made (3)")
    parser.add_argument("--seed", default="", help="of the plan and the load (any)")
    parser.add_argument("--wire", choices=[w.name for w in net.WIRES], help="what carries packets (the first that works)")
    parser.add_argument("--keep", action="store_true", help="keep the folder, also when all is well")
    options = parser.parse_args()
    if not 0 < options.minutes <= MINUTES_MAX:
        parser.error(f"--minutes: more than 0, at most {MINUTES_MAX}")
    options.seed = options.seed or str(secrets.randbelow(10**9))
    return options


def main():
    options = read_options()
    why = unable()
    if why:
        say(f"chaos: skipped: {why}\n0 passed, 0 failed, 1 skipped")
        return 0
    if not (BUILD / "patchbay-sandbox").exists():
        sys.exit(f"no programs below {BUILD}; run `make tests` first")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="patchbay-chaos-"))
    passed, failed = 0, 1
    try:
        passed, failed = one_run(options, folder)
    finally:
        if failed or options.keep:
            say(f"logs and store: {folder}; the same faults again: make chaos MINUTES={options.minutes:g} SEED={options.seed}")
        else:
            shutil.rmtree(folder)
    say(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
