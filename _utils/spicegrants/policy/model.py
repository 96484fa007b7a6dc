"""Model of one minion's policy: validated, immutable values, and their form in pillar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spicegrants.schedule import instants
from spicegrants.schedule.weekly import Schedule

PortRange = tuple[int, int]
SSH_PORT = 22


class Server(NamedTuple):
    """A KVM host: its name in URI and certificate, its addresses, its guarded ports and its authority.

    ``minion`` is the id of the minion there that gives tickets for its consoles; without one nobody does. ``host_key``
    is the public key of its SSH server, which listens on ``ssh_port``.
    """

    name: str
    host: str
    ports: tuple[PortRange, ...]
    addresses: tuple[str, ...] = ()
    ca: str | None = None
    minion: str | None = None
    host_key: str | None = None
    ssh_port: int = SSH_PORT

    def guards(self, port: int) -> bool:
        """Tell whether a port lies in the guarded ranges."""
        return any(low <= port <= high for low, high in self.ports)


class Secret(str):
    """Text that is hidden where values are shown, as in a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret()"


class Desk(NamedTuple):
    """A workstation that may ask KVM hosts for tickets: the addresses it has there, and the public key of its root."""

    name: str
    addresses: tuple[str, ...]
    key: str


# What becomes of a console that somebody has open when the next one opens it.
EXCLUSIVE, TAKEOVER, SHARED = SHARING = ("exclusive", "takeover", "shared")
# What a confined viewer may do only if pillar says so: ``files`` is access to one directory of its user's.
ALLOWED = ("files",)


@dataclass(frozen=True)
class Vm:
    """A virtual machine whose SPICE console listens on a TLS port of a server.

    A password that users are not to know, if the console has one, is given or stands in a file on the minion. ``allow``
    names what of :data:`ALLOWED` its confined viewer may do. ``contact`` says whom its users may ask.

    Where the KVM host gives tickets, ``domain`` is libvirt's name for it, if that is another, and ``sharing`` is one of
    :data:`SHARING`.
    """

    name: str
    server: str
    tls_port: int
    host_subject: str | None = None
    password: Secret | None = None
    password_file: str | None = None
    allow: tuple[str, ...] = ()
    contact: str | None = None
    domain: str | None = None
    sharing: str = EXCLUSIVE

    @property
    def libvirts_name(self) -> str:
        """Return libvirt's name of its domain."""
        return self.domain or self.name

    @property
    def secret(self) -> bool:
        """Tell whether there is a password."""
        return self.password is not None or self.password_file is not None


# Lines of text about a grant.
ABOUT = ("owner", "reason", "ticket", "contact")
# Seconds before its end at which a session is warned.
WARN = (900, 120)


class Grant(NamedTuple):
    """A grant: a user, or the members of a group, may open the console of a vm.

    schedules
        Names of the schedules by which it is open, one of which is enough; none if it is always open.

    valid_from, valid_until
        Seconds since 1970; the end itself is not included.

    on_end, grace
        What becomes of open sessions when the grant or one of its windows ends: ``cut``, or ``drain``: they may go on,
        for ``grace`` seconds or without a limit.

    warn
        Seconds before the end of a window at which a session is warned.

    owner, reason, ticket
        Who answers for it, why it exists, and where that is written down.

    left_out
        Names, in any form, of members of the group whom it does not mean.

    contact
        Whom its users may ask.
    """

    name: str
    vm: str
    user: str | None = None
    group: str | None = None
    nopasswd: bool = False
    reason: str | None = None
    on_end: str = "cut"
    schedules: tuple[str, ...] = ()
    valid_from: int | None = None
    valid_until: int | None = None
    grace: int | None = None
    warn: tuple[int, ...] = WARN
    owner: str | None = None
    ticket: str | None = None
    left_out: tuple[str, ...] = ()
    contact: str | None = None


@dataclass(frozen=True)
class Viewer:
    """The programs that open consoles, the group that only sudo lends, and whether they are confined.

    ``confine`` is ``None`` for wherever that is possible. ``contact`` says whom all on this machine may ask.
    """

    paths: tuple[str, ...] = ("/usr/bin/remote-viewer",)
    group: str = "spicegrp"
    confine: bool | None = None
    contact: str | None = None


