"""What a desk's key can do at the KVM host: ask. Whatever else comes, by SSH or to the service behind it, does nothing.

Forwarding of a port by -L, -D or -J is what -W asks for.
"""

import json
import subprocess
import sys
import time

import pytest

from drift import until
from functional.hosted import CONSOLES, Site

# Questions that are none.
HOSTILE = {
    "nothing": b"",
    "an empty line": b"\n",
    "one word": b"anne\n",
    "three words": b"anne books now\n",
    "a command": b"anne;id books\n",
    "a substitution": b"$(id) books\n",
    "a backquote": b"anne `id`\n",
    "a pipe": b"anne |id\n",
    "an option": b"-oProxyCommand=id books\n",
    "an option for a vm": b"anne --live\n",
    "a path": b"anne ../../../etc/passwd\n",
    "NUL": b"anne\0 books\n",
    "NUL behind": b"anne books\0\n",
    "bytes": b"\xff\xfeanne books\n",
    "a letter that looks like it": "\N{CYRILLIC SMALL LETTER A}nne books\n".encode(),
    "an escape": b"\x1b[31manne books\n",
    "a number": b"1031 books\n",
    "sudoers' word": b"ALL books\n",
    "long": b"a" * 250 + b" books\n",
    "a megabyte": b"anne" * 2**18 + b"\n",
    "a megabyte of lines": b"\n" * 2**20,
}
# Commands in the place of the question's kind.
COMMANDS = (
    "id",
    "sh -c id",
    "open; id",
    "why\nid",
    "-c id",
    "$(id)",
    "/usr/local/lib/spice-grant/give-tickets",
    "scp -t /",
)
REFUSED = "administratively prohibited"
EVERYBODYS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - where somebody could leave something
# What is said to the service itself.
LINES = (
    "\\n",
    "x\\n",
    "open\\n",
    "give desk-1 anne books\\n",
    "open desk-1 anne\\n",
    "open ../x anne books\\n",
    "open desk-1;id anne books\\n",
    "open desk-1 anne books more\\n",
    "open " + "x" * 5000 + "\\n",
    "\\xff\\n",
)
# Speaks with the service as the desks' account can, whoever stands behind it.
SPEAK = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(30)
    connection.connect("/run/spice-host/tickets")
    connection.sendall(sys.argv[1].encode("latin-1").decode("unicode_escape").encode("latin-1"))
    print(connection.makefile().readline(), end="")
"""
# Says nothing, on many connections.
IDLE = """
import socket, sys, time
found = []
for _ in range(200):
    found.append(socket.socket(socket.AF_UNIX))
    found[-1].connect("/run/spice-host/tickets")
