"""Pillar parser: checks everything, and reports all findings at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, Union

from spicegrants.core import validation
from spicegrants.core.errors import Finding, PolicyError
from spicegrants.core.reader import Node, complete, quote
from spicegrants.policy.model import (
    ABOUT,
    ALLOWED,
    EXCLUSIVE,
    SHARING,
    SSH_PORT,
    WARN,
    Desk,
    Firewall,
    Grant,
    Policy,
    PortRange,
    Routing,
    Secret,
    Server,
    Sudo,
    Time,
    Viewer,
    Vm,
    join_ranges,
)
from spicegrants.schedule import instants, weekly

_DAY = 86400
# The prefix of a password that sdb, Salt's own storage for secrets, keeps.
SDB = "sdb://"
# What pillar need not declare.
_PARTS = ("vm_groups", "schedules", "time", "viewer", "firewall", "routing", "sudo", "desks")
_LIMITS = ("schedule", "valid_from", "valid_until", "on_end", "grace", "warn")
_TICKETS = ("minion", "host_key", "ssh_port")
# Of a desk: each session of it takes as many places in the kernel of a KVM host.
_MOST_ADDRESSES = 16
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


ZoneCheck = Callable[[str], Union[str, None]]
_T = TypeVar("_T")


def parse_policy(data: Any, root: str = "spice", zone_complaint: ZoneCheck = weekly.zone_complaint) -> Policy:
    """Parse the pillar's ``spice`` mapping into a policy.

    data
        Plain data, as the pillar holds it. Not trusted in any way.

    root
        Where the data stands, for the paths in findings. Defaults to ``spice``.

    zone_complaint
        Says what is wrong with the name of a time zone, if anything is. Defaults to the check by this machine's zones.

    Raises :class:`~spicegrants.core.errors.PolicyError` with all findings if anything is wrong.
    """
    findings: list[Finding] = []
    node = Node(data, root, findings)
    if data is None or data == {}:
        node.wrong("the pillar of this minion declares nothing here; nothing was assumed")
    elif node.keys(("servers", "vms", "grants"), _PARTS):
        policy = _policy(node, zone_complaint)
        if not findings:
            return policy
    raise PolicyError(findings)


def _policy(node: Node, zone_complaint: ZoneCheck) -> Policy:
    known = {kind: _names_in(node.child(kind)) for kind in ("servers", "vms", "vm_groups", "schedules")}
    servers = _named_children(node.child("servers"), _server)
    vms = _named_children(node.child("vms"), lambda name, child: _vm(name, child, servers, known["servers"]))
    _unshared_ports(node.child("vms"), vms, servers)
    _unshared_domains(node.child("vms"), vms, servers)
    time = _time(node.child("time"), zone_complaint)
    schedules = _named_children(
        node.child("schedules"), lambda name, child: weekly.parse_schedule(name, child, time.zone, zone_complaint)
    )
    viewer = _viewer(node.child("viewer"))
    vm_groups = _named_children(node.child("vm_groups"), lambda name, child: _members(child, known["vms"], "vm"))
    # What is wrong with a group is said once, there.
    every_group = {name: vm_groups.get(name, ()) for name in known["vm_groups"]}
    choice = _Choice(known["vms"], every_group, known["schedules"], time.zone)
    grants = _grants(node.child("grants"), choice)
    if viewer.confine is False:
        _without_confinement(node, servers, vms)
    for grant in grants.values():
        if grant.group == viewer.group:
            node.child("grants").child(grant.name).child("group").wrong("is the viewer's group, which has no members")
    return Policy(
        servers=servers,
        vms=vms,
        schedules=schedules,
        grants=grants,
        viewer=viewer,
        firewall=_firewall(node.child("firewall")),
        time=time,
        sudo=_sudo(node.child("sudo")),
        routing=_routing(node.child("routing")),
        desks=parse_desks(node.child("desks")),
    )


def _without_confinement(node: Node, servers: Mapping[str, Server], vms: Mapping[str, Vm]) -> None:
    """Refuse what only confined viewers keep from their users, and what they alone can be allowed."""
    for server in servers.values():
        if server.minion is not None:
            node.child("servers").child(server.name).child("minion").wrong(
                "gives tickets, which cannot be kept from users where viewers are not confined: "
                "leave 'viewer:confine' out"
            )
    for vm in vms.values():
        child = node.child("vms").child(vm.name)
        if vm.secret:
            child.child("password").wrong(
                "cannot be kept from the user where viewers are not confined; leave it out, the viewer asks for it"
            )
        if vm.allow:
            child.child("allow").wrong("is for confined viewers: others can do all of it")


def parse_desks(node: Node, known: Mapping[str, Desk] = MappingProxyType({})) -> dict[str, Desk]:
    """Parse the machines that may ask KVM hosts for tickets: of the pillar, or of Salt's mine.

    A host knows a desk by its key. Where two have one, neither is among those that are returned, but for one that has
    been known by it before.

    known
        Desks that a host knows already. Defaults to none.
    """
    desks = _named_children(node, _desk, validation.minion_id)
    owners: dict[str, list[str]] = {}
    for desk in desks.values():
        owners.setdefault(desk.key, []).append(desk.name)
    good: dict[str, Desk] = {}
    for key, names in owners.items():
        before = [name for name in names if name in known and known[name].key == key]
        first, *_ = [*before, *names]
        for name in names:
            if name != first:
                node.child(name).child("key").wrong(f"is that of desk {first!r} already: give each a key of its own")
        if len(names) == 1 or before:
            good[first] = desks[first]
    return {name: desk for name, desk in desks.items() if name in good}


def _desk(name: str, node: Node) -> Desk | None:
    if not node.keys(("addresses", "key")):
        return None
    addresses = _addresses(node.child("addresses"), "name at least one")
    if addresses and len(addresses) > _MOST_ADDRESSES:
        node.child("addresses").wrong(f"are too many: a desk has {_MOST_ADDRESSES} at most")
        addresses = None
    key = node.child("key").text(validation.ssh_key)
    return Desk(name, addresses, key) if addresses and key else None


def _addresses(node: Node, advice: str) -> tuple[str, ...] | None:
    """Return addresses, each once; ``None`` if one cannot be read.

    advice
        What to do about an empty list.
    """
    addresses = complete(map(_address, node.elements(scalar=True)))
    if node.value == []:
        node.wrong(f"is empty: {advice}")
    return None if addresses is None else tuple(dict.fromkeys(addresses))


def _named_children(
    node: Node, read: Callable[[str, Node], _T | None], named: Callable[[str], str | None] = validation.object_name
) -> dict[str, _T]:
    """Parse a mapping of names; children with findings are left out.

    named
        Says what is wrong with a name.
    """
    found: dict[str, _T] = {}
    if node.absent:
        return found
    for name, child in node.items():
        complaint = named(name)
        if complaint:
            child.wrong(f"{quote(name)} {complaint}")
        else:
            value = read(name, child)
            if value is not None:
                found[name] = value
    return found


def _server(name: str, node: Node) -> Server | None:
    if not node.keys(("host", "ports"), ("addresses", "ca", *_TICKETS)):
        return None
    host = node.child("host").text(validation.host_name)
    ports = _ports(node.child("ports"))
    addresses = _addresses(node.child("addresses"), "leave it out to have the host's name resolved")
    authority = _authority(node.child("ca"))
    tickets = _tickets(node)
    if host is None or addresses is None or tickets is None or not ports:
        return None
    if not addresses and validation.address(host):
        literal = _address(node.child("host"))
        if literal is None:
            return None
        addresses = (literal,)
    return Server(name, host.lower(), ports, addresses, authority, **tickets)


def _tickets(node: Node) -> dict[str, Any] | None:
    """Return the fields of a server that say who gives tickets, and how to ask; ``None`` if one cannot be read."""
    minion = node.child("minion").text(validation.minion_id)
    key = node.child("host_key").text(validation.ssh_key)
    port = SSH_PORT if "ssh_port" not in node.value else node.child("ssh_port").port()
    if "minion" not in node.value:
        for _, child in node.children("host_key", "ssh_port"):
            child.wrong("is for tickets, which this server has no 'minion' to give")
        return {}
    if "host_key" not in node.value:
        node.wrong("'host_key' is missing: by it desks know the KVM host that gives them tickets")
    if minion is None or key is None or port is None:
        return None
    return {"minion": minion, "host_key": key, "ssh_port": port}


def _address(node: Node) -> str | None:
    text = node.text(lambda value: None if validation.address(value) else "is no IP address")
    address = None if text is None else validation.address(text)
    if address is None:
        return None
    if not validation.usable_address(address):
        node.wrong(f"{address} is not the address of one machine")
        return None
    return address


def _authority(node: Node) -> str | None:
    """Return PEM text, or the path of a file with it."""
    if isinstance(node.value, str) and "-----BEGIN" in node.value:
        text, complaint = validation.certificates(node.value)
        if complaint:
            node.wrong(complaint)
        return text or None
    return node.text(validation.path)


def _ports(node: Node) -> tuple[PortRange, ...]:
    ranges = []
    for child in node.elements(scalar=True):
        if isinstance(child.value, str):
            match = _RANGE.fullmatch(child.value)
            low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
            if not 1 <= low <= high <= 65535:
                child.wrong(f"{quote(child.value)} is no port or range of ports, as 20002 or 20001-20010")
                continue
            ranges.append((low, high))
        else:
            port = child.port()
            if port is not None:
                ranges.append((port, port))
    if node.value == []:
        node.wrong("guards nothing: name at least one port")
    return join_ranges(ranges)


def _vm(name: str, node: Node, servers: Mapping[str, Server], declared: Collection[str]) -> Vm | None:
    if not node.keys(("server", "tls_port"), ("host_subject", "password", "allow", "contact", "domain", "sharing")):
        return None
    server = node.child("server").reference(declared, "server")
    port = node.child("tls_port").port()
    subject = node.child("host_subject").text(validation.line)
    password, file = _password(node.child("password"))
    allow = [child.choice(ALLOWED, "") for child in node.child("allow").elements(scalar=True)]
    contact = node.child("contact").text(validation.line)
    domain = node.child("domain").text(validation.line)
    sharing = node.child("sharing").choice(SHARING, EXCLUSIVE)
    if server is None or port is None:
        return None
    if server in servers:
        _with_its_server(node, port, servers[server])
    return Vm(
        name=name,
        server=server,
        tls_port=port,
        host_subject=subject,
        password=password,
        password_file=file,
        allow=tuple(dict.fromkeys(filter(None, allow))),
        contact=contact,
        domain=domain,
        sharing=sharing,
    )


def _with_its_server(node: Node, port: int, server: Server) -> None:
    """Refuse what does not go with a vm's server: an unguarded port, and keys for the other way into its console."""
    if not server.guards(port):
        node.child("tls_port").wrong(f"{port} is outside the guarded ports of server {server.name!r}")
    if server.minion is None:
        for _, child in node.children("domain", "sharing"):
            child.wrong(f"is for tickets, which server {server.name!r} has no 'minion' to give")
    elif "password" in node.value:
        node.child("password").wrong(f"is made anew for each launch by minion {server.minion!r}: leave it out")


