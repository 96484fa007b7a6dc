"""Guests and containers that share a network card with the workstation: what they send passes no other rule of ours."""

import contextlib
import sys
import time

import pytest

from amount import first_of
from functional.office import BOTH, OPEN_BOTH, changed, sentences
from scenes import ADDRESS, ADDRESS6, article

MECHANISMS = ["nftables", "iptables-legacy"]
# A kernel that is too old, as nft says it.
OLD_KERNEL = """#!/bin/sh
case "$*" in *--check*) echo "Error: Could not process rule: Operation not supported" >&2; exit 1;; esac
exec /srv/nft "$@"
"""
PILLAR = article(BOTH)
GUARDED, OUTSIDE = 20002, 20011
# Connects to each of some addresses and a port; says what became of it.
PROBE = """
import socket, sys
for address in sys.argv[2:]:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.settimeout(0.7)
        try:
            sock.connect((address, int(sys.argv[1])))
            print("open" if sock.recv(64).startswith(b"scene ") else "strange")
        except OSError:
            print("closed")
"""


def prepare(office):
    """The directory of named namespaces, which is a mount of its own from the first one on."""
    for verb in ("add", "delete"):
        office.client.run(["ip", "netns", verb, "first"])


# Makes packets that ask for a connection.
PACKETS = """
import contextlib, os, socket, struct, sys, time

source, address, port = *sys.argv[1:3], int(sys.argv[3])
six = ":" in address
family = socket.AF_INET6 if six else socket.AF_INET
ends = socket.inet_pton(family, source) + socket.inet_pton(family, address)
first = 20000 + os.getpid() % 9000

def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF

def segment(own, acknowledging=False):
    parts = [own, port, 1, acknowledging, 5 << 4, 16 if acknowledging else 2, 65535, 0, 0]
    pseudo = ends + (struct.pack("!II", 20, 6) if six else struct.pack("!BBH", 0, 6, 20))
    parts[7] = checksum(pseudo + struct.pack("!HHIIBBHHH", *parts))
    return struct.pack("!HHIIBBHHH", *parts)

def v4(payload, place=0, options=b""):
    words = 5 + len(options) // 4
    head = lambda total: struct.pack("!BBHHHBBH", 64 + words, 0, words * 4 + len(payload), first, place, 64, 6, total)
    return head(checksum(head(0) + ends + options)) + ends + options + payload

def v6(payload, following=6):
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 64) + ends + payload

heard = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)

def answers(seconds):
    "Until the time is over: port of ours and flags."
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        heard.settimeout(left)
        with contextlib.suppress(TimeoutError):
            answer = heard.recv(2048)
            answer = answer if six else answer[(answer[0] & 15) * 4 :]
            if answer[:2] == struct.pack("!H", port):
                yield int.from_bytes(answer[2:4], "big"), answer[13]
"""
# Sends some, and says whether the server answers.
HANDMADE = """
how = sys.argv[4]
# Destination options of no meaning, another such header behind: Linux takes no first fragment of less than 1280 bytes.
long = bytes([60, 153, *(bytes([30, 255]) + bytes(255)) * 4, 30, 200, *bytes(200)])
asking = segment(first, how.startswith("acknowledging"))
packets = {
    "plain": lambda: [v6(asking) if six else v4(asking)],
    "acknowledging": lambda: [v6(asking) if six else v4(asking)],
    "acknowledging in two fragments": lambda: [v4(asking[:16], 0x2000), v4(asking[16:], 2)],
    "in two fragments": lambda: [v4(asking[:8], 0x2000), v4(asking[8:], 1)],
    "with options": lambda: [v6(bytes([6, 0, 1, 4, *bytes(4)]) + asking, 60) if six else v4(asking, 0, b"\\1" * 4)],
    "in one fragment": lambda: [v6(struct.pack("!BBHI", 6, 0, 0, first) + asking, 44)],
    # The port is in the second one, and in the first not even the protocol.
    "in two fragments, behind two headers": lambda: [
        v6(struct.pack("!BBHI", 60, 0, 1, first) + long, 44),
        v6(struct.pack("!BBHI", 60, 0, len(long), first) + bytes([6, 0, 1, 4, *bytes(4)]) + asking, 44),
    ],
}[how]()
with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
    for packet in packets:
        out.sendto(packet, (address, 0))
print(next(("answered" if flags & 18 == 18 else "reset" for own, flags in answers(1) if own == first), "nothing"))
"""
# Sends whole frames to a hardware address, called as some protocol, one with each of some tags; prints those of the
# tags on which the server answers.
FRAMES = """
neighbour, called, *tags = sys.argv[4:]
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind(("guest0", 0))
    head = bytes.fromhex(neighbour) + out.getsockname()[4]
    for own, tag in enumerate(tags, first):
        packet = v6(segment(own)) if six else v4(segment(own))
        # Its sender hears that a frame is dropped.
        with contextlib.suppress(OSError):
            frame = head + bytes.fromhex(tag) + struct.pack("!H", 0x86DD if six else 0x800) + packet
            out.sendto(frame, ("guest0", int(called, 16)))
waiting = set(range(first, first + len(tags)))
for own, flags in answers(0.8):
    if flags & 18 == 18:
        waiting.discard(own)
    if not waiting:
        break
print(*(tag or "none" for own, tag in enumerate(tags, first) if own not in waiting))
"""


