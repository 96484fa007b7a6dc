"""Who reaches what: real connections of real users over a real network."""

import contextlib
import errno
import ipaddress
import json
import subprocess
import sys
import time

import pytest

from functional.office import BOTH, OPEN_BOTH, OUTSIDE, PORTS, UIDS, Office, changed
from scene import Machine, connect
from scene.minion import SaltError
from scenes import ADDRESS, ADDRESS6, GROUP, SECOND_ADDRESS, article
from spicegrants.firewall import guard

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]
PILLAR = article(BOTH)
EVERYWHERE = (ADDRESS, SECOND_ADDRESS, ADDRESS6)

# Connects, says so, then sends a line for each line on its standard input and says what came back.
TALK = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
sock.recv(64)
print("open", flush=True)
for line in sys.stdin:
    try:
        sock.sendall(line.encode())
        print("answered" if sock.recv(64) else "closed", flush=True)
    except (ConnectionResetError, ConnectionAbortedError):
        print("ended", flush=True)
        break
    except OSError as error:
        print(error, flush=True)
        break
"""
CODES = """
import json, socket, sys
codes = []
for address, port in json.loads(sys.argv[1]):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.settimeout(3)
        codes.append(sock.connect_ex((address, port)))
print(json.dumps(codes))
"""
# Tries very many places at this machine itself; says how many, and how long that took.
FLOOD = """
import contextlib, socket, time
start = time.monotonic()
places = [(f"127.{block}.{host}.9", port) for block in range(30) for host in range(220) for port in range(20001, 20011)]
for place in places:
    with socket.socket() as sock, contextlib.suppress(OSError):
        sock.setblocking(False)
        sock.connect(place)
print(len(places), time.monotonic() - start)
"""
# Connects over and over until its standard input is closed; says how often it came through and how often not.
HAMMER = """
import json, select, socket, struct, sys
count = {"open": 0, "refused": 0}
while not select.select([sys.stdin], [], [], 0)[0]:
    with socket.socket(socket.AF_INET) as sock:
        sock.settimeout(60)
        # Without this each of its ports is taken for a minute, and one day there is none left.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            sock.connect((sys.argv[1], int(sys.argv[2])))
            count["open"] += 1
        # Reset: the guard let the first packet pass, and not the one that answers the server's.
        except (ConnectionRefusedError, ConnectionResetError):
            count["refused"] += 1
print(json.dumps(count))
"""


@contextlib.contextmanager
def _program(machine, text, *arguments, user, group):
    """A small Python program of a user with a group, with pipes."""
    command = [sys.executable, "-I", "-S", "-c", text, *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = machine.popen(command, user=user, group=group, text=True, **pipes)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill_tree()
        process.stdin.close()
        process.stdout.close()


def _say(process, line):
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


# The matrix


def test_without_the_extension_all_is_open():
    """The scene is honest: before the first run every port answers everybody on every address."""
    with Office() as office:
        places = [(address, port) for address in EVERYWHERE for port in (*PORTS, *OUTSIDE)]
        for user in (*UIDS, "root"):
            assert set(office.connect(user, None, places).values()) == {"open"}


def test_exactly_the_granted_connections(shared):
    """Every user, and root, x their own and the viewer's group x every guarded port x every address: these open only.

    All others are refused at once, among them ports without a vm, and an address of the server that nobody declared.
    """
    assert shared.openings(EVERYWHERE) == OPEN_BOTH


@pytest.mark.parametrize("group", [None, GROUP])
def test_ports_outside_the_guarded_range_are_untouched(shared, group):
    """Ports beside the guarded range stay open to everybody, with and without the viewer's group."""
    places = [(address, port) for address in EVERYWHERE for port in OUTSIDE]
    for user in (*UIDS, "root"):
        assert set(shared.connect(user, group, places).values()) == {"open"}


@pytest.mark.parametrize("group", ["accounting", "root", "sudo", 65534])
def test_other_groups_do_not_open(shared, group):
    """The key is the viewer's GID: a granted user with any other group is refused."""
    places = [(ADDRESS, 20002), (ADDRESS6, 20002)]
    assert set(shared.connect("myself", group, places).values()) == {"refused"}


def test_the_viewers_group_as_a_supplementary_group_does_not_open(shared):
    """Only a process that was started with the viewer's group passes, not one whose user is a member of it."""
    gid = shared.gid()
    probe = f"import socket; print(socket.socket().connect_ex(({ADDRESS!r}, 20002)))"
    ids = ["--reuid=+1021", "--regid=+1021", f"--groups=+1021,+{gid}"]
    done = shared.client.run(["setpriv", *ids, "--", sys.executable, "-I", "-S", "-c", probe])
    assert done.stdout.strip() == "111"


