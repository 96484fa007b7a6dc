"""Demonstration of the article's office on this machine: a client, a server, the example pillar, and the proof.

Run by ``make demo``, as root. Everything happens in namespaces with private file systems: the host is not changed, and
nothing is left behind.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from scene import Machine, Minion, connect, tls
from scene.consoles import Console
from scene.desktop import Desktop
from scene.machine import CHECKOUT

HOST = "mysrv.anraconc.de"
OUTPUT = CHECKOUT / "build"
VMS = {"debianx": 20002, "leaptest": 20004}


def main():
    """Play the scene; return 0 if the proof holds."""
    started = time.monotonic()

    def say(what):
        print(f"[{time.monotonic() - started:5.1f} s] {what}", flush=True)

    say("making two machines: client (192.168.2.22) and server (192.168.2.2)")
    with Machine("client") as client, Machine("server") as server:
        connect(client, server, ["192.168.2.22/24", "fd00:2::22/64"], ["192.168.2.2/24", "fd00:2::2/64"])
        consoles = serve(server, say)
        people(client, server)
        minion = Minion(client, options={"pillar_roots": {"base": [str(CHECKOUT / "pillar")]}})
        say("salt-call --local state.apply spice, with the pillar in pillar/")
        applied = minion.salt_call("state.apply", "spice", check=False)
        print(applied.stdout + applied.stderr)
        say("once more: a second run has nothing to do")
        again = json.loads(minion.salt_call("state.apply", "spice", "--out=json").stdout)
        changes = [state["changes"] for state in again["local"].values()]
        print(f"changes of the second run: {changes}")
        say("salt-call --local spice_grant.verify: connecting, asking sudo and starting the viewer as each user")
        proof, retcode = minion.call_raw("spice_grant.verify")
        print(table(proof))
        say("rviewer, as mybro on their desktop")
        seen = look(client, consoles["leaptest"])
    holds = applied.returncode == 0 and not any(changes) and retcode == 0 and seen
    say("the proof holds; nothing of it is left on this machine" if holds else "THE PROOF DOES NOT HOLD")
    return 0 if holds else 1


def serve(server, say):
    """Start the consoles with a certificate authority of their own."""
    say("starting two SPICE consoles over TLS (QEMU): " + ", ".join(f"{vm} on {port}" for vm, port in VMS.items()))
    tls.create(server.path("/etc/pki/spice"), HOST)
    return {name: Console(server, name, port, "/etc/pki/spice") for name, port in VMS.items()}


def people(client, server):
    """Create the client's users, and give it the server's name and certificate authority."""
    for name, uid in (("myself", 1021), ("mybro", 1022), ("visitor", 1023)):
        client.add_user(name, uid)
    client.write("/etc/hosts", client.read("/etc/hosts") + f"192.168.2.2 {HOST}\n")
    client.write("/etc/pki/spice/ca-cert.pem", server.read("/etc/pki/spice/ca-cert.pem"))


def table(proof):
    """Return the verified matrix as text, one row for each user and vm."""
    head = ("user", "vm", "granted", "viewer through sudo", "own program", "sudo")
    rows = [
        (user, vm, "yes" if cell["granted"] else "no", cell["viewer group"], cell["own program"], cell["sudo"])
        for user, cells in sorted(proof["matrix"].items())
        for vm, cell in sorted(cells.items())
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in (head, *rows)]
    return "\n".join((lines[0], "-" * len(lines[0]), *lines[1:], *proof["differences"]))


def look(client, console):
    """Open the console as its user would, wait until it shows, and keep a picture; tell whether it showed."""
    OUTPUT.mkdir(exist_ok=True)
    picture = OUTPUT / f"{console.name}.png"
    with Desktop(client, "mybro") as desktop:
        viewer = desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seen = desktop.shows(console.rgb)
        desktop.screenshot(picture)
        viewer.kill_tree()
    print(f"{'the console shows' if seen else 'NO CONSOLE SHOWS'}: {picture.relative_to(Path.cwd())}")
    return seen


if __name__ == "__main__":
    sys.exit(main())
