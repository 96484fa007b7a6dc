"""Resolve the names of servers, and read the certificates that consoles are verified with, and their passwords."""

from __future__ import annotations

import functools
import re
import socket
import ssl
from collections.abc import Mapping

from spicegrants.core import validation
from spicegrants.core.entries import File
from spicegrants.core.errors import Finding, SystemFault
from spicegrants.host import disk
from spicegrants.policy.model import Policy, Secret


def addresses(
    policy: Policy, known: Mapping[str, tuple[str, ...]], asking: bool = True
) -> tuple[dict[str, tuple[str, ...]], list[Finding]]:
    """Return each server's addresses: the declared ones, or all that its name resolves to now.

    known
        Addresses of the run before; a server whose name does not resolve keeps them, and is reported all the same.

    asking
        Whether names that are known already are resolved again.
    """
    found: dict[str, tuple[str, ...]] = {}
    findings = []
    for server in policy.servers.values():
        if server.addresses:
            found[server.name] = server.addresses
            continue
        if not asking and known.get(server.name):
            found[server.name] = known[server.name]
            continue
        path = f"spice:servers:{server.name}:host"
        try:
            answers = socket.getaddrinfo(server.host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            earlier = known.get(server.name, ())
            then = f"it keeps {', '.join(earlier)}" if earlier else "its consoles stay closed"
            findings.append(Finding(path, f"{server.host!r} does not resolve ({error}): {then}"))
            if earlier:
                found[server.name] = earlier
            continue
        resolved = {validation.address(str(answer[4][0])) for answer in answers}
        usable = sorted(address for address in resolved if address and validation.usable_address(address))
        if usable:
            found[server.name] = tuple(usable)
        else:
            findings.append(Finding(path, f"{server.host!r} resolves to no usable address: its consoles stay closed"))
    return found, findings


def authorities(policy: Policy) -> tuple[dict[str, str], list[Finding]]:
    """Return the PEM text of each server that declares a ``ca``, read from the minion where it is a path."""
    found: dict[str, str] = {}
    findings = []
    for server in policy.servers.values():
        if server.ca is None:
            continue
        text, complaint = authority(server.ca) if server.ca.startswith("/") else (server.ca, _refusal(server.ca))
        if complaint:
            findings.append(Finding(f"spice:servers:{server.name}:ca", f"{complaint}: its consoles stay closed"))
        else:
            found[server.name] = text
    return found, findings


def authority(path: str) -> tuple[str, str | None]:
    """Return the certificates in a file that nobody but root can change, or what is wrong with it."""
    try:
        file = _looked_at(path)
    except SystemFault as error:
        return "", str(error)
    if isinstance(file, str):
        return "", f"{path} {file}"
    if file.uid != 0 or file.mode & 0o022:
        return "", f"{path} can be changed by others than root"
    text, complaint = validation.certificates(file.content.decode("latin-1"))
    complaint = complaint or _refusal(text)
    return ("", f"{path} {complaint}") if complaint else (text, None)


@functools.lru_cache(maxsize=64)
def _refusal(text: str) -> str | None:
    """Say which certificate of a text OpenSSL refuses; ``None`` if it refuses none."""
    marks = [at.start() for at in re.finditer("-----BEGIN", text)]
    for number, (start, end) in enumerate(zip(marks, [*marks[1:], len(text)]), 1):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text[start:end])
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error)
            return f"has a certificate that OpenSSL cannot read, number {number} ({reason})"
    return None


def _looked_at(path: str) -> File | str:
    """Return a file, or say why it is not trusted. Where others could swap it, it is not opened."""
    directory = disk.replaceable(path)
    if directory is not None:
        return f"can be replaced by others than root: they may write in {directory}"
    entry = disk.read(path)
    if entry is None:
        return "is not on this machine"
    return entry if isinstance(entry, File) else "is no regular file"


def passwords(policy: Policy) -> tuple[dict[str, Secret], list[Finding]]:
    """Return by vm the passwords in files of root's that nobody else can read."""
    found: dict[str, Secret] = {}
    findings = []
    for vm in policy.vms.values():
        if vm.password_file is None:
            continue
        text, complaint = _password(vm.password_file)
        if complaint:
            message = f"{vm.password_file} {complaint}: the console stays closed"
            findings.append(Finding(f"spice:vms:{vm.name}:password", message))
        else:
            found[vm.name] = Secret(text)
    return found, findings


def _password(path: str) -> tuple[str, str | None]:
    """Return the password in a file that nobody but root can read, or what is wrong with it."""
    try:
        file = _looked_at(path)
    except SystemFault as error:
        return "", str(error)
    if isinstance(file, str):
        return "", file
    if file.uid != 0 or file.mode & 0o077 or file.reader is not None:
        return "", "can be read by others than root"
    text = file.content.decode("utf-8", "replace").rstrip("\n")
    return text, validation.password(text)
