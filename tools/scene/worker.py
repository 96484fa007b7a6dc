"""A script that runs execution functions in a machine, each in a forked child.

Run as a script inside a machine, ``python worker.py CONFIG_DIRECTORY``. Each line on standard input is a call as JSON,
``{"fun": .., "args": [..], "kwargs": {..}}``; each line on standard output is its answer: ``{"data": .., "retcode":
..}`` or ``{"error": type, "message": .., "traceback": ..}``.

A call sees what is on disk now, as a ``salt-call`` would: configuration, pillar and the code of the extension. Salt's
loaders are made by a fork of this process, the minion, which forks for each call; it is replaced when any of these has
changed.
"""

import hashlib
import json
import os
import sys
import traceback

import salt.client
import salt.config

# Loaded for the calls, so that each need not load what it most likely needs.
AHEAD = ("spice_grant.plan", "spice_firewall.plan", "spice_sudoers.plan", "spice_viewer.plan")


def plain(value):
    """Convert a value that json cannot write by itself."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def signature(config):
    """Return the present state of a minion's files on disk: content of configuration and pillar, dates of code."""
    digest = hashlib.sha256()
    with open(os.path.join(config, "minion"), "rb") as stream:
        text = stream.read()
    digest.update(text)
    options = json.loads(text)
    code = [path for name, paths in options.items() if name.endswith("_dirs") for path in paths]
    code.append(os.path.join(options["cachedir"], "extmods"))
    for top in (config, *code):
        for directory, _, names in os.walk(top):
            for name in sorted(names):
                path = os.path.join(directory, name)
                held = os.stat(path)
                digest.update(f"{path} {held.st_mtime_ns} {held.st_size}".encode() if top != config else b"")
                if top == config:
                    with open(path, "rb") as stream:
                        digest.update(path.encode() + stream.read())
    return digest.digest()


def failure(error):
    """Return an answer with the exception that was raised."""
    said = {"error": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
    return json.dumps(said)


def answer(caller, request):
    """Make one call in this process."""
    try:
        data = caller.cmd(request["fun"], *request["args"], **request["kwargs"])
        context = caller.sminion.functions.pack["__context__"]
        return json.dumps({"data": data, "retcode": context.get("retcode", 0)}, default=plain)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the one who called
        return failure(error)


def forked(function, *arguments):
    """Run a function that returns text in a child, and return the text, or an error in its place."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(2, 1)
        with os.fdopen(writing, "w", encoding="utf-8") as stream:
            stream.write(function(*arguments) + "\n")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as stream:
        text = stream.readline()
    status = os.waitpid(pid, 0)[1]
    return text if text.endswith("\n") else failure(ChildProcessError(f"wait status {status}")) + "\n"


class Minion:
    """A fork of this process with Salt's loaders for the files on disk now."""

    def __init__(self, config):
        (asked, self._ask), (self._answer, answered) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._ask)
            os.close(self._answer)
            self._serve(config, os.fdopen(asked, encoding="utf-8"), os.fdopen(answered, "w", encoding="utf-8"))
        os.close(asked)
        os.close(answered)
        self._answers = os.fdopen(self._answer, encoding="utf-8")

    @staticmethod
    def _serve(config, asked, answered):
        try:
            caller = salt.client.Caller(mopts=salt.config.minion_config(os.path.join(config, "minion")))
            for name in AHEAD:
                caller.sminion.functions.get(name)
        except BaseException as error:  # noqa: BLE001 - likewise
            said = failure(error) + "\n"
            caller = None
        for line in asked:
            answered.write(forked(answer, caller, json.loads(line)) if caller else said)
            answered.flush()
        os._exit(0)

    def call(self, line):
        """Make one call in the fork; return the answer."""
        os.write(self._ask, line.encode())
        return self._answers.readline()

    def end(self):
        """End the fork."""
        os.close(self._ask)
        self._answers.close()
        os.waitpid(self.pid, 0)


def serve(config):
    """Answer calls until standard input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    minion, made_of = None, None
    for line in sys.stdin:
        now = signature(config)
        if minion is None or now != made_of:
            if minion is not None:
                minion.end()
            minion, made_of = Minion(config), now
        out.write(minion.call(line))
        out.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
