"""What is misspelt is answered with the nearest that there is: keys, values, names; in pillar, calls and states."""

import importlib.util
import inspect
import pathlib
from dataclasses import replace

import pytest

from spicegrants.audit import fleet
from spicegrants.core import calls
from spicegrants.core.accounts import Account
from spicegrants.core.errors import PolicyError
from spicegrants.core.reader import did_you_mean
from spicegrants.policy import hints, loans_locks, merge, pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import NOTHING, Lock
from spicegrants.sudo import commands
from unit.build import article, changed, desired, inventory, policy

ROOT = pathlib.Path(__file__).parents[3]
NOW = 1795482000
OFFICE = changed(
    article(),
    time={"zone": "Europe/Berlin"},
    schedules={"evenings": {"days": "mon-fri", "hours": "18:00-22:00"}},
    viewer={},
    firewall={},
    routing={},
    sudo={},
)
MINE = "grants__myself-debianx"


def raised(function, *args, **kwargs):
    """What is said instead of an answer."""
    with pytest.raises(PolicyError) as caught:
        function(*args, **kwargs)
    return [str(finding) for finding in caught.value.findings]


# Keys of pillar, at each level; names of what is declared elsewhere; words of which there are a few.
PILLAR = {
    "section": ("firewal", {}, "firewall"),
    "key of a server": ("servers__mysrv__adresses", ["192.168.2.2"], "addresses"),
    "key of a vm": ("vms__debianx__alow", "files", "allow"),
    "key of a password": ("vms__debianx__password", {"fil": "/etc/x"}, "file"),
    "key of a schedule": ("schedules__evenings__exept", [], "except"),
    "key of a grant": (f"{MINE}__no_passwd", True, "nopasswd"),
    "short key of a grant": (f"{MINE}__vn", "debianx", "vm"),
    "key in capitals": (f"{MINE}__VM", "debianx", "vm"),
    "key of the viewer": ("viewer__gruop", "spice", "group"),
    "key of the firewall": ("firewall__back_end", "auto", "backend"),
    "key of routing": ("routing__enable", True, "enabled"),
    "key of time": ("time__horizont", "9d", "horizon"),
    "key of sudo": ("sudo__admin", [], "admins"),
    "server": ("vms__debianx__server", "mysvr", "mysrv"),
    "vm": (f"{MINE}__vm", "Debian", "debianx"),
    "schedule": (f"{MINE}__schedule", "evening", "evenings"),
    "one of several schedules": (f"{MINE}__schedule", ["evenings", "evenigs"], "evenings"),
    "weekday": ("schedules__evenings__days", "mon-fir", "fri"),
    "zone": ("time__zone", "Europe/Berln", "Europe/Berlin"),
    "zone of a schedule": ("schedules__evenings__zone", "europe/berlin", "Europe/Berlin"),
    "what becomes of sessions": (f"{MINE}__on_end", "drian", "drain"),
    "what is allowed": ("vms__debianx__allow", "file", "files"),
    "mechanism": ("firewall__backend", "nftable", "nftables"),
    "what is guarded": ("firewall__guard", "server", "servers"),
}


@pytest.mark.parametrize("kind", PILLAR)
def test_in_pillar(kind):
    place, value, near = PILLAR[kind]
    said = raised(pillar.parse_policy, changed(OFFICE, **{place: value}))
    assert [line for line in said if line.endswith(f", did you mean '{near}'?")], said


def test_the_root_of_all_keys():
    assert raised(merge.declared, {"spise": article()}) == ["spise: unknown key, did you mean 'spice'?"]
    assert raised(merge.declared, {"SPICE": article()}) == ["SPICE: unknown key, did you mean 'spice'?"]
    assert merge.declared({"spices": {"salt": 1}}) is merge.declared({}) is None
    assert merge.declared({"spise": article(), "spice": {"vms": {}}}) == {"vms": {}}


def test_users_and_groups_that_the_machine_does_not_have():
    named = {f"{MINE}__user": "myslef", "grants__all": {"group": "famly", "vm": "debianx"}}
    found = desired(named, group_names=frozenset(("family", "wheel"))).findings
    assert [str(finding) for finding in found] == [
        "spice:grants:myself-debianx:user: no user 'myslef' on this machine, did you mean 'myself'?",
        "spice:grants:all:group: no group 'famly' on this machine, did you mean 'family'?",
    ]


def test_who_is_left_out_of_a_group_by_a_slip():
    """They would get what they were not to have."""
    grant = {"group": "family", "vm": "debianx", "except": ["mybor", "anne"]}
    assert hints.left_out(desired({"grants__all": grant})) == [
        "grant all leaves out 'mybor', who is not in group family; mybro is"
    ]
    assert hints.left_out(desired({"grants__all": {**grant, "except": ["mybro", "anne"]}})) == []


