"""
Declare which users may open which SPICE consoles.

.. versionadded:: 0.1.0

Servers, vms, viewer and firewall come from the pillar's ``spice``; a state says which grants there are. All layers are
changed in one run, the guard first.

.. code-block:: yaml

    consoles:
      spice_grant.present:
        - grants:
            myself-debianx: {user: myself, vm: debianx}
            mybro-leaptest: {user: mybro, vm: leaptest, nopasswd: true}
        - exclusive: True
        - require:
          - user: myself
          - pkg: virt-viewer

Require what makes the users and what installs the viewer.
"""

import difflib
import os
from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    from typing import Any

    from salt.loader.lazy import LazyLoader

    # What Salt's loader provides.
    __salt__ = LazyLoader([])
    __opts__: dict[str, Any] = {}

__virtualname__ = "spice_grant"

# Not None: that is what an empty value in a state is, and an error.
_NOT_GIVEN = "(not given)"

# What is said if nothing changes, if something changed, and if it would with test=True.
_PRESENT = ("The grants hold already.", "The grants hold now.", "The grants do not hold; a run would enforce them.")
_ABSENT = ("There is no such grant.", "The grant is gone.", "The grant is there; a run would remove it.")

# Lines of a comment.
_MOST = 10

_NOT_WHOLE = "The code of this minion is not whole, as after a sync that was cut short: run saltutil.sync_all."

# Where salt-ssh runs states, and what it leaves behind.
_OVER_SSH = "running_data"
_NO_PACKAGE = (
    "salt-ssh takes the modules of a file server along, and not the package spicegrants that they need: it cannot run "
    "this state. Use a minion; one without a master will do."
)

_REMOVED = ("Nothing of it is here.", "All of it is gone.", "A run would remove all of it.")


def __virtual__():
    return __virtualname__


def present(
    name,
    user=_NOT_GIVEN,
    group=_NOT_GIVEN,
    vm=_NOT_GIVEN,
    vm_group=_NOT_GIVEN,
    nopasswd=_NOT_GIVEN,
    schedule=_NOT_GIVEN,
    valid_from=_NOT_GIVEN,
    valid_until=_NOT_GIVEN,
    on_end=_NOT_GIVEN,
    grace=_NOT_GIVEN,
    warn=_NOT_GIVEN,
    owner=_NOT_GIVEN,
    reason=_NOT_GIVEN,
    ticket=_NOT_GIVEN,
    contact=_NOT_GIVEN,
    grants=None,
    exclusive=False,
    **kwargs,
):
    """
    Make sure that grants are enforced.

    The state takes one grant (``user`` or ``group``, and ``vm`` or ``vm_group``), or many (``grants``), or none of
    these: then it takes the pillar's ``spice:grants``.

    name
        Text: name of the one grant, if such are given; otherwise any name. Defaults to the state's id.

    user
        Text: name of the user who may open the console. A grant has this or ``group``.

    group
        Text: name of the group whose members may open the console.

    except
        List of users in the group whom the grant does not mean. Defaults to none.

    vm
        Text: name of one of pillar's vms, the console; or a list, for as many grants, called ``NAME/VM``. With ``user``
        or ``group`` a grant has this or ``vm_group``.

    vm_group
        Text: name of one of pillar's ``vm_groups``, for a grant of each of its vms; or a list.

    nopasswd
        Boolean: whether sudo asks for no password. Defaults to ``False``: it asks for the user's own.

    schedule
        Text: name of one of pillar's schedules; or a list of them: it is open while any of them is. Defaults to always.

    valid_from
        Date or moment of ISO 8601 from which on the grant holds. Defaults to now.

    valid_until
        Date or moment of ISO 8601 at which it ends; of a date the whole day belongs to it. Defaults to never.

    on_end
        Text: what becomes of open sessions at the end of the grant or of a window. ``cut`` ends them, ``drain`` lets
        them go on. Defaults to ``cut``.

    grace
        Text: for how long they may go on with ``drain``, as ``30m``. Defaults to any time.

    warn
        List of how long before an end its users are warned, as ``15m``. Defaults to ``[15m, 2m]``.

    owner
        Text: who answers for the grant, in one line that is shown wherever the grant is. Defaults to none.

    reason
        Text: why there is the grant, likewise. Defaults to none.

    ticket
        Text: where that is written down, likewise. Defaults to none.

    contact
        Text: whom its users may ask, in one line, which ``rviewer`` shows them too. Defaults to that of the vm, or of
        pillar's ``spice:viewer``.

    grants
        Dict of many grants at once: by name, each with the keys that a grant has in pillar. Not together with a single
        grant. Defaults, if no single grant is given either, to the pillar's ``spice:grants``.

    exclusive
        Boolean: whether all other grants on this minion are removed. Defaults to ``False``.

    Returns what a state returns. ``changes`` has the changes by grant and layer, and by layer those that belong to no
    single grant:

    .. code-block:: python

        {
            "name": "boss-books",
            "result": True,
            "changes": {"grants": {"boss-books": {"policy": [...], "firewall": [...], "sudo": [...], "viewer": [...]}}},
            "comment": "The grants hold now.",
        }

    With ``test=True`` nothing is written, and ``changes`` are those that a real run would report. If there are any, the
    result is ``None``, and the comment begins with who would get and who would lose a console.

    The result is ``False``, with every finding in the comment, in two cases. The policy is wrong or something cannot be
    read: then nothing is changed. Or a grant cannot be enforced, because its user left, say: then all others are.

    The comment has ten lines at most. Where there is more to say, ``sentences`` is a list of all its lines, for
    ``--out=json`` and for programs.

    .. code-block:: yaml

        boss-books:
          spice_grant.present:
            - user: boss
            - vm: books
            - schedule: evenings
            - valid_until: 2027-03-31
            - warn: [15m, 2m]
            - owner: accounting
            - reason: year-end
            - ticket: IT-4711
    """
    given = {
        "user": user,
        "group": group,
        # No name that a parameter of Python can have.
        "except": kwargs.pop("except", _NOT_GIVEN),
        "vm": vm,
        "vm_group": vm_group,
        "nopasswd": nopasswd,
        "schedule": schedule,
        "valid_from": valid_from,
        "valid_until": valid_until,
        "on_end": on_end,
        "grace": grace,
        "warn": warn,
        "owner": owner,
        "reason": reason,
        "ticket": ticket,
        "contact": contact,
    }
    single = {key: value for key, value in given.items() if value is not _NOT_GIVEN}
    if unknown := _unknown(kwargs, ("name", *given, "grants", "exclusive")):
        return _failed(name, unknown)
    if single and grants is not None:
        return _failed(name, f"'grants' and a single grant ({', '.join(single)}) exclude each other")
    wished = {name: single} if single else grants
    return _run(name, "spice_grant.apply", _PRESENT, grants=wished, exclusive=exclusive)