def _password(node: Node) -> tuple[Secret | None, str | None]:
    """Return a password, or the path of a file with it. No finding quotes what was given."""
    if node.absent:
        return None, None
    if isinstance(node.value, dict):
        return None, node.child("file").text(validation.path) if node.keys(("file",)) else None
    # A URI of sdb may be longer than a password.
    if isinstance(node.value, str) and node.value.startswith(SDB):
        return Secret(node.value), None
    if not isinstance(node.value, str):
        node.wrong("must be text (in quotes, if it reads as a number), or a mapping with file")
        return None, None
    complaint = validation.password(node.value)
    if complaint:
        node.wrong(complaint)
    return (None if complaint else Secret(node.value)), None


def _names_in(node: Node) -> dict[str, None]:
    """Return the declared names, also of entries that are wrong: those are reported once, there."""
    return dict.fromkeys(name for name in node.value if isinstance(name, str)) if isinstance(node.value, dict) else {}


def _unshared_ports(node: Node, vms: Mapping[str, Vm], servers: Mapping[str, Server]) -> None:
    """Refuse two vms at one address and port: they would be one console."""
    owner: dict[tuple[str, int], str] = {}
    for vm in vms.values():
        server = servers.get(vm.server)
        for place in (server.host, *server.addresses) if server else (vm.server,):
            other = owner.setdefault((place, vm.tls_port), vm.name)
            if other != vm.name:
                node.child(vm.name).child("tls_port").wrong(f"{vm.tls_port} on {place} is already vm {other!r}")
                break