def _lend(user="mybro", vm="debianx"):
    uids = {"myself": 1021, "mybro": 1022}
    return loans_locks.lend(NOTHING, policy(), uids, NOW, user, vm, "1h", None, False)


def _lock(about, name):
    return loans_locks.lock(NOTHING, policy(), {"myself": 1021}, NOW, Lock(about, name))


def _unlock(about, name):
    return loans_locks.unlock(NOTHING, policy(), {"myself": 1021}, Lock(about, name))


CALLS = {
    "lend, user": (lambda: _lend(user="mybor"), "user: no user 'mybor', did you mean 'mybro'?"),
    "lend, vm": (lambda: _lend(vm="debian"), "vm: no vm 'debian', did you mean 'debianx'?"),
    "lock, user": (lambda: _lock("user", "myslef"), "user: no user 'myslef', did you mean 'myself'?"),
    "lock, vm": (lambda: _lock("vm", "debian"), "vm: no vm 'debian', did you mean 'debianx'?"),
    "unlock, user": (lambda: _unlock("user", "myslef"), "user: no user 'myslef', did you mean 'myself'?"),
    "unlock, vm": (lambda: _unlock("vm", "debian"), "vm: no vm 'debian', did you mean 'debianx'?"),
    "grant, vm": (
        lambda: merge.with_grant(policy(), "myself", "debian", False, None),
        "vm: no vm 'debian', did you mean 'debianx'?",
    ),
    "revoke, user": (
        lambda: merge.without_user(policy(), "myslef", "debianx", desired()),
        "user: no user 'myslef', did you mean 'myself'?",
    ),
    "revoke, vm": (
        lambda: merge.without_user(policy(), "myself", "debian", desired()),
        "vm: no vm 'debian', did you mean 'debianx'?",
    ),
    "allowed, vm": (
        lambda: commands.calls(desired(), "myself", "debian"),
        "vm: no vm 'debian', did you mean 'debianx'?",
    ),
}


@pytest.mark.parametrize("kind", CALLS)
def test_in_a_call(kind):
    """``typed_names``, for questions, is played on a machine: it asks for accounts."""
    call, said = CALLS[kind]
    assert raised(call) == [said]


def test_the_name_of_an_argument():
    signature = inspect.signature(lambda user, vm: None)
    assert calls.complaint(signature, 0, {"usr": 1, "vm": 2}).startswith("no argument 'usr', did you mean 'user'?")


def test_the_name_of_an_argument_of_a_state():
    spec = importlib.util.spec_from_file_location("slips_states", ROOT / "_states" / "spice_grant.py")
    states = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(states)
    said = states.present("a", usr="anne", vm="books", xyzzy=1)["comment"]
    assert said == "unknown argument(s): usr (did you mean 'user'?), xyzzy"
    assert states.absent("a", nam="b")["comment"] == "unknown argument(s): nam (did you mean 'name'?)"


def test_a_question_to_the_fleet():
    row = {"user": "myself", "vm": "debianx"}
    answers = {"a": fleet.Answer([row]), "b": fleet.Answer("no policy"), "c": fleet.Answer([7, {"vm": 7}])}
    said = "no access of vm 'debain' on the minions that answered, did you mean 'debianx'?"
    assert fleet.nearest(answers, vm="debain") == said
    assert fleet.nearest(answers, user="xyzzy") == "no access of user 'xyzzy' on the minions that answered"


def test_for_many_slips_it_is_sought_for_some():
    """Each takes a look at all names that are known."""
    users = {f"user{number}": Account(f"user{number}", 2000 + number, 100) for number in range(40)}
    grants = {f"g{number}": {"user": f"usr{number}", "vm": "debianx"} for number in range(40)}
    found = desired({"grants": grants}, users=users).findings
    assert len(found) == 40
    assert sum("did you mean" in finding.message for finding in found) == 20


@pytest.mark.parametrize("name", [None, 7, True, [], {}, b"debianx", ""])
def test_what_is_no_name_is_near_to_nothing(name):
    assert did_you_mean(name, ["debianx"]) == ""


def test_a_hint_is_one_harmless_line():
    assert did_you_mean("a\x1b[2Jbc", ["a\x1b[2Jbcd\n"]) == ", did you mean 'a\\x1b[2Jbcd\\n'?"


def test_hints_say_nothing_of_what_is_right():
    found = compile_policy(policy(), replace(inventory(), group_names=frozenset(("family",))), now=NOW)
    assert found.findings == () and hints.left_out(found) == []
