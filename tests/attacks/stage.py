"""A granted user's desktop on which viewers are attacked: planted code, what hears of it, and the viewer.

On a bare client the viewer is lent its group, and nothing more is done about it.
"""

import functools
import pathlib
import re
import subprocess
import tempfile
import time

from scenes import GROUP

USER, VM = "myself", "debianx"
HOME = f"/home/{USER}"
EVIL, KEPT = f"{HOME}/evil.so", f"{HOME}/kept"
TOOLS = ("Xvfb", "gcc")
# Seconds that only a hang takes.
LONG = 60
# Collects what is reported at a port, a line each; says it when asked.
EARS = """
import select
with socket.create_server(("127.0.0.1", 7777)) as server:
    print("listening", flush=True)
    reports = set()
    while True:
        if sys.stdin in select.select([sys.stdin, server], [], [])[0]:
            sys.stdin.readline()
            print(", ".join(sorted(reports)), flush=True)
        else:
            with server.accept()[0] as connection:
                reports.add(connection.makefile().readline().strip())
"""
# Root's own look: says whether somebody opens what is at a path.
WATCH = """
import select
libc = __import__("ctypes").CDLL(None)
queue = libc.inotify_init()
assert libc.inotify_add_watch(queue, sys.argv[1].encode(), 0x20) > 0
print("watching", flush=True)
print("opened" if select.select([queue], [], [], 8)[0] else "left alone", flush=True)
"""
# Where programs that open links and files are looked for, besides the user's home.
HANDLERS = "/usr/share/applications"
# Where the viewer's menu is, from its window's right and upper edge, and how far below that its entries are.
MENU, ENTRIES = (155, 27), {"Screenshot": 60, "About": 230}


@functools.lru_cache
def evil():
    """The attacker's code as a shared object: it reports as whom it runs, and keeps the group in its own program."""
    with tempfile.TemporaryDirectory() as directory:
        made = pathlib.Path(directory) / "evil.so"
        source = pathlib.Path(__file__).with_name("evil.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", made, source], check=True)
        return made.read_bytes()


class Stage:
    """The desktop of a client's granted user; it ends with the attack, and what is left in the user's home as well."""

    def __init__(self, client, *, code=True, group=GROUP, **desktop):
        self.client, self.machine = client, client.machine
        # Whatever is not bare sees to the group itself.
        self.lent = group if client.form == "bare" else None
        if self.lent:
            client.root("groupadd", "--force", "--system", GROUP, undo=["groupdel", GROUP])
        left = [KEPT, *(f"{HOME}/{name}" for name in (".config", ".local", ".cache"))]
        client.used.callback(self.machine.run, ["rm", "-rf", *left])
        self.desktop = client.desktop(USER, **desktop)
        if code:
            self.write(EVIL, evil())
            self.ears = client.start(EARS)

    @property
    def gid(self):
        """Number of the viewer's group."""
        return self.machine.group_id(GROUP)

    def write(self, path, content):
        """Write a file of the user's, its directories too."""
        self.machine.run(["mkdir", "-p", path.rpartition("/")[0]], user=USER)
        self.machine.write(path, content, mode=0o755, owner=USER)

    def view(self, *, by=(), env=None, **kw):
        """Have the user open the console in whatever way the client has, and wait until it shows; return the process.

        by
            What starts that; env: what the user adds to its environment.
        """
        words = [f"{name}={value}" for name, value in (env or {}).items()]
        process = self.tries(by=[*by, "env", *words], **kw)
        assert self.client.shows(self.desktop, VM)
        return process

    def tries(self, *, by=(), **kw):
        """Do so where it need not succeed, and do not wait."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = [*by, *self.client.viewer(USER, VM)]
        process = self.desktop.popen(command, group=self.lent, **{**quiet, **kw})
        self.client.used.callback(process.kill_tree)
        return process

    def heard(self, gid=None, patience=1):
        """Whether planted code has reported that it runs with the viewer's group, or another, within some seconds.

        On a bare client it will: there it is waited for, however slow the machine is.
        """
        desired = self.gid if gid is None else gid
        deadline = time.monotonic() + (LONG if self.client.form == "bare" else patience)
        while not (reports := re.findall(rf"\d+ {desired}\b", self.ears.tell())) and time.monotonic() < deadline:
            time.sleep(0.05)
        return reports

    def handles(self, kind):
        """Have planted code started for links or files of a type, by a desktop entry in the user's home."""
        entry = f"[Desktop Entry]\nType=Application\nName=evil\nExec=env LD_PRELOAD={EVIL} true %u\nMimeType={kind};\n"
        self.write(f"{HOME}/.local/share/applications/evil.desktop", entry)
        self.write(f"{HOME}/.config/mimeapps.list", f"[Default Applications]\n{kind}=evil.desktop\n")

    def choose(self, entry, title):
        """Choose an entry of the viewer's menu, and give what it opens the keys; title: a part of that window's.

        By mouse, because the viewer sends all keys to its console.
        """
        find = ["xdotool", "search", "--name", VM, "windowfocus", "getwindowgeometry", "--shell"]
        x = int(re.search(r"WIDTH=(\d+)", self.desktop.run(find).stdout).group(1)) - MENU[0]
        self.click(x, MENU[1])
        self.click(x - 45, MENU[1] + ENTRIES[entry])
        self.desktop.wait_window(title)
        self.desktop.run(["xdotool", "search", "--name", title, "windowfocus", "--sync"])

    def looks_for_handlers(self, *act):
        """Have the user do what makes the viewer look for a program to start; return whoever reports to have run.

        act
            A method of this class, and what it gets.
        """
        watch = self.watch(HANDLERS)
        act[0](*act[1:])
        assert watch.hear() == "opened", "the viewer looks for no program: this says nothing"
        return self.heard(patience=3)

    def press(self, key):
        """Press a key."""
        self.desktop.run(["xdotool", "key", key, "sleep", "0.5"])

    def click(self, x, y, title=None):
        """Click at a place of the screen, or of the window with this in its title."""
        find, window = (["search", "--name", title], ["--window", "%1"]) if title else ([], [])
        for near in (9, 0):  # what is clicked at wants to see the mouse come
            self.desktop.run(["xdotool", *find, "mousemove", *window, str(x - near), str(y), "sleep", "0.2"])
        self.desktop.run(["xdotool", "click", "1", "sleep", "0.5"])

    def watch(self, path):
        """Have root watch what is at a path in sight of the viewer; it says ``opened``, or ``left alone`` for 8 s."""
        return self.client.start(WATCH, f"/proc/{self.viewer()}/root{path}")

    def viewer(self):
        """Process ID of the viewer, as the machine counts."""
        return self.machine.run(["pgrep", "--uid", USER, "remote-viewer"]).stdout.split()[0]

    def xsettings(self, value, user=USER, setting="Gtk/Modules"):
        """Have a client of the display, of whatever user's, give all programs on it a setting: which module to load."""
        settings = f"/home/{user}/.xsettingsd"
        self.machine.write(settings, f'{setting} "{value}"\n', owner=user)
        cookie = f"/home/{user}/.cookie"
        self.machine.write(cookie, self.machine.path(self.desktop.cookie).read_bytes(), mode=0o600, owner=user)
        process = self.machine.popen(
            ["xsettingsd", "-c", settings],
            user=user,
            env={"DISPLAY": ":0", "XAUTHORITY": cookie},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.client.used.callback(process.kill_tree)
        while "Took ownership" not in (line := process.stderr.readline()):
            assert line, "no settings on this display"
