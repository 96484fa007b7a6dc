"""A granted user has the viewer inherit files that the user has open, as its standard input and beside that."""

from attacks.stage import HOME, Stage

RECIPE = "succeeds"
STOPPED_BY = "viewer: the opener closes all descriptors and gives the viewer /dev/null"
NEEDS = ("Xvfb", "pgrep")
HAND_ON = 'exec 0<>"$0" 1<>"$0" 5<>"$0" 9<>"$0"; exec "$@"'
FILE = f"{HOME}/.cache/mine"


def attack(client):
    stage = Stage(client, code=False)
    stage.write(FILE, "")
    stage.view(by=["sh", "-c", HAND_ON, FILE])
    targets = client.machine.run(["sh", "-c", f"readlink /proc/{stage.viewer()}/fd/*"], check=False).stdout
    return FILE in targets.split()
