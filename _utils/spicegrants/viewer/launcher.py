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

import functools
import json
import os
import re
import signal
import sys
import time

MENUS = "/etc/spice-grant/menu"
# Whom all may ask, if pillar names somebody.
CONTACT = "/etc/spice-grant/contact"
LOCALES, CATALOGUE = "/usr/local/share/locale", "spice-grant"
SUDO = "/usr/bin/sudo"
# Ubuntu's language packs are in a place of their own.
SUDO_LOCALES = ("/usr/share/locale", "/usr/share/locale-langpack")
# Exit codes of its own; the opener has more.
OPENED, REFUSED, WRONG_USAGE = range(3)
# A window that ends here does not end.
NO_END = 2**32
# Signals by which it is ended together with its viewer.
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
ASKPASS = (
    "ssh-askpass",
    "ksshaskpass",
    "/usr/lib/ssh/ssh-askpass",
    "/usr/lib/ssh/x11-ssh-askpass",
    "/usr/libexec/openssh/gnome-ssh-askpass",
    "/usr/libexec/openssh/ssh-askpass",
)


class Refusal(Exception):
    """Nothing is opened or listed: the sentence says why and what to do next, ``console`` which one it is about."""

    def __init__(self, sentence, console=None, code=REFUSED):
        super().__init__(sentence)
        self.console, self.code = console, code


def main(arguments):
    """Read the command line, do what it says, return the exit code."""
    if arguments in (["-h"], ["--help"]):
        print(say(__doc__.strip()))
        return OPENED
    listing = arguments == ["--list"]
    if not listing and (len(arguments) > 1 or any(word.startswith("-") for word in arguments)):
        print(say("usage: rviewer [--list] [NAME]"), file=sys.stderr)
        return WRONG_USAGE
    now = int(time.time())
    try:
        menu, states = read_menu(now)
        if arguments and not listing:
            return open_by_name(menu, states, arguments[0])
        if not states:
            raise all_locked(menu)
        names = sorted(states, key=lambda name: (not states[name][0], name))
        if not listing:
            return open_any(menu, states, names, now)
        print("\n".join(line(name, states[name], now) for name in names))
        return OPENED
    except Refusal as refusal:
        print(f"rviewer: {refusal}", file=sys.stderr)
        # Programs that ask for the list wait for no dialog.
        if not listing:
            show(refusal)
        return refusal.code


def read_menu(now):
    """Return the user's menu, and by console: whether it is open, when that changes, and the policy's time zone.

    What is locked is in the menu alone.
    """
    try:
        with open(f"{MENUS}/{os.getuid()}", encoding="utf-8") as stream:
            menu = json.load(stream)
        consoles = menu["consoles"]
        free = {name: each for name, each in consoles.items() if not each.get("locked")}
        return menu, {name: (*state(windows_of(each), now), each.get("zone")) for name, each in free.items()}
    except FileNotFoundError:
        text = say("No SPICE console is granted to you on this machine. Ask {whom}.", whom=whom())
        raise Refusal(text) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        text = say("Your list of consoles cannot be read: {why}. Tell {whom}.", why=error, whom=whom())
        raise Refusal(text) from error


def open_any(menu, states, names, now):
    """Open the only console that is open; list several, or let the user choose."""
    opened = [name for name in names if states[name][0]]
    closed = [later(name, states[name]) for name in names if not states[name][0]]
    locked = sorted(menu["consoles"].keys() - states.keys())
    closed += [say("{name}, locked", name=name) for name in locked]
    if not opened:
        text = say(
            "Closed now: {consoles}. If you need one sooner, ask {whom}.",
            consoles="; ".join(closed),
            whom=whom(*menu["consoles"].values()),
        )
        raise Refusal(text)
    if len(opened) == 1:
        return open_console(menu, opened[0])
    if not terminal():
        name = choose(states, names, locked, opened, now)
        return REFUSED if name is None else open_by_name(menu, states, name)
    print("\n".join([say("You may open:"), *(f"  rviewer {line(name, states[name], now)}" for name in opened)]))
    if closed:
        print("\n  ".join([say("Closed now:"), *closed]))
    return OPENED


def all_locked(menu):
    """Return what to say to somebody of whose consoles each is locked."""
    consoles = menu["consoles"]
    if len(consoles) == 1:
        return is_locked(menu, *consoles)
    names = ", ".join(sorted(consoles))
    return Refusal(say("Locked: {consoles}. Ask {whom}.", consoles=names, whom=whom(*consoles.values())))


def is_locked(menu, name):
    """Return what to say about a locked console."""
    asked = whom(menu["consoles"][name])
    return Refusal(say("{name} is locked. Ask {whom}.", name=name, whom=asked), name)


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


