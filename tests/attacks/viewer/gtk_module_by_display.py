"""A granted user has the viewer load planted code, a GTK module that the display's settings name (XSETTINGS)."""

from attacks.stage import EVIL, TOOLS, Stage

RECIPE = "succeeds"
STOPPED_BY = "viewer: its sandbox has nothing of the user's home"
NEEDS = (*TOOLS, "xsettingsd")


def attack(client):
    stage = Stage(client)
    stage.xsettings(EVIL)
    stage.view()
    return stage.heard()
