"""A granted user keeps the viewer's group permanently, by a file that planted code in the viewer makes (chmod g+s)."""

from attacks.stage import EVIL, HOME, KEPT, TOOLS, USER, Stage

RECIPE = "succeeds"
STOPPED_BY = "viewer: its sandbox runs no code of the user's, and has no place to leave anything"
NEEDS = TOOLS


def attack(client):
    stage = Stage(client)
    stage.write(f"{HOME}/.config/gtk-3.0/settings.ini", f"[Settings]\ngtk-modules={EVIL}\n")
    stage.view().kill_tree()
    kept = client.machine.run(["sh", "-c", f"test -e {KEPT} && {KEPT} -g"], user=USER, check=False).stdout
    return kept.strip() == str(stage.gid)
