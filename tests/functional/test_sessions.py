"""Sessions: what ends one and what leaves it alone, and how both ends learn of it."""

import contextlib
import json
import time

import pytest

from functional.clients import TALK, running, say
from functional.office import BOTH, Office, changed
from scenes import ADDRESS, ADDRESS6, GROUP, SECOND_ADDRESS, article

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]
PILLAR = article(BOTH)
EVERYWHERE = (ADDRESS, SECOND_ADDRESS, ADDRESS6)


def test_revoking_ends_a_live_connection(shared):
    """A live connection answers until its grant is revoked, and no longer."""
    with running(shared.client, TALK, ADDRESS, 20002, user="myself", group=GROUP) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        assert say(viewer, "hello") == "answered"
        shared.minion.call("spice_grant.revoke", "myself", "debianx")
        assert say(viewer, "still there?") == "ended"


def test_without_its_element_a_live_connection_is_reset_at_its_next_packet(shared):
    """There is no shortcut for what is established: the grants alone decide, packet by packet."""
    with running(shared.client, TALK, ADDRESS, 20002, user="myself", group=GROUP) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        assert say(viewer, "hello") == "answered"
        shared.mechanism.forget(shared)
        assert say(viewer, "still there?") == "ended"


def test_the_first_run_ends_connections_that_are_not_granted():
    """A connection from before the first run ends with it or, a granted user's own, at its next packet."""
    with Office() as office:
        users = [("nogrant", None), ("myself", None)]
        with contextlib.ExitStack() as stack:
            talks = [
                stack.enter_context(running(office.client, TALK, ADDRESS, 20002, user=user, group=group))
                for user, group in users
            ]
            assert [talk.stdout.readline().strip() for talk in talks] == ["open", "open"]
            office.applied()
            assert [say(talk, "hello") for talk in talks] == ["ended", "ended"]


def test_other_changes_leave_a_live_connection_alone(shared):
    """Grants of others, a rebuilt table and a changed range do not touch a granted live connection."""
    wider = {"mysrv": {**PILLAR["spice"]["servers"]["mysrv"], "ports": "20001-20020"}}
    with running(shared.client, TALK, ADDRESS, 20002, user="myself", group=GROUP) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        shared.minion.call("spice_grant.grant", "nogrant", "debianx")
        assert say(viewer, "one") == "answered"
        shared.mechanism.delete(shared)
        shared.applied()
        assert say(viewer, "two") == "answered"
        shared.applied(changed(PILLAR, servers=wider))
        assert say(viewer, "three") == "answered"


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
    with running(shared.client, ENDINGS, address, user="myself", group=GROUP) as clients:
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
    with running(shared.client, TALK, address, 20002, user="myself", group=GROUP) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        shared.minion.call("spice_grant.revoke", "myself", "debianx")
        deadline = time.monotonic() + 60
        while left := _sockets(shared.server) - others:
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        assert say(viewer, "still there?") == "ended"
    assert shared.mechanism.refused(shared) == before


def test_what_a_session_without_its_element_still_sends_is_no_refusal(shared):
    before = shared.mechanism.refused(shared)
    with running(shared.client, TALK, ADDRESS, 20002, user="myself", group=GROUP) as viewer:
        assert viewer.stdout.readline().strip() == "open"
        shared.mechanism.forget(shared)
        assert say(viewer, "still there?") == "ended"
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
        with running(shared.client, LEAVE, address, user="myself", group=GROUP) as client:
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
