"""From policy and workstation to who may open what."""

import pytest

from spicegrants.core.accounts import Account, Group
from spicegrants.core.errors import PolicyError
from spicegrants.policy.access import Access, Term
from spicegrants.policy.compiler import by_user
from unit.build import TICKETS, desired, inventory

FAMILY = {"everyone": {"group": "family", "vm": "debianx"}}


def complaints(compiled):
    return [str(finding) for finding in compiled.findings]


def test_the_article():
    compiled = desired()
    assert compiled.accesses == (
        Access("mybro", 1022, "leaptest", ("mybro-leaptest",), True),
        Access("myself", 1021, "debianx", ("myself-debianx",), False),
    )
    assert compiled.gid == 995 and compiled.findings == ()
    assert compiled.addresses(compiled.accesses[0]) == ("192.168.2.2",)
    assert compiled.port(compiled.accesses[0]) == 20004
    assert compiled.vm_at("192.168.2.2", 20004) == "leaptest"
    assert compiled.vm_at("192.168.2.2", 20005) is None and compiled.vm_at("192.168.2.3", 20004) is None


def test_a_group_means_each_of_its_members():
    compiled = desired({"grants": FAMILY})
    assert [(access.user, access.uid) for access in compiled.accesses] == [("mybro", 1022), ("myself", 1021)]


@pytest.mark.parametrize("own_first", [True, False])
def test_two_grants_of_one_console_are_one_access(own_first):
    own = {"own": {"user": "myself", "vm": "debianx", "nopasswd": True}}
    compiled = desired({"grants": {**own, **FAMILY} if own_first else {**FAMILY, **own}})
    assert compiled.accesses[1] == Access("myself", 1021, "debianx", ("everyone", "own"), True, terms=(Term(), Term()))
    assert compiled.accesses[0].nopasswd is False
    assert compiled.grants_of("myself", "debianx") == compiled.grants_of(1021, "debianx") == ("everyone", "own")


def test_grants_of_the_run_before_are_known_by_name():
    before = Access("guest", 1023, "debianx", ("guests",))
    compiled = desired(previous=[before])
    assert compiled.grants_of(1023, "debianx") == ("guests",)
    assert compiled.grants_of("guest", "leaptest") == () and compiled.grants_of(None, None) == ()
    assert before not in compiled.accesses


def test_unknown_users_cost_only_their_own_grants():
    compiled = desired({"grants__gone": {"user": "gone", "vm": "debianx"}})
    assert complaints(compiled) == ["spice:grants:gone:user: no user 'gone' on this machine"]
    assert compiled.accesses == desired().accesses


def test_unknown_users_of_a_console_that_cannot_be_opened_are_named_as_well():
    """Who mends the server would otherwise hear of them only then."""
    compiled = desired({"grants__gone": {"user": "gone", "vm": "debianx"}}, addresses={})
    assert complaints(compiled) == ["spice:grants:gone:user: no user 'gone' on this machine"]
    assert compiled.accesses == ()


def test_an_unknown_group_costs_only_its_own_grant():
    compiled = desired({"grants__gone": {"group": "gone", "vm": "debianx"}})
    assert complaints(compiled) == ["spice:grants:gone:group: no group 'gone' on this machine"]
    assert compiled.accesses == desired().accesses


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        (Account("myself", 0, 1021), "has UID 0"),
        (Account("myself", 1021, 995), "the viewer's group is the primary group"),
        (Account("myself", 777, 1021), "an account is named '777', like the UID"),
    ],
)
def test_accounts_that_cannot_have_a_grant(account, reason):
    compiled = desired(users={**inventory().users, "myself": account}, numeric_names=frozenset({"777"}))
    assert [access.user for access in compiled.accesses] == ["mybro"]
    (finding,) = compiled.findings
    assert finding.path == "spice:grants:myself-debianx:user" and reason in finding.message


@pytest.mark.parametrize("name", ["ALL", "%wheel", "#0", "1121", "a b", "a\nb", "Defaults", "+net", "!x", "root\\", ""])
def test_members_whose_names_mean_something_else_to_sudo(name):
    """Pillar never saw these names: they come from the name service."""
    groups = {**inventory().groups, "family": Group("family", 2000, ("mybro", name))}
    users = {**inventory().users, name: Account(name, 4242, 4242)}
    compiled = desired({"grants": FAMILY}, users=users, groups=groups)
    assert [access.user for access in compiled.accesses] == ["mybro"]
    (finding,) = compiled.findings
    assert finding.path == "spice:grants:everyone:group" and str(finding).isprintable()


