"""The opener, called with whatever comes to mind: it ends soon, says why in one line, changes and leaves nothing.

``OPENER_FUZZ_RUNS`` says how many calls, ``OPENER_FUZZ_SEED`` which, to repeat a finding; each commit has its own.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys

import pytest

from amount import amount
from checkout import commit
from drift import until
from functional import caller
from functional.confined import ANYTHING, OPENER, SOCKET, WITNESS, pillar, serve, site_rule
from functional.confined import prepare as prepare_confined
from functional.office import difference
from scene import need

need("bwrap")
PILLAR = pillar()
RUNS = int(os.environ.get("OPENER_FUZZ_RUNS", amount(150, 60)))
# Seconds; it looks at the user's desktop for ten at most.
PATIENCE = 60
HOME = "/home/myself"
RAN = "/tmp/ran"  # noqa: S108 - in the machine
# What would be run or loaded if anything of the user's were: it leaves a mark, unless it is the user's own shell.
EVIL = f"#!/bin/sh\n[ $(id -u) = 1021 ] && [ $(id -g) = 1021 ] || touch {RAN}\n"
EVIL_MODULE = f"import os\nif os.getuid() != 1021: open({RAN!r}, 'w')\n"
EVIL_PROGRAMS = ("bwrap", "setpriv", "python3", "remote-viewer", "sudo", "sh")
EVIL_MODULES = ("sitecustomize", "usercustomize", "json", "spicegrants", "zoneinfo", "gconv-modules")
MADE = f"""
cd {HOME}; mkdir -p d evil Console; mkfifo f; ln -s /root l; ln -s loop loop; truncate --size=1G g; touch e
ln -s /dev/zero zero; ln -s /dev/tty tty; ln -s {SOCKET} socket; ln -s /home/mybro/.Xauthority other
mkfifo {SOCKET}1; ln -s {SOCKET} {SOCKET}2; ln -s {HOME}/evil {SOCKET}3; truncate --size=1G {SOCKET}4; mkdir {SOCKET}5
ln -s / /run/user/1021/link; mkfifo /run/user/1021/pipe; mkdir /run/user/1021/directory
"""
# What a viewer of the fuzz is: it looks whether it is confined, quickly.
QUICK = f"""#!/bin/sh
[ "$HOME$PWD$(umask)" = /home/0022 ] && [ ! -e /proc/self ] && [ ! -e {HOME}/evil ] && [ -z "$PYTHONPATH" ]
"""
WORDS = ["debianx", "leaptest", "", "..", "/", "*", "a" * 300, "x" * 100000, "\n", "-h", "--", "debianx ", "ü", "%s"]
WORDS += ["$(id)", "a\tb", "\x1b[2J", "\udcff", "debianx/../leaptest", "DEBIANX"]
DISPLAYS = [":7", ":7", ":7.0", ":8", "", "x:7", ":" + "9" * 400, ":7\n", "unix:7", "\x01", ":-1", SOCKET]
DISPLAYS += ["wayland-0", "../x", "link", "pipe", "directory", *(f":7{number}" for number in range(1, 6))]
COOKIES = ["", "relative", "/" + "x" * 5000, "/dev/zero", "/dev/stdin", "/proc/self/mem", "/proc/1/environ"]
COOKIES += ["/etc/shadow", "/proc/self/fd/0", "/proc/kmsg", "/dev/tty", "/dev/full", SOCKET]
COOKIES += [f"{HOME}/{name}" for name in ("d", "f", "l/x", "g", "e", "loop", "zero", "tty", "socket", "other")]
VARIABLES = "LANG LC_ALL LANGUAGE SUDO_UID SUDO_USER SUDO_GID SUDO_COMMAND HOME XDG_RUNTIME_DIR USER LOGNAME TMPDIR TZ"
VARIABLES += " PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PYTHONWARNINGS PYTHONUSERBASE PYTHONPYCACHEPREFIX PATH"
VARIABLES += " LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT GTK_MODULES GTK_PATH GST_PLUGIN_PATH GIO_EXTRA_MODULES BASH_ENV ENV"
VARIABLES += " IFS MALLOC_CHECK_ BWRAP G_MESSAGES_DEBUG DBUS_SESSION_BUS_ADDRESS SPICE_PROXY http_proxy"
VALUES = ["1022", "0", "1", f"{HOME}/evil", f"{HOME}/evil/x.so", "C", "de_DE.UTF-8", "\n", "; touch /tmp/ran"]
FILES = ("/dev/null", "/dev/full", "/dev/tty", f"{HOME}/e", f"{HOME}/d", f"{HOME}/g", "/")
KINDS = (*FILES, "closed", "broken pipe", "silent pipe", "socket")
TIMERS = ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
LIMITS = {
    "RLIMIT_AS": [2**20, 2**24, 2**26, 2**28],
    "RLIMIT_CORE": [0, 2**30],
    "RLIMIT_CPU": [1, 2],
    "RLIMIT_DATA": [0, 2**20, 2**23, 2**26],
    "RLIMIT_FSIZE": [0, 1, 10**5],
    "RLIMIT_MEMLOCK": [0],
    "RLIMIT_NOFILE": [4, 8, 20, 64, 1024],
    "RLIMIT_NPROC": [1, 20],
    "RLIMIT_RTTIME": [1000],
    "RLIMIT_SIGPENDING": [0],
    "RLIMIT_STACK": [2**14, 2**17, 2**20],
}
# Below these, not even Python starts.
TIGHT = {"RLIMIT_AS": 2**27, "RLIMIT_DATA": 2**25, "RLIMIT_NOFILE": 10, "RLIMIT_STACK": 2**18}
# What the loader says of sudo itself, which as a set-UID program loads nothing by a path.
OF_THE_LOADER = re.compile(r"ERROR: ld\.so: object '[^/]*' .*\n")
# Not ^Z: sudo itself may stay stopped for ever, with any command, if the terminal goes in that moment.
KEYS = [("\x03", False), ("\x1c", False), ("\x04", False), ("", True), ("\x03\x03", True)]


def prepare(office):
    """With all kinds of files in the user's reach, and a viewer that is quick."""
    prepare_confined(office)
    office.client.run(["sh", "-ec", MADE], user="myself")
    serve(office, "myself", "/run/user/1021/wayland-0")
    texts = {**dict.fromkeys(EVIL_PROGRAMS, EVIL), **{f"{name}.py": EVIL_MODULE for name in EVIL_MODULES}}
    for name, text in texts.items():
        office.client.write(f"{HOME}/evil/{name}", text, mode=0o755, owner="myself")
    office.client.write(WITNESS, QUICK, mode=0o755)


