"""The kernel's log, in which a machine's lines are only where a switch of the host says so."""

import contextlib
import fcntl
import pathlib
import random
import subprocess

from scene.requirements import unavailable

LOCK = pathlib.Path("/run/spice-grant-tests.lock")
SWITCH = pathlib.Path("/proc/sys/net/netfilter/nf_log_all_netns")


class KernelLog:
    """Lines that the kernel logged about connections, distinguished from all others by their source ports."""

    def __init__(self):
        # Outside what the kernel gives away by itself, so that no other connection has them.
        self._unused = random.sample(range(10000, 19000), 200)
        self._older = set(self._read())

    def ports(self, count):
        """Source ports that nothing else uses."""
        return [self._unused.pop() for _ in range(count)]

    def lines(self, *ports):
        """What was logged about them."""
        desired = {f"SPT={port}" for port in ports}
        return [line for line in self._read() if line not in self._older and desired & set(line.split())]

    @staticmethod
    def _read():
        return subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout.splitlines()


@contextlib.contextmanager
def followed():
    """The kernel's log, with what machines log in it; the switch for that is put back afterwards."""
    with open(LOCK, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the same tests may run with another Salt beside these
        try:
            before = SWITCH.read_text(encoding="ascii")
            SWITCH.write_text("1", encoding="ascii")
        except OSError as error:
            unavailable(f"the kernel's log of machines cannot be switched on: {error}")
        try:
            yield KernelLog()
        finally:
            SWITCH.write_text(before, encoding="ascii")