def local(moment, now=None, zone=None):
    """Spell a moment by the clock of this desk, with its time zone.

    On the day of ``now``, which is optional, it is the hour alone: unless the administrator's clock, that of the
    policy's ``zone``, shows another.
    """
    there = time.localtime(moment)
    text = time.strftime("%H:%M:%S" if there.tm_sec else "%H:%M", there)
    if now is None or there[:3] != time.localtime(now)[:3]:
        day = say("Mon Tue Wed Thu Fri Sat Sun").split()[there.tm_wday]
        text = f"{day} {time.strftime('%Y-%m-%d', there)} {text}"
    elif not isinstance(zone, str) or there[:5] == elsewhere(moment, zone)[:5]:
        return text
    return f"{text} {there.tm_zone}"


def elsewhere(moment, zone):
    """Return a moment by the clock of another time zone."""
    own = os.environ.get("TZ")
    try:
        os.environ["TZ"] = zone
        time.tzset()
        return time.localtime(moment)
    finally:
        del os.environ["TZ"]
        if own is not None:
            os.environ["TZ"] = own
        time.tzset()


def hours(known, now):
    """Say until when a console is open, or when it opens; nothing if it is always open, as far as is known."""
    is_open, edge, zone = known
    if is_open:
        return "" if edge is None else say("until {when}", when=local(edge, now, zone))
    return say("closed, no further window is known") if edge is None else say("closed, opens {when}", when=local(edge))


def line(name, known, now):
    """Return a line about a console: its name and, after a tab, its hours."""
    return "\t".join(filter(None, (name, hours(known, now))))


def later(name, known):
    """Name a closed console, and say when it opens."""
    if known[1] is None:
        return say("{name}, no further window is known", name=name)
    return say("{name}, opens {when}", name=name, when=local(known[1]))


def whom(*consoles):
    """Return whom to ask about consoles: whom pillar names for them, or for all, or else one's administrator."""
    named = [console.get("contact") for console in consoles]
    if named and isinstance(named[0], str) and named.count(named[0]) == len(named):
        return named[0]
    try:
        with open(CONTACT, encoding="utf-8") as stream:
            contact = stream.readline().strip()
    except (OSError, ValueError):
        contact = ""
    return contact or say("your administrator")


def open_by_name(menu, states, name):
    """Open a console by name if it is the user's, open now, and not locked."""
    if name in menu["consoles"].keys() - states.keys():
        raise is_locked(menu, name)
    if name not in states:
        text = say(
            "You may not open {name}. You may open: {names}. If you need another one, ask {whom}.",
            name=repr(name),
            names=", ".join(sorted(states)) or say("none"),
            whom=whom(),
        )
        raise Refusal(text)
    is_open, edge, _ = states[name]
    if is_open:
        return open_console(menu, name)
    asked = whom(menu["consoles"][name])
    if edge is None:
        text = say("{name} is closed now; no further window is known. Ask {whom}.", name=name, whom=asked)
    else:
        text = say(
            "{name} is closed now; it opens {when}. If you need it sooner, ask {whom}.",
            name=name,
            when=local(edge),
            whom=asked,
        )
    raise Refusal(text, name)


def open_console(menu, name):
    """Start the viewer through sudo, wait for it, and return the code.

    What the opener runs ends with this process; nobody but root can signal it.
    """
    command = [SUDO]
    console = menu["consoles"][name]
    if console["password"] and not terminal():
        askpass = os.environ.get("SUDO_ASKPASS") or next(filter(None, map(installed, ASKPASS)), None)
        if askpass is None:
            text = say(
                "Opening {name} asks for your password, and no program is installed that can ask for it on the "
                "desktop (as ssh-askpass). Run 'rviewer {name}' in a terminal, or tell {whom}.",
                name=name,
                whom=whom(console),
            )
            raise Refusal(text, name)
        os.environ["SUDO_ASKPASS"] = askpass
        # A window of its own does not say what it is for; sudo takes % for the start of something else.
        prompt = say("Your own password, to open the console {name}:", name=name)
        os.environ.setdefault("SUDO_PROMPT", prompt.replace("%", "%%"))
        command.append("-A")
    if "opener" in menu:
        command += ["-u", "root", "--", menu["opener"], name]
    else:
        command += ["-g", menu["group"], "--", menu["viewer"], "--", console["file"]]
    try:
        if terminal() or "opener" not in menu:
            return os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(SUDO, command, os.environ), 0)[1])
        import subprocess

        result = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    except OSError as error:
        text = say("{program} cannot be started: {why}. Tell {whom}.", program=SUDO, why=error, whom=whom(console))
        raise Refusal(text, name) from error
    said = list(filter(None, map(str.strip, result.stderr.decode(errors="replace").splitlines())))
    messages = [text.partition(" ")[2] for text in said if text.startswith("rviewer: ")]
    if messages:
        raise Refusal(messages[-1], name, result.returncode)
    # The opener has said nothing: sudo has not started it, or has died.
    if result.returncode != OPENED and not cancelled(said):
        why = sudos_reason(said, result.returncode)
        text = say("{name} cannot be opened: {why}. Ask {whom}.", name=name, why=why, whom=whom(console))
        raise Refusal(text, name, result.returncode)
    return result.returncode


