"""Minions that are KVM hosts: both halves of one, the desks that a mine names, and whom the runner has to ask."""

import pytest
import salt.config
import salt.utils.minions
from salt.exceptions import CommandExecutionError, NotImplemented, SaltReqTimeoutError

from spicegrants.audit.fleet import Answer
from spicegrants.core.errors import Finding, PolicyError, SystemFault
from unit.build import DESK_KEY, OTHER_KEY, TICKETS, article, changed
from unit.loader.test_api import ROOT, load

pytestmark = pytest.mark.salt

DONE = {"changes": {"layers": {"policy": ["locks user anne"]}}, "errors": [], "warnings": ["user anne is locked"]}


@pytest.fixture
def minion(monkeypatch):
    """The module of loans and locks on a minion that is a desk and a host; what each half does can be chosen."""
    module = load(ROOT / "_modules" / "spice_grant_loans.py")
    done = []

    def half(name):
        def enforced(*_):
            done.append(name)
            found = halves[name]
            if isinstance(found, Exception):
                raise found
            return found

        return enforced

    halves = {"desk": DONE, "host": DONE}
    options = {"file_client": "local", "id": "kvm1"}
    for name, value in (("__opts__", options), ("__context__", {}), ("__salt__", {})):
        monkeypatch.setattr(module, name, value, raising=False)
    monkeypatch.setattr(module.host_loans, "here", lambda: True)
    monkeypatch.setattr(module.context, "exists", lambda: True)
    monkeypatch.setattr(module.last_run, "spoken", lambda report: report)
    monkeypatch.setattr(module.enforcement, "enforce", half("desk"))
    monkeypatch.setattr(module.host_loans, "lock", half("host"))
    return module, halves, done


def test_a_lock_is_for_both_halves(minion):
    module, _, done = minion
    report = module.lock(user="anne")
    assert sorted(done) == ["desk", "host"]
    assert (report["changes"], report["errors"], report["warnings"]) == (*DONE.values(),)
    assert report["host"] is True


@pytest.mark.parametrize("fails", ["desk", "host"])
def test_what_hinders_one_half_hinders_the_other_not(minion, fails):
    module, halves, done = minion
    halves[fails] = SystemFault("it is broken")
    report = module.lock(user="anne")
    assert sorted(done) == ["desk", "host"] and report["errors"] == ["it is broken"]
    assert report["changes"] == DONE["changes"] and module.__context__["retcode"] == 1


def test_what_hinders_both_is_an_error(minion):
    module, halves, _ = minion
    halves.update(desk=SystemFault("one"), host=PolicyError([Finding("user", "no user 'anen'")]))
    with pytest.raises(CommandExecutionError, match="user: no user 'anen'\none"):
        module.lock(user="anne")


def test_a_desk_that_is_no_host_is_asked_alone(minion, monkeypatch):
    module, _, done = minion
    monkeypatch.setattr(module.host_loans, "here", lambda: False)
    assert module.lock(user="anne")["host"] is False and done == ["desk"]


def test_a_host_that_is_no_desk_is_asked_alone(minion, monkeypatch):
    module, _, done = minion
    monkeypatch.setattr(module.context, "exists", lambda: False)
    assert module.lock(user="anne")["host"] is True and done == ["host"]


# The mine

DESK = {"addresses": ["192.168.2.22"], "key": DESK_KEY}


@pytest.fixture
def applied(monkeypatch):
    """Applies on a host with a mine; returns the desks, what is wrong, and whether the mine has answered."""
    module = load(ROOT / "_modules" / "spice_host.py")
    asked = []

    def enforce(policy, minion, test, complaints, known):
        asked.append((dict(policy.desks), complaints, known))
        return {"changes": {}, "errors": [], "warnings": []}

    def apply(mine):
        def get(target, function):
            if isinstance(mine, Exception):
                raise mine
            return mine

        monkeypatch.setattr(module, "__salt__", {"mine.get": get}, raising=False)
        module.apply(test=True)
        return asked.pop()

    for name, value in (("__opts__", {"id": "kvm1"}), ("__context__", {})):
        monkeypatch.setattr(module, name, value, raising=False)
    monkeypatch.setattr(module, "__pillar__", {"spice": changed(article(), **TICKETS)}, raising=False)
    monkeypatch.setattr(module.enforcement, "enforce", enforce)
    return apply


@pytest.mark.parametrize("mine", [SaltReqTimeoutError("no master"), "", False, None, ["a"]])
def test_a_mine_that_says_nothing_takes_no_desk_away(applied, mine):
    desks, (complaint,), known = applied(mine)
    assert (desks, known) == ({}, False) and "desks that were known stay" in complaint


def test_a_mine_without_desks_has_none(applied):
    assert applied({}) == ({}, [], True)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "x",
        [],
        {},
        {"addresses": ["x"], "key": OTHER_KEY},
        {**DESK, "key": 'ssh-ed25519 "AAAA"'},
    ],
)
def test_a_desk_that_says_something_odd_in_the_mine_hinders_no_run(applied, odd):
    """Otherwise any minion could keep a host from taking anything away."""
    desks, complaints, known = applied({"desk-1": DESK, "evil": odd})
    assert [*desks] == ["desk-1"] and known is True
    assert complaints and all(complaint.startswith("mine:evil") for complaint in complaints)


# The runner


