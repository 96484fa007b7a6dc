"""Groups of tests: what stays on one worker, how long it takes, and how a run is dealt out in parts."""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
# Seconds by group, as last measured; see tools/suite.py, which writes them.
SECONDS = json.loads((HERE / "seconds.json").read_text(encoding="utf-8"))
UNKNOWN = 1.0
# Machines that boot share the host's control groups: two systemds at once end each other's services.
TOGETHER = ("booted",)


def group(item):
    """Name what has to stay on one worker: tests that share something costly, or are so cheap that it pays.

    A group is a directory whose tests share a fixture of the session, or what their machines have in common; a module
    with its own fixtures, by each of their parameters; or a module of unit tests. Whatever is left, and every test of
    properties, is a group of its own.
    """
    path = item.path.relative_to(HERE)
    known = {name: found[-1] for name, found in item._fixtureinfo.name2fixturedefs.items() if not name.startswith("_")}
    shared = {
        name: found.scope for name, found in known.items() if found.baseid and found.scope in ("module", "session")
    }
    if "session" in shared.values() or path.parts[0] in TOGETHER:
        return path.parts[0]
    if getattr(item.obj, "is_hypothesis_test", False):
        return None
    if shared:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        chosen = ",".join(str(params[name]) for name in sorted(shared) if isinstance(params.get(name), str))
        return f"{path}:{chosen}" if chosen else str(path)  # pytest-xdist sees no group that has a bracket
    return str(path) if path.parts[0] == "unit" else None


def parts(groups, count):
    """Deal groups, the longest first, each to the part that has the least so far; return the part by group."""
    load, chosen = [0.0] * count, {}
    for name in groups:
        part = min(range(count), key=load.__getitem__)
        chosen[name] = part
        load[part] += SECONDS.get(name, UNKNOWN)
    return chosen
