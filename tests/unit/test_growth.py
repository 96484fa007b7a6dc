"""Work grows with the number of grants, not with its square, in an office where each person has a console.

Operations of the interpreter are counted, not seconds. Of twice the grants no function may need much more than twice
the operations: the sum alone would hide one that begins to matter only later.
"""

import collections
import sys

import pytest

from spicegrants.audit import (
    access_report,
    explain,
    fleet,
    sessions_report,
    verdict,
    week,
    week_drawing,
)
from spicegrants.core.accounts import Account, Group
from spicegrants.core.changes import as_dict
from spicegrants.core.entries import File
from spicegrants.drift import drift_events, flapping, watch_list
from spicegrants.expiry import deadlines, messages
from spicegrants.firewall import boot, connections, denials, guard, owner_rules
from spicegrants.firewall.iptables import guard_chains
from spicegrants.firewall.nft import egress, guard_table
from spicegrants.policy import closing, merge, outcome, pillar, state_file
from spicegrants.policy.access import Drain
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.decision import decide
from spicegrants.policy.facts import Inventory
from spicegrants.policy.fingerprint import fingerprint
from spicegrants.policy.loans_locks import Loan, Lock, Temporary
from spicegrants.policy.model import to_pillar
from spicegrants.record import events
from spicegrants.routing import boot as routing_boot
from spicegrants.routing import policy_rules
from spicegrants.sudo import other_rules, sudoers
from spicegrants.viewer import files
from unit.build import Kernel, parsed
from unit.tables import Tables

FEW = 40
NOW = 1_700_000_000
DAY = NOW // 86400 * 86400
GID = 995
PROGRAM = b"#!/usr/bin/python3 -I\n"
SERVER = "192.168.2.2"


class Name(str):
    """A name whose comparisons are seen: a search through a tuple is one operation, however long that is."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        return str.__eq__(self, other)


def office(number, grants=None):
    """Return a pillar in which so many users have a console each, at times of their own or shared; and the users."""
    users = [Name(f"user{index:05}") for index in range(number)]
    vms = {Name(f"vm{index:05}"): {"server": "mysrv", "tls_port": 20001 + index} for index in range(number)}
    made = {
        user: {"user": user, "vm": vm, **({"schedule": f"s{index % 7}"} if index % 2 else {})}
        for index, (user, vm) in enumerate(zip(users, vms))
    }
    return {
        "servers": {"mysrv": {"host": "mysrv.example.org", "addresses": [SERVER], "ports": "20001-29999"}},
        "vms": vms,
        "time": {"zone": "Europe/Berlin"},
        "schedules": {f"s{index}": {"days": "mon-fri", "hours": f"07:0{index}-18:00"} for index in range(7)},
        "grants": dict(list(made.items())[:grants]),
    }, users


class Office:
    """An office before and after a change: half of all grants go."""

    def __init__(self, number):
        self.number = number
        self.data, self.users = office(number)
        self.policy, self.half = pillar.parse_policy(self.data), pillar.parse_policy(office(number, number // 2)[0])
        accounts = {name: Account(name, 2000 + index, 100) for index, name in enumerate(self.users)}
        sessions = frozenset((account.uid, SERVER, 20001 + index) for index, account in enumerate(accounts.values()))
        self.inventory = Inventory(
            accounts,
            {"spicegrp": Group("spicegrp", GID)},
            addresses={"mysrv": (SERVER,)},
            unconfinable="there is no sandbox",
            sessions=sessions,
        )
        self.temporary = Temporary(
            tuple(Loan(name, f"vm{index - 1:05}", NOW, NOW + 600) for index, name in enumerate(self.users) if index),
            tuple(Lock("user", name) for name in self.users[::4]),
        )
        self.leaving = tuple(
            Drain(name, 2000 + index, f"vm{index:05}", SERVER, 20001 + index, (name,))
            for index, name in enumerate(self.users)
        )
        self.all = self.compiled(self.policy)
        self.less = self.compiled(self.half, self.all.accesses)
        self.stored = state_file.Stored(policy=self.policy, accesses=self.all.accesses, addresses={"mysrv": (SERVER,)})
        self.asked = state_file.Stored(policy=self.half, accesses=self.all.accesses, addresses={"mysrv": (SERVER,)})
        kernel = Kernel()
        kernel.carry_out(guard_table.plan_guard_table(self.all, None))
        self.listing = kernel.listing()
        tables = Tables()
        empty = guard_chains.parse_saved_rules(tables.text())
        tables.restore(guard_chains.plan_guard_chains(self.all, {4: empty}).commands[4])
        self.table = {4: guard_chains.parse_saved_rules(tables.text())}
        self.sudoers = File(sudoers.render(self.all).encode(), sudoers.MODE)
        self.tree = parsed(sudoers.rules(self.all))
        self.files = files.desired_entries(self.all, PROGRAM, PROGRAM)

    def compiled(self, policy, previous=(), temporary=None):
        return compile_policy(
            policy,
            self.inventory,
            previous,
            leaving=self.leaving if temporary else (),
            temporary=temporary or Temporary(),
            now=NOW,
            day=DAY,
        )

    def fresh(self):
        """Return the state after the change, of which nothing has been looked up yet."""
        return self.compiled(self.half, self.all.accesses)

    def live(self, held):
        programs = {path: files.Program(0, GID, 0o750) for path in self.policy.viewer.paths}
        return files.ViewerLive((), programs, held)

    def connections(self):
        return [
            connections.Connection(("192.168.2.22", 40000), (SERVER, 20001 + index), 2000 + index)
            for index in range(self.number)
        ]

    def denied(self, desired):
        found = [
            denials.Denial(NOW - index, 2000 + index, GID, SERVER, 20001 + index, 4, 40000, "output")
            for index in range(self.number)
        ]
        return [
            denials.entry(desired, each, count, f"user{each.port - 20001:05}") for each, count in denials.fold(found)
        ]

    def recorded(self):
        """Return the record's lines of a session of each user."""
        lines, after = [], events.NOTHING
        for index, name in enumerate(self.users):
            about = {"session": name, "user": name, "uid": 2000 + index, "vm": f"vm{index:05}"}
            for kind in (events.OPENED, events.ENDED):
                lines.append(events.line(events.event(kind, NOW + index, None, **about), after))
                after = events.digest(lines[-1])
        return lines

    def report(self):
        changes = as_dict(files.plan_files(self.fresh(), self.live({}), PROGRAM, PROGRAM).changes)
        return {"changes": changes, "errors": [], "noticed": [], "acted": True}


