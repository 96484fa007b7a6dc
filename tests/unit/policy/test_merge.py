"""Pillar, grants of a state and what the minion holds, combined into one policy."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from spicegrants.core.changes import Change
from spicegrants.core.errors import PolicyError
from spicegrants.policy import merge
from spicegrants.policy.access import Access
from spicegrants.policy.state_file import Stored
from unit.build import DESK_KEY, OTHER_KEY, TICKETS, article, changed, desired, policy

MORE = {"more": {"user": "guest", "vm": "leaptest"}}


class Masked(dict):
    """Prints as asterisks, as the pillar of Salt 3008 does."""

    def __repr__(self):
        return "{'password': '**********'}"

    __str__ = __repr__


class MaskedList(list):
    def __repr__(self):
        return "['**********']"

    __str__ = __repr__


class Foreign(Mapping):
    """A mapping that is no dict."""

    def __init__(self, **data):
        self.data = data

    def __getitem__(self, key):
        return self.data[key]

    def __iter__(self):
        return iter(self.data)

    def __len__(self):
        return len(self.data)


def masked(value):
    if isinstance(value, dict):
        return Masked({key: masked(member) for key, member in value.items()})
    return MaskedList(map(masked, value)) if isinstance(value, list) else value


def is_plain(value):
    if isinstance(value, dict):
        return type(value) is dict and all(map(is_plain, value.values()))
    return type(value) is list and all(map(is_plain, value)) if isinstance(value, list) else True


@pytest.mark.parametrize(
    "value", [masked(article()), Foreign(a=Foreign(b=(1, MaskedList([2])))), MaskedList([Masked(a=1)]), 5, None, "x"]
)
def test_plain(value):
    found = merge.plain(value)
    assert is_plain(found) and "**" not in repr(found)


def test_plain_keeps_what_is_inside():
    assert merge.plain(masked(article())) == article()
    assert merge.plain(Foreign(a=Foreign(b=(1, [2])))) == {"a": {"b": [1, [2]]}}


def test_salts_own_masked_pillar():
    secret = pytest.importorskip("salt.utils.secret", reason="Salt 3008 and newer mask the pillar")
    hidden = secret.hide(article())
    assert merge.combine(hidden, None, True, None) == policy()
    with pytest.raises(PolicyError, match="my srv"):
        merge.combine(secret.hide(changed(article(), servers__mysrv__host="my srv")), None, True, None)


def test_the_desks_are_no_part_of_a_desks_policy():
    """Its root could read the keys and addresses of all, and each new desk would change the policy of every other."""
    desks = {"desk-1": {"addresses": "192.168.2.5", "key": DESK_KEY}}
    assert merge.combine(changed(article(), desks=desks), None, True, None) == policy()
    with pytest.raises(PolicyError, match="spice:desks:desk-1:key: 'x' is no public key of SSH"):
        merge.combine(changed(article(), desks={"desk-1": {**desks["desk-1"], "key": "x"}}), None, True, None)


def names(found):
    return set(found.grants)


def test_pillars_own_grants():
    assert merge.combine(article(), None, True, None) == policy()


def test_given_grants_stand_instead_of_pillars():
    assert names(merge.combine(article(), MORE, True, None)) == {"more"}
    assert names(merge.combine(article(), {}, True, None)) == set()
    assert names(merge.combine(changed(article(), grants=...), MORE, True, None)) == {"more"}


def test_exclusive_takes_all_others_away():
    assert names(merge.combine(article(), MORE, True, policy())) == {"more"}


def test_others_stay_otherwise():
    assert names(merge.combine(article(), MORE, False, policy())) == {"more", "myself-debianx", "mybro-leaptest"}
    assert names(merge.combine(article(), MORE, False, None)) == {"more"}


@pytest.mark.parametrize("exclusive", ["no", "", 1, 0, None])
def test_whether_others_go_is_a_boolean(exclusive):
    """A word would be taken for yes, whatever it says."""
    with pytest.raises(PolicyError, match="exclusive: must be true or false"):
        merge.combine(article(), MORE, exclusive, policy())


def test_a_given_grant_replaces_one_of_its_name():
    found = merge.combine(article(), {"myself-debianx": {"user": "guest", "vm": "debianx"}}, False, policy())
    assert found.grants["myself-debianx"].user == "guest" and len(found.grants) == 2


def test_a_kept_grant_is_kept_whole():
    before = policy(**{"grants__mybro-leaptest__reason": "year-end"})
    assert merge.combine(article(), MORE, False, before).grants["mybro-leaptest"] == before.grants["mybro-leaptest"]


def test_a_grant_whose_vm_is_gone_goes_with_it():
    less = changed(article(), vms__leaptest=...)
    assert names(merge.combine(less, {}, False, policy())) == {"myself-debianx"}


@pytest.mark.parametrize("data", [None, {}, [], "x", 5])
@pytest.mark.parametrize("exclusive", [True, False])
def test_without_pillar_nothing_is_assumed(data, exclusive):
    with pytest.raises(PolicyError, match=r"^spice: "):
        merge.combine(data, MORE, exclusive, policy())


@pytest.mark.parametrize("grants", [[], "x", 5, True, [MORE]])
@pytest.mark.parametrize("exclusive", [True, False])
def test_grants_of_a_wrong_type(grants, exclusive):
    with pytest.raises(PolicyError, match="spice:grants: must be a mapping of names"):
        merge.combine(article(), grants, exclusive, policy())


@pytest.mark.parametrize("vms", [None, [], "debianx"])
def test_vms_of_a_wrong_type(vms):
    with pytest.raises(PolicyError, match="spice:vms: "):
        merge.combine(changed(article(), vms=vms), {}, False, policy())


def test_the_pillar_is_left_as_it_is():
    data, grants = article(), dict(MORE)
    merge.combine(data, grants, False, policy())
    assert data == article() and grants == MORE


# Single grants


def test_without():
    assert names(merge.without(policy(), ["myself-debianx", "unknown"])) == {"mybro-leaptest"}
    assert names(policy()) == {"myself-debianx", "mybro-leaptest"}


def test_with_grant():
    found = merge.with_grant(policy(), "guest", "debianx", True, "for a day")
    (name,) = names(found) - names(policy())
    grant = found.grants[name]
    assert name == "guest-debianx"
    assert (grant.user, grant.vm, grant.nopasswd, grant.reason) == ("guest", "debianx", True, "for a day")
    assert merge.without(found, [name]) == policy()


def test_with_grant_twice_replaces_the_users_own():
    once = merge.with_grant(policy(), "guest", "debianx", True, None)
    twice = merge.with_grant(once, "guest", "debianx", False, None)
    assert names(once) == names(twice) and twice.grants["guest-debianx"].nopasswd is False


@pytest.mark.parametrize("user", ["_apt", "j.boss@example.com", "a" * 63, "_", "a-", "a."])
def test_with_grant_for_any_account(user):
    """The name of a grant cannot hold all that the name of an account can."""
    found = merge.with_grant(policy(), user, "debianx", False, None)
    assert [grant.user for grant in found.grants.values()].count(user) == 1


@pytest.mark.parametrize(
    ("present", "user", "vm"),
    [
        ({"user": "ann-x", "vm": "debianx"}, "ann", "x-debianx"),
        ({"user": "ann", "vm": "x-debianx"}, "ann-x", "debianx"),
        ({"group": "family", "vm": "debianx"}, "ann-x", "debianx"),
        ({"user": "ann@x", "vm": "debianx"}, "ann-x", "debianx"),
    ],
)
def test_with_grant_takes_nothing_from_anybody_else(present, user, vm):
    """A grant that happens to have the name already belongs to somebody else."""
    before = policy(**{"vms__x-debianx": {"server": "mysrv", "tls_port": 20005}, "grants__ann-x-debianx": present})
    after = merge.with_grant(before, user, vm, False, None)
    after = merge.with_grant(after, user, vm, False, None)
    for name, grant in before.grants.items():
        assert after.grants[name] == grant
    assert [(grant.user, grant.vm) for grant in after.grants.values()].count((user, vm)) == 1


@pytest.mark.parametrize(
    ("user", "vm", "nopasswd", "reason", "path"),
    [
        ("root", "debianx", False, None, "user"),
        ("a b", "debianx", False, None, "user"),
        ("ALL", "debianx", False, None, "user"),
        (1021, "debianx", False, None, "user"),
        (None, "debianx", False, None, "user"),
        ("guest", "debianx", "yes", None, "nopasswd"),
        ("guest", "debianx", False, "a\nb", "reason"),
        ("guest", "debianx", False, 5, "reason"),
    ],
)
def test_with_grant_checks_as_pillar_does(user, vm, nopasswd, reason, path):
    with pytest.raises(PolicyError) as caught:
        merge.with_grant(policy(), user, vm, nopasswd, reason)
    (finding,) = caught.value.findings
    assert finding.path.rpartition(":")[2] == path


@pytest.mark.parametrize(
    ("vm", "message"),
    [("debainx", "no vm 'debainx', did you mean 'debianx'?"), (5, "no vm 5"), (None, "no vm None"), ([], "no vm")],
)
def test_with_grant_of_an_unknown_vm(vm, message):
    with pytest.raises(PolicyError) as caught:
        merge.with_grant(policy(), "guest", vm, False, None)
    assert message in str(caught.value)


def test_without_user():
    before = policy(**{"grants__again": {"user": "myself", "vm": "debianx"}})
    assert names(merge.without_user(before, "myself", "debianx", desired())) == {"mybro-leaptest"}


@pytest.mark.parametrize(("user", "vm"), [("guest", "debianx"), ("myself", "leaptest"), ("myself", "nothing")])
def test_without_user_who_has_none(user, vm):
    with pytest.raises(PolicyError, match=f"{user} has no grant of {vm}"):
        merge.without_user(policy(), user, vm, desired())


@pytest.mark.parametrize("own", [True, False])
def test_without_user_who_has_it_through_a_group(own):
    """Taking the user's own grant away would not take the console away."""
    grants = {"everyone": {"group": "family", "vm": "debianx"}}
    if own:
        grants["own"] = {"user": "myself", "vm": "debianx"}
    compiled = desired({"grants": grants})
    with pytest.raises(PolicyError, match="myself has debianx through a group, by everyone"):
        merge.without_user(compiled.policy, "myself", "debianx", compiled)


