"""The opener, called by users through the real sudo; in the viewer's place is a witness that reports what it sees."""

import subprocess

import pytest

from functional.confined import (
    ANYTHING,
    DISPLAY,
    EVERYWHERE,
    IMPOSSIBLE,
    ON_X,
    OPENER,
    REFUSED,
    SOCKET,
    WITNESS,
    WRONG_USAGE,
    desk,
    pillar,
    prepare,
    site_rule,
)
from functional.office import FILES, STATE
from functional.test_sudo import DANGEROUS, SITES
from scene import need

need("bwrap", "xauth")
PILLAR = pillar()
__all__ = ["desk", "prepare"]


@pytest.fixture
def anything(looked_at):
    """A site whose own rule lets everybody call the opener with anything: only the opener can refuse."""
    with site_rule(looked_at, ANYTHING):
        yield


# What a viewer is


def test_a_granted_viewer_runs_in_a_sandbox(desk, looked_at):
    """As the user with the viewer's group and nothing else: no privileges, no descriptors, nothing to write or run."""
    looked_at.client.write("/home/myself/.config/gtk-3.0/settings.ini", "[Settings]\n", owner="myself")
    done, seen = desk.open("myself", env={**ON_X, "LANG": EVERYWHERE})
    assert (done.returncode, done.stderr.count("rviewer:")) == (0, 0)
    gid = looked_at.gid()
    assert seen["ids"] == [[1021] * 3, [gid] * 3, []]
    assert (seen["bounding"], seen["no new privileges"], seen["umask"], seen["cwd"]) == ([], 1, 0o022, "/")
    assert seen["argv"] == [WITNESS, "--", "/etc/spice-grant/vms/debianx.vv"]
    assert seen["descriptors"] == {"0": "null", "1": "null", "2": "null"}
    assert sorted(seen["writable"]) == [f"/dev/{name}" for name in ("full", "null", "random", "urandom", "zero")]
    # Its number is one that nobody could know before.
    number = int(seen["env"]["DISPLAY"][1:])
    assert number != DISPLAY
    assert seen["users"] == [SOCKET.replace(f"X{DISPLAY}", f"X{number}")]
    assert (seen["consoles"], seen["displays"], seen["runtime"]) == (["debianx.vv"], [f"X{number}"], [])
    assert (seen["proc"], seen["handlers"], seen["node"]) == (False, [], "client")
    assert seen["env"]["LANG"] == EVERYWHERE


