"""A granted user writes the argument with escapes, encodings and blanks that might mean the same, or something else."""

from attacks.calls import let_through, site
from attacks.clients import uri

__all__ = ["site"]
RECIPE = "fails"
STOPPED_BY = "sudo: what is compared is the argument as the program gets it"
URI = uri("debianx")


def attack(client):
    changes = ((":", "\\:"), ("?", "\\?"), ("debianx", "debianx\n"), ("20002", "20002 "), ("mysrv", "%6dysrv"))
    direct = [["--", URI.replace(*change)] for change in changes if change[0] in URI]
    opener = ["\\debianx", "debianx\\", "debianx\n", " debianx", "debianx ", "%64ebianx", "../vms/debianx", "./debianx"]
    return let_through(client, direct, [[word] for word in opener])
