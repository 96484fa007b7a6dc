"""A granted user has the viewer leave its memory in a file, by limits that the user sets and a signal."""

from attacks.stage import HOME, USER, Stage
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
    process = stage.view(by=["prlimit", "--core=unlimited:unlimited"], cwd=place)
    client.machine.run(["kill", "-ABRT", stage.viewer()], user=USER)
    process.wait(60)
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
