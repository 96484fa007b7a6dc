"""The parts of the demo, in their order; each says what it shows, does it, and says how it ended."""

import contextlib
import json
import os
import pty
import select
import subprocess
import time
from typing import NamedTuple

from demo_page import CLOSED, OPEN, Cell, Picture, cells
from scene import Console, Desktop, Machine, Minion, connect, tls
from scene.machine import CHECKOUT

HOST, ADDRESS, AUTHORITY = "mysrv.anraconc.de", "192.168.2.2", "/etc/pki/spice/ca-cert.pem"
VMS = {"debianx": 20002, "leaptest": 20004}
USERS = {"myself": 1021, "mybro": 1022, "visitor": 1023}
GRANTED = {("myself", "debianx"), ("mybro", "leaptest")}
PASSWORD = "correct horse battery staple"  # noqa: S105 - of users who exist for half a minute
VIEWER = "/usr/bin/remote-viewer"
PATIENCE = 60
KNOCK = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()"
# A root of pillar before the example's, for what comes on top of that.
PILLAR = CHECKOUT / "pillar" / "spice.sls"
ADDED = "/srv/demo-pillar"
TOP = "base: {'*': [spice, hours]}\n"
HOURS = """\
spice:
  time: {zone: Europe/Berlin}
  schedules:
    office-hours: {days: mon-fri, hours: 08:00-18:00}
  grants:
    visitor-debianx: {user: visitor, vm: debianx, schedule: office-hours}
"""


class Scene(NamedTuple):
    """Who takes part: a workstation with its minion, a server's consoles by name; and the viewer's mode at first."""

    client: Machine
    minion: Minion
    consoles: dict[str, Console]
    mode: int


def opened(told, stack):
    """Make the machines, the consoles and the users."""
    told.begin("Two machines", "A workstation and a server come up here; this machine stays as it is.")
    client, server = stack.enter_context(Machine("client")), stack.enter_context(Machine("server"))
    connect(client, server, ["192.168.2.22/24", "fd00:2::22/64"], [f"{ADDRESS}/24", "fd00:2::2/64"])
    tls.create(server.path("/etc/pki/spice"), HOST)
    consoles = {name: Console(server, name, port, "/etc/pki/spice") for name, port in VMS.items()}
    for name, uid in USERS.items():
        client.add_user(name, uid, PASSWORD)
    client.write("/etc/hosts", client.read("/etc/hosts") + f"{ADDRESS} {HOST}\n")
    client.write(AUTHORITY, server.read(AUTHORITY))
    roots = [ADDED, str(PILLAR.parent)]
    minion = stack.enter_context(Minion(client, options={"pillar_roots": {"base": roots}}))
    told.end("QEMU runs two SPICE consoles: " + ", ".join(f"{vm} on TLS port {port}" for vm, port in VMS.items()) + ".")
    return Scene(client, minion, consoles, client.mode(VIEWER))


def knocks(scene, expected):
    """Return cells: which consoles each user's own program reaches."""
    found = []
    for user in sorted(USERS):
        for vm, port in VMS.items():
            knock = ["/usr/bin/python3", "-c", KNOCK, ADDRESS, port]
            reached = OPEN if scene.client.run(knock, user=user, check=False).returncode == 0 else CLOSED
            found.append(Cell(user, vm, expected, reached, (("own program", reached),)))
    return tuple(found)


def unprotected(told, scene):
    """Let everybody knock; return the cells."""
    told.begin("Before", "Without protection each user reaches each console, with any program of their own.")
    found = knocks(scene, OPEN)
    told.end(f"{sum(cell.found == OPEN for cell in found)} of {len(found)} ways are open.", holds=_hold(found))
    return found


def _hold(found):
    return all(cell.holds for cell in found)


def enforced(told, scene):
    """Apply the state, and once more."""
    told.begin("The state", "One run enforces what pillar declares, in all layers.", "# salt-call state.apply spice")
    applied = scene.minion.salt_call("state.apply", "spice", check=False)
    told.end("Each change is named.", applied.stdout + applied.stderr, holds=applied.returncode == 0)
    told.begin("Once more", "Where all is as declared a run changes nothing.", "# salt-call state.apply spice")
    again = json.loads(scene.minion.salt_call("state.apply", "spice", "--out=json").stdout)["local"]
    changed = [name for name, state in again.items() if state["changes"]]
    told.end("Nothing was changed.", holds=not changed)


def proven(told, scene):
    """Have the policy proven; return the cells, and what differs."""
    shows = "Each user tries each console, with the viewer that sudo starts and with a program of their own."
    told.begin("The proof", shows, "# salt-call spice_grant.verify")
    proof, code = scene.minion.call_raw("spice_grant.verify")
    found = tuple(cells(proof["matrix"], GRANTED))
    said = "\n".join([table(found), *proof["differences"]])
    told.end("What is granted opens, and nothing else does.", said, holds=code == 0 and _hold(found))
    return found, tuple(proof["differences"])


