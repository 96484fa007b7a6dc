"""What is done to the guard behind our back where iptables holds it: predicted, repaired, and nothing else touched."""

import pytest

from functional.office import BOTH, OPEN_BOTH, changed, sentences
from scenes import ADDRESS, ADDRESS6, GROUP, SECOND_ADDRESS, article

MECHANISMS = ["iptables-nft", "iptables-legacy"]
# The guard of uplinks would close most of these holes: they are to be seen.
PILLAR = changed(article(BOTH), firewall={"uplinks": False})
# Rules of others, beside ours.
SITE = """*filter
:SITE - [0:0]
:SPICE-GRANTED - [0:0]
-A OUTPUT -p tcp --dport 22 -m owner --uid-owner 1021 -m comment --comment "it's \\"the site's\\" own" -j SITE
-A SITE -p udp -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A SPICE-GRANTED -p tcp --dport 20002 -j ACCEPT
COMMIT
*mangle
-A OUTPUT -p tcp --dport 80 -j TOS --set-tos 8
COMMIT
"""


def prepare(office):
    """Things of others, beside ours: the runs of all these tests must leave them alone."""
    for program in office.mechanism.programs:
        office.client.run([f"{program}-restore", "--noflush"], input=SITE)


def _rules(*lines, program="iptables"):
    """Change rules by iptables, a line each."""

    def change(office):
        for line in lines:
            office.client.run([program, "--wait", *line.format(gid=office.gid()).split()])

    return change


def _renumbered(office):
    office.client.run(["iptables", "--wait", "-E", "SPICE-GRANT", "SPICE-GRANT-OLD"])


def _place(uid, gid="{gid}", port=20002):
    return f"-p tcp -d {ADDRESS} --dport {port} -m owner --uid-owner {uid} --gid-owner {gid} -j RETURN"


def _grant(uid, vm, port=20002):
    comment = f"-m comment --comment {vm} -j RETURN"
    return f"-d {ADDRESS}/32 -p tcp -m tcp --dport {port} -m owner --uid-owner {uid} --gid-owner {{gid}} {comment}"


GUARD = "restores chain SPICE-GRANT (IPv4): 1 rule(s) that do not belong there"
DRIFT = {
    "grant deleted": (_rules(f"-D SPICE-GRANT {_grant(1021, 'debianx')}"), f"opens {ADDRESS} port 20002 to myself"),
    "grant added": (_rules(f"-I SPICE-GRANT {_grant(1023, 'debianx')}"), f"closes {ADDRESS} port 20002 to UID 1023"),
    "grant of another form": (_rules(f"-I SPICE-GRANT {_place(1023)}"), GUARD),
    "grant twice": (_rules(f"-I SPICE-GRANT {_grant(1021, 'debianx')}"), GUARD),
    "grant after the denial": (_rules(f"-A SPICE-GRANT {_grant(1021, 'debianx')}"), GUARD),
    "grant renamed": (
        _rules(f"-D SPICE-GRANT {_grant(1021, 'debianx')}", f"-I SPICE-GRANT {_grant(1021, 'other')}"),
        f"restores the element that opens {ADDRESS} port 20002 to myself",
    ),
    "whole user": (_rules("-I SPICE-GRANT -m owner --uid-owner 1023 -j RETURN"), GUARD),
    "accept before the grants": (_rules("-I SPICE-GRANT -j ACCEPT"), GUARD),
    "accept in front of output": (
        _rules("-I OUTPUT -p tcp -j ACCEPT"),
        "makes the guard the first rule of OUTPUT (IPv4)",
    ),
    "accept in front of forward": (_rules("-I FORWARD -j ACCEPT"), "makes the guard the first rule of FORWARD (IPv4)"),
    "call deleted": (_rules("-D OUTPUT 1"), "makes the guard the first rule of OUTPUT (IPv4)"),
    "call narrowed": (
        _rules("-R OUTPUT 1 -p tcp --dport 20002 -j SPICE-GRANT-OUT"),
        "makes the guard the first rule of OUTPUT (IPv4)",
    ),
    "called twice": (
        _rules("-A OUTPUT -p tcp -j SPICE-GRANT-OUT"),
        "removes 1 rule(s) that call the guard from the wrong",
    ),
    "called from elsewhere": (
        _rules("-A INPUT -j SPICE-GRANT-DENY-FWD"),
        "removes 1 rule(s) that call the guard from the wrong",
    ),
    "output emptied": (_rules("-F SPICE-GRANT-OUT"), "restores chain SPICE-GRANT-OUT (IPv4): 1 rule(s) missing"),
    "forward emptied": (_rules("-F SPICE-GRANT-FWD"), "restores chain SPICE-GRANT-FWD (IPv4): 1 rule(s) missing"),
    "guard emptied": (_rules("-F SPICE-GRANT"), "restores chain SPICE-GRANT (IPv4): 3 rule(s) missing"),
    "denial emptied": (_rules("-F SPICE-GRANT-DENY"), "restores chain SPICE-GRANT-DENY (IPv4): 5 rule(s) missing"),
    "fewer ports": (
        _rules("-R SPICE-GRANT-OUT 1 -p tcp --dport 20001:20003 -g SPICE-GRANT"),
        "restores chain SPICE-GRANT-OUT (IPv4): 1 rule(s) that do not belong there, 1 rule(s) missing",
    ),
    "order of the denial": (
        _rules("-D SPICE-GRANT-DENY 3", "-A SPICE-GRANT-DENY -j NFLOG --nflog-group 20002 --nflog-size 64"),
        "restores chain SPICE-GRANT-DENY (IPv4): its rules were out of order or altered",
    ),
    "IPv6 flushed": (
        _rules("-F SPICE-GRANT", program="ip6tables"),
        "restores chain SPICE-GRANT (IPv6): 3 rule(s) missing",
    ),
    "IPv6 grant deleted": (_rules("-D SPICE-GRANT 1", program="ip6tables"), f"opens {ADDRESS6} port 2000"),
    "chains renamed": (_renumbered, "restores chain SPICE-GRANT (IPv4), which was missing"),
}
FOREIGN = {
    "accept in front of output": ["-D OUTPUT -p tcp -j ACCEPT"],
    "accept in front of forward": ["-D FORWARD -j ACCEPT"],
    "chains renamed": ["-F SPICE-GRANT-OLD", "-X SPICE-GRANT-OLD"],
}
HOLES = {
    "grant added": ("nogrant", GROUP, ADDRESS, 20002),
    "grant of another form": ("nogrant", GROUP, ADDRESS, 20002),
    "whole user": ("nogrant", None, ADDRESS, 20009),
    "accept before the grants": ("nogrant", None, ADDRESS, 20009),
    "accept in front of output": ("root", None, SECOND_ADDRESS, 20002),
    "call deleted": ("nogrant", None, ADDRESS, 20002),
    "call narrowed": ("nogrant", None, ADDRESS, 20003),
    "output emptied": ("nogrant", None, ADDRESS, 20002),
    "guard emptied": ("nogrant", None, ADDRESS, 20002),
    "denial emptied": ("nogrant", None, ADDRESS, 20002),
    "fewer ports": ("mybro", None, ADDRESS, 20004),
    "IPv6 flushed": ("nogrant", None, ADDRESS6, 20002),
}


