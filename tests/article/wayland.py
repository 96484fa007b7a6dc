"""A user's Wayland desktop in a machine, without a screen."""

import re
import subprocess
import time

SOCKET = "wayland-5"


class Wayland:
    """weston for one user; ``env`` is what the user's programs need."""

    def __init__(self, machine, user):
        self.machine, self.user = machine, user
        account = machine.account(user)
        self.home, self.runtime = account["home"], f"/run/user/{account['uid']}"
        machine.run(["install", "-d", "-m", "0700", "-o", user, self.runtime])
        self.env = {"XDG_RUNTIME_DIR": self.runtime, "WAYLAND_DISPLAY": SOCKET}
        # Only with its protocol for debugging may a program take pictures.
        command = ["weston", "--backend=headless-backend.so", f"--socket={SOCKET}", "--use-pixman", "--debug"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = machine.popen(command, user=user, env={"XDG_RUNTIME_DIR": self.runtime}, **quiet)
        deadline = time.monotonic() + 60
        while not machine.path(f"{self.runtime}/{SOCKET}").exists():
            assert self._process.poll() is None and time.monotonic() < deadline, "no Wayland desktop"
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._process.kill_tree()

    def popen(self, argv, **kw):
        """Machine.popen as the user, on this desktop."""
        return self.machine.popen(argv, user=self.user, env=self.env, **kw)

    def picture(self):
        """Take a picture of the screen; return its path in the machine."""
        self.machine.run(["sh", "-c", "rm -f wayland-screenshot-*"], user=self.user, cwd=self.home)
        self.machine.run(["weston-screenshooter"], user=self.user, env=self.env, cwd=self.home)
        (name,) = self.machine.run(["sh", "-c", "ls wayland-screenshot-*"], cwd=self.home).stdout.split()
        return f"{self.home}/{name}"

    def shows(self, rgb, *, timeout=60, tolerance=6, pixels=10000):
        """Whether a colour covers part of the screen within the time."""
        deadline = time.monotonic() + timeout
        while True:
            count = ["convert", self.picture(), "-depth", "8", "-format", "%c", "histogram:info:-"]
            for number, colour in re.findall(r"(\d+): \(([\d.,]+)\)", self.machine.run(count).stdout):
                parts = [float(part) for part in colour.split(",")[:3]]
                if int(number) >= pixels and all(abs(a - b) <= tolerance for a, b in zip(parts, rgb)):
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
