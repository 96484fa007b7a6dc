"""What is played in a run of the suite, by which worker, and in which order."""

import json
import os
import pathlib
import resource
import signal

import pytest
from xdist.scheduler import LoadGroupScheduling

import amount

HERE = pathlib.Path(__file__).parent
# Seconds by group, as last measured; see tools/suite.py, which writes them.
SECONDS = json.loads((HERE / "seconds.json").read_text(encoding="utf-8"))
UNKNOWN = 1.0
OPEN_FILES = 8192


def pytest_addoption(parser):
    """Options of our own."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the expected files in tests/golden anew; look at the difference before you commit it",
    )
    parser.addoption("--full", action="store_true", help="play everything, also what is marked 'full'")
    parser.addoption("--part", default="1/1", metavar="K/N", help="play the K-th of N parts that take about as long")


def pytest_configure(config):
    """Markers of our own, how much there is to be tried, and what no test may depend on."""
    amount.full = config.getoption("full")
    # Who starts the tests by nohup or in the background has signals ignored, and all that they start would ignore them.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
    # What tests may ask for, whatever a login on this machine is left with; they ask for it themselves.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if os.geteuid() == 0 and hard < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, OPEN_FILES))
    config.addinivalue_line("markers", "full: played by 'make test-full' only; what it proves is proven less often")
    config.addinivalue_line("markers", "salt: what a version of Salt can change; played with every Salt")


def group(item):
    """Name what has to stay on one worker: tests that share something costly, or are so cheap that it pays.

    A group is a directory whose tests share a fixture of the session, a module with its own fixtures, by each of their
    parameters, or a module of unit tests. Whatever is left, and every test of properties, is a group of its own.
    """
    path = item.path.relative_to(HERE)
    known = {name: found[-1] for name, found in item._fixtureinfo.name2fixturedefs.items() if not name.startswith("_")}
    shared = {
        name: found.scope for name, found in known.items() if found.baseid and found.scope in ("module", "session")
    }
    if "session" in shared.values():
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leave out what this run does not play; the longest groups come first, so that no worker is left with one."""
    if not config.getoption("full"):
        _keep(config, items, lambda item: item.get_closest_marker("full") is None)
    groups = {item: group(item) for item in items}
    named = {item: groups[item] or f"{item.path.relative_to(HERE)}::{item.name}" for item in items}
    order = sorted(dict.fromkeys(named.values()), key=lambda name: -SECONDS.get(name, UNKNOWN))
    number, _, count = config.getoption("part").partition("/")
    part = parts(order, int(count))
    place = {name: index for index, name in enumerate(order)}
    _keep(config, items, lambda item: part[named[item]] == int(number) - 1)
    items.sort(key=lambda item: place[named[item]])
    for item in items:
        if groups[item] is not None:
            item.add_marker(pytest.mark.xdist_group(groups[item]))


def pytest_collection_finish(session):
    """Insist that pytest-xdist keeps groups together: not every version does with every pytest, nor for every name."""
    if not getattr(session.config.option, "loadgroup", False):
        return
    for item in session.items:
        for mark in item.iter_markers("xdist_group"):
            if LoadGroupScheduling._split_scope(None, item.nodeid) != mark.args[0]:
                raise pytest.UsageError(f"pytest-xdist does not see the group of {item.nodeid}")


def _keep(config, items, wanted):
    left = [item for item in items if not wanted(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if wanted(item)]
