"""iptables chains for time windows: rendered as rules in iptables' words, and read back from iptables-save.

At each packet the kernel compares with its own clock, in whole seconds. iptables reads and prints UTC.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from spicegrants.core.reader import complete
from spicegrants.policy.access import Times
from spicegrants.schedule import instants
from spicegrants.schedule.intervals import ALWAYS, FIRST, Range, Windows, clip

# A name of a chain of iptables has at most 28 characters.
_PREFIX = "SPICE-GRANT-T-"
_CHAIN = re.compile(f"{_PREFIX}[0-9a-f]{{10}}")
# Of the last second that the kernel's match can hold, 2038-01-19 03:14:07, the end; an open end is that as well.
_END = 2**31

Words = tuple[str, ...]
# A rule as ``SavedRule.normal`` says it.
OptionWords = tuple[tuple[str, ...], ...]


def is_timed(chain: str) -> bool:
    """Tell whether a chain of iptables is a time chain."""
    return _CHAIN.fullmatch(chain) is not None


def chain(name: str) -> str:
    """Return the name of a time chain in iptables."""
    return name if is_timed(name) else _PREFIX + hashlib.sha256(name.encode()).hexdigest()[:10]


def representable(times: Times) -> Times:
    """Return the times as precisely as iptables can hold them."""
    return Times(_cap(times.opened), _cap(times.lasting))


def _cap(windows: Windows) -> Windows:
    return windows if windows == ALWAYS else clip(windows, FIRST, _END)


def rules(name: str, times: Times, otherwise: str) -> list[Words]:
    """Return the words of a chain's rules: new connections, open connections, and the target of everything else.

    A packet that passes returns to the site's own rules, because this chain is entered by a goto.

    times
        As :func:`representable` returns them.
    """
    opened = [(*_within(span), "-j", "RETURN") for span in times.opened]
    state = ("-m", "conntrack", "--ctstate", "ESTABLISHED")
    lasting = [(*state, *_within(span), "-j", "RETURN") for span in times.lasting]
    return [*opened, *lasting, ("-m", "comment", "--comment", name, "-g", otherwise)]


def _within(span: Range) -> Words:
    if (span,) == ALWAYS:
        return ()
    start, end = span
    since = ("--datestart", instants.iso(start).rstrip("Z")) if start != FIRST else ()
    # The last second belongs to the range.
    return ("-m", "time", *since, "--datestop", instants.iso(end - 1).rstrip("Z"))


def parse_chain(rules_options: Iterable[OptionWords], otherwise: str) -> tuple[str | None, Times | None]:
    """Return the name and times of a chain's rules; ``None`` for what they do not state as :func:`rules` does."""
    *timed, last = rules_options or [()]
    ending = _options(last)
    name = ending["--comment"] if ending.keys() == {"--comment", "-g"} and ending["-g"] == otherwise else None
    found = complete(_read(_options(rule)) for rule in timed)
    if name is None or found is None or found != sorted(found):
        return name, None
    return name, Times(*(tuple(span for goes_on, span in found if goes_on is kind) for kind in (False, True)))


def _options(words: OptionWords) -> dict[str, str]:
    """Return the values of a rule's options; nothing at all if an option occurs twice."""
    options = {option: " ".join(values) for option, *values in words}
    return options if len(options) == len(words) else {}


def _read(options: Mapping[str, str]) -> tuple[bool, Range] | None:
    """Return whether a rule is for connections that are open already, and its window."""
    rest = dict(options)
    verdict, state = rest.pop("-j", None), rest.pop("--ctstate", None)
    start, stop = rest.pop("--datestart", None), rest.pop("--datestop", None)
    if verdict != "RETURN" or state not in (None, "ESTABLISHED") or rest:
        return None
    if start is None and stop is None:
        return state is not None, ALWAYS[0]
    try:
        first = FIRST if start is None else instants.seconds(start)
        return state is not None, (first, _END if stop is None else instants.seconds(stop) + 1)
    except (TypeError, ValueError):
        return None
