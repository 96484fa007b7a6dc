"""Locks: a deny on the machine itself that beats every grant and loan, until it is taken away."""

import resource

import pytest

from functional.clients import TALK, running, say
from functional.office import FILES, changed, sentences
from scene.minion import SaltError
from scene.requirements import unavailable
from scenes import ADDRESS, ADDRESS6, GROUP, article

MECHANISMS = ["nftables", "iptables-nft"]
PILLAR = article()
PILLAR["spice"]["servers"]["mysrv"]["addresses"] = [ADDRESS, ADDRESS6]
PILLAR["spice"]["grants"]["myself-leaptest"] = {"user": "myself", "vm": "leaptest", "on_end": "drain"}
MINE = {("myself", GROUP, address, port) for address in (ADDRESS, ADDRESS6) for port in (20002, 20004)}
MYBROS = {("mybro", GROUP, address, 20004) for address in (ADDRESS, ADDRESS6)}

# Opens as many connections to each address as it is asked; says how many they are and, once asked, how many have ended.
CROWD = """
import resource, select, socket, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
port, each = map(int, sys.argv[1:3])
sockets = [socket.create_connection((address, port), 5) for address in sys.argv[3:] for _ in range(each)]
print(len(sockets), flush=True)
for line in sys.stdin:
    poll = select.poll()
    for sock in sockets:
        poll.register(sock, select.POLLHUP)
    print(len(poll.poll(0)), flush=True)
"""


@pytest.fixture
def call(shared):
    """Call a function of the office's minion; what it locked is unlocked afterwards."""
    yield shared.minion.call
    for lock in shared.minion.call("spice_grant.locks"):
        about, _, name = lock["about"].partition(" ")
        shared.minion.call("spice_grant.unlock", **({"all": True} if about == "everything" else {about: name}))


@pytest.mark.salt
@pytest.mark.parametrize(
    "about, left",
    [
        ({"user": "myself"}, MYBROS),
        ({"vm": "leaptest"}, {opening for opening in MINE if opening[3] == 20002}),
        ({"all": True}, set()),
    ],
)
def test_a_lock_closes_every_layer_and_lasts(shared, call, about, left):
    """Kernel, sudo and launcher refuse whom it is about, nobody else; highstate and boot keep it; unlock ends it."""
    assert shared.openings() == MINE | MYBROS
    report = call("spice_grant.lock", **about, reason="stolen laptop")
    assert report["errors"] == []
    assert shared.openings() == left
    assert shared.applied()["changes"] == {}
    shared.mechanism.delete(shared)
    shared.client.run(["/bin/sh", "/usr/local/lib/spice-grant/load-guard"])
    assert shared.openings() == left
    assert shared.opens("myself", FILES["leaptest"]) is (("myself", GROUP, ADDRESS, 20004) in left)
    assert shared.opens("mybro", FILES["leaptest"], password=None) is bool(MYBROS & left)
    assert shared.verify()["differences"] == []
    answer = call("spice_grant.explain", "myself", "leaptest")
    assert answer["answer"] == "may not open"
    assert answer["state"].startswith("locked: ") and answer["state"].endswith("(stolen laptop)")
    (lock,) = call("spice_grant.locks")
    assert lock["reason"] == "stolen laptop"
    assert call("spice_grant.lock", **about, reason="stolen laptop")["changes"] == {}
    assert call("spice_grant.locks") == [lock]
    report = call("spice_grant.unlock", **about)
    assert "unlocks" in sentences(report["changes"])
    assert shared.openings() == MINE | MYBROS
    assert call("spice_grant.unlock", **about)["changes"] == {}


@pytest.mark.parametrize("about", [{"vm": "debianx"}, {"user": "myself"}])
def test_rviewer_says_that_a_console_is_locked(shared, call, about):
    """To whom it is granted, and nobody else; closing leaves that as it is, and neither opens anything."""
    call("spice_grant.lock", **about)
    assert rviewer(shared, "myself", "debianx") == "debianx is locked. Ask your administrator."
    assert "You may not open 'debianx'." in rviewer(shared, "mybro", "debianx")
    assert shared.client.run(["test", "-e", FILES["debianx"]], check=False).returncode == 1
    assert not shared.opens("myself", FILES["debianx"])
    assert call("spice_grant.close", test=True)["changes"] == call("spice_grant.close")["changes"] == {}
    assert rviewer(shared, "myself", "debianx") == "debianx is locked. Ask your administrator."
    assert shared.applied()["changes"] == {}
    report = call("spice_grant.unlock", **about)
    assert "rewrites /etc/spice-grant/menu/1021" in sentences(report["changes"])
    assert "locked" not in rviewer(shared, "myself", "none")


