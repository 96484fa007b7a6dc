"""The minion's own copy: written and read back, and never taken for what it is not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants import pillar, store
from spicegrants.access import Access, Drain
from spicegrants.compile import compile_policy
from spicegrants.errors import LiveStateUnreadable
from spicegrants.store import Stored
from unit.build import policy
from unit.strategies import junk, pillars, systems

FULL = Stored(
    policy(**{"grants__myself-debianx__reason": "Müller \\ 北京"}),
    {"mysrv": ("192.168.2.2", "2001:db8::2")},
    (Access("myself", 1021, "debianx", ("a", "b"), True), Access("mybro", 1022, "leaptest", ("c",))),
    "spicegrp",
    True,
    {"/usr/bin/remote-viewer": (0, 0, 0o755)},
    ("consoles",),
    (Drain("mybro", 1022, "192.168.2.2", 20002, "debianx", ("mybro-debianx",)),),
)


@pytest.mark.parametrize("stored", [Stored(), FULL, Stored(group="spicegrp"), Stored(policy())])
def test_written_and_read_back(stored):
    content = store.dump(stored)
    assert store.load(content) == stored
    assert store.dump(store.load(content)) == content
    assert content.endswith(b"\n") and content.isascii()


def test_no_file_is_nothing_stored():
    assert store.load(None) == Stored()


def test_the_file_does_not_depend_on_an_order():
    """It is rewritten only if something changed."""
    one = Stored(policy())
    grants = dict(reversed(policy().grants.items()))
    assert store.dump(one) == store.dump(Stored(type(one.policy)(**{**vars(one.policy), "grants": grants})))


@given(st.data())
def test_any_policy_is_read_back(data):
    declared = pillar.parse(data.draw(pillars()))
    inventory = data.draw(systems(declared))
    accesses = compile_policy(declared, inventory).accesses
    stored = Stored(declared, inventory.addresses, accesses, "spicegrp", False, {})
    again = store.load(store.dump(stored))
    assert again == stored
    assert compile_policy(again.policy, inventory).accesses == accesses


def test_every_cut_is_noticed():
    """As a power failure could leave it, had it not been written in one step."""
    content = store.dump(FULL)
    for length in range(len(content) - 1):
        with pytest.raises(LiveStateUnreadable, match="is damaged"):
            store.load(content[:length])


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"null", b"[]", b"{}", b"5", b'"text"', b"nonsense", b"\xff\xfe", b"\0" * 100, b'{"format": 1}'],
)
def test_something_else_is_no_store(content):
    with pytest.raises(LiveStateUnreadable):
        store.load(content)


@pytest.mark.parametrize("key", ["format", "policy", "addresses", "accesses", "group", "originals"])
def test_a_missing_part(key):
    document = json.loads(store.dump(FULL))
    del document[key]
    with pytest.raises(LiveStateUnreadable):
        store.load(json.dumps(document).encode())


def test_file_of_before_groups_were_left():
    document = json.loads(store.dump(FULL))
    del document["left"]
    assert store.load(json.dumps(document).encode()).left == ()


def test_another_format_is_named():
    document = {**json.loads(store.dump(FULL)), "format": 2}
    with pytest.raises(LiveStateUnreadable, match="has format 2, this version reads 1"):
        store.load(json.dumps(document).encode())


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
    document = json.loads(store.dump(FULL))
    *parents, last = place
    inner = document
    for key in parents:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(LiveStateUnreadable, match="is damaged"):
        store.load(json.dumps(document).encode())


@given(st.sampled_from(["policy", "addresses", "accesses", "originals"]), junk)
def test_junk_in_a_part_is_noticed_or_read(part, value):
    """Never anything but a store, or the error that says that it is damaged."""
    document = {**json.loads(store.dump(FULL)), part: value}
    try:
        content = json.dumps(document).encode()
    except (TypeError, ValueError, UnicodeError):
        return
    try:
        assert isinstance(store.load(content), Stored)
    except LiveStateUnreadable as error:
        assert store.PATH in str(error)
