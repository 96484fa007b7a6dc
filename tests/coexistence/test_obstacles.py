"""A site's own rules keep a granted user from a console: whoever asks learns which, and hears of no others."""

import contextlib

import pytest
from functional.office import Office

from coexistence.conftest import PROGRAMS
from scene import need
from scenes import ADDRESS, GROUP

IPTABLES = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT {policy} [0:0]\n{rules}COMMIT\n"
LOOPBACK = "-A OUTPUT -o lo -j ACCEPT\n-A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
# What a site that lets out what it knows would have, as three programs write it; and what the chain is called then.
LETS_OUT_THE_WEB = {
    "nft": """
table inet site {
    set web { type inet_service; elements = { 80, 443 }; }
    chain out {
        type filter hook output priority 0; policy drop;
        oifname "lo" accept
        ct state established,related accept
        tcp dport @web accept
    }
}
""",
    "iptables-nft": IPTABLES.format(
        policy="DROP", rules=f"{LOOPBACK}-A OUTPUT -p tcp -m multiport --dports 80,443 -j ACCEPT\n"
    ),
}
LETS_OUT_THE_WEB["iptables-legacy"] = LETS_OUT_THE_WEB["iptables-nft"]
CHAINS = {
    "nft": "chain inet site out (policy drop)",
    "iptables-nft": "chain ip filter OUTPUT (policy drop)",
    "iptables-legacy": "chain iptables-legacy ip filter OUTPUT (policy drop)",
}
# What lets the consoles out as well, put before all others.
LETS_OUT_CONSOLES = {
    "nft": ["nft", "insert", "rule", "inet", "site", "out", "tcp", "dport", "20001-20010", "accept"],
    **{
        program: [program, "-I", "OUTPUT", "-p", "tcp", "--dport", "20001:20010", "-j", "ACCEPT"]
        for program in ("iptables-nft", "iptables-legacy")
    },
}


@contextlib.contextmanager
def loaded(office, program, text):
    """Have rules in force for a while."""
    try:
        load(office, program, text)
        yield
    finally:
        if program == "nft":
            office.nft("delete", "table", "inet", "site")
        else:
            load(office, program, IPTABLES.format(policy="ACCEPT", rules=""))


def load(office, program, text):
    command = ["nft", "-f", "-"] if program == "nft" else [f"{program}-restore"]
    office.client.run(command, input=text)


def explained(office, user, vm):
    return office.minion.call("spice_grant.explain", user, vm)


@pytest.mark.parametrize("program", LETS_OUT_THE_WEB)
def test_a_policy_that_drops_is_named(guarded, program):
    """By explain and by verify, for the granted pairs only; and no more as soon as the site lets the consoles out."""
    with loaded(guarded, program, LETS_OUT_THE_WEB[program]):
        found = explained(guarded, "myself", "debianx")
        assert (found["answer"], found["firewall"]["answer"]) == ("blocked", "blocked")
        assert f"but towards {ADDRESS} {CHAINS[program]} drops it" in found["firewall"]["why"]
        assert explained(guarded, "nogrant", "debianx")["answer"] == "may not open"
        (what,) = guarded.verify(vm="debianx")["differences"]
        assert what == f"myself x debianx: {ADDRESS} is unreachable with the viewer's group: {CHAINS[program]} drops it"

        guarded.client.run(LETS_OUT_CONSOLES[program])
        assert guarded.reach("myself", GROUP, ADDRESS, 20002) == "open"
        assert explained(guarded, "myself", "debianx")["answer"] == "may open"
        assert guarded.verify()["ok"] is True


@pytest.mark.parametrize("program", ["nft", "iptables-nft", "iptables-legacy"])
def test_a_rule_that_rejects_one_user(guarded, program):
    """It is named for myself; mybro may open leaptest, and nothing is said."""
    rules = "-A OUTPUT -p tcp -m tcp --dport 20002 -m owner --uid-owner 1021 -j REJECT --reject-with tcp-reset\n"
    text = IPTABLES.format(policy="ACCEPT", rules=rules)
    if program == "nft":
        text = "table inet site {\nchain out {\ntype filter hook output priority 0;\nmeta skuid 1021 reject\n}\n}\n"
    with loaded(guarded, program, text):
        answer = guarded.verify()
        (what,) = answer["differences"]
        assert what.startswith(f"myself x debianx: {ADDRESS} is unreachable with the viewer's group: chain ")
        assert "reject) drops it" in what
        assert explained(guarded, "myself", "debianx")["answer"] == "blocked"
        assert explained(guarded, "mybro", "leaptest")["answer"] == "may open"


