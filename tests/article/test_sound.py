"""What a guest plays is heard by the user of its viewer: by the sound server of his session."""

import array
import subprocess
import time

import pytest
from article.conftest import asking_nobody

from scene.consoles import Console
from scene.desktop import Desktop
from scene.machine import CHECKOUT
from scene.requirements import need, unavailable

# Hertz.
TONE, RATE = 1000, 44100
ARCHIVES = CHECKOUT / "build" / "packages"
RUNTIME = "/run/user/1021"
SOCKET = f"{RUNTIME}/pulse/native"
# No hardware: a device that swallows what is played, and what it swallows can be recorded.
MODULES = (
    f"module-null-sink sink_name=ear rate={RATE} channels=1",
    f"module-native-protocol-unix socket={SOCKET}",
)


@pytest.fixture(scope="module")
def office():
    """The office with a guest that sounds a tone."""
    need("bwrap", "parec", "pactl")
    with asking_nobody(viewer={"confine": True}) as office:
        install(office.client)
        office.consoles["debianx"].stop()
        with Console(office.server, "debianx", 20002, "/etc/pki/spice", tone=TONE) as console:
            office.consoles["debianx"] = console
            yield office


def install(machine):
    """Unpack PulseAudio in a machine; where the host has it, so has the machine already."""
    archives = sorted(ARCHIVES.glob("*.deb"))
    if archives:
        machine.run(["dpkg", "--unpack", "--no-triggers", "--force-conflicts", "--force-depends", *archives])
    if machine.run(["pulseaudio", "--version"], check=False).returncode != 0:
        unavailable("needs pulseaudio in build/packages: make setup, as root")


class Ear:
    """The sound server of a user's session, and what is played to him."""

    def __init__(self, desktop):
        self.desktop = desktop
        desktop.machine.run(["install", "-d", "-m", "0700", "-o", desktop.user, RUNTIME])
        command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]
        command += [f"--load={module}" for module in MODULES]
        env = {"XDG_RUNTIME_DIR": RUNTIME, "HOME": desktop.machine.account(desktop.user)["home"]}
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = desktop.popen(command, env=env, **silent)
        assert within(10, lambda: self.ask("info"))

    def ask(self, *words):
        """What the server answers."""
        return self.desktop.run(["pactl", f"--server=unix:{SOCKET}", *words], check=False).stdout

    def hears(self, seconds=1):
        """Return how often what is played within the time swings there and back."""
        command = [
            "parec",
            f"--server=unix:{SOCKET}",
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


def within(seconds, what):
    """Whether something becomes true within the time."""
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def test_a_guest_is_heard(office):
    """Its tone, and nothing before the console is open."""
    with Desktop(office.client, "myself") as desktop:
        ear = Ear(desktop)
        assert ear.hears() == 0
        viewer = desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert desktop.shows(office.consoles["debianx"].rgb)
        assert within(20, lambda: "Remote Viewer" in ear.ask("list", "sink-inputs"))
        assert within(20, lambda: abs(ear.hears() - TONE) < TONE / 20)
        viewer.kill_tree()
        ear.process.kill_tree()
