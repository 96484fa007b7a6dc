"""
Query and enforce the viewer layer: the viewer's group and rights, connection files, and the users' launcher.

.. versionadded:: 0.1.0

The viewer belongs to a group that nobody is a member of; only the sudo rules lend it. The launcher ``rviewer`` lists
its caller's consoles and opens them; each user can read his own list only.

:depends: groupadd, gpasswd, and the system's Python for the launcher
"""

import grp
import os
import pwd
import stat
import sys as _sys
from functools import partial
from pathlib import Path

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants.core.changes import Change, as_dict
from spicegrants.core.entries import Directory, Link, Other
from spicegrants.core.errors import SpiceGrantError, SystemFault
from spicegrants.core.paths import DESKTOP_ENTRY, LAUNCHER, OPENER
from spicegrants.engine import context
from spicegrants.host import accounts, disk, gshadow, package, run
from spicegrants.policy import merge
from spicegrants.viewer import files, launcher
from spicegrants.viewer.live import mode_overrides, processes
from spicegrants.viewer.live.search import everywhere

__virtualname__ = "spice_viewer"


def __virtual__():
    return __virtualname__


def status(search=False, seconds=600):
    """
    Return what this layer holds, as a dict.

    search
        Whether to search all local file systems as well. Defaults to ``False``: it reads every directory there is.

    seconds
        How long that may take. Defaults to ``600``.

    ``group``, ``gid`` (None if there is no such group) and ``members`` of the viewer's group, ``primary`` (those whose
    primary group it is), ``twins`` (other groups with the same GID, with their members), ``administrators`` and
    ``password`` (who may give the group to himself by gpasswd(1), and whether it has a password for newgrp(1)),
    ``programs`` with owner and mode of each viewer, ``processes`` of users that have the group and are no viewer
    (``pid``, ``uid``, ``name``), and ``others``: further programs on this machine that open SPICE or VNC consoles. The
    firewall stops those as well; they are listed because their users will ask.

    With ``search``: ``setgid``, the files that lend the group to whoever starts them (``path``, ``uid``, ``mode``, and
    ``nosuid`` where they do not, because their file system is mounted so), ``copies`` of the viewers under other names
    or in other places, hard links too (``path``, ``uid``, ``mode``, ``of``), ``unsearched``, the mounts of the network
    and of FUSE, and ``incomplete``, why not everything was seen. In paths what is not printable, and a backslash, is
    written as ``\\x0a``. Links are not followed; other mount namespaces, those of containers, are not searched.

    Reads the stored policy, accounts, /proc, and the files themselves; with ``search`` runs ``find``, behind all other
    work. Raises CommandExecutionError if something cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_viewer.status
        salt '*' spice_viewer.status search=True
    """
    try:
        wanted = context.compiled()
        group = wanted.inventory.groups.get(wanted.policy.viewer.group)
        programs = {path: _program(path) for path in wanted.policy.viewer.paths}
        shadow = gshadow.read(wanted.policy.viewer.group)
        strange = processes.strange(wanted.gid, programs) if group else []
        searched = everywhere(wanted.gid, programs, seconds) if search and group else {}
    except (SpiceGrantError, OSError) as error:
        raise CommandExecutionError(str(error)) from error
    users = wanted.inventory.users
    return {
        "group": wanted.policy.viewer.group,
        "gid": wanted.gid,
        "members": list(dict.fromkeys((*group.members, *shadow.members))) if group else [],
        "administrators": list(shadow.administrators),
        "password": shadow.password,
        "primary": [name for name in group.members if name in users and users[name].gid == group.gid] if group else [],
        "twins": {twin.name: list(twin.members) for twin in group.twins} if group else {},
        "programs": {path: {"owner": _owner(held), "mode": f"{held.mode:04o}"} for path, held in programs.items()},
        "processes": strange,
        "others": [path for path in files.OTHERS if os.path.lexists(path) and path not in programs],
        **searched,
    }


