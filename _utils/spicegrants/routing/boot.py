"""The routing layer without Salt: rules that systemd loads before the network is up.

No dependency on Salt, name resolution, a master, or netfilter.
"""

from __future__ import annotations

from collections.abc import Mapping

from spicegrants.core.changes import Change
from spicegrants.core.entries import Entry, File, Link, difference
from spicegrants.core.paths import DEVICE, LOAD_ROUTES, STORE, UNITS
from spicegrants.core.units import unit
from spicegrants.policy.compiler import DesiredState
from spicegrants.routing import policy_rules

UNIT = f"{UNITS}/spice-grant-routes.service"
ENABLED = f"{UNITS}/sysinit.target.wants/spice-grant-routes.service"
# By IP version: the rules of grants.
RULES = {version: f"{STORE}/routes.{version}" for version in policy_rules.VERSIONS}
# networkd removes rules that it does not know, whenever it configures a link.
NETWORKD = "/etc/systemd/networkd.conf.d/spice-grant.conf"
PATHS = (*RULES.values(), LOAD_ROUTES, UNIT, ENABLED, NETWORKD)
_NETWORKD_TEXT = """\
[Network]
ManageForeignRoutingPolicyRules=no
"""
# What closes stands here: a damaged file of grants opens nothing. What is there already is left.
_SCRIPT_TEXT = """\
#!/bin/sh
# Loads the routes before the SPICE consoles; made by spice_routing.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
rule() {{
    ip -$version rule add $* 2>/dev/null
}}
{kinds} || ip link show {device} >/dev/null || exit 1
ip link set dev {device} addrgenmode none 2>/dev/null
ip link set dev {device} up
echo 0 2>/dev/null >/proc/sys/net/ipv6/conf/{device}/disable_ipv6
failed=0
{versions}
exit $failed
"""
_VERSION_TEXT = """\
version={version}
ip -{version} route replace {route}
{closing}
ip -{version} -force -batch {path} 2>/dev/null
{leading}
[ -n "$(ip -{version} rule show pref {closed})" ] || failed=1"""


def desired_entries(desired: DesiredState, networkd: bool) -> dict[str, Entry]:
    """Return the desired files, by path.

    networkd
        Whether the machine has systemd-networkd.
    """
    kinds = " || ".join(f"ip link add {DEVICE} type {kind} 2>/dev/null" for kind in policy_rules.KINDS)
    versions = "\n".join(_loading(desired, version) for version in policy_rules.VERSIONS)
    script = _SCRIPT_TEXT.format(kinds=kinds, device=DEVICE, versions=versions)
    found: dict[str, Entry] = {
        **rule_files(desired),
        LOAD_ROUTES: File(script.encode(), 0o755),
        UNIT: unit("Routes before the SPICE consoles", LOAD_ROUTES),
        ENABLED: Link(UNIT),
    }
    return {**found, NETWORKD: File(_NETWORKD_TEXT.encode(), 0o644)} if networkd else found


def rule_files(desired: DesiredState | None) -> dict[str, File]:
    """Return the files with the rules of grants, by path.

    desired
        The desired state; ``None`` for files without any rule.
    """
    return {path: File(_stored(desired, version) if desired else b"", 0o600) for version, path in RULES.items()}


def _loading(desired: DesiredState, version: int) -> str:
    """Return the commands of one IP version. Only numbers and addresses come from pillar."""
    closing = policy_rules.closing_rules(desired, version)
    if not closing:
        return f"# Nothing is guarded in IPv{version}."
    leads = (policy_rules.PAST, policy_rules.ENTER)
    first = sorted((rule for rule in closing if rule.preference not in leads), reverse=True)
    return _VERSION_TEXT.format(
        version=version,
        route=f"default dev {DEVICE} table {policy_rules.TABLE} protocol {policy_rules.PROTOCOL}",
        closing="\n".join(f"rule {rule.words}" for rule in first),
        path=RULES[version],
        closed=policy_rules.CLOSED,
        leading="\n".join(f"rule {rule.words}" for rule in closing if rule.preference in leads),
    )


def _stored(desired: DesiredState, version: int) -> bytes:
    granted = policy_rules.granted_rules(desired, version) if policy_rules.closing_rules(desired, version) else []
    return "".join(f"rule add {rule.words}\n" for rule in granted).encode()


def plan_boot_files(entries: Mapping[str, Entry], live: Mapping[str, Entry | None]) -> tuple[list[Change], list[str]]:
    """Compare the desired stored files with those on disk; return the changes in words, and the paths to write.

    Files that must not be there are among the changes only.
    """
    verbs = {path: difference(entry, live.get(path)) for path, entry in entries.items()}
    write = [path for path, verb in verbs.items() if verb]
    sentences = [f"{verbs[path]} {path}" for path in write if path not in RULES.values()]
    if any(path in RULES.values() for path in write):
        sentences.append("stores the rules for the next boot")
    sentences += [f"removes {path}" for path in PATHS if path not in entries and live.get(path) is not None]
    return [Change("routing", what) for what in sentences], write
