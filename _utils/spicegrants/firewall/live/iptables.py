"""Read and change our own chains in the kernel by iptables-save and iptables-restore.

There are two implementations, each with rules of its own: ``iptables-nft`` and ``iptables-legacy``.
"""

from __future__ import annotations

import operator
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from typing import Any

from spicegrants.core.errors import CommandFailed, SystemFault
from spicegrants.firewall import boot, owner_rules
from spicegrants.firewall.guard import FirewallPlan, Key
from spicegrants.firewall.iptables import deny, guard_chains
from spicegrants.firewall.live import nflog
from spicegrants.host import run
from spicegrants.policy.compiler import DesiredState

_PROGRAMS = {4: "iptables", 6: "ip6tables"}
# What the kernel shows once the old implementation has been used.
_LEGACY_TABLES = {4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names"}
# Counters, and comments with the time.
_PASSING = re.compile(r"^#.*\n|\[[0-9]+:[0-9]+\]", re.MULTILINE)


class Iptables:
    """Our chains in the table ``filter``, IPv4 and, unless the kernel has none, IPv6."""

    def __init__(self, name: str) -> None:
        """Use the rules of one implementation, ``iptables-nft`` or ``iptables-legacy``."""
        self.name = name
        self._variant = name.removeprefix("iptables-")

    def version(self) -> str:
        """Return the name and version that iptables reports."""
        return run.run([self._tools()[4], "--version"]).strip()

    def plan(self, desired: DesiredState) -> FirewallPlan:
        """Compare the desired state with what the kernel holds."""
        return self.compare(desired, self.live_rules())

    def compare(
        self, desired: DesiredState, live: Mapping[int, guard_chains.Table], giving: bool = True
    ) -> FirewallPlan:
        """Compare the desired state with tables that were read before.

        giving
            Whether the plan may open anything.
        """
        with run.understood("iptables-save"):
            return guard_chains.plan_guard_chains(desired, live, giving)

    def plan_closing(
        self, desired: DesiredState | None, doors: Collection[tuple[int, str, int]] | None
    ) -> FirewallPlan:
        """Return the plan that closes what is open beyond the desired state, at some doors or at all."""
        live = self.live_rules()
        if desired is not None and doors is None:
            return self.compare(desired, live, giving=False)
        with run.understood("iptables-save"):
            return guard_chains.plan_closing(desired, live, doors)

    def send(self, planned: FirewallPlan) -> None:
        """Apply a plan, in one step for each IP version."""
        self._restore(planned.commands)

    def _restore(self, texts: Mapping[int, str]) -> None:
        for version, text in sorted(texts.items()):
            run.run([f"{self._tools()[version]}-restore", "--noflush", "--wait"], text=text)

    def present(self) -> bool:
        """Tell whether the kernel holds anything of ours."""
        return any(map(guard_chains.holds_ours, self.live_rules().values()))

    def delete(self) -> None:
        """Delete everything of ours."""
        self._restore({version: guard_chains.removal(table) for version, table in self.live_rules().items() if table})

    def rules(self, foreign: bool) -> list[dict[str, Any]]:
        """Return the rules of grants and, if asked for, other chains' owner-match rules."""
        tables = sorted(self.live_rules().items())
        own = [owner_rules.ours(guard_chains.elements(table), guard_chains.chains(table)) for _, table in tables]
        found = sorted(
            (rule for rules in own for rule in rules), key=operator.itemgetter("uid", "gid", "address", "port")
        )
        for version, table in tables if foreign else ():
            found += owner_rules.foreign_rules(table, {4: "ip", 6: "ip6"}[version])
        return found

    def printed(self) -> str:
        """Return the rules as text, without the parts that packets and time change."""
        texts = (run.run([f"{tool}-save", "--table", "filter"]) for tool in self._tools().values())
        return _PASSING.sub("", "".join(texts))

    def denied(self) -> Mapping[Key, int]:
        """Raise: iptables keeps no list of refusals."""
        raise SystemFault("iptables keeps no list of what was refused; the kernel's log has it")

    def witness(self) -> Callable[[], Mapping[Key, int]]:
        """Return a function that counts refusals by key since its first call."""
        return nflog.Witness(deny.NFLOG_GROUP)

    def loading(self, desired: DesiredState) -> boot.Loading:
        """Return the stored rules and commands that load the guard at a boot."""
        return boot.for_iptables(desired, self.name, self._tools())

    def _tools(self) -> dict[int, str]:
        """Return the programs by IP version, by their full names where both implementations are installed."""
        versions = [4, 6] if os.path.exists("/proc/sys/net/ipv6") else [4]
        tools = {}
        for version in versions:
            exact = f"{_PROGRAMS[version]}-{self._variant}"
            tools[version] = exact if shutil.which(exact, path=run.SEARCH) else _PROGRAMS[version]
        return tools

    def live_rules(self) -> dict[int, guard_chains.Table]:
        """Return the tables that hold our chains, by IP version."""
        return {version: self._table(version, tool) for version, tool in self._tools().items()}

    def _table(self, version: int, tool: str) -> guard_chains.Table:
        return guard_chains.parse_saved_rules(run.run([f"{tool}-save", "--counters", "--table", "filter"]))


def variant() -> str:
    """Return the implementation behind ``iptables`` on this machine."""
    return "iptables-nft" if re.search(r"\(nf_tables\)", run.run(["iptables", "--version"])) else "iptables-legacy"


def installed(name: str) -> bool:
    """Tell whether an implementation is installed."""
    try:
        return shutil.which(name, path=run.SEARCH) is not None or variant() == name
    except CommandFailed:
        return False


def in_use(name: str) -> bool:
    """Tell whether the kernel may hold rules of an implementation; load nothing into the kernel to find out."""
    if name == "iptables-nft":
        return True
    found = []
    for path in _LEGACY_TABLES.values():
        try:
            with open(path, encoding="ascii") as stream:
                found += stream.read().split()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SystemFault(f"{path} cannot be read: {error}") from error
    return "filter" in found
