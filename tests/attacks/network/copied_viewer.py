"""A granted user starts a copy of the viewer that was brought from elsewhere, without sudo."""

from attacks.clients import uri
from scenes import VIEWER

RECIPE = "succeeds"
STOPPED_BY = "firewall: the viewer's group is part of the key"
NEEDS = ("Xvfb",)
COPY = "/home/myself/viewer"


def attack(client):
    program = client.server.path(VIEWER).read_bytes()
    client.machine.write(COPY, program, mode=0o755, owner="myself")
    client.used.callback(client.machine.run, ["rm", COPY])
    desktop = client.desktop("myself")
    client.used.callback(desktop.popen([COPY, "--", uri("debianx")]).kill_tree)
    return client.shows(desktop, "debianx")
