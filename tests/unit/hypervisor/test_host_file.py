"""What a KVM host stores: written and read back, and never taken for what it is not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.errors import LiveStateUnreadable, SystemFault
from spicegrants.hypervisor import host_file
from spicegrants.hypervisor.host_file import Stored
from spicegrants.policy import pillar
from spicegrants.policy.loans_locks import Loan, Lock, Temporary
from unit.kvm import policy
from unit.strategies import junk, names, text
from unit.timestrategies import temporaries, timed_pillars

FULL = Stored(
    "kvm1",
    policy(**{"vms__debianx__domain": "Müller 北京", "vms__leaptest__sharing": "takeover"}),
    {"debianx": "6f1c1a52-0000-4000-8000-000000000001"},
    Temporary(
        (Loan("mybro", "debianx", 1795482000, 1795489200, "year-end", True),),
        (Lock("all"), Lock("user", "mybro", "Müller \\ 北京", 1795482000)),
    ),
)


@pytest.mark.parametrize("stored", [Stored(), FULL, Stored("kvm1", policy()), Stored(uuids={"books": "a"})])
def test_written_and_read_back(stored):
    content = host_file.dump(stored)
    assert host_file.load(content) == stored
    assert host_file.dump(host_file.load(content)) == content
    assert content.endswith(b"\n") and content.isascii()


@given(st.data())
def test_any_policy_is_read_back(data):
    declared = pillar.parse_policy(data.draw(timed_pillars()))
    uuids = data.draw(st.dictionaries(names, text, max_size=3))
    stored = Stored(data.draw(names), declared, uuids, data.draw(temporaries(declared)))
    assert host_file.load(host_file.dump(stored)) == stored


def test_no_file_is_nothing_stored():
    assert host_file.load(None) == Stored()
    with pytest.raises(SystemFault, match=r"run state\.apply spice\.host$"):
        _ = host_file.load(None).the_policy
    assert FULL.the_policy is FULL.policy


def test_a_newer_format():
    """A host that was set back to an older version gives no tickets by what it only half understands."""
    document = {**json.loads(host_file.dump(FULL)), "format": 2}
    with pytest.raises(
        LiveStateUnreadable, match=r"^/var/lib/spice-host/state.json has format 2, this version reads 1$"
    ):
        host_file.load(json.dumps(document).encode())


def test_every_cut_is_noticed():
    content = host_file.dump(FULL)
    for length in range(len(content) - 1):
        with pytest.raises(LiveStateUnreadable, match=r"is damaged .*; remove it, and the next run writes it anew"):
            host_file.load(content[:length])


@given(st.data())
def test_bytes_that_are_damaged_are_read_or_reported(data):
    content = bytearray(host_file.dump(FULL))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    _read_or_reported(bytes(content))


@given(st.data())
def test_a_part_that_is_anything_is_read_or_reported(data):
    """What is read is of the types that the rest counts on."""
    document = json.loads(host_file.dump(FULL))
    place = document
    while isinstance(place, (dict, list)) and place:
        parent, key = place, data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        place = parent[key]
        if not data.draw(st.integers(0, 2)):
            break
    parent[key] = data.draw(st.one_of(junk, st.sampled_from([[], {}, [[]], "", 0, None, [None], {"a": None}])))
    _read_or_reported(json.dumps(document, default=str, skipkeys=True).encode())


def _read_or_reported(content):
    try:
        stored = host_file.load(content)
    except LiveStateUnreadable:
        return
    assert type(stored.minion) is str
    assert {type(word) for pair in stored.uuids.items() for word in pair} <= {str}
    for loan in stored.temporary.loans:
        assert (type(loan.start), type(loan.end)) == (int, int)
    # What was read can be written, and says the same again.
    assert host_file.load(host_file.dump(stored)) == stored


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"null", b"[]", b"{}", b"5", b'"text"', b"\xff\xfe", b"\0" * 100, b'{"format": 1}', b"[" * 100_000],
)
def test_something_else_is_no_store(content):
    with pytest.raises(LiveStateUnreadable):
        host_file.load(content)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("minion", None),
        ("minion", ["kvm1"]),
        ("uuids", None),
        ("uuids", [["debianx", "a"]]),
        ("uuids", {"debianx": None}),
        ("uuids", {"debianx": ["a"]}),
        ("policy", {"servers": {}}),
        ("policy", [1]),
        ("loans", [["mybro", "debianx"]]),
        ("locks", [["users", "mybro", None, 0]]),
        ("locks", None),
    ],
)
def test_a_part_of_another_kind(part, value):
    document = {**json.loads(host_file.dump(FULL)), part: value}
    with pytest.raises(LiveStateUnreadable, match="is damaged"):
        host_file.load(json.dumps(document).encode())


@pytest.mark.parametrize("key", ["format", "minion", "policy", "uuids"])
def test_a_missing_part(key):
    document = json.loads(host_file.dump(FULL))
    del document[key]
    with pytest.raises(LiveStateUnreadable):
        host_file.load(json.dumps(document).encode())
