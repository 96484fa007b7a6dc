"""What whole runs cost: processor time and memory of salt-call with few and many grants, each beside a bare run.

A part of ``make bench``. Two shapes of an office: many consoles for each user (100 users with a tenth of the grants as
vms each), and a console for each (as many users and vms as grants). Runs of a kind are taken in turn with bare ones.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

from scene import Minion

# What the machines' minions have set to be quick: without it they are as a site's, which sets none of it.
AS_AT_A_SITE = dict.fromkeys(
    ("enable_fqdns_grains", "enable_gpu_grains", "fileserver_backend", "fileserver_list_cache_time", "grains_cache")
)
SETTINGS = {"with Salt's default settings": AS_AT_A_SITE, "with Salt's own work cut down": {}}
BARE = "bare:\n  test.nop\n"
MANY, ONE = "many consoles a user", "a console a user"
SIZES = (100, 1000, 10000)
# A run of this many grants takes long, and is taken less often.
LARGE = 10000
SALT_STATES = 100
# Runs what its arguments say; prints, after that, the seconds of CPU time and the largest memory (MB) of a process.
MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("\\n%f %f" % (used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
sys.exit(done.returncode)
"""


class Cost(NamedTuple):
    """The cost of one run: seconds that passed, seconds of CPU time, and the largest memory of one process in MB."""

    seconds: float
    cpu: float
    memory: float


def salt_tree():
    """Return the checkout's state tree."""
    return Path(__file__).resolve().parent.parent / "salt"


def pillar(users, vms, schedules=0, each=None):
    """Return a pillar for so many users and vms, and the users' names.

    schedules
        Each grant has one of so many: two ranges of hours on five days, each different.

    each
        So many vms for each user; all by default. With 1, each user has one of their own.
    """
    names = [f"user{number}" for number in range(users)]
    consoles = {f"vm{number}": {"server": "mysrv", "tls_port": 20001 + number} for number in range(vms)}
    server = {"host": "mysrv.anraconc.de", "addresses": ["192.168.2.2"], "ports": f"20001-{20000 + max(vms, 100)}"}
    chosen = [(name, vm) for name in names for vm in consoles] if each is None else list(zip(names, consoles))
    grants = {f"{name}-{vm}": {"user": name, "vm": vm} for name, vm in chosen}
    made = {"servers": {"mysrv": server}, "vms": consoles, "grants": grants}
    if schedules:
        hours = [[f"07:{number:02}-12:00", f"13:00-17:{number:02}"] for number in range(schedules)]
        made["schedules"] = {f"s{number}": {"days": "mon-fri", "hours": each} for number, each in enumerate(hours)}
        made["time"] = {"zone": "Europe/Berlin"}
        for number, grant in enumerate(grants.values()):
            grant["schedule"] = f"s{number % schedules}"
    return {"spice": made}, names


