#!/usr/bin/python3 -IS
"""Lists the SPICE consoles that were granted to you, and opens one.

usage: rviewer [--list] [NAME]

Without a name: opens your console if just one is open now; otherwise lists them or, without a terminal, lets you
choose. --list prints a name a line and, behind a tab, until when it is open or when it opens, if it is not always.
Exit codes: 0 opened or listed; 1 not allowed, closed now, or not possible, with the reason; 2 wrong usage; 3 the viewer
could not be started; 4 it ended with an error; 5 there is no desktop to show it on.
"""

# Installed as it is and started with the system's Python by users: it decides nothing. It reads the menu that root
# wrote for this user and starts sudo, which checks the exact command and the time. Its user waits for what it imports:
# what only some calls need is imported there.

import json
import os
import re
import signal
import sys
import time

MENUS = "/etc/spice-grant/menu"
SUDO = "/usr/bin/sudo"
# The opener's code where the viewer ended with an error.
FAILED = 4
# A window that ends here does not end.
NO_END = 2**32
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
        now = int(time.time())
        states = {name: state(windows_of(console), now) for name, console in menu["consoles"].items()}
        names = sorted(states, key=lambda name: (not states[name][0], name))
    except FileNotFoundError:
        return refuse("No SPICE console is granted to you on this machine.")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return refuse(f"Your list of consoles cannot be read: {error}")
    if listing:
        print("\n".join(line(name, states[name], now) for name in names))
        return 0
    return open_by_name(menu, states, arguments[0]) if arguments else open_any(menu, states, names, now)


def open_any(menu, states, names, now):
    """Open the only console that is open; list several, or let the user choose."""
    opened = [name for name in names if states[name][0]]
    closed = [f"{name}, {later(states[name][1])}" for name in names if not states[name][0]]
    if not opened:
        return refuse(f"Closed now: {'; '.join(closed)}.")
    if len(opened) == 1:
        return open_console(menu, opened[0])
    if not terminal():
        name = choose(opened)
        return 1 if name is None else open_console(menu, name)
    print("\n".join(["You may open:", *(f"  rviewer {line(name, states[name], now)}" for name in opened)]))
    if closed:
        print("\n  ".join(["Closed now:", *closed]))
    return 0


def windows_of(console):
    """Return when a console is open, as pairs of seconds since 1970; None if always, or if the menu does not say."""
    text = console.get("windows")
    if not isinstance(text, str) or not re.fullmatch(r"([0-9]{1,10}-[0-9]{1,10}( |$))*", text):
        return None
    windows = sorted(tuple(map(int, span.split("-"))) for span in text.split())
    return windows if all(start < end <= NO_END for start, end in windows) else None


def state(windows, now):
    """Return whether a console is open, and when that changes; None if it does not, as far as is known."""
    if windows is None:
        return True, None
    for start, end in windows:
        if start <= now < end:
            return True, None if end == NO_END else end
        if now < start:
            return False, start
    return False, None


def local(moment, now=None):
    """Spell a moment in the user's own time zone; if it is on the day of ``now``, which is optional, only its hour."""
    there = time.localtime(moment)
    hour = time.strftime("%H:%M:%S" if there.tm_sec else "%H:%M", there)
    if now is not None and there[:3] == time.localtime(now)[:3]:
        return hour
    return f"{time.strftime('%a %Y-%m-%d', there)} {hour}"


def later(opens, who=""):
    """Return a sentence with the moment at which a closed console opens."""
    return "no further window is known" if opens is None else f"{who}opens {local(opens)}"


def line(name, known, now):
    """Return a line about a console: its name and, after a tab, its times."""
    is_open, edge = known
    if not is_open:
        return f"{name}\tclosed, {later(edge)}"
    return name if edge is None else f"{name}\tuntil {local(edge, now)}"


def open_by_name(menu, states, name):
    """Open a console by name if it is the user's, and open now."""
    if name not in states:
        return refuse(f"You may not open {name!r}. You may open: {', '.join(sorted(states))}.")
    is_open, edge = states[name]
    if not is_open:
        return refuse(f"{name} is closed now; {later(edge, 'it ')}.")
    return open_console(menu, name)


def open_console(menu, name):
    """Start the viewer through sudo, wait for it, and return the code.

    What the opener runs ends with this process; nobody but root can signal it.
    """
    command = [SUDO]
    if menu["consoles"][name]["password"] and not terminal():
        askpass = os.environ.get("SUDO_ASKPASS") or next(filter(None, map(installed, ASKPASS)), None)
        if askpass is None:
            return refuse(
                f"Opening {name} asks for your password, and no program is installed that can ask for it on the "
                f"desktop (as ssh-askpass). Run 'rviewer {name}' in a terminal, or tell your administrator."
            )
        os.environ["SUDO_ASKPASS"] = askpass
        command.append("-A")
    if "opener" in menu:
        command += ["-u", "root", "--", menu["opener"], name]
    else:
        command += ["-g", menu["group"], "--", menu["viewer"], "--", menu["consoles"][name]["file"]]
    try:
        if terminal() or "opener" not in menu:
            return os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(SUDO, command, os.environ), 0)[1])
        import subprocess

        result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        return refuse(f"{SUDO} cannot be started: {error}")
    # A viewer that fails says so itself.
    messages = (
        [line for line in result.stderr.splitlines() if line.startswith("rviewer: ")]
        if result.returncode != FAILED
        else []
    )
    if messages:
        refuse(messages[-1].partition(" ")[2])
    return result.returncode


def choose(names):
    """Let the user choose on the desktop; None if they did not, or cannot."""
    for dialog in (
        ["zenity", "--list", "--title=SPICE consoles", "--text=Open:", "--column=Console", *names],
        ["kdialog", "--title", "SPICE consoles", "--menu", "Open:", *(word for name in names for word in (name, name))],
    ):
        if installed(dialog[0]):
            import subprocess

            chosen = subprocess.run(dialog, stdout=subprocess.PIPE, check=False, text=True).stdout.strip()
            return chosen if chosen in names else None
    refuse(f"You may open: {', '.join(names)}. Name one: rviewer NAME.")
    return None


def installed(program):
    """Return the path of a program; None if it is not installed."""
    import shutil

    return shutil.which(program)


def terminal():
    """Tell whether there is a terminal; a session may start programs without any standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


def refuse(message):
    """Print why a console is not opened, on the terminal or, without one, on the desktop; return the exit code."""
    print(f"rviewer: {message}", file=sys.stderr)
    if not terminal() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        for dialog in (
            ["zenity", "--error", "--no-markup", "--title=SPICE consoles", f"--text={message}"],
            ["kdialog", "--title", "SPICE consoles", "--error", message],
            ["notify-send", "--", "SPICE consoles", message],
        ):
            if installed(dialog[0]):
                import subprocess

                subprocess.run(dialog, check=False)
                break
    return 1


def end(number, frame):
    """End what runs as this user below this process, such as a viewer that is not confined, and then this process."""
    for pid in below(os.getpid()):
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError:
            # It has ended, or is root's.
            continue
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def below(pid):
    """Yield the processes below a process."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:
            children = stream.read().split()
    except OSError:
        return
    for child in children:
        yield from below(int(child))
        yield int(child)


if __name__ == "__main__":
    for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # Who started it may want it to go on.
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, end)
    sys.exit(main(sys.argv[1:]))
