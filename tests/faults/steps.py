"""Steps of a process, and a fault at one of them.

A step is whatever it does to the system: Python's own audit events say so, nothing in the product does. A fault comes
just before its step, or when a program has just been started.
"""

import os
import signal
import subprocess
import sys
import threading
import time

EVENTS = {"chmod", "chown", "link", "mkdir", "remove", "rename", "rmdir", "setxattr", "symlink", "truncate"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# Of a program that is started with one of these it is one and the same whether it is just about to start or at work.
READING = {"-nj", "-c", "--list", "json", "list"}
GO = "/run/go"
# Of a program that runs for long: since when steps count, and which were taken.
ARMED, STEPS = "/run/armed", "/run/steps"


class Steps:
    """Counts the steps of this process, or of some of its threads, and lets the fault happen at the chosen one."""

    def __init__(self, kind, at, *about, thread=""):
        self.kind, self.at, self.about, self.names = kind, at, about, []
        self._thread = thread
        self._own = os.getpid()
        sys.addaudithook(self._hook)
        subprocess.Popen.communicate = self._started(subprocess.Popen.communicate)

    def _hook(self, event, args):
        if event == "open" and isinstance(args[0], str) and args[2] & WRITING and args[0] != os.devnull:
            self._step(f"open {args[0]}")
        elif event == "subprocess.Popen":
            self._step(f"run {' '.join(map(str, args[1][:4]))}")
        elif event.startswith("os.") and event[3:] in EVENTS:
            self._step(f"{event[3:]} {args[0]}")

    def _started(self, communicate):
        def stepping(process, *args, **kwargs):
            if not READING & set(process.args):
                self._step(f"started {process.args[0]}")
            return communicate(process, *args, **kwargs)

        return stepping

    def _step(self, name):
        # Not what a child does before it becomes another program.
        if os.getpid() != self._own or self._thread not in threading.current_thread().name:
            return
        self.note(name)
        if len(self.names) == self.at:
            getattr(self, self.kind)(*self.about)

    def note(self, name):
        """Take note of a step."""
        self.names.append(name)

    def wait(self):
        """Go on when asked."""
        while not os.path.exists(GO):
            time.sleep(0.01)

    def starve(self, group):
        """Go on in a control group that takes no further process."""
        with open(f"{group}/cgroup.procs", "w", encoding="ascii") as stream:
            stream.write(str(self._own))

    def kill(self):
        """As power failure, the OOM killer and an impatient admin do."""
        os.kill(self._own, signal.SIGKILL)
