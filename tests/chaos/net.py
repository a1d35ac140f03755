"""Networks of the run's own: a namespace for each node, and links between them that can be made slow, lossy or dead.

Two networks keep faults apart: on `cluster` the broker meets workers and the client, on `provider` the workers meet the
simulated provider. So a worker can lose its broker in the middle of a request that goes on.

What forwards packets is one of three wires, the first that this kernel can do:
- netem: veth pairs into a bridge, shaped by tc's netem at either end
- relay: a TUN device for each place, and a thread here that carries packets between them, late or not at all; for kernels
  without netem (many small virtual machines)
- bare: veth pairs into a bridge, nothing but up and down
Addresses exist inside the namespaces only."""

import ctypes
import fcntl
import heapq
import os
import random
import secrets
import select
import struct
import subprocess
import threading
import time
from dataclasses import dataclass, field

PREFIXES = {"cluster": "10.77.1", "provider": "10.77.2"}
CLONE_NEWNET = 0x40000000
COMMAND_PATIENCE = 20  # seconds for one ip or tc command
libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Shape:
    """What is done to packets in one direction."""
    delay_ms: int = 0
    jitter_ms: int = 0
    loss_percent: int = 0

    def __str__(self):
        said = [f"delay {self.delay_ms}±{self.jitter_ms} ms"] if self.delay_ms else []
        said += [f"loss {self.loss_percent}%"] if self.loss_percent else []
        return ", ".join(said) or "clear"


CLEAR = Shape()


@dataclass
class Place:
    """A node's end on one network."""
    node: str
    network: str
    host: int
    namespace: str
    device: str = ""  # unique on the machine, for what is made outside and moved in
    out: Shape = CLEAR
    into: Shape = CLEAR
    fd: int = -1  # relay only

    @property
    def address(self):
        return f"{PREFIXES[self.network]}.{self.host}"


def command(*words, check=True):
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_PATIENCE)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.returncode == 0


