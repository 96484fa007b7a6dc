"""What the tests of confined viewers share: a witness in the viewer's place, and something like a display."""

import contextlib
import json
import select
import subprocess
import sys

import pytest

from functional.office import PASSWORDS
from scenes import article

OPENER = "/usr/local/lib/spice-grant/open"
WITNESS = "/usr/local/bin/witness"
DISPLAY = 7
SOCKET = f"/tmp/.X11-unix/X{DISPLAY}"  # noqa: S108
ON_X = {"DISPLAY": f":{DISPLAY}"}
PORT = 7777
# The opener's exit codes.
REFUSED, WRONG_USAGE, IMPOSSIBLE, FAILED, NO_DESKTOP = range(1, 6)
# The language in which the witness looks everywhere; otherwise not through all of /usr, which takes its time.
EVERYWHERE = "de_DE.UTF-8"
# Looks around and reports it to whoever listens: nothing can be written there, but the network is the machine's.
WITNESS_TEXT = f"""\
#!/usr/bin/python3 -IS
import ctypes, json, os, resource, signal, socket, stat, sys, time

def refused(attempt, *arguments):
    try:
        attempt(*arguments)
    except OSError as error:
        return str(error)

SHARED = f"/home/{{os.environ['USER']}}/Console"
def shared():
    if not os.path.isdir(SHARED):
        return None
    with open(SHARED + "/written", "w") as stream:
        stream.write("x")
    return [sorted(os.listdir(SHARED)), refused(ctypes.CDLL, SHARED + "/evil.so"),
            refused(os.posix_spawn, SHARED + "/evil.sh", ["x"], {{}})]

def read():
    with open(sys.argv[-1]) as stream:
        return stream.read()

def read_again():
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (content := read()):
        time.sleep(0.01)
    return content

def there(descriptor):
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return "null" if status.st_rdev == os.makedev(1, 3) else stat.filemode(status.st_mode)

libc = ctypes.CDLL(None)
descriptors = {{number: kind for number in range(4096) if (kind := there(number))}}
writable, users = [], []
for top, directories, files in os.walk("/"):
    if top == "/" and os.environ.get("LANG") != "{EVERYWHERE}":
        directories.remove("usr")
    for name in [".", *files]:
        path = os.path.join(top, name)
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            continue
        if os.access(path, os.W_OK) and not stat.S_ISSOCK(status.st_mode):
            writable.append(path)
        if status.st_uid == os.getuid():
            users.append(path)
umask, files = os.umask(0), shared()
seen = {{
    "env": dict(os.environ), "argv": sys.argv, "umask": umask, "cwd": os.getcwd(), "descriptors": descriptors,
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()], "writable": writable, "users": users,
    "bounding": [number for number in range(64) if libc.prctl(23, number, 0, 0, 0) == 1],
    "no new privileges": libc.prctl(39, 0, 0, 0, 0), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "size": resource.getrlimit(resource.RLIMIT_FSIZE), "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "ignored": [number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())), "session": os.getsid(0), "node": os.uname()[1],
    "consoles": sorted(os.listdir("/etc/spice-grant/vms")), "proc": os.path.exists("/proc/self"),
    "displays": os.listdir("/tmp/.X11-unix") if os.path.exists("/tmp/.X11-unix") else [],
    "cookie": open(os.environ["XAUTHORITY"], "rb").read().hex() if "XAUTHORITY" in os.environ else None,
    "runtime": sorted(os.path.relpath(os.path.join(top, name), os.environ["XDG_RUNTIME_DIR"])
                      for top, _, files in os.walk(os.environ["XDG_RUNTIME_DIR"]) for name in files),
    "shared": files, "connection": [read(), read_again()],
    "handlers": [name for path in ("/usr/share/applications", "/usr/local/share/applications", "/usr/share/dbus-1")
                 if os.path.isdir(path) for name in os.listdir(path)],
}}
with socket.create_connection(("127.0.0.1", {PORT})) as connection:
    connection.sendall(json.dumps(seen).encode() + b"\\n")
"""
# Prints what witnesses report, a line each.
_LISTEN = f"""
import socket
with socket.create_server(("127.0.0.1", {PORT})) as server:
    print("listening", flush=True)
    while True:
        with server.accept()[0] as connection:
            print(connection.makefile().readline().strip(), flush=True)
"""
_SERVE = """
import os, socket, sys, time
sockets = []
for path in sys.argv[1:]:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    sockets.append(socket.socket(socket.AF_UNIX))
    sockets[-1].bind(path)
    sockets[-1].listen()
print("listening", flush=True)
time.sleep(3600)
"""
# A rule of the site's that lets everybody call the opener with anything: then the opener alone decides.
ANYTHING = f"ALL ALL=(root) NOPASSWD: {OPENER}, {OPENER} *\n"


