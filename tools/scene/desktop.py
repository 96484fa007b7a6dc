"""A user's X11 desktop in a machine, without a screen."""

import collections
import pathlib
import re
import secrets
import struct
import subprocess
import time

from scene.machine import SceneError

SOCKETS = "/tmp/.X11-unix"  # noqa: S108 - where X programs look for them
LOCK = "/tmp/.X{}-lock"  # noqa: S108


class Desktop:
    """Xvfb for one user, with a cookie that only the user can read; ``env`` is what the user's programs need.

    Its picture is in a file of the machine, ``frame``, for programs that watch it closely.

    abstract
        Whether it listens at an abstract socket as well, as an X server does unless told not to.
    """

    def __init__(self, machine, user, *, size="1024x768", display=0, abstract=True):
        self.machine, self.user = machine, user
        account = machine.account(user)
        self.cookie = account["home"] + "/.Xauthority"
        self.env = {"DISPLAY": f":{display}", "XAUTHORITY": self.cookie, "XDG_SESSION_TYPE": "x11"}
        # A display that was killed left these behind; its successor may be another user's.
        frames = f"/tmp/.frames-{display}"  # noqa: S108 - in the machine
        self.frame = f"{frames}/Xvfb_screen0"
        machine.run(["rm", "-f", f"{SOCKETS}/X{display}", LOCK.format(display), self.frame])
        machine.run(["install", "-d", "-m", "1777", SOCKETS])
        add = f"add {self.env['DISPLAY']} . {secrets.token_hex(16)}\n"
        machine.run(["xauth", "-q", "-f", self.cookie, "source", "-"], user=user, input=add)
        machine.run(["chmod", "0600", self.cookie])
        command = ["Xvfb", self.env["DISPLAY"], "-screen", "0", f"{size}x24", "-auth", self.cookie]
        machine.run(["install", "-d", "-m", "0700", "-o", user, frames])
        command += ["-nolisten", "tcp", "-noreset", "-displayfd", "1", "-fbdir", frames]
        command += [] if abstract else ["-nolisten", "local"]
        self._process = machine.popen(command, user=user, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = self._process.stdout.readline()
        if not said.strip().isdigit():
            self._process.wait()
            raise SceneError(f"no display for {user}: {said}{self._process.stdout.read()}")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def run(self, argv, **kw):
        """Machine.run as the user, on this display."""
        return self.machine.run(argv, user=self.user, env={**self.env, **kw.pop("env", {})}, **kw)

    def popen(self, argv, **kw):
        """Machine.popen as the user, on this display."""
        return self.machine.popen(argv, user=self.user, env={**self.env, **kw.pop("env", {})}, **kw)

    def screenshot(self, path):
        """Write what the screen shows to a PNG file of the host."""
        path = pathlib.Path(path)
        path.write_bytes(self.picture())
        return path

    def picture(self, *, trim=False):
        """Return what the screen shows, as PNG; with ``trim`` without what is empty around it."""
        process = self.popen(
            ["import", "-silent", "-window", "root", *(["-trim", "+repage"] if trim else []), "png:-"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        image, errors = process.communicate(timeout=60)
        if process.returncode != 0:
            raise SceneError(f"no screenshot: {errors.decode(errors='replace')}")
        return image

    def colours(self):
        """Return the number of pixels of each colour: ``{(red, green, blue): pixels}``, most frequent first."""
        # A file in the form of xwd: a header with its own size and the number of colours, these, and the pixels.
        picture = self.machine.path(self.frame).read_bytes()
        size, colours = (struct.unpack_from(">I", picture, at)[0] for at in (0, 76))
        found = collections.Counter(memoryview(picture)[size + 12 * colours :].cast("I"))
        return {(pixel >> 16 & 255, pixel >> 8 & 255, pixel & 255): count for pixel, count in found.most_common()}

    def shows(self, rgb, *, timeout=60, every=0.2, tolerance=6, pixels=10000):
        """Tell whether a colour covers part of the screen within the time; look every so many seconds."""
        deadline = time.monotonic() + timeout
        while True:
            for colour, count in self.colours().items():
                if count >= pixels and all(abs(a - b) <= tolerance for a, b in zip(colour, rgb)):
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(every)

    def windows(self):
        """Return the titles of the windows on the screen."""
        tree = self.run(["xwininfo", "-root", "-tree"]).stdout
        return [title for title in re.findall(r'^\s+0x[0-9a-f]+ "([^"]*)"', tree, re.MULTILINE) if title]

    def wait_window(self, part, timeout=60):
        """Wait for a window with this text in its title, and return the title."""
        deadline = time.monotonic() + timeout
        while True:
            found = [title for title in self.windows() if part in title]
            if found:
                return found[0]
            if time.monotonic() > deadline:
                raise SceneError(f"no window with {part!r} within {timeout} s; there are {self.windows()}")
            time.sleep(0.2)

    def stop(self):
        """End the display, and with it every program on it."""
        self._process.kill_tree()
        self._process.stdout.close()
