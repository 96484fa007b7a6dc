"""Registry of GStreamer's plug-ins for confined viewers, which can write none of their own.

A viewer without it looks at every plug-in of the system at each start, while its user waits. With it GStreamer still
compares each file's time and size, and looks again at what changed: it saves time, and nothing else.
"""

from __future__ import annotations

import base64
import glob
import os

from spicegrants.core.entries import Directory, File
from spicegrants.core.errors import CommandFailed, SystemFault
from spicegrants.core.paths import PYTHON, RUN
from spicegrants.host import disk, run
from spicegrants.viewer import sandbox
from spicegrants.viewer.live import confinement

_PLUGINS = ("/usr/lib/gstreamer-1.0", "/usr/lib64/gstreamer-1.0", "/usr/lib/*/gstreamer-1.0")
# Seconds that it may take.
_PATIENCE = 20
_WRITER = f"""\
import base64, ctypes
ctypes.CDLL("libgstreamer-1.0.so.0").gst_init(None, None)
print(base64.b64encode(open({sandbox.REGISTRY_MADE!r}, "rb").read()).decode())
"""


def remember() -> None:
    """Have the plug-ins looked at, in a sandbox, if they changed since; raise ``SystemFault`` if that fails.

    It has the time of the newest directory of plug-ins, so a clock that was set back meanwhile changes nothing.
    """
    try:
        found = [os.stat(path).st_mtime_ns for pattern in _PLUGINS for path in glob.glob(pattern)]
        known = os.lstat(sandbox.REGISTRY).st_mtime_ns if os.path.lexists(sandbox.REGISTRY) else None
    except OSError as error:
        raise SystemFault(f"plug-ins cannot be looked at: {error}") from error
    if not found or known == max(found):
        return
    # Nobody else has this UID, and so nobody can change what the process says.
    alone = 2**30 + int.from_bytes(os.urandom(4), "big") % 2**30
    words = sandbox.registry_command(confinement.layout(), alone, [PYTHON, "-IS", "-c", _WRITER])
    with run.patience(_PATIENCE):
        printed = run.run(words)
    try:
        # A plug-in may have printed something before.
        content = base64.b64decode(printed.strip().rpartition("\n")[2], validate=True)
    except ValueError as error:
        raise CommandFailed(f"{PYTHON} printed something else than it does ({error})") from error
    if disk.read(RUN) != Directory(0o700):
        disk.make_directory(RUN, Directory(0o700))
    disk.write(sandbox.REGISTRY, File(content, 0o644))
    try:
        os.utime(sandbox.REGISTRY, ns=(max(found), max(found)), follow_symlinks=False)
    except OSError as error:
        raise SystemFault(f"the time of {sandbox.REGISTRY} cannot be set: {error}") from error


def forget() -> None:
    """Remove the registry."""
    disk.remove(sandbox.REGISTRY)
