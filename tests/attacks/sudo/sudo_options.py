"""A granted user adds options of sudo's that keep the environment, set variables, or change root or directory."""

from attacks.calls import granted, passes, site

RECIPE = "fails"
STOPPED_BY = "sudo: NOSETENV; none of the other options is allowed unless a rule says so"
OPTIONS = (
    ["-E"],
    ["--preserve-env=SPICE_PROXY"],
    ["LD_PRELOAD=/home/myself/x.so"],
    ["GTK_MODULES=/home/myself/x.so"],
    ["SUDO_UID=1022"],
    ["PATH=/home/myself"],
    ["-C", "200"],
    ["-R", "/home/myself"],
    ["-D", "/home/myself"],
)
__all__ = ["site"]


def attack(client):
    runas, program, arguments = granted(client)
    env = {"SPICE_PROXY": "http://192.168.2.9:3128"}
    return [words for words in OPTIONS if passes(client, *words, *runas, program, *arguments, env=env)]
