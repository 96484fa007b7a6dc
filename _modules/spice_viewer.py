"""
The viewer layer: the viewer's group and rights, connection files, and the users' launcher.

.. versionadded:: 0.1.0

The viewer belongs to a group without members; only the sudo rules lend it. The launcher ``rviewer`` lists its caller's
consoles and opens them. Each user can read their own list only.

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

from spicegrants.core.calls import checked
from spicegrants.core.errors import SpiceGrantError, translated
from spicegrants.engine import context, enforcement
from spicegrants.engine.layers import VIEWER
from spicegrants.host import gshadow, terminal
from spicegrants.viewer import files
from spicegrants.viewer.live import processes, rights
from spicegrants.viewer.live.search import everywhere

__virtualname__ = "spice_viewer"
__outputter__ = {"status": "spice_grant"}


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def status(search=False, seconds=600):
    """
    Return what this layer holds, and what else opens consoles on this machine.

    search
        Boolean: whether to search all local file systems as well. Defaults to ``False``: it reads every directory there
        is.

    seconds
        Number of seconds that the search may take. Defaults to ``600``.

    Returns a dict with these keys:

    * ``group``: name of the viewer's group.
    * ``gid``: GID of that group; ``None`` if there is no such group.
    * ``members``: list of its members.
    * ``primary``: list of the users whose primary group it is.
    * ``twins``: dict of other groups with the same GID, each with the list of its members.
    * ``administrators``: list of the users who may give the group to themselves by gpasswd(1).
    * ``password``: whether the group has a password for newgrp(1).
    * ``programs``: dict of the viewers by path, each with ``owner`` and ``mode``.
    * ``processes``: list of the processes of users that have the group and are no viewer: ``pid``, ``uid`` and
      ``name``.
    * ``others``: list of the paths of further programs that open SPICE or VNC consoles. The firewall stops those as
      well; they are listed because their users will ask.

    With ``search``, also these:

    * ``setgid``: list of the files that lend the group to whoever starts them: ``path``, ``uid``, ``mode`` and
      ``nosuid``. ``nosuid`` is ``True`` where they do not lend it, because their file system is mounted so.
    * ``copies``: list of the copies of viewers under other names or in other places, hard links too: ``path``, ``uid``,
      ``mode`` and ``of``, the viewer.
    * ``unsearched``: list of the mounts of the network and of FUSE.
    * ``incomplete``: list of sentences, why not everything was seen.

    .. code-block:: python

        {
            "group": "spicegrp",
            "gid": 990,
            "members": [],
            "administrators": [],
            "password": False,
            "primary": [],
            "twins": {},
            "programs": {"/usr/bin/remote-viewer": {"owner": "root:spicegrp", "mode": "0750"}},
            "processes": [],
            "others": ["/usr/bin/spicy"],
            "setgid": [{"path": "/var/tmp/x", "uid": 1021, "mode": "2755", "nosuid": False}],
            "copies": [],
            "unsearched": ["/mnt/silent (fuse.silent)"],
            "incomplete": [],
        }

    In paths, a backslash and what is not printable are written as ``\\x0a``. Links are not followed. Other mount
    namespaces, those of containers, are not searched.

    Reads the stored policy, accounts, ``/proc``, and the files themselves.

    Runs ``find``, behind all other work, with ``search`` only. On a terminal, progress goes to standard error.

    Raises CommandExecutionError if something cannot be read.

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
        searched = _search(group.gid, programs, seconds) if search and group else {}
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
        "programs": {
            path: {"owner": _owner(program), "mode": f"{program.mode:04o}"} for path, program in programs.items()
        },
        "processes": strange,
        "others": [path for path in files.OTHERS if os.path.lexists(path) and path not in programs],
        **searched,
    }


@checked(CommandExecutionError)
def plan():
    """
    Return what :func:`apply` would change, and change nothing.

    Returns a dict, empty if everything is as it must be:

    * ``grants``: dict by grant; each has the sentences under ``viewer``.
    * ``layers``: dict with the sentences that belong to no single grant, under ``viewer``.

    .. code-block:: python

        {
            "grants": {"myself-debianx": {"viewer": ["creates /etc/spice-grant/vms/debianx.vv"]}},
            "layers": {"viewer": ["restricts /usr/bin/remote-viewer to root:spicegrp 0750"]},
        }

    Reads the stored policy, accounts, the viewers, and the files below ``/etc/spice-grant``.

    Raises CommandExecutionError if something cannot be read, if a viewer is missing, or if the viewer's group has
    members and was not made by us.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_viewer.plan
    """
    with translated(CommandExecutionError):
        return enforcement.plan_layers([VIEWER])


@checked(CommandExecutionError)
def apply():
    """
    Make this layer hold what the policy says.

    A viewer or group that the policy names no more is given back or, if we made it, removed.

    Returns what was changed, as :func:`plan` does:

    .. code-block:: python

        {"layers": {"viewer": ["restricts /usr/bin/remote-viewer to root:spicegrp 0750"]}}

    Writes files below ``/etc/spice-grant``; launcher, its desktop file and the opener below ``/usr/local``; owner and
    mode of the viewers; and the viewers' lines in ``/etc/permissions.local`` where the system has ``permctl`` or
    ``chkstat``.

    Runs ``groupadd``, ``gpasswd`` and ``dpkg-statoverride``.

    Raises CommandExecutionError if something cannot be written.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_viewer.apply
    """
    with translated(CommandExecutionError):
        return enforcement.apply_layers([VIEWER])


@checked(CommandExecutionError)
def remove(test=False):
    """
    Give the viewers back their owner and mode from before the first run, and remove our files and the group.

    A group that was there before the first run stays.

    test
        Boolean: whether only to say what would change. Defaults to ``False``.

    Returns what was changed, as :func:`plan` does:

    .. code-block:: python

        {"layers": {"viewer": ["removes group spicegrp"]}}

    Removes what :func:`apply` writes.

    Runs ``groupdel`` and ``dpkg-statoverride``.

    Raises CommandExecutionError if something cannot be removed.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_viewer.remove
    """
    with translated(CommandExecutionError):
        return enforcement.remove_layers([VIEWER], test)


def _search(gid, programs, seconds):
    with terminal.live_line() as line:
        return everywhere(gid, programs, seconds, line.count)


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
