"""The opener, called with whatever comes to mind: it ends soon, says why in one line, changes and leaves nothing."""

import os
import random

from functional.confined import ANYTHING, OPENER, SOCKET, Witnesses, pillar, prepare, site_rule
from functional.office import difference
from scene import need

need("bwrap")
PILLAR = pillar()
__all__ = ["prepare"]
RUNS = int(os.environ.get("OPENER_FUZZ_RUNS", "100"))
# Seconds; it looks at the user's desktop for ten at most.
PATIENCE = 15
HOME = "/home/myself"
MADE = f"mkdir {HOME}/d; mkfifo {HOME}/f; ln -s /root {HOME}/l; truncate --size=1G {HOME}/g; touch {HOME}/e"
WORDS = ["debianx", "leaptest", "", "..", "/", "*", "a" * 300, "\n", "-h", "--", "debianx ", "ü", "%s", "$(id)", "a\tb"]
DISPLAYS = [
    ":7",
    ":8",
    "",
    ":7.0",
    "x:7",
    ":" + "9" * 400,
    ":7\n",
    "unix:7",
    "\x01",
    ":-1",
    SOCKET,
    "wayland-0",
    "../x",
]
COOKIES = [
    "",
    "relative",
    "/" + "x" * 5000,
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/mem",
    "/proc/1/environ",
    "/etc/shadow",
]
COOKIES += [f"{HOME}/{name}" for name in ("d", "f", "l/x", "g", "e")]
OTHERS = ("LANG", "LC_ALL", "SUDO_UID", "SUDO_USER", "PYTHONPATH", "HOME", "XDG_RUNTIME_DIR")
REDIRECTED = ["", "<&-", ">&-", "2>&-", "<&- >&- 2>&-", f"5<{HOME}/e", "2>/dev/full", ">/dev/full 2>&1"]


def drawn(chance):
    """A call: environment, what a shell does before, and the command."""
    env = {"DISPLAY": chance.choice(DISPLAYS)}
    if chance.random() < 0.7:
        env["XAUTHORITY"] = chance.choice(COOKIES)
    if chance.random() < 0.3:
        env["WAYLAND_DISPLAY"] = chance.choice(DISPLAYS + WORDS)
    env.update({name: chance.choice([*WORDS, *COOKIES, "1022", "0"]) for name in chance.sample(OTHERS, 2)})
    arguments = ["debianx"] if chance.random() < 0.5 else chance.choices(WORDS, k=chance.choice([0, 1, 1, 2]))
    limits = f"ulimit -f {chance.choice([0, 1, 10**5])}; ulimit -n {chance.choice([20, 64, 1024])}; "
    shell = f'{limits}cd {chance.choice(["/", HOME, "/usr"])}; exec "$@" {chance.choice(REDIRECTED)}'
    variables = [f"{name}={value}" for name, value in env.items()]
    sudo = ["/usr/bin/sudo", "-n", "-u", "root", OPENER, *arguments]
    return ["/usr/bin/env", *variables, "sh", "-c", shell, "x", *sudo]


def test_whatever_it_is_called_with(looked_at):
    """Where a rule of the site's lets everything pass; with a seed that is said, so that a finding can be repeated."""
    seed = random.randrange(10**6)  # noqa: S311 - nothing is kept secret by it
    chance = random.Random(seed)  # noqa: S311
    looked_at.client.run(["sh", "-c", MADE], user="myself")
    heard = Witnesses(looked_at)
    with site_rule(looked_at, ANYTHING):
        before = looked_at.essence()
        for number in range(RUNS):
            command = drawn(chance)
            done = looked_at.client.run(command, user="myself", check=False, timeout=PATIENCE)
            assert done.returncode in range(4), (seed, number, command, done)
            assert "Traceback" not in done.stderr and done.stderr.count("\n") <= 1, (seed, number, command, done)
        assert difference(before, looked_at.essence()) == {}
    heard.stop()
    assert OPENER not in looked_at.client.run(["ps", "-eo", "args"]).stdout
