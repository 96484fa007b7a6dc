"""Validating reader of nested plain data: it collects all findings, each with its path."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from spicegrants.core.errors import Finding

_T = TypeVar("_T")
_ALIKE = 0.6


def quote(value: Any) -> str:
    """Quote a value from pillar for a message: one short line, control characters escaped.

    Lists and mappings are named by their kind only: there may be a password in them.
    """
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a huge number"
    text = ascii(value) if isinstance(value, str) else f"{value!a} ({type(value).__name__})"
    return text if len(text) <= 80 else text[:77] + "..."


def name_for(word: Any, known: Iterable[str], read: Callable[[str], Any]) -> Any:
    """Return the name that a word of a command line stands for; the word itself if none or several match.

    Salt turns such words into numbers and booleans before anybody sees them: ``101``, ``0x10`` and ``on``.

    known
        The names that exist.

    read
        Converts text as Salt does.
    """
    if isinstance(word, str):
        return word
    found = [name for name in known if type(read(name)) is type(word) and read(name) == word]
    return found[0] if len(found) == 1 else word


def chosen(
    what: str, word: Any, known: Iterable[str], read: Callable[[str], Any], failure: type[Exception], where: str = ""
) -> str:
    """Return the name that a word of a command line stands for; raise if there is no such name.

    what, where
        Kind of the names, and where they are known, for the message.

    failure
        The exception to raise.

    word, known, read
        As for :func:`name_for`.
    """
    known = list(known)
    name = name_for(word, known, read)
    if not isinstance(name, str) or name not in known:
        raise failure(f"no {what} {quote(word)}{where}{did_you_mean(str(word), known)}")
    return name


def did_you_mean(name: Any, known: Iterable[str], alike: float = _ALIKE) -> str:
    """Return ``, did you mean 'x'?`` when a known name is close to text, else an empty string."""
    close = nearest(name, known, alike) if isinstance(name, str) else None
    return "" if close is None else f", did you mean {quote(close)}?"


def nearest(name: str, known: Iterable[str], alike: float = _ALIKE) -> str | None:
    """Return the known name that is close to another, in small letters or large; ``None`` if none is.

    alike
        How close it must be; 1 is the same.
    """
    import difflib  # Only for what is wrong: a user waits for the opener, which reads what is right.

    folded = {each.casefold(): each for each in known}
    # Of two letters one may be wrong.
    cutoff = min(alike, 0.5) if len(name) == 2 else alike
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=cutoff)
    return folded[close[0]] if close else None


def complete(values: Iterable[_T | None]) -> list[_T] | None:
    """Return all values that were read; ``None`` if any could not be read."""
    values = list(values)
    found = [value for value in values if value is not None]
    return found if len(found) == len(values) else None


class Node:
    """A value at a path. Its readers return the value, or note a finding and return ``None`` or a default."""

    __slots__ = ("_findings", "_place", "value")

    def __init__(self, value: Any, place: str | tuple[Node, Any], findings: list[Finding]) -> None:
        self.value = value
        self._place = place
        self._findings = findings

    @property
    def path(self) -> str:
        """Return the path of the value; it is spelled out for findings only, which are few."""
        if isinstance(self._place, str):
            return self._place
        parent, key = self._place
        return f"{parent.path}:{key if isinstance(key, str) and key.isprintable() else quote(key)}"

    def wrong(self, message: str) -> None:
        """Note a finding at this path."""
        self._findings.append(Finding(self.path, message))

    def child(self, key: Any) -> Node:
        """Return the node below a key; its value is ``None`` where the key is absent."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return Node(value, (self, key), self._findings)

    def children(self, *keys: str) -> list[tuple[str, Node]]:
        """Return those of some keys that a mapping has, each with its child."""
        return [(key, self.child(key)) for key in keys if key in self.value]

    def items(self) -> list[tuple[str, Node]]:
        """Return the children of a mapping whose keys are arbitrary names."""
        if not isinstance(self.value, dict):
            self.wrong(f"must be a mapping of names, not {quote(self.value)}")
            return []
        children = []
        for key in self.value:
            child = self.child(key)
            if isinstance(key, str):
                children.append((key, child))
            else:
                child.wrong("a name must be text: put it in quotes")
        return children

    def keys(self, required: Iterable[str], optional: Iterable[str] = ()) -> bool:
        """Check that this is a mapping with the required keys and no unknown ones; return whether it is a mapping."""
        required, known = tuple(required), (*required, *optional)
        if not isinstance(self.value, dict):
            self.wrong(f"must be a mapping with {', '.join(known)}, not {quote(self.value)}")
            return False
        for key in self.value:
            if key not in known:
                hint = did_you_mean(key, known)
                self.child(key).wrong(f"unknown key{hint or ', known are ' + ', '.join(known)}")
            elif self.value[key] is None:
                self.child(key).wrong("has no value")
        for key in required:
            if key not in self.value:
                self.wrong(f"{key!r} is missing")
        return True

    @property
    def absent(self) -> bool:
        """Tell whether there is no value here."""
        return self.value is None

    def text(self, check: Callable[[str], str | None]) -> str | None:
        """Return text that passes ``check``, which says what is wrong or returns ``None``."""
        if self.absent:
            return None
        if not isinstance(self.value, str):
            self.wrong(f"must be text, not {quote(self.value)}")
            return None
        complaint = check(self.value)
        if complaint:
            self.wrong(f"{quote(self.value)} {complaint}")
            return None
        return self.value

    def flag(self, default: bool) -> bool:
        """Return a boolean; ``default`` where absent."""
        if self.absent:
            return default
        if not isinstance(self.value, bool):
            self.wrong(f"must be true or false, not {quote(self.value)}")
            return default
        return self.value

    def choice(self, allowed: Iterable[str], default: str) -> str:
        """Return one of the allowed words; ``default`` where absent."""
        allowed = tuple(allowed)
        if self.absent:
            return default
        if self.value not in allowed:
            hint = did_you_mean(self.value, allowed)
            self.wrong(f"must be one of {', '.join(allowed)}, not {quote(self.value)}{hint}")
            return default
        return self.value

    def port(self) -> int | None:
        """Return a TCP port."""
        if self.absent:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            self.wrong(f"must be a port number, not {quote(self.value)}")
            return None
        if not 1 <= self.value <= 65535:
            self.wrong(f"{self.value if abs(self.value) < 10**18 else quote(self.value)} is no port: 1 to 65535")
            return None
        return self.value

    def elements(self, *, scalar: bool = False) -> list[Node]:
        """Return the nodes of a list; with ``scalar`` a single value counts as a list of one."""
        if self.absent:
            return []
        if scalar and not isinstance(self.value, (list, dict)):
            return [self]
        if not isinstance(self.value, list):
            self.wrong(f"must be a list, not {quote(self.value)}")
            return []
        nodes = [Node(value, (self, str(index)), self._findings) for index, value in enumerate(self.value)]
        for node in nodes:
            if node.absent:
                node.wrong("has no value")
        return [node for node in nodes if not node.absent]

    def reference(self, known: Collection[str], what: str) -> str | None:
        """Return the name of something that is declared elsewhere; note a finding if it is unknown.

        known
            Names in a collection that is not walked through to find one, as there may be thousands.
        """
        name = self.text(lambda text: None)
        if name is None or name in known:
            return name
        self.wrong(f"no {what} {quote(name)}{did_you_mean(name, known)}")
        return None
