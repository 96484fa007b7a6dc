"""What each layer takes away, by itself: for that it needs little, and it gives nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from spicegrants.core.changes import Change
from spicegrants.core.entries import File
from spicegrants.core.errors import SpiceGrantError, SystemFault
from spicegrants.core.paths import SUDOERS
from spicegrants.firewall import boot as firewall_boot
from spicegrants.firewall.live import backends
from spicegrants.firewall.live.backends import Mechanism
from spicegrants.host import disk
from spicegrants.policy.closing import Door
from spicegrants.policy.compiler import Wanted
from spicegrants.routing import boot as routing_boot
from spicegrants.routing.live import ip
from spicegrants.sudo import sudoers
from spicegrants.sudo.live import tools as tools
from spicegrants.viewer import files


class Closed(NamedTuple):
    """What was taken away, in words, and why what is stored for the next boot could not be changed."""

    changes: tuple[Change, ...] = ()
    unstored: tuple[str, ...] = ()


def firewall(wanted: Wanted | None, lost: Collection[Door] | None, test: bool) -> Closed:
    """Take elements away, whichever mechanism holds them: none is tried, those that are in use are taken.

    wanted
        What may be open at most; ``None`` for nothing.

    lost
        Where something may go; ``None`` says everywhere, and that the guard itself is put right as well.

    test
        Whether only to say what would change.

    Raises :class:`~spicegrants.core.errors.SystemFault` if a mechanism cannot be read or refuses, when all others have
    closed.
    """
    changes: tuple[Change, ...] = ()
    unstored: tuple[str, ...] = ()
    errors = []
    for mechanism in backends.in_charge():
        try:
            closed = _guard(mechanism, wanted, lost, test)
            changes, unstored = changes + closed.changes, unstored + closed.unstored
        except SpiceGrantError as error:
            errors.append(str(error))
    if errors:
        raise SystemFault("; ".join((*errors, *unstored)))
    return Closed(changes, unstored)


def _guard(mechanism: Mechanism, wanted: Wanted | None, lost: Collection[Door] | None, test: bool) -> Closed:
    held = mechanism.held()
    whole = wanted is not None and lost is None
    planned = mechanism.compare(wanted, held, giving=False) if whole else mechanism.taken(wanted, held, lost)
    said, write, gone = (), {}, ()
    if wanted is None:
        gone = firewall_boot.GUARDS[mechanism.name]
    elif whole or planned.changes:
        said, write = firewall_boot.closing(mechanism.loading(wanted), disk.read)
    if test:
        return Closed((*planned.changes, *said))
    # First: whenever this ends, a boot loads nothing that was taken away.
    steps = [partial(disk.write, path, entry) for path, entry in write.items()]
    unstored = disk.attempted([*steps, *(partial(disk.remove, path) for path in gone)])
    mechanism.send(planned)
    return Closed((*planned.changes, *said), unstored)


def routing(wanted: Wanted | None, lost: Collection[Door] | None, test: bool) -> Closed:
    """Take rules of routing away that let users through; parameters as for :func:`firewall`."""
    planned = ip.closing(wanted, ip.held(), lost)
    changes = planned.changes if planned else ()
    entries = routing_boot.rules(wanted) if lost is None or changes else {}
    held = {path: entry for path in entries if (entry := disk.read(path)) is not None}
    said, write = routing_boot.plan({path: entries[path] for path in held}, held)
    if test:
        return Closed((*changes, *said))
    unstored = disk.attempted(partial(disk.write, path, entries[path]) for path in write)
    ip.carry_out(planned)
    return Closed((*changes, *said), unstored)


def sudo(wanted: Wanted | None, before: Wanted | None, edited: bool, test: bool) -> Closed:
    """Take rules out of our sudoers file, or all of it away; other files that do not parse hinder nothing.

    before
        What held so far: only a file that does not say just that has to be parsed.

    edited
        Whether such a file is closed as well.

    wanted, test
        As for :func:`firewall`.

    Raises :class:`~spicegrants.core.errors.SystemFault` if visudo refuses our file, or cannot be run: then it stays as
    it was.
    """
    held = disk.read(SUDOERS)
    if held is None:
        return Closed()
    if wanted is None:
        planned = sudoers.SudoPlan((Change("sudo", f"removes {SUDOERS}"),), None)
    elif not tools.version():
        # Without sudo nobody can use the file, and nobody knows for which release it is to be made.
        return Closed()
    else:
        traits = tools.traits()
        wanted, before = (replace(each, inventory=replace(each.inventory, **traits)) for each in (wanted, before))
        if not edited and not sudoers.says(before, held):
            return Closed()
        planned = sudoers.closing(wanted, before, held, tools.own_tree)
    if planned.changes and not test:
        if planned.text is None:
            disk.remove(SUDOERS)
        else:
            tools.check_alone(planned.text)
            disk.write(SUDOERS, File(planned.text.encode(), sudoers.MODE))
    return Closed(planned.changes)


def viewers(wanted: Wanted | None, test: bool) -> Closed:
    """Take connection files and lists of consoles away; parameters as for :func:`firewall`.

    Raises :class:`~spicegrants.core.errors.SystemFault` if one cannot be removed or written, when all others are.
    """
    held = {path: entry for path in disk.own(files.DIRECTORIES) if (entry := disk.read(path)) is not None}
    planned = files.closing(wanted, held)
    if not test:
        steps = [partial(disk.remove, path) for path in planned.remove]
        hindrances = disk.attempted([*steps, *(partial(disk.write, *each) for each in planned.write.items())])
        if hindrances:
            raise SystemFault("; ".join(hindrances))
    return Closed(planned.changes)