print("there", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def site():
    """Host and desks."""
    with Site() as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_comes_of_it(site):
    """Nobody gets a ticket, no port opens, no password, no file and no rule changes."""
    before = state(site)
    yield
    assert state(site) == before


def state(site):
    """What a ticket would change, and what somebody could leave behind."""
    files = site.host.run(["find", *EVERYBODYS, "/var/lib/spice-host", "/root", "/home"]).stdout
    ends = {vm: site.password_end(vm) for vm in CONSOLES}
    return ends, site.elements("opening4"), site.elements("open4"), site.sessions(), files


def refusal(said):
    """The refusal in an answer."""
    return json.loads(said)["refusal"]


@pytest.mark.turns(3)
@pytest.mark.parametrize("question", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_question(site, question):
    """It is answered in one line, with no more than that."""
    code, said, complained = site.ssh("desk-1", "open", input=question)
    assert (code, complained) == (0, "")
    assert json.loads(said) == {"refusal": "failed", "why": "what was asked is no user and vm"}


def test_only_the_first_line_counts(site):
    """Whoever is named behind it."""
    code, said, _ = site.ssh("desk-1", "open", input=b"eve books\nanne books\n")
    assert (code, refusal(said)) == (0, "not_granted")


def test_another_command_is_not_run(site):
    """Whatever is called, it is the question that is answered."""
    for words in COMMANDS:
        code, said, complained = site.ssh("desk-1", words, input=b"eve books\n")
        assert (code, complained) == (0, "")
        assert refusal(said) in ("not_granted", "too_many", "failed"), (words, said)


def test_a_shell_a_terminal_files_and_a_display_are_refused(site):
    """sshd's own words, and the answer to a question in the place of what was wanted."""
    for options, words, expected in (
        (("-t", "-t"), (), "PTY allocation request failed"),
        (("-X",), (), "X11 forwarding request failed"),
        (("-s",), ("sftp",), ""),
        ((), (), ""),
    ):
        env = {"DISPLAY": ":77"}
        if "-X" in options:
            site.desks["desk-1"].run(["xauth", "-q", "add", ":77", ".", "00" * 16])
        code, said, complained = site.ssh("desk-1", *words, options=("-oLogLevel=INFO", *options), input=b"\n", env=env)
        assert expected in complained, (options, complained)
        # Where somebody insists on a terminal, ssh itself ends.
        assert code == 255 if "-t" in options else (code, refusal(said)) == (0, "failed")


def test_ports_are_not_forwarded(site):
    """Neither from the host to a console, nor to the host's own sshd, nor from there to the desk."""
    for place in ("127.0.0.1:20003", "192.168.2.2:20003", "127.0.0.1:22"):
        code, said, complained = site.ssh("desk-1", options=("-oLogLevel=INFO", "-W", place))
        assert (code, said) == (255, "") and REFUSED in complained, (place, complained)
    for place in ("20009:127.0.0.1:22", "127.0.0.1:30001:127.0.0.1:22", "/home/s:127.0.0.1:22"):
        options = ("-N", "-oExitOnForwardFailure=yes", "-R", place)
        code, said, complained = site.ssh("desk-1", options=options)
        assert (code, said) == (255, "") and "remote port forwarding failed" in complained, (place, complained)
    options = ("-w", "0:0", "-oExitOnForwardFailure=yes", "-oTunnel=point-to-point")
    assert site.ssh("desk-1", options=options)[0] == 255


def test_an_environment_changes_nothing(site):
    """Also one that the host's sshd accepts."""
    env = {"LC_ALL": "../../tmp/x", "LANG": "tr_TR.UTF-8", "PYTHONPATH": "/home"}
    options = ("-oSendEnv=LC_ALL LANG PYTHONPATH", "-oSetEnv=LC_X=1 PYTHONSTARTUP=/home/x")
    code, said, complained = site.ssh("desk-2", "open", options=options, input=b"eve books\n", env=env)
    assert (code, complained) == (
        0,
        "ERROR: ld.so: object '/home/x.so' from LD_PRELOAD cannot be preloaded",
    ) or code == 0
    assert refusal(said) == "not_granted"


def speak(site, text, user="spice-ticket"):
    """Say something to the service, as a user of the host; return what it answers."""
    command = [sys.executable, "-I", "-S", "-c", SPEAK, text]
    return site.host.run(command, user=user, check=False)


def test_nobody_else_on_the_host_can_speak_with_the_service(site):
    """The socket is the account's; root's runs use it as well."""
    for user in ("eve", "nobody"):
        assert "Permission denied" in speak(site, "open desk-1 anne books\\n", user).stderr


@pytest.mark.parametrize("text", LINES)
def test_the_service_believes_no_word_either(site, text):
    """Should what stands before it ever let something through."""
    assert json.loads(speak(site, text).stdout)["refusal"] == "failed"


def test_a_desk_that_is_none_gets_nothing_of_the_service(site):
    """By whatever name."""
    assert json.loads(speak(site, "open laptop anne books\\n").stdout)["refusal"] == "not_granted"


def test_only_root_has_it_look_again(site):
    """For all others that is no question."""
    assert json.loads(speak(site, "again\\n").stdout)["refusal"] == "failed"


def test_who_says_nothing_keeps_nobody_waiting(site):
    """Two hundred connections that wait: another desk is answered, and they are closed."""
    idle = site.host.popen(
        [sys.executable, "-I", "-S", "-c", IDLE], user="spice-ticket", stdout=subprocess.PIPE, text=True
    )
    try:
        assert idle.stdout.readline() == "there\n"
        begun = time.monotonic()
        assert site.ask("desk-2", "eve", "books")["refusal"] == "not_granted"
        assert time.monotonic() - begun < 60
        command = ["ss", "-Hxn", "state", "connected", "src", "/run/spice-host/tickets"]
        until(lambda: site.host.run(command).stdout == "")
    finally:
        idle.kill_tree()
        idle.stdout.close()
