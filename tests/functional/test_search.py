"""What spice_viewer.status finds of users who kept the viewer's group, or a viewer of their own."""

import json
import os
import subprocess
import sys
import time

import pytest

import terminals
from functional.office import Office
from scenes import GROUP, VIEWER

HOME, HIDDEN = "/home/myself", "/home/myself/none may look"
ODD = [b"a\nb", b"\x1b[31mred", b"\xff\xfe", b"back\\slash", "ümläut".encode(), b"-rf", b"a b", b"*?[x]", b"'\"$(id)"]
SPELLED = ["a\\x0ab", "\\x1b[31mred", "\\xff\\xfe", "back\\x5cslash", "ümläut", "-rf", "a b", "*?[x]", "'\"$(id)"]


@pytest.fixture(scope="module")
def machine():
    """An office in which other file systems than the root's are mounted: in memory, without set-GID, one twice."""
    with Office() as office:
        prepare(office.client)
        office.applied()
        yield office


def prepare(client):
    """Mount them, make a directory that nobody may list, and have a viewer of which the machine holds no copy yet."""
    client.write(VIEWER, client.path(VIEWER).read_bytes() + os.urandom(16), mode=0o755)
    for words in (
        ["mkdir", "-p", "/mnt/memory", "/mnt/nosuid", "/mnt/again", "/mnt/a\tb *"],
        ["mount", "-t", "tmpfs", "none", "/mnt/memory"],
        ["mount", "-t", "tmpfs", "-o", "nosuid", "none", "/mnt/nosuid"],
        ["mount", "--bind", "/mnt/memory", "/mnt/again"],
        ["mount", "-t", "tmpfs", "none", "/mnt/a\tb *"],
        ["install", "-d", "-m", "0000", "-o", "myself", HIDDEN],
    ):
        client.run(words)


# Mounts a file system of a user's who never answers.
_SILENT = """
import ctypes, os, time
device = os.open("/dev/fuse", os.O_RDWR)
os.mkdir("/mnt/silent")
options = f"fd={device},rootmode=40000,user_id=1021,group_id=1021,allow_other".encode()
assert ctypes.CDLL(None).mount(b"silent", b"/mnt/silent", b"fuse.silent", 6, options) == 0
print("mounted", flush=True)
time.sleep(3600)
"""
PLACES = [f"{HOME}/x/program", f"{HIDDEN}/x", "/mnt/memory/x", "/mnt/nosuid/x", "/mnt/a\tb */x", "/var/tmp/x"]  # noqa: S108


@pytest.fixture(scope="module")
def nothing(machine):
    """What a search finds before anybody has done anything."""
    return searched(machine)


@pytest.fixture(scope="module")
def found(machine, nothing):
    """What it finds after some have."""
    assert nothing["setgid"] == []
    plant_setgid(machine)
    plant_odd(machine)
    plant_deep(machine)
    plant_copies(machine)
    return searched(machine)


def searched(office, **kw):
    return office.minion.call("spice_viewer.status", search=True, **kw)


def test_a_terminal_shows_how_far_a_search_is(machine, found):
    """On standard error: which file system is searched, spelled as in the answer, and how many are left."""
    drawn, output, code = machine.on_terminal("spice_viewer.status", "search=True")
    for what in ("file systems, now /: 0 of ", "file systems, now /mnt/nosuid: ", "now /mnt/a\\x09b *: "):
        assert what in drawn
    assert "files of a viewer's size: " in drawn and terminals.left(drawn) == [""]
    assert (json.loads(output)["local"]["setgid"], code) == (found["setgid"], 0)
    assert "file systems" not in machine.minion.salt_call("spice_viewer.status", "search=True").stderr


def setgid(office, path, program="/bin/true"):
    """Leave a set-GID program of the viewer's group, as somebody does who had it for a moment."""
    office.client.path(os.path.dirname(path)).mkdir(parents=True, exist_ok=True)
    office.client.run(["install", "-o", "myself", "-g", GROUP, "-m", "2755", program, path])


def plant_setgid(office):
    """Set-GID files, and what is none."""
    for path in PLACES:
        setgid(office, path)
    for words in (
        ["ln", "-s", "/mnt/memory/x", f"{HOME}/x/link"],
        ["ln", "-s", "/mnt/memory", f"{HOME}/x/directory"],
        ["ln", f"{HOME}/x/program", f"{HOME}/x/hard link"],
        ["install", "-d", "-g", GROUP, "-m", "2755", f"{HOME}/x/only a directory"],
        ["install", "-m", "2755", "-g", "accounting", "/bin/true", f"{HOME}/x/another group's"],
        ["install", "-m", "0755", "-g", GROUP, "/bin/true", f"{HOME}/x/not set-GID"],
    ):
        office.client.run(words)


