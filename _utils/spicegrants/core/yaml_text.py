"""Plain data as YAML that each reader takes for the same: by hand, as only the standard library is imported here."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
# What YAML 1.1 takes for something else than text.
_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


def spelled(value: Any) -> str:
    """Spell a value in one line.

    >>> print(spelled({"vm": ["books", "no"], "nopasswd": True}))
    {vm: [books, "no"], nopasswd: true}
    """
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value.casefold() not in _WORDS else _quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        # YAML 1.1 takes 1e+300 for text.
        return repr(value) if "." in repr(value) else repr(value).replace("e", ".0e")
    if isinstance(value, datetime.date):
        # Pillar takes the text for the same moment.
        return _quoted(value.isoformat())
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{spelled(key)}: {spelled(each)}' for key, each in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(spelled, value))}]"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return f'"{"".join(map(_letter, text))}"'


def _letter(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    # As Python spells it, but for such as tabs.
    number = ord(letter)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
