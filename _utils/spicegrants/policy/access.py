"""Accesses: who may open which console, and when, as the result of grants and loans."""

from __future__ import annotations

from typing import NamedTuple

from spicegrants.policy.model import WARN
from spicegrants.schedule.intervals import ALWAYS, FIRST, LAST, NEVER, Windows


class Term(NamedTuple):
    """The times of one grant or loan: any of its schedules, if it has some, within its limits."""

    schedules: tuple[str, ...] = ()
    start: int = FIRST
    end: int = LAST


class Times(NamedTuple):
    """Windows in which sessions may be opened, and those in which open sessions may go on beyond that."""

    opened: Windows = ALWAYS
    lasting: Windows = NEVER


class Access(NamedTuple):
    """One user's right to open the console of one vm, by one or several grants and loans.

    ``terms`` are in the order of ``grants``. A session belongs to none of them: where they differ in ``on_end``,
    ``grace`` and ``warn``, it is cut, and cut and warned as early as one of them says. ``within`` limits them all: it
    records what a run left of their times when it took some away and could not work out the rest.
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
    """A console that a user may no longer open, but where their open sessions may go on (drain).

    ``until`` is when they must end, in seconds since 1970, ``None`` for no limit; ``grace`` is for how many seconds
    they may go on after the right was lost; ``warn`` says how many seconds before that end the user is warned.
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
