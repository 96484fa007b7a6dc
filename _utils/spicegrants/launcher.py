#!/usr/bin/python3 -I
"""Lists the SPICE consoles that were granted to you, and opens one.

usage: rviewer [--list] [NAME]

Without a name: opens your console if you have just one; otherwise lists them or, without a terminal, lets you choose.
Exit codes: 0 opened or listed; 1 not allowed, or not possible, with the reason; 2 wrong usage.
"""

# Installed as it is and started with the system's Python by users: it decides nothing. It reads the menu that root
# wrote for this user and starts sudo, which checks the exact command.

import json
import os
import shutil
import subprocess
import sys

MENUS = "/etc/spice-grant/menu"
SUDO = "/usr/bin/sudo"
ASKPASS = (
    "ssh-askpass",
    "ksshaskpass",
    "/usr/lib/ssh/ssh-askpass",
    "/usr/lib/ssh/x11-ssh-askpass",
    "/usr/libexec/openssh/gnome-ssh-askpass",
    "/usr/libexec/openssh/ssh-askpass",
)


def main(arguments):
    """Read the command line, do what it says, return the exit code."""
    if arguments in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    listing = arguments == ["--list"]
    if not listing and (len(arguments) > 1 or any(word.startswith("-") for word in arguments)):
        print("usage: rviewer [--list] [NAME]", file=sys.stderr)
        return 2
    try:
        with open(f"{MENUS}/{os.getuid()}", encoding="utf-8") as stream:
            menu = json.load(stream)
        names = sorted(menu["consoles"])
    except FileNotFoundError:
        return refuse("No SPICE console is granted to you on this machine.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return refuse(f"Your list of consoles cannot be read: {error}")
    if listing:
        print("\n".join(names))
        return 0
    if arguments:
        name = arguments[0]
        if name not in names:
            return refuse(f"You may not open {name!r}. You may open: {', '.join(names)}.")
    elif len(names) == 1:
        name = names[0]
    elif terminal():
        print("You may open:\n" + "\n".join(f"  rviewer {name}" for name in names))
        return 0
    else:
        name = choose(names)
        if name is None:
            return 1
    return open_console(menu, name)


def open_console(menu, name):
    """Start the viewer through sudo; returns only if that is not possible."""
    command = [SUDO]
    if menu["consoles"][name]["password"] and not terminal():
        askpass = os.environ.get("SUDO_ASKPASS") or next(filter(None, map(shutil.which, ASKPASS)), None)
        if askpass is None:
            return refuse(
                f"Opening {name} asks for your password, and no program is installed that can ask for it on the "
                f"desktop (as ssh-askpass). Run 'rviewer {name}' in a terminal, or tell your administrator."
            )
        os.environ["SUDO_ASKPASS"] = askpass
        command.append("-A")
    command += ["-g", menu["group"], "--", menu["viewer"], "--", menu["consoles"][name]["file"]]
    try:
        os.execv(SUDO, command)
    except OSError as error:
        return refuse(f"{SUDO} cannot be started: {error}")


def choose(names):
    """Let the user choose on the desktop; None if he did not, or cannot."""
    for dialog in (
        ["zenity", "--list", "--title=SPICE consoles", "--text=Open:", "--column=Console", *names],
        ["kdialog", "--title", "SPICE consoles", "--menu", "Open:", *(word for name in names for word in (name, name))],
    ):
        if shutil.which(dialog[0]):
            chosen = subprocess.run(dialog, stdout=subprocess.PIPE, check=False, text=True).stdout.strip()
            return chosen if chosen in names else None
    refuse(f"You may open: {', '.join(names)}. Name one: rviewer NAME.")
    return None


def terminal():
    """Tell whether there is a terminal; a session may start programs without any standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


def refuse(message):
    """Say why not, on the terminal and, without one, on the desktop; return the exit code."""
    print(f"rviewer: {message}", file=sys.stderr)
    if not terminal() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        for dialog in (
            ["zenity", "--error", "--no-markup", "--title=SPICE consoles", f"--text={message}"],
            ["kdialog", "--title", "SPICE consoles", "--error", message],
            ["notify-send", "--", "SPICE consoles", message],
        ):
            if shutil.which(dialog[0]):
                subprocess.run(dialog, check=False)
                break
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
