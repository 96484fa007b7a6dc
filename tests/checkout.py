"""The checkout as somebody gets it: the files that git knows or would take, links as links."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def copy_checkout(target):
    """Copy these files to a directory, which is made."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(os.path.lexists, (ROOT / name for name in names if name)):
        copied = Path(target) / name.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, copied, follow_symlinks=False)


@functools.cache
def commit():
    """A number of the commit that is checked out, for what differs from commit to commit; 0 without git."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=8", "HEAD"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return int(output or "0", 16)