def table(found):
    """Return cells as text, a row each."""
    head = ("user", "console", "expected", "found", *(label for label, _ in found[0].ways))
    rows = [(cell.user, cell.vm, cell.expected, cell.found, *(way for _, way in cell.ways)) for cell in found]
    return columns([head, *rows])


def columns(rows):
    """Return rows as text, one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows)


def at_the_desk(told, scene):
    """Open a console as its user does, with their password; return a picture of their screen."""
    told.begin("At the desk", "myself opens their console; sudo asks for their password.", "$ rviewer debianx")
    with Desktop(scene.client, "myself") as desktop, typing(desktop, ["rviewer", "debianx"], PASSWORD):
        seen = desktop.shows(scene.consoles["debianx"].rgb)
        picture = Picture("myself has opened debianx, with their password.", desktop.picture(trim=True))
    told.end("The console shows.", holds=seen)
    return picture


@contextlib.contextmanager
def typing(desktop, command, line):
    """Run a command on a terminal of a desktop's user, and type a line when it asks for a password."""
    leader, follower = pty.openpty()
    streams = {"stdin": follower, "stdout": follower, "stderr": follower}
    process = desktop.popen(["setsid", "--ctty", "--wait", *command], **streams)
    os.close(follower)
    said, deadline = b"", time.monotonic() + PATIENCE
    try:
        while b"password" not in said and time.monotonic() < deadline:
            if select.select([leader], [], [], 1)[0]:
                said += os.read(leader, 4096)
        os.write(leader, f"{line}\n".encode())
        yield
    finally:
        process.kill_tree()
        os.close(leader)


def refused(told, scene):
    """Try the console of somebody else."""
    told.begin("Somebody else's", "mybro tries the same console.", "$ rviewer debianx")
    tried = scene.client.run(["rviewer", "debianx"], user="mybro", check=False)
    told.end("It is refused, with a reason.", tried.stdout + tried.stderr, holds=tried.returncode != 0)


def locked(told, scene):
    """Lock a user while their console is open; return pictures of their screen before and after."""
    command = "# salt-call spice_grant.lock user=mybro"
    told.begin("A lock", "Who is locked loses the console that is open, at once, and reads why.", command)
    with Desktop(scene.client, "mybro") as desktop:
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        viewer = desktop.popen(["rviewer", "leaptest"], **silent)
        seen = desktop.shows(scene.consoles["leaptest"].rgb)
        before = Picture("mybro has opened leaptest, without one: nopasswd.", desktop.picture(trim=True))
        scene.minion.call("spice_grant.lock", user="mybro")
        with contextlib.suppress(subprocess.TimeoutExpired):
            viewer.wait(PATIENCE)
        title = desktop.wait_window("SPICE console closed")
        after = Picture("What that screen shows once mybro is locked.", desktop.picture(trim=True))
    ended = viewer.returncode is not None
    told.end(f"The viewer has ended, and their screen says: {title}.", holds=seen and ended)
    return before, after


def lent(told, scene):
    """Declare hours, and lend a console; return a drawing of the week."""
    shows = "A grant may have hours, a loan has an end, and a lock beats both."
    drawing = "/root/week.svg"
    told.begin("Times", shows, f"# salt-call spice_grant.timeline svg={drawing}")
    scene.client.write(f"{ADDED}/top.sls", TOP)
    scene.client.write(f"{ADDED}/hours.sls", HOURS)
    applied = scene.minion.state("spice")
    scene.minion.call("spice_grant.lend", "myself", "leaptest", "2h", reason="while mybro is away")
    scene.minion.call("spice_grant.timeline", svg=drawing)
    said = columns(list(map(_row, scene.minion.call("spice_grant.timeline"))))
    outcome = "visitor has office hours, myself a loan; mybro is locked."
    told.end(outcome, said, holds=all(state["result"] for state in applied.values()))
    return scene.client.read(drawing)


def _row(each):
    """Return a stretch of a timeline as a row."""
    return each["user"], each["vm"], each["from"], each["until"], ", ".join(each["grants"])


def undone(told, scene):
    """Take all of it away."""
    told.begin("Undo", "All of it goes again.", "# salt-call state.apply spice.absent")
    removed = scene.minion.state("spice.absent")
    found = knocks(scene, OPEN)
    as_before = scene.client.mode(VIEWER) == scene.mode and _hold(found)
    done = all(state["result"] for state in removed.values())
    outcome = "The workstation is as it was: each user reaches each console, and anybody starts the viewer."
    told.end(outcome, holds=done and as_before)
