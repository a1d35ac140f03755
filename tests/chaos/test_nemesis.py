"""Plans: the same from the same seed, never two faults of one aspect on one node, and every kind of fault comes up."""

import nemesis
import pytest

SECONDS = 300


def described(seed, has_shapes=True):
    return [(e.at, str(e)) for e in nemesis.make_plan(seed, SECONDS, has_shapes)]


def test_a_seed_is_a_plan():
    assert described("7") == described("7")
    assert described("7") != described("8")


@pytest.mark.parametrize("seed", range(20))
def test_a_node_has_one_fault_of_an_aspect_at_a_time(seed):
    until = {}
    for event in nemesis.make_plan(str(seed), SECONDS, True):
        for node in event.nodes:
            place = node, event.fault.aspect
            assert event.at >= until.get(place, 0), event
            until[place] = event.at + event.seconds
            assert until[place] <= SECONDS + 1e-6


def test_every_kind_of_fault_comes_up():
    seen = {event.fault.name for seed in range(20) for event in nemesis.make_plan(str(seed), SECONDS, True)}
    assert seen == {fault.name for fault in nemesis.FAULTS}


def test_a_wire_without_shapes_gets_no_shapes():
    assert not any(event.shapes for seed in range(20) for event in nemesis.make_plan(str(seed), SECONDS, False))


class Witness:
    """A world that writes down what is done to it."""

    def __init__(self):
        self.done = []

    def check(self):
        pass

    def __getattr__(self, verb):
        return lambda *args: self.done.append((verb, *args))


def test_what_begins_ends(monkeypatch):
    monkeypatch.setattr(nemesis, "TICK_SECONDS", 0)
    fault = next(f for f in nemesis.FAULTS if f.name == "broker killed")
    plan = [nemesis.Event(0.01 * n, 0.01, fault, ("broker",), ()) for n in range(3)]
    world = Witness()
    nemesis.carry_out(plan, 0.2, world, lambda _: None)
    assert world.done == [("kill", "broker"), ("start", "broker")] * 3
