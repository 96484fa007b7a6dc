"""Runs execution functions in a machine, each in a forked child, with something going wrong at a chosen step.

Run as a script inside a machine, ``python driver.py CONFIG_DIRECTORY``. Each line on standard input is a list of calls
as JSON, made at the same time: ``{"fun": .., "args": [..], "kwargs": {..}, "pillar": {..}, "fault": [kind, step,
..], "patience": seconds, "answers": seconds}``; the seconds are how long it waits for another run, and for a program.
Each line on standard output is the list of answers: ``pid``, ``killed``, what the call did as ``steps``, and ``data``
and ``retcode``, or ``error``.

See steps.py for what a step is. Salt and the modules are loaded before the fork, so a call takes no longer than its own
work.
"""

import ctypes
import gc
import json
import os
import signal
import sys

import salt.client
import salt.config
from steps import Steps

MODULES = ("spice_grant", "spice_firewall", "spice_sudoers", "spice_viewer", "spice_host")
SUBREAPER = 36


def answer(functions, request, output):
    """Make one call; write the answer to a pipe and end."""
    steps = Steps(*request.get("fault") or ("kill", None))
    result = {"pid": os.getpid(), "killed": False}
    if "patience" in request:
        sys.modules["spicegrants.host.lock"].run_lock.__wrapped__.__defaults__ = (request["patience"],)
    if "answers" in request:
        sys.modules["spicegrants.host.run"].LIMITS[:] = [request["answers"]]
        sys.modules["spicegrants.engine.closing"].PATIENCE = request["answers"]
    try:
        result["data"] = functions[request["fun"]](*request.get("args", ()), **request.get("kwargs", {}))
        result["retcode"] = functions.pack["__context__"].get("retcode", 0)
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the one who called
        result["error"] = f"{type(error).__name__}: {error}"
    at, steps.at = len(steps.names), None
    with os.fdopen(output, "w", encoding="utf-8") as stream:
        json.dump({**result, "steps": steps.names[:at]}, stream)
    os._exit(0)


def start(functions, request):
    """Fork a child for a call; return its process ID and where its answer comes from."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.dup2(2, 1)
        functions.pack["__pillar__"] = request.get("pillar", {})
        answer(functions, request, writing)
    os.close(writing)
    return pid, reading


def collect(children):
    """Wait for all calls, and for all that they started; return the answers."""
    answers = []
    for pid, reading in children:
        with os.fdopen(reading, encoding="utf-8") as stream:
            text = stream.read()
        status = os.waitpid(pid, 0)[1]
        answers.append(json.loads(text) if text else {"killed": os.WTERMSIG(status) == signal.SIGKILL})
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return answers


def serve(config):
    """Answer until standard input ends."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    caller = salt.client.Caller(mopts=salt.config.minion_config(os.path.join(config, "minion")))
    functions = caller.sminion.functions
    for module in MODULES:
        functions[f"{module}.plan"]
    gc.freeze()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        children = [start(functions, request) for request in json.loads(line)]
        out.write(json.dumps(collect(children)) + "\n")
        out.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