def test_mapped_addresses_are_the_same_addresses(shared):
    """An IPv4-mapped IPv6 address neither opens more nor less than the IPv4 address behind it."""
    mapped = [(f"::ffff:{ADDRESS}", port) for port in PORTS]
    answers = shared.connect("myself", GROUP, mapped)
    assert [port for (_, port), word in answers.items() if word == "open"] == [20002]
    assert set(shared.connect("myself", None, mapped).values()) == {"refused"}
    assert set(shared.connect("nogrant", GROUP, mapped).values()) == {"refused"}


def test_a_user_with_the_number_of_another_is_the_other(shared):
    """The kernel decides by number: a granted user's number opens whatever the name, another number does not."""
    shared.client.run(["usermod", "--uid", "1999", "myself"])
    try:
        assert shared.reach("myself", GROUP, ADDRESS, 20002) == "refused"
        result = shared.apply()
        assert result["result"] is True
        assert shared.reach("myself", GROUP, ADDRESS, 20002) == "open"
    finally:
        shared.client.run(["usermod", "--uid", "1021", "myself"])


# Where the guard stands


def test_guard_everywhere_stops_addresses_that_nobody_declared(shared):
    """An address of the server that is not in pillar, and one of another machine, is guarded for granted users too."""
    with Machine("other") as other:
        link = connect(shared.client, other, ["192.168.7.1/24"], ["192.168.7.2/24"])
        places = {(SECOND_ADDRESS, 20002), ("192.168.7.2", 20002), ("127.0.0.1", 20002)}
        assert set(shared.connect("myself", GROUP, places).values()) == {"refused"}
        if shared.mechanism.name == "nftables":
            assert shared.denied_to("myself") >= places
        link.cut()


def test_guard_servers_leaves_other_addresses_alone(shared):
    """``guard: servers`` guards the servers' addresses only, and those exactly as before, IPv4 and IPv6."""
    shared.applied(changed(PILLAR, firewall={"guard": "servers"}))
    assert shared.openings(BOTH) == OPEN_BOTH
    places = [(SECOND_ADDRESS, port) for port in PORTS]
    assert set(shared.connect("nogrant", None, places).values()) == {"open"}


@pytest.mark.parametrize("guard", ["everywhere", "servers"])
@pytest.mark.parametrize("masquerade", [False, True])
def test_forwarded_connections_are_stopped(shared, guard, masquerade):
    """A machine behind the client, routed or masqueraded, reaches no guarded port, and all others: IPv4 and IPv6."""
    client, server = shared.client, shared.server
    shared.applied(changed(PILLAR, firewall={"guard": guard}))
    places = [[address, port] for address in (ADDRESS, ADDRESS6) for port in PORTS]
    with Machine("behind") as behind, contextlib.ExitStack() as undo:
        link = connect(client, behind, ["10.9.0.1/24", "fd00:9::1/64"], ["10.9.0.2/24", "fd00:9::2/64"])
        undo.callback(link.cut)
        behind.run(["ip", "route", "add", "default", "via", "10.9.0.1"])
        behind.run(["ip", "-6", "route", "add", "default", "via", "fd00:9::1"])
        for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            client.run(["sh", "-c", f"echo 1 >/proc/sys/net/{switch}"])
        if masquerade:
            nat = "table inet nat { chain out { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }"
            shared.nft("-f", "-", text=nat)
            undo.callback(shared.nft, "delete", "table", "inet", "nat")
        else:
            server.run(["ip", "route", "replace", "10.9.0.0/24", "via", "192.168.2.22"])
            server.run(["ip", "-6", "route", "replace", "fd00:9::/64", "via", "fd00:2::22"])
        behind.add_user("myself", 1021)
        outside = [[address, 20011] for address in (ADDRESS, ADDRESS6)]
        assert set(_codes(behind, outside)) == {0}, "forwarding itself does not work"
        for user, group in ((None, None), ("myself", None), ("myself", shared.gid())):
            assert set(_codes(behind, places, user=user, group=group)) == {errno.ECONNREFUSED}


def _codes(machine, places, **who):
    """Connect from another machine; the kernel's answers."""
    command = [sys.executable, "-I", "-S", "-c", CODES, json.dumps(places)]
    return json.loads(machine.run(command, **who).stdout)


