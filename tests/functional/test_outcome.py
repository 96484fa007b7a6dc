"""Before anything is changed, one line says who would get and who would lose a console; then come the details."""

import pytest

from functional.office import changed
from scenes import article

pytestmark = pytest.mark.salt

EVENINGS = {"days": "mon-fri", "hours": "18:00-22:00", "zone": "Europe/Berlin"}
BOTH = "2 consoles for 2 users (mybro: leaptest; myself: debianx)"
MINE = "1 console for 1 user (myself: debianx)"


def test_the_first_run(office):
    """Also where salt prints it: above all else."""
    done = office.minion.salt_call("spice_grant.plan")
    assert [line.strip() for line in done.stdout.splitlines()[:4]] == [
        "local:",
        "----------",
        "answer:",
        f"opens {BOTH}, closes nothing",
    ]
    dry = office.apply(test=True)
    assert dry["comment"].splitlines()[:2] == [
        f"Opens {BOTH}, closes nothing.",
        "The grants do not hold; a run would enforce them.",
    ]
    assert not office.applied()["comment"].startswith("Opens"), "what a run did is in its changes"
    assert office.apply(test=True)["comment"].startswith("The grants hold already.")
    assert office.minion.call("spice_grant.plan")["answer"] == "nobody gets or loses a console"


def _without_mine(data):
    del data["spice"]["grants"]["myself-debianx"]


def _in_the_evening(data):
    data["spice"]["schedules"] = {"evenings": EVENINGS}
    data["spice"]["grants"]["myself-debianx"]["schedule"] = "evenings"


def _leaver(data):
    data["spice"]["grants"]["leaver"] = {"user": "leaver", "vm": "debianx"}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_without_mine, f"opens nothing, closes {MINE}"),
        (_in_the_evening, f"changes the hours of {MINE}"),
        (_leaver, "nobody gets or loses a console"),
    ],
)
def test_an_edit(shared, edit, said):
    data = changed(article())
    edit(data)
    shared.minion.set_pillar(shared.declared(data))
    assert shared.minion.call("spice_grant.plan")["answer"] == said


def test_a_lock_and_a_run_that_could_not_go_on(shared):
    call = shared.minion.call
    call("spice_grant.lock", user="myself")
    assert call("spice_grant.plan")["answer"] == "nobody gets or loses a console"
    call("spice_grant.unlock", user="myself")
    # Where nobody can tell what the kernel holds, nothing is given, and only what is granted still stays.
    data = changed(article())
    _without_mine(data)
    data["spice"]["grants"]["more"] = {"user": "nogrant", "vm": "debianx"}
    shared.minion.set_pillar(shared.declared(data))
    with shared.client.path("/usr/sbin/nft").open("rb") as stream:
        program = stream.read()
    shared.client.write("/usr/sbin/nft", "#!/bin/sh\nexit 1\n", mode=0o755)
    try:
        dry = shared.apply(test=True)
    finally:
        shared.client.path("/usr/sbin/nft").write_bytes(program)
    assert dry["result"] is False and dry["comment"].startswith(f"Opens nothing, closes {MINE}.\nNot all of it")
    assert "nothing was opened" in dry["comment"]
