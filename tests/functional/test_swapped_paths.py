"""A user exchanges all their own files that root or what root starts looks at with links, while consoles are opened
and the state runs: nothing of others is shown to a viewer, and nothing elsewhere is changed.
"""

import contextlib
import json
import subprocess
import sys

import pytest

from functional.confined import DISPLAY, ON_X, OPENER, PORT, WITNESS, pillar, serve
from functional.confined import prepare as prepare_confined
from functional.office import BACKUPS, changed, difference
from scene import need

need("bwrap", "xauth")
OPENINGS, AT_ONCE, RUNS = 100, 4, 6
HOME, RUNTIME, SECRETS = "/home/myself", "/run/user/1021", "/root/secrets"
OWN, FOREIGN = "11" * 16, "22" * 16
# By what the user swaps, with what.
LINKS = {f"{HOME}/d": SECRETS, f"{HOME}/Console": SECRETS, f"{HOME}/.config": "/etc", f"{RUNTIME}/pulse": SECRETS}
LINKS |= {f"{RUNTIME}/pipewire-0": f"{SECRETS}/native", f"{HOME}/cookie": f"{SECRETS}/cookie"}
_SWAP = """
import ctypes, json, os, sys
libc, pairs = ctypes.CDLL(None), [(path.encode(), f"{path}.link".encode()) for path in json.loads(sys.argv[1])]
print("swapping", flush=True)
while True:
    for one, other in pairs:
        if libc.renameat2(-100, one, -100, other, 2):
            sys.exit("no exchange")
"""
# In the viewer's place: reports what it has of the user's, and of others.
QUICK = f"""#!/usr/bin/python3 -IS
import json, os, socket
runtime, shared = os.environ["XDG_RUNTIME_DIR"], "/home/myself/Console"
def names(directory):
    try:
        return sorted(os.listdir(directory))
    except PermissionError:
        return ["another's"]

sockets = [os.path.join(top, name) for top, _, names in os.walk(runtime) for name in names]
seen = {{
    "cookie": open(os.environ["XAUTHORITY"], "rb").read()[-16:].hex() if "XAUTHORITY" in os.environ else None,
    "sockets": {{path: os.lstat(path).st_uid for path in sockets}},
    "shared": names(shared) if os.path.isdir(shared) else None,
}}
with socket.create_connection(("127.0.0.1", {PORT})) as connection:
    connection.sendall(json.dumps(seen).encode() + b"\\n")
"""
# Takes what they report, until it is asked for all of it.
_LISTEN = f"""
import select, socket, sys
with socket.create_server(("127.0.0.1", {PORT}), backlog=64) as server:
    print("listening", flush=True)
    reports = []
    while True:
        if server in select.select([server, sys.stdin], [], [])[0]:
            with server.accept()[0] as connection:
                reports.append(connection.makefile().readline().strip())
        else:
            break
print("[" + ",".join(reports) + "]", flush=True)
"""
_OPEN = f"""
for number in $(seq {OPENINGS // AT_ONCE}); do
    case $((number % 2)) in 0) XAUTHORITY={HOME}/d/cookie;; 1) XAUTHORITY={HOME}/cookie;; esac
    export XAUTHORITY
    sudo -n -u root {OPENER} debianx 2>&1; echo "ended with $?"
done
"""


def allowed(**grants):
    """The pillar, with a directory for files and without passwords of users, and more grants."""
    data = pillar()
    data["spice"]["vms"]["debianx"]["allow"] = ["files"]
    data["spice"]["grants"]["myself-debianx"]["nopasswd"] = True
    return changed(data, grants={**data["spice"]["grants"], **grants})


PILLAR = allowed()