# What is stored, and how it changes


STORED = Stored(policy(), {"mysrv": ("192.168.2.2",)}, desired().accesses, "spicegrp", False, {})


def words(before, after):
    return [(change.what, change.grants) for change in merge.changes(before, after)]


def test_remember():
    original = {"/usr/bin/remote-viewer": (0, 0, 0o755)}
    assert merge.remember(Stored(), desired(), original) == replace(STORED, originals=original)


def test_a_group_that_was_made_is_ours_to_remove():
    """Ours if it was missing before the first run, and from then on; not the one that another pillar names."""
    made = merge.remember(Stored(), desired(groups={}), {})
    assert made.made_group
    assert merge.remember(made, desired(), {}).made_group
    assert not merge.remember(replace(made, group="other"), desired(), {}).made_group


def test_the_first_known_rights_of_a_viewer_are_kept():
    """Later ones are our own."""
    before = replace(STORED, originals={"/usr/bin/remote-viewer": (0, 5, 0o751)})
    after = merge.remember(before, desired(), {"/usr/bin/remote-viewer": (0, 0, 0o755), "/opt/x": (0, 0, 0o755)})
    assert after.originals == {"/usr/bin/remote-viewer": (0, 5, 0o751), "/opt/x": (0, 0, 0o755)}


def test_a_group_of_ours_that_is_used_no_more_is_remembered_until_it_is_gone():
    """And one of the site's never is."""
    site = replace(STORED, group="consoles")
    ours = replace(site, made_group=True)
    assert merge.remember(site, desired(), {}).left == ()
    after = merge.remember(ours, desired(), {})
    assert (after.left, after.made_group) == (("consoles",), False)
    assert merge.remember(after, desired(), {}).left == ("consoles",)
    assert merge.settle(after, policy()).left == ()


