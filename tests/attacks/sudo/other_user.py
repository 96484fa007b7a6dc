"""A granted user asks to run what opens a console as another granted user, as root, or with another group."""

from attacks.calls import granted, passes, site
from scenes import GROUP

RECIPE = "fails"
STOPPED_BY = "sudo: the rule names one user as whom, and no group"
AS = (
    ("-u", "mybro", "-g", GROUP),
    ("-u", "mybro"),
    ("-u", "#1022", "-g", GROUP),
    ("-u", "root", "-g", GROUP),
    ("-u", "#-1", "-g", GROUP),
    ("-u", "#4294967295"),
    ("-u", "myself"),
    ("-g", "root"),
    ("-u", "nobody", "-g", GROUP),
)
__all__ = ["site"]


def attack(client):
    gained = []
    for vm in ("debianx", "leaptest"):
        _, program, arguments = granted(client, vm)
        gained += [words for words in AS if passes(client, *words, program, *arguments)]
    return gained
