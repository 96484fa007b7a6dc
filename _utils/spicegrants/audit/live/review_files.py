"""Files of reviews: those that are written, for whom this runs as alone, and those that are read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from spicegrants.audit import review_csv, review_document, review_page
from spicegrants.audit.review_document import Old, Review
from spicegrants.core.errors import SystemFault
from spicegrants.core.reader import quote
from spicegrants.host import disk, report_file

FORMS: Mapping[str, Callable[[Review], str]] = {
    "html": review_page.page,
    "csv": lambda review: review_csv.written(review.rows),
    "json": review_document.dumped,
}
# By which an earlier file is known, and replaced; into a table somebody may have written decisions.
_MARKS = {"html": review_page.MARK, "csv": None, "json": review_document.MARK}
_MODE = 0o600


def place(form: str, path: object) -> str:
    """Return the path at which a review may be written; raise :class:`~spicegrants.core.errors.SystemFault` if not."""
    return report_file.place("file", path, _MARKS[form], form)


def write(form: str, path: str, review: Review) -> None:
    """Write a review to a path, which :func:`place` has returned."""
    report_file.write({path: FORMS[form](review)}, _MODE)


def earlier(path: object) -> Old:
    """Return an earlier review from its JSON.

    Raises :class:`~spicegrants.core.errors.SystemFault` if there is none.
    """
    old = review_document.loaded(_read("since", path, "json"))
    if isinstance(old, str):
        raise SystemFault(f"since: {path}: {old}")
    return old


def returned(path: object) -> bytes:
    """Return the content of a table that came back; raise as :func:`earlier` does."""
    return _read("file", path, "csv")


def _read(argument: str, path: object, form: str) -> bytes:
    """Read a file whose name says what it is: whoever may have reviews read cannot have any file read."""
    if not isinstance(path, str) or not path.isprintable() or not path.startswith("/"):
        raise SystemFault(f"{argument}: {quote(path)} is no absolute path, as /root/review.{form}")
    if not path.endswith(f".{form}"):
        raise SystemFault(f"{argument}: {quote(path)} must end in .{form}, as /root/review.{form}")
    content = disk.read_site(path)
    if content is None:
        raise SystemFault(f"{argument}: there is no file {path}")
    return content
