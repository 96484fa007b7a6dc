"""A boot at which the program that loads the rules is missing or broken: what is guarded is closed to everybody."""

import pytest
from faults import breakage

from functional.office import BOTH, OPEN_BOTH, OUTSIDE
from scenes import ADDRESS, ADDRESS6, article
from spicegrants.core.paths import LOAD_GUARD

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]
PILLAR = article(BOTH)
PROGRAM = {"nftables": "nft", "iptables-nft": "xtables-nft-multi", "iptables-legacy": "xtables-legacy-multi"}


@pytest.mark.turns(2)
@pytest.mark.parametrize("how", ["missing", "fails"])
@pytest.mark.parametrize("guard", ["everywhere", "servers"])
def test_a_boot_without_the_program_that_loads_the_rules(shared, how, guard):
    """All other ports stay open, and the next run that succeeds opens to the granted again."""
    shared.applied({"spice": {**PILLAR["spice"], "firewall": {**PILLAR["spice"].get("firewall", {}), "guard": guard}}})
    shared.mechanism.delete(shared)
    # Uplinks are guarded by a unit of their own, and later.
    shared.nft("flush", "ruleset")
    assert shared.reach("nogrant", None, ADDRESS, 20002) == "open"
    with breakage.program(shared.client, PROGRAM[shared.mechanism.name], how):
        assert shared.client.run(["/bin/sh", LOAD_GUARD], check=False).returncode
        assert shared.openings((ADDRESS, ADDRESS6)) == set()
        assert shared.reach("nogrant", None, ADDRESS, OUTSIDE[0]) == "open"
    shared.applied()
    assert shared.openings((ADDRESS, ADDRESS6)) == OPEN_BOTH
    assert shared.client.run(["ip", "rule", "show", "pref", "160"]).stdout == ""
    assert shared.apply()["changes"] == {}
