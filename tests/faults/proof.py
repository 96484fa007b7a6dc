"""What must hold whatever went wrong, and what the next run must make of it."""

import contextlib
import json
import sys

from functional.office import BOTH, UIDS, changed, difference

from scenes import ADDRESS, GROUP, SUDOERS, article

GUARD = "/var/lib/spice-grant/guard.json"
ONE = article(BOTH)
# One grant goes, one comes, one stays.
OTHER = changed(ONE, grants={"n": {"user": "nogrant", "vm": "debianx"}, "b": ONE["spice"]["grants"]["mybro-leaptest"]})


def places(*grants):
    """What grants open, as Office.openings() says it."""
    return {(user, GROUP, address, port) for user, port in grants for address in BOTH}


OPEN_ONE = places(("myself", 20002), ("mybro", 20004))
OPEN_OTHER = places(("nogrant", 20002), ("mybro", 20004))


def survives(office, may, step, becomes=None):
    """Insist that nobody is locked out, and nobody gets in who may not: now, and if the machine is booted now.

    becomes
        Of what may be open, what the run was to leave open; what else it has closed stays closed over a boot. Defaults
        to all.

    Returns whether there is a guard; before the first run there is none, and then sudo lends nobody the viewer's group.
    """
    assert sudo_works(office), step
    guarded = _guarded(office)
    assert guarded or not office.client.path(SUDOERS).exists(), step
    opened = office.openings(BOTH) if guarded else set()
    assert opened <= may, step
    if office.client.path(GUARD).exists():
        office.client.run(["nft", "--check", "-j", "-f", GUARD])
        assert booted(office) <= opened | (may if becomes is None else becomes), step
    return guarded


def _guarded(office):
    """Whether the guard stands; a removal takes its rules first, and then the table."""
    there = "inet spice_grant" in office.nft("list", "tables")
    return there and "goto guard" in office.nft("list", "chain", "inet", "spice_grant", "output")


# Connects, says so, and waits.
IDLE = """
import socket, sys
with socket.create_connection((sys.argv[1], 20002)) as connection:
    connection.recv(64)
    print("open", flush=True)
    connection.recv(64)
"""


@contextlib.contextmanager
def idle_session(office):
    """A session of a user with a grant, in which nothing happens."""
    command = [sys.executable, "-I", "-S", "-c", IDLE, ADDRESS]
    session = office.client.popen(command, user="myself", group=GROUP, stdout=-1, stderr=-3)
    try:
        assert session.stdout.read(4) == b"open"
        yield session
    finally:
        if session.poll() is None:
            session.kill_tree()
        session.stdout.close()


def halfway(office):
    """What a run has left half-way."""
    return office.client.run(["find", "/etc", "/usr/local", "/var/lib", "-name", ".spice-grant.*"]).stdout.split()


def sudo_works(office):
    """Whether sudo reads its files without a complaint, and lets users do what somebody else's file lets them do."""
    office.client.run(["visudo", "-c"])
    listed = office.client.run(["sudo", "-n", "-l"])
    return not listed.stderr and office.sudo("nogrant", "/usr/bin/id", "-u", password=None).stdout == "0\n"


def booted(office):
    """What the rules that are stored for the next boot open."""
    users = {uid: user for user, uid in UIDS.items()}
    found = set()
    for command in json.loads(office.client.read(GUARD))["nftables"]:
        for element, _ in command.get("add", {}).get("element", {}).get("elem", []):
            uid, gid, address, port = element["elem"]["val"]["concat"]
            uid, gid = int(uid), int(gid)
            # A system group; by name it may be gone already.
            found.add((users[uid], GROUP if gid < 1000 else gid, address, port))
    return found


def whole(office, driver, pillar, reference, step):
    """Insist that the next run makes the machine as one that nothing hinders does, and that there is no more to do."""
    driver.done("apply", pillar)
    assert driver.done("plan", pillar)["changes"] == {}, step
    assert difference(reference, office.essence()) == {}, step


def killed(driver, fun, pillar, number):
    """Kill a run at a step; say whether it got so far."""
    return driver.call(fun, pillar, ["kill", number])["killed"]


def killed_there_and_back(office, driver, there, back, walk, insist):
    """Kill runs from one pillar to another and back, at the same step each; the next run completes.

    walk
        Which steps, of how many: the fixture.
    insist
        Is called with the pillar of each run that was killed, and its step, and asserts what must hold then.
    """
    references = {}
    lengths = []
    for pillar in (there, back):
        driver.done("apply", pillar)
    for name, pillar in (("there", there), ("back", back)):
        answer = driver.call("apply", pillar)
        lengths.append(len(answer["steps"]))
        references[name] = office.essence()
    for number in walk(max(lengths)):
        for name, pillar, length in zip(references, (there, back), lengths):
            assert killed(driver, "apply", pillar, number) is (number <= length), number
            insist(pillar, f"step {number}")
            whole(office, driver, pillar, references[name], number)
    # No run is that short: something was killed.
    assert min(lengths) > 10
