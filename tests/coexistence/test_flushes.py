"""A site's script takes all rules away and loads its own: the next run repairs what that cost, and leaves the rest."""

import re

import pytest
from functional.office import Office, changed, sentences

from coexistence.conftest import PROGRAMS
from scene import need
from scenes import ADDRESS, GROUP, article

# As fwbuilder writes it.
IPTABLES = [
    ["-P", "INPUT", "ACCEPT"],
    ["-P", "OUTPUT", "DROP"],
    ["-P", "FORWARD", "DROP"],
    ["-F"],
    ["-X"],
    ["-A", "OUTPUT", "-m", "state", "--state", "ESTABLISHED,RELATED", "-j", "ACCEPT"],
    ["-N", "Out_RULE_0"],
    ["-A", "OUTPUT", "-p", "tcp", "-m", "multiport", "--dports", "80,443,19999:20011", "-j", "Out_RULE_0"],
    ["-A", "Out_RULE_0", "-j", "LOG", "--log-prefix", "RULE 0 -- ACCEPT "],
    ["-A", "Out_RULE_0", "-j", "ACCEPT"],
]
NFT = """
flush ruleset
table inet filter {
    chain output {
        type filter hook output priority 0; policy drop;
        ct state established,related accept
        tcp dport { 80, 443, 19999-20011 } accept
    }
}
"""


def site_rules(office):
    """All rules that are not ours, as nft and iptables-legacy print them, without counters."""
    tables = re.split(r"^table ", office.nft("-s", "list", "ruleset"), flags=re.MULTILINE)
    legacy = office.client.run(["iptables-legacy", "-S"]).stdout
    return [table.rstrip() for table in tables if "spice_grant" not in table.partition("\n")[0]], legacy


def chains_of_others(office, program):
    """All rules of the table filter that are not ours."""
    listed = office.client.run([program, "-S"]).stdout.splitlines(keepends=True)
    return "".join(line for line in listed if "SPICE-GRANT" not in line)


def is_as_granted(office):
    """Whether just the granted user reaches the console, and everybody what is not guarded."""
    refused = [office.reach(user, group, ADDRESS, 20002) for user, group in (("myself", None), ("mybro", GROUP))]
    through = [office.reach("myself", GROUP, ADDRESS, 20002), office.reach("mybro", None, ADDRESS, 19999)]
    return "open" not in refused and set(through) == {"open"}


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_a_script_for_iptables(office, program):
    """It empties its own table and cannot reach ours: there is no moment without a guard."""
    office.applied()
    for words in IPTABLES:
        office.client.run([program, *words])
        if words == ["-X"]:
            # Nothing of the table is left but the policy, which would hide what the guard does.
            office.client.run([program, "-P", "OUTPUT", "ACCEPT"])
            assert office.reach("mybro", GROUP, ADDRESS, 20002) == "refused"
            office.client.run([program, "-P", "OUTPUT", "DROP"])
    rules = site_rules(office)
    assert is_as_granted(office)
    assert office.applied()["changes"] == {}
    assert site_rules(office) == rules


@pytest.mark.parametrize("mechanism", ["iptables-nft", "iptables-legacy"])
def test_a_script_for_iptables_where_iptables_holds_the_guard(mechanism):
    """It takes our chains away with all others: the next run puts them back, says so, and changes nothing else."""
    need(*PROGRAMS)
    # The guard of uplinks, which it leaves, would close what is to be seen open.
    with Office(changed(article(), firewall={"uplinks": False}), mechanism) as office:
        office.applied()
        for words in IPTABLES:
            office.client.run([mechanism, *words])
        assert office.reach("mybro", None, ADDRESS, 20002) == "open"
        rules = chains_of_others(office, mechanism)
        assert "Out_RULE_0" in rules
        text = sentences(office.applied()["changes"])
        assert "restores chain SPICE-GRANT-OUT (IPv4), which was missing" in text
        assert "makes the guard the first rule of OUTPUT (IPv4)" in text
        assert chains_of_others(office, mechanism) == rules
        assert is_as_granted(office)
        assert office.applied()["changes"] == {}


def test_a_script_for_nft(office):
    """It takes the guard away with all the rest: the next run puts it back and says so, and changes nothing else."""
    office.applied()
    office.nft("-f", "-", text=NFT)
    assert office.reach("mybro", None, ADDRESS, 20002) == "open"
    rules = site_rules(office)
    assert "policy drop" in "".join(rules[0])
    assert "guards ports 20001-20010" in sentences(office.applied()["changes"])
    assert site_rules(office) == rules
    assert is_as_granted(office)