def rviewer(office, user, name):
    """Return what the launcher says against opening a console."""
    done = office.client.run(["/usr/local/bin/rviewer", name], user=user, check=False)
    assert done.returncode == 1
    return done.stderr.removeprefix("rviewer: ").rstrip("\n")


@pytest.mark.parametrize("vm, port", [("debianx", 20002), ("leaptest", 20004)])
def test_a_lock_cuts_a_live_session_at_once(shared, call, vm, port):
    """One that a removed grant would have let go on as well; that of another user stays."""
    session = running(shared.client, TALK, ADDRESS, port, user="myself", group=GROUP)
    other = running(shared.client, TALK, ADDRESS, 20004, user="mybro", group=GROUP)
    with session as mine, other as mybros:
        for each in (mine, mybros):
            assert each.stdout.readline().strip() == "open"
            assert say(each, "hello") == "answered"
        report = call("spice_grant.lock", user="myself")
        assert f"ends what myself has open at {ADDRESS} port {port}" in sentences(report["changes"])
        assert say(mine, "still there?") == "ended"
        assert say(mybros, "still there?") == "answered"


@pytest.fixture
def calls_of_ss(shared):
    """How often the office's client has run ss meanwhile."""
    client = shared.client
    client.run(["mv", "/usr/bin/ss", "/usr/bin/ss.away"])
    client.write("/usr/bin/ss", '#!/bin/sh\necho >>/run/calls\nexec /usr/bin/ss.away "$@"\n', 0o755)
    yield lambda: len(client.read("/run/calls").splitlines())
    client.run(["mv", "/usr/bin/ss.away", "/usr/bin/ss"])
    client.run(["rm", "/run/calls"])


def test_thousands_of_connections_do_not_hold_up_a_lock(shared, call, calls_of_ss):
    """A run that ended them one by one would take minutes, in which nobody else could be locked; another's stays."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4000:
        unavailable("needs 4000 open files, which the limit of this login (ulimit -Hn) does not allow")
    places = (20002, 1000, ADDRESS, ADDRESS6, f"::ffff:{ADDRESS}")
    crowd = running(shared.client, CROWD, *places, user="myself", group=GROUP)
    other = running(shared.client, TALK, ADDRESS6, 20004, user="mybro", group=GROUP)
    with crowd as mine, other as mybros:
        assert mybros.stdout.readline().strip() == "open"
        assert mine.stdout.readline().strip() == "3000"
        assert say(mine, "how many have ended?") == "0"
        assert call("spice_grant.lock", user="myself")["errors"] == []
        assert calls_of_ss() < 100
        assert say(mine, "and now?") == "3000"
        assert say(mybros, "still there?") == "answered"


def test_a_lock_beats_a_grant_that_comes_later(shared, call):
    """Whatever pillar or the command line grants meanwhile."""
    call("spice_grant.lock", user="nogrant")
    assert call("spice_grant.grant", "nogrant", "debianx")["errors"] == []
    extra = {"all": {"user": "nogrant", "vm": "leaptest"}}
    shared.applied(changed(PILLAR, grants={**PILLAR["spice"]["grants"], **extra}))
    assert shared.openings() == MINE | MYBROS
    assert not shared.opens("nogrant", FILES["leaptest"])
    assert "locked: user nogrant" in str(call("spice_grant.who", "leaptest"))


def test_a_lock_of_all_and_one_of_a_user_are_two(shared, call):
    """Taking one away leaves the other."""
    call("spice_grant.lock", all=True)
    call("spice_grant.lock", user="myself")
    call("spice_grant.unlock", all=True)
    assert shared.openings() == MYBROS


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "name one of user=NAME, vm=NAME and all=True"),
        ({"user": "myself", "vm": "debianx"}, "name one of"),
        ({"user": "mysefl"}, "no user 'mysefl', did you mean 'myself'?"),
        ({"vm": "debian"}, "no vm 'debian', did you mean 'debianx'?"),
        ({"user": "%accounting"}, "not a usable account name"),
        ({"all": "yes"}, "name one of"),
        ({"user": "myself", "reason": "a\nb"}, "must be one line"),
    ],
)
def test_a_wrong_lock_is_an_error_and_locks_nothing(keeper, shared, call, arguments, message):
    """A slip in a name would lock nothing: it is not taken."""
    with pytest.raises(SaltError) as error:
        call("spice_grant.lock", **arguments)
    assert message in str(error.value)
    assert not keeper.traces()
