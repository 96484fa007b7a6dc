"""Read and change our own table in the kernel by nft."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.firewall import boot, owner_rules
from spicegrants.firewall.guard import FirewallPlan, Key
from spicegrants.firewall.nft import guard_table
from spicegrants.host import background, mounts, run
from spicegrants.policy.compiler import DesiredState

# Where libc finds accounts: files, and which other sources there are; without the latter it looks in files alone.
_NAMES = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf")
# A server of names that libc asks whatever that says.
_NAME_SERVERS = ("/run/nscd",)


class Nftables:
    """The table ``inet spice_grant``."""

    name = "nftables"

    def version(self) -> str:
        """Return the name and version that nft reports."""
        return run.run(["nft", "--version"]).strip()

    def plan(self, desired: DesiredState) -> FirewallPlan:
        """Compare the desired state with what the kernel holds."""
        return self.compare(desired, self.live_rules())

    def compare(self, desired: DesiredState, live: list[dict[str, Any]] | None, giving: bool = True) -> FirewallPlan:
        """Compare the desired state with a listing that was read before.

        giving
            Whether the plan may open anything.
        """
        with run.understood("nft"):
            return guard_table.plan_guard_table(desired, live, giving)

    def plan_closing(
        self, desired: DesiredState | None, doors: Collection[tuple[int, str, int]] | None
    ) -> FirewallPlan:
        """Return the plan that closes what is open beyond the desired state, at some doors or at all."""
        live = self.live_rules()
        if desired is not None and doors is None:
            return self.compare(desired, live, giving=False)
        with run.understood("nft"):
            return guard_table.plan_closing(desired, live, doors)

    def send(self, planned: FirewallPlan) -> None:
        """Apply a plan, each of its parts in one transaction."""
        for commands in filter(None, (planned.before, planned.commands, planned.after)):
            load(commands)

    def present(self) -> bool:
        """Tell whether the kernel holds anything of ours."""
        return self.live_rules() is not None

    def delete(self) -> None:
        """Delete everything of ours: first the rules, then the sets and maps that they look up.

        If rules went together with their sets, a packet on its way through the rules would find nothing in the sets any
        more, and a granted session would be reset (seen: 18 of 48,000 connections while a table was deleted 500 times).
        """
        for verb in ("flush", "delete"):
            run.run(["nft", verb, "table", guard_table.FAMILY, guard_table.TABLE])

    def rules(self, foreign: bool) -> list[dict[str, Any]]:
        """Return our elements and, if asked for, other tables' owner-match rules."""
        objects = ruleset()
        with run.understood("nft"):
            own = [entry for entry in objects if any(map(guard_table.is_ours, entry.values()))]
            found = owner_rules.ours(guard_table.elements(own), guard_table.chains(own))
            return found + (owner_rules.foreign(objects) if foreign else [])

    def denied(self) -> Mapping[Key, int]:
        """Return the number of refused packets within the last hour, by key."""
        live = self.live_rules() or []
        with run.understood("nft"):
            return guard_table.denied(live)

    def witness(self) -> Callable[[], Mapping[Key, int]]:
        """Return a function that counts refusals by key so far."""
        return self.denied

    def loading(self, desired: DesiredState) -> boot.Loading:
        """Return the stored rules and commands that load the guard at a boot."""
        return boot.for_nftables(desired)

    def live_rules(self) -> list[dict[str, Any]] | None:
        """Return the objects of our table; ``None`` if it does not exist, which differs from an unreadable one."""
        return table(guard_table.FAMILY, guard_table.TABLE)


def table(family: str, name: str) -> list[dict[str, Any]] | None:
    """Return the objects of a table; ``None`` if it does not exist, which differs from an unreadable one."""
    result = run.attempt(["nft", "-nj", "list", "table", family, name])
    if result.returncode == 0:
        try:
            return objects(result.stdout, "nft list table")
        except LiveStateUnreadable:
            # Where a table is asleep nft 1.0.6 frees the word for that before it prints it: what comes is a matter of
            # luck. Nothing in such a table is in force.
            if "dormant" not in flags(family, name):
                raise
            return [{"table": {"family": family, "name": name, "flags": "dormant"}}]
    if (family, name) in tables():
        raise LiveStateUnreadable(f"nft list table ended with {result.returncode}: {result.stderr.strip()}")
    return None