def plan(wanted=None):
    """
    Return what :func:`apply` would change, and change nothing.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Reads the stored policy, accounts, the viewers, and the files below ``/etc/spice-grant``. Returns an empty dict if
    everything is as it must be. Raises CommandExecutionError if something cannot be read, if a viewer is missing, or
    if the viewer's group has members and was not made by us.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_viewer.plan
    """
    try:
        kept = context.stored()
        wanted = wanted or context.compiled(kept=kept)
        return as_dict((*_plan(wanted).changes, *_words(_leftovers(kept, wanted))))
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def originals(wanted=None):
    """
    Return owner and mode of the viewers as they are now, for :func:`remove` to restore.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Returns ``{path: [uid, gid, mode]}``; a viewer that is restricted already counts as ``[0, 0, 0o755]``, which is how
    packages install it. Raises CommandExecutionError if a viewer is missing.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_viewer.originals
    """
    try:
        wanted = wanted or context.compiled()
        found = {path: _program(path) for path in wanted.policy.viewer.paths}
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    return {
        path: (held.uid, held.gid, held.mode) if held.mode & stat.S_IXOTH else (0, 0, 0o755)
        for path, held in found.items()
    }


def ensure_group(wanted=None):
    """
    Make the viewer's group if it is missing; take its members, administrators and password from it.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Returns True if something was changed. Runs ``groupadd``, ``groupmod`` and ``gpasswd``. Raises CommandExecutionError
    if they fail, or if the group has members and was not made by us.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_viewer.ensure_group
    """
    try:
        run.as_root()
        wanted = wanted or context.compiled()
        group = wanted.policy.viewer.group
        members, lent = _members(group)
        if wanted.gid is None:
            if accounts.stands(group):
                # groupadd would give it another GID.
                raise SystemFault(f"group {group} is in /etc/group, and the name service does not know it")
            run.run(["groupadd", "--system", group])
        for name in members:
            run.run(["gpasswd", "--delete", name, group])
        if lent:
            run.run(["gpasswd", "--administrators", "", group])
            run.run(["gpasswd", "--restrict", group])
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    return wanted.gid is None or bool(members) or lent


def apply(wanted=None):
    """
    Make this layer hold what the policy says; return what was changed, as :func:`plan` does.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    A viewer or group that the policy names no more is given back or, if we made it, removed. Writes below
    ``/etc/spice-grant``, launcher, its desktop file and the opener below ``/usr/local``, owner and mode of the viewers,
    and their lines in ``/etc/permissions.local`` where the system has ``permctl`` or ``chkstat``; runs ``groupadd``,
    ``gpasswd`` and ``dpkg-statoverride``. Raises CommandExecutionError if something cannot be written.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_viewer.apply
    """
    try:
        kept = context.stored()
        wanted = wanted or context.compiled(kept=kept)
        planned, leftovers = _plan(wanted), _leftovers(kept, wanted)
        if planned.create_group or planned.strip or planned.seal:
            ensure_group(wanted)
            wanted = context.compiled(wanted.policy)
        for path in planned.programs:
            _restrict(path, wanted.gid)
        for path in planned.overrides:
            mode_overrides.mechanism().write(path, "root", wanted.policy.viewer.group, files.VIEWER_MODE)
        entries = files.wanted_entries(wanted, _launcher(), _opener(wanted))
        for path in planned.write:
            if isinstance(entries[path], Directory):
                disk.make_parents(path)
                disk.make_directory(path, entries[path])
            else:
                disk.make_parents(path)
                disk.write(path, entries[path])
        for path in planned.remove:
            disk.remove(path)
        for _, step in leftovers:
            step()
        context.keep(merge.settled(kept, wanted.policy))
        return as_dict((*planned.changes, *_words(leftovers)))
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def remove(test=False):
    """
    Give the viewers back their owner and mode from before the first run, and remove our files and the group.

    test
        Whether only to say what would change. Defaults to ``False``.

    Returns what was changed. Removes what :func:`apply` writes; a group that was there before the first run stays. Runs
    ``groupdel`` and ``dpkg-statoverride``. Raises CommandExecutionError if something cannot be removed.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_viewer.remove
    """
    try:
        steps = _removal(context.stored())
        for _, step in () if test else steps:
            step()
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    return {"layers": {"viewer": [what for what, _ in steps]}} if steps else {}


def _removal(kept):
    """Return what is to be removed: words, and what does it, in order."""
    steps = _given_back(kept, kept.originals)
    for path in (*sorted(disk.own(files.DIRECTORIES), reverse=True), LAUNCHER, DESKTOP_ENTRY, OPENER):
        if disk.read(path) is not None:
            steps.append((f"removes {path}", partial(disk.remove, path)))
    return steps + _without(merge.made_groups(kept))


def _leftovers(kept, wanted):
    """Return what is to be done about viewers and groups that are ours no more: words, and what does it, in order."""
    paths, groups = merge.abandoned(kept, wanted.policy)
    return _given_back(kept, paths) + _without(groups)


