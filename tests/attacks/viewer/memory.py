"""A granted user looks into the viewer, or into whatever runs as that user before it, by ptrace and /proc."""

from attacks.stage import USER, Stage

RECIPE = "fails"
STOPPED_BY = "sudo: the group is not the user's; and the user may not look into what the opener forks as the user"
NEEDS = ("Xvfb",)
# Looks at each such process that comes, for as long as it is left alone; holds it meanwhile.
LOOK = """
import ctypes, select, signal
libc, own, seen, gained = ctypes.CDLL(None), os.getuid(), set(), set()

def looked_at(pid):
    for name in ("environ", "mem", "maps", "auxv", "io", "syscall"):
        try:
            # Of a process that is about to end anybody may open them: there is nothing in them any more.
            with open(f"/proc/{pid}/{name}", "rb") as stream:
                if stream.read(1):
                    gained.add(name)
        except OSError as error:
            # Of memory: nothing is at its first address, but it may be looked at.
            if error.errno == errno.EIO:
                gained.add(name)
    for name in ("root", "cwd", "exe", "fd/0", "ns/mnt"):
        try:
            os.stat(f"/proc/{pid}/{name}")
            gained.add(name)
        except OSError:
            pass
    # What traces lets go when it ends.
    child = os.fork()
    if child == 0:
        os._exit(libc.ptrace(16, pid, 0, 0) != 0)
    if os.waitpid(child, 0)[1] == 0:
        gained.add("ptrace")

print("looking", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for pid in set(filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as stream:
                words = stream.read().split(b"\\0")
            mine = os.stat(f"/proc/{pid}").st_uid, open(f"/proc/{pid}/status").read().split("Uid:")[1].split()[0]
        except (OSError, IndexError):
            continue
        what = next((name for name in (b"remote-viewer", b"open") if words[0].endswith(name)), None)
        what = what or next((b"open" for word in words if word.endswith(b"spice-grant/open")), None)
        if what and mine[1] == str(own) and (pid, what) not in seen:
            seen.add((pid, what))
            try:
                os.kill(int(pid), signal.SIGSTOP)
                looked_at(int(pid))
                os.kill(int(pid), signal.SIGCONT)
            except OSError:
                pass
print(*sorted({what.decode() for _, what in seen}), "|", *sorted(gained), flush=True)
"""


def attack(client):
    stage = Stage(client, code=False, group=None)
    look = client.start(LOOK, user=USER)
    stage.view()
    seen, _, gained = look.tell().partition("|")
    assert "remote-viewer" in seen
    return gained.strip()
