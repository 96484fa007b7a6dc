"""verify: it tries what users can do, finds what pillar says, and names every hole."""

import json

import pytest

import terminals
from functional.office import changed, difference
from functional.test_drift import FIREWALL, PILLAR, SUDO, VIEWER_LAYER
from scenes import VIEWER


@pytest.mark.salt
def test_verify(shared):
    """verify tries every user with a grant, and one without, on every vm, and finds what pillar says."""
    answer = shared.verify()
    assert answer["differences"] == []
    open_, closed = (
        {"granted": True, "viewer group": "open", "own program": "denied", "sudo": "allowed"},
        {"granted": False, "viewer group": "denied", "own program": "denied", "sudo": "refused"},
    )
    matrix = answer["matrix"]
    assert matrix.pop("myself") == {"debianx": open_, "leaptest": closed}
    assert matrix.pop("mybro") == {"debianx": closed, "leaptest": open_}
    ((_, other),) = matrix.items()
    assert other == {"debianx": closed, "leaptest": closed}
    assert shared.verify(user="nogrant", vm="debianx")["matrix"] == {"nogrant": {"debianx": closed}}


def test_a_terminal_shows_how_far_verify_is(shared):
    """On standard error, where nothing of it is left; the answer is the same, and a pipe shows none of it."""
    drawn, output, code = shared.on_terminal("spice_grant.verify")
    for what in ("connections: 0 of 12", "users' attempts: 2 of 6", "users' attempts: 6 of 6"):
        assert what in drawn
    assert terminals.left(drawn) == [""]
    assert (json.loads(output)["local"], code) == (shared.verify(), 0)
    assert "attempts" not in shared.minion.salt_call("spice_grant.verify").stderr


def test_verify_changes_nothing(shared):
    """verify leaves everything as it is."""
    before = shared.snapshot()
    shared.verify()
    assert not difference(before, shared.snapshot())


def test_a_server_that_is_down_is_unreachable(granted):
    """A server whose consoles do not answer, and one that is not there at all, is unreachable, never denied."""
    granted.listener.stop()
    answer = granted.verify()
    assert answer["ok"] is None and answer["differences"] == [], "nothing is wrong, and nothing was proven"
    assert answer["unproven"] == [
        f"{user}: the console is unreachable" for user in ("mybro x leaptest", "myself x debianx")
    ]
    assert answer["matrix"]["myself"]["debianx"]["viewer group"] == "unreachable"
    assert answer["matrix"]["myself"]["leaptest"]["viewer group"] == "denied"
    granted.link.cut()
    answer = granted.verify()
    assert answer["ok"] is None
    assert {cell["viewer group"] for cells in answer["matrix"].values() for cell in cells.values()} == {"unreachable"}


def _verify_fails(office, user, words):
    answer = office.verify(**({"user": user} if user else {}))
    assert answer["ok"] is False
    assert any(words in difference for difference in answer["differences"]), answer["differences"]


@pytest.mark.turns(2)
@pytest.mark.parametrize(
    "tampering, user, words",
    [
        ("element of another group", None, "myself x debianx: 192.168.2.2 is open with a program of their own"),
        ("verdict jumps", "nogrant", "nogrant x debianx: 192.168.2.2 is open with the viewer's group"),
        ("element deleted", None, "myself x debianx: 192.168.2.2 is denied with the viewer's group"),
        (
            "accept in front of the guard",
            "nogrant",
            "nogrant x leaptest: 192.168.2.2 is open with a program of their own",
        ),
        ("accept in front of output", None, "mybro x debianx: 192.168.2.2 is open"),
        ("jump deleted", None, "myself x leaptest: 192.168.2.2 is open"),
        ("chain emptied", None, "mybro x debianx: 192.168.2.2 is open"),
        ("guard narrowed", None, "myself x leaptest: 192.168.2.2 is open"),
        ("table deleted", None, "mybro x debianx: 192.168.2.2 is open"),
        ("table asleep", None, "mybro x debianx: 192.168.2.2 is open"),
    ],
)
def test_verify_finds_holes_in_the_guard(shared, tampering, user, words):
    """Whatever opens a console to somebody, or closes it to the granted: verify fails, with exit code, and names it."""
    FIREWALL[tampering][0](shared)
    _verify_fails(shared, user, words)


@pytest.mark.parametrize(
    "tamper, user, words",
    [
        (SUDO["rule added"][0], "nogrant", "nogrant x debianx: sudo lets: sudo -g spicegrp"),
        (SUDO["all allowed"][0], "nogrant", "nogrant x leaptest: sudo lets: sudo -g spicegrp"),
        (SUDO["wildcard"][0], "myself", "sudo lets a call that is not granted: ? replaced"),
        (SUDO["deleted"][0], None, "myself x debianx: sudo refuses: sudo -g spicegrp"),
        (VIEWER_LAYER["viewer: mode"][0], None, f"myself x debianx: starts {VIEWER} without sudo"),
        (VIEWER_LAYER["group: a member"][0], "nogrant", f"nogrant x debianx: starts {VIEWER} without sudo"),
    ],
)
def test_verify_finds_holes_in_the_other_layers(shared, tamper, user, words):
    """A sudo call too many or too few, a viewer that starts without sudo: verify fails and names it."""
    tamper(shared)
    _verify_fails(shared, user, words)


@pytest.mark.salt
def test_verify_fails_for_a_grant_that_is_not_enforced(shared):
    """A grant whose user left is a difference: what is declared is not what holds."""
    shared.apply(changed(PILLAR, grants={"x": {"user": "leaver", "vm": "debianx"}}))
    _verify_fails(shared, None, "not enforced: spice:grants:x:user: no user 'leaver' on this machine")


def test_without_the_viewer_nobody_gets_in(shared):
    """All that guards is right, and no console opens."""
    shared.client.run(["mv", VIEWER, f"{VIEWER}.away"])
    try:
        _verify_fails(shared, None, f"viewer: spice:viewer:path: no viewer {VIEWER} on this machine")
    finally:
        shared.client.run(["mv", f"{VIEWER}.away", VIEWER])


@pytest.mark.parametrize("setting", ["!root_sudo", "requiretty"])
def test_where_sudo_does_not_answer_root_users_may_get_in(shared, setting):
    """What could not be asked is no refusal."""
    shared.client.write("/etc/sudoers.d/site", f"Defaults {setting}\n", mode=0o440)
    answer = shared.verify()
    shared.client.run(["rm", "/etc/sudoers.d/site"])
    assert answer["ok"] is True and answer["differences"] == []
