"""A granted user gives two arguments instead of one: sudo joins them and compares, and a pattern may take a blank."""

from attacks.calls import let_through, site
from attacks.clients import uri

__all__ = ["site"]
RECIPE = "succeeds"
STOPPED_BY = "sudo: the argument is one plain word; and the opener takes exactly one"
URI = uri("debianx")


def attack(client):
    return let_through(client, [["--", *URI.split("?")]], [["debianx", ""], ["debianx", "debianx"], ["debian", "x"]])
