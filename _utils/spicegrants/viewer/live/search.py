"""Search of local file systems for files that lend the viewer's group, and for copies of viewers."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from spicegrants.core.errors import SystemFault
from spicegrants.host import run
from spicegrants.viewer import search

# It lets all other work go first.
_NICE = ("nice", "-n", "19", "ionice", "-c", "3")
# How many findings of a kind are told, and files compared: users can make as many as they like.
_MOST, _COMPARED = 1000, 10000
_CHUNK = 1 << 16
# Seconds between two signs of life of a search.
_BEAT = 1.0
Progress = Callable[[str, int, int], None]


def everywhere(gid: int, viewers: Iterable[str], seconds: float, progress: Progress) -> dict[str, Any]:
    """Return set-GID files of a group, copies of viewers, unsearched mounts, and why the search is incomplete.

    gid
        GID of the viewer's group.

    viewers
        Paths of the viewers themselves.

    seconds
        Time limit.

    progress
        Takes what is done, how much of it is, and how much there is.

    Runs ``find``, and follows no link. The keys are those of ``spice_viewer.status``.
    """
    run.as_root()
    deadline = time.monotonic() + seconds
    known = search.mounts(Path("/proc/self/mountinfo").read_bytes())
    searched, skipped = search.local(known, search.block_kinds(Path("/proc/filesystems").read_text(encoding="ascii")))
    originals = {path: os.stat(path).st_size for path in viewers}
    setgid: dict[tuple[int, int, bytes], search.FoundFile] = {}
    alike: dict[tuple[int, int, bytes], search.FoundFile] = {}
    missed: list[str] = []
    harmless = set()
    mounts = list(_once(searched))
    for done, mount in enumerate(mounts):
        expression = search.expression(mount, known, gid, originals.values())
        place = f"file systems, now {search.quoted(mount.point)}"
        printed, complaint = _find(expression, deadline, partial(progress, place, done, len(mounts)))
        missed += [f"{search.quoted(mount.point)}: {complaint}"] if complaint else []
        for each in search.files_in(printed):
            key = each.device, each.inode, each.path
            if each.gid == gid and each.mode & stat.S_ISGID:
                setgid[key] = each
                if "nosuid" in mount.options:
                    harmless.add(key)
            if each.size in originals.values() and os.fsdecode(each.path) not in originals:
                alike[key] = each
    copies, hindrance = _copies(alike.values(), originals, deadline, progress)
    missed += [hindrance] if hindrance else []
    by_path = sorted(setgid.items(), key=lambda item: item[1].path)
    entries = [{**_entry(each), "nosuid": key in harmless} for key, each in by_path]
    return {
        "setgid": entries[:_MOST],
        "copies": copies[:_MOST],
        "unsearched": sorted(f"{search.quoted(mount.point)} ({mount.kind})" for mount in skipped),
        "incomplete": missed + [f"{len(all_)} found, {_MOST} told" for all_ in (entries, copies) if len(all_) > _MOST],
    }


def _once(searched: list[search.Mount]) -> Iterator[search.Mount]:
    """Yield mounts, except those that can be seen completely by way of another."""
    candidates = list(searched)
    for mount in searched:
        others = [other for other in candidates if other != mount]
        if mount.upper is not None and os.path.isdir(mount.upper):
            # What anybody wrote in an overlay lies there, and is searched there.
            candidates = others
        elif any(_same(mount.point, path) for path in search.twice(mount, others)):
            candidates = others
        else:
            yield mount


def _same(one: bytes, other: bytes) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False


def _find(expression: list[bytes], deadline: float, beat: Callable[[], None]) -> tuple[bytes, str | None]:
    """Run find; return its output, and what kept it from seeing everything. ``beat`` is called once a second."""
    command: list[str | bytes] = [run.find(_NICE[0]), *_NICE[1:], "find", *expression]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=run.ENVIRONMENT,
            cwd="/",
        )
    except OSError as error:
        raise SystemFault(f"find cannot be run: {error}") from error
    with process:
        try:
            printed, errors = _communicated(process, deadline, beat)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.communicate()[0], "not searched to the end, for lack of time"
        except BaseException:
            process.kill()
            raise
    messages = errors.splitlines()
    return printed, f"{search.quoted(messages[0])} ({len(messages)} messages)" if messages else None


def _communicated(process: subprocess.Popen[bytes], deadline: float, beat: Callable[[], None]) -> tuple[bytes, bytes]:
    """Return what a process prints; raise subprocess.TimeoutExpired if it does not end before the deadline."""
    while True:
        beat()
        left = max(0.0, deadline - time.monotonic())
        try:
            return process.communicate(timeout=min(left, _BEAT))
        except subprocess.TimeoutExpired:
            if left <= _BEAT:
                raise


def _entry(each: search.FoundFile) -> dict[str, Any]:
    return {"path": search.quoted(each.path), "uid": each.uid, "mode": f"{each.mode:04o}"}


def _copies(
    alike: Iterable[search.FoundFile], originals: Mapping[str, int], deadline: float, progress: Progress
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the files with the content of a viewer, and why not all were compared."""
    contents = {path: Path(path).read_bytes() for path in originals}
    found: list[dict[str, Any]] = []
    compared = sorted(alike, key=lambda one: one.path)
    for number, each in enumerate(compared):
        progress("files of a viewer's size", number, len(compared))
        if number == _COMPARED or time.monotonic() > deadline:
            return found, f"{number} files of a viewer's size were compared, not all"
        of = _content_of(each, contents)
        if of is not None:
            found.append({**_entry(each), "of": of})
    return found, None


def _content_of(each: search.FoundFile, contents: Mapping[str, bytes]) -> str | None:
    """Return the viewer with the same content as a file; ``None`` if it is none, or not that file any more."""
    try:
        descriptor = _opened(each.path)
    except OSError:
        return None
    with open(descriptor, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        candidates, place = [path for path, content in contents.items() if len(content) == each.size], 0
        while candidates and place <= each.size:
            # Of a file that grows meanwhile no more is read; what is not alike ends it soon.
            chunk = stream.read(_CHUNK)
            candidates = [path for path in candidates if contents[path][place : place + _CHUNK] == chunk]
            place += _CHUNK
        return candidates[0] if candidates else None


def _opened(path: bytes) -> int:
    """Open a file for reading, step by step: follow no link, refuse no path as too long, wait for nothing."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    *directories, name = path.strip(b"/").split(b"/")
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for directory in directories:
            below = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        return os.open(name, flags, dir_fd=here)
    finally:
        os.close(here)