def plant_odd(office):
    """Set-GID files with names that are meant to deceive, in directories with such names."""
    top = os.fsencode(office.client.path(HOME)) + b"/odd"
    os.mkdir(top)
    for name in ODD:
        os.mkdir(top + b"/" + name)
        path = top + b"/" + name + b"/" + name
        with open(path, "xb"):
            os.chown(path, 1021, office.gid())
            os.chmod(path, 0o2755)  # noqa: S103


def plant_deep(office):
    """A set-GID copy of the viewer, deeper than any path may be long."""
    here = os.open(office.client.path(HOME), os.O_RDONLY)
    for name in ("deep", *["d" * 200] * 40):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with open(os.open("x", os.O_WRONLY | os.O_CREAT, 0o755, dir_fd=here), "wb") as stream:
        stream.write(office.client.path(VIEWER).read_bytes())
        os.fchown(stream.fileno(), 1021, office.gid())
        os.fchmod(stream.fileno(), 0o2755)
    os.close(here)


def plant_copies(office):
    """Copies of the viewer, and what only has its size, nearly its content, or its name."""
    client, content = office.client, office.client.path(VIEWER).read_bytes()
    for path, mode in ((f"{HOME}/x/mine", "0755"), ("/mnt/nosuid/copy", "0600"), (f"{HIDDEN}/copy", "0000")):
        client.run(["install", "-o", "myself", "-m", mode, VIEWER, path])
    client.run(["truncate", "--size", str(len(content)), f"{HOME}/x/as large"])
    client.write(f"{HOME}/x/nearly", content[:-1] + bytes([content[-1] ^ 1]))
    client.write(f"{HOME}/x/remote-viewer", "#!/bin/sh\n", mode=0o755)
    client.run(["ln", "-s", VIEWER, f"{HOME}/x/link to it"])


def paths(found, key="setgid"):
    return {each["path"] for each in found[key]}


def test_nothing_is_found_where_nothing_is(nothing):
    assert [nothing[key] for key in ("setgid", "copies", "incomplete", "unsearched")] == [[], [], [], []]
    assert [nothing[key] for key in ("members", "primary", "twins", "processes")] == [[], [], {}, []]


def test_set_gid_files_wherever_they_are(found):
    """In a home, in memory, in a directory that nobody may list, behind a strange mount point; not through links."""
    assert found["incomplete"] == []
    lines = [path for path in sorted(paths(found)) if not path.startswith((f"{HOME}/odd/", f"{HOME}/deep/"))]
    # What two mounts show is reported by one of its paths.
    lines = sorted(path.replace("/mnt/again/", "/mnt/memory/") for path in lines)
    assert lines == sorted(path.replace("\t", "\\x09") for path in (*PLACES, f"{HOME}/x/hard link"))
    assert {each["path"] for each in found["setgid"] if each["nosuid"]} == {"/mnt/nosuid/x"}
    assert {(each["uid"], each["mode"]) for each in found["setgid"]} == {(1021, "2755")}


def test_names_that_are_meant_to_deceive(found):
    """Each is reported in one printable line, and no two alike."""
    odd = {path for path in paths(found) if path.startswith(f"{HOME}/odd/")}
    assert odd == {f"{HOME}/odd/{name}/{name}" for name in SPELLED}
    assert all(path.isprintable() for path in odd)


def test_a_file_at_the_end_of_a_path_that_is_too_long(found):
    """It is found, and compared."""
    for key in ("setgid", "copies"):
        (path,) = [path for path in paths(found, key) if path.startswith(f"{HOME}/deep/")]
        assert path.endswith("... (8059 bytes)") and len(path) < 1100


def test_copies_of_the_viewer(found):
    """By what is in them: renamed, not executable, in memory; not what only has its size, nor its name."""
    copies = {path for path in paths(found, "copies") if not path.startswith(f"{HOME}/deep/")}
    assert copies == {f"{HOME}/x/mine", "/mnt/nosuid/copy", f"{HIDDEN}/copy"}
    assert {each["of"] for each in found["copies"]} == {VIEWER}


