"""The minion's own copy: written and read back, and never taken for what it is not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.core.paths import STATE
from spicegrants.policy import pillar, state_file
from spicegrants.policy.access import Access, Drain, Term
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import Loan, Lock, Temporary
from spicegrants.policy.state_file import Stored
from spicegrants.schedule.intervals import LAST
from unit.build import policy
from unit.strategies import junk, systems
from unit.timestrategies import temporaries, timed_pillars

FULL = Stored(
    policy(**{"grants__myself-debianx__reason": "Müller \\ 北京"}),
    {"mysrv": ("192.168.2.2", "2001:db8::2")},
    (
        Access("myself", 1021, "debianx", ("a", "b"), True, "drain", 1800, (60,), (Term(("x", "y"), 5, 9), Term())),
        Access("mybro", 1022, "leaptest", ("c",)),
    ),
    "spicegrp",
    True,
    {"/usr/bin/remote-viewer": (0, 0, 0o755)},
    ("consoles",),
    (
        Drain("mybro", 1022, "192.168.2.2", 20002, "debianx", ("mybro-debianx",)),
        Drain("myself", 1021, "2001:db8::2", 20004, "leaptest", (), 1795482000, 1800),
    ),
    Temporary(
        (Loan("mybro", "debianx", 1795482000, 1795489200, "year-end", True), Loan("myself", "leaptest", 5, 9)),
        (Lock("all"), Lock("user", "mybro", "Müller \\ 北京", 1795482000)),
    ),
    1795478400,
)


@pytest.mark.parametrize("stored", [Stored(), FULL, Stored(group="spicegrp"), Stored(policy())])
def test_written_and_read_back(stored):
    content = state_file.dump(stored)
    assert state_file.load(content) == stored
    assert state_file.dump(state_file.load(content)) == content
    assert content.endswith(b"\n") and content.isascii()


def test_no_file_is_nothing_stored():
    assert state_file.load(None) == Stored()


def test_the_file_does_not_depend_on_an_order():
    """It is rewritten only if something changed."""
    one = Stored(policy())
    grants = dict(reversed(policy().grants.items()))
    assert state_file.dump(one) == state_file.dump(Stored(type(one.policy)(**{**vars(one.policy), "grants": grants})))


@given(st.data())
def test_any_policy_is_read_back(data):
    declared = pillar.parse_policy(data.draw(timed_pillars()))
    inventory = data.draw(systems(declared))
    loans = data.draw(temporaries(declared))
    desired = compile_policy(declared, inventory, temporary=loans)
    stored = Stored(declared, inventory.addresses, desired.accesses, "spicegrp", False, {}, (), (), loans, desired.day)
    again = state_file.load(state_file.dump(stored))
    assert again == stored
    compiled = compile_policy(again.policy, inventory, temporary=again.temporary)
    assert (compiled.accesses, compiled.locked) == (desired.accesses, desired.locked)


def test_every_cut_is_noticed():
    """As a power failure could leave it, had it not been written in one step."""
    content = state_file.dump(FULL)
    for length in range(len(content) - 1):
        with pytest.raises(LiveStateUnreadable, match="is damaged"):
            state_file.load(content[:length])


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"null", b"[]", b"{}", b"5", b'"text"', b"nonsense", b"\xff\xfe", b"\0" * 100, b'{"format": 1}'],
)
def test_something_else_is_no_store(content):
    with pytest.raises(LiveStateUnreadable):
        state_file.load(content)
    with pytest.raises(LiveStateUnreadable):
        state_file.load_one(content, "myself", "debianx")


@pytest.mark.parametrize("key", ["format", "policy", "addresses", "accesses", "group", "originals"])
def test_a_missing_part(key):
    document = json.loads(state_file.dump(FULL))
    del document[key]
    with pytest.raises(LiveStateUnreadable):
        state_file.load(json.dumps(document).encode())
    with pytest.raises(LiveStateUnreadable):
        state_file.load_one(json.dumps(document).encode(), "myself", "debianx")


def test_file_of_before_groups_were_left():
    document = json.loads(state_file.dump(FULL))
    del document["left"]
    assert state_file.load(json.dumps(document).encode()).left == ()


def test_file_of_before_there_were_times():
    """After an upgrade: what was enforced was always open, and nothing was lent or locked."""
    document = json.loads(state_file.dump(FULL))
    document["accesses"] = [["myself", 1021, "debianx", ["a", "b"], True, "drain"], ["mybro", 1022, "leaptest", ["c"]]]
    document["draining"] = [["mybro", 1022, "192.168.2.2", 20002, "debianx", ["mybro-debianx"]]]
    for key in ("loans", "locks", "day"):
        del document[key]
    del document["policy"]["time"]
    found = state_file.load(json.dumps(document).encode())
    assert found.accesses == (
        Access("myself", 1021, "debianx", ("a", "b"), True, "drain", terms=(Term(), Term())),
        Access("mybro", 1022, "leaptest", ("c",)),
    )
    assert all(term == Term((), 0, LAST) for access in found.accesses for term in access.terms)
    assert found.draining == FULL.draining[:1]
    assert found.temporary == Temporary() and found.day is None and found.policy == FULL.policy


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("loans", [["mybro", "debianx"]]),
        ("loans", [["mybro", "debianx", "1795482000", 1795489200, None, False]]),
        ("loans", [["mybro", "debianx", 1795482000, None, None, False]]),
        ("loans", [[["mybro"], "debianx", 1795482000, 1795489200, None, False]]),
        ("loans", {"mybro": "debianx"}),
        ("locks", [["users", "mybro", None, 0]]),
        ("locks", [["user", None, None, 0]]),
        ("locks", [[]]),
        ("locks", None),
        ("day", "2026-11-24"),
        ("day", True),
    ],
)
def test_damaged_loans_and_locks_are_not_taken_for_none(part, value):
    """A lock that cannot be read must not be forgotten."""
    document = {**json.loads(state_file.dump(FULL)), part: value}
    with pytest.raises(LiveStateUnreadable, match="is damaged"):
        state_file.load(json.dumps(document).encode())


def test_another_format_is_named():
    document = {**json.loads(state_file.dump(FULL)), "format": 2}
    with pytest.raises(LiveStateUnreadable, match="has format 2, this version reads 1"):
        state_file.load(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("policy",), {"servers": {}}),
        (("policy",), [1]),
        (("policy", "grants", "myself-debianx", "user"), "root"),
        (("policy", "vms", "debianx", "tls_port"), 70000),
        (("addresses",), []),
        (("addresses", "mysrv"), 5),
        (("accesses",), 5),
        (("accesses", 0), ["myself"]),
        (("accesses", 0, 3), None),
        (("originals",), None),
        (("originals", "/usr/bin/remote-viewer"), 5),
        (("left",), 5),
    ],
)
def test_a_damaged_part(place, value):
    document = json.loads(state_file.dump(FULL))
    *parents, last = place
    inner = document
    for key in parents:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(LiveStateUnreadable, match="is damaged"):
        state_file.load(json.dumps(document).encode())


@given(st.sampled_from(["policy", "addresses", "accesses", "originals", "loans", "locks", "day"]), junk)
def test_junk_in_a_part_is_noticed_or_read(part, value):
    """Never anything but a store, or the error that says that it is damaged."""
    document = {**json.loads(state_file.dump(FULL)), part: value}
    try:
        content = json.dumps(document).encode()
    except (TypeError, ValueError, UnicodeError):
        return
    try:
        assert isinstance(state_file.load(content), Stored)
    except LiveStateUnreadable as error:
        assert STATE in str(error)


def test_a_policy_that_is_known_is_not_read_again():
    """It is the very same; what else is stored is read all the same."""
    known, content = policy(), state_file.dump(Stored(policy(), group="spicegrp"))
    found = state_file.load(content, known)
    assert found.policy is known and found.group == "spicegrp"
    assert state_file.load(content) == found


@pytest.mark.parametrize("place", [("vms", "debianx", "tls_port"), ("grants", "myself-debianx", "user")])
def test_a_policy_that_differs_from_the_known_one_is_read(place):
    kind, name, key = place
    document = json.loads(state_file.dump(Stored(policy())))
    document["policy"][kind][name][key] = {"tls_port": 20003, "user": "mybro"}[key]
    found = state_file.load(json.dumps(document).encode(), policy())
    assert found.policy != policy() and found.policy == state_file.load(state_file.dump(found)).policy


def test_a_damaged_policy_is_not_taken_for_the_known_one():
    document = json.loads(state_file.dump(Stored(policy())))
    document["policy"]["grants"]["myself-debianx"]["user"] = "root"
    with pytest.raises(LiveStateUnreadable, match="is damaged"):
        state_file.load(json.dumps(document).encode(), policy())
