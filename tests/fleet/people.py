"""What the users of a client do: try all consoles, hold one open, try one again and again."""

import itertools
import sys
import time

from everybody import answers
from scenes import AUTHORITY, GROUP

HOST = "kvm.office.example"
CONSOLES = {"books": 20002, "web": 20004, "analysis": 20006}

# Opens consoles over TLS, one after the other.
_TRY = """
import socket, ssl

def answer(host, ports, authority):
    context = ssl.create_default_context(cafile=authority)
    return [word(host, port, context) for port in ports]

def word(host, port, context):
    try:
        with socket.create_connection((host, port), 10) as sock, context.wrap_socket(sock, server_hostname=host):
            return "open"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return str(error)
"""
# Holds a connection over TLS open without a word, and says when and why it ended.
_HOLD = """
import socket, ssl, sys, time

host, port, authority = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
with socket.create_connection((host, int(port)), 10) as sock, context.wrap_socket(sock, server_hostname=host) as tls:
    tls.settimeout(None)
    print(time.time(), "open", flush=True)
    try:
        word = "ended" if not tls.recv(1) else "the server spoke"
    except OSError:
        word = "ended"
    print(time.time(), word, flush=True)
"""
# Connects 20 times a second, and says when the answer is another one.
_WATCH = """
import errno, os, socket, sys, time

last = None
while True:
    with socket.socket() as sock:
        code = sock.connect_ex((sys.argv[1], int(sys.argv[2])))
    word = {0: "open", errno.ECONNREFUSED: "refused"}.get(code) or os.strerror(code)
    if word != last:
        print(time.time(), word, flush=True)
    last = word
    time.sleep(0.05)
"""


def attempts(machine, users, vms):
    """Try consoles as users; by user, group (``None`` is their own) and vm: ``open``, ``refused`` or an error."""
    asked = [(user, group) for user in users for group in (None, GROUP)]
    rows = answers(machine, asked, _TRY, HOST, [CONSOLES[vm] for vm in vms], AUTHORITY)
    return {(*who, vm): word for who, row in zip(asked, rows) for vm, word in zip(vms, row)}


class _Program:
    """A process of a user's with the viewer's group, which says lines: a moment and a word."""

    _numbers = itertools.count()

    def __init__(self, machine, user, source, *words):
        self._log = f"/tmp/output-{next(self._numbers)}"  # noqa: S108 - in the machine
        machine.write(self._log, "")
        with open(machine.path(self._log), "ab") as log:
            command = [sys.executable, "-I", "-S", "-c", source, *map(str, words)]
            self._process = machine.popen(command, user=user, group=GROUP, stdout=log, stderr=log)
        self._machine = machine

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._process.kill_tree()

    def output(self):
        """What it has said so far, as pairs of moment and word."""
        lines = [line.partition(" ") for line in self._machine.read(self._log).splitlines()]
        return [(float(moment), word) for moment, _, word in lines]

    def when(self, word, after=0.0, seconds=60):
        """Wait until it has said a word, after a moment; return when that was."""
        deadline = time.monotonic() + seconds
        while True:
            found = [moment for moment, each in self.output() if each == word and moment > after]
            if found:
                return found[0]
            assert time.monotonic() < deadline, f"no {word!r} within {seconds} s: {self.output()}"
            time.sleep(0.05)


class Session(_Program):
    """A connection over TLS to a console, which somebody holds open; ``when("ended")`` is its end."""

    def __init__(self, machine, user, vm):
        super().__init__(machine, user, _HOLD, HOST, CONSOLES[vm], AUTHORITY)
        self.when("open")

    def holds(self):
        """Whether it is still open."""
        return self._process.poll() is None


class Watch(_Program):
    """Somebody who tries a console all the time; ``when("open")`` and ``when("refused")`` are the changes."""

    def __init__(self, machine, user, vm):
        super().__init__(machine, user, _WATCH, HOST, CONSOLES[vm])
