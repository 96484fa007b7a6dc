"""Languages of what users read: which one they want, and texts in it.

``say`` takes a text in English and finds its translation in a catalogue; ``make messages`` collects the texts. What
administrators read is English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

ENGLISH = "en"
# The others, each with a catalogue.
TRANSLATED = ("de",)


def chosen(environment: Mapping[str, str]) -> str:
    """Return the language that an environment asks for: the first in its order that is known, else English.

    As gettext does, but English counts where somebody likes it better than a language that is known. Nothing else of
    the variables is used, so they may hold anything.
    """
    locale = next(filter(None, map(environment.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "C")
    # Whoever asks for no language at all gets none: setlocale(3).
    wanted = [locale] if _name(locale) in ("C", "POSIX") else (environment.get("LANGUAGE") or locale).split(":")
    names = ("en" if name in ("C", "POSIX") else name for name in map(_name, wanted))
    return next((name for name in names if name in (ENGLISH, *TRANSLATED)), ENGLISH)


def say(language: str, text: str, **values: object) -> str:
    """Return a text in a language, with values in the place of their names in braces."""
    found = text if language == ENGLISH else _catalogues()[language].get(text, text)
    return found.format(**values)


def texts(language: str) -> Mapping[str, str]:
    """Return all texts of a language by their English."""
    return _catalogues()[language]


def _name(locale: str) -> str:
    """Return the language of a locale: ``de`` of ``de_AT.UTF-8@euro``."""
    return re.split("[_.@]", locale)[0]


def _catalogues() -> Mapping[str, Mapping[str, str]]:
    # A user waits for the opener, which mostly has nothing to say.
    from spicegrants.core import catalogues

    return catalogues.CATALOGUES
