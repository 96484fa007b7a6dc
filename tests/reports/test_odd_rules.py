"""Rules of others as nft and iptables-save of any release print them: what is not known is unknown, never an exception.

First seen: statements, members and keywords of newer kernels and releases than those that the code was written with.
"""

import json
import pathlib
import random
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.firewall import owner_rules
from spicegrants.firewall.live import other_tables
from spicegrants.firewall.trace import iptables_rules, nft_rules, tracer
from spicegrants.firewall.trace.tracer import Packet
from spicegrants.policy import hints

RECORDED = pathlib.Path(__file__).parent.parent / "unit" / "recorded"
LISTINGS = {name: json.loads((RECORDED / name).read_text(encoding="utf-8")) for name in ("ruleset.json", "site.json")}
SAVED = [path.read_text(encoding="utf-8") for path in sorted(RECORDED.glob("times.iptables-*"))]
PACKET = Packet(1021, 995, "192.168.2.2", 20002, "eth0")
ODD = [
    {"flowtable": {"family": "inet", "table": "t", "name": "f", "hook": "ingress", "prio": 0, "dev": ["eth0"]}},
    {"rule": {"family": "inet", "table": "t", "chain": "output", "handle": 1, "expr": [{"flow": {"op": "add"}}]}},
    {"rule": {"family": "inet", "table": "t", "chain": "output", "handle": 2, "expr": [{"ct helper": "ftp"}]}},
    {"rule": {"family": "inet", "table": "t", "chain": "output", "handle": 3, "expr": [{"counter": "named"}]}},
    {"rule": {"family": "inet", "table": "t", "chain": "output", "handle": 4, "expr": [{"limit": "named"}]}},
    {"rule": {"family": "inet", "table": "t", "chain": "output", "handle": 5, "expr": [{"synproxy": None}]}},
    {"rule": {"family": "inet", "table": "t", "chain": "output", "handle": 6, "expr": ["accept"]}},
    {"rule": {"family": "inet", "table": "t", "chain": "gone", "handle": 7, "expr": []}},
    {"rule": {"family": "inet", "table": "t", "chain": "output", "handle": 8}},
    {"ct expectation": {"family": "inet", "table": "t", "name": "e"}},
    {"element": None},
    {"table": {"family": "bridge", "name": "b"}},
    "metainfo",
    None,
]
SHELL = [
    {"table": {"family": "inet", "name": "t", "handle": 1, "flags": ["owner", "persist"]}},
    {
        "chain": {
            "family": "inet",
            "table": "t",
            "name": "output",
            "hook": "output",
            "prio": 0,
            "policy": "accept",
            "type": "filter",
        }
    },
]


def walked(objects):
    """Read a listing as verify, explain and rules do."""
    owner_rules.foreign(objects)
    tracer.find(nft_rules.tables(objects, (), _silent), PACKET)
    return tracer.find(nft_rules.tables(objects, ()), PACKET)


def _silent(body):
    """For what a set holds nobody can be asked."""
    return other_tables.source(body) and nft_rules.Source(_fails, _fails)


def _fails(*asked):
    raise LiveStateUnreadable("nobody knows")


@pytest.mark.parametrize("entry", ODD, ids=lambda entry: str(entry)[:60])
def test_a_member_that_is_not_known(entry):
    """Alone, and with others that are."""
    walked([entry])
    walked([*SHELL, entry])


def test_a_rule_that_is_not_understood_may_drop():
    rule = {
        "rule": {
            "family": "inet",
            "table": "t",
            "chain": "output",
            "handle": 9,
            "expr": [{"newer": {}}, {"drop": None}],
        }
    }
    (found,) = walked([*SHELL, rule])
    assert not found.certain


@pytest.mark.parametrize("kind", ["ipv4_addr", ["ipv4_addr", "inet_service"]])
def test_a_set_that_cannot_be_asked_for_may_hold_anything(kind):
    """Neither is what it holds taken for nothing, nor is it an exception."""
    entry = {"set": {"family": "inet", "name": "s", "table": "t", "type": kind}}
    left = {"payload": {"protocol": "ip", "field": "daddr"}}
    match = {"match": {"op": "==", "left": left, "right": "@s"}}
    rule = {"rule": {"family": "inet", "table": "t", "chain": "output", "handle": 9, "expr": [match, {"drop": None}]}}
    (found,) = tracer.find(nft_rules.tables([*SHELL, entry, rule], (), _silent), PACKET)
    assert not found.certain
    assert walked([*SHELL, entry, rule]) == (), "listed with nothing in it, it holds nothing"


def test_a_flowtable_is_named(monkeypatch):
    """What it takes along passes no chain of forward. Not every kernel has them: what nft prints is from its manual."""
    printed = json.dumps({"nftables": [{"metainfo": {}}, ODD[0], {"flowtable": None}]})
    done = subprocess.CompletedProcess([], 0, printed, "")
    monkeypatch.setattr(other_tables.run, "attempt", lambda command, **options: done)
    monkeypatch.setattr(other_tables.disk, "read_text", lambda path: b"1\n")
    assert other_tables.flowtables() == ["inet t f"]
    (hint,) = hints.bypassing(other_tables.flowtables())
    assert hint.startswith("flowtable inet t f takes connections of guests past the guard")
    for odd, code in (("{", 0), (printed, 1), ("", 0)):
        done = subprocess.CompletedProcess([], code, odd, "")
        assert other_tables.flowtables() == [], "it hinders no run"
    monkeypatch.setattr(other_tables.disk, "read_text", lambda path: b"0\n")
    assert other_tables.flowtables() == [], "nothing of others passes here"


def _mutated(dice, value):
    """A copy of nested data with some of it gone or something else."""
    if dice.random() < 0.01:
        return dice.choice([None, "", "word", 0, -1, 2**40, [], {}, True, [None], {"x": 1}, "\ufffd"])
    if isinstance(value, dict):
        return {
            key + "x" * (dice.random() < 0.005): _mutated(dice, member)
            for key, member in value.items()
            if dice.random() > 0.01
        }
    return [_mutated(dice, member) for member in value] if isinstance(value, list) else value


@given(st.sampled_from(sorted(LISTINGS)), st.integers(0))
def test_listings_of_which_parts_are_gone_or_something_else(name, seed):
    dice = random.Random(seed)  # noqa: S311 - no secret
    walked([_mutated(dice, entry) for entry in LISTINGS[name]])


@given(st.data())
def test_iptables_save_cut_anywhere_and_with_other_bytes(data):
    text = data.draw(st.sampled_from(SAVED))
    start = data.draw(st.integers(0, len(text)))
    odd = data.draw(
        st.sampled_from(["", '"', "'", "\\", "\ufffd", "-A", ":", "*nat\n", "\n", " ! ", "-j", "-A INPUT\n"])
    )
    for made in (text[:start] + odd, text[:start] + odd + text[start:]):
        tracer.find(iptables_rules.tables("ip", made), PACKET)
