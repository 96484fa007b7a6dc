"""Show a title and a text, the arguments, on the desktop of the user who runs it.

notify.py starts it with the system's own Python. The message is a notification if a program accepts it, otherwise a
dialog on the user's X displays: those that the user or root serves, and where the user's own cookie lets them in.
"""

import os
import re
import shutil
import subprocess
import sys

DISPLAYS = "/tmp/.X11-unix"  # noqa: S108 - where X servers listen
# Seconds for a program that takes notifications; a hostile one never does.
PATIENCE = 5


def main(title, text):
    """Show the message by the first way that works."""
    if not notify(title, text):
        command = dialog(title, text)
        processes = [subprocess.Popen(command, env={**os.environ, "DISPLAY": name}) for name in displays() if command]
        for process in processes:
            process.wait()


def notify(title, text):
    """Send a notification; tell whether it was accepted."""
    try:
        # Others are not shown over a console in full screen, or as one line that is cut.
        command = ["notify-send", "--urgency=critical", "--app-name=SPICE consoles", "--", title, text]
        return subprocess.run(command, check=False, timeout=PATIENCE).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def dialog(title, text):
    """Return the command for a dialog, by the installed programs."""
    known = (
        ["zenity", "--warning", "--no-markup", f"--title={title}", f"--text={text}"],
        ["kdialog", "--title", title, "--sorry", text],
        ["xmessage", "-center", "-title", title, text],
    )
    return next((command for command in known if shutil.which(command[0])), None)


def displays():
    """Return the displays that the user or root serves; anybody else could listen there as well."""
    try:
        entries = sorted(os.scandir(DISPLAYS), key=lambda entry: entry.name)
        own = [entry.name for entry in entries if entry.stat(follow_symlinks=False).st_uid in (0, os.getuid())]
    except OSError:
        return []
    return [f":{name[1:]}" for name in own if re.fullmatch("X[0-9]+", name)]


if __name__ == "__main__":
    main(*sys.argv[1:])
