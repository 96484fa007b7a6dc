"""A granted user has the viewer load planted code from its standard input, which has a path (/proc/self/fd/0)."""

from attacks.stage import EVIL, TOOLS, Stage

RECIPE = "succeeds"
STOPPED_BY = "viewer: its sandbox has no /proc, and no descriptor of the user's gets there"
NEEDS = (*TOOLS, "xsettingsd")


def attack(client):
    stage = Stage(client)
    stage.xsettings("/proc/self/fd/0")
    with open(client.machine.path(EVIL), "rb") as code:
        stage.view(stdin=code)
    return stage.heard()
