"""Runs what gives tickets, and kills it at a chosen step of a chosen thread.

Run as a script on a KVM host: ``python3 givekilled.py THREAD STEP PROGRAM``. THREAD is a part of the thread's name,
STEP counts from when ``/run/armed`` is there. ``/run/steps`` gets the name of each step.
"""

import os
import runpy
import sys

from steps import ARMED, STEPS, Steps


class Noted(Steps):
    """Counts steps from a moment on, and writes them down: who is killed can tell nobody."""

    def __init__(self, *words, **options):
        self._written = os.open(STEPS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        super().__init__(*words, **options)

    def _step(self, name):
        if os.path.exists(ARMED):
            super()._step(name)

    def note(self, name):
        """Take note of a step, for whoever reads the file."""
        super().note(name)
        os.write(self._written, f"{name}\n".encode())


if __name__ == "__main__":
    _, thread, step, program = sys.argv
    Noted("kill", int(step), thread=thread)
    sys.argv = [program]
    runpy.run_path(program, run_name="__main__")
