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

from spicegrants.core.changes import as_dict
from spicegrants.core.entries import File
from spicegrants.core.errors import CommandFailed, SpiceGrantError, SystemFault
from spicegrants.core.paths import SUDOERS
from spicegrants.engine import context
from spicegrants.host import disk, run
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
    try:
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
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    return found


def review(wanted=None, settled=None):
    """
    Look at the sudoers tree as it is: does our file count, and who may open or undo something by another rule.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    settled
        Whether our file is as it must be, for callers that know. Defaults to finding it out.

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
    errors, warnings = [], []
    try:
        run.as_root()
        wanted = wanted or context.compiled()
        strict = wanted.policy.sudo.strict
        if wanted.inventory.sudo_rs:
            return _review_rs(wanted, settled)
        for program in ("sudo", "visudo", "cvtsudoers"):
            run.find(program)
        try:
            if settled is None:
                settled = _plan(wanted).text is None
            # What our file holds now may differ, and is about to go.
            leaving = [] if settled else sudoers.parse(tools.own_tree() or {})

            def ours():
                """Made when they are asked for: hardly a site has rules to compare them with."""
                yield from (rule for access in wanted.accesses for rule in sudoers.rules_for(wanted, access))
                yield from leaving

            head = sudoers.head(wanted)
            tree = tools.tree(head if settled and wanted.timed else None)
            if settled and sudoers.ALIAS in head and not tools.included(tree):
                errors.append(f"{tools.main()} does not include {SUDOERS}: its rules have no effect")
            site = privileges.site(wanted)
            for kind, said in privileges.sentences(others.foreign(tree, ours(), site), strict):
                (errors if strict and kind != others.NOTE else warnings).append(f"another sudo rule: {said}")
            harm, unseen = privileges.beyond_files(wanted, site, ours, tree, strict)
            errors += harm
            warnings += unseen
        except CommandFailed as error:
            (errors if strict else warnings).append(f"other files' sudo rules cannot be read: {error}")
            # Whether our file is included cannot be read either.
            errors += _unheeded(wanted) if settled else []
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    return {"errors": errors, "warnings": warnings}


def _unheeded(wanted):
    """Say so if sudo does not heed our file."""
    try:
        heeded = tools.heeds(sudoers.rules(wanted), wanted.now)
    except CommandFailed as error:
        return [f"nobody can tell whether sudo heeds {SUDOERS}: {error}"]
    return [] if heeded else [f"sudo does not heed {SUDOERS}: its rules have no effect"]


def _review_rs(wanted, settled):
    """Review what sudo-rs says of itself: whether it heeds our file, and with a strict policy each user's answers."""
    errors, warnings = [], []
    run.find("visudo")
    if settled is None:
        settled = _plan(wanted).text is None
    errors += _unheeded(wanted) if settled else []
    if wanted.policy.sudo.strict:
        site = privileges.site(wanted)
        for user in privileges.users(site, {access.user for access in wanted.accesses}, {}):
            errors += [f"sudo lets {user}: {what}" for what in privileges.answers(user, site)]
    else:
        warnings.append(privileges.UNREAD)
    return {"errors": errors, "warnings": warnings}


def refusal(wanted=None):
    """
    Return why the sudoers file that the policy stands for cannot be installed; None if it can, or need not be.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    visudo checks the file alone and the whole tree as it would be, in a mount namespace of its own; nothing is written.
    Runs ``visudo -c``. Raises CommandExecutionError if it is missing, or a file cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.refusal
    """
    try:
        wanted = wanted or context.compiled()
        run.find("visudo")
        text = _plan(wanted).text
        if text is not None:
            try:
                tools.check(text)
            except CommandFailed as error:
                return f"the sudoers tree would not parse, so it stays as it was: {error}"
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    return None


def plan(wanted=None):
    """
    Return what :func:`apply` would change, and change nothing.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Reads the stored policy, accounts and ``/etc/sudoers.d/spice-grant``; runs ``cvtsudoers``. Returns an empty dict if
    everything is as it must be. Raises CommandExecutionError if a file cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.plan
    """
    try:
        return as_dict(_plan(wanted or context.compiled()).changes)
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def apply(wanted=None):
    """
    Install the sudoers file that the policy stands for; return what was changed, as :func:`plan` does.

    wanted
        A compiled policy, for calls from ``spice_grant``. Defaults to the policy that is stored on this minion.

    Writes ``/etc/sudoers.d/spice-grant``; runs what :func:`plan` and :func:`refusal` run. Raises
    CommandExecutionError if visudo refuses the tree as it would be (the installed file then stays as it is), or if sudo
    does not read our file.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.apply
    """
    try:
        wanted = wanted or context.compiled()
        planned = _plan(wanted)
        if planned.text is not None:
            tools.check(planned.text)
            disk.write(SUDOERS, File(planned.text.encode(), sudoers.MODE))
            _in_force(wanted, planned.text)
        return as_dict(planned.changes)
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error


def _in_force(wanted, text):
    """Raise unless sudo reads our file, which says this."""
    if wanted.inventory.sudo_rs:
        if not tools.heeds(sudoers.rules(wanted), wanted.now):
            raise SystemFault(f"sudo does not heed {SUDOERS}: its rules have no effect")
    elif sudoers.ALIAS in text and not tools.included(tools.tree()):
        raise SystemFault(f"{tools.main()} does not include {SUDOERS}: its rules have no effect")


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
    try:
        run.as_root()
        if disk.read(SUDOERS) is None:
            return {}
        if not test:
            disk.remove(SUDOERS)
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    return {"layers": {"sudo": [f"removes {SUDOERS}"]}}


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
    answer = {"allowed": [], "refused": []}
    try:
        wanted = context.compiled()
        for rule in commands.calls(wanted, user, vm):
            verdict = "allowed" if tools.allows(user, rule.call) else "refused"
            answer[verdict].append(" ".join(rule.call))
    except SpiceGrantError as error:
        raise CommandExecutionError(str(error)) from error
    return answer


def _plan(wanted):
    run.as_root()
    return sudoers.plan(wanted, disk.read(SUDOERS), tools.own_tree)


def _spelled(windows):
    return None if windows == ALWAYS else [[instants.iso(start), instants.iso(end)] for start, end in windows]