def test_no_moment_without_the_guard(shared):
    """While rules, ports and grants change, nothing forbidden gets through and nothing granted fails."""
    forbidden = _program(shared.client, HAMMER, ADDRESS, 20004, user="nogrant", group=GROUP)
    granted = _program(shared.client, HAMMER, ADDRESS, 20002, user="myself", group=GROUP)
    with forbidden as bad, granted as good:
        for ports in ("20001-20020", "20001-20010"):
            shared.mechanism.tamper(shared)
            assert shared.applied()["changes"]
            shared.minion.call("spice_grant.grant", "nogrant", "debianx")
            shared.minion.call("spice_grant.revoke", "nogrant", "debianx")
            server = {**PILLAR["spice"]["servers"]["mysrv"], "ports": ports}
            assert shared.applied(changed(PILLAR, servers={"mysrv": server}))["changes"]
        counts = []
        for process in (bad, good):
            process.stdin.close()
            counts.append(json.loads(process.stdout.readline()))
    assert counts[0]["open"] == 0
    assert counts[0]["refused"] > 100
    assert counts[1]["refused"] == 0
    assert counts[1]["open"] > 100


# Live connections


def test_revoking_ends_a_live_connection(shared):
    """A live connection answers until its grant is revoked, and no longer."""
    with _program(shared.client, TALK, ADDRESS, 20002, user="myself", group=GROUP) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        assert _say(viewer, "hello") == "answered"
        shared.minion.call("spice_grant.revoke", "myself", "debianx")
        assert _say(viewer, "still there?") == "ended"


def test_without_its_element_a_live_connection_is_reset_at_its_next_packet(shared):
    """There is no shortcut for what is established: the grants alone decide, packet by packet."""
    with _program(shared.client, TALK, ADDRESS, 20002, user="myself", group=GROUP) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        assert _say(viewer, "hello") == "answered"
        shared.mechanism.forget(shared)
        assert _say(viewer, "still there?") == "ended"


def test_the_first_run_ends_connections_that_are_not_granted():
    """A connection from before the first run ends with it or, a granted user's own, at its next packet."""
    with Office() as office:
        users = [("nogrant", None), ("myself", None)]
        with contextlib.ExitStack() as stack:
            talks = [
                stack.enter_context(_program(office.client, TALK, ADDRESS, 20002, user=user, group=group))
                for user, group in users
            ]
            assert [talk.stdout.readline().strip() for talk in talks] == ["open", "open"]
            office.applied()
            assert [_say(talk, "hello") for talk in talks] == ["ended", "ended"]


def test_other_changes_leave_a_live_connection_alone(shared):
    """Grants of others, a rebuilt table and a changed range do not touch a granted live connection."""
    wider = {"mysrv": {**PILLAR["spice"]["servers"]["mysrv"], "ports": "20001-20020"}}
    with _program(shared.client, TALK, ADDRESS, 20002, user="myself", group=GROUP) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        shared.minion.call("spice_grant.grant", "nogrant", "debianx")
        assert _say(viewer, "one") == "answered"
        shared.mechanism.delete(shared)
        shared.applied()
        assert _say(viewer, "two") == "answered"
        shared.applied(changed(PILLAR, servers=wider))
        assert _say(viewer, "three") == "answered"


# Ways in which a client may end its connection, each in a process of its own.
ENDINGS = """
import os, socket, struct, sys, time

def half_closed(sock):
    sock.shutdown(socket.SHUT_WR)
    sock.recv(64)

def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()

def killed(sock):
    os.kill(os.getpid(), 9)

def unread(sock):
    sock.sendall(b"answer this")
    time.sleep(0.2)
    sock.close()

def data_on_the_way(sock):
    sock.setblocking(False)
    sock.send(b"x" * 4000000)
    sock.close()

for ending in (socket.socket.close, lambda sock: None, half_closed, reset, killed, unread, data_on_the_way):
    if os.fork() == 0:
        sock = socket.create_connection((sys.argv[1], 20002), 3)
        assert sock.recv(64)
        print("connected", flush=True)
        ending(sock)
        time.sleep(0.2)
        os._exit(0)
"""


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6])
def test_a_session_ends_cleanly(shared, address):
    """However a granted client ends: no socket of the server hangs, and nothing is counted as denied."""
    before, others = shared.mechanism.refused(shared), _sockets(shared.server)
    with _program(shared.client, ENDINGS, address, user="myself", group=GROUP) as clients:
        deadline = time.monotonic() + 60
        while (left := _sockets(shared.server) - others) or clients.poll() is None:
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        assert clients.stdout.read() == "connected\n" * 7
    assert shared.mechanism.refused(shared) == before


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6])
def test_a_session_that_is_cut_ends_at_the_server_as_well(shared, address):
    """The server has nothing to say, and knows all the same; and the session's end is no refusal."""
    before, others = shared.mechanism.refused(shared), _sockets(shared.server)
    with _program(shared.client, TALK, address, 20002, user="myself", group=GROUP) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        shared.minion.call("spice_grant.revoke", "myself", "debianx")
        deadline = time.monotonic() + 60
        while left := _sockets(shared.server) - others:
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        assert _say(viewer, "still there?") == "ended"
    assert shared.mechanism.refused(shared) == before


