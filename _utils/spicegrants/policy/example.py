"""A first pillar, as text: what was seen of a machine in its place, the names of the README where nothing was."""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from spicegrants.core import validation
from spicegrants.core.accounts import Account
from spicegrants.core.yaml_text import spelled
from spicegrants.policy.merge import grant_name
from spicegrants.policy.model import join_ranges, port_words

# How many users are named: it is an example, and no list of an office.
MOST_USERS = 4
_MOST_CONSOLES = 20
# Where the kernel's and Debian's users begin and end if login.defs(5) does not say so.
_PEOPLE = (1000, 60000)
_BOUND = re.compile(r"^\s*(UID_MIN|UID_MAX)\s+(0x[0-9A-Fa-f]{1,8}|[0-9]{1,10})\s*$", re.MULTILINE)
# As whom nobody logs in.
_NO_SHELLS = ("", "false", "halt", "nologin", "shutdown", "sync")
_USERS = ("myself", "mybro")
_SERVER, _HOST, _ADDRESS = "mysrv", "mysrv.anraconc.de", "192.168.2.2"
_PORTS, _AUTHORITY = "20001-20010", "/etc/pki/spice/ca-cert.pem"
_FILL_IN = "fill in: "


class Console(NamedTuple):
    """A console that libvirt defines: its name, TLS port, and plain port, if it has one; ``auto``: they may change."""

    name: str
    tls_port: int
    port: int | None = None
    auto: bool = False


class Seen(NamedTuple):
    """What was seen of a machine: names of people, path of an authority, host name, and consoles of its own."""

    people: tuple[str, ...] = ()
    authority: str | None = None
    host: str | None = None
    consoles: tuple[Console, ...] = ()


_CONSOLES = (Console("debianx", 20002), Console("leaptest", 20004))


def people(accounts: Iterable[tuple[Account, str]], login_defs: str) -> tuple[str, ...]:
    """Return the names of accounts that look like a person's, by UID; those that can be granted nothing are left out.

    accounts
        Accounts, each with its shell.

    login_defs
        Text of /etc/login.defs.
    """
    bounds = {name: int(number, 0 if number[:2] == "0x" else 10) for name, number in _BOUND.findall(login_defs)}
    low, high = bounds.get("UID_MIN", _PEOPLE[0]), bounds.get("UID_MAX", _PEOPLE[1])
    found: dict[int, list[str]] = {}
    for account, shell in accounts:
        if account.uid and low <= account.uid <= high and shell.rpartition("/")[2] not in _NO_SHELLS:
            found.setdefault(account.uid, []).append(account.name)
    # Of two names with one UID neither gets anything.
    return tuple(
        names[0] for _, names in sorted(found.items()) if len(names) == 1 and not validation.account_name(names[0])
    )


def console(name: str, definition: str) -> Console | None:
    """Return the console of a domain's definition, libvirt's XML; ``None`` if it has none on a TLS port."""
    # Without a document type there are no entities, and libvirt writes none.
    if "<!DOCTYPE" in definition:
        return None
    try:
        graphics = xml.fromstring(definition).findall("./devices/graphics[@type='spice']")  # noqa: S314 - no entities
    except (xml.ParseError, ValueError):
        return None
    for each in graphics:
        tls_port = _port(each.get("tlsPort"))
        if tls_port is not None:
            return Console(name, tls_port, _port(each.get("port")), each.get("autoport") == "yes")
    return None


def _port(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,5}", text) and 1 <= int(text) <= 65535 else None


def pillar(seen: Seen) -> str:
    """Return the text of a pillar, YAML, which this extension's own parser takes."""
    consoles = _consoles(seen.consoles) or _CONSOLES
    own = consoles is not _CONSOLES
    host = seen.host if own and seen.host and not validation.host_name(seen.host) else _HOST
    label = host.partition(".")[0]
    server = label if own and not validation.object_name(label) else _SERVER
    lines = [
        "# Who may open which SPICE console. Change what is to be filled in; docs/keys.md has all keys.",
        "# 'spice-grant-check FILE' says whether it is good, 'salt-call state.apply spice test=True' what changes.",
        "spice:",
        "  servers:",
        f"    {spelled(server)}:",
        *_server(seen, consoles if own else (), host),
        f"  vms:  # {'as libvirt defines them on this machine' if own else f'{_FILL_IN}consoles and their TLS ports'}",
        *(_vm(each, server) for each in consoles),
        f"  grants:  # {_FILL_IN}who may open what; none of these was asked for",
        *_grants(seen.people[:MOST_USERS] or _USERS, consoles),
    ]
    return "\n".join(lines) + "\n"


def _consoles(found: Iterable[Console]) -> tuple[Console, ...]:
    """Return the consoles that one pillar can hold: with usable names, each with a port of its own."""
    by_port: dict[int, Console] = {}
    for each in sorted(found, key=lambda each: each[:2]):
        if not validation.object_name(each.name):
            by_port.setdefault(each.tls_port, each)
    return tuple(sorted(by_port.values(), key=lambda each: each.name)[:_MOST_CONSOLES])


def _server(seen: Seen, consoles: Iterable[Console], host: str) -> list[str]:
    ports = port_words(join_ranges((port, port) for each in consoles for port in (each.tls_port, each.port) if port))
    authority = seen.authority if seen.authority and not validation.path(seen.authority) else None
    if ports:
        addresses = "# addresses: [...]  # all of them; without it the name is resolved at each run"
    else:
        addresses = f"addresses: [{_ADDRESS}]  # {_FILL_IN}all of them"
    guarded = "closed to all but granted users, TLS and plain ports alike"
    lines = [
        f"host: {spelled(host)}  # {_FILL_IN}the name in the certificate",
        addresses,
        f"ports: [{ports or _PORTS}]  # {_FILL_IN}{guarded}",
        f"ca: {authority or _AUTHORITY}  # {'seen here' if authority else f'{_FILL_IN}a file on each workstation'}",
    ]
    return [f"      {line}" for line in lines]


def _vm(each: Console, server: str) -> str:
    note = "  # libvirt chose the port (autoport): set a fixed one" if each.auto else ""
    return f"    {spelled(each.name)}: {{server: {spelled(server)}, tls_port: {each.tls_port}}}{note}"


def _grants(users: Iterable[str], consoles: tuple[Console, ...]) -> list[str]:
    """Return a grant for each user, of one console after the other."""
    found: Mapping[str, str] = {}
    for index, user in enumerate(users):
        vm = consoles[index % len(consoles)].name
        name = grant_name(user, vm, found)
        found = {**found, name: f"    {spelled(name)}: {{user: {spelled(user)}, vm: {spelled(vm)}}}"}
    return list(found.values())
