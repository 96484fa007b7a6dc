"""Routes as a guard of their own: what they hold when netfilter holds nothing any more."""

import json

import pytest

from amount import first_of
from functional.office import BOTH, PORTS, UIDS, changed, sentences
from functional.routed import granted, reached
from scene import Machine, connect
from scenes import ADDRESS, ADDRESS6, GROUP, SECOND_ADDRESS, article

PILLAR = changed(article(BOTH), routing={"enabled": "auto"})
OTHERS = [(address, port) for address in (ADDRESS, ADDRESS6) for port in (19999, 20011, 5900)]
EVERYWHERE = [(address, port) for address in (ADDRESS, SECOND_ADDRESS, ADDRESS6) for port in PORTS]
OPEN = granted(*((user, address, port) for user, port in (("myself", 20002), ("mybro", 20004)) for address in BOTH))


def flush(office):
    """Take all of netfilter away, as a script of the site's may."""
    office.client.run(["nft", "flush", "ruleset"])


def openings(office, **kw):
    """Whoever reaches a guarded port."""
    return reached(office.client, UIDS, EVERYWHERE, groups=(None, GROUP), **kw)


def test_without_netfilter_only_the_granted_connect(shared):
    flush(shared)
    assert openings(shared) == OPEN


def test_with_netfilter_it_is_netfilter_that_refuses(looked_at):
    """Packets on their way to the dead device still pass the guard: it answers at once, and notes who it was."""
    assert looked_at.reach("nogrant", GROUP, ADDRESS, 20002) == "refused"
    assert looked_at.reach("nogrant", None, ADDRESS6, 20002) == "refused"
    assert looked_at.reach("myself", GROUP, ADDRESS, 20002) == "open"


def test_all_else_goes_its_way(shared):
    """Other ports, other protocols, and root, who cannot be distinguished from the kernel's own lookups."""
    flush(shared)
    assert reached(shared.client, [*UIDS, "root"], OTHERS) == {
        (user, None, *at) for user in (*UIDS, "root") for at in OTHERS
    }
    asked = ["ip", "-j", "route", "get", ADDRESS, "ipproto", "udp", "dport", "20002", "uid", str(UIDS["nogrant"])]
    assert json.loads(shared.client.run(asked).stdout)[0]["dev"] == "eth0"
    assert reached(shared.client, ["root"], [(ADDRESS, 20002)])


def test_strict_checks_of_where_packets_come_from_hinder_nobody(shared):
    flush(shared)
    for device in ("all", "eth0"):
        shared.client.run(["sysctl", "-qw", f"net.ipv4.conf.{device}.rp_filter=1"])
    assert openings(shared) == OPEN


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("device", ["eth0", "lo", "spice-dead"])
def test_a_socket_that_binds_itself_to_a_device_gets_no_further(shared, device, direct):
    """IPv4 takes such a destination for on-link where no route of that device is found."""
    flush(shared)
    found = openings(shared, device=device, direct=direct)
    assert found <= OPEN
    shared.client.run(["ip", "rule", "flush"], check=False)
    shared.client.run(["ip", "rule", "add", "pref", "32766", "lookup", "main"])
    if device == "eth0":
        assert openings(shared, device=device, direct=direct) > OPEN, "the attack itself does not work"


def test_forwarded_connections_are_held(shared):
    with Machine("guest") as guest:
        connect(guest, shared.client, ["10.77.0.2/24", "fd77::2/64"], ["10.77.0.1/24", "fd77::1/64"])
        guest.run(["ip", "-batch", "-"], input="route add default via 10.77.0.1\n")
        guest.run(["ip", "-6", "route", "add", "default", "via", "fd77::1"])
        shared.client.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
        shared.server.run(["ip", "route", "add", "10.77.0.0/24", "via", "192.168.2.22"])
        shared.server.run(["ip", "-6", "route", "add", "fd77::/64", "via", "fd00:2::22"])
        flush(shared)
        assert reached(guest, ["root"], [*EVERYWHERE, *OTHERS]) == {("root", None, *place) for place in OTHERS}
        shared.server.run(["ip", "route", "del", "10.77.0.0/24"])


def test_the_sites_own_rules_go_on_to_decide(shared):
    """What is granted leaves our rules for those of the site: a VPN's table, say."""
    flush(shared)
    shared.client.run(["ip", "rule", "add", "pref", "1000", "uidrange", "1021-1021", "prohibit"])
    assert {opening for opening in openings(shared) if opening[0] == "myself" and opening[2] == ADDRESS} == set()
    assert shared.apply()["changes"].get("layers", {}).get("routing") is None
    shared.client.run(["ip", "rule", "del", "pref", "1000"])


def test_the_second_run_changes_nothing(shared):
    assert shared.applied()["changes"] == {} == shared.apply(test=True)["changes"]


ALTERED = {
    "grant deleted": ["-4 rule del pref 163 uidrange 1021-1021"],
    "grant added": [
        f"-4 rule add pref 163 protocol 74 uidrange 1023-1023 to {ADDRESS} ipproto tcp dport 20002 goto 166"
    ],
    "everybody led past": ["-4 rule add pref 163 protocol 74 goto 166"],
    "somebody else's among ours": ["-6 rule add pref 162 lookup main"],
    "ours elsewhere": ["-4 rule add pref 90 protocol 74 lookup main"],
    "entry deleted": ["-6 rule del pref 161"],
    "all of a preference": ["-4 rule del pref 164", "-4 rule del pref 165", "-4 rule del pref 166"],
    "all rules": ["-4 rule flush", "-4 rule add pref 32766 lookup main"],
    "routes": ["-4 route flush table 7462"],
    "a way round": [f"-4 route add {ADDRESS} dev eth0 table 7462"],
    "device gone": ["link del spice-dead"],
    "device down": ["link set spice-dead down"],
    "a new link": ["link add late0 type veth peer name late1", "link set late0 up"],
}


