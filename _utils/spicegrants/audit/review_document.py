"""A whole review, and its form in JSON, with which the next review is compared. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from spicegrants.audit.fleet import line
from spicegrants.audit.review import Change, difference
from spicegrants.audit.review_row import Row, is_note, row, sound
from spicegrants.schedule import instants

VERSION = 1
_MADE_BY = "spice_grant.review"
# The second line of each file, to know it again by.
MARK = f' "made by": "{_MADE_BY}",'
_MOST = 200_000


class Review(NamedTuple):
    """A review.

    now
        When it was made, in seconds since 1970.

    since
        From when on sessions and refusals count: a moment in ISO 8601, or how far back.

    desks
        How many minions were asked.

    rows
        As :mod:`spicegrants.audit.review_row` says, notes among them.

    earlier
        When the review was made that this one is compared with; ``None`` for none.

    changes
        What is different from that.
    """

    now: int
    since: str
    desks: int
    rows: list[Row]
    earlier: str | None = None
    changes: tuple[Change, ...] = ()

    @property
    def accesses(self) -> list[Row]:
        """Return the rows without the notes."""
        return [each for each in self.rows if not is_note(each)]

    @property
    def notes(self) -> list[Row]:
        """Return the notes."""
        return [each for each in self.rows if is_note(each)]

    @property
    def zone(self) -> str:
        """Return the time zone of most policies that it is about."""
        ((zone, _),) = Counter(each["zone"] for each in self.accesses).most_common(1) or [("UTC", 0)]
        return instants.shown_zone(zone)

    def compared(self, old: Old) -> Review:
        """Return the review with what is different from an earlier one, and what is wrong with that one's file."""
        changes = tuple(difference(old.rows, self.rows))
        notes = [row("", "", (), why=complaint) for complaint in old.complaints]
        return self._replace(rows=[*self.rows, *notes], earlier=old.at, changes=changes)


class Old(NamedTuple):
    """An earlier review: when it was made, its rows, and what is wrong with its file."""

    at: str
    rows: list[Row]
    complaints: list[str]


def plain_changes(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Return changes as plain data."""
    return [
        {
            "what": each.what,
            "user": each.row["user"],
            "vm": each.row["vm"],
            "groups": each.row["groups"],
            "fields": {name: [*values] for name, values in each.fields.items()},
        }
        for each in changes
    ]


def dumped(review: Review) -> str:
    """Return a review as JSON."""
    head = {"made by": _MADE_BY, "version": VERSION, "at": instants.iso(review.now), "since": review.since}
    compared: dict[str, Any] = {}
    if review.earlier is not None:
        compared = {"compared with": review.earlier, "changes": plain_changes(review.changes)}
    # What is drawn is no part of what is compared, and would be most of the file.
    rows = [{name: value for name, value in each.items() if name not in ("windows", "used")} for each in review.rows]
    return json.dumps({**head, "desks": review.desks, **compared, "rows": rows}, indent=1) + "\n"


def loaded(content: bytes) -> Old | str:
    """Return an earlier review from its JSON, or in words why it is none; what of it is malformed is reported."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        return f"it is no JSON: {line(error)}"
    if not isinstance(found, Mapping) or found.get("made by") != _MADE_BY or not isinstance(found.get("rows"), list):
        return "it is no review in JSON, as spice_grant.review writes it"
    every = found["rows"][:_MOST]
    rows = [each for each in map(sound, every) if each is not None]
    complaints = []
    if len(rows) < len(found["rows"]):
        complaints.append(f"{len(found['rows']) - len(rows):,} row(s) of the earlier review cannot be read")
    version = found.get("version")
    if type(version) is not int or version > VERSION:
        complaints.append("the earlier review is of a newer version: there may be more in it than is compared")
    at = found.get("at")
    return Old(line(at) if isinstance(at, str) else "some time", rows, complaints)
