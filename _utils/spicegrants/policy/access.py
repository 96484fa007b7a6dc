"""Who may open which console, and when: what grants and loans come down to."""

from __future__ import annotations

from typing import NamedTuple

from spicegrants.policy.model import WARN
from spicegrants.schedule.intervals import ALWAYS, FIRST, LAST, NEVER, Windows


class Term(NamedTuple):
    """When one grant or loan is open: by one of its schedules, if it has some, and within its limits."""

    schedules: tuple[str, ...] = ()
    start: int = FIRST
    end: int = LAST


class Times(NamedTuple):
    """When something may be opened, and when what is open already may go on beyond that."""

    opened: Windows = ALWAYS
    lasting: Windows = NEVER


class Access(NamedTuple):
    """One user may open the console of one vm, by one grant or loan or several.

    ``terms`` are in the order of ``grants``. A session belongs to none of them: where they differ in ``on_end``,
    ``grace`` and ``warn``, it is cut, and cut and warned as early as one of them says. ``within`` limits them all: so a
    run says what of their times it took away while the rest could not be worked out.
    """

    user: str
    uid: int
    vm: str
    grants: tuple[str, ...]
    nopasswd: bool = False
    on_end: str = "cut"
    grace: int | None = None
    warn: tuple[int, ...] = WARN
    terms: tuple[Term, ...] = (Term(),)
    within: Windows | None = None


class Drain(NamedTuple):
    """A place that a user may not open any more, but where what he has open may go on.

    ``until`` says how long, if not as long as he likes; ``grace`` for how many seconds from when he lost his right;
    ``warn`` how many seconds before that end he is warned.
    """

    user: str
    uid: int
    address: str
    port: int
    vm: str
    grants: tuple[str, ...] = ()
    until: int | None = None
    grace: int | None = None
    warn: tuple[int, ...] = WARN