@pytest.mark.parametrize("name", first_of(ALTERED, 4))
def test_drift_is_said_and_repaired(shared, name):
    for line in ALTERED[name]:
        shared.client.run(["ip", *line.split()])
    dry = shared.apply(test=True)
    assert dry["result"] is None and "routing: " in sentences(dry["changes"])
    done = shared.applied()
    assert done["changes"] == dry["changes"] and shared.applied()["changes"] == {}
    flush(shared)
    assert openings(shared) == OPEN
    assert openings(shared, device="eth0") <= OPEN
    if name == "a new link":
        shared.client.run(["ip", "link", "del", "late0"])


def test_a_lock_and_a_revocation_hold_at_once_and_a_loan_as_long_as_it_lasts(shared):
    call = shared.minion.call
    call("spice_grant.lend", "nogrant", "debianx", "1h")
    flush(shared)
    assert openings(shared) == OPEN | granted(*(("nogrant", address, 20002) for address in BOTH))
    call("spice_grant.end_loan", "nogrant", "debianx")
    call("spice_grant.lock", user="mybro")
    flush(shared)
    mine = {opening for opening in OPEN if opening[0] == "myself"}
    assert openings(shared) == mine
    call("spice_grant.unlock", user="mybro")
    call("spice_grant.revoke", "myself", "debianx")
    flush(shared)
    assert openings(shared) == OPEN - mine


def test_guarding_the_servers_only(shared):
    shared.applied(changed(PILLAR, firewall={"guard": "servers"}))
    flush(shared)
    elsewhere = granted(*((user, SECOND_ADDRESS, port) for user in UIDS for port in PORTS))
    assert openings(shared) == OPEN | elsewhere


@pytest.mark.salt
def test_it_can_be_switched_off_and_goes_without_a_trace(shared):
    before = shared.client.run(["ip", "rule"]).stdout
    off = shared.applied(changed(PILLAR, routing={"enabled": False}))
    assert "routing: removes the rules (IPv4)" in sentences(off["changes"])
    assert _traces(shared) == [] != before
    shared.applied(PILLAR)
    assert shared.client.run(["ip", "rule"]).stdout == before
    assert shared.single("removed", name="spice")["result"] is True
    assert _traces(shared) == []
    for path in ("/etc/systemd/system/spice-grant-routes.service", "/usr/local/lib/spice-grant"):
        assert not shared.client.path(path).exists(), path


def _traces(office):
    found = []
    for version in ("-4", "-6"):
        rules = office.client.run(["ip", version, "rule"]).stdout.splitlines()
        found += [line for line in rules if line.endswith("proto 74")]
        found += office.client.run(["ip", version, "route", "show", "table", "7462"], check=False).stdout.splitlines()
    return found + office.client.run(["ip", "link", "show", "dev", "spice-dead"], check=False).stdout.splitlines()


def test_the_boot_loads_it_and_a_damaged_file_opens_nothing(shared):
    """What the unit runs, on a machine that has just come up: before the network, and without Salt."""
    load = ["sh", "/usr/local/lib/spice-grant/load-routes"]
    shared.client.run(load)
    assert shared.applied()["changes"] == {}, "loading it again changes nothing"
    for damaged, opened in ((None, OPEN), (b"rule add pref 163 proto", set())):
        flush(shared)
        _clean(shared)
        if damaged is not None:
            for version in (4, 6):
                shared.client.write(f"/var/lib/spice-grant/routes.{version}", damaged, mode=0o600)
        shared.client.run(load)
        assert openings(shared) == opened
    assert "routing: stores the rules for the next boot" in sentences(shared.applied()["changes"])


def _clean(office):
    for version in ("-4", "-6"):
        for preference in range(161, 167):
            while (
                office.client.run(["ip", version, "rule", "del", "pref", str(preference)], check=False).returncode == 0
            ):
                pass
    office.client.run(["ip", "link", "del", "spice-dead"])


def test_where_it_cannot_be_done_auto_says_so_and_true_is_an_error(office):
    """A machine where no namespace, and so nothing, can be tried."""
    office.client.write("/usr/bin/unshare", "#!/bin/sh\necho not here >&2\nexit 1\n", mode=0o755)
    result = office.applied(changed(article(), routing={"enabled": "auto"}))
    assert "Note: routing is off: " in result["comment"] and "not here" in result["comment"]
    assert "routing: " not in sentences(result["changes"]) and _traces(office) == []
    insisted = office.apply(changed(article(), routing={"enabled": True}))
    assert insisted["result"] is False and "routing: pillar wants it: " in insisted["comment"]


def test_explain_says_what_routing_lets_through(shared):
    assert shared.minion.call("spice_grant.explain", "myself", "debianx")["routing"]["answer"] == "open"
    found = shared.minion.call("spice_grant.explain", "nogrant", "debianx")
    assert found["answer"] == "may not open" and found["routing"]["answer"] == "closed"