def absent(name, **kwargs):
    """
    Make sure that a grant is not enforced on this minion, whoever declared it.

    name
        Text: name of the grant; of one of several vms, ``NAME`` for all of it, or ``NAME/VM``. Defaults to the state's
        id.

    Returns what a state returns:

    .. code-block:: python

        {"name": "boss-books", "result": True, "changes": {}, "comment": "There is no such grant."}

    With ``test=True`` nothing is written, and ``changes`` are those that a real run would report. If there are any, the
    result is ``None``.

    .. code-block:: yaml

        boss-books:
          spice_grant.absent
    """
    if unknown := _unknown(kwargs):
        return _failed(name, unknown)
    return _run(name, "spice_grant.absent", _ABSENT, name=name)


def removed(name, **kwargs):
    """
    Make sure that nothing of this extension is in force or left on this minion: rules, files, units, group.

    The viewer gets its owner and mode back. The guard goes last.

    name
        Text: any name. Defaults to the state's id.

    Returns what a state returns. If something could not be removed, the result is ``False`` and the comment names it:

    .. code-block:: python

        {"name": "spice", "result": True, "changes": {}, "comment": "Nothing of it is here."}

    With ``test=True`` nothing is written, and ``changes`` are those that a real run would report. If there are any, the
    result is ``None``.

    .. code-block:: yaml

        spice:
          spice_grant.removed
    """
    if unknown := _unknown(kwargs):
        return _failed(name, unknown)
    return _run(name, "spice_grant.remove", _REMOVED)


def mod_watch(name, sfun, **kwargs):
    """
    Apply a state once more, because something that it watches or listens to has changed.

    Salt calls it, with all that the state itself takes.

    name
        Text: name of the state. Required.

    sfun
        Text: the state's function, ``present``, ``absent`` or ``removed``. Required.

    Returns what that function returns:

    .. code-block:: python

        {"name": "consoles", "result": True, "changes": {}, "comment": "The grants hold already."}

    .. code-block:: yaml

        consoles:
          spice_grant.present:
            - watch:
              - file: /etc/pki/spice/ca-cert.pem
    """
    return {"present": present, "absent": absent, "removed": removed}[sfun](name, **kwargs)


def _run(name, function, said, /, **arguments):
    """Call the execution module and put its report into the form of a state."""
    if function not in __salt__:
        over_ssh = os.path.basename(__opts__.get("root_dir", "")) == _OVER_SSH
        why = _NO_PACKAGE if over_ssh else f"{_NOT_WHOLE} ({__salt__.missing_fun_string(function)})"
        return _failed(name, f"Nothing was changed. {why}")
    test = __opts__["test"]
    try:
        report = __salt__[function](**arguments, test=test)
    except CommandExecutionError as error:
        return _failed(name, f"Nothing was changed. {error}")
    unchanged, changed, would_change = said
    sentences = [unchanged if not report["changes"] else would_change if test else changed]
    if report["errors"]:
        sentences = [f"Not all of it {'would be' if test else 'is'} enforced:", *report["errors"]]
    if report["changes"] and "answer" in report:
        sentences.insert(0, f"{report['answer'][:1].upper()}{report['answer'][1:]}.")
    result = False if report["errors"] else None if test and report["changes"] else True
    sentences += [f"Note: {warning}." for warning in report["warnings"]]
    return {"name": name, "result": result, "changes": report["changes"], **_said("\n".join(sentences))}


def _unknown(arguments, known=("name",)):
    """Name the arguments that a state does not have, each with the nearest; Salt's own may be among them."""
    names = sorted(key for key in arguments if key != "aggregate" and not key.startswith("__"))
    near = {name: difflib.get_close_matches(name, known, n=1) for name in names}
    spelled = [f"{name} (did you mean {near[name][0]!r}?)" if near[name] else name for name in names]
    return f"unknown argument(s): {', '.join(spelled)}" if names else None


def _failed(name, why):
    return {"name": name, "result": False, "changes": {}, **_said(why)}


def _said(text):
    """Return a comment that fits a screen, and what was cut beside it: among the changes it would be none."""
    lines = text.splitlines()
    if len(lines) <= _MOST:
        return {"comment": text}
    left_out = len(lines) - _MOST + 1
    cut = [*lines[: _MOST - 1], f"and {left_out} more: see sentences, with --out=json"]
    return {"comment": "\n".join(cut), "sentences": lines}
