"""A granted user has the viewer load planted code, a GTK module that a file in the user's home names (settings.ini)."""

from attacks.stage import EVIL, HOME, TOOLS, Stage

RECIPE = "succeeds"
STOPPED_BY = "viewer: its sandbox has nothing of the user's home"
NEEDS = TOOLS


def attack(client):
    stage = Stage(client)
    stage.write(f"{HOME}/.config/gtk-3.0/settings.ini", f"[Settings]\ngtk-modules={EVIL}\n")
    stage.view()
    return stage.heard()
