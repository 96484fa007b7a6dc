"""What a desk and a KVM host say to each other: one line with two words, one line of JSON. Pure."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from spicegrants.core import validation
from spicegrants.schedule.intervals import FIRST, LAST

# Seconds in which a ticket opens a console: long enough for all of its channels.
VALID = 30
# Bytes of a question and of an answer.
LONGEST_QUESTION, LONGEST_ANSWER = 512, 4096
# Letters of details: in JSON one may take 12 bytes.
_MOST = 300
_TICKET = re.compile(r"[A-Za-z0-9_-]{32,60}")
# What a desk may want: a ticket, to be told why a session has ended, or whether there would be a ticket.
OPEN, WHY, ASK = REQUESTS = ("open", "why", "ask")
# Why there is no ticket, or why a session has ended. Words in which the desk tells its user are the desk's.
ENDED, TAKEN_OVER, NOT_GRANTED, CLOSED, LOCKED, IN_USE, BUSY, SHUT, TOO_MANY, FAILED = REFUSALS = (
    "ended",
    "taken_over",
    "not_granted",
    "closed",
    "locked",
    "in_use",
    "busy",
    "shut",
    "too_many",
    "failed",
)


class Question(NamedTuple):
    """A user at a desk who wants a console."""

    user: str
    vm: str


class Answer(NamedTuple):
    """A ticket, or why there is none; or whether there would be one.

    refusal
        One of :data:`REFUSALS`; ``None`` with a ticket, or where there would be one.

    granted
        ``True`` where there would be a ticket, and none was made.

    until
        When the console opens, or ends, in seconds since 1970, if that is known.

    user, since
        Who has the console, and since when; of a session that has ended, when that was.

    why
        Details for an administrator, in English.
    """

    ticket: str | None = None
    refusal: str | None = None
    until: int | None = None
    user: str | None = None
    since: int | None = None
    why: str | None = None
    granted: bool | None = None

    def __repr__(self) -> str:
        """Return it without the ticket, as a traceback may show it."""
        return f"Answer(refusal={self.refusal!r}, why={self.why!r})"


def question(line: bytes) -> Question | None:
    """Parse a question; ``None`` if it is none. Whatever a desk sends, nothing but two names comes out of it."""
    try:
        words = line.decode("ascii").split()
    except UnicodeDecodeError:
        return None
    if len(words) != 2 or validation.account_name(words[0]) or validation.object_name(words[1]):
        return None
    return Question(*words)


def spelled(answer: Answer) -> str:
    """Return the line of an answer, with no more of its details than fits, and is harmless where it is shown."""
    if answer.why is not None:
        why = "".join(letter if letter.isprintable() else "?" for letter in answer.why[:_MOST])
        answer = answer._replace(why=why)
    return json.dumps({key: value for key, value in answer._asdict().items() if value is not None}) + "\n"


def answer(line: str) -> Answer | None:
    """Parse an answer; ``None`` if it is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.keys() - set(Answer._fields):
        return None
    texts = (found.get(key) for key in ("user", "why"))
    moments = (found.get(key) for key in ("until", "since"))
    if not all(text is None or (isinstance(text, str) and text.isprintable()) for text in texts):
        return None
    if not all(moment is None or (type(moment) is int and FIRST <= moment <= LAST) for moment in moments):
        return None
    ticket, refusal, granted = (found.get(key) for key in ("ticket", "refusal", "granted"))
    # One of them it is.
    if [ticket, refusal, granted].count(None) != 2:
        return None
    good = isinstance(ticket, str) and bool(_TICKET.fullmatch(ticket))
    return Answer(**found) if good or refusal in REFUSALS or granted is True else None