def test_what_comes_and_goes_meanwhile(machine, found):
    """Files that vanish are no error, and do not hide those that stay."""
    script = (
        f"cd {HOME}/x; while :; do mkdir -p a/b/c; cp /bin/true a/b/c/t; mv a z; rm -rf z; "
        f"cp {VIEWER} v; ln -sfn /mnt/memory v; rm -rf v; done"
    )
    churn = machine.client.popen(["sh", "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        again = searched(machine)
    finally:
        churn.kill_tree()
        churn.wait()
    assert (again["setgid"], again["incomplete"]) == (found["setgid"], [])


def test_a_file_system_that_never_answers(machine):
    """Those of the network and of users are named and left alone; without time it says that it did not see all."""
    client = machine.client
    client.run(["mknod", "-m", "0600", "/dev/fuse", "c", "10", "229"])
    serving = client.popen([sys.executable, "-I", "-S", "-c", _SILENT], stdout=subprocess.PIPE, text=True)
    try:
        assert serving.stdout.readline() == "mounted\n"
        late = searched(machine, seconds=0.5)
        assert late["unsearched"] == ["/mnt/silent (fuse.silent)"]
        assert "/: not searched to the end, for lack of time" in late["incomplete"]
    finally:
        serving.kill_tree()
        serving.wait()
        serving.stdout.close()
        client.run(["umount", "--lazy", "/mnt/silent"])


# Members and processes


def test_members_by_each_way(granted):
    """By the list, by the primary group, by another group with the same GID."""
    client = granted.client
    client.run(["gpasswd", "--add", "nogrant", GROUP])
    client.run(["useradd", "--gid", GROUP, "insider"])
    client.run(["groupadd", "--non-unique", "--gid", str(granted.gid()), "twin"])
    client.run(["gpasswd", "--add", "mybro", "twin"])
    found = granted.minion.call("spice_viewer.status")
    assert (found["members"], found["primary"]) == (["insider", "nogrant"], ["insider"])
    assert found["twins"] == {"twin": ["mybro"]}


_LINE = f"{GROUP}:!::"


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        (f"{GROUP}:!::nogrant", {"members": ["nogrant"]}),
        (f"{GROUP}:!:nogrant:", {"administrators": ["nogrant"]}),
        (f"{GROUP}:$6$abc$jZyYwz::", {"password": True}),
        (f"{GROUP}:!:nogrant:nogrant,mybro", {"members": ["nogrant", "mybro"], "administrators": ["nogrant"]}),
    ],
)
def test_who_may_take_the_group(granted, line, finding):
    """By the list that newgrp goes by, as one who administers the group, by a password: found, and taken away."""
    client, before = granted.client, granted.client.read("/etc/gshadow")
    assert _LINE in before.splitlines()
    client.write("/etc/gshadow", before.replace(_LINE, line), mode=0o640)
    found = granted.minion.call("spice_viewer.status")
    assert {key: found[key] for key in finding} == finding
    dry, real = granted.apply(test=True), granted.applied()
    assert dry["changes"] == real["changes"] and real["changes"]["layers"]["viewer"]
    assert _LINE in client.read("/etc/gshadow").splitlines()
    assert granted.applied()["changes"] == {}
    assert client.run(["newgrp", GROUP], user="nogrant", input="id -g\n", check=False).returncode != 0
    assert client.run(["gpasswd", "--add", "nogrant", GROUP], user="nogrant", check=False).returncode != 0


def test_a_group_with_an_administrator_is_not_taken_over(office):
    """It is somebody's: nothing is changed, and the administrator is named."""
    office.client.run(["groupadd", GROUP])
    office.client.run(["gpasswd", "--administrators", "nogrant", GROUP])
    result = office.apply()
    assert (result["result"], result["changes"]) == (False, {})
    assert "has members (nogrant)" in result["comment"]


# Only its first thread ends, of which /proc then shows no program.
_HEADLESS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
print("begun", flush=True)
ctypes.CDLL(None).syscall(60, 0)
"""
# Its first thread gives the group up, that of a set-GID program, and another one keeps it.
_DISGUISED = """
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
own = os.getgid()
assert ctypes.CDLL(None).syscall(119, own, own, own) == 0
print("begun", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("program", [_HEADLESS, _DISGUISED])
def test_a_process_of_which_only_another_thread_shows_the_group(machine, program):
    setgid(machine, "/mnt/memory/python", os.path.realpath(sys.executable))
    command = ["/mnt/memory/python", "-I", "-S", "-c", program]
    running = machine.client.popen(command, user="myself", stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout.readline() == "begun\n"
        deadline = time.monotonic() + 60
        while not (found := machine.minion.call("spice_viewer.status")["processes"]):
            assert time.monotonic() < deadline
        assert [(each["uid"], each["name"]) for each in found] == [(1021, "python")]
    finally:
        running.kill_tree()
        running.stdout.close()
        machine.client.run(["rm", "/mnt/memory/python"])


def test_a_process_that_has_the_group(machine):
    """Also if what it runs is gone: only a viewer's own program may have it."""
    client = machine.client
    setgid(machine, "/mnt/memory/x", "/bin/sleep")
    running = client.popen(["/mnt/memory/x", "60"], user="myself")
    member = client.popen(["/bin/sleep", "60"], user="nogrant", group=GROUP)
    try:
        while not {"x", "sleep"} <= {each["name"] for each in machine.minion.call("spice_viewer.status")["processes"]}:
            assert running.poll() is None and member.poll() is None
        client.run(["rm", "/mnt/memory/x"])
        found = machine.minion.call("spice_viewer.status")["processes"]
        assert {(each["uid"], each["name"]) for each in found} == {(1021, "x"), (1023, "sleep")}
    finally:
        for process in (running, member):
            process.kill_tree()
            process.wait()
