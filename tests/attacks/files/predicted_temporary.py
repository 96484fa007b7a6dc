"""A user makes, before root does, a directory or file that root works in where users may write, such as in /tmp."""

import re

from attacks.clients import PRELUDE, PYTHON, USERS

RECIPE = "fails"
STOPPED_BY = "sudo: nothing of root's is opened, made or changed in a directory that others may write"
BACKENDS = ("nftables", "iptables")
USER = "visitor"
RUNTIME = f"/run/user/{USERS[USER]}"
SCRIPT, RULES, TARGET = "/usr/local/sbin/give-consoles", "/etc/sudoers.d/consoles", "/etc/motd"
DRAFTS = "/tmp/consoles"  # noqa: S108 - in the machine
CONTROL = f"{DRAFTS}/control"
# Semaphores of Python's, when Salt sends an event: libc makes them, by names of chance, where there is nothing yet.
SEMAPHORE = re.compile(r"/dev/shm/sem\.\w+|/dev/shm/sem\.mp-\w+")  # noqa: S108
CALLS = ("lend visitor leaptest 1h", "end_loan visitor leaptest", "repair")
# Rules of sudo as many a script puts them into place.
TEXT = f"""#!/bin/sh -e
mkdir -p {DRAFTS}
echo '%consoles ALL=(root) /usr/bin/true' > {DRAFTS}/rules
visudo -q -c -f {DRAFTS}/rules
install -m 0440 {DRAFTS}/rules {RULES}
"""
# Says, when asked, what anybody opens, makes, changes or removes in directories that a user may write to.
WATCH = """
import ctypes, select
libc, watched = ctypes.CDLL(None), {}
queue = libc.inotify_init1(os.O_NONBLOCK)
for path in sys.argv[1:]:
    watched[libc.inotify_add_watch(queue, path.encode(), 0xFFF)] = path
print("watching", len(watched), flush=True)
sys.stdin.readline()
events, found = b"", set()
while select.select([queue], [], [], 0.2)[0]:
    events = os.read(queue, 1 << 20)
    while events:
        number, _, _, length = struct.unpack_from("iIII", events)
        found.add(os.path.join(watched[number], events[16:16 + length].rstrip(b"\\0").decode()))
        events = events[16 + length:]
print(*sorted(found), flush=True)
"""
PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/run/user", RUNTIME, f"/home/{USER}", "/home")  # noqa: S108


def site(client):
    client.root("install", "-d", "-m", "0700", "-o", USER, RUNTIME)
    if client.form == "bare":
        client.machine.write(SCRIPT, TEXT, mode=0o755)
        client.used.callback(client.machine.run, ["rm", "-rf", SCRIPT, RULES, DRAFTS])
        client.used.callback(client.machine.write, TARGET, client.machine.read(TARGET))


def attack(client):
    machine = client.machine
    machine.run(["sh", "-c", f"mkdir {DRAFTS} && ln -s {TARGET} {DRAFTS}/rules"], user=USER)
    client.used.callback(machine.run, ["rm", "-rf", DRAFTS])
    before = machine.read(TARGET)
    watch = client.started([*PYTHON, PRELUDE + WATCH, *PLACES, DRAFTS])
    assert watch.first_line == f"watching {len(PLACES) + 1}"
    work(client)
    client.root("touch", CONTROL)
    touched = {path for path in watch.tell().split() if not SEMAPHORE.fullmatch(path)}
    assert CONTROL in touched, "nothing is noticed: this says nothing"
    return [TARGET] * (machine.read(TARGET) != before) + sorted(touched - {CONTROL})


def work(client):
    """What root does on such a workstation."""
    if client.form == "bare":
        client.root(SCRIPT)
        return
    client.expose()
    client.protect()
    client.load()
    if client.form != "recipe":
        for call in CALLS:
            client.minion.call(*f"spice_grant.{call}".split())
        client.root("/usr/bin/python3", "-IS", "/usr/local/lib/spice-grant/clock")