def test_what_the_users_environment_offers_does_not_arrive(desk):
    """sudo drops it, and the opener makes a new one."""
    _, plain = desk.open("myself")
    offered = {**DANGEROUS, **ON_X, "XDG_RUNTIME_DIR": "/home/myself", "LC_ALL": "../../home/myself"}
    _, seen = desk.open("myself", env=offered)
    assert seen["env"].pop("DISPLAY") != plain["env"].pop("DISPLAY")
    assert seen["env"] == plain["env"]
    assert set(seen["env"]) - {"XAUTHORITY", "PWD"} == {
        *("PATH", "HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "GDK_BACKEND", "LANG"),
        *("DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS", "NO_AT_BRIDGE", "GSETTINGS_BACKEND"),
        *("GIO_USE_VFS", "GIO_USE_VOLUME_MONITOR", "GTK_USE_PORTAL", "GST_REGISTRY"),
    }


@pytest.mark.parametrize("site", SITES)
def test_the_sites_own_defaults_change_nothing(desk, looked_at, site):
    """Whose password is asked for, and what the viewer is given, stays; nobody can add a variable."""
    with site_rule(looked_at, SITES[site]):
        done, seen = desk.open("myself", env={**DANGEROUS, **ON_X})
        assert seen is not None, done
        assert not set(seen["env"]) & (set(DANGEROUS) - {"DBUS_SESSION_BUS_ADDRESS", "GST_REGISTRY"})
        assert seen["env"]["GST_REGISTRY"] == "/var/cache/plug-ins"
        assert seen["env"]["DBUS_SESSION_BUS_ADDRESS"] == "disabled:" and seen["ids"][0] == [1021] * 3
        assert desk.open("myself", password=None)[1] is None
        for given in (["LD_PRELOAD=/home/myself/x.so"], ["-R", "/home/myself"], ["-D", "/home/myself"]):
            error = desk.call("myself", *given, OPENER, "debianx").stderr
            assert "not allowed" in error or "not permitted" in error, given


_ODD = """
import os, resource, signal, sys
os.mkdir("/tmp/odd-%d" % os.getpid()); os.chdir("/tmp/odd-%d" % os.getpid()); os.rmdir(os.getcwd())
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM})
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
resource.setrlimit(resource.RLIMIT_NOFILE, (512, 1024))
os.umask(0)
for timer in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
    signal.setitimer(timer, 0.01, 0.01)
evil = os.open("/home/mybro/evil.so", os.O_RDONLY)
for number in (1, 2, 3, 5, 200) if "standard" in sys.argv[1] else (3, 5, 200):
    os.dup2(evil, number)
if "closed" in sys.argv[1]:
    os.closerange(1, 3)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("how", ["more", "standard", "closed"])
def test_what_a_process_of_the_user_was_like_does_not_matter(desk, looked_at, how):
    """Signals ignored and blocked, timers, limits, umask, a directory that is gone, descriptors open, odd or closed."""
    looked_at.client.write("/home/mybro/evil.so", "x", mode=0o666, owner="mybro")
    wrapper = ["/usr/bin/python3", "-IS", "-c", _ODD, how]
    done, seen = desk.open("mybro", "leaptest", wrapper=wrapper, password=None)
    assert seen is not None, done
    assert seen["descriptors"] == {"0": "null", "1": "null", "2": "null"}
    assert (seen["blocked"], seen["cwd"], seen["umask"]) == ([], "/", 0o022)
    # One byte, unless sudo has set none and root may not raise it, as in some containers.
    assert seen["core"] in ([1, 1], [0, 0])
    # Python itself ignores SIGPIPE and SIGXFSZ.
    assert set(seen["ignored"]) <= {13, 25}


_NOBODY_READS = """
import os, resource, sys, tempfile
reading, writing = os.pipe()
if sys.argv[1] == "full":
    writing = tempfile.TemporaryFile().fileno()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
os.dup2(writing, 2)
os.closerange(3, 100)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.usefixtures("anything")
@pytest.mark.parametrize("where", ["gone", "full"])
def test_what_it_says_may_reach_nobody(desk, where):
    """The code is the same then."""
    wrapper = ["/usr/bin/python3", "-IS", "-c", _NOBODY_READS, where]
    assert desk.open("myself", "leaptest", wrapper=wrapper, password=None)[0].returncode == REFUSED


def test_the_connection_file_can_be_read_once(desk, looked_at):
    """There may be a password in it, and a viewer sends to its console whatever files its user drops on it."""
    _, seen = desk.open("myself")
    assert seen["connection"] == [looked_at.client.read(FILES["debianx"]), ""]


# A terminal at which somebody stops what runs there, as soon as there is a sandbox; it stays stopped.
_STOP_AT_A_TERMINAL = """
import glob, os, pty, signal, sys, time
def made():
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path) as stream:
                if stream.read() == "bwrap\\n":
                    return True
        except OSError:
            pass
shell, terminal = pty.fork()
if shell == 0:
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    if os.fork() == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
        os.execv(sys.argv[1], sys.argv[1:])
    signal.pause()
while not made():
    pass
os.write(terminal, b"\\x1a")
print("stopped", flush=True)
signal.pause()
"""


@pytest.mark.usefixtures("anything")
@pytest.mark.parametrize("terminal", ["use_pty", "!use_pty"])
def test_who_stops_it_at_a_terminal_has_no_file_that_can_be_read_twice(desk, looked_at, terminal):
    """What the user types there reaches root's processes as well. The viewer waits then until they go on."""
    words = ["-c", _STOP_AT_A_TERMINAL, "/usr/bin/sudo", "-n", "-u", "root", OPENER, "debianx"]
    with site_rule(looked_at, f"{ANYTHING}Defaults {terminal}"):
        stopping = looked_at.client.popen(
            ["/usr/bin/env", *(f"{name}={value}" for name, value in ON_X.items()), "/usr/bin/python3", "-IS", *words],
            user="myself",
            stdout=subprocess.PIPE,
            text=True,
        )
        assert stopping.stdout.readline() == "stopped\n"
        (opener,) = looked_at.client.run(["pgrep", "--uid", "root", "--exact", "open"]).stdout.split()
        content = looked_at.client.read(FILES["debianx"])
        assert not desk.has_report(6), "it was read twice, or not stopped in time"
        looked_at.client.run(["kill", "-CONT", opener])
        assert desk.report()["connection"] == [content, ""]
        stopping.kill_tree()
        stopping.stdout.close()


@pytest.mark.usefixtures("anything")
def test_without_a_connection_file_nothing_opens(desk, looked_at):
    path = FILES["debianx"]
    for made in (["rm", path], ["ln", "-sf", "/etc/shadow", path]):
        looked_at.client.run(made)
        done, seen = desk.open("myself", password=None)
        assert (done.returncode, seen) == (IMPOSSIBLE, None) and path in done.stderr
    looked_at.applied()


# Whom it serves


@pytest.mark.usefixtures("anything")
@pytest.mark.parametrize(("user", "vm"), [("myself", "leaptest"), ("mybro", "debianx"), ("nogrant", "debianx")])
def test_what_is_not_granted_the_opener_refuses_itself(desk, user, vm):
    """Also where sudo would let the call pass."""
    done, seen = desk.open(user, vm, password=None)
    assert (done.returncode, seen) == (REFUSED, None)
    assert done.stderr == f"rviewer: {vm} cannot be opened: it is not granted to you. Ask your administrator.\n"


@pytest.mark.usefixtures("anything")
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"LANG": "de_DE.UTF-8"}, "leaptest lässt sich nicht öffnen: sie ist Ihnen nicht erlaubt. Fragen Sie "),
        ({"LANG": "en_GB.UTF-8", "LANGUAGE": "fr:de"}, "leaptest lässt sich nicht öffnen: "),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, "leaptest cannot be opened: "),
        ({"LANG": "../de", "LANGUAGE": "../../home/myself/de:\x1b[2J"}, "leaptest cannot be opened: "),
        ({"LANG": "de" * 5000}, "leaptest cannot be opened: "),
    ],
)
def test_it_speaks_the_users_language(desk, variables, words):
    """Of their environment only the name of a language that it has counts."""
    done, _ = desk.open("myself", "leaptest", password=None, env=variables)
    assert done.returncode == REFUSED and done.stderr.startswith(f"rviewer: {words}")


