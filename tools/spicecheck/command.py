"""The command line of ``spice-grant-check``."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import yaml

from spicecheck import compiled, single
from spicecheck.errors import one_line
from spicegrants.core.errors import PolicyError
from spicegrants.host import terminal
from spicegrants.policy import pillar
from spicegrants.policy.merge import misspelt, plain

_ABOUT = """\
Check what pillar declares under 'spice': a file of plain YAML by itself, or the pillar of minions, compiled with Salt's
own compiler, without a master. All that is wrong is said, with minion, path or file, and reason. Templates run as on a
master: check only what you would let a master render."""
_CODES = "Exit codes: 0 nothing is wrong, 1 something is, 2 the command cannot be carried out as it was given."


class Error(NamedTuple):
    """One error: at a path of the pillar, in a file, or both if the file that declares it is known."""

    path: str | None
    file: str | None
    reason: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.path, self.reason) if part)


class Judged(NamedTuple):
    """The findings for one minion; ``grants`` is ``None`` if nothing valid is declared."""

    declares: bool
    grants: int | None
    errors: tuple[Error, ...]


def judge(found: compiled.Compiled, *, require: bool) -> Judged:
    """Judge a compiled pillar; with ``require``, one that declares nothing is an error."""
    errors = [Error(None, _shown(err.file), err.reason) for err in found.errors]
    if "spice" not in found.data:
        # Where a file is broken, what it would have declared is not known.
        errors += [Error(name, None, "unknown key, did you mean 'spice'?") for name in misspelt(found.data)]
        if require and not errors:
            errors.append(Error("spice", None, "is not declared"))
        return Judged(False, None, tuple(errors))
    try:
        grants = len(pillar.parse_policy(plain(found.data["spice"])).grants)
    except PolicyError as err:
        grants = None
        errors += [Error(path, _shown(found.declaring(path)), message) for path, message in err.findings]
    return Judged(True, grants, tuple(errors))


def _shown(path: str | None) -> str | None:
    """Spell a path relative to here, if it is below."""
    if path is None:
        return None
    relative = os.path.relpath(path)
    return path if relative.split(os.sep)[0] == os.pardir else relative


def as_data(minions: dict[str, Judged]) -> dict[str, Any]:
    """Return the output of ``--json``."""
    return {
        "errors": sum(len(judged.errors) for judged in minions.values()),
        "minions": {
            name: {**judged._asdict(), "errors": [error._asdict() for error in judged.errors]}
            for name, judged in minions.items()
        },
    }


def as_lines(minions: dict[str, Judged]) -> Iterable[str]:
    """Yield the output for people: a line for each error, and one for each minion without any."""
    for name, judged in minions.items():
        for error in judged.errors:
            yield f"{name}: {error}"
        if not judged.errors:
            yield f"{name}: {'no spice' if judged.grants is None else f'good, grants: {judged.grants}'}"


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "spice-grant-check",
        description=_ABOUT,
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        fromfile_prefix_chars="@",
    )
    parser.add_argument(
        "minions",
        nargs="+",
        metavar="FILE|MINION",
        help="pillar file; or, where the options name a pillar, minion id; @FILE for those in a file, one a line",
    )
    parser.add_argument(
        "--pillar-root", action="append", default=[], metavar="DIR", help="with top.sls; may be repeated"
    )
    parser.add_argument("--config", metavar="DIR", help="the master's, as /etc/salt: its options, and its pillar roots")
    parser.add_argument("--pillar-env", metavar="NAME", help="as of a git_pillar branch; default: base")
    parser.add_argument("--grains", metavar="FILE", help="JSON or YAML: grains of the minions, beside their id")
    parser.add_argument("--require", action="store_true", help="a minion whose pillar has no 'spice' is an error")
    parser.add_argument("--json", action="store_true", help="print data, for programs")
    return parser


def _grains(path: str | None) -> dict[str, Any]:
    """Return the grains in a file; raise ValueError if it holds none."""
    if path is None:
        return {}
    with open(path, encoding="utf-8") as file:
        try:
            grains = yaml.safe_load(file)
        except yaml.YAMLError as err:
            raise ValueError(f"{path} is neither JSON nor YAML: {one_line(str(err))}") from err
    if not isinstance(grains, dict):
        raise ValueError(f"{path} holds no mapping of grains")
    return grains


def _in_files(given: argparse.Namespace) -> dict[str, Judged]:
    """Judge files, each by itself; raise ValueError or OSError if the arguments are of no use."""
    for option, value in (("--pillar-env", given.pillar_env), ("--grains", given.grains)):
        if value is not None:
            raise ValueError(f"{option} is for minions: where is the pillar? Name it with --pillar-root or --config")
    for path in given.minions:
        if not os.path.exists(path):
            where = "if it is a minion, where is the pillar? Name it with --pillar-root or --config"
            raise ValueError(f"there is no file {path}; {where}")
    return {path: judge(single.read(path), require=True) for path in dict.fromkeys(given.minions)}


def _of_minions(given: argparse.Namespace, scratch: str) -> dict[str, Judged]:
    """Judge the pillars of minions; raise as :func:`_in_files`."""
    opts, grains = _options(given, scratch), _grains(given.grains)
    names, minions = list(dict.fromkeys(given.minions)), {}
    with terminal.live_line() as line:
        for done, name in enumerate(names):
            line.count("minions", done, len(names))
            minions[name] = judge(compiled.compile_pillar(opts, name, grains), require=given.require)
    return minions


def _options(given: argparse.Namespace, scratch: str) -> dict[str, Any]:
    """Return Salt's options; raise ValueError or OSError if the arguments are of no use."""
    roots = [os.path.abspath(root) for root in given.pillar_root]
    for root in roots:
        if not os.path.isdir(root):
            raise ValueError(f"{root} is no directory")
    config = given.config and os.path.join(given.config, "master")
    if config and not os.access(config, os.R_OK):
        raise ValueError(f"{config} cannot be read")
    opts = compiled.options(config, scratch, roots, given.pillar_env)
    if not compiled.has_top(opts):
        raise ValueError("there is no top file in the pillar roots")
    return opts


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Salt from also logging its results, and from warnings about its own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = _arguments()
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="spice-grant-check-") as scratch, _quiet():
        try:
            tree = given.pillar_root or given.config is not None
            minions = _of_minions(given, scratch) if tree else _in_files(given)
        except (ValueError, OSError) as err:
            parser.error(str(err))
    if given.json:
        print(json.dumps(as_data(minions), indent=2))
    else:
        print(*as_lines(minions), sep="\n")
    return 1 if any(judged.errors for judged in minions.values()) else 0
