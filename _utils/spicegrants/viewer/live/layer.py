"""The viewer layer: plans, applies, closes and removes the group, the viewers' rights, menus and connection files."""

from __future__ import annotations

import grp
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Callable, NamedTuple

from spicegrants.core.changes import Change
from spicegrants.core.entries import Directory, File, Link, Other
from spicegrants.core.errors import SpiceGrantError, SystemFault, kept, together
from spicegrants.core.paths import DESK_KEY, LAUNCHER, OPENER
from spicegrants.host import accounts, bytecode, disk, gshadow, run
from spicegrants.policy import merge
from spicegrants.policy.closing import Door
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.layer import CloseResult, Plan, Review
from spicegrants.policy.state_file import Stored
from spicegrants.viewer import desk, files, launcher
from spicegrants.viewer.live import mode_overrides, rights

_OPENER = "spicegrants.viewer.live.opener"
# What the opener imports only where it has something to say.
SELDOM = ("core.catalogues",)
# What the opener needs, to the module: a user waits while it is read.
PARTS = (
    *("core.accounts", "core.entries", "core.errors", "core.languages", "core.paths", "core.reader", "core.validation"),
    *("host.disk", "host.mounts", "host.run"),
    *("schedule.instants", "schedule.intervals", "schedule.weekly", "schedule.zones"),
    *("policy.access", "policy.compiler", "policy.decision", "policy.facts", "policy.loans_locks", "policy.model"),
    *("policy.pillar", "policy.pillar_grants", "policy.pillar_values", "policy.principals", "policy.state_file"),
    *("policy.ticket_protocol", "policy.wording"),
    *("viewer.admission", "viewer.connection_text", "viewer.sandbox", "viewer.xauth", "viewer.live.caller"),
    *("viewer.live.confinement", "viewer.live.desktop_session", "viewer.live.opener", "viewer.live.read_once"),
    *("record.events", "record.live.event_log", "viewer.live.recording", "viewer.live.ticket", *SELDOM),
)
# What is done, in words, and what does it.
Step = tuple[str, Callable[[], object]]


class Steps(NamedTuple):
    """Actions of the pure plan, and things that are ours no more.

    originals
        Owner, group and mode of each viewer from before it was restricted, as far as one can tell.
    """

    planned: files.ViewerPlan
    leftovers: list[Step]
    originals: dict[str, tuple[int, int, int]]


class Viewer:
    """Viewers, their connection files and menus, and the group that restricts them."""

    name = "viewer"

    def plan(self, desired: DesiredState, stored: Stored) -> Plan:
        """Compare group, viewers and files; see :class:`~spicegrants.policy.layer.Layer`."""
        run.as_root()
        program = launcher_program()
        present = {path: entry for path in _places(desired) if (entry := disk.read(path)) is not None}
        members, lendable = _members(desired.policy.viewer.group, stored)
        live = present.get(OPENER)
        installed = live.content if isinstance(live, File) else b""
        opener = bytecode.program(_OPENER, PARTS, installed) if desired.confined else b""
        programs = _viewers(desired)
        keeper = mode_overrides.mechanism()
        overrides = {path: keeper.read(path) for path in programs} if keeper else None
        planned = files.plan_files(
            desired, files.ViewerLive(members, programs, present, overrides, lendable), program, opener
        )
        leftovers = _leftovers(stored, desired) + _desk_key(desired)
        steps = Steps(planned, leftovers, rights.originals(programs))
        return Plan((*planned.changes, *_words(leftovers)), desired, steps)

    def make_group(self, desired: DesiredState, stored: Stored) -> bool:
        """Create the viewer's group if it is missing; remove its members, administrators and password.

        Returns whether something changed. Other layers need the GID, so this runs before them all. Runs ``groupadd``
        and ``gpasswd``.
        """
        run.as_root()
        group = desired.policy.viewer.group
        members, lendable = _members(group, stored)
        if desired.gid is None:
            if accounts.stands(group):
                # groupadd would give it another GID.
                raise SystemFault(f"group {group} is in /etc/group, and the name service does not know it")
            run.run(["groupadd", "--system", group])
        for name in members:
            run.run(["gpasswd", "--delete", name, group])
        if lendable:
            run.run(["gpasswd", "--administrators", "", group])
            run.run(["gpasswd", "--restrict", group])
        return desired.gid is None or bool(members) or lendable

    def apply(self, plan: Plan) -> None:
        """Carry a plan out; the group exists already."""
        planned, leftovers, _ = plan.steps
        group = plan.desired.policy.viewer.group
        for path in planned.programs:
            rights.put(path, 0, plan.desired.viewers_gid(), files.VIEWER_MODE)
        for path in planned.overrides:
            if (keeper := mode_overrides.mechanism()) is not None:
                keeper.write(path, "root", group, files.VIEWER_MODE)
        for path, entry in planned.write.items():
            disk.make_parents(path)
            if isinstance(entry, Directory):
                disk.make_directory(path, entry)
        disk.write_all({path: entry for path, entry in planned.write.items() if isinstance(entry, File)})
        for path in planned.remove:
            disk.remove(path)
        for _, step in leftovers:
            step()

    def review(self, plan: Plan) -> Review:
        """Report nothing: everything worth reporting is in the policy."""
        return Review()

    def close(
        self, desired: DesiredState | None, was: DesiredState | None, lost_doors: Collection[Door] | None, test: bool
    ) -> CloseResult:
        """Remove connection files and lists of consoles; without them nothing is open that was not before."""
        present = {path: entry for path in disk.own(files.DIRECTORIES) if (entry := disk.read(path)) is not None}
        planned = files.plan_closing(desired, present)
        if not test:
            steps = [partial(disk.remove, path) for path in planned.remove]
            hindrances = disk.attempted([*steps, *(partial(disk.write, *each) for each in planned.write.items())])
            if hindrances:
                raise SystemFault("; ".join(hindrances))
        return CloseResult(planned.changes)

    def remove(self, stored: Stored, test: bool) -> tuple[Change, ...]:
        """Restore the viewers' rights from before the first run; remove our files, and our group."""
        run.as_root()
        steps = _give_back_steps(stored, stored.originals)
        for path in (*sorted(disk.own(files.DIRECTORIES), reverse=True), LAUNCHER, *desk.PATHS, OPENER):
            if disk.read(path) is not None:
                steps.append((f"removes {path}", partial(disk.remove, path)))
        steps += _without(merge.own_groups(stored))
        for _, step in () if test else steps:
            step()
        return tuple(_words(steps))


