"""systemd's journal as it grows: what the kernel's guard and sudo refuse."""

from __future__ import annotations

import os
import shutil
import subprocess

from spicegrants.core.errors import SystemFault

_JOURNAL = "/run/systemd/journal"
_FIELDS = "MESSAGE,_EXE,_TRANSPORT"
# Lines of the kernel's own, and all of sudo's. What programs write into the kernel's log has another facility.
_WANTED = ("_TRANSPORT=kernel", "SYSLOG_FACILITY=0", "+", "_EXE=/usr/bin/sudo")
_READ = 65536
# Longer lines are none of those that are looked for.
_LONGEST = 1 << 20


class Journal:
    """A program that follows the journal; it ends with this one."""

    def __init__(self, cursor: str) -> None:
        """Begin after an entry.

        cursor
            Its place in the journal; empty for what comes from now on.
        """
        command = ["journalctl", "--follow", "--quiet", "--output=json", f"--output-fields={_FIELDS}"]
        command += [f"--after-cursor={cursor}", "--lines=all"] if cursor else ["--lines=0"]
        try:
            self.process = subprocess.Popen(
                [*command, *_WANTED],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            )
        except OSError as error:
            raise SystemFault(f"journalctl cannot be started: {error}") from error
        self.output = self.process.stdout.fileno()  # type: ignore[union-attr]
        os.set_blocking(self.output, False)
        self.rest = b""

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self.output

    def lines(self) -> list[bytes] | None:
        """Return the entries that have come; ``None`` once the program has ended."""
        try:
            read = os.read(self.output, _READ)
        except BlockingIOError:
            return []
        if not read:
            self.process.wait()
            return None
        *found, self.rest = (self.rest + read).split(b"\n")
        if len(self.rest) > _LONGEST:
            self.rest = b""
        return found

    def end(self) -> None:
        """End the program."""
        self.process.kill()
        self.process.wait()


def there() -> bool:
    """Tell whether there is a journal, and what reads it."""
    return os.path.isdir(_JOURNAL) and shutil.which("journalctl") is not None
