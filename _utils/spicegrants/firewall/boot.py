"""The guard without Salt: rules that systemd loads before the network is up, and again when a service may flush them.

The stored text is the very text that a run sends to the kernel, for ``nft -j -f`` or ``iptables-restore``. No
dependency on Salt, name resolution or a master.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from spicegrants.core.changes import Change
from spicegrants.core.entries import Entry, File, Link, difference
from spicegrants.core.paths import LOAD_GUARD, PROTOCOL, SHUT, STORE, UNITS
from spicegrants.core.units import AFTER, GUARD_SERVICE, UPLINKS_SERVICE, unit
from spicegrants.firewall.iptables import guard_chains
from spicegrants.firewall.nft import guard_table
from spicegrants.policy.compiler import DesiredState, guards_servers, server_addresses
from spicegrants.policy.model import port_words

UNIT = f"{UNITS}/{GUARD_SERVICE}"
ENABLED = f"{UNITS}/sysinit.target.wants/{GUARD_SERVICE}"
# Services that flush rules, ours with them, and whether they do so at a reload as well, before it is over (firewalld
# does it when it likes). To give a reload to one that has none would change what "reload-or-restart" means for it.
FLUSHING = {
    "nftables": True,
    "iptables": True,
    "ip6tables": True,
    "firewalld": False,
    "netfilter-persistent": False,
    "ufw": False,
}
# What waits until a service has loaded its rules, where it says that it is up before that.
_SETTLED = {"firewalld": "/usr/bin/firewall-cmd --quiet --state"}
DROP_INS = {f"{UNITS}/{name}.service.d/spice-grant.conf": name for name in FLUSHING}
# By mechanism: the stored rules. Such a file also says that the mechanism is, or was, in use.
GUARDS = {
    "nftables": (f"{STORE}/guard.json",),
    "iptables-nft": (f"{STORE}/guard.iptables-nft.4", f"{STORE}/guard.iptables-nft.6"),
    "iptables-legacy": (f"{STORE}/guard.iptables-legacy.4", f"{STORE}/guard.iptables-legacy.6"),
}
PATHS = (LOAD_GUARD, UNIT, *DROP_INS, ENABLED)
_SCRIPT_TEXT = """\
#!/bin/sh
# Loads the guard before the SPICE consoles; made by spice_firewall.
PATH=/usr/sbin:/usr/bin:/sbin:/bin TZ=UTC
export PATH TZ
{commands}
"""
# If the stored rules do not load, or load without leaving a guard, all that is guarded is closed: the ports stand here.
_IPTABLES_TEXT = """\
close() {{
    for chain in {chains}; do
        $1 --wait --new $chain 2>/dev/null
        for ports in {ranges}; do
            $1 --wait --insert $chain -p tcp --dport $ports -j REJECT --reject-with tcp-reset
        done
    done
}}
call() {{
    $1 --wait --check $2 {call} 2>/dev/null || $1 --wait --insert $2 {call}
}}
guard() {{
    $1-restore --wait --noflush $2 && $1 --wait --check {guard} -g {deny} || close $1
    {calls}
}}
"""
# If the program that loads rules is missing or broken, routing refuses what is guarded; a run that succeeds takes that
# away.
_SHUT_TEXT = """\
shut{version}() {{
    {rules}
}}"""
_SHUT_RULE = (
    f"ip -{{version}} rule add pref {SHUT} protocol {PROTOCOL}{{to}} ipproto tcp dport {{ports}} prohibit 2>/dev/null"
)
# Where there are no accounts nft looks for none of its numbers' names; see firewall/live/nft.py.
_NAMELESS_TEXT = """\
nameless() {
    unshare --mount /bin/sh -c 'for names in /etc/passwd /etc/group /etc/nsswitch.conf; do
        test ! -f $names || mount --bind /dev/null $names || exit
    done
    test ! -d /run/nscd || mount -t tmpfs none /run/nscd || exit
    exec "$@"' sh "$@"
}"""
# It waits for nothing, and nothing waits for it.
_UPLINKS_TEXT = f"systemctl --no-block restart {UPLINKS_SERVICE} 2>/dev/null"
_STORES = "stores the rules for the next boot"


class Loading(NamedTuple):
    """The stored rules by path, and the shell commands that load them."""

    files: Mapping[str, bytes]
    commands: tuple[str, ...]


def for_nftables(desired: DesiredState) -> Loading:
    """Return the stored rules for nft, and the commands that load them.

    If the stored rules do not load, or leave no guard (as an empty file does), the command closes everything guarded.
    That needs no file: the ports are in the command. Only numbers and addresses come from pillar.
    """
    (path,) = GUARDS["nftables"]
    ports = port_words(desired.policy.guarded_ports())
    refuse = f"priority {guard_table.PRIORITY}; tcp dport {{ {ports} }} reject with tcp reset;"
    chains = [f"chain {hook} {{ type filter hook {hook} {refuse} }};" for hook in ("output", "forward")]
    closed = f"table inet {guard_table.TABLE} {{ {' '.join(chains)} }}"
    check = f"nft list chain inet {guard_table.TABLE} output >/dev/null"
    document = {"nftables": guard_table.fresh(desired)}
    load = f"nft -j -f {path}"
    command = f'{{ nameless {load} || {load}; }} && {check} || nft "{closed}" || {{ shut4; shut6; exit 1; }}'
    stored = {path: (json.dumps(document, sort_keys=True) + "\n").encode()}
    return Loading(stored, (*_uplinks(desired), *_shutting(desired, (4, 6)), _NAMELESS_TEXT, command))


def for_iptables(desired: DesiredState, mechanism: str, tools: Mapping[int, str]) -> Loading:
    """Return the stored rules for iptables, and the commands that load them.

    The commands load our chains in one step, and then the calls that are missing.

    mechanism
        ``iptables-nft`` or ``iptables-legacy``.

    tools
        Names of the programs by IP version, as ``ip6tables-nft``.
    """
    files = {
        path: guard_chains.stored(desired, version).encode() for version, path in zip(sorted(tools), GUARDS[mechanism])
    }
    ranges = " ".join(f"{low}:{high}" for low, high in desired.policy.guarded_ports())
    calls = [f"call $1 {hook} {chain}" for hook, chain in guard_chains.HOOKS.items()]
    functions = _IPTABLES_TEXT.format(
        chains=" ".join(guard_chains.HOOKS.values()),
        ranges=ranges,
        call=" ".join(guard_chains.call("$3")),
        guard=guard_chains.GUARD,
        deny=guard_chains.DENY,
        calls=" && ".join(calls),
    )
    guards = [
        f"guard {tools[version]} {path} || {{ shut{version}; failed=1; }}"
        for version, path in zip(sorted(tools), files)
    ]
    commands = (*_shutting(desired, sorted(tools)), functions, "failed=0", *guards, "exit $failed")
    return Loading(files, (*_uplinks(desired), *commands))


def _shutting(desired: DesiredState, versions: Iterable[int]) -> list[str]:
    """Return functions that shut what is guarded for everybody, one for each IP version."""
    ports = [f"{low}" if low == high else f"{low}-{high}" for low, high in desired.policy.guarded_ports()]
    functions = []
    for version in versions:
        known = server_addresses(desired, version)
        towards = [f" to {address}" for address in known] if guards_servers(desired) else [""]
        rules = [_SHUT_RULE.format(version=version, to=to, ports=each) for to in towards for each in ports]
        functions.append(_SHUT_TEXT.format(version=version, rules="\n    ".join(rules or [":"])))
    return functions


def _uplinks(desired: DesiredState) -> tuple[str, ...]:
    """Return the commands that also guard interfaces: a flush of the guard may have taken their rules with it."""
    return () if desired.policy.firewall.uplinks == () else (_UPLINKS_TEXT,)


def desired_entries(loading: Loading) -> dict[str, Entry]:
    """Return the desired files, by path."""
    script = _SCRIPT_TEXT.format(commands="\n".join(loading.commands))
    return {
        **{path: File(content, 0o600) for path, content in loading.files.items()},
        LOAD_GUARD: File(script.encode(), 0o755),
        UNIT: unit("Guard before the SPICE consoles", LOAD_GUARD, AFTER),
        **{path: File(_drop_in(service).encode(), 0o644) for path, service in DROP_INS.items()},
        ENABLED: Link(UNIT),
    }


def _drop_in(service: str) -> str:
    """Return the drop-in by which a service loads the guard again; its dash keeps failures away from the service."""
    commands = [_SETTLED[service]] if service in _SETTLED else []
    commands.append(f"/bin/sh {LOAD_GUARD}")
    lines = [f"ExecStartPost=-{command}" for command in commands] + [f"ExecStopPost=-{commands[-1]}"]
    if FLUSHING[service]:
        lines.append(f"ExecReload=-{commands[-1]}")
    return "\n".join(("[Service]", *lines, ""))


def plan_closing_files(
    loading: Loading, read: Callable[[str], Entry | None]
) -> tuple[tuple[Change, ...], dict[str, File]]:
    """Return the changes in words, and replacements by path, for stored rules that differ from the desired ones.

    read
        Returns the entry at a path.
    """
    files = {path: File(content, 0o600) for path, content in loading.files.items()}
    write = {path: desired for path, desired in files.items() if read(path) not in (None, desired)}
    return ((Change("firewall", _STORES),) if write else ()), write


def plan_boot_files(loading: Loading, live: Mapping[str, Entry | None]) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Compare the desired stored files with those on disk; return the changes in words, and the paths to write."""
    verbs = {path: difference(entry, live.get(path)) for path, entry in desired_entries(loading).items()}
    write = tuple(path for path, verb in verbs.items() if verb)
    changes = [f"{verbs[path]} {path}" for path in write if path not in loading.files and path not in DROP_INS]
    services = [DROP_INS[path] for path in write if path in DROP_INS]
    if services:
        changes.append(f"loads the guard again after {', '.join(services)}")
    if any(path in write for path in loading.files):
        changes.append(_STORES)
    return tuple(Change("firewall", what) for what in changes), write