@pytest.fixture
def runner(monkeypatch, tmp_path):
    """The runner's modules, with minions whose answers are chosen; what they were asked is noted."""
    module = load(ROOT / "_runners" / "spice_grant.py")
    asked = []
    answers = {}

    def ask(function, arg, kwarg, tgt, tgt_type, batch, timeout, quiet):
        names = tgt if tgt_type == "list" else ["desk-1"]
        asked.append((function, sorted(names), kwarg))
        return set(names), {name: answers[name] for name in names if name in answers}

    class Minions:
        def __init__(self, options):
            pass

        def check_minions(self, target, how):
            return {"minions": ["desk-1", "kvm1"]}

    opts = {**salt.config.master_config(None), "cachedir": str(tmp_path)}
    for each in (module, load(ROOT / "_runners" / "spice_grant_queries.py")):
        monkeypatch.setattr(each, "_ask", ask)
        monkeypatch.setattr(each, "__opts__", opts, raising=False)
    monkeypatch.setattr(salt.utils.minions, "CkMinions", Minions)
    return module, asked, answers


GOOD = {"changes": {}, "errors": [], "host": False, "asks": None}


def locks():
    """What the runner says of locks."""
    return load(ROOT / "_runners" / "spice_grant_queries.py").locks()["data"]["minions"]


def test_a_loan_reaches_the_host_that_the_desk_names(runner):
    module, asked, answers = runner
    answers.update({"desk-1": Answer({**GOOD, "asks": "kvm1"}), "kvm1": Answer({**GOOD, "host": True})})
    found = module.lend("anne", "books", "2h", tgt="desk-1")["data"]
    assert found == {
        "retcode": 0,
        "confirmed": ["desk-1", "kvm1"],
        "failed": {},
        "not confirmed": [],
        "hosts": ["kvm1"],
    }
    given = {"user": "anne", "vm": "books", "duration": "2h"}
    assert asked == [("spice_grant.lend", ["desk-1"], given), ("spice_grant.lend", ["kvm1"], given)]


def test_a_loan_at_a_desk_that_asks_nobody_reaches_it_alone(runner):
    module, asked, answers = runner
    answers["desk-1"] = Answer(GOOD)
    assert module.end_loan("anne", "books", tgt="desk-1")["data"]["confirmed"] == ["desk-1"]
    assert len(asked) == 1


def test_a_host_that_is_down_has_not_confirmed(runner):
    module, _, answers = runner
    answers["desk-1"] = Answer({**GOOD, "asks": "kvm1"})
    found = module.lend("anne", "books", "2h", tgt="desk-1")["data"]
    assert (found["retcode"], found["not confirmed"]) == (1, ["kvm1"])


def test_a_host_that_is_no_minion_of_this_master_fails(runner):
    """Nothing is sent to it, and the loan does not count as complete."""
    module, asked, answers = runner
    answers["desk-1"] = Answer({**GOOD, "asks": "other"})
    found = module.lend("anne", "books", "2h", tgt="desk-1")["data"]
    assert found["retcode"] == 1 and "no minion with an accepted key is called 'other'" in found["failed"]["other"]
    assert len(asked) == 1


def test_what_a_minion_holds_as_a_host_is_shown(runner):
    _, asked, answers = runner
    answers["desk-1"] = Answer([{"about": "user anne", "since": "Tue", "host": True}])
    assert [row["host"] for row in locks()] == [True]
    assert asked[0][0] == "spice_grant.locks"


def test_a_lock_is_kept_for_a_minion_that_does_not_answer(runner):
    """Until it is delivered: whoever refuses it is asked again, and of the same lock the last word counts."""
    module, asked, answers = runner

    def pending():
        return [(row["about"], row["state"]) for row in locks() if "pending" in row["state"]]

    assert module.lock(user="anne", reason="left")["data"]["not confirmed"] == ["desk-1"]
    assert module.lock(vm="books")["data"]["retcode"] == 1
    assert sorted(pending()) == [("user anne", "pending"), ("vm books", "pending")]
    assert module.unlock(vm="books")["data"]["not confirmed"] == ["desk-1"]
    assert sorted(pending()) == [("user anne", "pending"), ("vm books", "pending: to be unlocked")]
    assert module.deliver(minion="kvm1")["data"] == {"retcode": 0, "delivered": {}, "failed": {}, "pending": {}}
    words = ["lock user anne", "unlock vm books"]
    assert module.deliver()["data"] == {"retcode": 1, "delivered": {}, "failed": {}, "pending": {"desk-1": words}}
    answers["desk-1"] = Answer({**GOOD, "errors": ["a disk"]}, 1)
    assert [*module.deliver()["data"]["failed"]] == ["desk-1"] and len(pending()) == 2
    answers["desk-1"] = Answer(GOOD)
    del asked[:]
    assert module.deliver(minion="desk-1")["data"] == {
        "retcode": 0,
        "delivered": {"desk-1": words},
        "failed": {},
        "pending": {},
    }
    given = [("spice_grant.lock", {"user": "anne", "reason": "left"}), ("spice_grant.unlock", {"vm": "books"})]
    assert [(function, kwarg) for function, _, kwarg in asked] == given
    answers["desk-1"] = Answer([])
    assert pending() == []


def test_a_lock_of_nothing_is_refused(runner):
    module, asked, _ = runner
    with pytest.raises(NotImplemented, match="name one of"):
        module.lock()
    assert asked == []
