"""Pillar parser: checks everything, and reports all findings at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Union

from spicegrants.core import validation
from spicegrants.core.errors import Finding, PolicyError
from spicegrants.core.reader import Node, complete, quote
from spicegrants.policy.model import (
    ALLOWED,
    EXCLUSIVE,
    SHARING,
    SSH_PORT,
    Audit,
    Desk,
    Firewall,
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
from spicegrants.policy.pillar_grants import Choice, parse_grants
from spicegrants.policy.pillar_values import duration, members, named_children
from spicegrants.schedule import instants, weekly
from spicegrants.schedule.intervals import DAY

# The prefix of a password that sdb, Salt's own storage for secrets, keeps.
SDB = "sdb://"
# What pillar need not declare.
_PARTS = ("vm_groups", "schedules", "time", "viewer", "firewall", "routing", "audit", "sudo", "desks")
_TICKETS = ("minion", "host_key", "ssh_port")
# Of a desk: each session of it takes as many places in the kernel of a KVM host.
_MOST_ADDRESSES = 16
_SIZE = re.compile(r"([89]|[1-9][0-9]{1,3})M")
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


ZoneCheck = Callable[[str], Union[str, None]]


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
    servers = named_children(node.child("servers"), _server)
    vms = named_children(node.child("vms"), lambda name, child: _vm(name, child, servers, known["servers"]))
    _unshared_ports(node.child("vms"), vms, servers)
    _unshared_domains(node.child("vms"), vms, servers)
    time = _time(node.child("time"), zone_complaint)
    schedules = named_children(
        node.child("schedules"), lambda name, child: weekly.parse_schedule(name, child, time.zone, zone_complaint)
    )
    viewer = _viewer(node.child("viewer"))
    vm_groups = named_children(node.child("vm_groups"), lambda name, child: members(child, known["vms"], "vm"))
    # What is wrong with a group is said once, there.
    every_group = {name: vm_groups.get(name, ()) for name in known["vm_groups"]}
    choice = Choice(known["vms"], every_group, known["schedules"], time.zone)
    grants = parse_grants(node.child("grants"), choice)
    audit = _audit(node.child("audit"))
    if viewer.confine is False:
        _without_confinement(node, servers, vms, audit)
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
        audit=audit,
        desks=parse_desks(node.child("desks")),
    )


def _without_confinement(node: Node, servers: Mapping[str, Server], vms: Mapping[str, Vm], audit: Audit) -> None:
    """Refuse what only confined viewers keep from their users, what they alone can be allowed, or must wait for."""
    if audit.required:
        node.child("audit").child("required").wrong(
            "cannot be held where viewers are not confined: sudo starts them, and asks no record"
        )
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
    desks = named_children(node, _desk, validation.minion_id)
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


def _time(node: Node, zone_complaint: ZoneCheck) -> Time:
    if node.absent or not node.keys((), ("zone", "horizon", "longest_loan")):
        return Time()
    zone = node.child("zone").text(zone_complaint)
    if zone is None and not node.child("zone").absent:
        # What is wrong is said once, not for each schedule and moment that relies on it.
        zone = "UTC"
    horizon = duration(node.child("horizon"), 366 * DAY)
    if horizon is not None and (horizon % DAY or horizon < 2 * DAY):
        node.child("horizon").wrong("must be whole days, at least 2d")
    loan = node.child("longest_loan")
    longest = 0 if instants.duration(loan.value) == 0 else duration(loan, 31 * DAY)
    return Time(
        zone,
        Time.horizon if horizon is None else horizon // DAY,
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


def _audit(node: Node) -> Audit:
    if node.absent or not node.keys((), ("enabled", "required", "keep", "size")):
        return Audit()
    enabled, required = node.child("enabled").flag(True), node.child("required").flag(False)
    if required and not enabled:
        node.child("required").wrong("needs a record, and 'enabled' says that there is none")
    keep, size = duration(node.child("keep"), 3660 * DAY), node.child("size")
    if keep is not None and keep < DAY:
        node.child("keep").wrong("must be at least 1d")
    match = _SIZE.fullmatch(size.value) if isinstance(size.value, str) and size.value.isascii() else None
    if not size.absent and not match:
        size.wrong(f"must be whole megabytes from 8M to 9999M, not {quote(size.value)}")
    return Audit(enabled, required, keep or Audit.keep, int(match[1]) * 2**20 if match else Audit.size)
