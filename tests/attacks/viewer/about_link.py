"""A granted user has the viewer start his code as the browser, by the link in its dialog About."""

from attacks.stage import HANDLERS, TOOLS, Stage

RECIPE = "succeeds"
STOPPED_BY = "viewer: its sandbox has no desktop entries, neither the user's nor the system's"
NEEDS = (*TOOLS, "pgrep", "xdotool", "xwininfo")
TITLE, LINK = "About Virtual Machine Viewer", (226, 159)


def attack(client):
    stage = Stage(client)
    stage.handles("x-scheme-handler/https")
    stage.view()
    stage.choose("About", TITLE)
    watch = stage.watch(HANDLERS)
    stage.click(*LINK, TITLE)
    assert watch.hear() == "opened", "the viewer looks for no browser: this says nothing"
    return stage.heard(patience=3)