def test_root_in_a_group_is_left_out():
    groups = {**inventory().groups, "family": Group("family", 2000, ("mybro", "root"))}
    users = {**inventory().users, "root": Account("root", 0, 0)}
    compiled = desired({"grants": FAMILY}, users=users, groups=groups)
    assert [access.user for access in compiled.accesses] == ["mybro"] and len(compiled.findings) == 1


@pytest.mark.parametrize(
    ("group", "numeric", "reason"),
    [(Group("spicegrp", 0), (), "has GID 0"), (Group("spicegrp", 995), ("995",), "like the GID of 'spicegrp'")],
)
def test_a_viewer_group_that_cannot_be_told_from_another(group, numeric, reason):
    """Nothing at all is enforced then: every rule would mean the wrong group."""
    with pytest.raises(PolicyError, match=reason):
        desired(groups={"spicegrp": group}, numeric_names=frozenset(numeric))


def test_without_the_viewer_group_accesses_stand_but_no_gid():
    compiled = desired(groups={})
    assert compiled.gid is None and len(compiled.accesses) == 2


def test_a_server_without_address_costs_only_its_own_vms():
    other = {
        "servers__far": {"host": "far.example.com", "ports": 20002},
        "vms__far": {"server": "far", "tls_port": 20002},
    }
    compiled = desired({**other, "grants__far": {"user": "myself", "vm": "far"}})
    assert compiled.accesses == desired().accesses


def test_a_server_without_its_certificate_opens_nothing():
    """The viewer would not verify what the policy says that it verifies."""
    assert desired({"servers__mysrv__ca": "/etc/pki/ca.pem"}).accesses == ()
    assert len(desired({"servers__mysrv__ca": "/etc/pki/ca.pem"}, authorities={"mysrv": "PEM"}).accesses) == 2


def test_tickets_open_nothing_where_viewers_cannot_be_confined():
    """Users could read them, and hand them on. The consoles of other servers are opened as ever."""
    other = {
        "servers__plain": {"host": "plain.example.com", "ports": 20002},
        "vms__plain": {"server": "plain", "tls_port": 20002},
        "grants__plain": {"user": "guest", "vm": "plain"},
    }
    addresses = {"mysrv": ("192.168.2.2",), "plain": ("10.0.0.1",)}
    compiled = desired({**TICKETS, **other}, addresses=addresses, unconfinable="there is no bwrap")
    assert [access.vm for access in compiled.accesses] == ["plain"]
    why = "users could read its tickets, as viewers cannot be confined: there is no bwrap; its console stays closed"
    assert complaints(compiled) == [f"spice:vms:debianx: {why}", f"spice:vms:leaptest: {why}"]
    confined = desired({**TICKETS, **other}, addresses=addresses, unconfinable="")
    assert len(confined.accesses) == 3 and confined.findings == ()


def test_two_vms_at_one_place_are_both_closed_and_both_named():
    shared = {
        "servers__alias": {"host": "alias.example.com", "ports": 20002},
        "vms__twin": {"server": "alias", "tls_port": 20002},
        "grants__twin": {"user": "guest", "vm": "twin"},
    }
    addresses = {"mysrv": ("192.168.2.2",), "alias": ("10.0.0.1", "192.168.2.2")}
    compiled = desired(shared, addresses=addresses)
    assert [access.vm for access in compiled.accesses] == ["leaptest"]
    assert complaints(compiled) == [
        "spice:vms:debianx: 192.168.2.2 port 20002 is also the console of vm 'twin': neither is opened",
        "spice:vms:twin: 192.168.2.2 port 20002 is also the console of vm 'debianx': neither is opened",
    ]


def test_by_user():
    compiled = desired({"grants__more": {"user": "myself", "vm": "leaptest"}})
    assert {uid: [access.vm for access in theirs] for uid, theirs in by_user(compiled.accesses).items()} == {
        1021: ["debianx", "leaptest"],
        1022: ["leaptest"],
    }