def launcher_program() -> bytes:
    """Return the launcher's program text."""
    return Path(launcher.__file__).read_bytes()


def _viewers(desired: DesiredState) -> dict[str, files.Program]:
    """Return the rights of the viewers by path. Raise what hinders all of them, and making the group, together."""
    programs: dict[str, files.Program] = {}
    faults: list[SpiceGrantError] = []
    if desired.gid is None:
        with kept(faults):
            run.need("groupadd")
    for path in desired.policy.viewer.paths:
        with kept(faults):
            programs[path] = rights.read(path)
    if faults:
        raise together(faults)
    return programs


def _desk_key(desired: DesiredState) -> list[Step]:
    """Return the step that makes the key by which this machine asks KVM hosts for tickets, if it asks any."""
    asks = any(server.minion for server in desired.policy.servers.values())
    there = [path for path in (DESK_KEY, f"{DESK_KEY}.pub") if disk.read(path) is not None]
    if not asks:
        return [(f"removes {path}", partial(disk.remove, path)) for path in there]
    if there == [DESK_KEY, f"{DESK_KEY}.pub"]:
        return []
    run.need("ssh", "ssh-keygen")
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "spice-grant", "-f", DESK_KEY]
    return [("makes the key by which this machine asks KVM hosts", partial(_make_key, make))]


def _make_key(command: list[str]) -> None:
    disk.make_parents(DESK_KEY)
    # It asks before it writes over a file.
    for path in (DESK_KEY, f"{DESK_KEY}.pub"):
        disk.remove(path)
    run.run(command)


def _leftovers(stored: Stored, desired: DesiredState) -> list[Step]:
    """Return the steps for viewers and groups that are ours no more, in order."""
    paths, groups = merge.abandoned(stored, desired.policy)
    return _give_back_steps(stored, paths) + _without(groups)


def _give_back_steps(stored: Stored, paths: Iterable[str]) -> list[Step]:
    keeper = mode_overrides.mechanism()
    steps: list[Step] = []
    for path in paths:
        # First of all: dpkg refuses to work while an override names a group that is gone.
        if keeper is not None and keeper.read(path) is not None:
            steps.append((f"leaves owner and mode of {path} to its package", partial(keeper.remove, path)))
    for path in paths:
        original = stored.originals[path]
        if rights.read_or_none(path) not in (None, files.Program(*original)):
            steps.append((f"gives {path} back its owner and mode", partial(rights.put, path, *original)))
    return steps


def _without(groups: Collection[str]) -> list[Step]:
    present = {entry.gr_name for entry in grp.getgrall()}
    return [
        (f"removes group {name}", partial(run.run, ["groupdel", name])) for name in sorted(groups) if name in present
    ]


def _words(steps: Iterable[Step]) -> list[Change]:
    return [Change("viewer", what) for what, _ in steps]


def _places(desired: DesiredState) -> set[str]:
    """Return all paths to look at; anything behind a link in place of our directory is not ours."""
    linked = tuple(f"{path}/" for path in files.DIRECTORIES if isinstance(disk.read(path), (Link, Other)))
    found = {*files.paths(desired), *disk.own(files.DIRECTORIES)}
    return {path for path in found if not path.startswith(linked)}


def _members(group: str, stored: Stored) -> tuple[tuple[str, ...], bool]:
    """Return the members of the viewer's group, and whether others may give it to themselves.

    Others are its administrators, and people who know its password. Raises
    :class:`~spicegrants.core.errors.SystemFault` if there are such people or members and the group is not ours: they
    are not taken out of it.
    """
    try:
        entry = grp.getgrnam(group)
    except KeyError:
        return (), False
    shadow = gshadow.read(group)
    members = tuple(dict.fromkeys((*entry.gr_mem, *shadow.members)))
    lendable = bool(shadow.administrators) or shadow.password or gshadow.usable(entry.gr_passwd or "")
    if (members or lendable) and stored.group != group:
        whom = ", ".join((*members, *shadow.administrators)) or "who knows its password"
        raise SystemFault(
            f"spice:viewer:group: group {group!r} exists and has members ({whom}), each of whom could "
            "start the viewer: take them out of it, or name a group of its own"
        )
    return members, lendable
