"""What the README asks its reader to type."""

import re
import shlex

from checkout import ROOT


def commands(heading):
    """Return the commands of a chapter's console blocks, each as a list of words."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    chapter = re.split(r"^##+ ", text.partition(f"### {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```console\n(.*?)^```", chapter, re.MULTILINE | re.DOTALL)
    return [shlex.split(line[2:], comments=True) for line in "".join(blocks).splitlines() if line.startswith("# ")]
