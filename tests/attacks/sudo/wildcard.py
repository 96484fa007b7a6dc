"""A granted user puts other characters where the rule's argument has one that is a pattern to sudo (`?`)."""

from attacks.calls import let_through, site
from attacks.clients import uri

__all__ = ["site"]
RECIPE = "succeeds"
STOPPED_BY = "sudo: the argument is one plain word, and in the direct form each special character is escaped"
URI = uri("debianx")


def attack(client):
    direct = [["--", URI.replace("?", "X")], ["--", URI.replace("?", "/")], ["--", URI.replace("?", "?")[:-1] + "?"]]
    return let_through(client, direct, [["debian?"], ["*"], ["debian[x]"], ["debianX"], ["deb*"]])
