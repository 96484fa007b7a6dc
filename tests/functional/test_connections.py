"""Who reaches what: real connections of real users over a real network."""

import contextlib
import errno
import json
import sys

import pytest

from functional.clients import HAMMER, running
from functional.office import BOTH, OPEN_BOTH, OUTSIDE, PORTS, UIDS, Office, changed
from scene import Machine, connect
from scenes import ADDRESS, ADDRESS6, GROUP, SECOND_ADDRESS, article

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]
PILLAR = article(BOTH)
EVERYWHERE = (ADDRESS, SECOND_ADDRESS, ADDRESS6)

CODES = """
import json, socket, sys
codes = []
for address, port in json.loads(sys.argv[1]):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.settimeout(3)
        codes.append(sock.connect_ex((address, port)))
print(json.dumps(codes))
"""


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
    forbidden = running(shared.client, HAMMER, ADDRESS, 20004, user="nogrant", group=GROUP)
    granted = running(shared.client, HAMMER, ADDRESS, 20002, user="myself", group=GROUP)
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
