"""What a fleet costs: runs through a master beside masterless ones, and the rendering of pillar on the master.

Run by ``make bench-fleet``, as root. Master, minion and users are in a machine of their own. Runs are taken in turn, so
that a machine whose speed drifts disturbs all alike; the spread is printed beside the medians. No figure passes or
fails.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench_runs import add_users, pillar

from scene import Machine
from spicecheck import compiled

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
FLEETS = (1, 100, 1000)
# What each minion gets: the grants of one of so many desks, or all of them.
DESKS = 100
# A top file of one line, whatever the number of minions: Salt compares a minion with each line.
BY_ID = """\
base:
  '*':
    - {{ 'desks.*' if opts.id.startswith('laptop-') else 'desks.d' ~ opts.id[5:] }}
"""


def main():
    """Run both parts; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each kind (default 5)")
    chosen = parser.parse_args()
    print(f"Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} processors\n")
    with Machine("office") as office:
        through_a_master(office, chosen.runs)
        rendering(office, chosen.runs)
    return 0


def through_a_master(office, count):
    """Measure part one: state.apply spice of 1,000 grants, called at the master and on the minion itself."""
    data, names = pillar(100, 10)
    add_users(office, names)
    office.write("/srv/pillar/top.sls", "base: {'*': [spice]}\n")
    office.write("/srv/pillar/spice.sls", "#!json\n" + json.dumps(data))
    office.run(["ip", "link", "set", "lo", "up"])
    trees = {"file_roots": {"base": [str(ROOT / "salt")]}, "pillar_roots": {"base": ["/srv/pillar"]}}
    ports = {"interface": "127.0.0.1", "publish_port": 14505, "ret_port": 14506}
    common = {"root_dir": "/srv/bench", "enable_fqdns_grains": False, "enable_gpu_grains": False}
    office.write("/etc/bench/master", json.dumps({**common, **ports, **trees, "open_mode": True}))
    master = {"master": "127.0.0.1", "master_port": 14506, "publish_port": 14505}
    office.write("/etc/bench/minion", json.dumps({**common, **master, "id": "desk"}))
    alone = {"id": "desk", "file_client": "local", "master_type": "disable", "root_dir": "/srv/alone"}
    office.write("/etc/alone/minion", json.dumps({**common, **alone, **trees}))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    daemons = [office.popen([BIN / f"salt-{kind}", "-c", "/etc/bench"], **quiet) for kind in ("master", "minion")]
    try:
        at_master = [BIN / "salt", "-c", "/etc/bench", "--out=json", "--static", "-t", "60", "desk"]
        by_itself = [BIN / "salt-call", "-c", "/etc/alone", "--local", "--out=json"]
        while office.run([*at_master, "test.ping"], check=False).returncode:
            time.sleep(1)
        for command in (at_master, by_itself):
            office.run([*command, "saltutil.sync_all"])
        taken = {}
        for _ in range(count):
            for kind, command in (("through the master", at_master), ("masterless", by_itself)):
                for when in ("first apply", "unchanged"):
                    taken.setdefault(f"{when}, {kind}", []).append(applied(office, command))
                office.run([*command, "state.apply", "spice.absent"])
    finally:
        for daemon in daemons:
            daemon.kill_tree()
    print("Whole runs of state.apply spice with 1,000 grants (seconds)")
    for kind, seconds in sorted(taken.items()):
        print(f"  {kind:44} {statistics.median(seconds):7.2f}   ({min(seconds):.2f} to {max(seconds):.2f})")


def applied(office, command):
    """Return the duration of a whole run."""
    started = time.perf_counter()
    done = office.run([*command, "state.apply", "spice"])
    seconds = time.perf_counter() - started
    (states,) = json.loads(done.stdout).values()
    if not all(state["result"] for state in states.values()):
        raise SystemExit(f"it failed: {[state['comment'] for state in states.values()][:3]}")
    return seconds


def rendering(office, count):
    """Measure part two: the pillar of many minions, compiled as a master does it.

    The pillar has 1,000 grants in one file for each desk: in Salt's usual form, and in the one that docs/fleet.md
    recommends for large fleets.
    """
    print("\nRendering of pillar on the master, 1,000 grants in all (milliseconds of processor time for each minion)")
    for form, head, top in (("usual form", "", by_name()), ("for large fleets", "#!json\n", BY_ID)):
        root = Path(office.path("/srv/bench-pillar"))
        cut_up(root, head, top)
        scratch = root.with_name("bench-scratch")
        scratch.mkdir()
        opts = compiled.options(None, str(scratch), [str(root)], None)
        for kind, name in (("each desk its own 10 grants", "desk"), ("all 1,000 grants", "laptop")):
            for minions in FLEETS if name == "desk" else FLEETS[:2]:
                taken = [rendered(opts, name, minions) for _ in range(count if minions == 1 else 1)]
                spread = f"({min(taken):.1f} to {max(taken):.1f})"
                what = f"{form}: {kind}, {minions:,} minions"
                print(f"  {what:60} {statistics.median(taken):7.1f}   {spread}", flush=True)
        shutil.rmtree(scratch)
        shutil.rmtree(root)


def rendered(opts, name, minions):
    """Return what the pillar of one minion takes, of so many: milliseconds of processor time."""
    compiled.compile_pillar(opts, f"{name}-0", {})  # a master has imported all it needs
    started = time.process_time()
    for number in range(minions):
        found = compiled.compile_pillar(opts, f"{name}-{number % DESKS}", {})
        if found.errors or "spice" not in found.data:
            raise SystemExit(f"no pillar: {found.errors}")
    return 1000 * (time.process_time() - started) / minions


def by_name():
    """Return a top file with a line for each desk, and one for the laptops."""
    top = {f"desk-{number}": [f"desks.d{number}"] for number in range(DESKS)}
    return json.dumps({"base": {**top, "laptop-*": ["desks.*"]}})


def cut_up(root, head, top):
    """Write a pillar of small files: the common part, the grants of each desk, and the mapping of minions to files.

    head
        The first line of each file but the top file.
    """
    data = pillar(100, 10)[0]["spice"]
    grants = list(data.pop("grants").items())
    each = len(grants) // DESKS
    (root / "desks").mkdir(parents=True)
    (root / "common.sls").write_text(head + json.dumps({"spice": data}))
    for number in range(DESKS):
        part = {"include": ["common"], "spice": {"grants": dict(grants[number * each : (number + 1) * each])}}
        (root / "desks" / f"d{number}.sls").write_text(head + json.dumps(part))
    (root / "top.sls").write_text(top)


if __name__ == "__main__":
    sys.exit(main())
