"""The policy as values: port ranges, URIs, and the way back to pillar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.reader import Node
from spicegrants.policy.model import Server, grant_to_pillar, join_ranges, port_words, to_pillar
from spicegrants.policy.pillar import parse_desks, parse_policy
from unit.build import DESK_KEY, HOST_KEY, OTHER_KEY, TICKETS, policy


@pytest.mark.parametrize(
    ("ranges", "joined"),
    [
        ([], ()),
        ([(5, 5)], ((5, 5),)),
        ([(5, 6), (7, 8)], ((5, 8),)),
        ([(7, 8), (5, 6)], ((5, 8),)),
        ([(5, 10), (6, 7)], ((5, 10),)),
        ([(5, 6), (8, 9)], ((5, 6), (8, 9))),
        ([(5, 5), (5, 5)], ((5, 5),)),
        ([(1, 65535), (5, 5)], ((1, 65535),)),
    ],
)
def test_join_ranges(ranges, joined):
    assert join_ranges(ranges) == joined


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair)))))
def test_joined_ranges_hold_the_same_ports(ranges):
    joined = join_ranges(ranges)
    assert [port for low, high in joined for port in range(low, high + 1)] == sorted(
        {port for low, high in ranges for port in range(low, high + 1)}
    )
    assert all(low > before + 1 for (_, before), (low, _) in zip(joined, joined[1:]))


def test_port_words():
    assert port_words([(5900, 5900), (20001, 20010)]) == "5900, 20001-20010"
    assert port_words([]) == ""


@pytest.mark.parametrize(("port", "guarded"), [(9, False), (10, True), (15, True), (20, True), (21, False), (30, True)])
def test_a_server_guards_its_ports_ends_included(port, guarded):
    assert Server("a", "a", ((10, 20), (30, 30))).guards(port) is guarded


def test_the_guarded_ports_of_all_servers():
    two = policy(servers__other={"host": "other.example.com", "ports": [20011, "5900"]})
    assert two.guarded_ports() == ((5900, 5900), (20001, 20011))


@pytest.mark.parametrize(
    ("host", "uri"),
    [
        ("MySrv.anraconc.de", "spice://mysrv.anraconc.de?tls-port=20002"),
        ("192.168.2.2", "spice://192.168.2.2?tls-port=20002"),
        ("2001:DB8::1", "spice://[2001:db8::1]?tls-port=20002"),
    ],
)
def test_uri(host, uri):
    found = policy(servers__mysrv__host=host)
    assert found.uri(found.vms["debianx"]) == uri


def test_a_literal_host_is_its_own_address():
    found = policy(servers__mysrv={"host": "2001:DB8::1", "ports": "20001-20010"})
    assert found.servers["mysrv"].addresses == ("2001:db8::1",)
    found = policy(servers__mysrv={"host": "192.168.2.9", "ports": "20001-20010", "addresses": "10.0.0.1"})
    assert found.servers["mysrv"].addresses == ("10.0.0.1",)


def test_the_pillar_of_a_policy_is_plain():
    assert to_pillar(policy()) == {
        "servers": {
            "mysrv": {"host": "mysrv.anraconc.de", "addresses": ["192.168.2.2"], "ports": ["20001-20010"]},
        },
        "vms": {
            "debianx": {"server": "mysrv", "tls_port": 20002},
            "leaptest": {"server": "mysrv", "tls_port": 20004},
        },
        "schedules": {},
        "grants": {
            "myself-debianx": {"user": "myself", "vm": "debianx"},
            "mybro-leaptest": {"user": "mybro", "vm": "leaptest", "nopasswd": True},
        },
        "viewer": {"path": ["/usr/bin/remote-viewer"], "group": "spicegrp", "confine": "auto"},
        "firewall": {"backend": "auto", "guard": "everywhere", "uplinks": "auto"},
        "routing": {"enabled": False},
        "time": {"horizon": "30d", "longest_loan": "8h"},
    }


def test_what_becomes_of_other_sudo_rules():
    assert (policy().sudo.strict, policy().sudo.admins) == (False, ())
    for declared in ({"strict": True}, {"admins": ["%sudo"]}, {"strict": True, "admins": ["%sudo", "ann"]}):
        found = policy(sudo=declared)
        assert to_pillar(found)["sudo"] == declared and parse_policy(to_pillar(found)) == found
    assert policy(sudo={"admins": "%sudo"}).sudo.admins == ("%sudo",)
    assert "sudo" not in to_pillar(policy(sudo={"strict": False, "admins": []}))


def test_a_grant_in_the_form_of_pillar():
    grant = policy(**{"grants__myself-debianx": {"group": "family", "vm": "debianx", "reason": "year-end"}})
    assert grant_to_pillar(grant.grants["myself-debianx"]) == {"group": "family", "vm": "debianx", "reason": "year-end"}


def test_a_grant_with_times_in_the_form_of_pillar():
    """Moments are spelled in UTC, whatever zone they were declared in."""
    grant = policy(
        time={"zone": "Europe/Berlin"},
        schedules={"evenings": {"days": "mon-fri", "hours": "18:00-22:00"}},
        **{
            "grants__myself-debianx": {
                "user": "myself",
                "vm": "debianx",
                "schedule": "evenings",
                "valid_from": "2026-12-24",
                "valid_until": "2027-03-31",
                "on_end": "drain",
                "grace": "90m",
                "warn": ["2m", "15m", "120s"],
                "owner": "accounting",
                "ticket": "IT-4711",
                "contact": "Anne (phone 12)",
            }
        },
    ).grants["myself-debianx"]
    assert grant_to_pillar(grant) == {
        "user": "myself",
        "vm": "debianx",
        "schedule": ["evenings"],
        "valid_from": "2026-12-23T23:00:00Z",
        "valid_until": "2027-03-31T22:00:00Z",
        "on_end": "drain",
        "grace": "1h30m",
        "owner": "accounting",
        "ticket": "IT-4711",
        "contact": "Anne (phone 12)",
    }


@pytest.mark.parametrize(("declared", "written"), [([], []), ("1h", ["1h"]), (["15m", "2m"], None)])
def test_warnings_in_the_form_of_pillar(declared, written):
    """None at all is not the default."""
    grant = policy(**{"grants__myself-debianx__warn": declared}).grants["myself-debianx"]
    assert grant_to_pillar(grant).get("warn") == written


def test_contacts_in_the_form_of_pillar():
    """Where nobody is named there is no such key: what older versions stored keeps its fingerprint."""
    assert "contact" not in str(to_pillar(policy()))
    found = to_pillar(policy(viewer={"contact": "Anne"}, vms__debianx__contact="Bob"))
    assert (found["viewer"]["contact"], found["vms"]["debianx"]["contact"]) == ("Anne", "Bob")
    assert "contact" not in found["vms"]["leaptest"]


def test_tickets_in_the_form_of_pillar():
    """Defaults are left out: what older versions stored keeps its fingerprint."""
    assert {"minion", "host_key", "ssh_port"}.isdisjoint(to_pillar(policy())["servers"]["mysrv"])
    plain = policy(**TICKETS, servers__mysrv__ssh_port=22, vms__debianx__sharing="exclusive")
    assert plain == policy(**TICKETS) and to_pillar(plain)["vms"] == to_pillar(policy())["vms"]
    server = to_pillar(plain)["servers"]["mysrv"]
    assert (server["minion"], server["host_key"], "ssh_port" in server) == ("kvm1", HOST_KEY, False)
    others = {"vms__debianx__domain": "debianx-kali", "vms__debianx__sharing": "takeover"}
    found = policy(**TICKETS, **others, servers__mysrv__ssh_port=2222)
    assert to_pillar(found)["servers"]["mysrv"]["ssh_port"] == 2222
    vm = to_pillar(found)["vms"]["debianx"]
    assert (vm["domain"], vm["sharing"]) == ("debianx-kali", "takeover")
    assert parse_policy(to_pillar(found)) == found


def test_the_domain_behind_a_console():
    found = policy(**TICKETS, vms__debianx__domain="debianx-kali")
    assert [found.vms[name].libvirts_name for name in ("debianx", "leaptest")] == ["debianx-kali", "leaptest"]


def test_which_hosts_give_tickets():
    other = {
        "servers__other": {"host": "other", "ports": 5900, "minion": "kvm2", "host_key": HOST_KEY},
        "servers__plain": {"host": "plain", "ports": 5900},
        "vms__far": {"server": "other", "tls_port": 5900, "domain": "debianx"},
        "vms__old": {"server": "plain", "tls_port": 5900},
    }
    found = policy(**TICKETS, **other)
    assert [name for name in found.vms if found.gives_tickets(name)] == ["debianx", "leaptest", "far"]
    assert {minion: [*found.consoles_of(minion)] for minion in ("kvm1", "kvm2", "kvm3")} == {
        "kvm1": ["debianx", "leaptest"],
        "kvm2": ["far"],
        "kvm3": [],
    }


@pytest.mark.parametrize(
    ("declared", "addresses"),
    [
        ("192.168.2.5", ["192.168.2.5"]),
        (["192.168.2.5", "2001:DB8:0::5"], ["192.168.2.5", "2001:db8::5"]),
        (["::ffff:192.168.2.5", "192.168.2.5"], ["192.168.2.5"]),
        ("::ffff:c0a8:205", ["192.168.2.5"]),
    ],
)
def test_desks_in_the_form_of_pillar(declared, addresses):
    """Their addresses are spelled as the kernel of a host sees them."""
    assert "desks" not in to_pillar(policy(desks={}))
    desks = {"desk-1": {"addresses": declared, "key": DESK_KEY}, "desk-2": {"addresses": "10.0.0.5", "key": OTHER_KEY}}
    found = policy(desks=desks)
    assert to_pillar(found)["desks"] == {
        "desk-1": {"addresses": addresses, "key": DESK_KEY},
        "desk-2": {"addresses": ["10.0.0.5"], "key": OTHER_KEY},
    }
    assert parse_policy(to_pillar(found)) == found


def test_of_desks_with_one_key_none_is_known():
    """Salt's mine has what each minion says of itself: one that names another's key must not be taken for it."""
    findings = []
    mine = {
        "desk-1": {"addresses": ["10.0.0.5"], "key": DESK_KEY},
        "desk-2": {"addresses": ["10.0.0.6"], "key": OTHER_KEY},
        "desk-3": {"addresses": ["10.0.0.7"], "key": DESK_KEY},
    }
    assert [*parse_desks(Node(mine, "mine", findings))] == ["desk-2"]
    assert [finding.path for finding in findings] == ["mine:desk-3:key"]


@pytest.mark.parametrize(
    ("grants", "vm", "viewer", "contact"),
    [
        ((None, None), None, None, None),
        ((None, None), None, "Anne", "Anne"),
        ((None, None), "Bob", "Anne", "Bob"),
        (("Eve", None), "Bob", "Anne", "Eve"),
        (("Eve", "Tom"), "Bob", None, "Eve, Tom"),
        (("Eve", "Eve"), None, None, "Eve"),
    ],
)
def test_whom_users_may_ask(grants, vm, viewer, contact):
    """As the grants say by which they have a console, else the vm, else for all; a loan says nothing."""
    names = ("myself-debianx", "also")
    declared = {
        name: {"user": "myself", "vm": "debianx", **({"contact": each} if each else {})}
        for name, each in zip(names, grants)
    }
    found = policy(
        grants=declared,
        **({"vms__debianx__contact": vm} if vm else {}),
        **({"viewer": {"contact": viewer}} if viewer else {}),
    )
    assert found.contact("debianx", (*names, "loan:myself:debianx")) == contact


def test_values_cannot_be_changed():
    found = policy()
    with pytest.raises(AttributeError):
        found.vms["debianx"].tls_port = 1


def test_a_desk_that_is_known_keeps_its_key():
    """Whoever names it as well, in Salt's mine, is refused alone."""
    findings = []
    mine = {
        "desk-1": {"addresses": ["10.0.0.5"], "key": DESK_KEY},
        "another": {"addresses": ["10.0.0.6"], "key": DESK_KEY},
    }
    known = parse_desks(Node({"desk-1": mine["desk-1"]}, "mine", findings))
    assert [*parse_desks(Node(mine, "mine", findings), known)] == ["desk-1"]
    assert [str(each) for each in findings] == [
        "mine:another:key: is that of desk 'desk-1' already: give each a key of its own"
    ]
