"""sudo-rs: the sudoers lines that it accepts, and our own file read without cvtsudoers.

sudo-rs skips each line that it does not accept, with a message at every call: a line with a time, or with a setting
that it does not know. So the file holds no times, and the opener, which decides at each call anyway, keeps them
(https://github.com/trifectatechfoundation/sudo-rs, docs/man/sudoers.5.md).
"""

from __future__ import annotations

import re
from typing import Any

from spicegrants.core.paths import OPENER

# What of our settings 0.2.5 knows, and all newer ones do.
SETTINGS = frozenset({"env_reset", "env_keep", "env_check", "targetpw", "rootpw", "secure_path"})
_RULE = re.compile(rf"(?P<user>\S+) ALL=\(root\) (?P<free>NO)?PASSWD: NOSETENV: (?P<command>{OPENER} \S+)")
_ALIAS = re.compile(r"Cmnd_Alias ([A-Z_]+) =")


def is_sudo_rs(version: str) -> bool:
    """Tell whether a version text is that of sudo-rs."""
    return version.startswith("sudo-rs ")


def tree(text: str) -> dict[str, Any]:
    """Return the rules of our file in the form of cvtsudoers' JSON; other lines are left out."""
    specs = []
    for match in filter(None, map(_RULE.fullmatch, text.splitlines())):
        options: list[dict[str, bool]] = [{"authenticate": not match["free"]}, {"setenv": False}]
        entry = {
            "runasusers": [{"username": "root"}],
            "Options": options,
            "Commands": [{"command": match["command"]}],
        }
        user = re.sub(r"\\(.)", r"\1", match["user"])
        specs.append({"User_List": [{"username": user}], "Cmnd_Specs": [entry]})
    aliases: dict[str, list[dict[str, str]]] = {name: [] for name in re.findall(_ALIAS, text)}
    return {**({"User_Specs": specs} if specs else {}), **({"Command_Aliases": aliases} if aliases else {})}
