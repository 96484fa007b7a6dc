"""Errors: findings, and one exception class for each kind of reader."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class Finding(NamedTuple):
    """One error and its place: a path in pillar, or the name of a loan, an argument or the clock."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class SpiceGrantError(Exception):
    """Base of all errors of this package."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return what it says, each thing by itself."""
        return (str(self),)


class PolicyError(SpiceGrantError):
    """The declared policy is wrong; carries every finding, not just the first."""

    def __init__(self, findings) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(self.sentences))

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return its findings in words."""
        return tuple(map(str, self.findings))


class SystemFault(SpiceGrantError):
    """The system refused, or is not as it must be; nothing was assumed in its place.

    programs
        Names or paths of the programs whose absence is the reason; mostly none.
    """

    def __init__(self, message: object = "", programs: Iterable[str] = ()) -> None:
        self.programs = tuple(programs)
        super().__init__(message)


class SeveralFaults(SystemFault):
    """What one look found wrong, each thing by itself."""

    def __init__(self, sentences: Iterable[str], programs: Iterable[str] = ()) -> None:
        self._sentences = tuple(dict.fromkeys(sentences))
        super().__init__("\n".join(self._sentences), programs)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return what it says, each thing by itself."""
        return self._sentences


class CommandFailed(SystemFault):
    """A program is missing, ended with an error, or has not answered in time."""


class LiveStateUnreadable(SystemFault):
    """The live state of the system cannot be read; unreadable is not empty."""


@contextlib.contextmanager
def kept(faults: list[SpiceGrantError]) -> Iterator[None]:
    """Add an error to a list, and go on: what else is wrong is to be reported with it."""
    try:
        yield
    except SpiceGrantError as error:
        faults.append(error)


def programs_of(faults: Iterable[SpiceGrantError]) -> list[str]:
    """Return the programs whose absence is behind errors."""
    return [program for fault in faults if isinstance(fault, SystemFault) for program in fault.programs]


def together(faults: Sequence[SpiceGrantError], more: Sequence[str] = ()) -> SpiceGrantError:
    """Return one error for several, in their order; the error itself if it is alone.

    more
        Further sentences.
    """
    if len(faults) == 1 and not more:
        return faults[0]
    return SeveralFaults((*(each for fault in faults for each in fault.sentences), *more), programs_of(faults))


@contextlib.contextmanager
def translated(failure: type[Exception]) -> Iterator[None]:
    """Re-raise errors of this package as another exception, such as Salt's ``CommandExecutionError``.

    Not as its ``SaltInvocationError``: below that, salt-call prints the whole docstring of the function.
    """
    try:
        yield
    except SpiceGrantError as error:
        raise failure(str(error)) from error