def pillar(**viewer):
    """The article's pillar with confined viewers, of which the witness is the first."""
    data = article()
    data["spice"]["viewer"] = {"path": [WITNESS, "/usr/bin/remote-viewer"], "confine": True, **viewer}
    return data


def prepare(office):
    """Install the witness, and have a display's socket be there for myself."""
    office.client.write(WITNESS, WITNESS_TEXT, mode=0o755)
    office.client.run(["install", "-d", "-m", "1777", "/tmp/.X11-unix"])  # noqa: S108
    office.client.run(["install", "-d", "-m", "0700", "-o", "myself", "/run/user/1021"])
    serve(office, "myself", SOCKET)


def serve(office, user, *paths):
    """Have a user listen at paths for as long as the office stands."""
    command = [sys.executable, "-I", "-S", "-c", _SERVE, *paths]
    process = office.client.popen(command, user=user, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "listening\n"


class Witnesses:
    """Hears what witnesses report."""

    def __init__(self, office):
        self.office = office
        command = [sys.executable, "-I", "-S", "-c", _LISTEN]
        self._listener = office.client.popen(command, stdout=subprocess.PIPE, text=True)
        assert self._listener.stdout.readline() == "listening\n"

    def stop(self):
        """End it."""
        self._listener.kill_tree()
        self._listener.stdout.close()

    def call(self, user, *arguments, env=None, password=True, wrapper=(), cwd="/"):
        """Have a user call sudo, as ``rviewer`` would; return the finished process."""
        word = PASSWORDS[user] if password is True else password
        environment = [f"{name}={value}" for name, value in (ON_X if env is None else env).items()]
        command = ["/usr/bin/env", *environment, *wrapper, "/usr/bin/sudo", "-k", "-S" if word else "-n", *arguments]
        return self.office.client.run(command, user=user, input=f"{word}\n" if word else None, cwd=cwd, check=False)

    def open(self, user, vm="debianx", **kw):
        """Have a user open a console; return the finished process and what the viewer in the sandbox reports, if any.

        A witness ends only when it was heard, and sudo after it.
        """
        done = self.call(user, "-u", "root", OPENER, vm, **kw)
        return done, self.report() if done.returncode == 0 else None

    def has_report(self, seconds):
        """Whether a witness has reported something within the time."""
        return bool(select.select([self._listener.stdout], [], [], seconds)[0])

    def report(self):
        """Return what the next witness reports."""
        return json.loads(self._listener.stdout.readline())


@pytest.fixture
def desk(looked_at):
    """Users who open consoles, and what their viewers report."""
    heard = Witnesses(looked_at)
    yield heard
    heard.stop()


@contextlib.contextmanager
def site_rule(office, text):
    """Have a line in the site's own sudoers."""
    before = office.client.read("/etc/sudoers")
    office.client.write("/etc/sudoers", f"{before}\n{text}\n", mode=0o440)
    try:
        yield
    finally:
        office.client.write("/etc/sudoers", before, mode=0o440)
