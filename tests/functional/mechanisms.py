"""The mechanisms that may hold the guard: what tests do to their rules by hand, and tests played by each of them."""

import re

from amount import first_of


class NftablesTimes:
    """What is done to chains of nftables that say when."""

    def empty(self, office, name):
        """Take its rules."""
        office.nft("flush", "chain", "inet", "spice_grant", name)

    def open_always(self, office, name):
        """Let everything pass before it asks for the time."""
        office.nft("insert", "rule", "inet", "spice_grant", name, "accept")

    def widen(self, office, name):
        """Make its first window start long ago, and end in ten years."""
        self.empty(office, name)
        rule = 'meta time "2020-01-01 00:00:00"-"2036-01-01 00:00:00" accept'
        office.nft("add", "rule", "inet", "spice_grant", name, rule)

    def lead_astray(self, office, name):
        """Have the first user's IPv4 element lead to another chain than this."""
        key = f"1021 . {office.gid()} . 192.168.2.2 . 20002"
        other = "schedule_now"
        office.nft("delete", "element", "inet", "spice_grant", "grants4", f"{{ {key} : jump {name} }}")
        text = f'{{ {key} comment "debianx" : jump {other} }}'
        office.nft("add", "element", "inet", "spice_grant", "grants4", text)

    def add(self, office):
        """Make another one, that opens everything, if anything led to it."""
        office.nft("add", "chain", "inet", "spice_grant", "schedule_more")
        office.nft("add", "rule", "inet", "spice_grant", "schedule_more", "accept")


class IptablesTimes:
    """What is done to chains of iptables that say when, for IPv4."""

    def _chain(self, office, name):
        listed = office.client.run(["iptables-save", "-t", "filter"]).stdout.splitlines()
        (line,) = [line for line in listed if f"--comment {name} " in line]
        return line.split()[1]

    def empty(self, office, name):
        """Take its rules."""
        office.client.run(["iptables", "--wait", "-F", self._chain(office, name)])

    def open_always(self, office, name):
        """Let everything pass before it asks for the time."""
        office.client.run(["iptables", "--wait", "-I", self._chain(office, name), "-p", "tcp", "-j", "RETURN"])

    def widen(self, office, name):
        """Make its first window start long ago, and end in ten years."""
        dates = ["--datestart", "2020-01-01T00:00:00", "--datestop", "2036-01-01T00:00:00"]
        office.client.run(
            ["iptables", "--wait", "-R", self._chain(office, name), "1", "-m", "time", *dates, "-j", "RETURN"]
        )

    def lead_astray(self, office, name):
        """Have the first user's IPv4 rule lead to another chain than this."""
        chain, other = self._chain(office, name), self._chain(office, "schedule_now")
        rules = office.client.run(["iptables", "-S", "SPICE-GRANT"]).stdout.splitlines()
        (rule,) = [rule for rule in rules if rule.endswith(f"-g {chain}")]
        words = rule.split()[2:-1]
        office.client.run(["iptables", "--wait", "-D", "SPICE-GRANT", *words, chain])
        office.client.run(["iptables", "--wait", "-I", "SPICE-GRANT", *words, other])

    def add(self, office):
        """Make another one, that opens everything, if anything led to it."""
        office.client.run(["iptables", "--wait", "-N", "SPICE-GRANT-T-0123456789"])
        office.client.run(["iptables", "--wait", "-A", "SPICE-GRANT-T-0123456789", "-j", "RETURN"])


class Nftables:
    """The table of our own."""

    name = "nftables"
    times = NftablesTimes()
    programs = ("nft",)
    loads = "nft"

    def prepare(self, office):
        """Nothing: it is what a machine uses by itself."""

    def refused(self, office):
        """What the guard has refused so far, in a form that compares."""
        return office.minion.call("spice_firewall.denied")

    def tamper(self, office):
        """Put a rule that does no harm in front of the grants."""
        office.nft("insert", "rule", "inet", "spice_grant", "guard", "tcp", "dport", "1", "accept")

    def forget(self, office):
        """Take all grants out of the guard for IPv4."""
        office.nft("flush", "map", "inet", "spice_grant", "grants4")

    def let(self, office, uid, address, port):
        """Let a UID with the viewer's group through to a place."""
        element = f'{{ {uid} . {office.gid()} . {address} . {port} comment "debianx" : accept }}'
        office.nft("add", "element", "inet", "spice_grant", "grants4", element)

    def stop(self, office, uid, address, port):
        """Let it through no more."""
        element = f"{{ {uid} . {office.gid()} . {address} . {port} : accept }}"
        office.nft("delete", "element", "inet", "spice_grant", "grants4", element)

    def delete(self, office):
        """Take the guard away."""
        office.nft("delete", "table", "inet", "spice_grant")

    def ruleset(self, office):
        """Rules that nft does not show."""
        return []