def office(shape, grants, schedules=0):
    """Return the pillar of an office of a shape, and its users' names."""
    if shape == MANY:
        return pillar(100, grants // 100, schedules)
    return pillar(grants, grants, schedules, each=1)


def add_users(client, names):
    """Create the client's users, many at once."""
    lines = [f"{name}:x:{2000 + number}:100::/home/{name}:/bin/sh" for number, name in enumerate(names)]
    known = client.read("/etc/passwd")
    there = set(known.splitlines())
    client.write("/etc/passwd", known + "".join(f"{line}\n" for line in lines if line not in there))


def timed(minion, sls):
    """Return the cost of a whole salt-call that applies an SLS."""
    program = Path(sys.executable).with_name("salt-call")
    call = [program, "--local", "-c", minion.conf, "state.apply", sls, "--out=json", "--out-indent=-1"]
    started = time.perf_counter()
    done = minion.machine.run([sys.executable, "-I", "-S", "-c", MEASURED, *call], timeout=900)
    seconds = time.perf_counter() - started
    answer, _, used = done.stdout.strip().rpartition("\n")
    states = json.loads(answer)["local"].values()
    if not all(state["result"] for state in states):
        raise SystemExit(f"{sls} failed: {[state['comment'] for state in states if not state['result']][:3]}")
    return Cost(seconds, *map(float, used.split()))


def forget(minion):
    """Remove everything again, so that the next run is a first one."""
    minion.call("spice_grant.remove")


def measure(client, count, settings, sizes):
    """Measure whole runs with some settings; print a table."""
    print(f"Whole runs of salt-call --local state.apply, {settings} (seconds; medians, spread, CPU time, memory)")
    client.run(["mkdir", "-p", "/srv/bench"])
    client.write("/srv/bench/bare.sls", BARE)
    roots = {"base": ["/srv/bench", str(salt_tree())]}
    offices = {(shape, size, 0): office(shape, size) for shape in (MANY, ONE) for size in sizes}
    offices |= {(ONE, size, 50): office(ONE, size, 50) for size in sizes[1:]}
    for _, names in offices.values():
        add_users(client, names)
    minion = Minion(client, next(iter(offices.values()))[0], options={"file_roots": roots, **SETTINGS[settings]})
    minion.timeout = 900
    for (shape, size, schedules), (data, _) in offices.items():
        kind = f"{size:,} grants, {shape}" + f", {schedules} schedules" * bool(schedules)
        taken = {what: [] for what in ("bare", "first", "unchanged", "one grant less", "one grant more")}
        less = without_one(data)
        for _ in range(count if size < LARGE else max(1, count // 3)):
            minion.set_pillar(data)
            taken["first"].append(timed(minion, "spice"))
            taken["unchanged"].append(timed(minion, "spice"))
            taken["bare"].append(timed(minion, "bare"))
            minion.set_pillar(less)
            taken["one grant less"].append(timed(minion, "spice"))
            minion.set_pillar(data)
            taken["one grant more"].append(timed(minion, "spice"))
            forget(minion)
        show(kind, taken)
    salts_own(minion, count)
    minion.stop()


def without_one(data):
    """Return the pillar without its last grant."""
    spice = data["spice"]
    return {"spice": {**spice, "grants": dict(list(spice["grants"].items())[:-1])}}


def salts_own(minion, count):
    """Measure equal rules made by Salt's own states."""
    minion.machine.write("/srv/bench/core.sls", core_states(SALT_STATES))
    taken = {what: [] for what in ("bare", "first", "unchanged")}
    for _ in range(max(2, count // 2)):
        taken["first"].append(timed(minion, "core"))
        taken["unchanged"].append(timed(minion, "core"))
        taken["bare"].append(timed(minion, "bare"))
        for option in ("-F", "-X"):
            minion.machine.run(["iptables", option])
    show(f"{SALT_STATES} grants by Salt's own iptables states", taken)


def show(kind, taken):
    """Print the rows of one kind of office, each beside the bare run."""
    print(f"  {kind}")
    bare = statistics.median(cost.seconds for cost in taken["bare"])
    for what, costs in taken.items():
        seconds = [cost.seconds for cost in costs]
        median = statistics.median(seconds)
        cpu, memory = statistics.median(cost.cpu for cost in costs), max(cost.memory for cost in costs)
        print(
            f"    {what:16} {median:7.2f}   ({min(seconds):.2f} to {max(seconds):.2f})   {median / bare:5.2f} x bare"
            f"   CPU {cpu:6.2f}   {memory:5.0f} MB",
            flush=True,
        )


def core_states(users):
    """Return equal rules made by Salt's own states: for each user a chain, an owner rule and a port rule."""
    states = {}
    for number in range(users):
        uid, chain = 2000 + number, f"u{number}"
        states[f"chain-{uid}"] = {"iptables.chain_present": [{"name": chain}, {"family": "ipv4"}]}
        port = [
            {"chain": chain},
            {"jump": "ACCEPT"},
            {"proto": "tcp"},
            {"destination": "192.168.2.2"},
            {"dport": 20001},
        ]
        states[f"port-{uid}"] = {"iptables.append": [{"table": "filter"}, *port]}
        owner = [{"chain": "OUTPUT"}, {"match": "owner"}, {"uid-owner": uid}, {"jump": chain}]
        states[f"owner-{uid}"] = {"iptables.append": [{"table": "filter"}, *owner]}
    return "#!json\n" + json.dumps(states)
