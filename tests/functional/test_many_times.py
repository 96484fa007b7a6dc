"""A thousand grants over fifty schedules: what the kernel is told at once, for the next thirty days."""

import json

from scenes import article
from spicegrants import nftables, pillar
from spicegrants.compile import compile_policy
from spicegrants.guard import FirewallPlan
from spicegrants.inventory import Account, Group, Inventory

GRANTS, SCHEDULES = 1000, 50
TODAY = 1795478400


def _compiled(day):
    declared = article()["spice"]
    declared["servers"]["mysrv"] = {"host": "mysrv", "addresses": ["192.168.2.2"], "ports": "20001-21000"}
    declared["schedules"] = {
        f"schedule-{number}": {"days": ["mon-sun"], "hours": [f"08:{number:02}-18:00"], "zone": "Europe/Berlin"}
        for number in range(SCHEDULES)
    }
    declared["vms"] = {f"vm{number}": {"server": "mysrv", "tls_port": 20001 + number} for number in range(GRANTS)}
    declared["grants"] = {
        f"grant{number}": {"user": f"user{number}", "vm": f"vm{number}", "schedule": f"schedule-{number % SCHEDULES}"}
        for number in range(GRANTS)
    }
    users = {f"user{number}": Account(f"user{number}", 30000 + number, 30000) for number in range(GRANTS)}
    groups = {"spicegrp": Group("spicegrp", 995)}
    inventory = Inventory(users, groups, addresses={"mysrv": ("192.168.2.2",)})
    return compile_policy(pillar.parse(declared), inventory, now=day, day=day)


def test_the_kernel_takes_them_at_once(office):
    """In one transaction; and the next day in another, which changes the chains that say when and nothing else."""
    listing = None
    for day in (TODAY, TODAY + 86400):
        compiled = _compiled(day)
        text = json.dumps({"nftables": nftables.plan(compiled, listing).commands})
        assert text.count('"flush"') == (SCHEDULES if listing else 0)
        office.nft("-j", "-f", "-", text=text)
        done = office.client.run(["env", "TZ=UTC", "nft", "-nj", "list", "table", "inet", "spice_grant"])
        listing = json.loads(done.stdout)["nftables"]
        assert nftables.plan(compiled, listing) == FirewallPlan((), ())
    ranges = [len(times.opened) for times in nftables.chains(listing).values()]
    assert len(ranges) == SCHEDULES and min(ranges) >= 30
