"""Odd inputs by the hundred, each drawn anew: bytes of files, words of programs, rules of others.

None is a traceback, nobody stays in who lost their right, and no run succeeds while somebody who is granted is out.
"""

import random
import shutil
import sys

import pytest
from functional.office import UIDS, URIS

from amount import amount, full
from checkout import commit
from faults import breakage, odd
from faults.desks import ACTIONS, BASE, GONE
from scene.machine import ROOT_PATH
from scenes import ADDRESS, GROUP, VIEWER

COUNT = amount(500, 10)
PROGRAMS = ("nft", "ip", "ss", "sudo", "cvtsudoers", "dpkg-statoverride")
FILES = (
    *("/etc/sudoers", "/etc/sudoers.d/other", "/etc/sudo.conf", "/etc/sudoers.d/spice-grant"),
    *("/etc/group", "/etc/gshadow", "/etc/subgid", "/etc/nsswitch.conf", "/etc/hosts"),
    *("/var/lib/dpkg/statoverride", "/var/lib/spice-grant/guard.json", "/var/lib/spice-grant/state.json"),
)
# As what a function says that something does not work.
ERROR = "CommandExecutionError"
# Nothing is taken away, or something is; by the same pillar.
KEPT = {"nothing": ("nogrant", ["apply"], BASE)}
# Who is granted what by a pillar, as long as nobody is locked.
GRANTED = {"myself": ("debianx", 20002), "mybro": ("leaptest", 20004)}


def _drawn(dice, machine):
    """Return what is broken, and how."""
    if dice.random() < 0.5:
        path = dice.choice(FILES)
        content = machine.path(path).read_bytes() if machine.path(path).exists() else b""
        return breakage.file, path, odd.odd(dice, content)
    name = dice.choice(PROGRAMS)
    path = shutil.which(name, path=ROOT_PATH)
    command = [sys.executable, "-IS", odd.__file__, str(dice.random()), f"{path}.away"]
    return breakage.program, name, f'exec {" ".join(command)} "$@"'


def _opens(office, user):
    """Whether somebody who is granted a console gets in: by the guard, and by sudo."""
    vm, port = GRANTED[user]
    call = ["sudo", "-n", "-l", "-U", user, "-g", GROUP, VIEWER, "--", URIS[vm]]
    group = office.client.run(["getent", "group", GROUP], check=False).stdout.split(":")
    through = len(group) > 2 and office.attempts([(UIDS[user], int(group[2]))], [(ADDRESS, port)]) == [["open"]]
    return through and office.client.run(call, check=False).returncode == 0


@pytest.mark.turns(2)
@pytest.mark.parametrize("number", range(COUNT))
def test_an_odd_input(desks, number):
    dice = random.Random(number if full else f"{commit()} {number}")  # noqa: S311 - no secret
    user, words, pillar = {**ACTIONS, **KEPT}[dice.choice([*ACTIONS, *KEPT])]
    with desks.one() as desk:
        broken, what, how = _drawn(dice, desk.office.client)
        with broken(desk.office.client, what, how):
            answer = desk.call(words, pillar)
            message = f"{what}: {how}: {words}: {answer}"
            if pillar is not BASE or words != ["apply"]:
                assert desk.in_(user) == set(), message
            if broken is breakage.file:
                _proven(desk, pillar, words, answer, message)
        if broken is breakage.program:
            _proven(desk, pillar, words, answer, message)


def _proven(desk, pillar, words, answer, message):
    assert "Traceback" not in str(answer), message
    assert answer.get("error", ERROR).startswith(ERROR), message
    if "error" in answer or answer["data"]["errors"]:
        return
    granted = {"mybro"} if pillar is GONE or words[0] in ("lock", "revoke") else set(GRANTED)
    granted -= {"myself"} if pillar not in (BASE, GONE) else set()
    for user in granted:
        assert _opens(desk.office, user), f"{user} is out: {message}"
