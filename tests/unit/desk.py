"""A user's desk for the launcher: its menu, terminal and programs replaced, and nothing else."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from spicegrants.core import languages
from spicegrants.viewer import desk as files
from spicegrants.viewer import launcher
from unit.build import VIEWER


class Started(BaseException):
    """Sudo was started."""


class Stream:
    def __init__(self, terminal):
        self.terminal = terminal

    def isatty(self):
        return self.terminal


class Desk:
    """A user's desk: menu, terminal and installed programs.

    Dialogs answer with ``answers``, exit code and text, as long as there are some; then with what is ``chosen``, or as
    who cancels.
    """

    def __init__(self, directory, patch):
        self.menu = directory / "1021"
        self.patch = patch
        self.programs = {}
        self.dialogs = []
        self.chosen = ""
        self.answers = []
        self.contact = directory / "contact"
        patch.setattr(launcher, "MENUS", str(directory))
        patch.setattr(launcher, "CONTACT", str(self.contact))
        patch.setattr(launcher, "LOCALES", str(directory / "locale"))
        for name in languages.TRANSLATED:
            place = directory / "locale" / name / "LC_MESSAGES"
            place.mkdir(parents=True)
            (place / "spice-grant.mo").write_bytes(files.catalogue(languages.texts(name)))
        self.speaks()
        patch.setattr(launcher.os, "getuid", lambda: 1021)
        patch.setattr(launcher.os, "posix_spawn", self.spawn)
        patch.setattr(shutil, "which", self.programs.get)
        patch.setattr(subprocess, "run", self.run)
        for name in ("SUDO_ASKPASS", "SUDO_PROMPT"):
            patch.delenv(name, raising=False)
        patch.setenv("DISPLAY", ":0")
        self.terminal(True)

    def speaks(self, **variables):
        """Set the variables of a language, and no others; catalogues are those that a run writes."""
        for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
            self.patch.delenv(name, raising=False)
        for name, value in variables.items():
            self.patch.setenv(name, value)
        launcher.catalogue.cache_clear()

    def terminal(self, there):
        self.patch.setattr(sys, "stdin", Stream(there))

    def grants(self, windows=None, /, about=None, **consoles):
        """Write the menu; a console by name and whether its password is asked; windows by name, where there are any.

        Lists of windows are spelled as in menus, anything else is written as it is. ``about`` has what else the menu
        says of a console, by name.
        """
        entries = {
            name: {"file": f"/etc/spice-grant/vms/{name}.vv", "password": password, "grants": [name]}
            for name, password in consoles.items()
        }
        for name, spans in (windows or {}).items():
            spelled = " ".join(f"{start}-{end}" for start, end in spans) if isinstance(spans, list) else spans
            entries[name]["windows"] = spelled
        for name, fields in (about or {}).items():
            entries[name].update(fields)
        self.menu.write_text(json.dumps({"group": "spicegrp", "viewer": VIEWER, "consoles": entries}), encoding="utf-8")

    def spawn(self, program, arguments, environment):
        raise Started(program, arguments)

    def run(self, command, **options):
        self.dialogs.append([os.fsdecode(word) for word in command])
        self.environment = options.get("env")
        code, text = self.answers.pop(0) if self.answers else (0 if self.chosen else 1, self.chosen)
        return subprocess.CompletedProcess(command, code, stdout=f"{text}\n".encode())

    def opened(self, *arguments):
        """Start the launcher, which must start sudo; return sudo's arguments."""
        with pytest.raises(Started) as caught:
            launcher.main(list(arguments))
        program, command = caught.value.args
        assert program == command[0] == "/usr/bin/sudo"
        return command[1:]


def call(name):
    return ["-g", "spicegrp", "--", VIEWER, "--", f"/etc/spice-grant/vms/{name}.vv"]