def enter(namespace):
    with open(f"/run/netns/{namespace}", "rb") as ns:
        if libc.setns(ns.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


def inside(namespace, function):
    """Calls function in the namespace and gives what it gives. A thread's namespace is its own."""
    got = []

    def run():
        try:
            enter(namespace)
            got.append((function(), None))
        except Exception as error:
            got.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    result, error = got[0]
    if error:
        raise error
    return result


# -- wires --


class Bridged:
    """A hub namespace with a bridge for each network, and a veth pair for each place."""

    def __init__(self, tag):
        self.hub = f"{tag}-hub"

    def open(self, places):
        command("ip", "netns", "add", self.hub)
        for network in sorted({p.network for p in places}):
            command("ip", "-n", self.hub, "link", "add", network, "type", "bridge")
            command("ip", "-n", self.hub, "link", "set", network, "up")
        for place in places:
            command("ip", "-n", self.hub, "link", "add", place.device, "type", "veth", "peer", "name", place.network,
                    "netns", place.namespace)
            command("ip", "-n", self.hub, "link", "set", place.device, "master", place.network, "up")

    def close(self):
        command("ip", "netns", "del", self.hub, check=False)


class Bare(Bridged):
    name, shapes = "bare", False
    note = "this kernel has neither netem nor TUN devices: links only go up and down, without delay and loss"

    @staticmethod
    def works():
        return True

    def shape(self, place):
        raise AssertionError("a bare wire has no shape")


class Netem(Bridged):
    name, shapes = "netem", True
    note = "delay and loss by tc netem"

    @staticmethod
    def works():
        namespace = f"pbtry-{secrets.token_hex(3)}"
        command("ip", "netns", "add", namespace)
        try:
            return command("tc", "-n", namespace, "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms", check=False)
        finally:
            command("ip", "netns", "del", namespace)

    def shape(self, place):
        self.one_way(place.namespace, place.network, place.out)
        self.one_way(self.hub, place.device, place.into)

    @staticmethod
    def one_way(namespace, device, shape):
        if shape == CLEAR:
            command("tc", "-n", namespace, "qdisc", "del", "dev", device, "root", check=False)  # there may be none
            return
        command("tc", "-n", namespace, "qdisc", "replace", "dev", device, "root", "netem",
                "delay", f"{shape.delay_ms}ms", f"{shape.jitter_ms}ms", "loss", f"{shape.loss_percent}%")


class Relay:
    """Carries packets between TUN devices. Each packet is read whole, so its fate can be decided one by one."""
    name, shapes = "relay", True
    note = "this kernel has no netem: a relay of the run's own delays and drops packets between TUN devices"
    TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
    PACKET_BYTES, PACKETS_WAITING = 65536, 20000

    def __init__(self, tag):
        self.random = random.Random(tag)
        self.places, self.by_address, self.waiting, self.count = {}, {}, [], 0
        self.wake_read, self.wake_write = os.pipe()
        self.thread = threading.Thread(target=self.run, daemon=True)

    @staticmethod
    def works():
        return os.access("/dev/net/tun", os.R_OK | os.W_OK)

    def open(self, places):
        for place in places:
            place.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(place.fd, self.TUNSETIFF, struct.pack("16sH14x", place.device.encode(), self.IFF_TUN | self.IFF_NO_PI))
            command("ip", "link", "set", place.device, "netns", place.namespace, "name", place.network)
            self.places[place.fd] = place
            self.by_address[bytes(map(int, place.address.split(".")))] = place
        self.thread.start()

    def close(self):
        if self.thread.is_alive():
            os.write(self.wake_write, b"x")
            self.thread.join()
        for fd in (*self.places, self.wake_read, self.wake_write):
            os.close(fd)

    def shape(self, place):
        """Nothing to do: the relay looks at the place's shapes for each packet."""

    def run(self):
        poll = select.epoll()
        for fd in (*self.places, self.wake_read):
            poll.register(fd, select.EPOLLIN)
        while True:
            for fd, _ in poll.poll(self.idle_seconds()):
                if fd == self.wake_read:
                    poll.close()
                    return
                self.receive(self.places[fd])
            self.deliver()

    def idle_seconds(self):
        return max(0, self.waiting[0][0] - time.monotonic()) if self.waiting else 1

    def receive(self, source):
        """A bounded number, so that one talker does not keep the others waiting."""
        for _ in range(64):
            try:
                packet = os.read(source.fd, self.PACKET_BYTES)
            except OSError:  # nothing more, or the link is down
                return
            target = self.by_address.get(packet[16:20]) if packet[0] >> 4 == 4 else None
            if target and len(self.waiting) < self.PACKETS_WAITING:
                self.pass_on(packet, source.out, target)

    def pass_on(self, packet, out, target):
        shapes = (out, target.into)
        if any(self.random.uniform(0, 100) < s.loss_percent for s in shapes):
            return
        late_ms = sum(max(0, s.delay_ms + self.random.uniform(-s.jitter_ms, s.jitter_ms)) for s in shapes)
        self.count += 1  # keeps the order of what is due at the same time
        heapq.heappush(self.waiting, (time.monotonic() + late_ms / 1000, self.count, packet, target.fd))

    def deliver(self):
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            _, _, packet, fd = heapq.heappop(self.waiting)
            try:
                os.write(fd, packet)
            except OSError:  # the link is down, or its queue is full: lost, as on any wire
                pass


WIRES = (Netem, Relay, Bare)


def choose_wire(name=None):
    """The wire of that name, or the first that works here."""
    wires = [w for w in WIRES if name in (None, w.name)]
    if not wires:
        raise SystemExit(f"there is no wire {name!r}; there are {', '.join(w.name for w in WIRES)}")
    for wire in wires:
        if wire.works():
            return wire
    raise SystemExit(f"this kernel cannot do the wire {name!r}")


# -- the whole --


@dataclass
class Networks:
    """Namespaces, places and their wire. close() removes all of it, however far open() came."""
    wire_class: type
    tag: str = field(default_factory=lambda: f"pb{secrets.token_hex(3)}")
    places: dict = field(default_factory=dict)  # (node, network): Place
    namespaces: list = field(default_factory=list)
    wire: object = None

    def namespace(self, node):
        return f"{self.tag}-{node}"

    def add(self, node, network, host):
        device = f"{self.tag}{len(self.places)}"
        self.places[node, network] = Place(node, network, host, self.namespace(node), device)

    def open(self):
        for node in dict.fromkeys(p.node for p in self.places.values()):
            command("ip", "netns", "add", self.namespace(node))
            self.namespaces.append(self.namespace(node))
            command("ip", "-n", self.namespace(node), "link", "set", "lo", "up")
        self.wire = self.wire_class(self.tag)
        self.wire.open(list(self.places.values()))
        for place in self.places.values():
            command("ip", "-n", place.namespace, "addr", "add", f"{place.address}/24", "dev", place.network)
            self.link(place, True)
        return self

    def close(self):
        if self.wire:
            self.wire.close()
        for namespace in self.namespaces:
            command("ip", "netns", "del", namespace, check=False)
        self.wire, self.namespaces = None, []

    def place(self, node, network):
        return self.places[node, network]

    def address(self, node, network):
        return self.places[node, network].address

    def link(self, place, up):
        command("ip", "-n", place.namespace, "link", "set", place.network, "up" if up else "down")

    def shape(self, place, out=CLEAR, into=CLEAR):
        place.out, place.into = out, into
        self.wire.shape(place)

    def heal(self):
        for place in self.places.values():
            if self.wire.shapes:
                self.shape(place)
            self.link(place, True)
