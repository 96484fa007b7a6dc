"""Requirements of tests: skip a test where one is missing, fail it where none may be missing."""

import functools
import os
import shutil

from scene.machine import ROOT_PATH, Machine, SceneError

PACKAGES = {
    "bwrap": "bubblewrap",
    "dbus-run-session": "dbus-daemon",
    "debootstrap": "debootstrap",
    "gresource": "libglib2.0-bin",
    "systemd-nspawn": "systemd-container",
    "Xvfb": "xvfb",
    "convert": "imagemagick",
    "gcc": "gcc",
    "import": "imagemagick",
    "ip": "iproute2",
    "nft": "nftables",
    "iptables-legacy": "iptables",
    "iptables-nft": "iptables",
    "notify-send": "libnotify-bin",
    "nsenter": "util-linux",
    "pactl": "pulseaudio-utils",
    "parec": "pulseaudio-utils",
    "pgrep": "procps",
    "qemu-system-x86_64": "qemu-system-x86",
    "remote-viewer": "virt-viewer",
    "setpriv": "util-linux",
    "slirp4netns": "slirp4netns",
    "ss": "iproute2",
    "ssh": "openssh-client",
    "useradd": "passwd",
    "visudo": "sudo",
    "weston": "weston",
    "weston-screenshooter": "weston",
    "xauth": "xauth",
    "xclip": "xclip",
    "xdotool": "xdotool",
    "xmessage": "x11-utils",
    "xsettingsd": "xsettingsd",
    "xwininfo": "x11-utils",
}


@functools.lru_cache
def hindrance():
    """Return in words why this kernel makes no machines; None if it does."""
    try:
        with Machine("trial"):
            return None
    except SceneError as error:
        return str(error)


def missing(*programs):
    """Return in words which of root, namespaces, overlayfs and these programs are missing."""
    found = [] if os.geteuid() == 0 else ["root"]
    path = os.pathsep.join([os.environ.get("PATH", ""), ROOT_PATH])
    for program in programs:
        if shutil.which(program, path=path) is None:
            found.append(f"{program} (package {PACKAGES.get(program, program)})")
    if not found and hindrance():
        found.append(hindrance())
    return found


def need(*programs):
    """Skip the calling test, or its module, unless it runs as root with these programs; with CI=true it fails."""
    lacking = missing("nsenter", "setpriv", *programs)
    if lacking:
        unavailable("needs " + ", ".join(lacking))


def unavailable(text):
    """Skip the calling test, or its module, because this host cannot run it; with CI=true, fail it."""
    try:
        import pytest
    except ImportError:  # the demo runs without it
        raise SceneError(text) from None
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(text, pytrace=False)
    pytest.skip(text, allow_module_level=True)