@dataclass(frozen=True)
class Firewall:
    """Settings of the firewall: what guards, and where.

    ``guard`` is ``everywhere`` (every destination) or ``servers`` (their addresses only); ``backend`` is ``auto``,
    ``nftables`` or ``iptables``. ``uplinks`` are names, or patterns of names, of the interfaces on which frames are
    guarded that no other rule sees; ``None`` chooses them by what they are, if that is possible at all. ``backstop``
    says whether to hold a second table that nobody can flush; ``None`` for wherever that is possible.
    """

    guard: str = "everywhere"
    backend: str = "auto"
    uplinks: tuple[str, ...] | None = None
    backstop: bool | None = None


@dataclass(frozen=True)
class Sudo:
    """Settings for sudo rules of other files that open the viewer, or undo what is enforced.

    strict
        Whether such rules are errors.

    admins
        Users and groups, as sudoers(5) spells them, whose rules are ignored.
    """

    strict: bool = False
    admins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Routing:
    """Settings of routing: whether routes guard as well; ``enabled`` is ``None`` for wherever that is possible."""

    enabled: bool | None = False


@dataclass(frozen=True)
class Time:
    """Settings of time: for all schedules, moments and loans.

    zone
        Time zone of schedules and moments that name none, and of those that are shown.

    horizon
        Days for which windows are worked out in advance.

    longest_loan
        Seconds for which a console may be lent at most; 0 forbids loans.
    """

    zone: str | None = None
    horizon: int = 30
    longest_loan: int = 8 * 3600


@dataclass(frozen=True)
class Audit:
    """Settings of the record of sessions, refusals and changes.

    enabled
        Whether it is kept.

    required
        Whether no console opens while it cannot be written.

    keep
        Seconds for which it is kept.

    size
        Bytes that it may take; what is older goes.
    """

    enabled: bool = True
    required: bool = False
    keep: int = 400 * 86400
    size: int = 64 * 2**20


@dataclass(frozen=True)
class Policy:
    """Everything that is declared for one minion."""

    servers: Mapping[str, Server]
    vms: Mapping[str, Vm]
    schedules: Mapping[str, Schedule]
    grants: Mapping[str, Grant]
    viewer: Viewer = Viewer()
    firewall: Firewall = Firewall()
    time: Time = Time()
    sudo: Sudo = Sudo()
    routing: Routing = Routing()
    audit: Audit = Audit()
    desks: Mapping[str, Desk] = field(default_factory=dict)

    def gives_tickets(self, vm: str) -> bool:
        """Tell whether the KVM host gives a ticket for each launch of a vm's console."""
        return self.servers[self.vms[vm].server].minion is not None

    def consoles_of(self, minion: str) -> dict[str, Vm]:
        """Return the vms by name whose tickets a minion gives."""
        return {name: vm for name, vm in self.vms.items() if self.servers[vm.server].minion == minion}

    def contact(self, vm: str, grants: Iterable[str]) -> str | None:
        """Return whom the users of a vm may ask: as the grants say by which they have it, else the vm, else for all.

        grants
            Names of grants and loans; a loan says nothing.
        """
        named = (self.grants[name].contact for name in grants if name in self.grants)
        said = ", ".join(dict.fromkeys(filter(None, named)))
        return said or self.vms[vm].contact or self.viewer.contact

    def guarded_ports(self) -> tuple[PortRange, ...]:
        """Return the guarded ports of all servers, sorted, neighbours joined."""
        return join_ranges(port for server in self.servers.values() for port in server.ports)

    def uri(self, vm: Vm) -> str:
        """Return the SPICE URI of a vm's console, as people type it."""
        host = self.servers[vm.server].host
        return f"spice://[{host}]?tls-port={vm.tls_port}" if ":" in host else f"spice://{host}?tls-port={vm.tls_port}"


