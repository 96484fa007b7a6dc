"""Writes the drawing of a week to the files that root names."""

from __future__ import annotations

from typing import Any

from spicegrants.audit import week_drawing
from spicegrants.audit.week import Week
from spicegrants.host import report_file
from spicegrants.schedule import instants

_FORMS = {"svg": week_drawing.svg, "html": week_drawing.page}


def write(week: Week, svg: object, html: object) -> dict[str, Any]:
    """Write an SVG, a page, or both, and return what was written; nothing is, unless both can be.

    svg, html
        Their paths, as somebody typed them; ``None`` for what is not to be written.
    """
    asked = {form: path for form, path in (("svg", svg), ("html", html)) if path is not None}
    places = {form: report_file.place(form, path, week_drawing.MARK) for form, path in asked.items()}
    report_file.write({path: _FORMS[form](week) for form, path in places.items()})
    return {
        "written": list(places.values()),
        "consoles": len(week.rows),
        "from": instants.words(week.start, week.zone),
        "until": instants.words(week.end, week.zone),
    }
