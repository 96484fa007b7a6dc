"""Set up what the demo (``base``) and the tests (``test``) need: Debian packages, and a virtual environment in .venv.

For the tests also one for each older Salt in .nox, and packages and a Debian for machines in build. What builds the
site of docs/ (``docs``) has an environment in build, too. Runs with the system's Python and its standard library.
Each step is named before it is taken, and nothing is done a second time; on a terminal the last line of what runs is
shown meanwhile. PYTHON chooses another interpreter for the virtual environments.
"""

import argparse
import collections
import fcntl
import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "_utils"))

from scene import booted
from spicegrants.host import terminal

VENV = ROOT / ".venv"
DOCS_VENV = ROOT / "build" / "venv-docs"
PYTHON = os.environ.get("PYTHON") or "/usr/bin/python3"
BUILD_PACKAGES = ("gcc", "libc6-dev", "python3-dev", "python3-venv")  # timelib, which Salt needs, has no wheel
PACKAGES = {
    "base": (
        *BUILD_PACKAGES,
        "bubblewrap",
        "ca-certificates",
        "imagemagick",
        "iproute2",
        "librsvg2-common",
        "nftables",
        "openssh-client",
        "openssl",
        "passwd",
        "procps",
        "qemu-system-x86",
        "sudo",
        "util-linux",
        "virt-viewer",
        "x11-utils",
        "xauth",
        "xvfb",
    ),
    "test": (
        "dbus-daemon",
        "debootstrap",
        "git",
        "gstreamer1.0-plugins-base",
        "gstreamer1.0-plugins-good",
        "iptables",
        "libglib2.0-bin",
        "libnotify-bin",
        "man-db",
        "pulseaudio-utils",
        "python3-gi",
        "slirp4netns",
        "systemd-container",
        "weston",
        "xclip",
        "xdotool",
        "xsettingsd",
        "zenity",
    ),
    "docs": ("python3-venv",),
}

# What there is since some release only, as older ones have it in a package above or not at all; by group and
# distribution: the first release, and the package.
SINCE = {
    "base": {"debian": (13, "qemu-system-modules-spice"), "ubuntu": (24, "qemu-system-modules-spice")},
    "test": {"debian": (13, "sudo-rs"), "ubuntu": (25, "sudo-rs")},
    "docs": {},
}
INSTALL = ("install", "--yes", "--no-install-recommends")
# What test machines unpack for themselves, with what it needs: installed here, it would oust the desktop's own or start
# servers. Fetched by name, since they are at odds with one another.
APART = {
    "base": {"kvmhost": ("libvirt-clients", "libvirt-daemon", "libvirt-daemon-driver-qemu", "openssh-server")},
    "test": {
        "pulseaudio": ("pulseaudio",),
        "pipewire": ("gstreamer1.0-alsa", "pipewire-alsa", "pipewire-pulse", "wireplumber"),
    },
    "docs": {},
}
ARCHIVES = ROOT / "build" / "packages"
OLDER = ("salt-3006", "salt-3007")


def chosen_packages(groups):
    """Return the names of the Debian packages of these groups, sorted."""
    return sorted({name for group in groups for name in PACKAGES[group]})


def further(groups, release):
    """Return the packages of these groups that only a release has; ``release`` has the fields of its os-release(5)."""
    found = [SINCE[group][release["ID"]] for group in groups if release.get("ID") in SINCE[group]]
    major = release.get("VERSION_ID", "0").partition(".")[0]
    return [name for since, name in found if major.isdigit() and int(major) >= since]


def absent(names, listing):
    """Return the packages not shown as installed in dpkg-query's listing (``name status`` a line)."""
    installed = {line.split()[0] for line in listing.splitlines() if line.split()[1:] == ["installed"]}
    return [name for name in names if name not in installed]


def install_packages(groups):
    """Install the missing packages; raise SystemExit with the remedy if that is impossible."""
    names = [*chosen_packages(groups), *further(groups, platform.freedesktop_os_release())]
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        print(f"setup: no apt here; what Debian calls {' '.join(names)} is taken to be installed")
        return
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names]
    listing = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    missing = absent(names, listing)
    if not missing:
        return
    words = [*INSTALL, *missing]
    print(f"setup: {len(missing)} Debian packages are missing: {' '.join(missing)}", flush=True)
    if os.geteuid() != 0:
        sys.exit(f"setup: not root, so run this first: sudo apt-get {' '.join(words)}")
    print("setup: fetching the lists of packages, then the packages, and installing them with apt-get", flush=True)
    apt_get("update")
    apt_get(*words)


def fetch_archives(groups):
    """Fetch the packages of these groups that are unpacked in machines only; the host does not change."""
    named = {name: packages for group in groups for name, packages in APART[group].items()}
    missing = {name: ARCHIVES / name for name in named if not (ARCHIVES / name / "complete").exists()}
    if not missing or shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    apt_get("update")
    for name, directory in missing.items():
        print(f"setup: fetching {' '.join(named[name])} into {directory}", flush=True)
        (directory / "partial").mkdir(parents=True, exist_ok=True)
        apt_get(*INSTALL, "--download-only", "-o", f"Dir::Cache::archives={directory}", *named[name])
        (directory / "complete").touch()


