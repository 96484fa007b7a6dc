"""What it costs: runs of Salt with many grants, and the time of a new connection; each beside its baseline.

Run by ``make bench``, as root. All figures are medians of runs that were taken in turn, so that a machine whose speed
drifts disturbs all alike; the spread is printed beside them. No figure passes or fails.
"""

import argparse
import compileall
import json
import platform
import statistics
import sys
from pathlib import Path

from bench_runs import LARGE, SETTINGS, SIZES, measure, pillar, salt_tree

from scene import Machine, connect
from scene.consoles import Listener
from spicegrants.core.accounts import Account, Group
from spicegrants.firewall.nft import guard_table
from spicegrants.policy import pillar as pillars
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.facts import Inventory

GROUP = "spicegrp"
ACCOUNTS = 11000
# Loads what it reads by turns: as nft does by itself, and as a run does. Prints the seconds of each.
LOAD = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from spicegrants.firewall.live import nft
from spicegrants.host import run
text = sys.stdin.read()
commands = json.loads(text)["nftables"]
for _ in range(int(sys.argv[2])):
    for load in (lambda: run.run(["nft", "-j", "-f", "-"], text=text), lambda: nft.load(commands)):
        started = time.perf_counter()
        load()
        print(time.perf_counter() - started)
"""
# The connecting side: one process, so that starting it is not measured. Prints the seconds of each connection.
CONNECT = """
import socket, sys, time
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for _ in range(count):
    started = time.perf_counter()
    connection = socket.create_connection((address, port))
    print(time.perf_counter() - started)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\x01\\0\\0\\0\\0\\0\\0\\0")
    connection.close()
"""


def main():
    """Run all parts; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each kind (default 5)")
    parser.add_argument("--connections", type=int, default=2000, help="connections of each kind (default 2000)")
    parser.add_argument("--all", action="store_true", help="10,000 grants and other settings, too: takes an hour")
    chosen = parser.parse_args()
    for directory in ("_modules", "_states", "_utils"):
        # As on a minion, where the first run leaves compiled code; machines see the checkout read-only.
        compileall.compile_dir(salt_tree().parent / directory, quiet=1)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), "processor not named")
    print(f"{cpu}, Linux {platform.release()}, Python {platform.python_version()}\n")
    with Machine("client") as client, Machine("server") as server:
        connect(client, server, ["192.168.2.22/16", "fd00:2::22/64"], ["192.168.2.2/16", "fd00:2::2/64"])
        for settings in SETTINGS if chosen.all else list(SETTINGS)[:1]:
            measure(client, chosen.runs, settings, SIZES if chosen.all else [size for size in SIZES if size < LARGE])
        loading(client, chosen.runs)
        connections(client, server, chosen.connections)
    return 0


def loading(client, count):
    """Measure part two: the time to load the whole ruleset, by nft alone and as we have nft do it."""
    print("Loading the ruleset (seconds): nft alone, and nft that sees no accounts, as in a run")
    rows = [(grants, schedules, 0) for grants, schedules in ((1000, 0), (1000, 50), (10000, 50))]
    for grants, schedules, accounts in (*rows, (1000, 0, ACCOUNTS)):
        before = client.read("/etc/passwd")
        more = (f"local{number}:x:{50000 + number}:50000::/nowhere:/bin/false\n" for number in range(accounts))
        client.write("/etc/passwd", before + "".join(more))
        text = json.dumps(transaction(grants, 995, schedules))
        script = [sys.executable, "-I", "-c", LOAD, salt_tree().parent / "_utils", count]
        spent = [float(line) for line in client.run(script, input=text).stdout.split()]
        client.write("/etc/passwd", before)
        client.run(["nft", "flush", "ruleset"])
        kind = f"{grants:,} grants" + f" over {schedules} schedules, 30 days" * bool(schedules)
        kind += f", {accounts:,} local accounts" * bool(accounts)
        shown = [f"{statistics.median(each):7.2f} ({min(each):.2f} to {max(each):.2f})" for each in _by_turns(spent)]
        print(f"  {kind:44} {' '.join(shown)}")


def _by_turns(spent):
    return spent[::2], spent[1::2]


def connections(client, server, count):
    """Measure part three: the time of a new connection, as a user whose grant is the last of all."""
    print("\nTime of one new connection over a virtual cable (microseconds)")
    worst = ("1,000 users by the recipe", "10 users by the recipe")
    kinds = {"no firewall": None, "10 grants": 10, "1,000 grants": 1000, "10,000 grants": 10000}
    taken = {kind: [] for kind in (*kinds, *worst)}
    client.run(["groupadd", "--system", "--force", GROUP])
    gid = client.group_id(GROUP)
    with Listener(server, [20001]):
        for _ in range(5):
            for kind, grants in kinds.items():
                if grants:
                    client.run(["nft", "-j", "-f", "-"], input=json.dumps(transaction(grants, gid)))
                taken[kind] += connect_times(client, (grants or 1) + 1999, gid, count // 5)
                client.run(["nft", "flush", "ruleset"])
            for kind in worst:
                users = int(kind.split()[0].replace(",", ""))
                client.run(["iptables-restore"], input=recipe(users))
                taken[kind] += connect_times(client, users + 1999, gid, count // 5)
                client.run(["iptables-restore"], input="*filter\nCOMMIT\n")
    base = statistics.median(taken["no firewall"])
    for kind, seconds in taken.items():
        quartiles = [1e6 * value for value in statistics.quantiles(seconds, n=4)]
        print(
            f"  {kind:44} {quartiles[1]:7.0f}   ({quartiles[0]:.0f} to {quartiles[2]:.0f}, quartiles)"
            f"   {statistics.median(seconds) / base:5.2f} x none"
        )


def connect_times(client, uid, gid, count):
    """Connect many times as a UID with the viewer's group; return the duration of each, in seconds."""
    command = ["setpriv", f"--reuid=+{uid}", f"--regid=+{gid}", "--clear-groups"]
    done = client.run([*command, sys.executable, "-I", "-S", "-c", CONNECT, "192.168.2.2", "20001", str(count)])
    return [float(line) for line in done.stdout.split()]


def transaction(grants, gid, schedules=0):
    """Return our own ruleset for many users, made by the product's compiler."""
    data, names = pillar(grants, 1, schedules)
    users = {name: Account(name, 2000 + number, 100) for number, name in enumerate(names)}
    inventory = Inventory(users, {GROUP: Group(GROUP, gid)}, addresses={"mysrv": ("192.168.2.2",)})
    desired = compile_policy(pillars.parse_policy(data["spice"]), inventory)
    return {"nftables": guard_table.plan_guard_table(desired, None).commands}


def recipe(users):
    """Return the recipe's rules: an owner rule and a chain of two for each user, then log and drop."""
    lines = ["*filter", ":OUTPUT ACCEPT [0:0]", ":DENY - [0:0]"]
    lines += [f":u{number} - [0:0]\n:v{number} - [0:0]" for number in range(users)]
    lines.append("-A OUTPUT -m state --state ESTABLISHED,RELATED -j ACCEPT")
    for number in range(users):
        lines.append(f"-A OUTPUT -m owner --uid-owner {2000 + number} -j u{number}")
        lines.append(f"-A u{number} -p tcp -d 192.168.2.2 --dport 20001 -m state --state NEW -j v{number}")
        lines.append(f"-A v{number} -j ACCEPT")
    lines += ["-A OUTPUT -p tcp --dport 20001:20010 -j DENY", "-A DENY -j LOG", "-A DENY -j DROP", "COMMIT", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