def test_what_a_session_without_its_element_still_sends_is_no_refusal(shared):
    before = shared.mechanism.refused(shared)
    with _program(shared.client, TALK, ADDRESS, 20002, user="myself", group=GROUP) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        shared.mechanism.forget(shared)
        assert _say(viewer, "still there?") == "ended"
    assert shared.mechanism.refused(shared) == before
    assert shared.reach("myself", GROUP, ADDRESS, 20002) == "refused"
    assert shared.mechanism.refused(shared) != before


# Resets its connection while much is still to be answered.
LEAVE = """
import socket, struct, sys
sock = socket.create_connection((sys.argv[1], 20002), 3)
assert sock.recv(64)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
sock.setblocking(False)
sock.send(b"x" * 4000000)
sock.close()
print("left", flush=True)
"""


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6])
def test_an_answer_that_comes_too_late_is_not_counted_as_denied(shared, address):
    """The kernel itself answers for a socket that is gone, by one that has no owner: nobody tried anything."""
    before, server, counted = shared.mechanism.refused(shared), shared.server, []
    # The server does not learn at once that its client left.
    chain = "type filter hook input priority 0; tcp dport 20002 tcp flags & rst == rst counter drop;"
    server.run(["nft", "-f", "-"], input=f"table inet deaf {{ chain input {{ {chain} }}; }}")
    try:
        with _program(shared.client, LEAVE, address, user="myself", group=GROUP) as client:
            assert client.stdout.readline() == "left\n"
            deadline = time.monotonic() + 60
            # The client's own reset, and one for an answer at least.
            while not counted or counted[0] < 2:
                assert time.monotonic() < deadline
                listed = json.loads(server.run(["nft", "-j", "list", "table", "inet", "deaf"]).stdout)["nftables"]
                rules = [entry["rule"]["expr"] for entry in listed if "rule" in entry]
                counted = [part["counter"]["packets"] for rule in rules for part in rule if "counter" in part]
    finally:
        server.run(["nft", "delete", "table", "inet", "deaf"])
    assert shared.mechanism.refused(shared) == before


def _sockets(server):
    """Connections of a console that are not over, nor just remembered."""
    lines = server.run(["ss", "-Htn", "state", "connected", "sport", "=", ":20002"]).stdout.splitlines()
    return {tuple(line.split()) for line in lines if not line.startswith("TIME-WAIT")}


def test_a_refused_client_leaves_nothing_at_the_server(shared):
    """A refused connection never reaches the server."""
    server = shared.server
    # What sessions of before still say of their end is not counted.
    chain = "type filter hook input priority 0; tcp dport 20001-20010 tcp flags & (syn | rst) == syn counter;"
    server.run(["nft", "-f", "-"], input=f"table inet see {{ chain input {{ {chain} }}; }}")
    try:
        assert shared.reach("nogrant", GROUP, ADDRESS, 20002) == "refused"
        assert shared.reach("myself", None, ADDRESS, 20002) == "refused"
        assert "packets 0 " in server.run(["nft", "list", "table", "inet", "see"]).stdout
        assert shared.reach("myself", GROUP, ADDRESS, 20002) == "open"
        assert "packets 0 " not in server.run(["nft", "list", "table", "inet", "see"]).stdout
    finally:
        server.run(["nft", "delete", "table", "inet", "see"])


# What is counted and logged


