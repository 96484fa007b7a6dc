"""Measure what the KVM host's half costs: until a console shows, and a run of Salt on a host of many virtual machines.

Run by ``make bench``, as root: libvirt, QEMU's consoles over TLS, sshd, the viewer and sudo are the real ones. Consoles
with and without a ticket are opened in turn, at one desk, from one machine. No figure passes or fails.
"""

import argparse
import sys

from bench_runs import BARE, salt_tree, show, timed
from bench_viewer import measured

from scene import Console, Desktop, HostSite, Minion
from scene.hostsite import ADDRESS, AUTHORITY, HOST, MINION, PKI

DESK, USER = "desk-1", "myself"
# Consoles: one of a server that gives tickets, one of a server that does not.
TICKET, PLAIN, PLAIN_PORT = "books", "plain", 20999
PORT = 20003
# Seconds between calls, every other of which takes a ticket.
PAUSE = 1.5


def main():
    """Measure all; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="pairs of calls (default 15)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each kind (default 5)")
    parser.add_argument("--vms", type=int, default=200, help="virtual machines of the host (default 200)")
    chosen = parser.parse_args()
    grants = {f"{USER}-{vm}": {"user": USER, "vm": vm, "nopasswd": True} for vm in (TICKET, PLAIN)}
    own = {TICKET: grants[f"{USER}-{TICKET}"]}
    with HostSite({DESK: "192.168.2.21"}, [DESK], {TICKET: (PORT, "magenta")}, {USER: 1021}, own) as site:
        launches(site, grants, chosen.pairs)
        runs(site, chosen.vms, chosen.runs)
    return 0


def launches(site, grants, pairs):
    """Measure part one: the time until a console shows."""
    print("From the call until the console shows (milliseconds, medians of calls in turn; quartiles; CPU time)")
    spice = site.pillar["spice"]
    # The same machine by another name: its port there is not guarded.
    spice["servers"]["without"] = {"host": HOST, "addresses": [ADDRESS], "ports": PLAIN_PORT, "ca": AUTHORITY}
    spice["vms"][PLAIN] = {"server": "without", "tls_port": PLAIN_PORT}
    spice["grants"] = grants
    console = Console(site.host, PLAIN, PLAIN_PORT, PKI)
    for minion, sls in ((site.minions[DESK], "spice"), (site.minion, "spice.host")):
        minion.set_pillar(site.pillar)
        (state,) = minion.state(sls).values()
        if state["result"] is not True:
            raise SystemExit(state["comment"])
    site.machines[DESK].run(["fc-cache", "-s"])
    calls = {
        "without a ticket": (["rviewer", PLAIN], console.rgb),
        "by a ticket": (["rviewer", TICKET], site.rgb[TICKET]),
    }
    with Desktop(site.machines[DESK], USER) as desktop:
        measured(desktop, "rviewer", pairs, calls, PAUSE)


def runs(site, count, times):
    """Measure part two: runs on the host, whose virtual machines are off but for one."""
    print("\nWhole runs of salt-call --local state.apply (seconds; medians, spread, CPU time, memory)")
    spice = site.pillar["spice"]
    spice["servers"]["mysrv"]["ports"] = f"20001-{20000 + count + 10}"
    for number in range(count - 1):
        port = 20010 + number
        site.kvm.define(f"vm{number}", "green", tlsPort=port)
        spice["vms"][f"vm{number}"] = {"server": "mysrv", "tls_port": port}
        spice["grants"][f"{USER}-vm{number}"] = {"user": USER, "vm": f"vm{number}"}
    site.host.write("/srv/bench/bare.sls", BARE)
    options = {"file_roots": {"base": ["/srv/bench", str(salt_tree())]}}
    with Minion(site.host, site.pillar, id=MINION, conf="/etc/salt-bench", options=options) as minion:
        minion.timeout = 900
        taken = {"bare": [], "first": [timed(minion, "spice.host")], "unchanged": []}
        for _ in range(times):
            taken["unchanged"].append(timed(minion, "spice.host"))
            taken["bare"].append(timed(minion, "bare"))
        show(f"{count} virtual machines", taken)


if __name__ == "__main__":
    sys.exit(main())
