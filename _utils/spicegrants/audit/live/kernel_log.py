"""Reader of the lines that the kernel itself logged, with their moments: from systemd's journal, or /dev/kmsg."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.host import run

# So many lines of the journal are read, the newest; that older ones are left out is reported.
MOST = 100_000
_JOURNAL = "/run/systemd/journal"
_KMSG = "/dev/kmsg"
# The kernel ends a read with an error if a line does not fit; it makes none that is longer.
_LONGEST = 8192
# Documentation/ABI/testing/dev-kmsg: priority and facility, sequence, microseconds, flags; further fields may follow.
_LINE = re.compile(rb"([0-9]+),[0-9]+,([0-9]+),[^;\n]*;([^\n]*)")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def lines(since: int) -> tuple[list[tuple[int, str]], bool]:
    """Return the kernel's lines from a moment on, each with its own, and whether older ones were left out.

    They are what the kernel logs itself, not what root's programs write into its log. The journal is read where it
    runs; if it has none, the kernel's own buffer, which has those since boot and does not count time asleep.

    Raises :class:`~spicegrants.core.errors.SystemFault` if that cannot be read.
    """
    run.as_root()
    found = _journal(since) if os.path.isdir(_JOURNAL) else []
    if len(found) > MOST:
        return found[-MOST:], True
    return found or [line for line in _kernel() if line[0] >= since], False


def _journal(since: int) -> list[tuple[int, str]]:
    options = ["--quiet", "--no-pager", "--all", "--output=json", "--output-fields=MESSAGE", f"--lines={MOST + 1}"]
    # Nobody but journald sets the first; programs' lines in the kernel's log have another facility.
    only = ["_TRANSPORT=kernel", "SYSLOG_FACILITY=0"]
    printed = run.run(["journalctl", *options, f"--since=@{since}", *only], encoding="utf-8", errors="backslashreplace")
    return [journal_line(line) for line in printed.splitlines() if line]


def journal_line(printed: str) -> tuple[int, str]:
    """Return moment and text of an entry as ``journalctl --output=json`` prints it."""
    try:
        entry = json.loads(printed)
        # Text that is no UTF-8 comes as its bytes, several of one name as a list of them.
        text = entry.get("MESSAGE")
        text = text if isinstance(text, str) else bytes(text or ()).decode("ascii", "backslashreplace")
        return int(entry["__REALTIME_TIMESTAMP"]) // 1_000_000, text
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LiveStateUnreadable(f"journalctl printed what is no entry: {printed[:80]!a}") from error


def _kernel() -> Iterator[tuple[int, str]]:
    """Read the kernel's own buffer, from the oldest line on."""
    # Lines are timed by a clock that nobody sets or slews, and that stands still while the machine is asleep.
    boot = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
    try:
        descriptor = os.open(_KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise LiveStateUnreadable(f"{_KMSG} cannot be read: {error}") from error
    try:
        while True:
            try:
                record = os.read(descriptor, _LONGEST)
            except BlockingIOError:
                return
            except BrokenPipeError:
                # New lines took the place of the next one; reading goes on with the oldest that is left.
                continue
            found = kernel_line(record)
            if found is not None:
                yield int(boot + found[0]), found[1]
    except OSError as error:
        raise LiveStateUnreadable(f"{_KMSG} cannot be read: {error}") from error
    finally:
        os.close(descriptor)


def kernel_line(record: bytes) -> tuple[float, str] | None:
    """Return seconds since boot and text of a record of /dev/kmsg; ``None`` if a program wrote it."""
    match = _LINE.match(record)
    if match is None:
        raise LiveStateUnreadable(f"{_KMSG} holds what is no line of a log: {record[:80]!r}")
    if int(match[1]) >> 3:
        return None
    text = _ESCAPED.sub(lambda escape: bytes([int(escape[1], 16)]), match[3])
    return int(match[2]) / 1_000_000, text.decode("utf-8", "backslashreplace")
