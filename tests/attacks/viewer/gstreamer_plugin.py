"""A granted user has the viewer load planted code, a GStreamer plug-in in the user's home."""

from attacks.stage import HOME, TOOLS, Stage, evil

RECIPE = "succeeds"
STOPPED_BY = "viewer: its sandbox has nothing of the user's home"
NEEDS = TOOLS


def attack(client):
    stage = Stage(client)
    stage.write(f"{HOME}/.local/share/gstreamer-1.0/plugins/libgstevil.so", evil())
    stage.view()
    return stage.heard()
