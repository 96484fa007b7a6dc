"""A granted user names another user's console, another port, or a file of their own."""

from attacks.calls import let_through, site
from attacks.clients import uri

__all__ = ["site"]
RECIPE = "fails"
STOPPED_BY = "sudo: rules name one console; and the opener asks for the grant again"
URI = uri("debianx")
OWN = "/home/myself/own.vv"


def attack(client):
    direct = [["--", uri("leaptest")], ["--", URI.replace("tls-port", "port")], ["--", URI + "0"], ["--", OWN], []]
    return let_through(client, direct, [["leaptest"], ["debian"], ["debianxx"], [OWN], [""], []])
