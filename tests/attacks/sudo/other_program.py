"""A granted user has sudo start a shell, an editor, an interpreter or a copy of the viewer instead."""

from attacks.calls import granted, passes, site
from scenes import VIEWER

RECIPE = "fails"
STOPPED_BY = "sudo: rules name one program by its path"
__all__ = ["site"]


def attack(client):
    options, program, arguments = granted(client)
    tried = (
        ("-s", "true"),
        ("-i", "true"),
        ("-s", program, *arguments),
        ("-i", program, *arguments),
        ("/usr/bin/env", program, *arguments),
        ("/usr/bin/python3", "-I", program, *arguments),
        ("/bin/sh", "-c", "true"),
        ("/proc/self/exe",),
        (program.replace("/usr/", "/usr/../bin/../usr/") + "x", *arguments),
        ("/home/myself/" + VIEWER.rpartition("/")[2], *arguments),
    )
    edits = [("-e", program)] if passes(client, *options, "-e", program, env={"SUDO_EDITOR": "true"}) else []
    return edits + [words for words in tried if passes(client, *options, *words)]
