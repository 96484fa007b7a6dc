"""Look at a user's desktop for the opener: find sockets and cookie, by a process with the user's own rights.

Files at paths that a user chose are opened with the user's rights and nobody else's, within some seconds. The result is
not trusted: a descriptor must be that of a socket or directory, and a cookie is read as one.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import stat
from collections.abc import Mapping

from spicegrants.core.accounts import Account
from spicegrants.core.errors import SystemFault

# Seconds that the user's file systems may take.
PATIENCE = 10
_LARGEST = 65536
_PR_SET_DUMPABLE = 4


def look(account: Account, paths: Mapping[str, tuple[str, int]], cookie: str) -> tuple[dict[str, int], bytes]:
    """Return descriptors of existing sockets and directories, and the content of the cookie file.

    paths
        By name: each path, and its required kind (``stat.S_IFSOCK``, or ``stat.S_IFDIR`` for a directory of the
        user's).

    cookie
        Path of the file; empty content if there is none.

    Raises :class:`~spicegrants.core.errors.SystemFault` if it takes too long, or if the cookie file cannot be used.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            ours.close()
            _become(account)
            names, descriptors = _opened(paths)
            answer = {"names": names, **_cookie(cookie)}
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


def _cookie(path: str) -> dict[str, str]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return {"problem": "is no regular file"}
        with open(descriptor, "rb") as stream:
            content = stream.read(_LARGEST + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        return {"problem": f"cannot be read: {error.strerror}"}
    if len(content) > _LARGEST:
        return {"problem": f"is larger than {_LARGEST} bytes"}
    return {"cookie": base64.b64encode(content).decode()}


def _receive(channel: socket.socket, account: Account, kinds: Mapping[str, int]) -> tuple[dict[str, int], bytes]:
    if not select.select([channel], [], [], PATIENCE)[0]:
        raise SystemFault(f"your desktop could not be looked at within {PATIENCE} seconds")
    message, descriptors, _, _ = socket.recv_fds(channel, 4 * _LARGEST, len(kinds))
    if not message:
        raise SystemFault("your desktop could not be looked at")
    answer = json.loads(message)
    if "problem" in answer:
        raise SystemFault(f"the file with your display's cookies {answer['problem']}")
    found = dict(zip(answer["names"], descriptors))
    known = {name: fd for name, fd in found.items() if name in kinds and _usable(fd, kinds[name], account.uid)}
    return known, base64.b64decode(answer.get("cookie", ""))


def _usable(descriptor: int, kind: int, uid: int) -> bool:
    status = os.fstat(descriptor)
    return stat.S_IFMT(status.st_mode) == kind and (kind == stat.S_IFSOCK or status.st_uid == uid)
