"""The backstop: what is in its table, under which name, and when a run has something to do about it."""

import json

import pytest

from spicegrants.core.entries import Directory
from spicegrants.core.errors import CommandFailed
from spicegrants.firewall import backstop
from spicegrants.firewall.live import backstop as host
from spicegrants.policy import hints
from spicegrants.policy.model import Firewall
from unit.build import desired

PROGRAM = b"#!/usr/bin/python3\n"
EVERYWHERE = (
    "chain output { type filter hook output priority -4; "
    'tcp dport { 20001-20010 } meta skgid != "+995" reject with tcp reset; }; '
    "chain forward { type filter hook forward priority -4; tcp dport { 20001-20010 } reject with tcp reset; };"
)


def table(*changes, program=PROGRAM):
    return backstop.table(desired(*changes), program)


def words(planned):
    return [change.what for change in planned.changes]


def planned(kept, live, *, owned=False):
    return backstop.plan_backstop(kept, PROGRAM, live, owned)


def test_it_knows_groups_and_ports_alone():
    assert table().body == EVERYWHERE


def test_as_long_as_there_is_no_group_nobody_passes():
    assert "skgid" not in backstop.table(desired(groups={}), PROGRAM).body


def test_towards_the_servers_only():
    both = {"mysrv": ("192.168.2.2", "fd00:2::2")}
    body = backstop.table(desired({"firewall": {"guard": "servers"}}, addresses=both), PROGRAM).body
    assert "ip daddr { 192.168.2.2 } tcp dport { 20001-20010 } meta skgid" in body
    assert "ip6 daddr { fd00:2::2 } tcp dport { 20001-20010 } reject" in body
    assert "; tcp dport" not in body, "nothing is refused towards anybody else"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (table(), table({"servers__mysrv__ports": "20001-20011"})),
        (table(), table({"firewall": {"guard": "servers"}})),
        (table(), table(program=PROGRAM + b"#")),
    ],
)
def test_its_name_is_that_of_what_is_in_it(one, other):
    """What has the desired name has the desired content, since nobody but its owner can change it."""
    assert one.name != other.name
    assert all(each.name.startswith(backstop.PREFIX) for each in (one, other))
    assert table() == table()


def test_grants_come_and_go_and_it_stays():
    assert table({"grants": {}}) == table()


def test_first_run_and_every_other():
    first = planned(table(), {})
    assert words(first)[-1] == "keeps all but the viewer from the guarded ports, whatever is flushed"
    assert list(first.written) == list(backstop.PATHS) and not first.in_force
    assert first.written[backstop.STORED].mode == 0o600
    assert json.loads(first.written[backstop.STORED].content) == {"table": table().name, "body": EVERYWHERE}
    there = backstop.desired_entries(table(), PROGRAM)
    assert planned(table(), there, owned=True) == backstop.Plan()


def test_what_is_not_held_is_to_be():
    there = backstop.desired_entries(table(), PROGRAM)
    assert words(planned(table(), there)) == ["keeps all but the viewer from the guarded ports, whatever is flushed"]


@pytest.mark.parametrize("path", backstop.PATHS)
def test_each_file_is_repaired(path):
    there = {**backstop.desired_entries(table(), PROGRAM), path: Directory(0o755)}
    repaired = planned(table(), there, owned=True)
    assert list(repaired.written) == [path] and len(repaired.changes) == 1


def test_where_there_is_to_be_none_everything_goes():
    there = backstop.desired_entries(table(), PROGRAM)
    off = planned(None, there, owned=True)
    assert words(off) == ["removes the backstop"]
    assert off.removed == backstop.PATHS
    assert planned(None, {}) == backstop.Plan()


def test_whoever_asks_for_it_is_told_why_it_is_not_there():
    (hint,) = hints.backstop_missing(desired({"firewall": {"backstop": True}}).policy, "systemd is not at work")
    assert hint == "firewall: spice:firewall:backstop asks for what cannot be held here: systemd is not at work"
    assert hints.backstop_missing(desired().policy, "systemd is not at work") == []
    assert hints.backstop_missing(desired({"firewall": {"backstop": True}}).policy, "") == []


def test_what_cannot_even_be_tried_is_no_reason_to_end_a_run(monkeypatch):
    """A run that closes something goes on without a backstop, and says why there is none."""

    def fails(*_, **__):
        raise CommandFailed("nft cannot be run: [Errno 11] Resource temporarily unavailable")

    monkeypatch.setattr(host.os.path, "isdir", lambda _: True)
    monkeypatch.setattr(host.run, "missing", lambda *_: [])
    for name in ("run", "attempt"):
        monkeypatch.setattr(host.run, name, fails)
    for firewall in (Firewall(), Firewall(backstop=True)):
        assert host.hindrance(firewall).startswith("nft cannot be run")