@pytest.mark.usefixtures("anything")
@pytest.mark.parametrize(
    "arguments",
    [[], [""], ["debianx", "debianx"], ["debianx", ""], ["--", "debianx"], ["-h"], ["../debianx"], ["debianx\n"],
     ["debianx/../leaptest"], ["/etc/spice-grant/vms/debianx.vv"], ["debi anx"], ["%n%s%x"], ["a" * 64], ["ä"]],
)  # fmt: skip
def test_arguments_that_are_no_name(desk, arguments):
    done = desk.call("myself", "-u", "root", OPENER, *arguments, env=ON_X, password=None)
    assert (done.returncode, done.stderr) == (WRONG_USAGE, "rviewer: usage: open NAME, through sudo\n")


@pytest.mark.usefixtures("anything")
def test_a_lock_and_times_hold_in_the_opener(desk, looked_at):
    """Whatever sudo says: locked, before its window, after it, in a window."""
    outcomes = {}
    looked_at.minion.call("spice_grant.lock", user="myself")
    outcomes["locked"] = desk.open("myself", password=None)
    looked_at.minion.call("spice_grant.unlock", user="myself")
    for what, limits in {
        "before": {"valid_from": "2035-01-01"},
        "after": {"valid_until": "2020-01-01"},
        "within": {"valid_from": "2020-01-01", "valid_until": "2035-01-01"},
    }.items():
        data = pillar()
        data["spice"]["time"] = {"zone": "UTC"}
        data["spice"]["grants"]["myself-debianx"].update(limits)
        looked_at.applied(data)
        outcomes[what] = desk.open("myself", password=None)
    looked_at.applied(PILLAR)
    codes = {what: done.returncode for what, (done, _) in outcomes.items()}
    assert codes == {"locked": REFUSED, "before": REFUSED, "after": REFUSED, "within": 0}
    assert "opens Mon 2035-01-01 00:00 UTC" in outcomes["before"][0].stderr


