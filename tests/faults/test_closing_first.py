"""Whatever of a run's input is broken: who is locked, revoked, or not declared any more is out, and it is said."""

import pytest

from faults import breakage
from faults.conftest import offset
from faults.desks import ACTIONS

PROGRAMS = ("nft", "ip", "ss", "unshare", "sudo", "visudo", "cvtsudoers", "bwrap", "setpriv", "dpkg-statoverride")
FILES = (
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/sudoers.d/other",
    "/etc/sudoers.d/spice-grant",
    "/etc/group",
    "/etc/gshadow",
    "/etc/subgid",
    "/etc/nsswitch.conf",
    "/etc/sudo.conf",
    "/etc/hosts",
    "/etc/spice-grant",
    "/etc/spice-grant/vms",
    "/etc/spice-grant/menu",
    "/etc/systemd/system",
    "/usr/bin/remote-viewer",
    "/usr/local/bin",
    "/usr/local/lib/spice-grant",
    "/usr/share/zoneinfo",
    "/var/lib/dpkg/statoverride",
    "/var/lib/spice-grant",
    "/var/lib/spice-grant/guard.json",
    "/var/lib/spice-grant/state.json",
)
# Where libc itself, and so each program, waits for what is written into a pipe.
WAITS = ("/etc/group", "/etc/nsswitch.conf", "/etc/hosts")
# Of all ways in which something is broken each run plays one in so many; which ones depends on the commit.
SHARE = 6


def _play(desks, action, broken, about):
    user, words, pillar = ACTIONS[action]
    with desks.one() as desk:
        with broken(desk.office.client, *about):
            answer = desk.call(words, pillar)
            assert desk.in_(user) == set(), answer
        assert "Traceback" not in str(answer)
        print(action, answer.get("error") or answer["data"]["errors"])


def _cases(inputs, breakages):
    """Each input broken in each way, in each run by another action; with all of them in a full one."""
    found = []
    for number, (name, how) in enumerate((name, how) for name in inputs for how in breakages):
        if how == "a fifo" and name in WAITS:
            continue
        for turn, action in enumerate(ACTIONS):
            # Not the same action with one way in which something is broken, whatever it is.
            own = (number // len(breakages) + number) % len(ACTIONS)
            usual = turn == own and (number + offset()) % SHARE == 0
            found.append(pytest.param(name, how, action, marks=[] if usual else [pytest.mark.full]))
    return found


@pytest.mark.turns(2)
@pytest.mark.parametrize("name, how, action", _cases(PROGRAMS, breakage.PROGRAMS))
def test_a_program(desks, name, how, action):
    """Missing, failing, with words that nobody can read, or silent: the person is out."""
    _play(desks, action, breakage.program, (name, how))


@pytest.mark.turns(3)
@pytest.mark.parametrize("path, how, action", _cases(FILES, breakage.FILES))
def test_a_file(desks, path, how, action):
    """Gone, or something else than it must be: the person is out."""
    _play(desks, action, breakage.file, (path, how))
