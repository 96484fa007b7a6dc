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
import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants.core.errors import SpiceGrantError, translated
from spicegrants.engine import context, enforcement
from spicegrants.engine.layers import VIEWER
from spicegrants.host import gshadow
from spicegrants.viewer import files
from spicegrants.viewer.live import processes, rights
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
        desired = context.compiled()
        group = desired.inventory.groups.get(desired.policy.viewer.group)
        programs = {path: rights.read(path) for path in desired.policy.viewer.paths}
        shadow = gshadow.read(desired.policy.viewer.group)
        strange = processes.strange(group.gid, programs) if group else []
        searched = everywhere(group.gid, programs, seconds) if search and group else {}
    except (SpiceGrantError, OSError) as error:
        raise CommandExecutionError(str(error)) from error
    users = desired.inventory.users
    return {
        "group": desired.policy.viewer.group,
        "gid": desired.gid,
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


def plan():
    """
    Return what :func:`apply` would change, and change nothing.

    Reads the stored policy, accounts, the viewers, and the files below ``/etc/spice-grant``. Returns an empty dict if
    everything is as it must be. Raises CommandExecutionError if something cannot be read, if a viewer is missing, or
    if the viewer's group has members and was not made by us.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_viewer.plan
    """
    with translated(CommandExecutionError):
        return enforcement.plan_layers([VIEWER])


def apply():
    """
    Make this layer hold what the policy says; return what was changed, as :func:`plan` does.

    A viewer or group that the policy names no more is given back or, if we made it, removed. Writes below
    ``/etc/spice-grant``, launcher, its desktop file and the opener below ``/usr/local``, owner and mode of the viewers,
    and their lines in ``/etc/permissions.local`` where the system has ``permctl`` or ``chkstat``; runs ``groupadd``,
    ``gpasswd`` and ``dpkg-statoverride``. Raises CommandExecutionError if something cannot be written.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_viewer.apply
    """
    with translated(CommandExecutionError):
        return enforcement.apply_layers([VIEWER])


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
    with translated(CommandExecutionError):
        return enforcement.remove_layers([VIEWER], test)


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
