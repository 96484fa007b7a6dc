"""Calls a program as whatever process a user may have made; runs in a machine, as that user.

Each line on standard input is a call as JSON, see ``test_opener_fuzz.py``; each on standard output how it ended:
``{"code": .., "output": ..}``, or ``{"hangs": ..}`` if it does not end in time.
"""

import contextlib
import fcntl
import json
import os
import pty
import resource
import select
import signal
import socket
import sys
import termios
import time

HIGH = 500
GONE = "/tmp/gone"  # noqa: S108 - in the machine


def main():
    """Take calls until there are no more."""
    for line in sys.stdin:
        print(json.dumps(called(json.loads(line))), flush=True)


def called(call):
    """Make one call; return how it ended."""
    reading, writing = os.pipe()
    terminal = pty.openpty() if call["keys"] is not None else None
    child = os.fork()
    if child == 0:
        try:
            become(call, writing, terminal)
        except (OSError, ValueError) as error:
            os.write(writing, f"{error!r}\n".encode())
        finally:
            os._exit(99)
    os.close(writing)
    if terminal is not None:
        os.close(terminal[1])
    try:
        return watched(call, child, reading, terminal and terminal[0])
    finally:
        os.close(reading)


def become(call, writing, terminal):
    """Be such a process; start the program."""
    os.setsid()
    if terminal is not None:
        fcntl.ioctl(terminal[1], termios.TIOCSCTTY, 0)
        os.dup2(terminal[1], 0)
        os.dup2(terminal[1], 1)
    os.dup2(writing, 2)
    for number, what in call["descriptors"].items():
        opened(int(number), what)
    directory(call["cwd"])
    os.umask(call["umask"])
    os.nice(call["nice"])
    for number in call["ignored"]:
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, call["blocked"])
    for which, seconds in call["timers"].items():
        signal.setitimer(getattr(signal, which), seconds)
    for which, value in call["limits"].items():
        number = getattr(resource, which)
        hard = resource.getrlimit(number)[1]
        resource.setrlimit(number, (value, hard if hard != resource.RLIM_INFINITY and hard < value else value))
    os.execve(call["argv"][0], call["argv"], call["env"])


def opened(number, what):
    """Have a descriptor be something: closed, a path, a pipe that nobody reads or writes, a socket."""
    if what == "closed":
        with contextlib.suppress(OSError):
            os.close(number)
        return
    reading, writing = os.pipe()
    if what == "broken pipe":
        os.close(reading)
        put(writing, number)
    elif what == "silent pipe":
        # Its other end stays open in the program.
        put(writing, HIGH + number)
        put(reading, number)
    elif what == "socket":
        put(socket.socket(socket.AF_UNIX).detach(), number)
    else:
        # Without a terminal /dev/tty is nothing: it stays what it was.
        with contextlib.suppress(OSError):
            put(os.open(what, os.O_RDONLY if os.path.isdir(what) else os.O_RDWR | os.O_NONBLOCK), number)


def put(descriptor, number):
    """Give what a descriptor stands for another number, and the program."""
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.set_inheritable(number, True)


def directory(path):
    """Go somewhere; to one that is gone, if so it is wished."""
    if path == GONE:
        os.makedirs(GONE, exist_ok=True)
    os.chdir(path)
    if path == GONE:
        os.rmdir(GONE)


def watched(call, child, reading, terminal):
    """Read what it says, press keys or hang up meanwhile; return how it ended."""
    output, deadline, code = b"", time.monotonic() + call["patience"], None
    keys = time.monotonic() + call["keys"][0] if terminal is not None else None
    while code is None and time.monotonic() < deadline:
        if keys is not None and time.monotonic() > keys:
            keys = None
            with contextlib.suppress(OSError):
                os.write(terminal, call["keys"][1].encode())
                if call["keys"][2]:
                    os.close(terminal)
                    terminal = None
        if select.select([reading], [], [], 0.002)[0]:
            output += os.read(reading, 65536)
        pid, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if pid else None
    while select.select([reading], [], [], 0)[0]:
        more = os.read(reading, 65536)
        if not more:
            break
        output += more
    if terminal is not None:
        os.close(terminal)
    return {"code": code, "output": output.decode("utf-8", "replace")} if code is not None else {"hangs": child}


if __name__ == "__main__":
    main()
