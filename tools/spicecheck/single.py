"""A pillar file by itself, read as Salt reads plain YAML."""

from __future__ import annotations

import re

import yaml
from salt.utils import yamlloader

from spicecheck.compiled import Compiled
from spicecheck.errors import RenderingError, one_line

_TEMPLATE = re.compile(r"\{[{%#]")
# What the first line may name for a file that is no template; see Salt's documentation of renderers.
_PLAIN = ("yaml", "json", "jinja|yaml", "jinja|json")
_BY_MINION = "check it for a minion: spice-grant-check --pillar-root DIR MINION"


def read(path: str) -> Compiled:
    """Return what a file holds, or what is wrong with it as YAML.

    Raises ValueError if it takes more than the file to tell what it declares, OSError if it cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return _wrong("it is no text in UTF-8")
    renderer = text.partition("\n")[0][2:].strip().replace(" ", "") if text.startswith("#!") else "jinja|yaml"
    if renderer not in _PLAIN:
        raise ValueError(f"{path} is for the renderer {one_line(renderer)!a}; {_BY_MINION}")
    found = _TEMPLATE.search(text) if renderer.startswith("jinja") else None
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(f"{path} is a template: it has Jinja in line {line}; {_BY_MINION}")
    try:
        data = yamlloader.load(text, Loader=yamlloader.SaltYamlSafeLoader)
    except yaml.MarkedYAMLError as err:
        # Not its whole text: that has an excerpt of the file, in which there may be a password.
        line = f" in line {err.problem_mark.line + 1}" if err.problem_mark else ""
        return _wrong(f"it is no YAML: {one_line(str(err.problem))}{line}")
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        return _wrong(f"it is no YAML: {type(err).__name__}")
    if not isinstance(data, dict):
        return _wrong("it holds no mapping with 'spice'")
    if "include" in data:
        raise ValueError(f"{path} includes other files; {_BY_MINION}")
    return Compiled(data, ())


def _wrong(reason: str) -> Compiled:
    return Compiled({}, (RenderingError(None, reason),))