class Guest:
    """A network namespace of the client with an interface of its own."""

    def __init__(self, client, undo):
        self.client = client
        client.run(["ip", "netns", "add", "guest"])
        undo.callback(client.run, ["ip", "netns", "delete", "guest"])

    def ip(self, *words):
        """Run ip in it."""
        return self.client.run(["ip", "-netns", "guest", *words]).stdout

    def takes(self, device, *addresses):
        """Give it an interface of the client; return when the server answers by it where nothing is guarded."""
        self.client.run(["ip", "link", "set", device, "netns", "guest"])
        self.up(device, *addresses)
        deadline = time.monotonic() + 60
        while self.reaches(OUTSIDE, *BOTH) != set(BOTH):
            assert time.monotonic() < deadline, "the guest's interface does not come up"

    def up(self, device, *addresses):
        """Give addresses to an interface of its own."""
        for address in addresses:
            self.ip("address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        self.ip("link", "set", device, "up")

    def run(self, *words, check=True):
        """Run a program in it."""
        return self.client.run(["ip", "netns", "exec", "guest", *words], check=check)

    def asks(self, program, address, *words):
        """Ask a guarded port by what a program makes; return what that says."""
        source = "fd00:2::31" if ":" in address else "192.168.2.31"
        command = [sys.executable, "-I", "-S", "-c", PACKETS + program, source, address, str(GUARDED), *words]
        return self.run(*command).stdout.strip()

    def reaches(self, port, *addresses):
        """Which of some addresses it reaches at a port; how, where it is not just open or closed."""
        words = self.run(sys.executable, "-I", "-S", "-c", PROBE, str(port), *addresses).stdout.split()
        assert set(words) <= {"open", "closed"} and len(words) == len(addresses)
        return {address for address, word in zip(addresses, words) if word == "open"}


def macvlan(mode):
    def make(office, guest, undo):
        office.client.run(["ip", "link", "add", "guest0", "link", "eth0", "type", "macvlan", "mode", mode])
        guest.takes("guest0", "192.168.2.31/24", "fd00:2::31/64")
        if mode == "passthru":
            address = office.client.read("/sys/class/net/eth0/address")
            assert guest.run("cat", "/sys/class/net/guest0/address").stdout == address
        return BOTH

    return make


def bridged(office, guest, undo):
    """The client's network card becomes a port of a bridge; the guest is behind another port.

    Bridged frames pass the forward hook where br_netfilter is loaded and switched on, as Docker does.
    """
    run = office.client.run
    for family in ("iptables", "ip6tables"):
        run(["sh", "-c", f"echo 0 >/proc/sys/net/bridge/bridge-nf-call-{family}"])
    run(["ip", "link", "add", "br0", "type", "bridge"])
    undo.callback(_unbridged, office)
    for address in ("192.168.2.22/24", "fd00:2::22/64"):
        run(["ip", "address", "delete", address, "dev", "eth0"])
        run(["ip", "address", "add", address, "dev", "br0", *(["nodad"] if ":" in address else [])])
    run(["ip", "link", "set", "eth0", "master", "br0"])
    run(["ip", "link", "add", "port0", "type", "veth", "peer", "guest0"])
    for device in ("port0", "br0"):
        run(["ip", "link", "set", device, *(["master", "br0"] if device == "port0" else []), "up"])
    guest.takes("guest0", "192.168.2.31/24", "fd00:2::31/64")
    return BOTH


def _unbridged(office):
    office.client.run(["ip", "link", "delete", "br0"])
    for address in ("192.168.2.22/24", "fd00:2::22/64"):
        words = ["nodad"] if ":" in address else []
        office.client.run(["ip", "address", "add", address, "dev", "eth0", *words])


KINDS = {
    "macvlan": macvlan("bridge"),
    "macvlan with the machine's own address": macvlan("passthru"),
    "bridge": bridged,
}


@pytest.fixture
def undo(shared):
    """What takes a test's interfaces away, whatever becomes of it."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("guard", ["everywhere", "servers"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_guest_on_the_network_card_reaches_no_guarded_port(shared, undo, kind, guard):
    """It does without this guard, and reaches other ports with it, as before."""
    guest = Guest(shared.client, undo)
    addresses = KINDS[kind](shared, guest, undo)
    # The machine's network card is one that leads to a container, and is taken for that as a port of a bridge.
    firewall = {"guard": guard, **({"uplinks": ["eth0"]} if kind == "bridge" else {})}
    shared.nft("delete", "table", "netdev", "spice_grant")
    assert guest.reaches(GUARDED, *addresses) == set(addresses)
    shared.applied(changed(PILLAR, firewall=firewall))
    assert guest.reaches(GUARDED, *addresses) == set()
    assert guest.reaches(OUTSIDE, *addresses) == set(addresses)
    assert shared.apply()["changes"] == {}


def test_what_this_machine_sends_is_as_before(shared, undo):
    """The granted viewers get through, beside a guest and by a bridge, and nobody else does."""
    guest = Guest(shared.client, undo)
    bridged(shared, guest, undo)
    text = sentences(shared.applied(changed(PILLAR, firewall={"uplinks": ["eth0", "br*"]}))["changes"])
    assert "guards what leaves by br0 past the other rules" in text
    assert shared.openings() == OPEN_BOTH
    assert guest.reaches(GUARDED, *BOTH) == set()


def test_guests_reach_each_other(shared, undo):
    """What stays among the ports of a bridge of this machine is not ours."""
    guest = Guest(shared.client, undo)
    bridged(shared, guest, undo)
    shared.applied()
    run = shared.client.run
    run(["ip", "netns", "add", "other"])
    undo.callback(run, ["ip", "netns", "delete", "other"])
    run(["ip", "link", "add", "port1", "type", "veth", "peer", "other0"])
    run(["ip", "link", "set", "port1", "master", "br0", "up"])
    run(["ip", "link", "set", "other0", "netns", "other"])
    for words in (["address", "add", "192.168.2.32/24", "dev", "other0"], ["link", "set", "other0", "up"]):
        run(["ip", "-netns", "other", *words])
    serve = (
        f"import socket; s = socket.create_server(('', {GUARDED})); print(flush=True); s.accept()[0].send(b'scene ')"
    )
    listener = shared.client.popen(["ip", "netns", "exec", "other", sys.executable, "-I", "-S", "-c", serve], stdout=-1)
    undo.callback(listener.kill_tree)
    listener.stdout.readline()
    listener.stdout.close()
    assert guest.reaches(GUARDED, "192.168.2.32") == {"192.168.2.32"}
    assert shared.apply()["changes"] == {}


TAMPERED = {
    "table": ("delete table netdev spice_grant", "guards what leaves by eth0"),
    "table asleep": ("add table netdev spice_grant {{ flags dormant; }}", "restores table spice_grant"),
    "interface": ("delete chain netdev spice_grant {chain}", "guards what leaves by eth0"),
    "rules": ("flush chain netdev spice_grant {chain}", "restores chain {chain}: 6 rule(s) missing"),
    "rule": ("insert rule netdev spice_grant guard accept", "restores chain guard: 1 rule(s) that do not belong there"),
    "ports": ("flush set netdev spice_grant guarded", "guards ports 20001-20010 instead of none"),
    "chain": ("add chain netdev spice_grant more", "removes chain more, which does not belong"),
}


@pytest.mark.parametrize("what", first_of(TAMPERED, 4))
def test_drift_is_found_and_repaired(shared, undo, what):
    guest = Guest(shared.client, undo)
    macvlan("bridge")(shared, guest, undo)
    index = shared.client.read("/sys/class/net/eth0/ifindex").strip()
    command, words = (text.format(chain=f"on_eth0_{index}") for text in TAMPERED[what])
    shared.nft(command)
    before = shared.ruleset()
    dry = shared.apply(test=True)
    assert dry["result"] is None and words in sentences(dry["changes"]), dry
    assert shared.ruleset() == before
    assert shared.applied()["changes"] == dry["changes"]
    assert guest.reaches(GUARDED, ADDRESS, ADDRESS6) == set()
    assert shared.apply()["changes"] == {}


def test_an_interface_that_comes_and_goes(shared, undo):
    """One that comes is covered without touching the others; one that goes, and the last one, is nothing to repair."""
    run = shared.client.run
    run(["ip", "link", "add", "late0", "type", "veth", "peer", "late1"])
    undo.callback(run, ["ip", "link", "delete", "late0"])
    assert "guards what leaves by late0, late1 past" in sentences(shared.applied()["changes"])
    run(["ip", "link", "delete", "late0"])
    assert shared.apply()["changes"] == {}
    run(["ip", "link", "add", "late0", "type", "veth", "peer", "late1"])
    assert "guards what leaves by late0, late1 past" in sentences(shared.applied()["changes"])
    assert shared.apply()["changes"] == {}


def test_named_interfaces_only(shared, undo):
    """Names and patterns, also of an interface that is not there yet; and none at all."""
    guest = Guest(shared.client, undo)
    macvlan("bridge")(shared, guest, undo)
    shared.applied(changed(PILLAR, firewall={"uplinks": ["wlan*"]}))
    shared.nft("delete", "table", "netdev", "spice_grant")
    shared.applied()
    assert guest.reaches(GUARDED, *BOTH) == set(BOTH)
    shared.applied(changed(PILLAR, firewall={"uplinks": ["wlan*", "e*0"]}))
    assert guest.reaches(GUARDED, *BOTH) == set()
    text = sentences(shared.applied(changed(PILLAR, firewall={"uplinks": False}))["changes"])
    assert "removes the guard from uplinks" in text
    assert "netdev" not in shared.nft("list", "tables")
    assert not shared.client.path("/usr/local/lib/spice-grant/uplinks").exists()
    assert shared.apply()["changes"] == {}


def test_the_program_covers_what_has_come(shared, undo):
    """What systemd starts when udev reports an interface: within a second, with no Salt."""
    guest = Guest(shared.client, undo)
    macvlan("bridge")(shared, guest, undo)
    shared.nft("delete", "table", "netdev", "spice_grant")
    assert guest.reaches(GUARDED, ADDRESS) == {ADDRESS}
    shared.client.run(["/usr/bin/python3", "-I", "/usr/local/lib/spice-grant/uplinks"])
    assert guest.reaches(GUARDED, ADDRESS) == set()
    assert shared.apply()["changes"] == {}
    shared.client.run(["ip", "link", "add", "late0", "type", "veth", "peer", "late1"])
    undo.callback(shared.client.run, ["ip", "link", "delete", "late0"])
    shared.client.run(["/usr/bin/python3", "-I", "/usr/local/lib/spice-grant/uplinks"])
    assert shared.apply()["changes"] == {}


@pytest.mark.parametrize(("there", "why"), [(False, "nft is not installed"), (True, "Operation not supported")])
def test_where_it_cannot_be(office, there, why):
    """All else holds, and the run says so; where pillar names interfaces, it is an error and nothing is changed."""
    office.client.run(["mv", "/usr/sbin/nft", "/srv/nft"])
    if there:
        office.client.write("/usr/sbin/nft", OLD_KERNEL, 0o755)
    result = office.applied(PILLAR)
    assert "share a network card with this machine are not held back: " in result["comment"]
    assert why in result["comment"]
    assert office.openings() == OPEN_BOTH
    assert office.apply()["changes"] == {}
    result = office.apply(changed(PILLAR, firewall={"uplinks": ["eth0"]}))
    assert (result["result"], result["changes"]) == (False, {})
    assert "spice:firewall:uplinks names interfaces that cannot be guarded" in result["comment"]
    assert office.openings() == OPEN_BOTH


def test_all_of_it_goes(granted):
    assert granted.minion.call("spice_firewall.backend")["uplinks"] == ["eth0"]
    granted.minion.state("spice.absent")
    assert "spice_grant" not in granted.nft("list", "tables")
    assert not granted.client.path("/usr/local/lib/spice-grant").exists()
    assert not granted.client.path("/etc/systemd/system/spice-grant-uplinks.service").exists()


def test_a_refused_guest_is_in_the_log(shared, undo, kernel_log):
    """By a rule of its own, which no user's tries use up."""
    guest = Guest(shared.client, undo)
    macvlan("bridge")(shared, guest, undo)
    shared.applied()
    (port,) = kernel_log.ports(1)
    code = (
        f"import socket; s = socket.socket(); s.settimeout(1); s.bind(('', {port})); s.connect_ex(('{ADDRESS}', 20002))"
    )
    guest.run(sys.executable, "-I", "-S", "-c", code)
    lines = kernel_log.lines(port)
    assert lines and all("spice-grant deny egress: " in line and f"DST={ADDRESS} " in line for line in lines)
    assert not any("UID=" in line for line in lines)


@pytest.mark.parametrize(
    ("how", "address", "guarded", "unguarded"),
    [
        ("plain", ADDRESS, "nothing", "answered"),
        ("plain", ADDRESS6, "nothing", "answered"),
        ("in two fragments", ADDRESS, "nothing", "answered"),
        ("with options", ADDRESS, "nothing", "answered"),
        ("with options", ADDRESS6, "nothing", "answered"),
        ("in one fragment", ADDRESS6, "nothing", "answered"),
        ("in two fragments, behind two headers", ADDRESS6, "nothing", "answered"),
        # The server knows no connection to which this belongs. It could also be the end of one of this machine's own.
        ("acknowledging", ADDRESS, "reset", "reset"),
        ("acknowledging", ADDRESS6, "reset", "reset"),
        ("acknowledging in two fragments", ADDRESS, "nothing", "reset"),
    ],
)
def test_packets_of_the_guests_own_making(shared, undo, how, address, guarded, unguarded):
    """Whatever stands before the flags, or in another fragment, begins no connection."""
    guest = Guest(shared.client, undo)
    macvlan("bridge")(shared, guest, undo)
    assert guest.asks(HANDMADE, address, how) == guarded
    shared.nft("delete", "table", "netdev", "spice_grant")
    assert guest.asks(HANDMADE, address, how) == unguarded


def test_large_datagrams_of_a_guest_pass(shared, undo):
    """In fragments, to any port: the server gets them, for it says that nobody listens."""
    guest = Guest(shared.client, undo)
    macvlan("bridge")(shared, guest, undo)
    for address in BOTH:
        code = (
            f"import socket; s = socket.socket(socket.AF_INET{'6' * (':' in address)}, socket.SOCK_DGRAM)\n"
            f"s.settimeout(2); s.connect(('{address}', {GUARDED})); s.send(bytes(4000)); s.recv(1)"
        )
        assert "ConnectionRefusedError" in guest.run(sys.executable, "-I", "-S", "-c", code, check=False).stderr


# None, and those that a server takes off: with a priority, a provider's, two, two kinds, and such that who takes them
# for the begin of a packet sees one of IPv4 or of IPv6.
TAGS = ("", "8100e000", "88a80000", "8100000081000000", "88a8000081000000", "81004000", "81006000")
# Whatever the kernel takes it for, and ETH_P_IP, ETH_P_IPV6, ETH_P_ARP, ETH_P_8021Q and ETH_P_LLDP.
CALLED = ("0", "800", "86dd", "806", "8100", "88cc")


@pytest.mark.parametrize("address", BOTH)
@pytest.mark.parametrize("kind", ["macvlan", "bridge"])
def test_frames_of_the_guests_own_making(shared, undo, kind, address):
    """With tags, and by a socket that says of a frame that it is another protocol's."""
    guest = Guest(shared.client, undo)
    KINDS[kind](shared, guest, undo)
    shared.applied(changed(PILLAR, firewall={"uplinks": ["eth0"]}))
    neighbour = shared.server.read(f"/sys/class/net/{shared.link.b_dev}/address").strip().replace(":", "")

    def answered():
        return [guest.asks(FRAMES, address, neighbour, called, *TAGS) for called in CALLED]

    assert answered() == [""] * len(CALLED)
    shared.nft("delete", "table", "netdev", "spice_grant")
    assert answered() == [" ".join(tag or "none" for tag in TAGS)] * len(CALLED)