class Iptables:
    """The chains of our own, in either implementation."""

    programs = ("iptables", "ip6tables")
    times = IptablesTimes()

    def __init__(self, variant):
        self.name = f"iptables-{variant}"
        self.variant = variant
        self.loads = f"iptables-{variant}-restore"

    def prepare(self, office):
        """Make this implementation the machine's, as update-alternatives does."""
        for program in self.programs:
            for part in ("", "-save", "-restore"):
                command = ["ln", "-sf", f"/usr/sbin/{program}-{self.variant}{part}", f"/usr/sbin/{program}{part}"]
                office.client.run(command)

    def run(self, office, *words, programs=programs):
        """Run iptables and ip6tables, or one of them."""
        return "".join(office.client.run([program, "--wait", *words]).stdout for program in programs)

    def refused(self, office):
        """What the guard has reported as refused so far, in a form that compares."""
        listed = self.run(office, "-vnxL", "SPICE-GRANT-DENY")
        found = [line.split()[0] for line in listed.splitlines() if "NFLOG" in line]
        assert len(found) == len(self.programs), listed
        return found

    def tamper(self, office):
        """Put a rule that does no harm in front of the grants."""
        self.run(office, "-I", "SPICE-GRANT", "-p", "tcp", "--dport", "1", "-j", "ACCEPT")

    def forget(self, office):
        """Take all grants out of the guard for IPv4."""
        rules = self.run(office, "-S", "SPICE-GRANT", programs=("iptables",)).splitlines()
        for _ in [rule for rule in rules if "--gid-owner" in rule]:
            self.run(office, "-D", "SPICE-GRANT", "1", programs=("iptables",))

    def let(self, office, uid, address, port, verb="-I", vm="debianx"):
        """Let a UID with the viewer's group through to a place."""
        place = ["-d", f"{address}/32", "-p", "tcp", "-m", "tcp", "--dport", port]
        owner = ["-m", "owner", "--uid-owner", uid, "--gid-owner", office.gid()]
        words = [*place, *owner, "-m", "comment", "--comment", vm, "-j", "RETURN"]
        self.run(office, verb, "SPICE-GRANT", *map(str, words), programs=("iptables",))

    def stop(self, office, uid, address, port):
        """Let it through no more."""
        self.let(office, uid, address, port, "-D", "leaptest")

    def delete(self, office):
        """Take the guard away, and with it whatever else is in the table: ``iptables -F; iptables -X``."""
        self.run(office, "-F")
        self.run(office, "-X")

    def ruleset(self, office):
        """Rules that nft does not show, counters aside."""
        if self.variant == "nft":
            return []
        saved = "".join(office.client.run([f"{program}-save"]).stdout for program in self.programs)
        return [re.sub(r"\[[0-9:]*\]", "", line) for line in saved.splitlines() if not line.startswith("#")]


MECHANISMS = {made.name: made for made in (Nftables(), Iptables("nft"), Iptables("legacy"))}


def by_each(mechanisms=tuple(MECHANISMS)):
    """Parameters of a test that is played by these mechanisms: the first in each run, the others in a full one."""
    return first_of(mechanisms)


def play_by_each(metafunc, fixture):
    """Play each test that has this fixture by the mechanisms in its module's ``MECHANISMS``, see :func:`by_each`."""
    if fixture in metafunc.fixturenames:
        chosen = getattr(metafunc.module, "MECHANISMS", ["nftables"])
        ids = list(chosen) if chosen[1:] else [""]
        metafunc.parametrize(fixture, by_each(chosen), indirect=True, scope="module", ids=ids)
