"""docs/security.md says of each file that root writes who may write beside it; it leaves out no path, and no code."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import spicegrants
from checkout import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("\n## Files that root writes\n")[2].partition("\n## ")[0]
TABLE = [line for line in SECTION.splitlines() if re.match(r"\| .* \| .* \| .* \| .* \|$", line)][1:]
NAMED = {name for line in TABLE for name in re.findall(r"`(/[^`]+)`", line.split(" | ")[0])}
OURS = re.compile(r"/(?:[\w.@-]+/)*[\w.@-]*(?:spice-grant|rviewer)[\w./-]*")
WRITING = {
    "disk": {"make_directory", "make_parents", "prune", "remove", "write"},
    "os": {"chmod", "chown", "fchmod", "fchown", "ftruncate", "lchown", "link", "makedirs", "mkdir", "mkfifo", "mknod"}
    | {"pwrite", "remove", "removedirs", "rename", "replace", "rmdir", "setxattr", "symlink", "truncate", "unlink"},
    "shutil": {"chown", "copy", "copy2", "copyfile", "copymode", "copytree", "move", "rmtree"},
    "tempfile": {"mkdtemp", "mkstemp", "NamedTemporaryFile", "TemporaryDirectory", "TemporaryFile"},
}
OF_PATH = {"hardlink_to", "symlink_to", "touch", "write_bytes", "write_text"}


def strings(value):
    """All text in a value of a module."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from strings([*value, *value.values()])
    elif isinstance(value, (tuple, list, set, frozenset)):
        for each in value:
            yield from strings(each)


def paths():
    """All paths of ours among the constants of the library; where the library itself lies is none of them."""
    for found in pkgutil.walk_packages(spicegrants.__path__, "spicegrants."):
        for text in strings([*vars(importlib.import_module(found.name)).values()]):
            if OURS.fullmatch(text) and not Path(text).is_relative_to(ROOT):
                yield text


def writes(call):
    """Whether a call makes, changes or removes something at a path, as far as its text says."""
    whose = ast.unparse(call.func).rpartition(".")
    if whose[2] in WRITING.get(whose[0], ()) or (whose[1] and whose[2] in OF_PATH):
        return True
    words = ast.unparse(call)
    if whose == ("os", ".", "open"):
        return bool(re.search(r"O_(CREAT|RDWR|TRUNC|WRONLY|APPEND)", words))
    return whose[2] in ("open", "fdopen") and bool(re.search(r"'[rb]*[wax+][wax+b]*'", words))


def writers():
    """All files of ours that make, change or remove something at a path, as the document names them."""
    core = ROOT / "_utils" / "spicegrants"
    for path in (*core.rglob("*.py"), *ROOT.glob("_[mbs]*/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.Call) and writes(node) for node in ast.walk(tree)):
            yield str(path.relative_to(core)) if path.is_relative_to(core) else path.name


def covered(path):
    """Whether a path is in the table by itself, or in a directory that is."""
    return any(path == name or f"{path}/".startswith(name.rstrip("/") + "/") for name in NAMED if name.count("/") > 1)


def test_each_path_of_ours_is_in_the_table():
    found = {*paths()}
    assert {"/run/spice-grant.lock", "/usr/local/bin/rviewer"} <= found
    assert [path for path in sorted(found) if not covered(path)] == []


def test_each_file_that_writes_is_in_the_table():
    """Or in what is said below of all of them."""
    found = {*writers()}
    known = {"host/disk.py", "host/lock.py", "viewer/live/read_once.py", "sudo/live/tools.py", "viewer/live/layer.py"}
    assert known <= found
    assert [name for name in sorted(found) if f"`{name}`" not in SECTION] == []