def some(chance, choices, share, most=3):
    """A few of some choices, mostly none."""
    return chance.sample(list(choices), chance.randint(1, most)) if chance.random() < share else []


def drawn(chance):
    """A call: program with arguments and environment, and what the process is like that makes it."""
    env = {"DISPLAY": chance.choice(DISPLAYS)}
    if chance.random() < 0.6:
        env["XAUTHORITY"] = chance.choice(COOKIES)
    if chance.random() < 0.3:
        env["WAYLAND_DISPLAY"] = chance.choice(DISPLAYS + WORDS)
    env.update({name: chance.choice([*WORDS, *COOKIES, *VALUES]) for name in some(chance, VARIABLES.split(), 0.7, 4)})
    arguments = ["debianx"] if chance.random() < 0.6 else chance.choices(WORDS, k=chance.choice([0, 1, 1, 2]))
    return {
        "argv": ["/usr/bin/sudo", "-n", "-u", "root", OPENER, *arguments],
        "env": env,
        "cwd": chance.choice(["/", HOME, f"{HOME}/evil", caller.GONE, "/usr"]),
        "umask": chance.choice([0, 0o22, 0o77, 0o777]),
        "nice": chance.choice([0, 0, 19]),
        "ignored": some(chance, SIGNALS, 0.3, 60),
        "blocked": some(chance, SIGNALS, 0.3, 60),
        "timers": {name: chance.uniform(0.001, 0.2) for name in some(chance, TIMERS, 0.05, 2)},
        "limits": {name: chance.choice(LIMITS[name]) for name in some(chance, LIMITS, 0.25, 2)},
        "descriptors": {number: chance.choice(KINDS) for number in some(chance, (0, 1, 2, 3, 5, 19, 200), 0.4, 4)},
        "keys": [chance.uniform(0, 0.3), *chance.choice(KEYS)] if chance.random() < 0.08 else None,
        "patience": PATIENCE,
    }