def apt_get(*words):
    """Run apt-get without questions."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "-o", "APT::Status-Fd=1", *words], said_by_apt, env=env)


def said_by_apt(line):
    """Return what to show of a line of apt-get's output, with its reports on standard output; empty for most."""
    kind, *rest = line.split(":", 3)
    if kind in ("dlstatus", "pmstatus") and len(rest) == 3:
        _, percent, what = rest
        return f"{percent.partition('.')[0]} %, {what}"
    return line if kind in ("Get", "Hit") else ""


def fingerprint(files):
    """Return a digest that changes with the interpreter or one of the requirement files."""
    digest = hashlib.sha256(os.path.realpath(PYTHON).encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamps(groups):
    """Return stamp files and their required text, by requirement file; a later file includes the earlier ones."""
    files = [ROOT / "requirements" / f"{group}.txt" for group in ("base", "test") if group in groups or group == "base"]
    return {path: (VENV / f"stamp-{path.stem}", fingerprint(files[: n + 1])) for n, path in enumerate(files)}


def holds(stamp, desired):
    """Tell whether a stamp file has this text."""
    return stamp.exists() and stamp.read_text(encoding="ascii") == desired


def install_requirements(groups):
    """Make .venv if none works, and install the pinned requirements into it."""
    desired = stamps(groups)
    python, last = VENV / "bin" / "python", list(desired)[-1]
    if python.exists() and holds(*desired[last]):
        return
    print(f"setup: installing {', '.join(path.name for path in desired)} into {VENV}", flush=True)
    install_into(VENV, last)
    for stamp, text in desired.values():
        stamp.write_text(text, encoding="ascii")


def install_docs():
    """Make the environment that builds the site; it does without Salt, and so without a compiler."""
    requirements = ROOT / "requirements" / "docs.txt"
    stamp = DOCS_VENV / "stamp-docs", fingerprint([requirements])
    if (DOCS_VENV / "bin" / "python").exists() and holds(*stamp):
        return
    print(f"setup: installing {requirements.name} into {DOCS_VENV}", flush=True)
    install_into(DOCS_VENV, requirements)
    stamp[0].write_text(stamp[1], encoding="ascii")


def install_into(venv, requirements):
    """Make a virtual environment if none of this interpreter is there, and install a requirement file into it."""
    python = venv / "bin" / "python"
    made = venv / "stamp-python", fingerprint([])
    if not (python.exists() and holds(*made)):
        run([PYTHON, "-m", "venv", "--clear", venv])
        made[0].write_text(made[1], encoding="ascii")
    pip = [python, "-m", "pip", "install", "--progress-bar=off", "--no-input", "--disable-pip-version-check"]
    run([*pip, "--requirement", requirements])


def install_older():
    """Make the environments with older Salts, one for each session of noxfile.py."""
    stamp = ROOT / ".nox" / "stamp", fingerprint([ROOT / "noxfile.py", ROOT / "requirements" / "test.txt"])
    if holds(*stamp):
        return
    print(f"setup: installing {', '.join(OLDER)} into {ROOT / '.nox'}", flush=True)
    run(
        [VENV / "bin" / "python", "-m", "nox", "--install-only", "--sessions", *OLDER],
        cwd=ROOT,
        stderr=subprocess.STDOUT,
    )
    stamp[0].write_text(stamp[1], encoding="ascii")


def make_system():
    """Make the file system that booting machines begin with."""
    if os.geteuid() == 0 and shutil.which("debootstrap") and not booted.pristine().exists():
        print(f"setup: making a Debian that boots, {booted.pristine()}", flush=True)
        with terminal.live_line() as line:
            booted.make(line.show)


def run(command, shown=str, **kw):
    """Run a command; end the setup, with the last that was said, if it fails.

    shown
        Returns what to show of a line of output on a terminal; all without.
    """
    command = [str(part) for part in command]
    said = collections.deque(maxlen=20)
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "encoding": "utf-8", "errors": "replace"}
    with terminal.live_line() as line, subprocess.Popen(command, **streams, **kw) as process:
        for text in process.stdout:
            said.append(text)
            if words := shown(text.rstrip()):
                line.show(words)
    if process.returncode != 0:
        sys.exit(f"{''.join(said)}setup: {' '.join(command)} ended with {process.returncode}")


def main(argv=None):
    """Run the command line: the groups to set up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*PACKAGES, []], default=[], help="what to set up; all without")
    parser.add_argument("--no-packages", action="store_true", help="leave Debian packages alone")
    options = parser.parse_args(argv)
    groups = options.groups or list(PACKAGES)
    with open(ROOT / "requirements" / "base.txt", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once take turns
        if not options.no_packages:
            install_packages(groups)
            fetch_archives(groups)
        if groups != ["docs"]:
            install_requirements(groups)
        if "docs" in groups:
            install_docs()
        if "test" in groups:
            install_older()
            make_system()


if __name__ == "__main__":
    main()
