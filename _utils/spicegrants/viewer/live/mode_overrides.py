"""Owner and mode that survive package upgrades, kept by this system's package tools."""

from __future__ import annotations

import shutil
from dataclasses import replace

from spicegrants.core.entries import File
from spicegrants.core.errors import LiveStateUnreadable, SystemFault
from spicegrants.host import disk, run
from spicegrants.viewer import suse_permissions

Rights = suse_permissions.Rights


class Dpkg:
    """dpkg-statoverride(1): dpkg installs a file with the owner and mode registered for it."""

    programs = ("dpkg-statoverride",)

    def read(self, path: str) -> Rights | None:
        """Return the registered owner, group and mode of a file; ``None`` if those of its package hold."""
        result = run.attempt(["dpkg-statoverride", "--list", path])
        if result.returncode == 1 and not result.stderr:
            return None
        words = result.stdout.split()
        if result.returncode or len(words) != 4:
            raise LiveStateUnreadable(
                f"dpkg-statoverride --list {path} ended with {result.returncode}: {result.stderr.strip()}"
            )
        with run.understood("dpkg-statoverride"):
            return words[0], words[1], int(words[2], 8)

    def write(self, path: str, owner: str, group: str, mode: int) -> None:
        """Make a file keep owner, group and mode from now on, in place of earlier ones."""
        if self.read(path) is not None:
            self.remove(path)
        run.run(["dpkg-statoverride", "--add", owner, group, f"{mode:04o}", path])

    def remove(self, path: str) -> None:
        """Let the package's own owner and mode hold again."""
        run.run(["dpkg-statoverride", "--remove", path])


class Permissions:
    """permissions(5) of openSUSE and SLES: permctl, formerly chkstat, sets the file's entries after installations."""

    programs = ("permctl", "chkstat")
    file = "/etc/permissions.local"

    def read(self, path: str) -> Rights | None:
        """Return the registered owner, group and mode of a file; ``None`` if those of its package hold."""
        entry = self._entry()
        return suse_permissions.read(entry.content, path) if entry else None

    def write(self, path: str, owner: str, group: str, mode: int) -> None:
        """Make a file keep owner, group and mode from now on, in place of earlier ones."""
        entry = self._entry()
        text = suse_permissions.write(entry.content if entry else None, path, owner, group, mode)
        disk.write(self.file, replace(entry or File(b"", 0o644), content=text))

    def remove(self, path: str) -> None:
        """Let the package's own owner and mode hold again."""
        entry = self._entry()
        if entry is None:
            return
        content = suse_permissions.remove(entry.content, path)
        if content == suse_permissions.HEADER:
            disk.remove(self.file)
        else:
            disk.write(self.file, replace(entry, content=content))

    def _entry(self) -> File | None:
        entry = disk.read(self.file)
        if entry is not None and not isinstance(entry, File):
            raise SystemFault(f"{self.file} is not a regular file")
        if entry is not None and entry.reader is not None:
            raise SystemFault(f"{self.file} has an access control list, which a new version of it would lose")
        return entry


def mechanism() -> Dpkg | Permissions | None:
    """Return the mechanism that keeps owner and mode on this system; ``None`` if there is none.

    dpkg comes last: systems that are not based on its packages may have it as well.
    """
    for kind in (Permissions, Dpkg):
        if any(shutil.which(program, path=run.SEARCH) for program in kind.programs):
            return kind()
    return None
