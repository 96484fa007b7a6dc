"""A Debian that really boots, with systemd as its first process, inside a machine and on that machine's network.

Its root file system is made once, by debootstrap, and kept in ``build/``; each boot runs on an overlay in memory. The
kernel's rules, which a real power cycle would clear, are cleared between boots.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time

from scene.machine import CHECKOUT, CommandError, SceneError

# Of this machine's own release: what runs there is this checkout's virtual environment.
RELEASE = platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
PACKAGES = ("dbus", "iproute2", "nftables", "passwd", "procps", "python3", "sudo", "systemd", "systemd-sysv")
# What else a site may have before its machines: there, and off until a test starts it. polkitd, which firewalld needs,
# wants the PAM module. ufw and netfilter-persistent exclude each other.
FIREWALLS = ("firewalld", "iptables", "libpam-systemd", "ufw")
SERVICES = ("firewalld.service", "ufw.service")
PLACE = "/srv/booted"
ROOT = f"{PLACE}/root"
READY = ("running", "degraded")


def pristine():
    """Return the directory of the root file system that every machine begins with; it need not exist yet."""
    stamp = hashlib.sha256(" ".join((RELEASE, *PACKAGES, *FIREWALLS)).encode()).hexdigest()[:12]
    return CHECKOUT / "build" / f"booted-{stamp}"


def make(show=lambda line: None):
    """Create that directory (one or two minutes); ``show`` gets each line that is said meanwhile."""
    unfinished = pristine().with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(exist_ok=True)
    packages = ",".join((*PACKAGES, *FIREWALLS))
    command = ["debootstrap", "--variant=minbase", f"--include={packages}", RELEASE, str(unfinished)]
    for made in (command, ["systemctl", f"--root={unfinished}", "disable", *SERVICES]):
        said = ""
        with subprocess.Popen(made, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            for line in process.stdout:
                said = f"{said}{line}"[-4000:]
                show(line.rstrip())
        if process.returncode != 0:
            raise SceneError(f"{made[0]} ended with {process.returncode}:\n{said}")
    unfinished.rename(pristine())


class Booted:
    """A booted Debian in a machine, started by ``boot`` and ended by ``off``; files stay, the kernel's rules do not."""

    def __init__(self, machine):
        self.machine = machine
        self._process = None
        self._leader = None
        if not pristine().exists():
            make()
        machine.run(["mkdir", "-p", PLACE])
        machine.run(["mount", "-t", "tmpfs", "tmpfs", PLACE])
        machine.run(["mkdir", ROOT, f"{PLACE}/upper", f"{PLACE}/work"])
        layers = f"lowerdir={pristine()},upperdir={PLACE}/upper,workdir={PLACE}/work"
        machine.run(["mount", "-t", "overlay", "overlay", "-o", layers, ROOT])
        if not machine.path("/sys/fs/cgroup/cgroup.procs").exists():
            machine.run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"])

    def boot(self, timeout=60):
        """Start the system and wait until systemd reports that it is up."""
        command = ["systemd-nspawn", "--quiet", f"--directory={ROOT}", "--boot", f"--machine={self.machine.name}"]
        command += ["--capability=CAP_NET_ADMIN", "--register=no", "--keep-unit", "--link-journal=no"]
        shown = {os.path.realpath(path) for path in (CHECKOUT, sys.prefix, sys.base_prefix)} - {"/usr"}
        command += [f"--bind-ro={path}" for path in sorted(shown)]
        with open(self.machine.path(f"{PLACE}/console"), "wb") as console:
            self._process = self.machine.popen(command, stdout=console, stderr=console)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self._leader = self._first_process()
            if self._leader and self.run(["systemctl", "is-system-running"], check=False).stdout.strip() in READY:
                return
            time.sleep(0.1)
        raise SceneError(f"{self.machine.name} does not boot:\n{self.machine.read(f'{PLACE}/console')[-3000:]}")

    def _first_process(self):
        """Return the PID, within the machine, of the booted system's first process."""
        found = self.machine.run(["pgrep", "--full", "--newest", "^systemd-nspawn"], check=False).stdout.strip()
        command = ["pgrep", "--parent", found or "0", "--exact", "systemd"]
        child = self.machine.run(command, check=False).stdout.strip()
        return child or None

    def off(self, timeout=60, at_once=False):
        """Switch the system off, and with it the kernel's rules; ``at_once`` as if its power was cut."""
        if at_once:
            self.machine.run(["kill", "-KILL", self._leader])
        else:
            self.run(["systemctl", "poweroff"], check=False)
        self._process.wait(timeout)
        self._process = self._leader = None
        self.machine.run(["nft", "flush", "ruleset"])
        for version in ("-4", "-6"):
            self.machine.run(["ip", version, "rule", "flush"])
            self.machine.run(["ip", version, "rule", "add", "pref", "32766", "lookup", "main"])
        self.machine.run(["ip", "link", "delete", "spice-dead"], check=False)
        for program in ("iptables-legacy", "ip6tables-legacy"):
            for verb in ("-F", "-X"):
                self.machine.run([program, verb])

    def run(self, argv, *, check=True, timeout=120):
        """Run a command in the system, as root."""
        command = ["nsenter", f"--target={self._leader}", "--all", "--", *argv]
        done = self.machine.run(command, check=False, timeout=timeout)
        if check and done.returncode != 0:
            raise CommandError(self.machine.name, argv, done.returncode, done.stdout, done.stderr)
        return done

    def write(self, path, content, mode=0o644):
        """Write a file of the system."""
        self.machine.write(f"{ROOT}{path}", content, mode)

    def read(self, path):
        """Return the content of a file of the system."""
        return self.machine.read(f"{ROOT}{path}")
