"""What is played in a run of the suite, by which worker, and in which order."""

import collections
import signal

import lifetime
import pytest
from xdist.scheduler import LoadGroupScheduling

import amount
import groups
from checkout import commit


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
    lifetime.end_with_controller(config)
    config.addinivalue_line("markers", "full: played by 'make test-full' only; what it proves is proven less often")
    config.addinivalue_line("markers", "turns(every): each commit plays one of so many cases, a full run all of them")
    config.addinivalue_line("markers", "salt: what a version of Salt can change; played with every Salt")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leave out what this run does not play; the longest groups come first, so that no worker is left with one."""
    if not config.getoption("full"):
        _keep(config, items, lambda item: item.get_closest_marker("full") is None)
        _take_turns(config, items)
    found = {item: groups.group(item) for item in items}
    named = {item: found[item] or f"{item.path.relative_to(groups.HERE)}::{item.name}" for item in items}
    order = sorted(dict.fromkeys(named.values()), key=lambda name: -groups.SECONDS.get(name, groups.UNKNOWN))
    number, _, count = config.getoption("part").partition("/")
    part = groups.parts(order, int(count))
    place = {name: index for index, name in enumerate(order)}
    _keep(config, items, lambda item: part[named[item]] == int(number) - 1)
    items.sort(key=lambda item: place[named[item]])
    for item in items:
        if found[item] is not None:
            item.add_marker(pytest.mark.xdist_group(found[item]))


def pytest_collection_finish(session):
    """Insist that pytest-xdist keeps groups together: not every version does with every pytest, nor for every name."""
    if not getattr(session.config.option, "loadgroup", False):
        return
    for item in session.items:
        for mark in item.iter_markers("xdist_group"):
            if LoadGroupScheduling._split_scope(None, item.nodeid) != mark.args[0]:
                raise pytest.UsageError(f"pytest-xdist does not see the group of {item.nodeid}")


def _take_turns(config, items):
    """Leave out the cases whose turn it is with another commit."""
    cases, left = collections.defaultdict(list), set()
    for item in items:
        if (mark := item.get_closest_marker("turns")) is not None:
            cases[item.parent.nodeid, item.originalname, mark.args[0]].append(item)
    for (_, _, every), each in cases.items():
        # Whoever names a single case wants it.
        if len(each) >= every:
            left.update(item for number, item in enumerate(each) if not amount.its_turn(number, every, commit()))
    _keep(config, items, lambda item: item not in left)


def _keep(config, items, desired):
    left = [item for item in items if not desired(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if desired(item)]
