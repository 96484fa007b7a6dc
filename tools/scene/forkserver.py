"""A Python with Salt imported once that runs scripts in machines: a fork of it enters the machine and begins at once.

Run as a script, ``python forkserver.py DESCRIPTOR``, on the host; :mod:`scene.workers` does so. The descriptor stands
for a socket. A message on it is JSON, ``{"machine": pid, "argv": [script, ...], "env": {..}}``, with three descriptors:
standard input, output and error of the script. The answer is the script's process ID as the host counts, or an error in
words. When the owner ends, for whatever reason, the socket is closed, and the server ends.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pwd
import runpy
import signal
import socket
import sys

LONGEST = 1 << 16  # bytes of a message
SUBREAPER = 36  # of prctl(2)
NAMESPACES = ("mnt", "uts", "ipc", "net", "pid")
# What the loaders of Salt import during a state run, so that no fork needs to.
AHEAD = (
    "configparser",
    "git",
    "multiprocessing.synchronize",
    "salt.client",
    "salt.client.mixins",
    "salt.client.ssh",
    "salt.cloud",
    "salt.config",
    "salt.fileclient",
    "salt.grains.core",
    "salt.loader.dunder",
    "salt.minion",
    "salt.output",
    "salt.pillar",
    "salt.runner",
    "salt.runners.state",
    "salt.serializers.yaml",
    "salt.state",
    "salt.template",
    "salt.utils.cloud",
    "salt.utils.doc",
    "salt.utils.gitfs",
    "salt.utils.jinja",
    "salt.utils.job",
    "salt.utils.package",
    "salt.utils.smb",
    "salt.utils.thin",
    "salt.utils.timeutil",
    "salt.utils.yamlloader_old",
    "salt.wheel",
)


def enter(pid):
    """Enter all namespaces of a machine, by its first process; those for processes hold for children only."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = [f"/proc/{pid}/ns/{kind}" for kind in NAMESPACES]
    *spaces, root = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in (*names, f"/proc/{pid}/root")]
    for space, name in zip(spaces, names):
        if libc.setns(space, 0) != 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")
        os.close(space)
    os.fchdir(root)
    os.chroot(".")
    os.close(root)


def run(request, descriptors):
    """Run the script in this process, from now on."""
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    sys.path[0] = os.path.dirname(sys.argv[0])
    code = 1
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - as Python itself does with what nobody catches
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fork(connection, request, descriptors):
    """Fork twice: the first child enters the machine and reports the PID of the second, which runs the script there."""
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            enter(request["machine"])
            pid = os.fork()
            if pid == 0:
                connection.close()
                run(request, descriptors)
            connection.send(str(pid).encode())
        except OSError as error:
            connection.send(str(error).encode())
        os._exit(0)


def import_ahead():
    """Import the modules that scripts need, without looking up an account.

    After a look-up, libc would keep using the host's nsswitch.conf in machines.
    """
    asked = pwd.getpwuid
    pwd.getpwuid = lambda uid: pwd.struct_passwd(("root", "x", uid, 0, "root", "/root", "/bin/sh"))
    for name in AHEAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    importlib.import_module("loaderindex").remember()
    pwd.getpwuid = asked


def serve(connection):
    """Fork for each message, until nobody is left to send one."""
    # Scripts become this process's own children, which the kernel reaps at once; the host's init may take its time.
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    import_ahead()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, LONGEST, 3)
        if not message:
            return
        fork(connection, json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection)