def test_an_undisturbed_run_changes_nothing(keeper, shared):
    """What the tests below compare with is a state in which plan and run find nothing to do."""
    assert shared.minion.call("spice_firewall.plan") == {}
    assert shared.apply()["changes"] == {}
    assert not keeper.traces()


@pytest.mark.turns(3)
@pytest.mark.parametrize("tampering", DRIFT)
def test_the_firewall_layer_repairs(keeper, shared, tampering):
    """The plan names what was done, apply does just that; afterwards all is as before, the site's rules included."""
    tamper, words = DRIFT[tampering]
    tamper(shared)
    if tampering in HOLES:
        assert shared.reach(*HOLES[tampering]) == "open"
    planned = shared.minion.call("spice_firewall.plan")
    assert words in sentences(planned)
    assert shared.minion.call("spice_firewall.apply") == planned
    assert shared.minion.call("spice_firewall.plan") == {}
    # What is not ours is not ours to remove.
    for line in FOREIGN.get(tampering, ()):
        shared.client.run(["iptables", "--wait", *line.split()])
    assert not keeper.traces()
    if tampering in HOLES:
        assert shared.openings() == OPEN_BOTH


def test_flushed_tables_are_restored(shared):
    """``iptables -F; iptables -X`` opens everything until the next run, which says so."""
    shared.mechanism.delete(shared)
    assert shared.reach("nogrant", None, ADDRESS, 20002) == "open"
    text = sentences(shared.applied()["changes"])
    assert "guards ports 20001-20010 towards every destination" in text
    assert shared.openings() == OPEN_BOTH
    prepare(shared)


def test_removal_leaves_the_rules_of_others(shared):
    """Away with it: all that is left is what the site had, in its order."""
    shared.minion.state("spice.absent")
    listed = {program: shared.client.run([program, "-S"]).stdout for program in shared.mechanism.programs}
    for rules in listed.values():
        assert "SPICE-GRANT-" not in rules and "SPICE-GRANT " not in rules
        assert "-A SITE -p udp -j ACCEPT" in rules and "--ctstate INVALID -j DROP" in rules
    assert shared.applied()["changes"]


def test_owner_rules_of_others_are_listed(shared):
    """With their place, and what they state."""
    found = [rule for rule in shared.minion.call("spice_firewall.rules") if rule["foreign"]]
    assert [(rule["table"], rule["chain"], rule["user"], rule["port"], rule["verdict"]) for rule in found] == [
        ("ip filter", "OUTPUT", "myself", 22, "site"),
        ("ip6 filter", "OUTPUT", "myself", 22, "site"),
    ]
