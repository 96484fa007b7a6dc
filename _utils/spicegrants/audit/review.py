"""The review of grants that an auditor signs: who may open what, by what right, and whether they do. Pure.

:mod:`spicegrants.audit.review_row` says what a row has. What comes from other machines, or from an old file, may be
anything: it is reported, and breaks nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.audit import access_report, fleet, sessions_report, week
from spicegrants.audit.review_row import (
    DAYS,
    DISABLED,
    ENDED,
    IDLE,
    NEVER_USED,
    NO_END,
    NO_OWNER,
    ROOT,
    SILENT,
    Row,
    flat,
    is_note,
    key,
    note,
    order,
    row,
    sorted_flags,
    sound,
)
from spicegrants.audit.sessions_report import Event
from spicegrants.policy import compiler, wording
from spicegrants.policy.access import Access, Term
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.loans_locks import Lock
from spicegrants.policy.model import ABOUT, Grant
from spicegrants.record.events import REFUSED
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import LAST, union

Pair = tuple[str, str]
# Rows that are taken from one minion, and sessions that are drawn of one row.
_MOST, _DRAWN = 20_000, 200


# One minion


class Use(NamedTuple):
    """What the record tells of one user and vm.

    last
        When it was used last, ISO 8601 in UTC; ``None`` if never.

    sessions, refusals
        How many there were in the time that is asked about.

    stretches
        Beginnings and ends of these sessions, ISO 8601 in UTC.
    """

    last: str | None = None
    sessions: int = 0
    refusals: int = 0
    stretches: tuple[tuple[str, str], ...] = ()


class Facts(NamedTuple):
    """What a review needs besides the policy.

    uses
        What the record tells, by user and vm.

    disabled
        Users whose account nobody can use, and why.

    rooted
        Users whom sudo lets do anything as root.

    recorded
        Whether there is a record.
    """

    uses: Mapping[Pair, Use]
    disabled: Mapping[str, str]
    rooted: Collection[str]
    recorded: bool = True


def uses(recorded: Iterable[Event], now_open: Iterable[Event], since: str, now: str) -> dict[Pair, Use]:
    """Return what the record tells, by user and vm.

    recorded
        Its events, the oldest first.

    now_open
        Sessions that are open, as the record's event of their beginning.

    since
        Moment from which on sessions and refusals count; ``last`` is of any time.
    """
    found, still = ([event for event in events if _legible(event)] for events in (recorded, now_open))
    last = sessions_report.last_used(found)
    stretches: dict[Pair, list[tuple[str, str]]] = {}
    for entry in sessions_report.sessions(found, still, since):
        if entry["user"] and entry["vm"]:
            pair = entry["user"], entry["vm"]
            stretches.setdefault(pair, []).append((entry["from"], entry["until"] or now))
            if entry["open"]:
                last[pair] = now
    refused = _refused(found, since)
    return {
        pair: Use(last.get(pair), len(stretches.get(pair, ())), refused.get(pair, 0), tuple(stretches.get(pair, ())))
        for pair in {*last, *stretches, *refused}
    }


def _legible(event: Event) -> bool:
    """Tell whether an event names what it is about as events do."""
    return all(isinstance(event.get(name, ""), str) or event[name] is None for name in ("session", "user", "vm"))


def _refused(found: Iterable[Event], since: str) -> dict[Pair, int]:
    refused: dict[Pair, int] = {}
    for event in found:
        user, vm, count = event.get("user"), event.get("vm"), event.get("count", 1)
        if event["event"] == REFUSED and user and vm and event["at"] >= since and type(count) is int:
            refused[user, vm] = refused.get((user, vm), 0) + count
    return refused


def rows(desired: DesiredState, machine: str, facts: Facts) -> list[Row]:
    """Return the rows of one minion: each access, locked ones too, and each grant that gives nobody anything.

    machine
        Id of the minion.
    """
    zone = instants.shown_zone(desired.policy.time.zone)
    start = week.days_until(desired.now, zone, DAYS)[0].start
    drawn = week.drawn(desired, machine, None, start, DAYS)
    bars = {(each.user, each.vm): each.bars for each in drawn.rows}
    every: list[tuple[Access, Lock | None]] = [(access, None) for access in desired.accesses]
    every += desired.locked
    found = [_row(desired, machine, facts, access, lock) for access, lock in every]
    for each in found:
        pair = each["user"], each["vm"]
        each["windows"] = [
            {"kind": bar.kind, "from": instants.iso(bar.start), "until": instants.iso(bar.end)}
            for bar in bars.get(pair, ())
        ]
        stretches = facts.uses.get(pair, Use()).stretches
        shown = [(begin, end) for begin, end in stretches if end >= instants.iso(drawn.start)]
        each["used"] = [{"from": begin, "until": end} for begin, end in shown[-_DRAWN:]]
    found += _idle(desired, machine)
    return sorted(({**each, "zone": zone} for each in found), key=order)


def _row(desired: DesiredState, machine: str, facts: Facts, access: Access, lock: Lock | None) -> Row:
    policy = desired.policy
    use = facts.uses.get((access.user, access.vm), Use())
    granted = [policy.grants[name] for name in access.grants if name in policy.grants]
    flags, why = _of_grants(granted, desired.now), []
    if lock is not None:
        why.append(f"{lock.words} is locked" + (f" ({lock.reason})" if lock.reason else ""))
    if access.user in facts.disabled:
        flags.append(DISABLED)
        why.append(facts.disabled[access.user])
    if access.user in facts.rooted:
        flags.append(ROOT)
    if facts.recorded and use.last is None:
        flags.append(NEVER_USED)
    return row(
        access.user,
        access.vm,
        [machine],
        groups=sorted({grant.group for grant in granted if grant.group}),
        grants=_grants(desired, access),
        last_used=use.last,
        sessions=use.sessions,
        refusals=use.refusals,
        flags=sorted_flags(flags),
        why="; ".join(why),
    )


def _of_grants(grants: Iterable[Grant], now: int) -> list[str]:
    """Return the flags that grants have by what is declared; a loan always has an end, and needs no owner."""
    flags = []
    for grant in grants:
        flags += [NO_OWNER] if not grant.owner else []
        flags += [NO_END] if grant.valid_until is None else [ENDED] if grant.valid_until <= now else []
    return flags


def _grants(desired: DesiredState, access: Access) -> dict[str, dict[str, Any]]:
    """Return the grants and loans behind an access, with their groups and ends."""
    found = access_report.behind(desired, access)
    for name, term in zip(access.grants, access.terms):
        grant = desired.policy.grants.get(name)
        found[name].update(_more(grant, term))
    return found


def _more(grant: Grant | None, term: Term) -> dict[str, str]:
    group = {"group": grant.group} if grant is not None and grant.group else {}
    return {**group, **({"valid_until": instants.iso(term.end)} if term.end != LAST else {})}


def _idle(desired: DesiredState, machine: str) -> list[Row]:
    """Return a row for each user, or group, and vm of grants that give nobody anything."""
    giving = {name for access in desired.accesses for name in access.grants}
    giving |= {name for access, _ in desired.locked for name in access.grants}
    by_place: dict[tuple[str, str, str], list[Grant]] = {}
    for grant in desired.policy.grants.values():
        if grant.name not in giving:
            by_place.setdefault((grant.user or "", grant.group or "", grant.vm), []).append(grant)
    return [
        row(
            user,
            vm,
            [machine],
            groups=[group] if group else [],
            grants={grant.name: _declared(desired, grant) for grant in grants},
            flags=sorted_flags([IDLE, *_of_grants(grants, desired.now)]),
            why="; ".join(dict.fromkeys(why for grant in grants for why in _why_idle(desired, grant))),
        )
        for (user, group, vm), grants in by_place.items()
    ]


def _declared(desired: DesiredState, grant: Grant) -> dict[str, Any]:
    term = compiler.term(grant)
    about = {field: getattr(grant, field) for field in ABOUT if getattr(grant, field)}
    return {"when": wording.term(desired.policy, term), **about, **_more(grant, term)}


def _why_idle(desired: DesiredState, grant: Grant) -> list[str]:
    server = desired.policy.vms[grant.vm].server
    about = (f"spice:grants:{grant.name}:", f"spice:vms:{grant.vm}:", f"spice:servers:{server}:", "spice:viewer:")
    found = [finding.message for finding in desired.findings if finding.path.startswith(about)]
    return found or [f"nobody is in group {grant.group}" if grant.group else "nobody has anything by it"]


# All minions


def merged(expected: Iterable[str], answers: fleet.Answers) -> list[Row]:
    """Return the rows of many minions, one for each user and vm, and a note for each minion that did not say."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    notes = []
    for minion in sorted(expected):
        for each in _of_minion(minion, answers.get(minion)):
            if is_note(each):
                notes.append(each)
            else:
                found.setdefault(key(each), []).append(each)
    return sorted([*map(_together, found.values()), *notes], key=order)


