"""A terminal before which a program runs: what it draws on its standard error there, and what it does not."""

import contextlib
import os
import pty
import tempfile
import threading

PATIENCE = 120


def run(start):
    """Run a program with a terminal for its standard error; return what it drew there, its output, its exit code.

    start
        Gets ``stdout`` and ``stderr`` by name, and returns the process.
    """
    leader, follower = pty.openpty()
    drawn = []
    with tempfile.TemporaryFile() as output:
        process = start(stdout=output, stderr=follower)
        os.close(follower)
        reader = threading.Thread(target=lambda: drawn.append(read(leader)), daemon=True)
        reader.start()
        try:
            code = process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            reader.join(PATIENCE)
            os.close(leader)
        output.seek(0)
        return "".join(drawn), output.read().decode(), code


def read(leader):
    """Return what is drawn on a terminal until the last program on it is gone."""
    drawn = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(leader, 4096):
            drawn += chunk
    return drawn.decode()


def left(drawn):
    """What stands on a terminal at last, where each line is drawn over the one before."""
    return [_over(line).rstrip() for line in drawn.replace("\r\n", "\n").split("\n")]


def _over(line):
    shown = ""
    for text in line.split("\r"):
        shown = text + shown[len(text) :]
    return shown