def _unshared_domains(node: Node, vms: Mapping[str, Vm], servers: Mapping[str, Server]) -> None:
    """Refuse two vms that are one domain of a KVM host: its console can be defined for one of them only."""
    owner: dict[tuple[str, str], str] = {}
    for vm in vms.values():
        server = servers.get(vm.server)
        if server is None or server.minion is None:
            continue
        other = owner.setdefault((server.minion, vm.libvirts_name), vm.name)
        if other != vm.name:
            node.child(vm.name).child("domain").wrong(f"{quote(vm.libvirts_name)} is already that of vm {other!r}")


class _Choice(NamedTuple):
    """What grants may name: vms, groups of these, schedules; and the zone of their moments."""

    vms: Collection[str]
    vm_groups: Mapping[str, Sequence[str]]
    schedules: Collection[str]
    zone: str | None


def _grants(node: Node, choice: _Choice) -> dict[str, Grant]:
    """Parse grants. One of several vms becomes as many, each called by its vm as well."""
    parsed = _named_children(node, lambda name, child: _grant(name, child, choice), validation.grant_name)
    found: dict[str, Grant] = {}
    for name, grants in parsed.items():
        for grant in grants:
            if grant.name in found:
                node.child(name).wrong(f"{quote(grant.name)} is what another grant is called for vm {quote(grant.vm)}")
            found[grant.name] = grant
    return found


