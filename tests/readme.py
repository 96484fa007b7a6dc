"""What README and docs ask their readers to type, and what they show them."""

import re
import shlex

from checkout import ROOT


def chapter(heading, page="README.md"):
    """Return the text below a heading of a page, up to the next heading."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no chapter {heading!r}"
    return found[1]


def blocks(heading, language, page="README.md"):
    """Return the blocks of a chapter that are in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", chapter(heading, page), re.MULTILINE | re.DOTALL)


def commands(heading, page="README.md"):
    """Return the commands of a chapter's console blocks, each as a list of words."""
    lines = "".join(blocks(heading, "console", page)).splitlines()
    return [shlex.split(line[2:], comments=True) for line in lines if line.startswith("# ")]


def printed(heading, page="README.md"):
    """Return what the last command of a chapter's console blocks prints there."""
    lines = "".join(blocks(heading, "console", page)).splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if line.startswith(("# ", "$ ")))
    return "".join(lines[last + 1 :])
