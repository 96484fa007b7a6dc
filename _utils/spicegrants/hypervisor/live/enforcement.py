"""Enforcement on a KVM host: shut the ports, store the policy, define the consoles, let the desks ask."""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Callable, NamedTuple

from spicegrants.core import errors, packages
from spicegrants.core.changes import Change, as_dict
from spicegrants.core.entries import Directory, Entry, File, Link, difference
from spicegrants.core.errors import CommandFailed, SpiceGrantError, SystemFault
from spicegrants.core.paths import (
    HOST_HOME,
    HOST_LAST_RUN,
    HOST_PORTS,
    HOST_RUN,
    HOST_STATE,
    HOST_STORE,
    PROGRAMS,
    SYSTEMD,
    TICKET_USER,
    UNITS,
)
from spicegrants.core.reader import did_you_mean, quote
from spicegrants.host import disk, lock, package, run, systemd
from spicegrants.hypervisor import closing as host_closing
from spicegrants.hypervisor import consoles, domains, programs, rights
from spicegrants.hypervisor.consoles import Console
from spicegrants.hypervisor.host_file import Stored
from spicegrants.hypervisor.live import asker, book, closing, notice, ports, service, tickets, virsh
from spicegrants.policy import hints, loans_locks
from spicegrants.policy.model import Policy, PortRange, join_ranges
from spicegrants.policy.ticket_protocol import VALID

# What the program that sshd starts needs, and what the one that gives tickets does.
_ASK_PARTS = ("core", "schedule", "policy.model", "policy.ticket_protocol", "hypervisor.live.asker")
_GIVE_PARTS = ("core", "schedule", "host", "policy", "firewall", "hypervisor")
# The desks' account has no password, and so no other way in than its file of keys; sshd needs a shell to start the one
# program with.
_SHELL, _NO_PASSWORD, _SHADOW = "/bin/sh", "*", "/etc/shadow"
_OPTIONS = ("--home", HOST_HOME, "--shell", _SHELL, "--password", _NO_PASSWORD)
# Directories that are ours alone, parents first, and what is in them.
_DIRECTORIES = (HOST_STORE, *programs.DIRECTORIES)
_FILES = (HOST_STATE, HOST_PORTS, programs.KEYS)
# Others, in which a run that was killed may have left what it was writing.
_SHARED = (PROGRAMS, UNITS, *sorted({os.path.dirname(path) for path in programs.PATHS if path.startswith(UNITS)}))
# Seconds after which a temporary file in /run is a leftover: what gives tickets writes there, in a moment.
_UNFINISHED_FOR = 60
# The layer without which nothing is given.
_GUARD = "firewall"
# Seconds that a program may take; and tenths of a second in which the service starts.
_PATIENCE, _STARTING = 20, 50


class Step(NamedTuple):
    """One change, and what makes it."""

    change: Change
    make: Callable[[], object]


