"""The backstop in the kernel: a table that nobody but its holder can change, held here without systemd."""

import contextlib
import json
import time

import pytest

from amount import amount
from drift import until
from functional.clients import HAMMER, running
from functional.office import changed
from scene.machine import CHECKOUT
from scenes import ADDRESS, GROUP, article
from spicegrants.core.accounts import Group
from spicegrants.firewall import backstop
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.facts import Inventory

HOLDER = CHECKOUT / "_utils" / "spicegrants" / "firewall" / "live" / "backstop_holder.py"
TURNS = amount(50, 12)
FLUSHES = (
    ("nft", "flush", "ruleset"),
    ("nft", "-f", "/srv/site.nft"),
    ("iptables", "-F"),
    ("iptables-legacy", "-F"),
)
SITE = "flush ruleset\ntable inet site { chain input { type filter hook input priority 0; }; }\n"
# Somebody else's program that owns a table.
OWNER = """
import ctypes, sys
library = ctypes.CDLL("libnftables.so.1")
library.nft_ctx_new.restype = ctypes.c_void_p
context = ctypes.c_void_p(library.nft_ctx_new(0))
assert library.nft_run_cmd_from_buffer(context, sys.argv[1].encode()) == 0
print("made", flush=True)
sys.stdin.read()
"""


def _store(office, ports="20001-20010"):
    """Store a backstop for ports; return the name of its table."""
    declared = article([ADDRESS])["spice"]
    declared["servers"]["mysrv"]["ports"] = ports
    inventory = Inventory({}, {GROUP: Group(GROUP, office.gid())}, addresses={"mysrv": (ADDRESS,)})
    kept = backstop.table(compile_policy(pillar.parse_policy(declared), inventory), HOLDER.read_bytes())
    office.client.write(backstop.STORED, json.dumps(kept._asdict() | {"table": kept.name}), 0o600)
    return kept.name


def _held(office):
    """The names of backstops that there are."""
    listed = office.client.run(["nft", "list", "tables"]).stdout.split()
    return {word for word in listed if word.startswith(backstop.PREFIX)}


@pytest.fixture
def holding(office):
    """An office that has the viewer's group, and what starts a holder there; all end with the test."""
    office.client.run(["groupadd", GROUP])
    office.client.run(["mkdir", "-p", "/var/lib/spice-grant"])
    office.client.write("/srv/site.nft", SITE)
    with contextlib.ExitStack() as ending:

        def hold(*arguments):
            process = office.client.popen(["/usr/bin/python3", "-IS", str(HOLDER), *map(str, arguments)])
            ending.callback(process.kill_tree)
            return process

        yield office, hold


@contextlib.contextmanager
def _trying(office, user, group, port=20004):
    """Somebody who connects over and over; afterwards, how often they came through and how often not."""
    counts = {}
    with running(office.client, HAMMER, ADDRESS, port, user=user, group=group) as process:
        yield counts
        process.stdin.close()
        counts.update(json.loads(process.stdout.readline()))


def test_whatever_is_flushed(holding):
    """No grant, or a grant and a program of one's own: refused at every moment. The viewer's group: let through."""
    office, hold = holding
    table = _store(office)
    hold()
    until(lambda: _held(office) == {table})
    with (
        _trying(office, "nogrant", None) as stranger,
        _trying(office, "mybro", None) as own,
        _trying(office, "mybro", GROUP) as viewer,
    ):
        for _ in range(TURNS):
            for command in FLUSHES:
                office.client.run([*command])
            for verb in ("delete", "flush"):
                tried = office.client.run(["nft", verb, "table", "inet", table], check=False)
                assert "Operation not permitted" in tried.stderr
    assert _held(office) == {table}
    for nobody in (stranger, own):
        assert nobody["open"] == 0 and nobody["refused"] > 100
    assert viewer["refused"] == 0 and viewer["open"] > 100


