"""
The sudo layer: exact-argument rules that start the viewer, and nothing else.

.. versionadded:: 0.1.0

The rules are in a file of their own, ``/etc/sudoers.d/spice-grant``; no other file is ever changed. A new version is
checked with visudo, alone and as part of the whole tree. Then it is put in place in one step.

:depends: sudo with visudo and cvtsudoers, or sudo-rs
"""

import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError
from salt.utils.args import yamlify_arg

from spicegrants.core.calls import checked
from spicegrants.core.errors import translated
from spicegrants.core.reader import chosen
from spicegrants.engine import context, enforcement, typed_names
from spicegrants.engine.layers import SUDO
from spicegrants.host import accounts, run
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import ALWAYS
from spicegrants.sudo import commands, sudoers
from spicegrants.sudo import other_rules as others
from spicegrants.sudo.live import privileges, tools

__virtualname__ = "spice_sudoers"
__outputter__ = {"rules": "spice_grant"}


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def rules(foreign=True):
    """
    Return the sudo rules that start a viewer, ours and others'.

    foreign
        Boolean: whether to list other files' rules as well. Defaults to ``True``.

    Each dict of the list that is a rule of ours has these keys:

    * ``user``: name of the user.
    * ``group``: the viewer's group; empty in the confined form.
    * ``viewer``: path of the viewer; of our opener in the confined form.
    * ``argument``: the one argument: a URI or connection file; the name of the vm in the confined form.
    * ``nopasswd``: whether sudo asks for no password.
    * ``windows``: when the rule holds: a list of ``[start, end]``, ISO 8601 in UTC, the end being outside; ``None`` for
      always.
    * ``foreign``: ``False``.

    Others are never changed. Listed are rules that let somebody start the viewer otherwise, or undo what is enforced;
    defaults that weaken our rules; and ``targetpw``. Each has these keys:

    * ``who``: users and groups, as sudoers spells them.
    * ``what``: what they may do.
    * ``where``: ``FILE:LINE``; empty if that cannot be told.
    * ``foreign``: ``True``.

    .. code-block:: python

        [
            {
                "user": "myself",
                "group": "",
                "viewer": "/usr/local/lib/spice-grant/open",
                "argument": "debianx",
                "nopasswd": False,
                "windows": None,
                "foreign": False,
            },
            {
                "who": "%accounting",
                "what": "may run /bin/sh as root, which includes a shell: as good as root",
                "where": "/etc/sudoers.d/site:2",
                "foreign": True,
            },
        ]

    With sudo-rs others' rules cannot be read; one entry says so.

    Reads the stored policy and accounts.

    Runs ``cvtsudoers`` and ``visudo -c``.

    Raises CommandExecutionError if a file cannot be read.

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
            for rule in (sudoers.own_rules(own) if own else [])
        ]
        if foreign and tools.is_rs():
            found.append({"who": "", "what": privileges.UNREAD, "where": "", "foreign": True})
        elif foreign:
            stored = context.stored()
            site = privileges.site(context.compiled(kept=stored)) if stored.policy else others.Site()
            entries = others.foreign(tools.tree(), sudoers.own_rules(own or {}), site)
            for other, where in zip(entries, privileges.places([other.entry for other in entries])):
                found.append({"who": other.who, "what": other.what, "where": where, "foreign": True})
    return found


@checked(CommandExecutionError)
def review():
    """
    Say whether our file counts for sudo, and who may open or undo something by another rule.

    Returns a dict with these keys:

    * ``errors``: list of sentences, what keeps the layer from being as it must be.
    * ``warnings``: list of sentences, what is worth knowing.

    .. code-block:: python

        {
            "errors": [],
            "warnings": [
                "sudo takes rules from sss (/etc/nsswitch.conf) as well: "
                "nobody has looked there but by spice_sudoers.others"
            ],
        }

    Other rules are warnings; where pillar says ``sudo: {strict: true}`` they are errors. Those of its ``admins`` are
    left out. If the tree cannot be parsed, because another file is broken, that is reported likewise.

    Where sudo has other sources than files as well, a strict policy has sudo asked about each user, as :func:`others`
    does. Otherwise a warning says that nobody has looked there. sudo-rs prints its rules in no form that a program
    reads, so with it all sources are such.

    Runs ``cvtsudoers``; also ``visudo -c``, to name the line of what it found.

    Raises CommandExecutionError if a part of sudo is missing.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.review
    """
    with translated(CommandExecutionError):
        return enforcement.review_layer(SUDO)


@checked(CommandExecutionError)
def plan():
    """
    Return what :func:`apply` would change, and change nothing.

    Returns a dict, empty if everything is as it must be:

    * ``grants``: dict by grant; each has the sentences under ``sudo``.
    * ``layers``: dict with the sentences that belong to no single grant, under ``sudo``.

    .. code-block:: python

        {"layers": {"sudo": ["restores /etc/sudoers.d/spice-grant, which was edited"]}}

    Reads the stored policy, accounts and ``/etc/sudoers.d/spice-grant``.

    Runs ``cvtsudoers``.

    Raises CommandExecutionError if a file cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.plan
    """
    with translated(CommandExecutionError):
        return enforcement.plan_layers([SUDO])


@checked(CommandExecutionError)
def apply():
    """
    Install the sudoers file that the policy stands for.

    Returns what was changed, as :func:`plan` does:

    .. code-block:: python

        {"layers": {"sudo": ["restores /etc/sudoers.d/spice-grant, which was edited"]}}

    Writes ``/etc/sudoers.d/spice-grant``.

    Runs ``cvtsudoers`` and ``visudo -c``.

    Raises CommandExecutionError if visudo refuses the tree as it would be (the installed file then stays as it is), or
    if sudo does not read our file.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.apply
    """
    with translated(CommandExecutionError):
        return enforcement.apply_layers([SUDO])


@checked(CommandExecutionError)
def remove(test=False):
    """
    Remove our sudoers file.

    test
        Boolean: whether only to say what would change. Defaults to ``False``.

    Returns what was changed, as :func:`plan` does:

    .. code-block:: python

        {"layers": {"sudo": ["removes /etc/sudoers.d/spice-grant"]}}

    Removes ``/etc/sudoers.d/spice-grant``.

    Raises CommandExecutionError if it cannot be removed.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.remove
    """
    with translated(CommandExecutionError):
        return enforcement.remove_layers([SUDO], test)


@checked(CommandExecutionError)
def allowed(user, vm):
    """
    Ask sudo which calls for a console it would let a user make.

    The calls are those that a grant of the console stands for, whether the user has one or not.

    user
        Text: name of the user. Required.

    vm
        Text: name of the vm. Required.

    Returns a dict with these keys:

    * ``allowed``: list of the calls that sudo would let the user make, as they are typed behind ``sudo``.
    * ``refused``: list of the other calls.

    .. code-block:: python

        {"allowed": ["-u root /usr/local/lib/spice-grant/open debianx"], "refused": []}

    Reads the stored policy.

    Runs ``sudo -l``.

    Raises CommandExecutionError if user or vm is unknown, or sudo cannot be asked.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.allowed myself debianx
    """
    answer: dict[str, list[str]] = {"allowed": [], "refused": []}
    with translated(CommandExecutionError):
        desired = context.compiled()
        user = chosen("user", user, accounts.uids(user), yamlify_arg, CommandExecutionError, " on this machine")
        vm = typed_names.vm(desired, vm, yamlify_arg, CommandExecutionError)
        for rule in commands.calls(desired, user, vm):
            verdict = "allowed" if tools.allows(user, rule.call) else "refused"
            answer[verdict].append(" ".join(rule.call))
    return answer


def _spelled(windows):
    return None if windows == ALWAYS else [[instants.iso(start), instants.iso(end)] for start, end in windows]
