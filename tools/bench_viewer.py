"""Measure how long a user waits for a console: through the confined opener, and by the recipe's own call, in turn.

Run by ``make bench``, as root: a real console over TLS, the real viewer and sudo, a display without a screen. Each time
runs from the call until the console's picture is on the display; CPU time is that of the call and of all processes that
it started. No figure passes or fails.
"""

import argparse
import mmap
import os
import platform
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

from bench_runs import add_users, pillar

from scene import Machine, Minion, connect, tls
from scene.consoles import Console
from scene.desktop import Desktop

HOST, PORT, USER, VM = "mysrv.anraconc.de", 20090, "myself", "debianx"
CA = "/etc/pki/spice/ca-cert.pem"
RECIPE = ["sudo", "-n", "-u", USER, "-g", "spicegrp", "remote-viewer", "--", f"spice://{HOST}?tls-port={PORT}"]
RULE = f"{USER} ALL=({USER}:spicegrp) NOPASSWD: /usr/bin/remote-viewer -- spice\\://{HOST}\\?tls-port\\={PORT}\n"
# By how many grants are stored, and over how many schedules.
STORED = {"1 grant": (0, 0), "1,000 grants": (100, 50), "10,000 grants": (1000, 50)}
PATIENCE = 30
TICK = os.sysconf("SC_CLK_TCK")


def main():
    """Measure all; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="pairs of calls for each size (default 15)")
    parser.add_argument("--stored", nargs="*", choices=STORED, default=list(STORED), help="sizes (default all)")
    chosen = parser.parse_args()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), "processor not named")
    print(f"{cpu}, Linux {platform.release()}, Python {platform.python_version()}\n")
    print("From the call until the console shows (milliseconds, medians of calls in turn; quartiles; CPU time)")
    with Machine("client") as client, Machine("server") as server:
        connect(client, server, ["192.168.2.22/24", "fd00:2::22/64"], ["192.168.2.2/24", "fd00:2::2/64"])
        tls.create(server.path("/etc/pki/spice"), HOST)
        console = Console(server, VM, PORT, "/etc/pki/spice")
        client.add_user(USER, 1021)
        client.write("/etc/hosts", client.read("/etc/hosts") + f"192.168.2.2 {HOST}\n")
        for path, owner in ((CA, "root"), (f"/home/{USER}/.spicec/spice_truststore.pem", USER)):
            client.write(path, server.read(CA), owner=owner)
        client.write("/etc/sudoers.d/recipe", RULE, mode=0o440)
        # As packages leave it: a file system that was copied has its times cut, and then fonts are read at each start.
        client.run(["fc-cache", "-s"])
        with Minion(client) as minion, Desktop(client, USER) as desktop:
            for stored in chosen.stored:
                apply(minion, *STORED[stored])
                calls = {"the recipe's call": (RECIPE, console.rgb), "rviewer": (["rviewer", VM], console.rgb)}
                measured(desktop, stored, chosen.pairs, calls)
    return 0


def apply(minion, users, schedules):
    """Put the grants in force: the user's one, and those of many other users to ten consoles each."""
    data, names = pillar(users, 10, schedules)
    add_users(minion.machine, names)
    spice = data["spice"]
    spice["servers"]["mysrv"]["ca"] = CA
    spice["vms"][VM] = {"server": "mysrv", "tls_port": PORT}
    spice["grants"]["one"] = {"user": USER, "vm": VM, "nopasswd": True}
    spice["viewer"] = {"confine": True}
    minion.set_pillar(data)
    (state,) = minion.state().values()
    if state["result"] is not True:
        raise SystemExit(state["comment"])


def measured(desktop, what, pairs, calls, pause=0):
    """Call in turn, and print the times, each beside that of the first.

    calls
        By name: the command, and the colour of the console that it shows.

    pause
        Seconds before each call: a KVM host limits how often somebody may ask.
    """
    for call in calls.values():
        # What is cached in the user's home is there from then on, as on a workstation.
        shown(desktop, *call)
    taken = {name: [] for name in calls}
    for number in range(pairs):
        for name in list(calls)[:: 1 if number % 2 else -1]:
            time.sleep(pause)
            taken[name].append(shown(desktop, *calls[name]))
    base = next(iter(taken.values()))
    for name, values in taken.items():
        wall, work = ([1000 * value for value in part] for part in zip(*values))
        low, middle, high = statistics.quantiles(wall, n=4)
        more = [1000 * statistics.median(b[part] - a[part] for a, b in zip(base, values)) for part in (0, 1)]
        difference = "" if values is base else f"   {more[0]:+.0f}, CPU {more[1]:+.0f} (medians of the pairs)"
        figures = f"{middle:7.0f}   ({low:.0f} to {high:.0f})   CPU {statistics.median(work):5.0f}"
        print(f"  {f'{what}, {name}':44} {figures}{difference}", flush=True)


def shown(desktop, call, rgb):
    """Make a call; return the seconds until the console's colour showed, and the CPU time in seconds. End it."""
    with open(desktop.machine.path(desktop.frame), "rb") as stream:
        picture = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    pixels = struct.unpack_from(">I", picture)[0] + struct.unpack_from(">I", picture, 76)[0] * 12
    started = time.perf_counter()
    process = desktop.popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _covers(picture, pixels, rgb):
            if time.perf_counter() - started > PATIENCE or process.poll() is not None:
                raise SystemExit(f"{' '.join(call)} shows nothing")
            time.sleep(0.002)
        return time.perf_counter() - started, _worked(process.pid)
    finally:
        process.kill_tree()
        _await_dark(picture, pixels, rgb)
        picture.close()


def _covers(picture, pixels, rgb):
    """Tell whether a colour is in a tenth of some pixels all over the picture."""
    samples = [picture[at : at + 3] for at in range(pixels, len(picture) - 4, 4 * 1031)]
    near = sum(all(abs(a - b) <= 6 for a, b in zip(sample[::-1], rgb)) for sample in samples)
    return near * 10 > len(samples)


def _await_dark(picture, pixels, rgb):
    deadline = time.perf_counter() + PATIENCE
    while _covers(picture, pixels, rgb) and time.perf_counter() < deadline:
        time.sleep(0.01)


def _worked(pid):
    """Return the CPU time of a process, of those that it started, and of the processes that those waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, fields[11:15])) / TICK + sum(map(_worked, children))


if __name__ == "__main__":
    sys.exit(main())
