"""A granted user adds options of the viewer's, before or behind what the rule names."""

from attacks.calls import let_through, site
from attacks.clients import uri

__all__ = ["site"]
RECIPE = "fails"
STOPPED_BY = "sudo: rules name all arguments"
URI = uri("debianx")


def attack(client):
    direct = [["--", URI, "--debug"], ["--debug", "--", URI], ["--spice-ca-file=/home/myself/ca.pem", "--", URI]]
    return let_through(client, direct, [["debianx", "--debug"], ["--debug", "debianx"], ["--", "debianx"]])
