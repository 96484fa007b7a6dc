"""
Tables, sentences and bars for what ``spice_grant`` and its layers' modules answer.

.. versionadded:: 0.1.0

Salt chooses it by itself for the functions that name it; ``--out=json``, ``yaml`` and ``nested`` show the data instead.
What is no such answer, an error's text or that of a minion with other code, is shown as ``nested`` does.

Tables are as wide as the terminal, and 80 columns without one; the variable COLUMNS of the environment counts before
that. They have colours where Salt has, and no sign but ASCII's where the terminal cannot show others.
"""

import os
import shutil
import sys as _sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

# A process may have imported what its files no longer are: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]
# Salt puts libraries on the path while it loads execution modules; for outputters not.
for _name in ("utils", "_utils"):
    _libraries = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), _name)
    if os.path.isdir(os.path.join(_libraries, "spicegrants")) and _libraries not in _sys.path:
        _sys.path.append(_libraries)

from salt.utils.color import get_colors

from spicegrants.audit.tables import answers, layout, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # What Salt's loader provides.
    __salt__: dict[str, Callable[..., Any]] = {}
    __opts__: dict[str, Any] = {}

__virtualname__ = "spice_grant"

_COLOURS = {
    layout.HEAD: "CYAN",
    layout.GOOD: "GREEN",
    layout.BAD: "LIGHT_RED",
    layout.DOUBT: "YELLOW",
}
# Columns without a terminal, and at most: further apart nobody finds the line again.
_FIXED, _WIDEST = 80, 240
_INDENT = 2
_SIGNS = "█▌▐▒·▼●"


def __virtual__():
    return __virtualname__


def output(ret, **kwargs):
    """
    Return answers of minions, or of the runner, as text.

    ret
        The answers: a dict by minion, or what the runner returned. Required.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_grant.list --out=spice_grant
    """
    encoding = _encoding()
    # What cannot be shown is escaped as well: print() would raise, and Salt show the bytes of all instead.
    return _shown(ret, _screen(encoding), kwargs).encode(encoding, "backslashreplace").decode(encoding)


def _shown(ret, screen, kwargs):
    text_alone = answers.as_text(ret)
    if text_alone is not None:
        return text_alone
    laid_out = answers.of_fleet(ret, screen)
    if laid_out is not None:
        return _painted(laid_out)
    if not isinstance(ret, Mapping):
        return _nested(ret, kwargs)
    question = answers.asked(__opts__.get("fun"), __opts__.get("arg"))
    inner = screen._replace(width=screen.width - _INDENT)
    parts = []
    for minion, answer in ret.items():
        lines = answers.lay_out(answer, question, inner)
        if lines is None:
            parts.append(_nested({minion: answer}, kwargs))
        else:
            head = (layout.Piece(f"{text.printable(minion)}:", layout.HEAD),)
            parts.append(_painted([head, *((layout.Piece(" " * _INDENT), *line) for line in lines)]))
    return "\n".join(parts)


def _encoding():
    """Return the encoding of what the text will be written to; Salt writes files in UTF-8."""
    return "utf-8" if __opts__.get("output_file") else getattr(_sys.stdout, "encoding", None) or "utf-8"


def _screen(encoding):
    """Look at where the text will be shown."""
    size = _FIXED if __opts__.get("output_file") else shutil.get_terminal_size((_FIXED, 24)).columns
    try:
        _SIGNS.encode(encoding)
        signs = True
    except UnicodeEncodeError:
        signs = False
    return layout.Screen(max(layout.NARROWEST, min(size, _WIDEST)), signs, int(time.time()))


def _painted(lines):
    """Give pieces their colours, where Salt gives any."""
    colours = get_colors(__opts__.get("color"), __opts__.get("color_theme"))
    shown = []
    for line in lines:
        pieces = []
        for piece in line:
            colour = _COLOURS.get(piece.style)
            pieces.append(f"{colours[colour]}{piece.text}{colours['ENDC']}" if colour else piece.text)
        shown.append("".join(pieces).rstrip())
    return "\n".join(shown)


def _nested(data, kwargs):
    """Show data as Salt does by itself, with nothing in it that moves the cursor."""
    return __salt__["nested"](text.harmless(data), **kwargs)