@pytest.mark.usefixtures("anything")
@pytest.mark.parametrize("content", [None, "", "{", '{"format": 1}', '{"format": 99}', "[]"])
def test_what_is_stored_cannot_be_read(desk, looked_at, content):
    """It opens nothing, and says why."""
    before = looked_at.client.read(STATE)
    if content is None:
        looked_at.client.run(["rm", STATE])
    else:
        looked_at.client.write(STATE, content, mode=0o600)
    done, seen = desk.open("myself", password=None)
    looked_at.client.write(STATE, before, mode=0o600)
    assert (done.returncode, seen) == (IMPOSSIBLE, None)
    assert done.stderr.startswith("rviewer: debianx cannot be opened: ") and done.stderr.count("\n") == 1


def test_nobody_else_starts_it(desk):
    """By itself it is of no use to a user, and root without sudo is no user."""
    done = desk.office.client.run([OPENER, "debianx"], user="myself", env={"SUDO_UID": "0"}, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (IMPOSSIBLE, 1)
    for uid in ("", "0", "-1", "1021x", "99999999999999999999", "4242"):
        done = desk.office.client.run([OPENER, "debianx"], env={"SUDO_UID": uid, **ON_X}, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (IMPOSSIBLE, 1), uid


G = ("-u", "root")
MUTANTS = {
    "no argument": [*G, OPENER],
    "empty argument": [*G, OPENER, ""],
    "empty argument behind": [*G, OPENER, "debianx", ""],
    "argument added behind": [*G, OPENER, "debianx", "--debug"],
    "argument before": [*G, OPENER, "--", "debianx"],
    "twice": [*G, OPENER, "debianx", "debianx"],
    "blank behind": [*G, OPENER, "debianx "],
    "newline behind": [*G, OPENER, "debianx\n"],
    "another console": [*G, OPENER, "leaptest"],
    "wildcard": [*G, OPENER, "*"],
    "a letter for any": [*G, OPENER, "debian?"],
    "capitals": [*G, OPENER, "DEBIANX"],
    "longer": [*G, OPENER, "debianxx"],
    "shorter": [*G, OPENER, "debian"],
    "path around": [*G, OPENER.replace("/lib/", "/lib/../lib/../lib/"), "leaptest"],
    "as the user": ["-u", "myself", OPENER, "debianx"],
    "as another": ["-u", "mybro", OPENER, "debianx"],
    "as nobody": ["-u", "nobody", OPENER, "debianx"],
    "with the viewer's group": ["-g", "spicegrp", OPENER, "debianx"],
    "as root with the viewer's group": [*G, "-g", "spicegrp", OPENER, "debianx"],
    "as root with another group": [*G, "-g", "accounting", OPENER, "debianx"],
    "the viewer as root": [*G, "/usr/bin/remote-viewer", "debianx"],
    "the viewer with its group": ["-g", "spicegrp", "/usr/bin/remote-viewer", "--", "/etc/spice-grant/vms/debianx.vv"],
    "Python": [*G, "/usr/bin/python3", "-I", OPENER, "debianx"],
    "a shell": [*G, "-s"],
    "a login shell": [*G, "-i"],
    "an editor": [*G, "-e", OPENER],
    "a variable": ["SUDO_UID=1022", *G, OPENER, "leaptest"],
    "a variable for the granted one": ["PYTHONPATH=/home/myself", *G, OPENER, "debianx"],
    "environment kept": ["-E", *G, OPENER, "debianx"],
    "another directory": ["-D", "/home/myself", *G, OPENER, "debianx"],
    "another root": ["-R", "/home/myself", *G, OPENER, "debianx"],
    "descriptors kept": ["-C", "9", *G, OPENER, "debianx"],
    "another machine": ["-h", "other", *G, OPENER, "debianx"],
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_call_close_to_the_granted_one_is_refused(desk, mutant):
    """With the right password, by sudo itself."""
    done = desk.call("myself", *MUTANTS[mutant])
    assert done.returncode == 1
    assert any(words in done.stderr for words in ("not allowed", "not permitted", "a remote host")), done
