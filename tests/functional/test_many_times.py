"""A thousand grants over fifty schedules: what the kernel is given, for the next thirty days, and the day after."""

import datetime
import json
import time

from amount import amount
from functional.clients import HAMMER, running
from scenes import ADDRESS, GROUP, article
from spicegrants.core.accounts import Account, Group
from spicegrants.firewall.guard import FirewallPlan
from spicegrants.firewall.nft import guard_table
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.facts import Inventory

GRANTS, SCHEDULES = 1000, 50
TURNS = amount(2000, 300)
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
    return compile_policy(pillar.parse_policy(declared), inventory, now=day, day=day)


def _carried_out(office, planned):
    """What a plan's parts were, each sent as one transaction."""
    texts = [json.dumps({"nftables": commands}) for commands in planned[1:]]
    for text, commands in zip(texts, planned[1:]):
        if commands:
            office.nft("-j", "-f", "-", text=text)
    return texts


def _listing(office):
    done = office.client.run(["env", "TZ=UTC", "nft", "-nj", "list", "table", "inet", "spice_grant"])
    return json.loads(done.stdout)["nftables"]


def test_the_kernel_takes_them_at_once(office):
    """The next day, only the chains that say when change: each gets a new rule, and then loses the old one."""
    listing = None
    for day in (TODAY, TODAY + 86400):
        compiled = _compiled(day)
        main, before, after = _carried_out(office, guard_table.plan_guard_table(compiled, listing))
        assert [text.count('"rule"') for text in (before, after)] == [SCHEDULES * bool(listing)] * 2
        assert (main == '{"nftables": []}') is bool(listing)
        listing = _listing(office)
        assert guard_table.plan_guard_table(compiled, listing) == FirewallPlan((), ())
    ranges = [len(times.opened) for times in guard_table.chains(listing).values()]
    assert len(ranges) == SCHEDULES and min(ranges) >= 30


def _open_but(office, day):
    """What is open to mybro at all times but on a day."""
    declared = article()["spice"]
    declared["servers"]["mysrv"]["addresses"] = [ADDRESS]
    declared["schedules"] = {"now": {"days": ["mon-sun"], "hours": ["00:00-24:00"], "zone": "UTC", "except": [day]}}
    declared["grants"] = {"mybro-leaptest": {"user": "mybro", "vm": "leaptest", "schedule": "now"}}
    users, groups = {"mybro": Account("mybro", 1022, 1022)}, {GROUP: Group(GROUP, office.gid())}
    inventory = Inventory(users, groups, addresses={"mysrv": (ADDRESS,)})
    today = int(time.time()) // 86400 * 86400
    return compile_policy(pillar.parse_policy(declared), inventory, now=today, day=today)


def test_who_is_let_through_notices_nothing(office):
    """Times change again and again, and no packet of an open window finds a rule without its ranges.

    A rule with several ranges has a set of its own. A packet that is under way while rule and set are exchanged for
    others looks in one that is gone, or not yet filled.
    """
    office.client.run(["groupadd", GROUP])
    today = datetime.datetime.now(datetime.timezone.utc).date()
    turns = [_open_but(office, f"{today + datetime.timedelta(days=ahead)}") for ahead in (3, 4)]
    _carried_out(office, guard_table.plan_guard_table(turns[0], None))
    with running(office.client, HAMMER, ADDRESS, 20004, user="mybro", group=GROUP) as granted:
        for turn in range(1, TURNS):
            planned = guard_table.plan_guard_table(turns[turn % 2], _listing(office))
            assert planned.changes
            _carried_out(office, planned)
        granted.stdin.close()
        counted = json.loads(granted.stdout.readline())
    assert counted["refused"] == 0 and counted["open"] > 100