def test_counters_survive_another_grant(shared):
    """Adding and removing a grant leaves the counters of the others as they are."""

    def packets():
        rules = shared.minion.call("spice_firewall.rules", foreign=False)
        return {(rule["user"], rule["address"]): rule["packets"] for rule in rules}

    assert shared.reach("myself", GROUP, ADDRESS, 20002) == "open"
    before = packets()
    assert before["myself", ADDRESS] >= 3
    shared.minion.call("spice_grant.grant", "nogrant", "leaptest")
    assert packets() == {**before, ("nogrant", ADDRESS): 0, ("nogrant", ADDRESS6): 0}
    shared.applied()
    assert packets() == before


def test_denied_counts_who_was_refused(shared):
    """Each refusal is counted by user, group, address and port; what was let through is not. iptables cannot."""
    if shared.mechanism.name != "nftables":
        with pytest.raises(SaltError, match="iptables keeps no list"):
            shared.minion.call("spice_firewall.denied")
        return
    shared.nft("flush", "set", "inet", "spice_grant", "denied4")
    for _ in range(3):
        shared.reach("nogrant", None, ADDRESS, 20002)
    shared.reach("myself", GROUP, ADDRESS, 20002)
    desired = {"uid": 1023, "gid": 1023, "address": ADDRESS, "port": 20002, "packets": 3}
    found = shared.minion.call("spice_firewall.denied")
    assert [entry for entry in found if entry["address"] == ADDRESS] == [desired]


@pytest.fixture
def unlimited(shared):
    """All limits of owners are as nobody had used them, for the next test as well."""

    def renewed():
        shared.minion.call("spice_firewall.remove")
        shared.applied()

    renewed()
    yield
    renewed()


def test_a_flood_of_one_user_leaves_room_to_note_others(shared, unlimited):
    """nogrant tries more places than are noted in all: some of these are, and each of mybro's; `verify` is right."""
    output = shared.client.run([sys.executable, "-I", "-S", "-c", FLOOD], user="nogrant").stdout
    count, seconds = output.split()
    assert int(count) > 65535
    if shared.mechanism.name == "nftables":
        most = guard.NOTED_BURST + guard.NOTED_RATE * (float(seconds) / 60 + 1)
        assert guard.NOTED_BURST <= len(shared.denied_to("nogrant")) <= most < 65535
        shared.reach("mybro", None, ADDRESS, 20002)
        assert shared.denied_to("mybro") == {(ADDRESS, 20002)}
    # nogrant's own limit has room for a note a second: what verify tries as nogrant is noted only after a while.
    time.sleep(20)
    answer = shared.verify()
    assert answer["ok"], answer["differences"]


AGAIN = """
import socket, sys
tries = 0
for _ in range(5000):
    with socket.socket() as sock:
        tries += sock.connect_ex((sys.argv[1], int(sys.argv[2]))) != 0
print(tries)
"""


def test_whoever_tries_one_place_for_ever_is_proven_to_be_stopped(shared, unlimited):
    """As a program does that connects again and again: more often than places of one user are noted."""
    command = [sys.executable, "-I", "-S", "-c", AGAIN, ADDRESS, 20002]
    assert shared.client.run(command, user="nogrant").stdout == "5000\n"
    assert shared.verify()["ok"]


def test_a_refusal_is_logged_with_the_user(shared, kernel_log):
    """The kernel's log says who tried what, under our prefix; what is granted is not logged."""
    shared.applied()
    refused, granted, own = kernel_log.ports(3)
    shared.connect("nogrant", None, [(ADDRESS, 20002, refused)])
    shared.connect("myself", GROUP, [(ADDRESS, 20002, granted)])
    shared.connect("myself", None, [(ADDRESS6, 20004, own)])
    (line,) = kernel_log.lines(refused)
    for part in ("spice-grant deny output: ", f"DST={ADDRESS} ", "DPT=20002 ", "UID=1023 GID=1023"):
        assert part in line
    assert kernel_log.lines(granted) == []
    (line,) = kernel_log.lines(own)
    destination = f"DST={ipaddress.ip_address(ADDRESS6).exploded} "
    for part in ("spice-grant deny output: ", destination, "DPT=20004 ", "UID=1021 GID=1021"):
        assert part in line


def test_the_log_is_rate_limited(granted, kernel_log):
    """A user cannot fill the log: of a hundred refusals at once about ten are logged, all are counted."""
    ports = kernel_log.ports(100)
    granted.connect("nogrant", None, [(ADDRESS, 20002, port) for port in ports])
    assert 10 <= len(kernel_log.lines(*ports)) <= 15
    (entry,) = granted.minion.call("spice_firewall.denied")
    assert entry["packets"] == 100