def load(commands: Sequence[Any]) -> None:
    """Change the kernel's rules, in one transaction.

    nft first looks up each number of a user or group as a name, sign or not. Thousands of look-ups take seconds where
    there are many accounts, or a directory service. So accounts are hidden from it. Where they cannot be hidden,
    loading takes longer and has the same result.
    """
    text = json.dumps({"nftables": commands})

    def loaded() -> None:
        with contextlib.suppress(OSError):
            mounts.own_namespace()
            for path in filter(os.path.isfile, _NAMES):
                mounts.nothing_at(path)
            for path in filter(os.path.isdir, _NAME_SERVERS):
                mounts.in_memory(path)
        run.run(["nft", "-j", "-f", "-"], text=text)

    try:
        background.apart(loaded)
    except RuntimeError:
        run.run(["nft", "-j", "-f", "-"], text=text)


def release() -> tuple[int, ...]:
    """Return the release of nft as numbers: ``(1, 0, 6)``."""
    return tuple(map(int, re.findall(r"[0-9]+", run.run(["nft", "--version"]))[:3]))


def tables() -> list[tuple[str, str]]:
    """Return family and name of all existing tables.

    They are read from nft's text output: before 1.1, nft frees a table's flag before it prints the table as JSON, and
    the output is a matter of luck, often no JSON at all.
    """
    lines = (line.split() for line in run.run(["nft", "list", "tables"]).splitlines())
    return [(words[1], words[2]) for words in lines if len(words) == 3 and words[0] == "table"]


def flags(family: str, table: str) -> frozenset[str]:
    """Return the flags of a table, none if it does not exist; also read from nft's text output."""
    printed = run.attempt(["nft", "--terse", "list", "table", family, table]).stdout
    lines = (line.split() for line in printed.splitlines()[:3])
    return frozenset(flag for words in lines if words[:1] == ["flags"] for flag in "".join(words[1:]).split(","))


def ruleset() -> list[dict[str, Any]]:
    """Return the objects of all tables; of a table whose JSON is broken, only chains and rules, without sets."""
    try:
        return _listed("ruleset")
    except LiveStateUnreadable:
        return [entry for family, table in tables() for entry in _table(family, table)]


def outline() -> list[dict[str, Any]]:
    """Return the objects of all tables without the elements of sets and maps, which may be many."""
    try:
        return _listed("ruleset", terse=True)
    except LiveStateUnreadable:
        return ruleset()


def elements(kind: str, family: str, table: str, name: str) -> list[Any]:
    """Return the elements of a set or map.

    kind
        ``set`` or ``map``.
    """
    found = [entry[kind] for entry in _listed(kind, family, table, name) if kind in entry]
    return found[0].get("elem", []) if found else []


def _table(family: str, table: str) -> list[dict[str, Any]]:
    try:
        return _listed("table", family, table)
    except LiveStateUnreadable:
        found = [entry["chain"] for entry in _listed("chains", family) if "chain" in entry]
        chains = [chain["name"] for chain in found if chain["table"] == table]
        whole = {"table": {"family": family, "name": table, "flags": sorted(flags(family, table))}}
        return [whole, *(entry for name in chains for entry in _listed("chain", family, table, name))]


def _listed(*what: str, terse: bool = False) -> list[dict[str, Any]]:
    return objects(run.run(["nft", "-njt" if terse else "-nj", "list", *what]), f"nft list {' '.join(what)}")


def objects(printed: str, command: str) -> list[dict[str, Any]]:
    """Return the objects in nft's JSON output; raise if the output is no such JSON."""
    listed = run.as_json(printed, command).get("nftables")
    if not isinstance(listed, list):
        raise LiveStateUnreadable(f"{command} printed no list of objects")
    return listed
