"""Routes beside a guard in iptables, which a flush takes away as well."""

from functional.office import PORTS, changed
from functional.routed import granted, reached
from scenes import ADDRESS, GROUP, article

# What guards the uplinks would hold as well.
PILLAR = changed(article(), firewall={"uplinks": False}, routing={"enabled": "auto"})
MECHANISMS = ("iptables-nft", "iptables-legacy")
PLACES = [(ADDRESS, port) for port in PORTS]


def test_the_guard_refuses_and_routes_hold_when_it_is_gone(shared):
    assert shared.reach("nogrant", GROUP, ADDRESS, 20002) == "refused"
    assert shared.reach("myself", GROUP, ADDRESS, 20002) == "open"
    for hook in ("OUTPUT", "FORWARD"):
        shared.client.run([shared.mechanism.name, "-F", hook])
    opened = granted(("myself", ADDRESS, 20002), ("mybro", ADDRESS, 20004), groups=(None,))
    assert reached(shared.client, ["myself", "mybro", "nogrant"], PLACES) == opened