def join_ranges(ranges) -> tuple[PortRange, ...]:
    """Sort port ranges and join those that touch or overlap."""
    joined: list[PortRange] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def port_words(ranges) -> str:
    """Spell port ranges as the pillar does: ``5900, 20001-20010``."""
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def to_pillar(policy: Policy) -> dict[str, Any]:
    """Return the policy as plain data in pillar's form, which :func:`~spicegrants.policy.pillar.parse_policy` reads."""

    def plain(**values: Any) -> dict[str, Any]:
        return {key: value for key, value in values.items() if value not in (None, [], False)}

    return {
        "servers": {
            server.name: plain(
                host=server.host,
                addresses=list(server.addresses),
                ports=[low if low == high else f"{low}-{high}" for low, high in server.ports],
                ca=server.ca,
                minion=server.minion,
                host_key=server.host_key,
                ssh_port=None if server.ssh_port == SSH_PORT else server.ssh_port,
            )
            for server in policy.servers.values()
        },
        "vms": {
            vm.name: plain(
                server=vm.server,
                tls_port=vm.tls_port,
                host_subject=vm.host_subject,
                allow=list(vm.allow),
                password={"file": vm.password_file} if vm.password_file else vm.password,
                contact=vm.contact,
                domain=vm.domain,
                sharing=None if vm.sharing == EXCLUSIVE else vm.sharing,
            )
            for vm in policy.vms.values()
        },
        "schedules": {
            schedule.name: {
                **plain(days=list(schedule.days), hours=list(schedule.hours), zone=schedule.zone),
                **plain(**{"except": list(schedule.exceptions), "also": list(schedule.additions)}),
            }
            for schedule in policy.schedules.values()
        },
        "grants": {grant.name: grant_to_pillar(grant) for grant in policy.grants.values()},
        "viewer": {
            "path": list(policy.viewer.paths),
            "group": policy.viewer.group,
            "confine": "auto" if policy.viewer.confine is None else policy.viewer.confine,
            **plain(contact=policy.viewer.contact),
        },
        "firewall": {
            "backend": policy.firewall.backend,
            "guard": policy.firewall.guard,
            "uplinks": "auto" if policy.firewall.uplinks is None else list(policy.firewall.uplinks) or False,
            # Left out where nothing is said: so it was before there was such a key.
            **({} if policy.firewall.backstop is None else {"backstop": policy.firewall.backstop}),
        },
        "routing": {"enabled": "auto" if policy.routing.enabled is None else policy.routing.enabled},
        "time": {
            **plain(zone=policy.time.zone),
            "horizon": f"{policy.time.horizon}d",
            "longest_loan": instants.spell_duration(policy.time.longest_loan),
        },
        # Left out where nothing is said: so it was before there was such a key.
        **plain(audit=_audit_to_pillar(policy.audit) or None),
        **plain(sudo=plain(strict=policy.sudo.strict, admins=list(policy.sudo.admins)) or None),
        **plain(desks=desks_to_pillar(policy.desks) or None),
    }


def _audit_to_pillar(audit: Audit) -> dict[str, Any]:
    """Return the settings of the record that are not the defaults."""
    said = {"enabled": audit.enabled, "required": audit.required, "keep": instants.spell_duration(audit.keep)}
    said["size"] = f"{audit.size // 2**20}M"
    usual = {"enabled": True, "required": False, "keep": "400d", "size": "64M"}
    return {name: value for name, value in said.items() if value != usual[name]}


def desks_to_pillar(desks: Mapping[str, Desk]) -> dict[str, Any]:
    """Return desks in the pillar's form."""
    return {desk.name: {"addresses": list(desk.addresses), "key": desk.key} for desk in desks.values()}


def grant_to_pillar(grant: Grant) -> dict[str, Any]:
    """Return one grant in the pillar's form, defaults left out."""
    plain = {field: getattr(grant, field) for field in ("user", "group", "vm", *ABOUT)}
    plain["nopasswd"] = grant.nopasswd or None
    plain["except"] = list(grant.left_out) or None
    plain["on_end"] = None if grant.on_end == "cut" else grant.on_end
    plain["schedule"] = list(grant.schedules) or None
    for name in ("valid_from", "valid_until"):
        moment = getattr(grant, name)
        plain[name] = None if moment is None else instants.iso(moment)
    plain["grace"] = None if grant.grace is None else instants.spell_duration(grant.grace)
    plain["warn"] = None if grant.warn == WARN else [instants.spell_duration(seconds) for seconds in grant.warn]
    return {field: value for field, value in plain.items() if value is not None}
