"""Run the test suite: its lanes beside each other, what they print as it comes, and one table at the end.

A lane is a run of pytest: ``suite`` with the Salt of development, ``daemons`` in a machine of their own because they
change the machine that they run on, and one lane for the oldest Salt, or each older one in a full run. Reports in
JUnit's form go to ``build/junit``.
"""

import argparse
import collections
import contextlib
import ctypes
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "junit"
SECONDS = ROOT / "tests" / "seconds.json"
PYTHON = ROOT / ".venv" / "bin" / "python"
PYTEST = [str(PYTHON), "-m", "pytest", "-v", "--color=no"]
DAEMONS = "tests/daemons"
OLDER = ("salt-3006", "salt-3007")
WHOLE = "1/1"
SLOWEST = 25
WORTH_NOTING = 2.0  # seconds
REASON = 8  # lines of a failure in the summary
EVERY = 20  # seconds between two lines of progress
# A line of pytest about one case, with or without a worker before it; those of its end say how it went.
CASE = re.compile(r"(\[gw\d+\] \[ *\d+%\] [A-Z]+ )?tests/\S+::")
OUTCOME = re.compile(r"(?:^\[gw\d+\] \[ *\d+%\] | )(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
PERCENT = re.compile(r"\[ *(\d+)%\]")
PDEATHSIG = 1
NO_TESTS = 5  # exit code of pytest


class Lane:
    """One run of pytest, and its result."""

    def __init__(self, name, command, reports, *, enclosed=False, may_be_empty=False):
        self.name, self.command, self.enclosed = name, [str(word) for word in command], enclosed
        self.may_be_empty = may_be_empty
        self.report = reports / f"{name}.xml"
        self.code = self.seconds = None
        self.cases = []

    def run(self, show):
        """Run the lane to its end; ``show`` gets each line."""
        begun = time.monotonic()
        with open(self.report, "wb") as report:
            # In a machine of its own a lane can write no file of this one, but what was opened for it.
            target = f"/dev/fd/{report.fileno()}" if self.enclosed else self.report
            process = subprocess.Popen(
                [*self.command, f"--junitxml={target}"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[report.fileno()],
                preexec_fn=_end_with_parent,
                encoding="utf-8",
                errors="replace",
            )
            progress = Progress()
            with process:
                for line in process.stdout:
                    for said in progress.lines(line.rstrip()):
                        show(f"{self.name}: {said}")
        empty = self.may_be_empty and process.returncode == NO_TESTS
        self.code, self.seconds = 0 if empty else process.returncode, time.monotonic() - begun
        with contextlib.suppress(ElementTree.ParseError):
            self.cases = [Case(self.name, found) for found in ElementTree.parse(self.report).iter("testcase")]  # noqa: S314

    @property
    def failed(self):
        """The number of failed cases; a lane that ended badly without one counts as one."""
        failed = sum(case.outcome == "failed" for case in self.cases)
        return failed or int(self.code not in (0, None))


class Progress:
    """pytest's output in few lines: failures at once, progress now and then, and everything about no single case."""

    def __init__(self):
        self.outcomes = collections.Counter()
        self.shown = time.monotonic()

    def lines(self, line):
        """Return the lines to show for a line of output."""
        if CASE.match(line) is None:
            return [line] if line else []
        found = OUTCOME.search(line)
        if found is None:
            return []
        self.outcomes[found.group(1).lower()] += 1
        shown = [line] if found.group(1) in ("FAILED", "ERROR") else []
        if time.monotonic() > self.shown + EVERY:
            self.shown = time.monotonic()
            far = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
            shown.append(f"[{PERCENT.search(line).group(1)} %] {far}")
        return shown


class Case:
    """A case of a JUnit report."""

    def __init__(self, lane, element):
        name, _, group = element.get("name").rpartition("@")
        self.name, self.group = (name, group) if name and "]" not in group else (element.get("name"), "")
        self.lane, self.module = lane, element.get("classname")
        self.seconds = float(element.get("time"))
        kinds = {child.tag: child for child in element}
        fault = kinds.get("failure", kinds.get("error"))
        self.outcome = "skipped" if "skipped" in kinds else "passed" if fault is None else "failed"
        self.reason = "" if fault is None else fault.get("message", "")

    @property
    def place(self):
        """The key in ``tests/seconds.json`` of the group that this case belongs to."""
        path = self.module.removeprefix("tests.").replace(".", "/")
        return self.group or f"{path}.py::{self.name}"


def _end_with_parent():
    """Make the lanes end with this process, however it ends; the machines of a lane end with the lane."""
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def lanes(options):
    """Return two queues of lanes, which run in parallel."""
    # Of a lane with few groups there may be nothing in some part.
    made = functools.partial(Lane, reports=options.reports.resolve(), may_be_empty=options.part != WHOLE)
    wide = ["-n", options.workers, "--dist", "loadgroup", "--no-loadscope-reorder"]
    chosen = [*(["--full"] if options.full else []), f"--part={options.part}", *options.arguments]
    here = [path for path in options.tests if not path.startswith(DAEMONS)]
    there = [path for path in options.tests if path.startswith(DAEMONS)]
    ignored = [f"--ignore={DAEMONS}"] if options.tests == ["tests"] else []
    first = [made("suite", [*PYTEST, *here, *ignored, *wide, *chosen])] if here else []
    second, older = [], []
    if there or ignored:
        inside = [PYTHON, "-m", "scene", "run", "--name", "daemons", "--", *PYTEST, "-p", "no:cacheprovider"]
        second.append(made("daemons", [*inside, *(there or [DAEMONS]), *chosen], enclosed=True))
    if ignored or options.salts:
        only = [] if options.full else ["-m", "salt"]
        tests = ["tests/unit", "tests/functional"] if ignored else here
        # The oldest Salt is the farthest from that of development; what is between them is for a full run.
        for name in OLDER if options.full or options.salts else OLDER[:1]:
            nox = [PYTHON, "-m", "nox", "-R", "--sessions", name, "--", "-v", *tests, *only]
            older.append(made(name, [*nox, "-n", "2", *wide[2:], *chosen]))
    # Older Salts behind the daemons: so both queues take about as long.
    return ([], older) if options.salts else (first, [*second, *older])


def play(queues):
    """Run the queues; print the lines of all as they come."""
    printing = threading.Lock()

    def show(line):
        with printing:
            print(line, flush=True)

    def through(queue):
        for lane in queue:
            lane.run(show)

    threads = [threading.Thread(target=through, args=(queue,), daemon=True) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def slowest(title, seconds):
    """Return lines with the slowest entries."""
    yield f"\nslowest {title}"
    for name, spent in sorted(seconds.items(), key=lambda item: -item[1])[:SLOWEST]:
        yield f"{spent:8.1f} s  {name}"


def summary(played, seconds):
    """Return lines with the totals of all lanes."""
    cases = [case for lane in played for case in lane.cases]
    modules = collections.Counter()
    for case in cases:
        modules[f"{case.lane}: {case.module}"] += case.seconds
    yield from slowest("modules", modules)
    yield from slowest("cases", {f"{case.lane}: {case.module}::{case.name}": case.seconds for case in cases})
    row = "{:<12} {:>7} {:>7} {:>7} {:>8} {:>8}".format
    yield "\n" + row("part", "cases", "passed", "failed", "skipped", "seconds")
    total = collections.Counter()
    for lane in played:
        counts = collections.Counter(case.outcome for case in lane.cases)
        counts["failed"] = lane.failed
        total.update(counts)
        yield row(lane.name, sum(counts.values()), *_counts(counts), f"{lane.seconds:.0f}")
    yield row("all", sum(total.values()), *_counts(total), f"{seconds:.0f}")
    yield "\n{} passed, {} failed, {} skipped".format(*_counts(total))
    # Last of all: who keeps only the end of an output still reads what failed.
    for lane in played:
        failed = [case for case in lane.cases if case.outcome == "failed"]
        for case in failed:
            yield f"failed: {lane.name}: {case.module}::{case.name}"
            yield textwrap.indent("\n".join(case.reason.splitlines()[:REASON]), "    ")
        if lane.failed and not failed:
            yield f"failed: {lane.name}: pytest ended with {lane.code}, and its report names no case"


def _counts(counts):
    return counts["passed"], counts["failed"], counts["skipped"]


def note_seconds(played, everything):
    """Store each group's duration, for the order and the parts of the next run.

    everything
        Whether everything was run, so that no other entry needs to be kept.
    """
    spent = collections.Counter()
    for lane in played:
        for case in lane.cases:
            if lane.name not in OLDER:
                spent[case.place] += case.seconds
    known = {} if everything else json.loads(SECONDS.read_text(encoding="utf-8"))
    known.update({place: round(seconds, 1) for place, seconds in spent.items()})
    kept = {place: seconds for place, seconds in sorted(known.items()) if seconds >= WORTH_NOTING}
    SECONDS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="play everything, with all Salts and mechanisms")
    parser.add_argument("--salts", action="store_true", help="play with the older Salts only")
    parser.add_argument("--part", default=WHOLE, metavar="K/N", help="play one of N parts that take about as long")
    parser.add_argument("--workers", default="4", metavar="N", help="workers of the largest lane; 4 without")
    parser.add_argument("--reports", type=pathlib.Path, default=REPORTS, metavar="PATH", help="where JUnit's files go")
    parser.add_argument("--note-seconds", action="store_true", help="keep how long groups of tests took")
    parser.add_argument("--tests", nargs="+", default=["tests"], metavar="PATH", help="what to play; all without")
    parser.add_argument("arguments", nargs="*", metavar="-- ARGUMENT", help="further arguments for pytest")
    options = parser.parse_args(argv)
    options.reports.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    queues = lanes(options)
    with contextlib.suppress(KeyboardInterrupt):
        play(queues)
    played = [lane for queue in queues for lane in queue if lane.code is not None]
    for line in summary(played, time.monotonic() - begun):
        print(line)
    if options.note_seconds:
        note_seconds(played, options.full and options.part == WHOLE and options.tests == ["tests"])
    whole = len(played) == sum(map(len, queues))
    return 0 if whole and all(lane.code == 0 for lane in played) else 1


if __name__ == "__main__":
    sys.exit(main())