def test_without_it_a_flush_opens(holding):
    """The trial itself: the same people get through, before it is there and once its holder has ended."""
    office, hold = holding
    _store(office)
    with _trying(office, "nogrant", None) as before:
        time.sleep(0.3)
    holder = hold()
    until(lambda: _held(office))
    with _trying(office, "nogrant", None) as meanwhile:
        time.sleep(0.3)
    office.client.run(["kill", "-TERM", _pid(office)])
    holder.wait()
    assert holder.returncode == 0 and not _held(office)
    with _trying(office, "nogrant", None) as after:
        time.sleep(0.3)
    assert (before["refused"], meanwhile["open"], after["refused"]) == (0, 0, 0)
    assert before["open"] and meanwhile["refused"] and after["open"]


def _pid(office):
    """The number of the holder in its machine; there is one."""
    (number,) = office.client.run(["pgrep", "--full", "^/usr/bin/python3 -IS .*holder.py"]).stdout.split()
    return number


def test_another_one_takes_its_place_without_a_gap(holding):
    """Ports change again and again while nothing else stands in the way of somebody who never stops trying."""
    office, hold = holding
    _store(office)
    hold()
    until(lambda: _held(office))
    with _trying(office, "nogrant", None) as stranger, _trying(office, "mybro", GROUP) as viewer:
        for turn in range(TURNS):
            table = _store(office, f"20001-{20011 + turn % 2}")
            successor = hold(_pid(office))
            successor.wait()
            assert successor.returncode == 0
            assert _held(office) == {table}
        assert hold(_pid(office)).wait() == 0, "it holds that table already"
    assert stranger["open"] == 0 and stranger["refused"] > 100
    assert viewer["refused"] == 0 and viewer["open"] > 100


def test_what_cannot_be_held_leaves_the_one_that_is(holding):
    """A damaged file makes nobody give up what they hold."""
    office, hold = holding
    table = _store(office)
    hold()
    until(lambda: _held(office))
    number = _pid(office)
    for damaged in (
        "",
        "{}",
        '{"table": "spice_grant_backstop_0", "body": "chain output {"}',
        '{"table": 1, "body": 2}',
    ):
        office.client.write(backstop.STORED, damaged, 0o600)
        assert hold(number).wait() == 1
        assert _held(office) == {table} and _pid(office) == number


def test_the_next_holder_takes_over_what_a_killed_one_left(holding):
    """A table that persists, or one that somebody made under such a name, is not there twice."""
    office, hold = holding
    table = _store(office)
    holder = hold()
    until(lambda: _held(office))
    holder.kill_tree()
    holder.wait()
    for name in {table, f"{backstop.PREFIX}old"} - _held(office):
        office.nft("add", "table", "inet", name)
    hold()
    until(lambda: _held(office) == {table})
    listed = office.nft("list", "table", "inet", table)
    assert listed.count("reject with tcp reset") == 2 and "owner" in listed


def test_without_systemd(office):
    """auto leaves it; whoever asks for it gets everything else, and is told."""
    office.applied()
    assert office.minion.call("spice_firewall.backend")["backstop"] == "not held: systemd is not at work"
    asked = changed(article(), firewall={"backstop": True})
    ended = office.apply(asked)
    assert not ended["result"]
    assert "spice:firewall:backstop asks for what cannot be held here: systemd is not at work" in ended["comment"]
    assert office.verify()["ok"]


def test_a_table_that_somebody_else_owns(office):
    """nft 1.0 prints broken JSON of it, or other words in it; every answer comes all the same."""
    made = "table inet site { flags owner; chain out { type filter hook output priority 5; tcp dport 20002 drop; }; }"
    with running(office.client, OWNER, made, user="root", group="root") as owner:
        assert owner.stdout.readline().strip() == "made"
        office.applied()
        found = office.minion.call("spice_grant.explain", "myself", "debianx")
        assert "site" in found["firewall"]["why"] and found["answer"] in ("blocked", "in doubt")
        office.minion.call("spice_firewall.rules")
        assert not office.verify()["ok"]
        owner.stdin.close()
        owner.wait()
    assert office.minion.call("spice_grant.explain", "myself", "debianx")["answer"] == "may open"
