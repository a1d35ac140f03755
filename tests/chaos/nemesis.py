"""The faults, and the plan of a run. A plan is made from a seed before anything happens, so a seed gives the same faults
at the same times; what the processes make of them is theirs."""

import heapq
import random
import time
from dataclasses import dataclass

import net
from world import LEASE_MS, WORKERS

LEASE = LEASE_MS / 1000
BLOCKED = net.Shape(loss_percent=100)
GAP_SECONDS = (0.5, 5)    # between the beginnings of two faults
CALM_SECONDS = (6, 12)    # now and then instead: time to recover in
CALM_CHANCE = 0.12
FIRST_SECONDS = 3         # something to lose first
TICK_SECONDS = 0.1


def far(rng):
    delay = rng.randrange(50, 301)
    return net.Shape(delay_ms=delay, jitter_ms=rng.randrange(delay // 2 + 1))


def lossy(rng):
    return net.Shape(loss_percent=rng.randrange(5, 31))


def both_ways(make):
    return lambda rng: (make(rng), make(rng))


# -- what begins and ends a fault --


def process(begin, end):
    """By the names of World's verbs."""
    def begins(world, event):
        for node in event.nodes:
            getattr(world, begin)(node)

    def ends(world, event):
        for node in event.nodes:
            getattr(world, end)(node)

    return begins, ends


def link_down(network):
    def set_link(world, event, up):
        for node in event.nodes:
            world.nets.link(world.nets.place(node, network), up)

    return lambda world, event: set_link(world, event, False), lambda world, event: set_link(world, event, True)


def shaped(network):
    def begins(world, event):
        for node in event.nodes:
            world.nets.shape(world.nets.place(node, network), *event.shapes)

    def ends(world, event):
        for node in event.nodes:
            world.nets.shape(world.nets.place(node, network))

    return begins, ends


@dataclass(frozen=True)
class Fault:
    """aspect is what a node can have one fault of at a time. shapes(rng) gives (out, into), for wires that have shapes."""
    name: str
    weight: int
    groups: tuple  # of nodes; one group is hit
    seconds: tuple
    aspect: str
    ways: tuple
    shapes: object = None


EACH_WORKER = tuple((w,) for w in WORKERS)
BROKER, CLIENT, PROVIDER = (("broker",),), (("client",),), (("provider",),)
ALL = (("broker", *WORKERS),)
KILLED, STOPPED, TOLD = process("kill", "start"), process("freeze", "thaw"), process("tell_to_end", "start_again")

FAULTS = (
    Fault("worker killed", 14, EACH_WORKER, (0.1, 6), "process", KILLED),
    Fault("worker told to end", 4, EACH_WORKER, (0.1, 4), "process", TOLD),
    Fault("worker stopped within its lease", 4, EACH_WORKER, (0.2, 0.7 * LEASE), "process", STOPPED),
    Fault("worker stopped beyond its lease", 10, EACH_WORKER, (1.2 * LEASE, 4 * LEASE), "process", STOPPED),
    Fault("broker killed", 9, BROKER, (0.1, 5), "process", KILLED),
    Fault("broker told to end", 3, BROKER, (0.1, 3), "process", TOLD),
    Fault("broker stopped", 6, BROKER, (0.5, 4 * LEASE), "process", STOPPED),
    Fault("broker and workers killed", 2, ALL, (0.1, 3), "process", KILLED),
    Fault("worker cut off", 8, EACH_WORKER, (0.5, 5 * LEASE), "cluster", link_down("cluster")),
    Fault("worker not heard", 6, EACH_WORKER, (0.5, 5 * LEASE), "cluster", shaped("cluster"), lambda _: (BLOCKED, net.CLEAR)),
    Fault("worker hears nothing", 6, EACH_WORKER, (0.5, 5 * LEASE), "cluster", shaped("cluster"),
          lambda _: (net.CLEAR, BLOCKED)),
    Fault("worker far away", 6, EACH_WORKER, (3, 20), "cluster", shaped("cluster"), both_ways(far)),
    Fault("worker on a bad line", 6, EACH_WORKER, (3, 20), "cluster", shaped("cluster"), both_ways(lossy)),
    Fault("broker cut off", 4, BROKER, (0.5, 4 * LEASE), "cluster", link_down("cluster")),
    Fault("broker on a bad line", 4, BROKER, (3, 15), "cluster", shaped("cluster"), both_ways(lossy)),
    Fault("client cut off", 4, CLIENT, (0.5, 10), "cluster", link_down("cluster")),
    Fault("client not heard", 3, CLIENT, (0.5, 10), "cluster", shaped("cluster"), lambda _: (BLOCKED, net.CLEAR)),
    Fault("client hears nothing", 4, CLIENT, (0.5, 10), "cluster", shaped("cluster"), lambda _: (net.CLEAR, BLOCKED)),
    Fault("client far away", 4, CLIENT, (3, 20), "cluster", shaped("cluster"), both_ways(far)),
    Fault("client on a bad line", 4, CLIENT, (3, 20), "cluster", shaped("cluster"), both_ways(lossy)),
    Fault("provider stopped", 3, PROVIDER, (0.5, 6), "process", STOPPED),
    Fault("provider cut off", 2, PROVIDER, (0.5, 6), "provider", link_down("provider")),
    Fault("provider on a bad line", 3, PROVIDER, (3, 10), "provider", shaped("provider"), both_ways(lossy)),
)


@dataclass(frozen=True)
class Event:
    at: float  # seconds from the start
    seconds: float
    fault: Fault
    nodes: tuple
    shapes: tuple

    def __str__(self):
        shapes = f", out {self.shapes[0]}, in {self.shapes[1]}" if self.shapes else ""
        return f"{self.fault.name}: {' '.join(self.nodes)}, for {self.seconds:.1f} s{shapes}"


# -- the plan --


def is_free(busy, fault, nodes, at):
    return all(busy.get((node, fault.aspect), 0) <= at for node in nodes)


def next_event(rng, faults, busy, at, end):
    """One that hits nodes which have no fault of that aspect, or None."""
    chances = [(f, nodes) for f in faults for nodes in f.groups if is_free(busy, f, nodes, at)]
    if not chances:
        return None
    fault, nodes = rng.choices(chances, [f.weight / len(f.groups) for f, _ in chances])[0]
    seconds = min(rng.uniform(*fault.seconds), end - at)
    return Event(at, seconds, fault, nodes, fault.shapes(rng) if fault.shapes else ())


def make_plan(seed, seconds, has_shapes):
    rng = random.Random(f"plan {seed}")
    faults = [f for f in FAULTS if has_shapes or not f.shapes]
    events, busy, at = [], {}, FIRST_SECONDS
    while at < seconds:
        event = next_event(rng, faults, busy, at, seconds)
        if event:
            events.append(event)
            busy.update({(node, event.fault.aspect): at + event.seconds for node in event.nodes})
        at += rng.uniform(*(CALM_SECONDS if rng.random() < CALM_CHANCE else GAP_SECONDS))
    return events


def carry_out(plan, seconds, world, say):
    """Begins and ends faults at their times, for so many seconds; an end goes before a beginning of the same time."""
    begun_at = time.monotonic()
    due = [(e.at, 1, n, e, e.fault.ways[0]) for n, e in enumerate(plan)]
    due += [(e.at + e.seconds, 0, n, e, e.fault.ways[1]) for n, e in enumerate(plan)]
    heapq.heapify(due)
    while (now := time.monotonic() - begun_at) < seconds:
        while due and due[0][0] <= now:
            _, is_beginning, _, event, act = heapq.heappop(due)
            if is_beginning:
                say(f"{now:7.1f} s  {event}")
            act(world, event)
        world.check()
        time.sleep(TICK_SECONDS)