def _given_back(kept, paths):
    keeper, steps = mode_overrides.mechanism(), []
    for path in paths if keeper else ():
        # First of all: dpkg refuses to work while an override names a group that is gone.
        if keeper.read(path) is not None:
            steps.append((f"leaves owner and mode of {path} to its package", partial(keeper.remove, path)))
    for path in paths:
        rights = kept.originals[path]
        if _restricted(path) not in (None, files.Program(*rights)):
            steps.append((f"gives {path} back its owner and mode", partial(_set_rights, path, *rights)))
    return steps


def _without(groups):
    present = {entry.gr_name for entry in grp.getgrall()}
    return [
        (f"removes group {name}", partial(run.run, ["groupdel", name])) for name in sorted(groups) if name in present
    ]


def _words(steps):
    return [Change("viewer", what) for what, _ in steps]


def _plan(wanted):
    run.as_root()
    entries = {path: entry for path in _places(wanted) if (entry := disk.read(path)) is not None}
    members, lent = _members(wanted.policy.viewer.group)
    programs = {path: _program(path) for path in wanted.policy.viewer.paths}
    keeper = mode_overrides.mechanism()
    kept = {path: keeper.read(path) for path in programs} if keeper else None
    live = files.ViewerLive(members, programs, entries, kept, lent)
    return files.plan(wanted, live, _launcher(), _opener(wanted))


def _places(wanted):
    """Return all paths to look at; what lies behind a link in place of a directory of ours is not ours."""
    linked = tuple(f"{path}/" for path in files.DIRECTORIES if isinstance(disk.read(path), (Link, Other)))
    found = {*files.paths(wanted), *disk.own(files.DIRECTORIES)}
    return {path for path in found if not path.startswith(linked)}


def _launcher():
    return Path(launcher.__file__).read_bytes()


def _opener(wanted):
    """Return the program that starts confined viewers, where they are confined."""
    return package.program("spicegrants.viewer.live.opener") if wanted.confined else b""


def _members(group):
    """Return who is a member of the viewer's group, and whether others may give it to themselves.

    Those are its administrators, and who knows its password. Refuses to take them out of a group that is not ours.
    """
    try:
        entry = grp.getgrnam(group)
    except KeyError:
        return (), False
    shadow = gshadow.read(group)
    members = tuple(dict.fromkeys((*entry.gr_mem, *shadow.members)))
    lent = bool(shadow.administrators) or shadow.password or gshadow.usable(entry.gr_passwd)
    if (members or lent) and context.stored().group != group:
        whom = ", ".join((*members, *shadow.administrators)) or "who knows its password"
        raise SystemFault(
            f"spice:viewer:group: group {group!r} exists and has members ({whom}), each of whom could "
            "start the viewer: take them out of it, or name a group of its own"
        )
    return members, lent


def _program(path):
    if path == LAUNCHER:
        raise SystemFault(f"spice:viewer:path: {path} is our launcher: name the viewer itself")
    try:
        held = os.lstat(path)
    except FileNotFoundError:
        raise SystemFault(f"spice:viewer:path: no viewer {path} on this machine: install it first") from None
    except OSError as error:
        raise SystemFault(f"spice:viewer:path: {path} cannot be read: {error}") from error
    directory = disk.replaceable(path)
    if directory is not None:
        raise SystemFault(f"spice:viewer:path: others than root can replace {path}: they may write in {directory}")
    if not stat.S_ISREG(held.st_mode):
        raise SystemFault(f"spice:viewer:path: {path} is not a regular file: name the program itself, not a link to it")
    return files.Program(held.st_uid, held.st_gid, stat.S_IMODE(held.st_mode))


def _restricted(path):
    """Return the rights of what we restricted; None if it is gone, or something that we never would is in its place."""
    try:
        return _program(path)
    except SystemFault:
        return None


def _restrict(path, gid):
    _set_rights(path, 0, gid, files.VIEWER_MODE)


def _set_rights(path, uid, gid, mode):
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SystemFault(f"owner and mode of {path} cannot be set: {error}") from error


def _owner(program):
    try:
        user = pwd.getpwuid(program.uid).pw_name
    except KeyError:
        user = str(program.uid)
    try:
        group = grp.getgrgid(program.gid).gr_name
    except KeyError:
        group = str(program.gid)
    return f"{user}:{group}"