class Plan(NamedTuple):
    """What a run would do, and what it cannot: sentences without a full stop.

    faults
        What could not be read. Then nothing may be given.

    judged
        The declared consoles, as far as libvirt could be read.
    """

    steps: tuple[Step, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    faults: tuple[SpiceGrantError, ...] = ()
    judged: Mapping[str, Console] = MappingProxyType({})


def plan(policy: Policy, minion: str, kept: Stored) -> Plan:
    """Compare what pillar declares for a host with what it holds, and change nothing.

    Each part is looked at by itself, whatever cannot be read of the others.

    kept
        What is stored.
    """
    declared = policy.consoles_of(minion)
    faults: list[SpiceGrantError] = []
    firewall, console, ssh, leftovers = [], [], [], []
    judged: Mapping[str, Console] = {}
    with errors.kept(faults):
        run.need("virsh", "nft", "ss", "sshd")
    with errors.kept(faults):
        if not rights.guarded(policy, minion):
            raise SystemFault(f"no server of the pillar names this minion, {minion}, as the one that gives its tickets")
        firewall = _port_steps(rights.guarded(policy, minion))
    with errors.kept(faults):
        judged = consoles.judge(declared, virsh.found(), kept.uuids)
        console = _console_steps(judged)
    with errors.kept(faults):
        ssh = _desk_steps(policy, minion)
    with errors.kept(faults):
        leftovers = _leftover_steps()
    becomes = Stored(minion, policy, _uuids(declared, judged, kept), kept.temporary)
    sentences = [f"spice:vms:{name}: {why}; its console stays shut" for name, why in consoles.sentences(judged)]
    warnings = [] if policy.desks else ["no desk may ask for a ticket: pillar has no spice:desks, nor has the mine"]
    steps = (*firewall, *_store_steps(kept, becomes), *console, *ssh, *leftovers)
    return Plan(steps, tuple(sentences), tuple(warnings), _each_once(faults), judged)


def _each_once(faults: Iterable[SpiceGrantError]) -> tuple[SpiceGrantError, ...]:
    """Return faults without those that say the same again, as what a missing program keeps from being read."""
    missing: set[str] = set()
    found = []
    for fault in faults:
        programs = set(errors.programs_of([fault]))
        if not programs or not programs <= missing:
            found.append(fault)
        missing |= programs
    return tuple(found)


def enforce(
    policy: Policy, minion: str, test: bool, complaints: Sequence[str] = (), asked: bool = True
) -> dict[str, Any]:
    """Make a host hold what pillar declares; return ``changes``, ``errors`` and ``warnings``.

    Taking away needs only what is stored and declared, and goes first: what certainly goes is stored as gone, which
    decides on each ticket, and its sessions end. It needs no libvirt. Giving needs everything. What cannot be read
    stops it, and then whatever cannot be shown to stay goes as well, and ports are still shut. Otherwise, in this
    order:

    1. the ports: without them nothing else is given;
    2. the policy, with which tickets are given from then on. The service looks at a domain itself, so it gives none for
       a console that is not in order;
    3. the consoles' definitions;
    4. programs, keys, account and service.

    Of the last two, what fails keeps nothing else from being done. If what is stored cannot be read, nobody can tell
    what is locked, and all sessions end.

    complaints
        What is wrong with what desks say of themselves: sentences.

    asked
        Whether anybody could say which desks there are; if not, those stay that were known.
    """
    run.as_root()
    with contextlib.nullcontext() if test else lock.run_lock(), run.patience(_PATIENCE):
        run.afresh()
        try:
            kept = tickets.stored()
        except SpiceGrantError as error:
            return unknown(error, rights.guarded(policy, minion), test)
        if not asked:
            policy = replace(policy, desks=kept.policy.desks if kept.policy else {})
        taken = [closing.take(lambda stored: host_closing.certain(stored, policy, minion), test)]
        planned = plan(policy, minion, kept)
        if planned.faults:
            return _hindered(policy, minion, kept, planned, taken, complaints, test)
        made, failed = ([step.change for step in planned.steps], []) if test else _made(planned.steps)
        if any(step.change.layer == _GUARD and step.change not in made for step in planned.steps):
            taken.append(closing.take(lambda stored: host_closing.provable(stored, policy, minion), test))
        if planned.steps and not test:
            notice.tell()
            failed += _remaining(policy, minion)
        if not test:
            failed += _forget_ended_loans()
        return {
            "changes": _changes(taken, made),
            "errors": [*(why for each in taken for why in each.errors), *complaints, *planned.errors, *failed],
            "warnings": [*hints.locked(kept.temporary), *planned.warnings],
        }


def _hindered(
    policy: Policy,
    minion: str,
    kept: Stored,
    planned: Plan,
    taken: list[closing.Taken],
    complaints: Sequence[str],
    test: bool,
) -> dict[str, Any]:
    """Give nothing: take away what cannot be shown to stay, and shut the ports of now and before.

    Where nothing was in force, nothing is changed.
    """
    error = errors.together(planned.faults, [*packages.advice(errors.programs_of(planned.faults)), *complaints])
    taken = [*taken, closing.take(lambda stored: host_closing.provable(stored, policy, minion), test)]
    steps: list[Step] = []
    if kept.policy is not None:
        before = rights.guarded(kept.policy, kept.minion)
        # That they cannot be read is among the faults.
        with contextlib.suppress(SpiceGrantError):
            steps = _port_steps(join_ranges((*rights.guarded(policy, minion), *before)))
    made, failed = ([step.change for step in steps], []) if test else _made(steps)
    changes = _changes(taken, made)
    hindrances = [*(why for each in taken for why in each.errors), *failed]
    if not changes and not hindrances:
        raise error
    return {"changes": changes, "errors": [*_nothing_opened(error), *hindrances], "warnings": []}


def _changes(taken: Iterable[closing.Taken], made: Iterable[Change]) -> dict[str, Any]:
    """Return what was taken away and then made as one report, each change once."""
    return as_dict(dict.fromkeys([*(change for each in taken for change in each.changes), *made]))


def unknown(error: SpiceGrantError, guarded: Iterable[PortRange], test: bool) -> dict[str, Any]:
    """Close everything where what is stored is unreadable or gone: nobody can tell what was lent or locked."""
    found = closing.everything(guarded, test)
    if not found.changes and not found.errors:
        raise error
    return {"changes": as_dict(found.changes), "errors": [*_nothing_opened(error), *found.errors], "warnings": []}


def _nothing_opened(error: SpiceGrantError) -> list[str]:
    several = error.sentences
    return [*several, "nothing was opened"] if len(several) > 1 else [f"{error}: nothing was opened"]


def _made(steps: Iterable[Step]) -> tuple[list[Change], list[str]]:
    """Make steps in their order; return the changes, and what failed. Without shut ports nothing else is done."""
    made: list[Change] = []
    failed: list[str] = []
    for step in steps:
        try:
            step.make()
        except SpiceGrantError as error:
            failed.append(f"{step.change.layer}: {error}")
            if step.change.layer == _GUARD:
                return made, [f"{failed[-1]}: all else was left as it was"]
        else:
            made.append(step.change)
    return made, failed


def _remaining(policy: Policy, minion: str) -> list[str]:
    """Read back what was applied; return what is still to do, or why that cannot be told."""
    try:
        again = plan(policy, minion, tickets.stored())
    except SpiceGrantError as error:
        return [f"what was applied cannot be read back: {error}"]
    unread = [f"what was applied cannot be read back: {fault}" for fault in again.faults]
    return unread + [f"still to do after it was applied: {step.change.what}" for step in again.steps]


def _forget_ended_loans() -> list[str]:
    """Forget loans that have ended, which open nothing and are no change; return what hindered that."""
    now = int(time.time())
    try:
        closing.change(lambda kept: replace(kept, temporary=loans_locks.unended(kept.temporary, now)))
    except SystemFault as error:
        return [f"policy: {error}"]
    return []


def _uuids(declared: Iterable[str], judged: Mapping[str, Console], kept: Stored) -> dict[str, str]:
    """Return the UUIDs of the domains behind consoles: those that were there first."""
    found = {name: console.domain.uuid for name, console in judged.items() if console.domain is not None}
    return {name: kept.uuids.get(name) or found[name] for name in declared if name in kept.uuids or name in found}


def _port_steps(wanted: Iterable[PortRange]) -> list[Step]:
    wanted = tuple(wanted)
    said = ports.differences(wanted)
    return [Step(Change(_GUARD, what), partial(_load, wanted)) for what in said]


def _load(wanted: Iterable[PortRange]) -> None:
    if ports.differences(wanted):
        ports.load(wanted, book.read())


def _store_steps(kept: Stored, becomes: Stored) -> list[Step]:
    what = ""
    if kept.minion != becomes.minion or kept.policy != becomes.policy:
        what = "stores the policy"
    elif kept.uuids != becomes.uuids:
        what = "stores which domains are behind"
    elif not _roots_alone():
        what = f"restores owner and mode of {HOST_STATE}"
    return [Step(Change("policy", what), partial(_store, becomes))] if what else []


def _store(becomes: Stored) -> None:
    """Store it, with the loans and locks of now: some may be newer than the plan."""
    with closing.storing():
        closing.store(replace(becomes, temporary=tickets.stored().temporary))


def _roots_alone() -> bool:
    """Tell whether nobody but root can read or change what is stored."""
    live = disk.read(HOST_STATE)
    own = isinstance(live, File) and (live.uid, live.gid, live.mode) == (0, 0, 0o600)
    return own and disk.read(HOST_STORE) == Directory(0o711)


def accept(vm: str) -> list[Change]:
    """Take the domain that is behind a vm's console now for the one that must be; return the change."""
    run.as_root()
    with lock.run_lock():
        kept = tickets.stored()
        declared = kept.the_policy.consoles_of(kept.minion)
        if vm not in declared:
            raise SystemFault(f"this host gives no tickets for a vm {quote(vm)}{did_you_mean(vm, declared)}")
        called = declared[vm].libvirts_name
        uuid = next((domain.uuid for domain in virsh.found() if domain.name == called), None)
        if uuid is None:
            raise SystemFault(f"there is no domain {called}")
        if kept.uuids.get(vm) == uuid:
            return []
        closing.change(lambda stored: replace(stored, uuids={**stored.uuids, vm: uuid}))
        notice.tell()
    return [Change("console", f"takes domain {called} ({uuid}) for the vm {vm}")]


def _console_steps(judged: Mapping[str, Console]) -> list[Step]:
    steps = []
    for name, console in judged.items():
        domain = console.domain
        if domain is None:
            continue
        if console.redefine:
            what = f"defines the console of {name}: TLS port {console.vm.tls_port} alone, shut until there is a ticket"
            steps.append(Step(Change("console", what), partial(_define, name, domain.uuid, console.vm.tls_port)))
        now = (domain.now or ())[:1]
        if now and now[0].ticketed and not _soon(now[0].until):
            what = f"ends the password of {name}, which was no ticket"
            steps.append(Step(Change("console", what), partial(_end_password, name, domain.uuid)))
    return steps


def _soon(until: str | None) -> bool:
    """Tell whether a password has ended or ends as soon as a ticket; of a moment in libvirt's spelling."""
    return until is not None and until <= tickets.utc(int(time.time()) + VALID)


def _leftover_steps() -> list[Step]:
    known = {*_DIRECTORIES, *_FILES}
    found = sorted(disk.own(_DIRECTORIES) - known) + [path for each in _SHARED for path in disk.temporaries(each)]
    found += disk.temporaries(HOST_RUN, _UNFINISHED_FOR)
    what = "removes {}, which does not belong there"
    return [Step(Change("policy", what.format(path)), partial(disk.remove, path)) for path in dict.fromkeys(found)]


def _define(vm: str, uuid: str, port: int) -> None:
    _make_run()
    with tickets.alone(vm):
        virsh.define(uuid, port, tickets.new_secret())


def _end_password(vm: str, uuid: str) -> None:
    _make_run()
    with tickets.alone(vm):
        domain = virsh.running(uuid)
        if domain is not None:
            virsh.set_password(domain, tickets.new_secret(), domains.ENDED, "keep")


def _make_run() -> None:
    if not isinstance(disk.read(HOST_RUN), Directory):
        disk.make_directory(HOST_RUN, Directory(0o700))


def _desk_steps(policy: Policy, minion: str) -> list[Step]:
    steps = []
    account, gid = _account(), _gid()
    if account is None:
        run.need("useradd")
        steps.append(Step(Change("ssh", f"creates the account {TICKET_USER}, by which desks ask"), _make_account))
    elif (account.pw_dir, account.pw_shell) != (HOST_HOME, _SHELL) or _has_password():
        steps.append(Step(Change("ssh", f"restores the account {TICKET_USER}"), _restore_account))
    ask = package.program(asker.__name__, _ASK_PARTS)
    give = package.program(service.__name__, _GIVE_PARTS)
    made = partial(programs.entries, policy, rights.guarded(policy, minion), ask=ask, give=give)
    for path, entry in made(gid=gid).items():
        verb = difference(entry, disk.read(path))
        if verb:
            steps.append(Step(Change("ssh", f"{verb} {path}"), partial(_write, path, made)))
    if os.path.isdir(SYSTEMD) and (steps or not (_serving() and notice.tell())):
        steps.append(Step(Change("ssh", "starts the service that gives tickets"), _start))
    return steps


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(TICKET_USER)
    except KeyError:
        return None


def _gid() -> int | None:
    account = _account()
    return None if account is None else account.pw_gid


def _has_password() -> bool:
    lines = (line.split(b":") for line in (disk.read_site(_SHADOW) or b"").splitlines())
    return any(line[0] == TICKET_USER.encode() and line[1] != _NO_PASSWORD.encode() for line in lines if len(line) > 1)


def _make_account() -> None:
    options = ["--system", "--user-group", "--no-create-home", *_OPTIONS]
    run.run(["useradd", *options, TICKET_USER])


def _restore_account() -> None:
    run.run(["usermod", *_OPTIONS, TICKET_USER])


def _write(path: str, entries: Callable[..., dict[str, Entry]]) -> None:
    entry = entries(gid=_gid())[path]
    disk.make_parents(path)
    if isinstance(entry, Directory):
        disk.make_directory(path, entry)
    elif isinstance(entry, (File, Link)):
        disk.write(path, entry)


def _serving() -> bool:
    return run.attempt(["systemctl", "is-active", "--quiet", programs.TICKETS_SERVICE]).returncode == 0


def _start() -> None:
    systemd.reload()
    run.run(["systemctl", "restart", programs.TICKETS_SERVICE])
    for _ in range(_STARTING):
        if notice.tell():
            return
        time.sleep(0.1)
    raise SystemFault(f"the service that gives tickets does not answer: see journalctl -u {programs.TICKETS_SERVICE}")


def remove(test: bool) -> dict[str, Any]:
    """Remove everything of ours from a host; the ports go last. Consoles keep their definition: shut, with TLS."""
    run.as_root()
    with contextlib.nullcontext() if test else lock.run_lock():
        steps = _removal()
        failed: list[str] = []
        for step in () if test else steps:
            try:
                step.make()
            except SpiceGrantError as error:
                failed.append(str(error))
    return {"changes": as_dict(step.change for step in steps), "errors": failed, "warnings": []}


def _removal() -> list[Step]:
    steps: list[Step] = []
    if os.path.isdir(SYSTEMD) and _serving():
        steps.append(Step(Change("ssh", "stops the service that gives tickets"), _stop))
    steps += _leftover_steps()
    there = [HOST_STATE, HOST_LAST_RUN, *programs.PATHS, *(f"{HOST_RUN}/{name}" for name in disk.names_in(HOST_RUN))]
    for path in (*there, *reversed(_DIRECTORIES), HOST_RUN):
        if disk.read(path) is not None:
            steps.append(Step(Change("ssh", f"removes {path}"), partial(disk.remove, path)))
    if _gid() is not None:
        steps.append(
            Step(Change("ssh", f"removes the account {TICKET_USER}"), partial(run.run, ["userdel", TICKET_USER]))
        )
    if ports.present():
        steps.append(Step(Change("firewall", "opens the consoles' ports again"), ports.delete))
    return steps


def _stop() -> None:
    try:
        run.run(["systemctl", "stop", programs.TICKETS_SERVICE])
    except CommandFailed as error:
        raise SystemFault(f"the service that gives tickets goes on: {error}") from error