STAGES = {
    "pillar is read": lambda it: pillar.parse_policy(it.data),
    "a policy is spelled as pillar": lambda it: to_pillar(it.policy),
    "pillar and policy are combined": lambda it: merge.combine(it.data, None, True, it.policy),
    "a policy is compiled": lambda it: it.compiled(it.policy),
    "a policy is compiled with loans, locks and drains": lambda it: it.compiled(it.policy, (), it.temporary),
    "nft, at first": lambda it: guard_table.plan_guard_table(it.compiled(it.policy), None),
    "nft, unchanged": lambda it: guard_table.plan_guard_table(it.compiled(it.policy, it.all.accesses), it.listing),
    "nft, half goes": lambda it: guard_table.plan_guard_table(it.fresh(), it.listing),
    "iptables, at first": lambda it: guard_chains.plan_guard_chains(it.compiled(it.policy), {4: {}}),
    "iptables, unchanged": lambda it: guard_chains.plan_guard_chains(it.compiled(it.policy), it.table),
    "iptables, half goes": lambda it: guard_chains.plan_guard_chains(it.fresh(), it.table),
    "iptables, closing": lambda it: guard_chains.plan_closing(it.fresh(), it.table, None),
    "rules are listed": lambda it: owner_rules.ours(guard.desired_elements(it.all), guard.desired_chains(it.all)),
    "egress": lambda it: egress.skeleton(it.fresh()),
    "what loads rules at boot": lambda it: boot.desired_entries(boot.for_nftables(it.fresh())),
    "routing, at first": lambda it: policy_rules.desired_rules(it.fresh(), 4),
    "routing, at boot": lambda it: routing_boot.rule_files(it.fresh()),
    "sudoers, at first": lambda it: sudoers.plan_sudoers(it.compiled(it.policy), None, lambda: None),
    "sudoers, unchanged": lambda it: sudoers.plan_sudoers(it.compiled(it.policy), it.sudoers, lambda: it.tree),
    "sudoers, half goes": lambda it: sudoers.plan_sudoers(it.fresh(), it.sudoers, lambda: it.tree),
    "sudoers are read": lambda it: sudoers.own_rules(it.tree),
    "others' sudoers": lambda it: other_rules.foreign(
        it.tree, sudoers.rules(it.less), other_rules.Site(it.policy.viewer, GID, "desk-1", ())
    ),
    "files, at first": lambda it: files.plan_files(it.compiled(it.policy), it.live({}), PROGRAM, PROGRAM),
    "files, unchanged": lambda it: files.plan_files(it.compiled(it.policy), it.live(it.files), PROGRAM, PROGRAM),
    "files, half goes": lambda it: files.plan_files(it.fresh(), it.live(it.files), PROGRAM, PROGRAM),
    "files, closing": lambda it: files.plan_closing(it.fresh(), it.files),
    "the store is written": lambda it: state_file.dump(it.stored),
    "the store is read": lambda it: state_file.load(state_file.dump(it.stored).decode()),
    "what certainly stays": lambda it: closing.certain(it.stored, it.asked),
    "what provably stays": lambda it: closing.provable(it.stored, it.asked),
    "what goes": lambda it: closing.takes_away(it.stored, closing.certain(it.stored, it.asked)),
    "changes of policy": lambda it: merge.changes(it.stored, it.asked),
    "who gets and who loses a console": lambda it: outcome.sentence(it.compiled(it.policy), it.fresh()),
    "changes by grant": lambda it: it.report(),
    "fingerprint": lambda it: fingerprint(it.policy),
    "what is watched": lambda it: watch_list.places(it.stored),
    "stray connections": lambda it: connections.changes(
        it.fresh(), connections.stray(it.fresh(), it.connections()), {}, None
    ),
    "why sessions ended": lambda it: messages.end_messages(
        it.compiled(it.half, it.all.accesses, it.temporary),
        it.connections(),
        {2000 + index: name for index, name in enumerate(it.users)},
    ),
    "next deadline": lambda it: deadlines.upcoming(it.compiled(it.policy)),
    "due warnings": lambda it: deadlines.due(
        it.compiled(it.policy), NOW - 60, [connection.door for connection in it.connections()]
    ),
    "list": lambda it: access_report.entries(it.compiled(it.policy, (), it.temporary), NOW),
    "timeline": lambda it: access_report.timeline(it.compiled(it.policy), None, NOW, 2),
    "a week is drawn": lambda it: week_drawing.svg(
        week.drawn(it.compiled(it.policy, (), it.temporary), "desk-1", None, NOW, 2)
    ),
    "loans": lambda it: access_report.loans(it.temporary, None, NOW),
    "explain": lambda it: explain.policy(it.compiled(it.policy, (), it.temporary), it.users[1], "vm00001", NOW),
    "all decisions": lambda it: [decide(it.all, access.user, access.vm, NOW) for access in it.all.accesses],
    "warnings": lambda it: messages.warning_messages(
        it.compiled(it.policy), deadlines.due(it.compiled(it.policy), 0, [each.door for each in it.connections()])
    ),
    "denials": lambda it: it.denied(it.fresh()),
    "sessions of the record": lambda it: sessions_report.sessions(events.read(it.recorded()).events, (), ""),
    "last uses of the record": lambda it: sessions_report.last_used(events.read(it.recorded()).events),
    "drift events": lambda it: drift_events.events(
        it.report(), flapping.Look(frozenset(it.users)), flapping.after({}, flapping.Look(frozenset(it.users)), NOW)
    ),
    "verdicts": lambda it: verdict.matrix(
        (name, f"vm{index:05}", verdict.cell(True, verdict.Attempt({SERVER: ("connected", False)}, {}, {})))
        for index, name in enumerate(it.users)
    ),
    "who, in a fleet": lambda it: fleet.accesses(
        [f"desk-{index}" for index in range(it.number)],
        {
            f"desk-{index}": fleet.Answer([{"user": name, "vm": "vm00001", "state": "open", "grants": {name: {}}}])
            for index, name in enumerate(it.users)
        },
        vm="vm00001",
    ),
    "a fleet's runs": lambda it: fleet.runs(
        [f"desk-{index}" for index in range(it.number)],
        {f"desk-{index}": fleet.Answer({"a": {"result": True, "changes": it.report()["changes"]}}) for index in (1, 2)},
        merge.sentences,
    ),
}


def operations(stage, number):
    """Count operations of the interpreter by function."""
    it, found = Office(number), collections.Counter()

    def trace(frame, event, _):
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            found[frame.f_code] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        STAGES[stage](it)
    finally:
        sys.settrace(before)
    return found


@pytest.mark.turns(2)
@pytest.mark.parametrize("stage", STAGES)
def test_twice_the_grants_take_twice_the_work(stage):
    once, twice = operations(stage, FEW), operations(stage, 2 * FEW)
    grown = {
        f"{code.co_filename.rpartition('spicegrants/')[2]}:{code.co_firstlineno} {code.co_name}": (once[code], count)
        for code, count in twice.items()
        if count > 2.2 * once[code] + 20 * FEW
    }
    assert not grown, "operations of each with few and with twice as many grants"
    assert sum(twice.values()) <= 2.2 * sum(once.values())
