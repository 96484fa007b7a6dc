"""Pillars of minions, compiled from files by Salt's own compiler."""

from __future__ import annotations

import copy
import os
import re
import warnings
from typing import Any, NamedTuple

from spicecheck.errors import RenderingError, one_line
from spicegrants.core.reader import Node

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about Salt's own code
    import salt.config
    import salt.pillar
    from salt.exceptions import SaltException

_SLS = re.compile(r"\bSLS '([^']+)'")
# What the compiler raises, without a word of its own, where a top file or an include has an odd shape.
_ODD_SHAPES = (AttributeError, KeyError, TypeError, ValueError)


class Compiled(NamedTuple):
    """The pillar of one minion, as far as it could be compiled; ``files`` has the content of each file by itself."""

    data: dict[str, Any]
    errors: tuple[RenderingError, ...]
    files: tuple[tuple[str, dict[str, Any]], ...] = ()

    def declaring(self, path: str) -> str | None:
        """Return the file that declares a finding's subject, or leads furthest to it; of several, the last read.

        path
            A path below ``spice``, as in findings.
        """
        reach = [(_steps(Node(held.get("spice"), "spice", []), path), file) for file, held in self.files]
        furthest = max((steps for steps, _ in reach), default=0)
        return [file for steps, file in reach if steps == furthest][-1] if furthest else None


def _steps(node: Node, path: str) -> int:
    """Return how many steps data leads along a path."""
    if isinstance(node.value, dict):
        children = [node.child(key) for key in node.value]
    else:
        children = node.elements() if isinstance(node.value, list) else []
    return next((1 + _steps(child, path) for child in children if f"{path}:".startswith(f"{child.path}:")), 0)


class _Compiler(salt.pillar.Pillar):
    """Salt's own compiler, which also keeps the content of each file: the merged pillar does not show it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.held: dict[tuple[str, str], Any] = {}

    def render_pstate(self, sls: str, saltenv: str, mods: dict[str, Any], defaults: Any = None) -> Any:
        """Render a file and those that it includes, which are read before it."""
        rendered = super().render_pstate(sls, saltenv, mods, defaults)
        self.held[sls, saltenv] = mods.get(sls)
        return rendered

    def files(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Return path and content of each file that holds something, in the order of reading."""
        return tuple((self.path(*name), held) for name, held in self.held.items() if isinstance(held, dict))

    def path(self, sls: str, env: str) -> str:
        """Return the path of a file; empty if there is none."""
        return self.client.get_state(sls, env).get("dest", "")


def options(config: str | None, scratch: str, roots: list[str], env: str | None) -> dict[str, Any]:
    """Return the options of a master that only compiles pillar.

    config
        The master's configuration file; without one, Salt's defaults count.

    scratch
        A directory for what Salt writes; nothing else is written.

    roots
        Directories with the pillar, in place of those of the configuration. What other sources (``ext_pillar``) add to
        the pillar is then left out: git_pillar among them would bring in the very files that are to be replaced.

    env
        The pillar environment; with ``None`` all that the configuration has, and ``base`` for the ``roots``.

    Raises ValueError if the configuration cannot be read.
    """
    if config is None:
        config = os.path.join(scratch, "master")
        with open(config, "w", encoding="utf-8"):
            pass
    try:
        opts = salt.config.master_config(config, exit_on_config_errors=True)
    except (SystemExit, SaltException) as err:  # Salt exits by itself, with the reason in its log
        raise ValueError(f"{config} is no configuration that Salt can read") from err
    opts.update(cachedir=scratch, pillar_cache=False, minion_data_cache=False, file_client="local", pillarenv=env)
    opts["pillar_safe_render_error"] = False  # the reason is what is asked for
    if roots:
        opts.update(pillar_roots={env or "base": roots}, ext_pillar=[])
    return opts


def has_top(opts: dict[str, Any]) -> bool:
    """Tell whether there is a top file, or another source of pillar; without either, Salt silently compiles nothing."""
    top = opts["state_top"].removeprefix("salt://")
    roots = [root for found in opts["pillar_roots"].values() for root in found]
    return bool(opts.get("ext_pillar")) or any(os.path.isfile(os.path.join(root, top)) for root in roots)


def compile_pillar(opts: dict[str, Any], minion_id: str, grains: dict[str, Any]) -> Compiled:
    """Compile the pillar of one minion.

    opts
        The master's options, from :func:`options`.

    minion_id, grains
        The minion's name and grains for the top file and templates; the grain ``id`` is added.

    As on a master, templates are programs: they run with the caller's rights.
    """
    try:
        compiler = _Compiler(copy.deepcopy(opts), {**grains, "id": minion_id}, minion_id, None)
        try:
            data = compiler.compile_pillar()
            errors = [RenderingError(_file(compiler, text), one_line(text)) for text in data.pop("_errors", ())]
            files = compiler.files()
        finally:
            compiler.destroy()
    except (SaltException, *_ODD_SHAPES) as err:
        return Compiled(
            {}, (RenderingError(None, f"Salt cannot compile it: {type(err).__name__}: {one_line(str(err))}"),)
        )
    return Compiled(data, tuple(dict.fromkeys(errors)), files)


def _file(compiler: _Compiler, text: str) -> str | None:
    """Return the file that an error is about."""
    named = _SLS.search(text)
    for env in compiler.opts["pillar_roots"]:
        if named:
            path = compiler.path(named[1], env)
        else:
            path = compiler.client.cache_file(compiler.opts["state_top"], env) if " top file" in text.lower() else None
        if path:
            return path
    return None
