"""
A beacon that notices drift by events of the kernel, has it repaired within seconds, and reports both.

.. versionadded:: 0.1.0

Drift is whatever makes ``spice_grant.repair test=True`` find something to do: rules, sudoers, viewers, accounts or our
own files were changed. See docs/continuous.md for the events, and what they hold.
"""

import logging
import multiprocessing
import os
import signal
import sys as _sys
from typing import TYPE_CHECKING

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]
# Salt puts libraries on the path while it loads execution modules, and at its start if they are there; for beacons not.
for _name in ("utils", "_utils"):
    _libraries = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), _name)
    if os.path.isdir(os.path.join(_libraries, "spicegrants")) and _libraries not in _sys.path:
        _sys.path.append(_libraries)

import salt.loader
import salt.utils.process
from salt.exceptions import CommandExecutionError

from spicegrants.core.errors import SpiceGrantError
from spicegrants.drift.live import check
from spicegrants.drift.live.monitor import Keeper, Settings
from spicegrants.host import run

if TYPE_CHECKING:
    from typing import Any

    # What Salt's loader provides.
    __context__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "spice_grant"

log = logging.getLogger(__name__)

_KEEPER = "spice_grant.keeper"
_LOOK = "spice_grant: a look at the layers"
_LOGGED = {"drift": log.warning, "failed": log.error, "fight": log.error, "unwatched": log.error}
# What Salt itself reads of a beacon's settings, or leaves in them.
_SALTS = {"_beacon_name", "beacon_module", "disable_during_state_run", "enabled", "interval", "run_once"}


def __virtual__():
    return __virtualname__


def validate(config):
    """
    Check the beacon's settings.

    config
        List of dicts: the settings, as for :func:`beacon`. Required.

    Returns a pair: whether the settings are good, and ``valid`` or what is wrong with them:

    .. code-block:: python

        (False, "spice_grant: look_every: must be a number of seconds, 1 or more")

    .. code-block:: yaml

        beacons:
          spice_grant: [{repair: True}, {look_every: 60}]
    """
    if not isinstance(config, list) or not all(isinstance(each, dict) for each in config):
        return False, "spice_grant: must be a list of settings, as [{repair: True}]"
    settings = _merged(config)
    unknown = sorted(map(str, settings.keys() - {"repair", "look_every"} - _SALTS))
    if unknown:
        return False, f"spice_grant: no setting {', '.join(unknown)}; there are repair and look_every"
    if not isinstance(settings.get("repair", True), bool):
        return False, "spice_grant: repair: must be True or False"
    every = settings.get("look_every", 60)
    if isinstance(every, bool) or not isinstance(every, (int, float)) or not every >= 1:
        return False, "spice_grant: look_every: must be a number of seconds, 1 or more"
    return True, "valid"


def beacon(config):
    """
    Listen, start a look where something changed, and return events.

    config
        List of dicts: the settings that follow. Required.

    repair
        Boolean: whether drift is repaired on the minion, by ``spice_grant.repair`` in a process of its own. With
        ``False`` it is only reported, and whoever reacts to the event decides. Defaults to ``True``.

    look_every
        Number of seconds, 1 or more, between looks at what the kernel does not report: rules of iptables-legacy, and
        what cannot be watched. Defaults to ``60``.

    Returns a list of events, empty if there is nothing new. Each is a dict with ``tag`` and what docs/continuous.md
    says of that tag:

    * ``drift``: something is not as it must be.
    * ``repaired``: it was repaired.
    * ``failed``: it was not repaired, or could not be looked at.
    * ``fight``: it came back three times within ten minutes; from then on also each time that it is repaired.
    * ``unwatched``: changes somewhere are not noticed at once.

    .. code-block:: python

        [
            {
                "tag": "drift",
                "layers": ["sudo"],
                "what": ["sudo: restores /etc/sudoers.d/spice-grant, which was edited"],
                "changes": {"layers": {"sudo": ["restores /etc/sudoers.d/spice-grant, which was edited"]}},
                "who": [],
                "noticed": ["/etc/sudoers.d/spice-grant"],
                "repairing": True,
            }
        ]

    Writes a line to the minion's log for each event.

    Raises CommandExecutionError if it cannot listen; the next call begins anew.

    .. code-block:: yaml

        beacons:
          spice_grant:
            - repair: True
            - look_every: 60
    """
    settings = _merged(config)
    settings = Settings(settings.get("repair", True), settings.get("look_every", 60))
    try:
        if _KEEPER not in __context__:
            run.as_root()
            __context__[_KEEPER] = Keeper(_start, _busy)
        events = __context__[_KEEPER].poll(settings)
    except SpiceGrantError as error:
        close(config)
        raise CommandExecutionError(str(error)) from error
    for event in events:
        said = event.get("errors") or event["what"]
        _LOGGED.get(event["tag"], log.info)("spice_grant: %s: %s", event["tag"], "; ".join(map(str, said)))
    return events


def close(config):
    """
    Stop listening; Salt calls it before it loads modules anew.

    config
        List of dicts: the settings, as for :func:`beacon`. They are not read. Required.

    .. code-block:: yaml

        beacons:
          spice_grant: []
    """
    keeper = __context__.pop(_KEEPER, None)
    if keeper is not None:
        keeper.close()


def _merged(config):
    return {key: value for each in config for key, value in each.items()}


def _start(repairing, noticed):
    """Start a look: a process of the minion's, forked, as its jobs are."""
    # The minion's own handlers of signals are not for the child.
    with salt.utils.process.default_signals(signal.SIGINT, signal.SIGTERM):
        arguments = (__opts__, repairing, noticed)
        salt.utils.process.SignalHandlingProcess(target=_look, args=arguments, name=_LOOK).start()


def _look(opts, repairing, noticed):
    """Look, by modules that are loaded from their files anew: what the minion's own process has loaded may be older."""
    functions = salt.loader.minion_mods(opts)
    check.take(functions["spice_grant.repair"], CommandExecutionError, repairing, noticed)


def _busy():
    """Tell whether a look is being taken. This also reaps those that have ended."""
    return any(process.name == _LOOK for process in multiprocessing.active_children())
