"""Bytecode for programs that users wait for, made by the Python that runs them.

That is the system's; Salt's own may be another. Compiling takes longer than all else that an unchanged run does, so a
note says which program came of which sources. It is gone with the next boot, and then they are compiled once more.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping

from spicegrants.core import zipapp
from spicegrants.core.entries import Directory, File
from spicegrants.core.errors import SystemFault
from spicegrants.core.paths import PYTHON, RUN
from spicegrants.host import disk, package, run

NOTE = f"{RUN}/bytecode"
# The standard library alone may be imported, from where nobody else writes. Each file has the digest of its source in
# it: where that is another, or this Python is, the source is compiled.
_COMPILER = """\
import sys
sys.path.pop(0)
import _imp, base64, importlib.util, json, marshal
found = {}
for path, text in json.load(sys.stdin).items():
    source = base64.b64decode(text)
    code = marshal.dumps(compile(source, path, "exec", dont_inherit=True))
    digest = _imp.source_hash(importlib.util._RAW_MAGIC_NUMBER, source)
    found[path] = base64.b64encode(importlib.util.MAGIC_NUMBER + b"\\x03\\0\\0\\0" + digest + code).decode()
print(json.dumps(found))
"""
# Without a seed the order of sets is another each time, and with it the bytes.
_COMMAND = ("env", "PYTHONHASHSEED=0", PYTHON, "-sS", "-c", _COMPILER)
# Programs that were compiled, by what they came of.
_made: dict[str, bytes] = {}


def program(module: str, parts: tuple[str, ...], installed: bytes) -> bytes:
    """Return what :func:`~spicegrants.host.package.program` returns, with bytecode beside the sources.

    installed
        The program as it is on this machine now. If it is the one that was compiled last, it is returned.

    Raises :class:`~spicegrants.core.errors.SystemFault` if the system's Python cannot compile it.
    """
    key = _digest(package.program(module, parts), _python().encode())
    if key not in _made:
        if _noted() == _note(key, installed):
            return installed
        sources = package.sources(parts)
        _made[key] = zipapp.archive({**sources, **_compiled(sources)}, module)
    return _made[key]


def remember() -> None:
    """Note what was compiled, for the runs until the next boot."""
    for key, content in _made.items():
        desired = File(_note(key, content), 0o600)
        if disk.read(RUN) != Directory(0o700):
            disk.make_directory(RUN, Directory(0o700))
        if disk.read(NOTE) != desired:
            disk.write(NOTE, desired)


def forget() -> None:
    """Remove the note."""
    disk.remove(NOTE)


def _compiled(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    texts = {path: base64.b64encode(source).decode() for path, source in sources.items()}
    found = run.as_json(run.run([*_COMMAND], text=json.dumps(texts)), PYTHON)
    with run.understood(PYTHON):
        return {f"{path}c": base64.b64decode(found[path]) for path in sources}


def _python() -> str:
    """Return what changes when the system gets another Python."""
    try:
        path = os.path.realpath(PYTHON)
        status = os.stat(path)
    except OSError as error:
        raise SystemFault(f"{PYTHON} cannot be looked at: {error}") from error
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def _noted() -> bytes | None:
    try:
        return disk.read_text(NOTE)
    except SystemFault:
        # It saves time, and nothing else.
        return None


def _note(key: str, content: bytes) -> bytes:
    return f"{key} {_digest(content)}\n".encode()


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
