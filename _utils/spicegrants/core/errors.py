"""Errors: findings, and one exception class for each kind of reader."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple


class Finding(NamedTuple):
    """One error and its place: a path in pillar, or the name of a loan, an argument or the clock."""

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
    """A program is missing, ended with an error, or has not answered in time."""


class LiveStateUnreadable(SystemFault):
    """The live state of the system cannot be read; unreadable is not empty."""


@contextlib.contextmanager
def translated(failure: type[Exception]) -> Iterator[None]:
    """Re-raise errors of this package as another exception, such as Salt's ``CommandExecutionError``.

    Not as its ``SaltInvocationError``: below that, salt-call prints the whole docstring of the function.
    """
    try:
        yield
    except SpiceGrantError as error:
        raise failure(str(error)) from error