def judged(call, ended):
    """What is wrong with how a call ended; nothing if nothing is."""
    if "hangs" in ended:
        return "it does not end"
    opened = ended["code"] == 0 and not openable(call)
    # With too little to start it, Python says so in its own words; a caller that sends itself a signal ends by that.
    if opened or hampered(call):
        return "it opened" if opened else ""
    codes = [*range(4), 5]
    if call["timers"] or call["keys"] is not None:
        codes += [-number for number in SIGNALS]
    elif "Traceback" in ended["output"] or OF_THE_LOADER.sub("", ended["output"]).count("\n") > 1:
        return "not one line"
    if "RLIMIT_NPROC" in call["limits"]:
        # The viewer, as its user, does not start where that user may have no more processes.
        codes.append(4)
    return "" if ended["code"] in codes else "a code that means nothing"


def hampered(call):
    """Whether Python itself cannot start: for want of something, or with a directory where it would read or write."""
    standard = [call["descriptors"].get(number) for number in range(3)]
    wanting = any(call["limits"].get(name, bound) < bound for name, bound in TIGHT.items())
    return wanting or not {"/", f"{HOME}/d"}.isdisjoint(standard)


def openable(call):
    """Whether it is the granted console, on a desktop that there is."""
    there = call["env"]["DISPLAY"] in (":7", ":7.0", "unix:7") or call["env"].get("WAYLAND_DISPLAY") == "wayland-0"
    return call["argv"][5:] == ["debianx"] and there


@pytest.mark.parametrize("site", ["", "Defaults !env_reset\n"], ids=["environment reset", "environment kept"])
def test_whatever_it_is_called_with(looked_at, site):
    """Where a rule of the site's lets everything pass, and all of the environment where that is kept."""
    seed = int(os.environ.get("OPENER_FUZZ_SEED", commit()))
    chance = random.Random(f"{seed}{site}")  # noqa: S311
    client, codes = looked_at.client, {}
    with site_rule(looked_at, site + ANYTHING):
        before = content(looked_at)
        command = [sys.executable, "-IS", caller.__file__]
        calls = client.popen(command, user="myself", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with calls:
            for number in range(RUNS // 2):
                call = drawn(chance)
                calls.stdin.write(json.dumps(call) + "\n")
                calls.stdin.flush()
                ended = json.loads(calls.stdout.readline())
                # Before it starts anything sudo, with any program, may wait for ever for a terminal that went.
                lost = "hangs" in ended and call["keys"] is not None and not running(client)
                wrong = "" if lost else judged(call, ended)
                assert not wrong, f"{wrong}: seed {seed}, call {number}: {json.dumps([call, ended])}"
                codes[ended.get("code")] = codes.get(ended.get("code"), 0) + 1
            calls.kill_tree()
        assert difference(before, content(looked_at)) == {}, seed
    print(f"seed {seed}: {codes}")
    assert not client.path(RAN).exists(), seed
    # A sandbox whose caller was killed ends with it, but not in the same moment.
    until(lambda: not running(client))


def running(client):
    """Openers and sandboxes that there are."""
    return {"open", "bwrap"} & set(client.run(["ps", "-eo", "comm"]).stdout.split())


def content(office):
    """What of the office may not change: with the homes, less what was given it to write to."""
    own = (f"{HOME}/e", f"{HOME}/g")
    homes = {path: entry for path, entry in office.snapshot().items() if path.startswith("/home") and path not in own}
    return {**office.essence(), **homes}
