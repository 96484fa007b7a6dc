"""A granted user has the viewer load planted code by variables of its libraries (GTK, GIO, GStreamer)."""

from attacks.stage import EVIL, HOME, TOOLS, Stage, evil

RECIPE = "fails"
STOPPED_BY = "sudo: env_reset; and viewer: the opener makes the environment anew"
NEEDS = TOOLS


def attack(client):
    stage = Stage(client)
    stage.write(f"{HOME}/.local/modules/libgstevil.so", evil())
    directory = f"{HOME}/.local/modules"
    names = ("GIO_EXTRA_MODULES", "GST_PLUGIN_PATH", "GST_PLUGIN_PATH_1_0", "GTK_PATH")
    stage.view(env={"GTK_MODULES": EVIL, "GTK3_MODULES": EVIL, **dict.fromkeys(names, directory)})
    return stage.heard()
