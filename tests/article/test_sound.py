"""What a guest plays is heard by the user of its viewer: by the sound server of that user's session."""

import array
import os
import subprocess
import time

import pytest
from article.conftest import asking_nobody

from scene import apart
from scene.consoles import Console
from scene.desktop import Desktop
from scene.requirements import need

# Hertz.
TONE, RATE = 1000, 44100
RUNTIME = "/run/user/1021"
SOCKETS = {"pulseaudio": f"{RUNTIME}/pulse/native", "pipewire": f"{RUNTIME}/pipewire-0"}
# No hardware: a device that swallows what is played, and what it swallows can be recorded.
SINK = ("module-null-sink", "sink_name=ear", f"rate={RATE}", "channels=1")


@pytest.fixture(scope="module")
def office():
    """The office with a guest that sounds a tone."""
    need("bwrap", "parec", "pactl", "dbus-run-session")
    with asking_nobody(viewer={"confine": True}) as office:
        for name in SOCKETS:
            apart.unpack(office.client, name, name)
        office.consoles["debianx"].stop()
        with Console(office.server, "debianx", 20002, "/etc/pki/spice", tone=TONE) as console:
            office.consoles["debianx"] = console
            yield office


class Ear:
    """The sound server of a user's session, and what it plays.

    ``asked`` is the socket, of PulseAudio's kind, at which the server is asked; it need not be where viewers look.
    """

    def __init__(self, desktop, asked):
        self.desktop, self.asked, self.processes = desktop, asked, []
        desktop.machine.run(["rm", "-rf", RUNTIME])
        desktop.machine.run(["install", "-d", "-m", "0700", "-o", desktop.user, RUNTIME])
        self.begin()
        assert within(10, lambda: self.ask("load-module", *SINK))
        assert within(10, lambda: "Default Sink: ear" in self.ask("info"))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for process in self.processes:
            process.kill_tree()

    def start(self, *command, **env):
        """Start a program of the user's session."""
        env = {"XDG_RUNTIME_DIR": RUNTIME, "HOME": self.desktop.machine.account(self.desktop.user)["home"], **env}
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.processes.append(self.desktop.popen(command, env=env, **silent))

    def ask(self, *words):
        """What the server answers."""
        return self.desktop.run(["pactl", f"--server=unix:{self.asked}", *words], check=False).stdout

    def hears(self, seconds=1):
        """Return how often what is played within the time swings there and back."""
        command = [
            "parec",
            f"--server=unix:{self.asked}",
            "--device=ear.monitor",
            "--raw",
            "--format=s16le",
            "--channels=1",
        ]
        recording = self.desktop.popen([*command, f"--rate={RATE}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            samples = array.array("h", recording.stdout.read(2 * int(seconds * RATE)))
        finally:
            recording.kill_tree()
            recording.stdout.close()
        assert len(samples) == seconds * RATE
        return sum(before < 0 <= after for before, after in zip(samples, samples[1:]))


class PulseAudio(Ear):
    """PulseAudio."""

    def begin(self):
        """Start it."""
        module = f"--load=module-native-protocol-unix socket={self.asked}"
        self.start("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", module)


class PipeWire(Ear):
    """PipeWire, with its stand-in for PulseAudio."""

    def begin(self):
        """Start them, and what connects who plays with a device."""
        self.start("pipewire")
        machine = self.desktop.machine
        assert within(10, lambda: machine.run(["test", "-S", SOCKETS["pipewire"]], check=False).returncode == 0)
        # Without these, of systemd-logind's, the next one ends.
        machine.run(["mkdir", "-p", *(f"/run/systemd/{name}" for name in ("machines", "seats", "sessions", "users"))])
        self.start("dbus-run-session", "--", "wireplumber")
        self.start("pipewire-pulse", PULSE_RUNTIME_PATH=os.path.dirname(self.asked))


def within(seconds, what):
    """Whether something becomes true within the time."""
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@pytest.mark.parametrize(
    ("server", "asked", "player"),
    [
        (PulseAudio, SOCKETS["pulseaudio"], "Remote Viewer"),
        (PipeWire, SOCKETS["pulseaudio"], "Remote Viewer"),
        # It listens where viewers do not see it, so they have PipeWire's own socket and what ALSA has for it.
        (PipeWire, "/home/myself/ear/native", "PipeWire ALSA [remote-viewer]"),
    ],
    ids=["pulseaudio", "pipewire-pulse", "pipewire-alsa"],
)
def test_a_guest_is_heard(office, server, asked, player):
    """Its tone, and nothing before the console is open."""
    with Desktop(office.client, "myself") as desktop, server(desktop, asked) as ear:
        assert ear.hears() == 0
        viewer = desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert desktop.shows(office.consoles["debianx"].rgb)
        assert within(20, lambda: player in ear.ask("list", "sink-inputs"))
        assert within(20, lambda: abs(ear.hears() - TONE) < TONE / 20)
        viewer.kill_tree()
