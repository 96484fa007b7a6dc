"""The kernel's rules by way of nft: reads and changes our own table."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spicegrants import boot, nftables, owners
from spicegrants.compile import Wanted
from spicegrants.errors import LiveStateUnreadable
from spicegrants.guard import FirewallPlan, Key
from spicegrants.host import mounts, run

# Where libc finds accounts: files, and which other sources there are; without the latter it looks in files alone.
_NAMES = ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf")
# A server of names that libc asks whatever that says.
_NAME_SERVERS = ("/run/nscd",)


class Nftables:
    """The table ``inet spice_grant``."""

    name = "nftables"

    def version(self) -> str:
        """Return what nft calls itself."""
        return run.run(["nft", "--version"]).strip()

    def plan(self, wanted: Wanted) -> FirewallPlan:
        """Compare what is wanted with what the kernel holds."""
        return self.compare(wanted, self.held())

    def compare(self, wanted: Wanted, held: list[dict[str, Any]] | None) -> FirewallPlan:
        """Compare what is wanted with what the kernel held."""
        return nftables.plan(wanted, held)

    def send(self, planned: FirewallPlan) -> None:
        """Make a plan's changes, each of its parts in one transaction."""
        for commands in filter(None, (planned.before, planned.commands, planned.after)):
            load(commands)

    def present(self) -> bool:
        """Tell whether the kernel holds anything of ours."""
        return self.held() is not None

    def delete(self) -> None:
        """Take all of ours away."""
        run.run(["nft", "delete", "table", nftables.FAMILY, nftables.TABLE])

    def rules(self, foreign: bool) -> list[dict[str, Any]]:
        """Return our elements and, if asked for, other tables' owner-match rules."""
        objects = _listed(["list", "ruleset"])
        own = [entry for entry in objects if any(map(nftables.is_ours, entry.values()))]
        return owners.ours(nftables.elements(own), nftables.chains(own)) + (owners.foreign(objects) if foreign else [])

    def denied(self) -> Mapping[Key, int]:
        """Return how many packets of whom were refused within the last hour."""
        return nftables.denied(self.held() or [])

    def witness(self) -> Callable[[], Mapping[Key, int]]:
        """Return what says how often the guard refused whom so far."""
        return self.denied

    def loading(self, wanted: Wanted) -> boot.Loading:
        """Return what loads the guard without us."""
        return boot.for_nftables(wanted)

    def held(self) -> list[dict[str, Any]] | None:
        """Return the objects of our table; ``None`` if there is no such table, which is not the same as unreadable."""
        done = run.attempt(["nft", "-nj", "list", "table", nftables.FAMILY, nftables.TABLE])
        if done.returncode == 0:
            try:
                return run.as_json(done.stdout, "nft list table")["nftables"]
            except LiveStateUnreadable:
                # Where a table is asleep nft 1.0.6 frees the word for that before it prints it: what comes is a matter
                # of luck. Nothing in such a table is in force.
                if not _asleep():
                    raise
                return [{"table": {"family": nftables.FAMILY, "name": nftables.TABLE, "flags": "dormant"}}]
        tables = [entry["table"] for entry in _listed(["list", "tables"]) if "table" in entry]
        if any((table["family"], table["name"]) == (nftables.FAMILY, nftables.TABLE) for table in tables):
            raise LiveStateUnreadable(f"nft list table ended with {done.returncode}: {done.stderr.strip()}")
        return None


def load(commands: Sequence[Any]) -> None:
    """Change the kernel's rules, in one transaction.

    nft looks each number of a user or group up as a name first, sign or not: thousands of times, which takes seconds
    where there are many accounts, or a directory service to be asked. So it sees no accounts. Where it cannot be kept
    from seeing them it takes longer, and means the same.
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
        mounts.apart(loaded)
    except RuntimeError:
        run.run(["nft", "-j", "-f", "-"], text=text)


def _asleep() -> bool:
    """Tell whether our table is asleep, by nft's text, without the elements."""
    printed = run.run(["nft", "--terse", "list", "table", nftables.FAMILY, nftables.TABLE])
    return any(line.strip() == "flags dormant" for line in printed.splitlines()[:3])


def _listed(what: list[str]) -> list[dict[str, Any]]:
    return run.as_json(run.run(["nft", "-nj", *what]), f"nft {' '.join(what)}")["nftables"]
