"""Calls as people type them, by the real salt-call: what is wrong is said in a line, not above a page of help."""

import pytest

from functional.office import changed
from scene import SaltError
from scenes import article

pytestmark = pytest.mark.salt


@pytest.fixture
def typed(shared):
    """Type a call that fails; the lines that are printed."""

    def type_it(*words):
        done = shared.minion.salt_call(*words, check=False)
        assert done.returncode != 0, done.stdout
        return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]

    return type_it


LEND = "user, vm, duration, reason=None, nopasswd=False"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["usr=myself", "vm=debianx", "1h"], f"no argument 'usr', did you mean 'user'? (arguments: {LEND})"),
        (["myself", "debianx"], f"'duration' is missing (arguments: {LEND})"),
        (["myself", "debianx", "1h", "why", "True", "more"], f"6 arguments are too many (arguments: {LEND})"),
        (["myslef", "debianx", "1h"], "user: no user 'myslef', did you mean 'myself'?"),
        (["myself", "Debian", "1h"], "vm: no vm 'Debian', did you mean 'debianx'?"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_with_a_call_is_one_line(typed, words, said):
    assert typed("spice_grant.lend", *words) == [f"Error running 'spice_grant.lend': {said}"]


@pytest.mark.parametrize(
    ("function", "words", "near"),
    [
        ("spice_grant.explain", ["myslef", "debianx"], "myself"),
        ("spice_grant.explain", ["myself", "debain"], "debianx"),
        ("spice_grant.timeline", ["myslef"], "myself"),
        ("spice_grant.who", ["leaptets"], "leaptest"),
        ("spice_grant.verify", ["myslef"], "myself"),
        ("spice_grant.denials", ["24h", "myslef"], "myself"),
        ("spice_grant.revoke", ["myslef", "debianx"], "myself"),
        ("spice_grant.lock", ["myslef"], "myself"),
        ("spice_grant.unlock", ["myslef"], "myself"),
        ("spice_sudoers.allowed", ["myslef", "debianx"], "myself"),
        ("spice_sudoers.allowed", ["myself", "debain"], "debianx"),
        ("spice_sudoers.others", ["myslef"], "myself"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(shared, function, words, near):
    with pytest.raises(SaltError, match=f"did you mean '{near}'") as caught:
        shared.minion.call(function, *words)
    assert "\n" not in caught.value.message


def test_a_misspelt_account_of_a_grant_and_a_misspelt_root_of_the_pillar(shared):
    data = changed(article())
    grants = {"a": {"user": "myslef", "vm": "debianx"}, "b": {"group": "acounting", "vm": "debianx"}}
    shared.minion.set_pillar(shared.declared({"spice": {**data["spice"], "grants": grants}}))
    assert shared.minion.call("spice_grant.plan")["errors"] == [
        "spice:grants:a:user: no user 'myslef' on this machine, did you mean 'myself'?",
        "spice:grants:b:group: no group 'acounting' on this machine, did you mean 'accounting'?",
    ]
    shared.minion.set_pillar({"spise": data["spice"]})
    comment = shared.apply(test=True)["comment"]
    assert comment == "Nothing was changed. spise: unknown key, did you mean 'spice'?"


def test_who_is_left_out_of_a_group_by_a_slip_is_noted(shared):
    shared.client.run(["gpasswd", "--add", "nogrant", "accounting"])
    books = {"group": "accounting", "vm": "debianx", "except": ["nogrnt"]}
    data = changed(article())
    data["spice"]["grants"]["books"] = books
    shared.minion.set_pillar(shared.declared(data))
    note = "grant books leaves out 'nogrnt', who is not in group accounting; nogrant is"
    assert note in shared.minion.call("spice_grant.plan")["warnings"]
    shared.client.run(["gpasswd", "--delete", "nogrant", "accounting"])


def test_what_is_wrong_with_a_pillar_is_a_line_for_each_finding(shared, typed):
    shared.minion.set_pillar({"spice": {"servers": {}, "vms": {}, "grants": {"a": {"user": "anne", "vm": "books"}}}})
    assert typed("spice_grant.plan") == ["Error running 'spice_grant.plan': spice:grants:a:vm: no vm 'books'"]


def test_salts_own_ways_of_calling_pass_arguments_on(shared):
    """To Salt the functions take any keyword, for which it has more to hand over."""
    call = shared.minion.call
    ((_, state),) = call("state.single", "module.run", name="spice_grant.who", vm="debianx").items()
    assert state["result"] is True and [row["user"] for row in state["changes"]["ret"]] == ["myself"]
    assert call("sys.argspec", "spice_grant.who")["spice_grant.who"]["args"] == ["vm", "at"]
    done = shared.minion.salt_call("--out=json", "spice_grant.who", "vm=debianx")
    assert '"user": "myself"' in done.stdout