def test_a_group_that_comes_back_is_ours_still():
    before = replace(STORED, group="consoles", made_group=True, left=("spicegrp",))
    after = merge.remember(before, desired(), {})
    assert (after.made_group, after.left) == (True, ("consoles",))


def test_viewers_that_are_declared_no_more():
    before = replace(STORED, originals={"/usr/bin/remote-viewer": (0, 0, 0o755), "/opt/x": (0, 5, 0o751)})
    assert merge.abandoned(before, policy()) == (("/opt/x",), ())
    assert merge.settle(before, policy()).originals == {"/usr/bin/remote-viewer": (0, 0, 0o755)}


def test_addresses_of_servers_that_are_gone_are_forgotten():
    after = merge.remember(STORED, desired(addresses={"mysrv": ("10.0.0.1",), "old": ("10.0.0.2",)}), {})
    assert after.addresses == {"mysrv": ("10.0.0.1",)}


def test_nothing_changes():
    assert merge.changes(STORED, replace(STORED)) == []
    assert merge.changes(STORED, merge.remember(STORED, desired(), {})) == []


def test_the_first_run():
    assert words(Stored(), STORED) == [
        ("adds the grant of leaptest to mybro", ("mybro-leaptest",)),
        ("adds the grant of debianx to myself", ("myself-debianx",)),
        ("adds server mysrv", ()),
        ("adds vm debianx", ()),
        ("adds vm leaptest", ()),
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"grants__more": {"group": "family", "vm": "debianx"}},
            ("adds the grant of debianx to group family", ("more",)),
        ),
        ({"grants__myself-debianx": ...}, ("removes the grant of debianx to myself", ("myself-debianx",))),
        ({"grants__myself-debianx__nopasswd": True}, ("changes the grant of debianx to myself", ("myself-debianx",))),
        ({"vms__third": {"server": "mysrv", "tls_port": 20009}}, ("adds vm third", ())),
        ({"vms__debianx__tls_port": 20009}, ("changes vm debianx", ())),
        ({"servers__two": {"host": "two", "ports": 5900}}, ("adds server two", ())),
        ({"servers__mysrv__ports": ["20001-20010", 5900]}, ("changes server mysrv", ())),
        (
            {"schedules": {"evenings": {"days": ["mon"], "hours": ["18:00-22:00"], "zone": "Europe/Berlin"}}},
            ("adds schedule evenings", ()),
        ),
        ({"viewer": {"path": "/opt/bin/x"}}, ("changes the settings of the viewer", ())),
        ({"firewall": {"guard": "servers"}}, ("changes the settings of the firewall", ())),
        ({"routing": {"enabled": True}}, ("changes the settings of routing", ())),
        ({"sudo": {"strict": True}}, ("changes the settings of sudo", ())),
    ],
)
def test_changes_in_words(changes, sentence):
    assert words(STORED, replace(STORED, policy=policy(**changes))) == [sentence]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"servers__mysrv__minion": "kvm2"}, "changes server mysrv"),
        ({"servers__mysrv__host_key": OTHER_KEY}, "changes server mysrv"),
        ({"servers__mysrv__ssh_port": 2222}, "changes server mysrv"),
        ({"vms__debianx__domain": "debianx-kali"}, "changes vm debianx"),
        ({"vms__debianx__sharing": "shared"}, "changes vm debianx"),
    ],
)
def test_changes_of_what_a_kvm_host_needs_in_words(changes, what):
    with_tickets = replace(STORED, policy=policy(**TICKETS))
    assert words(STORED, with_tickets) == words(with_tickets, STORED) == [("changes server mysrv", ())]
    assert words(with_tickets, replace(STORED, policy=policy(**{**TICKETS, **changes}))) == [(what, ())]


