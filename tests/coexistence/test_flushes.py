"""A site's script takes all rules away and loads its own: the next run repairs what that cost, and leaves the rest."""

from functional.office import ADDRESS, GROUP, sentences

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
    """All rules that are not ours, as both programs print them, without counters."""
    listed = office.nft("-s", "list", "ruleset")
    return [block for block in listed.split("\ntable ") if "spice_grant" not in block.partition("\n")[0]]


def closed_and_open(office):
    """Whether just the granted user reaches his console, and others what is not guarded."""
    reached = {
        who: office.reach(*who, ADDRESS, 20002) for who in (("myself", GROUP), ("myself", None), ("mybro", GROUP))
    }
    return (
        list(reached.values()) == ["open", "refused", "refused"]
        and office.reach("mybro", None, ADDRESS, 19999) == "open"
    )


def test_a_script_for_iptables(office):
    """It empties its own table, and cannot reach ours: the guard stands all the while."""
    office.applied()
    for program in ("iptables-nft", "iptables-legacy"):
        for words in IPTABLES:
            office.client.run([program, *words])
            assert office.reach("mybro", GROUP, ADDRESS, 20002) == "refused", words
        rules, legacy = site_rules(office), office.client.run(["iptables-legacy", "-S"]).stdout
        assert closed_and_open(office)
        assert office.applied()["changes"] == {}
        assert (site_rules(office), office.client.run(["iptables-legacy", "-S"]).stdout) == (rules, legacy)


def test_a_script_for_nft(office):
    """It takes the guard away with all the rest: the next run puts it back and says so, and changes nothing else."""
    office.applied()
    office.nft("-f", "-", text=NFT)
    assert office.reach("mybro", None, ADDRESS, 20002) == "open"
    rules = site_rules(office)
    assert "policy drop" in "".join(rules)
    assert "guards ports 20001-20010" in sentences(office.applied()["changes"])
    assert site_rules(office) == rules
    assert closed_and_open(office)
