"""How long drift lasts under the beacon, and what the beacon costs while nothing happens.

Run by ``make bench-drift``, as root: masterless minions that run as daemons in machines of their own. Each time runs
from the end of the command that changed something until everything is as it was. No figure passes or fails.
"""

import argparse
import json
import platform
import random
import statistics
import sys
import time
from pathlib import Path

import yaml
from bench_runs import salt_tree

from scene import Machine, Minion

GROUP, USER, VIEWER, SUDOERS = "spicegrp", "visitor", "/usr/bin/remote-viewer", "/etc/sudoers.d/spice-grant"
USERS = {"myself": 1021, "mybro": 1022, USER: 1023}
PILLAR = salt_tree().parent / "pillar" / "spice.sls"
CONFIG = "/etc/salt-daemon"
TABLE = ["nft", "--stateless", "list", "table", "inet", "spice_grant"]
LOOK = 0.02
PATIENCE = 60


def main():
    """Run both parts; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=20, help="changes of each kind (default 20)")
    parser.add_argument("--minutes", type=float, default=5, help="for which minions are left idle (default 5)")
    chosen = parser.parse_args()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), "processor not named")
    print(f"{cpu}, Linux {platform.release()}, Python {platform.python_version()}")
    if chosen.tries:
        with Machine("client") as client:
            repaired(client, chosen.tries)
    if chosen.minutes:
        with Machine("with") as listening, Machine("without") as other:
            idle(listening, other, chosen.minutes)
    return 0


def workstation(client, beacon=True):
    """Create a machine's users and their grants, and start a minion there; return its process."""
    for name, uid in USERS.items():
        client.add_user(name, uid)
    pillar = yaml.safe_load(PILLAR.read_text(encoding="utf-8"))
    del pillar["spice"]["servers"]["mysrv"]["ca"]
    with Minion(client, pillar) as minion:
        (state,) = minion.state().values()
        if state["result"] is not True:
            raise SystemExit(state["comment"])
        options = {**minion.config, "beacons": {"spice_grant": [{"repair": True}]} if beacon else {}}
    client.write(f"{CONFIG}/minion", json.dumps(options))
    program = Path(sys.executable).with_name("salt-minion")
    daemon = client.popen([sys.executable, program, "-c", CONFIG])
    # It is up, and its first look is over.
    time.sleep(15)
    return daemon


def repaired(client, tries):
    """Measure part one: the time from a change to its repair."""
    workstation(client)
    rules, sudoers = client.run(TABLE).stdout, client.read(SUDOERS)
    element = f"{{ 1021 . {client.group_id(GROUP)} . 192.168.2.2 . 20002 }}"
    kinds = {
        "element deleted": ["nft", f"delete element inet spice_grant grants4 {element}"],
        "rule added": ["nft", "insert rule inet spice_grant output accept"],
        "sudoers edited": ["sh", "-c", f"echo '{USER} ALL=(ALL) ALL' >>{SUDOERS}"],
        "viewer chmod'ed": ["chmod", "0755", VIEWER],
        "user put into the group": ["usermod", "--append", "--groups", GROUP, USER],
    }

    def intact():
        members = [line for line in client.read("/etc/group").splitlines() if line.startswith(f"{GROUP}:")]
        files = (client.read(SUDOERS), client.mode(VIEWER), members[0].split(":")[3])
        return files == (sudoers, 0o750, "") and client.run(TABLE).stdout == rules

    taken = {kind: [] for kind in kinds}
    for _ in range(tries):
        for kind, command in kinds.items():
            # At any moment between two polls; and what is done again and again here is no fight.
            time.sleep(3 + random.random())  # noqa: S311 - nothing secret
            client.run(["rm", "-f", "/run/spice-grant/fights"])
            client.run(command)
            taken[kind].append(waited(intact))
    print(f"\nFrom a change to its repair (seconds; {tries} tries of each)")
    for kind, seconds in taken.items():
        print(f"  {kind:28} {statistics.median(seconds):6.2f}   ({min(seconds):.2f} to {max(seconds):.2f})")


def waited(intact):
    """Return the time until everything is as it was."""
    started = time.perf_counter()
    while not intact():
        if time.perf_counter() - started > PATIENCE:
            raise SystemExit(f"not repaired within {PATIENCE} s")
        time.sleep(LOOK)
    return time.perf_counter() - started


def idle(listening, other, minutes):
    """Measure part two: processor time of minions with nothing to do, one with the beacon and one without."""
    print(f"\nProcessor time of an idle minion (seconds an hour, measured over {minutes:g} minutes)")
    daemons = {"with the beacon": workstation(listening), "without": workstation(other, beacon=False)}
    before = {kind: spent(daemon.inner()) for kind, daemon in daemons.items()}
    time.sleep(60 * minutes)
    hourly = {kind: (spent(daemon.inner()) - before[kind]) * 60 / minutes for kind, daemon in daemons.items()}
    for kind, seconds in hourly.items():
        print(f"  {kind:28} {seconds:6.2f}")
    print(f"  {'the beacon adds':28} {hourly['with the beacon'] - hourly['without']:6.2f}")


def spent(pid):
    """Return the processor time, in seconds, of a process and its descendants, ended ones included."""
    total = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0]) / 1e9
        for child in (task / "children").read_text().split():
            total += spent(int(child))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return total + sum(map(int, fields[13:15])) / 100


if __name__ == "__main__":
    sys.exit(main())
