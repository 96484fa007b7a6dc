"""
Make a KVM host give its consoles to those who were granted them, one launch at a time.

.. versionadded:: 0.2.0

.. code-block:: yaml

    consoles:
      spice_host.present:
        - require:
          - pkg: libvirt-daemon-system
"""

from typing import TYPE_CHECKING

from salt.exceptions import CommandExecutionError

if TYPE_CHECKING:
    from typing import Any

    from salt.loader.lazy import LazyLoader

    # What Salt's loader provides.
    __salt__ = LazyLoader([])
    __opts__: dict[str, Any] = {}

__virtualname__ = "spice_host"

# What is said if nothing changes, if something changed, and if it would with test=True.
_PRESENT = ("The host holds its half already.", "The host holds its half now.", "A run would change the host.")
_ABSENT = ("Nothing of it is here.", "All of it is gone.", "A run would remove all of it.")


def __virtual__():
    return __virtualname__


def present(name):
    """
    Make sure that this host's ports, policy, consoles and account are as pillar's ``spice`` declares.

    name
        Text: any name. Defaults to the state's id.

    Returns what a state returns. ``changes`` has the sentences by layer:

    .. code-block:: python

        {
            "name": "consoles",
            "result": True,
            "changes": {"layers": {"firewall": ["shuts the consoles' ports"]}},
            "comment": "The host holds its half now.",
        }

    With ``test=True`` nothing is written, and ``changes`` are those that a real run would report. If there are any, the
    result is ``None``. The result is ``False`` where a console stays shut, with the reason in the comment.

    .. code-block:: yaml

        consoles:
          spice_host.present
    """
    return _run(name, "spice_host.apply", _PRESENT)


def absent(name):
    """
    Make sure that nothing of the host's half is in force or left on this minion.

    name
        Text: any name. Defaults to the state's id.

    Returns what a state returns:

    .. code-block:: python

        {"name": "consoles", "result": True, "changes": {}, "comment": "Nothing of it is here."}

    With ``test=True`` nothing is written, and ``changes`` are those that a real run would report. If there are any, the
    result is ``None``.

    .. code-block:: yaml

        consoles:
          spice_host.absent
    """
    return _run(name, "spice_host.remove", _ABSENT)


def _run(name, function, said):
    """Call the execution module and put its report into the form of a state."""
    test = __opts__["test"]
    try:
        report = __salt__[function](test=test)
    except CommandExecutionError as error:
        return {"name": name, "result": False, "changes": {}, "comment": f"Nothing was changed. {error}"}
    unchanged, changed, would_change = said
    sentences = [unchanged if not report["changes"] else would_change if test else changed]
    if report["errors"]:
        sentences = [f"Not all of it {'would be' if test else 'is'} enforced:", *report["errors"]]
    sentences += [f"Note: {warning}." for warning in report["warnings"]]
    result = False if report["errors"] else None if test and report["changes"] else True
    return {"name": name, "result": result, "changes": report["changes"], "comment": "\n".join(sentences)}
