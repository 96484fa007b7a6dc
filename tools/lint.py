"""Checks of our own: docstrings show how to call a function, and every SLS renders.

Prints ``file:line: text`` for each finding and exits with 1 if there is any.
"""

import ast
import logging
import pathlib
import re
import sys
import tempfile
import warnings
from typing import NamedTuple

from spicecheck.errors import one_line

ROOT = pathlib.Path(__file__).resolve().parents[1]
CLI_EXAMPLE = "CLI Example:"
YAML_BLOCK = ".. code-block:: yaml"
DOCSTRINGS = {
    **dict.fromkeys(("_modules", "_runners", "_output"), CLI_EXAMPLE),
    **dict.fromkeys(("_states", "_beacons"), YAML_BLOCK),
}
HOOKS = ("mod_aggregate", "mod_init", "mod_watch")  # called by Salt, never by users
PILLAR_FAILED = "Pillar failed to render"  # said of each SLS, and reported once by itself
LOADER_DIRS = {"module_dirs": "_modules", "states_dirs": "_states", "utils_dirs": "_utils"}


class Finding(NamedTuple):
    """A place to correct: path, line and text."""

    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


# Docstrings: source text in, findings out


def public_functions(source):
    """Return the functions of a loader file that users can call."""
    nodes = ast.parse(source).body
    functions = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return [node for node in functions if not node.name.startswith("_") and node.name not in HOOKS]


def docstring_findings(path, source, wanted):
    """Return a finding for each public function whose docstring is missing or lacks the required text."""
    found = []
    for node in public_functions(source):
        text = ast.get_docstring(node)
        if not text:
            found.append(Finding(path, node.lineno, f"{node.name}() has no docstring"))
        elif wanted not in text:
            found.append(Finding(path, node.lineno, f"the docstring of {node.name}() has no {wanted!r}"))
    return found


def error_line(text):
    """Return the line that a renderer's error names, 1 if it names none.

    >>> error_line("Jinja syntax error: unexpected '}'; line 3")
    3
    """
    match = re.search(r"\bline (\d+)", text)
    return int(match.group(1)) if match else 1


def sls_name(path):
    """Return the name of an SLS by its path under a file root.

    >>> sls_name(pathlib.PurePath("spice/init.sls")), sls_name(pathlib.PurePath("spice/clean.sls"))
    ('spice', 'spice.clean')
    """
    parts = list(path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "init" and len(parts) > 1 else parts)


# What is on disk


def check_docstrings(root):
    """Return the findings in all loader files of the checkout."""
    found = []
    for directory, wanted in DOCSTRINGS.items():
        for path in sorted((root / directory).glob("*.py")):
            found += docstring_findings(str(path.relative_to(root)), path.read_text(encoding="utf-8"), wanted)
    return found


def caller(root, scratch):
    """Return Salt without master and network, on the checkout's states and pillar."""
    import salt.client
    import salt.config

    config = scratch / "minion"
    config.write_text("", encoding="utf-8")
    opts = salt.config.minion_config(str(config))
    opts.update(
        id="lint",
        file_client="local",
        master_type="disable",
        enable_fqdns_grains=False,
        root_dir=str(scratch),
        cachedir=str(scratch / "cache"),
        file_roots={"base": [str(root / "salt")]},
        pillar_roots={"base": [str(root / "pillar")]},
        **{option: [str(root / name)] for option, name in LOADER_DIRS.items()},
    )
    return salt.client.Caller(mopts=opts)


def check_sls(root, salt_caller):
    """Return the findings in all SLS files under salt/ and pillar/."""
    from salt.exceptions import SaltException

    found = []
    for path in sorted([*(root / "salt").rglob("*.sls"), *(root / "pillar").rglob("*.sls")]):
        shown = str(path.relative_to(root))
        errors = []
        try:
            salt_caller.cmd("slsutil.renderer", path=str(path))
            if path.name != "top.sls" and path.is_relative_to(root / "salt"):
                states = salt_caller.cmd("state.show_sls", sls_name(path.relative_to(root / "salt")))
                errors += states if isinstance(states, list) else []
        except SaltException as err:
            errors.append(str(err))
        errors = [text for text in errors if not text.startswith(PILLAR_FAILED)]
        found += [Finding(shown, error_line(text), one_line(text)) for text in errors]
    errors = salt_caller.sminion.opts["pillar"].get("_errors", [])
    return found + [Finding("pillar/top.sls", 1, one_line(text)) for text in errors]


def main(argv):
    """Check the checkout, or another directory like it; print findings, return the exit code."""
    root = pathlib.Path(argv[1]).resolve() if len(argv) > 1 else ROOT
    found = check_docstrings(root)
    logging.disable(logging.CRITICAL)  # Salt logs what it returns as well
    with tempfile.TemporaryDirectory(prefix="lint-") as scratch:
        salt_caller = caller(root, pathlib.Path(scratch))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about Salt's own code
            found += check_sls(root, salt_caller)
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