def _members(node: Node, known: Collection[str], what: str) -> tuple[str, ...] | None:
    """Return names of things that are declared elsewhere, each once; ``None`` if one is unknown."""
    names = complete(child.reference(known, what) for child in node.elements(scalar=True))
    if node.value == []:
        node.wrong("is empty: name at least one")
    return None if names is None else tuple(dict.fromkeys(names))


def _vms(name: str, node: Node, choice: _Choice) -> dict[str, str] | None:
    """Return the vms of a grant by what the grant is called for each; ``None`` if they cannot be read."""
    given = [key for key in ("vm", "vm_group") if key in node.value]
    if len(given) != 1:
        node.wrong("needs either 'vm' or 'vm_group'")
        return None
    child = node.child(given[0])
    if given == ["vm"] and not isinstance(child.value, list):
        vm = child.reference(choice.vms, "vm")
        _, sign, called_by = name.partition("/")
        if sign and vm is not None and called_by != vm:
            node.wrong(f"is called by vm {quote(called_by)}, and about {quote(vm)}")
        return None if vm is None else {name: vm}
    if given == ["vm"]:
        names = _members(child, choice.vms, "vm")
    else:
        groups = _members(child, choice.vm_groups, "group of vms") or ()
        names = tuple(vm for group in groups for vm in choice.vm_groups[group])
    if "/" in name:
        node.wrong("is called by one vm, and about several")
    return {f"{name}/{vm}": vm for vm in names or ()}


def _grant(name: str, node: Node, choice: _Choice) -> list[Grant] | None:
    if not node.keys((), ("vm", "vm_group", "user", "group", "except", "nopasswd", *_LIMITS, *ABOUT)):
        return None
    # Most grants have little of what they could have, and a pillar may have thousands.
    whom = {key: child.text(validation.account_name) for key, child in node.children("user", "group")}
    if len(whom) != 1:
        node.wrong("needs either 'user' or 'group'")
    if whom.get("user") == "root":
        node.child("user").wrong("root needs no grant: no client can hold root back")
    excepted = [child.text(validation.line) for child in node.child("except").elements(scalar=True)]
    if excepted and "user" in whom:
        node.child("except").wrong("is for a group: whom of its members the grant does not mean")
    vms = _vms(name, node, choice)
    limits = _limits(node, choice.schedules, choice.zone) if not node.value.keys().isdisjoint(_LIMITS) else {}
    nopasswd = node.child("nopasswd").flag(False)
    texts: dict[str, Any] = {key: child.text(validation.line) for key, child in node.children(*ABOUT)}
    if vms is None or limits is None:
        return None
    left_out = tuple(sorted({name for name in excepted if name is not None}))
    fields = {**texts, **limits, "nopasswd": nopasswd, "left_out": left_out}
    return [Grant(called, vm, whom.get("user"), whom.get("group"), **fields) for called, vm in vms.items()]


def _limits(node: Node, schedules: Collection[str], zone: str | None) -> dict[str, Any] | None:
    """Return the fields of a grant that limit it in time; ``None`` if it names an unknown schedule."""
    by = node.child("schedule")
    chosen = complete(child.reference(schedules, "schedule") for child in by.elements(scalar=True))
    if by.value == []:
        by.wrong("is empty: leave it out for a grant that is always open")
    ends = node.children("valid_from", "valid_until")
    valid = {key: _moment(child, zone, last=key == "valid_until") for key, child in ends}
    start, end = valid.get("valid_from"), valid.get("valid_until")
    if start is not None and end is not None and end <= start:
        node.child("valid_until").wrong("is not after 'valid_from'")
    on_end = node.child("on_end").choice(("cut", "drain"), "cut")
    grace = _duration(node.child("grace"), _DAY)
    if grace is not None and on_end != "drain":
        node.child("grace").wrong("is for 'on_end: drain' only")
    ahead = node.child("warn")
    warn = [_duration(child, _DAY) for child in ahead.elements(scalar=True)]
    if chosen is None:
        return None
    return {
        **valid,
        "schedules": tuple(dict.fromkeys(chosen)),
        "on_end": on_end,
        "grace": grace,
        "warn": WARN if ahead.absent else tuple(sorted(filter(None, set(warn)), reverse=True)),
    }