def prepare(office):
    """Have what the user swaps: their own files, and links to what is root's alone, of the same names."""
    prepare_confined(office)
    client = office.client
    client.write(WITNESS, QUICK, mode=0o755)
    for directory in ("d", "Console", ".config"):
        client.run(["mkdir", f"{HOME}/{directory}"], user="myself")
    client.write(f"{HOME}/Console/own", "", owner="myself")
    for file, cookie, owner in (
        (f"{HOME}/d/cookie", OWN, "myself"),
        (f"{HOME}/cookie", OWN, "myself"),
        (f"{SECRETS}/cookie", FOREIGN, "root"),
    ):
        client.write(file, "", mode=0o600, owner=owner)
        client.run(["xauth", "-q", "-f", file, "source", "-"], user=owner, input=f"add :{DISPLAY} . {cookie}\n")
    client.write(f"{SECRETS}/secret", "secret", mode=0o644)
    # Whoever reached them could use them: only the way there is root's.
    serve(office, "root", f"{SECRETS}/native")
    serve(office, "myself", f"{RUNTIME}/pulse/native", f"{RUNTIME}/pipewire-0")
    client.run(["chmod", "0666", f"{SECRETS}/cookie", f"{SECRETS}/native"])
    client.run(["chmod", "0700", SECRETS])
    for path, target in LINKS.items():
        client.run(["ln", "-s", target, f"{path}.link"], user="myself")


@contextlib.contextmanager
def swapping(office):
    """The user does it all the while."""
    command = [sys.executable, "-IS", "-c", _SWAP, json.dumps(list(LINKS))]
    process = office.client.popen(command, user="myself", stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "swapping\n"
        yield
        assert process.poll() is None
    finally:
        process.kill_tree()
        process.stdout.close()


def content(office):
    """What is not the user's, less the tests' own and what each run notes."""
    spared = ("/home", "/etc/salt-scene")
    found = {path: entry for path, entry in office.snapshot().items() if not path.startswith(spared)}
    listed = office.client.run(["find", "/root", "/run", "-xdev", "-printf", r"%p\t%y %m %U %G\n"]).stdout
    entries = dict(line.split("\t") for line in listed.splitlines())
    found.update({path: entry for path, entry in entries.items() if not path.startswith((RUNTIME, "/run/sudo"))})
    return found


@pytest.fixture
def reports(looked_at):
    """What viewers report, once all have ended."""
    process = looked_at.client.popen(
        [sys.executable, "-IS", "-c", _LISTEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "listening\n"
    yield lambda: json.loads(process.communicate("enough\n")[0])
    process.kill_tree()


def test_while_consoles_are_opened(looked_at, reports):
    """Each viewer has the user's own cookie, sockets and files or none, and what is not the user's stays as it is."""
    before = content(looked_at)
    with swapping(looked_at):
        command = ["sh", "-c", _OPEN]
        started = [
            looked_at.client.popen(command, user="myself", env=ON_X, stdout=subprocess.PIPE, text=True)
            for _ in range(AT_ONCE)
        ]
        output = "".join(process.communicate()[0] for process in started)
    seen = reports()
    codes = [line for line in output.splitlines() if line.startswith("ended with")]
    assert len(codes) == OPENINGS and set(codes) <= {"ended with 0", "ended with 3"}
    assert len(seen) == codes.count("ended with 0") > OPENINGS // 10
    assert {each["cookie"] for each in seen} == {OWN, None}, "nothing was exchanged in time: this says nothing"
    assert {uid for each in seen for uid in each["sockets"].values()} <= {1021}
    assert {name for each in seen for name in each["shared"] or ()} <= {"own"}
    print(f"{len(seen)} opened;", {what: sum(bool(each[what]) for each in seen) for what in ("sockets", "shared")})
    assert difference(before, content(looked_at)) == {}


def test_while_the_state_runs(looked_at):
    """Also where it writes something, each time."""
    before = content(looked_at)
    more = allowed(books={"user": "mybro", "vm": "debianx"})
    with swapping(looked_at):
        for number in range(RUNS):
            result = looked_at.applied(PILLAR if number % 2 else more)
            assert result["changes"]
        looked_at.minion.call("spice_viewer.status", search=True)
    after = content(looked_at)
    kept = {path for path in difference(before, after) if rights(before.get(path)) != rights(after.get(path))}
    assert kept - BACKUPS - {"nft"} == set()
    assert looked_at.apply()["changes"] == {}


def rights(entry):
    """What of an entry must be the same when it was written anew: not when, and in which inode."""
    return entry[:3] + entry[5:] if isinstance(entry, tuple) else entry
