"""Files around the launcher, for all who work at the desk: desktop entry, man page, completion in shells, languages."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from spicegrants.core import languages
from spicegrants.core.entries import File
from spicegrants.core.languages import ENGLISH, say
from spicegrants.core.paths import (
    BASH_COMPLETION,
    DESKTOP_ENTRY,
    FISH_COMPLETION,
    LAUNCHER,
    MANUAL,
    ZSH_COMPLETION,
    catalogue_file,
)
from spicegrants.viewer import completions, manual

_DESKTOP_TEXT = """\
[Desktop Entry]
Type=Application
{names}
Exec={launcher}
Icon=video-display
Terminal=false
Categories=Network;RemoteAccess;
"""
# The first entry of a catalogue, of no text: how the others are to be read.
_HEAD = {"": "Content-Type: text/plain; charset=UTF-8\n"}
_MAGIC = 0x950412DE


def desktop_text() -> str:
    """Return the desktop entry, with its names in all languages."""
    names = []
    for language in (ENGLISH, *languages.TRANSLATED):
        mark = "" if language == ENGLISH else f"[{language}]"
        names += [
            f"Name{mark}={say(language, 'SPICE consoles')}",
            f"Comment{mark}={say(language, 'Open the consoles that were granted to you')}",
            f"Keywords{mark}={say(language, 'virtual machine;VM;remote;viewer;')}",
        ]
    return _DESKTOP_TEXT.format(names="\n".join(names), launcher=LAUNCHER)


def catalogue(texts: Mapping[str, str]) -> bytes:
    """Return texts and their translations as gettext reads them: in the form of GNU's msgfmt, without a hash table."""
    pairs = sorted((text.encode(), other.encode()) for text, other in {**_HEAD, **texts}.items())
    strings = [text for text, _ in pairs] + [other for _, other in pairs]
    start = 28 + 8 * len(strings)
    tables, body = b"", b""
    for string in strings:
        tables += struct.pack("<2I", len(string), start + len(body))
        body += string + b"\0"
    middle = 28 + 8 * len(pairs)
    return struct.pack("<7I", _MAGIC, 0, len(pairs), 28, middle, 0, start) + tables + body


def entries() -> dict[str, File]:
    """Return the files by path."""
    texts = {
        DESKTOP_ENTRY: desktop_text(),
        MANUAL: manual.MANUAL,
        BASH_COMPLETION: completions.BASH,
        ZSH_COMPLETION: completions.ZSH,
        FISH_COMPLETION: completions.FISH,
    }
    catalogues = {catalogue_file(name): catalogue(languages.texts(name)) for name in languages.TRANSLATED}
    return {path: File(content, 0o644) for path, content in {**_encoded(texts), **catalogues}.items()}


def _encoded(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {path: text.encode() for path, text in texts.items()}


# Known without the content: what is watched, and what is ours.
PATHS = (
    DESKTOP_ENTRY,
    MANUAL,
    BASH_COMPLETION,
    ZSH_COMPLETION,
    FISH_COMPLETION,
    *map(catalogue_file, languages.TRANSLATED),
)
