"""A granted user has the viewer leave its memory in a file, by limits that the user sets and a signal."""

from attacks.stage import HOME, USER, Stage
from drift import until
from scene.requirements import unavailable

RECIPE = "fails"
STOPPED_BY = "sudo: it lets nobody leave cores; and viewer: nor does the opener, and there is no place to write one to"
NEEDS = ("Xvfb", "prlimit")
PATTERN = "/proc/sys/kernel/core_pattern"


def attack(client):
    if "/" in client.machine.read(PATTERN):
        unavailable("this kernel does not leave cores where a process runs")
    stage = Stage(client, code=False)
    place = f"{HOME}/.cache/cores"
    stage.write(f"{place}/mark", "")
    stage.view(by=["prlimit", "--core=unlimited:unlimited"], cwd=place)
    viewer = stage.viewer()
    client.machine.run(["kill", "-ABRT", viewer], user=USER)
    # What started it may go on, to tell its user.
    until(lambda: client.machine.run(["kill", "-0", viewer], check=False).returncode)
    find = [
        "find",
        "/",
        "/home",
        "/tmp",  # noqa: S108
        "-xdev",
        "-name",
        "core*",
        "-size",
        "+1M",
        "-newer",
        f"{place}/mark",
        "-user",
        USER,
    ]
    return client.machine.run(find, check=False).stdout