def test_a_server_that_moved():
    assert words(STORED, replace(STORED, addresses={"mysrv": ("10.0.0.1", "10.0.0.2")})) == [
        ("server mysrv is now at 10.0.0.1, 10.0.0.2", ())
    ]


def test_members_of_a_group_that_changed():
    """No grant changed, yet what must be remembered did."""
    after = replace(STORED, accesses=(*STORED.accesses, Access("guest", 1023, "debianx", ("x",))))
    assert merge.changes(STORED, after) == [Change("policy", "records who may open what now")]


def test_sentences():
    report = {"layers": {"viewer": ["a", "b"]}, "grants": {"g": {"sudo": ["c"], "firewall": ["d"]}}}
    assert merge.sentences(report) == ["viewer: a", "viewer: b", "g: sudo: c", "g: firewall: d"]
    assert merge.sentences({}) == []


# Passwords that Salt's storage for secrets holds


def with_secrets(password, get):
    data = changed(article(), vms__debianx__password=password)
    return merge.with_secrets(data, get)["vms"]["debianx"]["password"]


def test_a_password_is_asked_for_by_its_uri():
    assert with_secrets("sdb://vault/spice?debianx", {"sdb://vault/spice?debianx": "s3cret"}.get) == "s3cret"


@pytest.mark.parametrize("password", ["s3cret", {"file": "/root/x"}, 7, None])
def test_nothing_else_is_asked_for(password):
    assert with_secrets(password, lambda uri: pytest.fail("asked")) == password


@pytest.mark.parametrize("answer", [None, 7, ["x"], "sdb://vault/x"])
def test_a_password_that_is_not_there(answer):
    """sdb.get gives back what it knows nothing of; that is no password."""
    with pytest.raises(PolicyError, match="spice:vms:debianx:password: sdb has no text under this URI") as caught:
        with_secrets("sdb://vault/x", lambda uri: answer)
    assert "vault" not in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "x", {"vms": None}, {"vms": ["x"]}, {"vms": {"a": None, "b": 1}}])
def test_what_is_wrong_is_left_to_the_parser(data):
    assert merge.with_secrets(data, lambda uri: pytest.fail("asked")) == data
