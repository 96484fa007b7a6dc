"""This package as a program: a zip application that the system's own Python runs, without Salt."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

_START = b"#!/usr/bin/python3 -IS\n"
# Who interrupts it while it starts ends it, without a word.
_MAIN = """\
import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)

from {module} import main  # noqa: E402

sys.exit(main())
"""


def archive(sources: Mapping[str, bytes], module: str) -> bytes:
    """Return a program. The same sources give the same bytes.

    sources
        Text of each of the package's files, by its path below the directory that holds the package.

    module
        The one whose ``main`` returns the exit code, dotted.
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