def _of_minion(minion: str, answer: fleet.Answer | None) -> list[Row]:
    """Return what one minion said, in its own name only."""
    if answer is None:
        return [note(minion, fleet.SILENT, SILENT)]
    if not isinstance(answer.data, list):
        return [note(minion, fleet.line(f"{fleet.ODD}: {answer.data}"), SILENT)]
    found = [each for each in map(sound, answer.data[:_MOST]) if each is not None]
    unread = len(answer.data) - len(found)
    notes = [note(minion, f"{unread:,} of its rows cannot be read", SILENT)] if unread else []
    return [*({**each, "desks": [minion]} for each in found), *notes]


def _together(several: list[Row]) -> Row:
    """Return one row for those of several desks."""
    if len(several) == 1:
        return several[0]
    first = several[0]
    last = max((each["last_used"] for each in several if each["last_used"]), default=None)
    flags = sorted_flags(flag for each in several for flag in each["flags"])
    windows = {kind: union(*(_windows(each, kind) for each in several)) for kind in week.KINDS}
    used = sorted({(each["from"], each["until"]) for one in several for each in one["used"]})
    return {
        **first,
        "desks": [desk for each in several for desk in each["desks"]],
        "groups": sorted({group for each in several for group in each["groups"]}),
        "grants": _joined(each["grants"] for each in several),
        "last_used": last,
        "sessions": sum(each["sessions"] for each in several),
        "refusals": sum(each["refusals"] for each in several),
        "flags": [flag for flag in flags if flag != NEVER_USED or last is None],
        "why": _whys(several),
        "windows": [
            {"kind": kind, "from": instants.iso(start), "until": instants.iso(end)}
            for kind, found in windows.items()
            for start, end in found
        ],
        "used": [{"from": start, "until": end} for start, end in used[-_DRAWN:]],
    }


