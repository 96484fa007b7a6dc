"""A granted user has the viewer load planted code by the loader's own variables (LD_PRELOAD, LD_AUDIT)."""

from attacks.stage import EVIL, TOOLS, Stage

RECIPE = "fails"
STOPPED_BY = "sudo: env_reset; and viewer: the opener makes the environment anew"
NEEDS = TOOLS


def attack(client):
    stage = Stage(client)
    stage.view(env={"LD_PRELOAD": EVIL, "LD_AUDIT": EVIL})
    return stage.heard()
