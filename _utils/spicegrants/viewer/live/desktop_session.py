"""Look at a user's desktop for the opener: find sockets and cookie, by a process with the user's own rights.

Files at paths that a user chose are opened with the user's rights and nobody else's, within some seconds. The result is
not trusted: a descriptor must be that of a socket or directory, and a cookie is sixteen bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import stat
from collections.abc import Mapping
from typing import NamedTuple

from spicegrants.core.accounts import Account
from spicegrants.core.errors import SystemFault
from spicegrants.viewer import xauth

# Seconds that the user's file systems may take.
PATIENCE = 10
# What is read of a cookies' file, and the longest answer, in bytes.
_READ, _ANSWER = 262144, 65536
_PR_SET_DUMPABLE = 4


class Found(NamedTuple):
    """What was found of a desktop.

    descriptors
        By name: descriptors of existing sockets and directories.

    cookie
        Sixteen bytes that open the display; ``None`` if there are none.

    problem
        What is wrong with the cookies' file, if anything is. Without a cookie a display may let its user in all the
        same.
    """

    descriptors: dict[str, int]
    cookie: bytes | None = None
    problem: str | None = None


def look(account: Account, paths: Mapping[str, tuple[str, int]], cookies: str, display: str | None) -> Found:
    """Look at the sockets, directories and cookies of a user.

    paths
        By name: each path, and its required kind (``stat.S_IFSOCK``, or ``stat.S_IFDIR`` for a directory of the
        user's).

    cookies
        Path of the file with the cookies of displays.

    display
        Number of the display whose cookie is wanted; ``None`` for none.

    Raises :class:`~spicegrants.core.errors.SystemFault` if it takes too long.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            ours.close()
            _become(account)
            names, descriptors = _opened(paths)
            answer = {"names": names, **(_cookie(cookies, display) if display is not None else {})}
            socket.send_fds(theirs, [json.dumps(answer).encode()], descriptors)
            code = 0
        finally:
            os._exit(code)
    theirs.close()
    try:
        return _receive(ours, account, {name: kind for name, (_, kind) in paths.items()})
    finally:
        ours.close()
        os.kill(child, signal.SIGKILL)
        # It is not waited for: a file system of the user's, in user space, may hold even what was killed.
        os.waitpid(child, os.WNOHANG)


def _become(account: Account) -> None:
    os.initgroups(account.name, account.gid)
    os.setresgid(account.gid, account.gid, account.gid)
    # The opener's knowledge is in this memory as well, and fs.suid_dumpable alone must not decide whether the user gets
    # at it. While the saved UID is root's, they do not, and giving that up leaves alone what prctl has set.
    os.setresuid(account.uid, account.uid, 0)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.setresuid(account.uid, account.uid, account.uid)


def _opened(paths: Mapping[str, tuple[str, int]]) -> tuple[list[str], list[int]]:
    names, descriptors = [], []
    for name, (path, _) in paths.items():
        with contextlib.suppress(OSError):
            descriptors.append(os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC))
            names.append(name)
    return names, descriptors


def _cookie(path: str, display: str) -> dict[str, str]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            # Some desktops name /dev/null where they need no cookie.
            return (
                {} if os.path.samestat(os.fstat(descriptor), os.stat(os.devnull)) else {"problem": "is no regular file"}
            )
        with open(descriptor, "rb") as stream:
            found = xauth.cookie(stream.read(_READ), display, socket.gethostname())
    except FileNotFoundError:
        return {}
    except OSError as error:
        return {"problem": f"cannot be read: {error.strerror}"}
    return {} if found is None else {"cookie": found.hex()}


def _receive(channel: socket.socket, account: Account, kinds: Mapping[str, int]) -> Found:
    if not select.select([channel], [], [], PATIENCE)[0]:
        raise SystemFault(f"your desktop could not be looked at within {PATIENCE} seconds")
    message, descriptors, _, _ = socket.recv_fds(channel, _ANSWER, len(kinds))
    if not message:
        raise SystemFault("your desktop could not be looked at")
    answer = json.loads(message)
    found = dict(zip(answer["names"], descriptors))
    known = {name: fd for name, fd in found.items() if name in kinds and _usable(fd, kinds[name], account.uid)}
    return Found(known, bytes.fromhex(answer["cookie"]) if "cookie" in answer else None, answer.get("problem"))


def _usable(descriptor: int, kind: int, uid: int) -> bool:
    status = os.fstat(descriptor)
    return stat.S_IFMT(status.st_mode) == kind and (kind == stat.S_IFSOCK or status.st_uid == uid)