def sudos_reason(said, code):
    """Return why sudo opens nothing: its last line, which may be the viewer's if sudo was killed, or its exit code."""
    if code < 0 or not said:
        return say("sudo ended with {code}", code=code)
    return said[-1].removeprefix("sudo: ").rstrip(".")


def cancelled(said):
    """Tell whether sudo says, in the user's language or in English, that it was given no password."""
    import gettext

    text = "no password was provided"
    known = [gettext.translation("sudo", place, languages(), fallback=True) for place in SUDO_LOCALES]
    return any(each.gettext(text) in line or text in line for each in known for line in said)


def choose(states, names, locked, opened, now):
    """Let the user choose on the desktop, also what is closed or locked; None if they did not."""
    rows = [(name, hours(states[name], now) or say("open")) for name in names]
    rows += [(name, say("locked")) for name in locked]
    title, text = say("SPICE consoles"), say("Choose a console:")
    table = ["--width=560", "--height=320", f"--column={say('Console')}", f"--column={say('Hours')}"]
    buttons = [f"--ok-label={say('Open')}", f"--cancel-label={say('Cancel')}"]
    zenity = ["zenity", "--list", f"--title={title}", f"--text={text}", *table, *buttons, "--print-column=1"]
    zenity += [word for row in rows for word in row]
    labels = [f"{name}, {when}" for name, when in rows]
    # By itself it is too small for its texts, and has chosen nothing.
    kdialog = ["kdialog", "--title", title, "--geometry", "560x320", "--default", labels[0], "--menu", text]
    kdialog += [word for (name, _), label in zip(rows, labels) for word in (name, label)]
    answer = dialog(zenity, kdialog)
    # zenity takes "Open" also where nothing is chosen.
    while answer == (0, ""):
        answer = dialog(zenity, kdialog)
    if answer is None:
        raise Refusal(say("You may open: {names}. Name one: rviewer NAME.", names=", ".join(opened)))
    return answer[1] if answer[1] in (*names, *locked) else None


def show(refusal):
    """Show why a console is not opened where there is no terminal to read it in."""
    if not terminal():
        console, text = refusal.console, str(refusal)
        title = say("SPICE console {name}", name=console) if console else say("SPICE consoles")
        dialog(
            ["zenity", "--error", "--no-markup", f"--title={title}", f"--text={text}"],
            ["kdialog", "--title", title, "--error", for_qt(text)],
            ["notify-send", "--urgency=critical", f"--app-name={say('SPICE consoles')}", "--", title, text],
        )


def for_qt(text):
    """Return a text for kdialog, which takes what looks like HTML for it."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return text if escaped == text else f"<qt>{escaped}</qt>"


def dialog(*commands):
    """Run the first of these programs that is installed.

    Returns its exit code and what it prints; None without such a program, or a desktop.
    """
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        for command in commands:
            if installed(command[0]):
                import subprocess

                # Whatever the terminal's characters are: a dialog refuses letters that its locale does not have.
                words = [word.encode(errors="replace") for word in command]
                environment = {**os.environ, **({} if unicode() else {"LC_ALL": "C.UTF-8"})}
                done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=False)
                return done.returncode, done.stdout.decode(errors="replace").strip()
    return None


def unicode():
    """Tell whether the user's locale is installed, and has all letters."""
    import locale

    try:
        locale.setlocale(locale.LC_ALL, "")
    except locale.Error:
        return False
    return locale.nl_langinfo(locale.CODESET) == "UTF-8"


def installed(program):
    """Return the path of a program; None if it is not installed."""
    import shutil

    return shutil.which(program)


def terminal():
    """Tell whether there is a terminal; a session may start programs without any standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


def say(text, **values):
    """Return a text in the user's language, with values in the place of their names in braces."""
    return catalogue().gettext(text).format(**values)


@functools.cache
def catalogue():
    """Return the texts of the user's language; English ones where there are no others."""
    import gettext

    return gettext.translation(CATALOGUE, LOCALES, languages(), fallback=True)


def languages():
    """Return the languages that the user prefers to English, first the one they like best, as gettext reads them."""
    words = os.environ.get
    locale = words("LC_ALL") or words("LC_MESSAGES") or words("LANG") or "C"
    wanted = [locale] if english(locale) else (words("LANGUAGE") or locale).split(":")
    return wanted[: next((at for at, word in enumerate(wanted) if english(word)), None)]


def english(locale):
    """Tell whether a locale speaks English, for which there is no catalogue."""
    return re.split("[_.@]", locale)[0] in ("C", "POSIX", "en")


def end(number, frame):
    """End what runs as this user below this process, such as a viewer that is not confined, and then this process."""
    for each in ENDING:
        # Another one would come in the midst of this, which may be the import of a module.
        signal.signal(each, signal.SIG_IGN)
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
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as stream:
            children = stream.read().split()
    except OSError:
        return
    for child in children:
        yield from below(int(child))
        yield int(child)


if __name__ == "__main__":
    for each in ENDING:
        # Who started it may want it to go on.
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, end)
    sys.exit(main(sys.argv[1:]))
