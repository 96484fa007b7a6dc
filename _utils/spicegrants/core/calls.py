"""Calls as people type them: whatever is wrong with the arguments, one line says so, and which there are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from spicegrants.core.reader import did_you_mean, quote

_ANY = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)


def checked(failure: type[Exception]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a decorator for functions that Salt offers; it says what is wrong with the arguments of a call.

    Salt itself names a misspelt argument and no other, and prints the whole docstring if one is missing. So to Salt
    such a function takes any keyword; what it really takes is its attribute ``exact``.

    failure
        The exception that is raised, such as Salt's ``CommandExecutionError``.
    """

    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        exact = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            # Salt adds what it knows of the job, as __pub_jid, where any keyword is taken.
            named = {name: value for name, value in kwargs.items() if not name.startswith("__")}
            wrong = complaint(exact, len(args), named)
            if wrong:
                raise failure(wrong)
            return function(*args, **named)

        # By this attribute Salt would look at the function itself.
        del call.__wrapped__  # type: ignore[attr-defined]
        call.__signature__ = exact.replace(parameters=[*exact.parameters.values(), _ANY])  # type: ignore[attr-defined]
        call.exact = exact  # type: ignore[attr-defined]
        return call

    return decorated


def complaint(exact: inspect.Signature, count: int, named: dict[str, Any]) -> str:
    """Say what is wrong with the arguments of a call, and which there are; empty if nothing is.

    count
        Number of the arguments that are given by their place.

    named
        Those that are given by their name.
    """
    known = [*exact.parameters]
    placed = known[:count]
    required = [name for name, parameter in exact.parameters.items() if parameter.default is parameter.empty]
    wrong = [f"no argument {quote(name)}{did_you_mean(name, known)}" for name in named if name not in known]
    if count > len(known):
        wrong.append(f"{count} arguments are too many")
    wrong += [f"{name!r} is given twice" for name in placed if name in named]
    if not wrong:
        wrong = [f"{name!r} is missing" for name in required if name not in placed and name not in named]
    spelled = ", ".join(map(_spelled, exact.parameters.values()))
    return f"{'; '.join(wrong)} (arguments: {spelled or 'none'})" if wrong else ""


def _spelled(parameter: inspect.Parameter) -> str:
    return parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default}"


def has_master(options: Mapping[str, Any]) -> bool:
    """Tell whether there is a master, as Salt does; without a minion's daemon it would look for that for a second.

    options
        Salt's ``__opts__``.
    """
    alone = options.get("local") or options.get("file_client") == "local" or options.get("master_type") == "disable"
    return bool(not alone or options.get("use_master_when_local"))
