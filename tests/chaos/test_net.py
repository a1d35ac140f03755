"""The links between namespaces: slow, lossy and dead when they should be, and gone afterwards. Needs root."""

import contextlib
import os
import shutil
import socket
import subprocess
import time

import net
import pytest

PORT = 5000
QUICK = 0.5  # seconds to wait for what must not come


@contextlib.contextmanager
def two_nodes(wire):
    nets = net.Networks(wire)
    nets.add("a", "cluster", 1)
    nets.add("b", "cluster", 2)
    try:
        yield nets.open()
    finally:
        nets.close()


def usable():
    """The wires of this machine. None: the tests are skipped."""
    try:
        return [wire for wire in net.WIRES if wire.works()] if os.geteuid() == 0 and shutil.which("tc") else []
    except RuntimeError:  # nobody may make network namespaces here
        return []


WIRES = usable()


@pytest.fixture
def nets(wire):
    with two_nodes(wire) as made:
        yield made


def on_wires(wires):
    return pytest.mark.parametrize("wire", wires, ids=lambda wire: wire.name)


on_each_wire, on_wires_with_shapes = on_wires(WIRES), on_wires([wire for wire in WIRES if wire.shapes])


def datagrams(nets, node):
    made = net.inside(nets.namespace(node), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    made.settimeout(0.1)
    return made


def echo(there):
    """Passes on what has come. A link that has just come up may drop the first, so the caller repeats."""
    with contextlib.suppress(OSError):
        word, sender = there.recvfrom(16)
        there.sendto(word, sender)


def exchange(nets, patience=10):
    """Seconds from the first datagram sent from a to b until one has come back; None: none did."""
    there, here = datagrams(nets, "b"), datagrams(nets, "a")
    with there, here:
        there.bind((nets.address("b", "cluster"), PORT))
        started = time.monotonic()
        while time.monotonic() < started + patience:
            with contextlib.suppress(OSError):
                here.sendto(b"ping", (nets.address("b", "cluster"), PORT))
            echo(there)
            with contextlib.suppress(OSError):
                here.recvfrom(16)
                return time.monotonic() - started
    return None


@on_each_wire
def test_nodes_reach_each_other(nets):
    assert exchange(nets) is not None


@on_each_wire
def test_a_link_that_is_down_carries_nothing_until_it_is_up(nets):
    nets.link(nets.place("b", "cluster"), False)
    assert exchange(nets, QUICK) is None
    nets.heal()
    assert exchange(nets) is not None


@on_wires_with_shapes
def test_delay_is_added_in_both_directions(nets):
    exchange(nets)  # whoever has to ask for addresses has done so
    nets.shape(nets.place("a", "cluster"), net.Shape(delay_ms=100), net.Shape(delay_ms=150))
    assert exchange(nets) >= 0.25


@on_wires_with_shapes
@pytest.mark.parametrize("direction", ["out", "into"])
def test_a_direction_can_be_dead_alone(nets, direction):
    exchange(nets)
    nets.shape(nets.place("a", "cluster"), **{direction: net.Shape(loss_percent=100)})
    assert exchange(nets, QUICK) is None
    nets.heal()
    assert exchange(nets) is not None


@on_each_wire
def test_nothing_is_left_behind(nets):
    nets.close()
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert nets.tag not in left
