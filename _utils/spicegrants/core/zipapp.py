"""Zip applications: parts of this package as a program for the system's own Python, without Salt."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

_START = b"#!/usr/bin/python3 -IS\n"
# An interrupt during the start ends it, without a traceback.
_MAIN = """\
import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)

from {module} import main  # noqa: E402

sys.exit(main())
"""


def archive(sources: Mapping[str, bytes], module: str) -> bytes:
    """Return a zip application. The same sources give the same bytes.

    sources
        Content of each of the package's files, by its path below the directory that holds the package.

    module
        Dotted name of the module whose ``main`` returns the exit code.
    """
    stream = io.BytesIO()
    stream.write(_START)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as packed:
        for path, text in sorted({**sources, "__main__.py": _MAIN.format(module=module).encode()}.items()):
            # The date is that of 1980.
            member = zipfile.ZipInfo(path)
            member.create_system = 3
            member.external_attr = 0o644 << 16
            packed.writestr(member, text)
    return stream.getvalue()