@pytest.mark.parametrize("mechanism", ["iptables-nft", "iptables-legacy"])
def test_a_policy_of_the_very_chain_that_calls_the_guard(mechanism):
    """Where iptables holds the guard a granted packet goes on to the rules of the site, and these are asked."""
    need(*PROGRAMS)
    with Office(mechanism=mechanism) as office:
        office.applied()
        office.client.run([mechanism, "-A", "OUTPUT", "-o", "lo", "-j", "ACCEPT"])
        office.client.run([mechanism, "-P", "OUTPUT", "DROP"])
        found = explained(office, "myself", "debianx")
        assert found["answer"] == "blocked"
        assert f"{CHAINS[mechanism]} drops it" in found["firewall"]["why"]
        (what,) = office.verify(vm="debianx")["differences"]
        assert (
            what == f"myself x debianx: {ADDRESS} is unreachable with the viewer's group: {CHAINS[mechanism]} drops it"
        )

        office.client.run([mechanism, "-A", "OUTPUT", "-p", "tcp", "--dport", "20001:20010", "-j", "ACCEPT"])
        assert explained(office, "myself", "debianx")["answer"] == "may open"
        assert office.verify()["ok"] is True


def test_what_cannot_be_told_is_said_to_be_so(guarded):
    """A rule that depends on what is not known from outside: explain is in doubt, verify finds out by trying."""
    text = "table inet site {\nchain out {\ntype filter hook output priority 0;\nmeta mark {} drop\n}\n}\n"
    with loaded(guarded, "nft", text.replace("{}", "5")):
        found = explained(guarded, "myself", "debianx")
        assert found["answer"] == "in doubt" and "may drop it" in found["firewall"]["why"]
        assert guarded.verify(user="myself", vm="debianx")["ok"] is True
    with loaded(guarded, "nft", text.replace("{}", "0")):
        (what,) = guarded.verify(user="myself", vm="debianx")["differences"]
        assert "is unreachable with the viewer's group: chain inet site out" in what and what.endswith("may drop it")


def test_rules_that_no_program_can_read(guarded):
    """A container made them with a program of its own, say: whether they are in the way cannot be known."""
    with loaded(guarded, "iptables-legacy", LETS_OUT_THE_WEB["iptables-legacy"]):
        guarded.client.run(["mv", "/usr/sbin/iptables-legacy-save", "/usr/sbin/away"])
        try:
            found = explained(guarded, "myself", "debianx")
        finally:
            guarded.client.run(["mv", "/usr/sbin/away", "/usr/sbin/iptables-legacy-save"])
        assert found["answer"] == "in doubt"
        assert (
            "chain iptables-legacy ip filter OUTPUT (rule 1 which-cannot-be-read) may drop it"
            in found["firewall"]["why"]
        )


def test_a_server_that_is_down_is_nobodys_chain(guarded):
    """Rules of others that let the user through are not blamed for it."""
    with loaded(guarded, "iptables-nft", LETS_OUT_THE_WEB["iptables-nft"]):
        guarded.client.run(LETS_OUT_CONSOLES["iptables-nft"])
        guarded.server.run(["ip", "link", "set", guarded.link.b_dev, "down"])
        try:
            answer = guarded.verify(user="myself", vm="debianx")
        finally:
            guarded.server.run(["ip", "link", "set", guarded.link.b_dev, "up"])
        assert answer["ok"] is None and answer["differences"] == []
        assert answer["matrix"]["myself"]["debianx"]["viewer group"] == "unreachable"


def test_no_table_of_iptables_is_made_by_looking(office):
    """Merely listing with iptables-legacy would make the kernel hold its tables for ever."""
    office.applied()
    explained(office, "myself", "debianx")
    for family in ("ip", "ip6"):
        assert "filter" not in office.client.run(["cat", f"/proc/net/{family}_tables_names"], check=False).stdout
