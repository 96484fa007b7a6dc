"""A granted user has the viewer start planted code as the browser, by the link in its dialog About."""

from attacks.stage import TOOLS, Stage

RECIPE = "succeeds"
STOPPED_BY = "viewer: its sandbox has no desktop entries, neither the user's nor the system's"
NEEDS = (*TOOLS, "pgrep", "xdotool", "xwininfo")
TITLE, LINK = "About Virtual Machine Viewer", (226, 159)


def attack(client):
    stage = Stage(client)
    stage.handles("x-scheme-handler/https")
    stage.view()
    stage.choose("About", TITLE)
    return stage.looks_for_handlers(stage.click, *LINK, TITLE)
