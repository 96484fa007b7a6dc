"""Read and change rules and routes by ip(8), and test whether this machine can route by user and port."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from spicegrants.core.errors import CommandFailed, LiveStateUnreadable
from spicegrants.core.paths import DEVICE
from spicegrants.host import run
from spicegrants.policy.closing import Door
from spicegrants.policy.compiler import DesiredState
from spicegrants.policy.model import Policy
from spicegrants.routing import policy_rules, transition
from spicegrants.routing.policy_rules import KINDS, TABLE, Live, RoutingRule
from spicegrants.routing.transition import RoutingPlan

_IPV6 = "/proc/sys/net/ipv6/conf"
_NETWORKD = ("/lib/systemd/systemd-networkd", "/usr/lib/systemd/systemd-networkd")
# What a machine must be able to do, tried where it leaves nothing behind.
_TRIAL = (
    f"rule add pref {policy_rules.END} protocol {policy_rules.PROTOCOL} nop",
    f"rule add pref {policy_rules.GRANTED} uidrange 1-1 ipproto tcp dport 1-2 goto {policy_rules.END}",
    f"link add {DEVICE} type ",
)


def versions() -> tuple[int, ...]:
    """Return the IP versions that the kernel has."""
    return policy_rules.VERSIONS if os.path.isdir(_IPV6) else (4,)


def installed() -> bool:
    """Tell whether ip(8) exists at all: without it, nothing can be of ours."""
    return shutil.which("ip", path=run.SEARCH) is not None


def read_kernel() -> Live:
    """Return what the kernel holds of rules, routes and links; raise if it cannot be read."""
    rules: dict[int, Any] = {}
    routes: dict[int, Any] = {}
    links: list[dict[str, Any]] = []
    for version in versions():
        questions = ["rule show", f"route show table {TABLE}", *(["link show"] if version == 4 else [])]
        printed = run.run(["ip", "-N", "-j", "-d", f"-{version}", "-batch", "-"], text="\n".join([*questions, ""]))
        lists = _lists(printed)
        if len(lists) != len(questions):
            raise LiveStateUnreadable(f"ip -{version} answered {len(lists)} of {len(questions)} questions")
        rules[version], routes[version], *rest = lists
        links = rest[0] if rest else links
    return Live(rules, routes, links)


def kernel_if_any() -> Live | None:
    """Return what the kernel holds; ``None`` without ip(8), and so with nothing of ours."""
    return read_kernel() if installed() else None


def _lists(printed: str) -> list[Any]:
    """Return the lists that a batch prints one after the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    printed = printed.strip()
    try:
        while at < len(printed):
            each, end = decoder.raw_decode(printed, at)
            found.append(each)
            at = end + len(printed[end:]) - len(printed[end:].lstrip())
    except ValueError as error:
        raise LiveStateUnreadable(f"ip printed what is no JSON: {error}") from error
    return found


def hindrance() -> str | None:
    """Return why this machine cannot route by user and port, ``None`` if it can; tried in a separate namespace."""
    absent = run.missing("ip", "unshare")
    if absent:
        return run.not_installed(absent)
    why = ""
    for kind in KINDS:
        result = run.attempt(["unshare", "--net", "ip", "-batch", "-"], text="\n".join(_TRIAL) + f"{kind}\n")
        if result.returncode == 0:
            return None
        why = " ".join(result.stderr.split())[:200]
    return f"rules by user and port, and a device that swallows packets, cannot be made here: {why}"


def chosen(policy: Policy | None, live: Live | None) -> tuple[bool, str | None]:
    """Return whether the layer is on, and what hinders it if pillar turns it on or leaves it open.

    live
        The kernel's rules, if it could be asked. If all of them are there, nothing needs to be tried.
    """
    if policy is None or policy.routing.enabled is False:
        return False, None
    with run.understood("ip"):
        standing = live is not None and any(
            policy_rules.ours(entry) for found in live.rules.values() for entry in found
        )
    hindered = None if standing else hindrance()
    return hindered is None, hindered


def plan_kernel(desired: DesiredState | None, live: Live | None) -> RoutingPlan | None:
    """Compare the desired state with the kernel's rules and routes; ``None`` without ip(8)."""
    with run.understood("ip"):
        return None if live is None else transition.plan_transition(desired, live)


def plan_closing(
    desired: DesiredState | None, live: Live | None, lost_doors: Collection[Door] | None
) -> RoutingPlan | None:
    """Return the plan that removes the rules by which users pass; see :func:`transition.plan_closing`."""
    with run.understood("ip"):
        return None if live is None else transition.plan_closing(desired, live, lost_doors)


def own_rules(live: Live) -> list[RoutingRule]:
    """Return the listed rules that are ours."""
    with run.understood("ip"):
        return [rule for found in live.rules.values() for entry in found if (rule := policy_rules.parse_rule(entry))]


def networkd() -> bool:
    """Tell whether the machine has systemd-networkd."""
    return any(os.path.exists(path) for path in _NETWORKD)


def device(what: str) -> None:
    """Create our device, set it up, or remove it, as a plan demands."""
    if what == "remove":
        run.run(["ip", "link", "delete", "dev", DEVICE])
        return
    if what == "make":
        run.attempt(["ip", "link", "delete", "dev", DEVICE])
        for kind in KINDS:
            result = run.attempt(["ip", "link", "add", DEVICE, "type", kind])
            if result.returncode == 0:
                break
        else:
            raise CommandFailed(f"device {DEVICE} cannot be made: {result.stderr.strip()}")
        # No address of its own in IPv6; a kernel without that knows no such mode.
        run.attempt(["ip", "link", "set", "dev", DEVICE, "addrgenmode", "none"])
    run.run(["ip", "link", "set", "dev", DEVICE, "up"])
    _allow_ipv6()


def _allow_ipv6() -> None:
    """Let our device take IPv6 routes, even where new devices come without IPv6; a container may not change that."""
    switch = f"{_IPV6}/{DEVICE}/disable_ipv6"
    try:
        with open(switch, encoding="ascii") as stream:
            if stream.read().strip() == "0":
                return
        with open(switch, "w", encoding="ascii") as stream:
            stream.write("0")
    except FileNotFoundError:
        # A kernel without IPv6.
        return
    except OSError as error:
        raise CommandFailed(f"{DEVICE} cannot take routes of IPv6: {error}") from error


def carry_out(planned: RoutingPlan | None) -> None:
    """Carry a plan out, if there is one: the device comes first, since its routes need it, or last, if it goes."""
    if planned is None:
        return
    if planned.device in ("make", "set up"):
        device(planned.device)
    send(planned.commands)
    if planned.device == "remove":
        device(planned.device)


def send(commands: Mapping[int, Iterable[str]]) -> None:
    """Apply commands for rules and routes line by line, in the given order; raise at the first refusal."""
    for version, lines in commands.items():
        text = "".join(f"{line}\n" for line in lines)
        if text:
            run.run(["ip", f"-{version}", "-batch", "-"], text=text)
