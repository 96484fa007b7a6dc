"""A granted user starts a copy of the viewer that he brought from elsewhere, without sudo."""

from attacks.clients import VIEWER, uri

RECIPE = "succeeds"
STOPPED_BY = "firewall: the viewer's group is part of the key"
NEEDS = ("Xvfb", "import")
COPY = "/home/myself/viewer"


def attack(client):
    machine = client.machine
    machine.write(COPY, client.server.path(VIEWER).read_bytes(), mode=0o755, owner="myself")
    client.undo("rm", COPY)
    desktop = client.desktop("myself")
    client.used.callback(desktop.popen([COPY, "--", uri("debianx")]).kill_tree)
    return client.shows(desktop, "debianx")