def _moment(node: Node, zone: str | None, *, last: bool) -> int | None:
    if node.absent:
        return None
    try:
        moment = instants.parse_moment(node.value, zone, last=last)
    except LookupError:
        node.wrong("needs an offset, as 2026-12-24T18:00+01:00, or a zone for all moments: 'time: {zone: ...}'")
        return None
    if moment is None:
        node.wrong(f"{quote(node.value)} is no date or moment of this century, as 2026-12-24 or 2026-12-24T18:00+01:00")
    return moment


def _duration(node: Node, longest: int) -> int | None:
    """Return a duration in seconds, longer than nothing and within a limit."""
    if node.absent:
        return None
    seconds = instants.duration(node.value)
    if seconds is None:
        node.wrong(f"{quote(node.value)} is no duration, as 15m or 1h30m")
    elif not 0 < seconds <= longest:
        node.wrong(f"{quote(node.value)} is not between 1s and {instants.spell_duration(longest)}")
    else:
        return seconds
    return None


def _time(node: Node, zone_complaint: ZoneCheck) -> Time:
    if node.absent or not node.keys((), ("zone", "horizon", "longest_loan")):
        return Time()
    zone = node.child("zone").text(zone_complaint)
    if zone is None and not node.child("zone").absent:
        # What is wrong is said once, not for each schedule and moment that relies on it.
        zone = "UTC"
    horizon = _duration(node.child("horizon"), 366 * _DAY)
    if horizon is not None and (horizon % _DAY or horizon < 2 * _DAY):
        node.child("horizon").wrong("must be whole days, at least 2d")
    loan = node.child("longest_loan")
    longest = 0 if instants.duration(loan.value) == 0 else _duration(loan, 31 * _DAY)
    return Time(
        zone,
        Time.horizon if horizon is None else horizon // _DAY,
        Time.longest_loan if longest is None else longest,
    )


def _viewer(node: Node) -> Viewer:
    if node.absent or not node.keys((), ("path", "group", "confine", "contact")):
        return Viewer()
    paths = tuple(
        path for path in (child.text(validation.path) for child in node.child("path").elements(scalar=True)) if path
    )
    if node.child("path").value == []:
        node.child("path").wrong("is empty: name at least one viewer")
    group = node.child("group").text(validation.account_name)
    if group == "root":
        node.child("group").wrong("must be a group of its own")
    contact = node.child("contact").text(validation.line)
    confine = _switch(node.child("confine"))
    return Viewer(tuple(dict.fromkeys(paths)) or Viewer.paths, group or Viewer.group, confine, contact)


def _switch(node: Node) -> bool | None:
    if node.absent or node.value == "auto":
        return None
    if isinstance(node.value, bool):
        return node.value
    node.wrong(f"must be auto, true or false, not {quote(node.value)}")
    return None


def _firewall(node: Node) -> Firewall:
    if node.absent or not node.keys((), ("backend", "guard", "uplinks", "backstop")):
        return Firewall()
    backend = node.child("backend").choice(("auto", "nftables", "iptables"), "auto")
    guard = node.child("guard").choice(("everywhere", "servers"), "everywhere")
    return Firewall(guard, backend, _uplinks(node.child("uplinks")), _switch(node.child("backstop")))


def _uplinks(node: Node) -> tuple[str, ...] | None:
    """Return names and patterns of interfaces; none for ``false``, and ``None`` for ``auto``."""
    if node.absent or node.value == "auto":
        return None
    if node.value is False:
        return ()
    if not isinstance(node.value, list):
        node.wrong(f"must be auto, false or a list of interfaces, not {quote(node.value)}")
        return None
    if not node.value:
        node.wrong("is empty: false guards no interface")
    return tuple(dict.fromkeys(filter(None, (child.text(validation.interface) for child in node.elements()))))


def _sudo(node: Node) -> Sudo:
    if node.absent or not node.keys((), ("strict", "admins")):
        return Sudo()
    admins = (child.text(validation.sudo_subject) for child in node.child("admins").elements(scalar=True))
    return Sudo(node.child("strict").flag(False), tuple(dict.fromkeys(admin for admin in admins if admin)))


def _routing(node: Node) -> Routing:
    if node.absent or not node.keys((), ("enabled",)):
        return Routing()
    enabled = node.child("enabled")
    return Routing() if enabled.absent else Routing(_switch(enabled))
