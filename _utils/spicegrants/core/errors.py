"""What can go wrong, one class for each kind of reader."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that is wrong, and where: a pillar path, or the name of a layer."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class SpiceGrantError(Exception):
    """Base of all errors of this package."""


class PolicyError(SpiceGrantError):
    """The declared policy is wrong; carries every finding, not just the first."""

    def __init__(self, findings) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


class SystemFault(SpiceGrantError):
    """The system refused, or is not as it must be; nothing was assumed in its place."""


class CommandFailed(SystemFault):
    """A program is missing, ended with an error, or printed what cannot be read."""


class LiveStateUnreadable(SystemFault):
    """What the system holds now cannot be read; unreadable is not empty."""


@contextlib.contextmanager
def translated(failure: type[Exception], invalid: type[Exception] | None = None) -> Iterator[None]:
    """Raise errors of this package as others: Salt has its own.

    failure
        For all of them.

    invalid
        For a wrong policy. Defaults to ``failure``.
    """
    try:
        yield
    except PolicyError as error:
        raise (invalid or failure)(str(error)) from error
    except SpiceGrantError as error:
        raise failure(str(error)) from error
