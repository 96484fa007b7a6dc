"""A user without a grant tries after all chains of iptables were emptied, as scripts begin that load a firewall."""

from attacks.clients import ADDRESS, PORTS

RECIPE = "succeeds"
STOPPED_BY = "firewall: its table is not iptables'; where it is, routing"
BACKENDS = ("nftables", "iptables")


def attack(client):
    for program in ("iptables", "ip6tables"):
        for verb in ("-F", "-X"):
            client.root(program, verb)
    return client.reach("visitor", ADDRESS, PORTS["leaptest"])
