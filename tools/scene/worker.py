"""Runs execution functions in a machine, each in a forked child.

Run as a script inside a machine, ``python worker.py CONFIG_DIRECTORY``. Each line on standard input is a call as JSON,
``{"fun": .., "args": [..], "kwargs": {..}}``; each line on standard output is its answer: ``{"data": .., "retcode":
..}`` or ``{"error": type, "message": .., "traceback": ..}``. A child reads the configuration, the pillar and the code
of the extension anew, so that a call sees what is on disk now, as a ``salt-call`` would.
"""

import json
import os
import sys
import traceback

import salt.client
import salt.config


def plain(value):
    """What json cannot write by itself."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def answer(config, request):
    """Run one call in this process."""
    try:
        opts = salt.config.minion_config(os.path.join(config, "minion"))
        caller = salt.client.Caller(mopts=opts)
        data = caller.cmd(request["fun"], *request["args"], **request["kwargs"])
        context = caller.sminion.functions.pack["__context__"]
        return json.dumps({"data": data, "retcode": context.get("retcode", 0)}, default=plain)
    except BaseException as err:  # noqa: BLE001 - whatever it is, it belongs to the one who called
        said = {"error": type(err).__name__, "message": str(err), "traceback": traceback.format_exc()}
        return json.dumps(said)


def child(config, request, output):
    """Answer one call and end, leaving the parent's buffers alone."""
    os.dup2(2, 1)
    text = answer(config, request)
    with os.fdopen(output, "w", encoding="utf-8") as stream:
        stream.write(text + "\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def serve(config):
    """Answer calls until standard input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            child(config, json.loads(line), writing)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as stream:
            text = stream.readline()
        status = os.waitpid(pid, 0)[1]
        if not text.endswith("\n"):
            text = json.dumps({"error": "Ended", "message": f"wait status {status}", "traceback": ""}) + "\n"
        out.write(text)
        out.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
