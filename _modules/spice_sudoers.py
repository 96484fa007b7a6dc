"""
Query and enforce the sudo layer: exact-argument rules that start the viewer, and nothing else.

.. versionadded:: 0.1.0

The rules live in a file of their own, ``/etc/sudoers.d/spice-grant``; no other file is ever changed. A new version is
checked with visudo, alone and as part of the whole tree, before it is put in place in one step.

:depends: sudo with visudo and cvtsudoers, or sudo-rs
"""

import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError

from spicegrants.core.errors import translated
from spicegrants.engine import context, enforcement
from spicegrants.engine.layers import SUDO
from spicegrants.host import run
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import ALWAYS
from spicegrants.sudo import commands, sudoers
from spicegrants.sudo import other_rules as others
from spicegrants.sudo.live import privileges, tools

__virtualname__ = "spice_sudoers"


def __virtual__():
    return __virtualname__


def rules(foreign=True):
    """
    Return the sudo rules that start a viewer, as a list of dicts.

    Ours have the keys ``user``, ``group``, ``viewer``, ``argument``, ``nopasswd``, ``windows`` and ``foreign: False``.
    In the confined form ``group`` is empty, ``viewer`` is our opener, and ``argument`` is the name of the vm.
    Windows are when the rule holds: None for always, or a list of ``[start, end]``, the end being outside, ISO 8601 in
    UTC. Other rules of the tree that let somebody start the viewer otherwise, or undo what is enforced, defaults that
    weaken our rules, and ``targetpw``, have ``who``, ``what``, ``where`` (``FILE:LINE``, empty if that cannot be told)
    and ``foreign: True``; they are never changed. With sudo-rs one such entry says that they cannot be read.

    foreign
        Whether to list other files' rules. Defaults to ``True``.

    Reads the stored policy and accounts; runs ``cvtsudoers`` and ``visudo -c``. Raises CommandExecutionError if a file
    cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.rules
    """
    with translated(CommandExecutionError):
        run.as_root()
        own = tools.own_tree()
        found = [
            {
                "user": rule.user,
                "group": rule.group,
                "viewer": rule.viewer,
                "argument": rule.argument,
                "nopasswd": rule.nopasswd,
                "windows": _spelled(rule.windows),
                "foreign": False,
            }
            for rule in (sudoers.parse(own) if own else [])
        ]
        if foreign and tools.is_rs():
            found.append({"who": "", "what": privileges.UNREAD, "where": "", "foreign": True})
        elif foreign:
            stored = context.stored()
            site = privileges.site(context.compiled(kept=stored)) if stored.policy else others.Site()
            held = others.foreign(tools.tree(), sudoers.parse(own or {}), site)
            for other, where in zip(held, privileges.places([other.entry for other in held])):
                found.append({"who": other.who, "what": other.what, "where": where, "foreign": True})
    return found


def review():
    """
    Look at the sudoers tree as it is: does our file count, and who may open or undo something by another rule.

    Returns ``errors`` and ``warnings``, lists of sentences. Such rules are warnings or, where pillar says
    ``sudo: {strict: true}``, errors; those of its ``admins`` are left out. If the tree cannot be parsed, because
    another file is broken, that is said likewise. Where sudo has other sources than files as well, a strict policy has
    sudo asked about each user, as :func:`others` does; else a warning says that nobody has looked there. With sudo-rs,
    which prints its rules in no form that a program reads, all sources are such.

    Runs ``cvtsudoers``; to name the line of what it found also ``visudo -c``. Raises CommandExecutionError if a part of
    sudo is missing.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.review
    """
    with translated(CommandExecutionError):
        return enforcement.review_layer(SUDO)


def plan():
    """
    Return what :func:`apply` would change, and change nothing.

    Reads the stored policy, accounts and ``/etc/sudoers.d/spice-grant``; runs ``cvtsudoers``. Returns an empty dict if
    everything is as it must be. Raises CommandExecutionError if a file cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.plan
    """
    with translated(CommandExecutionError):
        return enforcement.plan_layers([SUDO])


def apply():
    """
    Install the sudoers file that the policy stands for; return what was changed, as :func:`plan` does.

    Writes ``/etc/sudoers.d/spice-grant``; runs ``cvtsudoers`` and ``visudo -c``. Raises
    CommandExecutionError if visudo refuses the tree as it would be (the installed file then stays as it is), or if sudo
    does not read our file.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.apply
    """
    with translated(CommandExecutionError):
        return enforcement.apply_layers([SUDO])


def remove(test=False):
    """
    Remove our sudoers file; return what was changed.

    test
        Whether only to say what would change. Defaults to ``False``.

    Removes ``/etc/sudoers.d/spice-grant``. Raises CommandExecutionError if it cannot be removed.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.remove
    """
    with translated(CommandExecutionError):
        return enforcement.remove_layers([SUDO], test)


def allowed(user, vm):
    """
    Ask sudo which calls for a console it would let a user make.

    user
        Name of the user.

    vm
        Name of the vm.

    Returns ``{"allowed": [...], "refused": [...]}``: the granted calls as they are typed behind ``sudo``. Reads the
    stored policy; runs ``sudo -l``. Raises CommandExecutionError if the vm is unknown or sudo cannot be asked.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.allowed myself debianx
    """
    answer: dict[str, list[str]] = {"allowed": [], "refused": []}
    with translated(CommandExecutionError):
        desired = context.compiled()
        for rule in commands.calls(desired, user, vm):
            verdict = "allowed" if tools.allows(user, rule.call) else "refused"
            answer[verdict].append(" ".join(rule.call))
    return answer


def _spelled(windows):
    return None if windows == ALWAYS else [[instants.iso(start), instants.iso(end)] for start, end in windows]