def _windows(each: Row, kind: str) -> tuple[tuple[int, int], ...]:
    return tuple(
        (instants.seconds(found["from"]), instants.seconds(found["until"]))
        for found in each["windows"]
        if found["kind"] == kind
    )


def _joined(several: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return grants of several desks by name; where desks say different things of one, all of these."""
    found: dict[str, dict[str, Any]] = {}
    for grants in several:
        for name, about in grants.items():
            known = found.setdefault(name, {})
            for field, value in about.items():
                before = known.setdefault(field, value)
                if value != before and f" | {value} |" not in f" | {before} |":
                    known[field] = f"{before} | {value}"
    return found


def _whys(several: Iterable[Row]) -> str:
    """Return what desks say of flags; by their names where they do not all say the same."""
    desks: dict[str, list[str]] = {}
    for each in several:
        desks.setdefault(each["why"], []).extend(each["desks"])
    if len(desks) == 1:
        return next(iter(desks))
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in desks.items() if why)


# Two reviews


ADDED, REMOVED, CHANGED, UNKNOWN = "added", "removed", "changed", "not known"
# What counts as a change. Use is none.
_COMPARED = ("desks", "groups", "grants", "when", "owner", "reason", "ticket", "valid until", "flags")
_OF_USE = (NEVER_USED, SILENT)


class Change(NamedTuple):
    """What became of a row between two reviews; of a changed one each field with what it was and is."""

    what: str
    row: Row
    fields: Mapping[str, tuple[str, str]]


def difference(old: Iterable[Row], new: Iterable[Row]) -> list[Change]:
    """Return what differs between an earlier review and this one, sorted by user and vm.

    What was there on a desk that does not answer now is not known, and nothing else.
    """
    before, after = [*old], [*new]
    silent = {desk for each in after if SILENT in each["flags"] for desk in each["desks"]}
    was, now = ({key(each): each for each in several if not is_note(each)} for several in (before, after))
    found = [_change(was.get(place), now.get(place), silent) for place in {*was, *now}]
    return sorted((each for each in found if each is not None), key=lambda each: order(each.row))


def _change(before: Row | None, after: Row | None, silent: Collection[str]) -> Change | None:
    if before is None:
        return None if after is None else Change(ADDED, after, {})
    if after is None:
        return Change(UNKNOWN if {*silent}.intersection(before["desks"]) else REMOVED, before, {})
    # One that did not say all may have said this.
    desks = [desk for desk in before["desks"] if desk not in silent or desk in after["desks"]]
    asked = {**before, "desks": desks}
    was, now = map(_without_use, (asked, after))
    fields = {name: (was[name], now[name]) for name in _COMPARED if was[name] != now[name]}
    return Change(CHANGED, after, fields) if fields else None


def _without_use(each: Row) -> dict[str, str]:
    return flat({**each, "flags": [flag for flag in each["flags"] if flag not in _OF_USE]})
