"""A granted user starts what opens a console in a new mount namespace, in which system files are the user's own."""

from attacks.stage import EVIL, HOME, TOOLS, USER, Stage

RECIPE = "fails"
STOPPED_BY = "sudo: in a user namespace that a user made it is no set-UID program"
NEEDS = (*TOOLS, "unshare")
# System-wide settings of GTK.
OWN = f'mount --bind {HOME}/.config /etc/gtk-3.0 && exec "$@"'


def attack(client):
    stage = Stage(client, group=None)
    stage.write(f"{HOME}/.config/settings.ini", f"[Settings]\ngtk-modules={EVIL}\n")
    stage.tries(by=["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", OWN, "-"])
    # Its code runs with the user's own group, as it is known outside of that namespace. A dialog that tells them why
    # nothing opens may load it as well: that is no viewer.
    heard = stage.heard(gid=client.machine.account(USER)["gid"], patience=3)
    return heard and client.machine.run(["pgrep", "--exact", "remote-viewer"], check=False).stdout
