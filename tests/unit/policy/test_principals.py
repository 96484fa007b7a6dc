"""Whom grants mean: one name, one UID, and what stays where the name service cannot be asked."""

import pytest

from spicegrants.core.accounts import Account, Group, Unasked
from spicegrants.host import nss
from spicegrants.policy import loans_locks
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import NOTHING, Loan
from unit.build import GID, desired, inventory, policy

SILENT = "source 'sss' of /etc/nsswitch.conf cannot be asked"
FAMILY = {"everyone": {"group": "family", "vm": "debianx"}}
ANNE = Access("anne", 5021, "debianx", ("own",))
OWN = {"own": {"user": "anne", "vm": "debianx"}}


def messages(compiled):
    return [str(finding) for finding in compiled.findings]


def opened(compiled):
    return [(access.user, access.uid) for access in compiled.accesses]


def asked(grants, previous, before=None, users=(), unknown=(), holders=None, temporary=NOTHING, **changes):
    declared = policy(grants=grants)
    unasked = Unasked(frozenset(users), frozenset(unknown), SILENT, holders or {})
    known = inventory(unasked=unasked, **changes)
    return compile_policy(declared, known, previous, temporary=temporary, before=(before or declared).grants)


# One name, one UID


def test_two_users_with_one_uid_get_nothing():
    users = {**inventory().users, "twin": Account("twin", 1021, 1021)}
    compiled = desired({"grants__twin": {"user": "twin", "vm": "debianx"}}, users=users)
    assert opened(compiled) == [("mybro", 1022)]
    assert [line.partition(": ")[2] for line in messages(compiled)] == [
        "user 'myself' has the UID of 'twin': nothing can tell one from the other",
        "user 'twin' has the UID of 'myself': nothing can tell one from the other",
    ]


@pytest.mark.parametrize(
    ("name", "answer", "believed"),
    [
        ("anne", "Anne", True),
        ("Anne", "anne", True),
        ("anne@corp.example", "anne", True),
        ("anne", "anne@corp.example", True),
        ("anne@corp.example", "ANNE@CORP.example", True),
        ("anne@corp.example", "anne@other.example", False),
        ("anne", "mybro", False),
        ("all", "ALL", False),
        ("anne", "CORP\\anne", False),
        ("anne", "anne, ALL", False),
        ("anne", "", False),
    ],
)
def test_an_account_of_another_name_than_was_asked_for(name, answer, believed):
    """It is the account's own name that goes into sudoers."""
    compiled = desired({"grants": {"own": {"user": name, "vm": "debianx"}}}, users={name: Account(answer, 5021, 5021)})
    assert opened(compiled) == ([(answer, 5021)] if believed else [])
    assert len(messages(compiled)) == (0 if believed else 1) and all(line.isprintable() for line in messages(compiled))


def test_one_account_by_two_spellings_of_its_name_is_one():
    grants = {"a": {"user": "Anne", "vm": "debianx"}, "b": {"user": "anne", "vm": "debianx"}}
    account = Account("anne", 5021, 5021)
    compiled = desired({"grants": grants}, users={"Anne": account, "anne": account})
    assert [access.grants for access in compiled.accesses] == [("a", "b")] and not compiled.findings


def test_another_group_with_the_viewers_gid():
    """Its members have the viewer's group: it is said, and none of them is granted anything."""
    groups = {**inventory().groups, "spicegrp": Group("spicegrp", 995, (), (Group("twin", 995, ("myself",)),))}
    compiled = desired(groups=groups)
    assert opened(compiled) == [("mybro", 1022)]
    assert messages(compiled) == [
        "spice:viewer:group: group 'twin' has the same GID as 'spicegrp': its members can start the viewer",
        "spice:grants:myself-debianx:user: user 'myself' is in a group with the GID of the viewer's: "
        "any program of theirs would pass",
    ]


def test_who_may_map_the_viewers_group_into_a_namespace():
    """They have it for any program of theirs: it is said, and they are granted nothing."""
    groups = {**inventory().groups, "spicegrp": Group("spicegrp", 995, mapping=("guest", "myself"))}
    compiled = desired(groups=groups)
    assert opened(compiled) == [("mybro", 1022)]
    assert messages(compiled) == [
        "spice:viewer:group: /etc/subgid lets user 'guest' have the GID of 'spicegrp': they can start the viewer",
        "spice:viewer:group: /etc/subgid lets user 'myself' have the GID of 'spicegrp': they can start the viewer",
        "spice:grants:myself-debianx:user: the viewer's group is a subordinate one of user 'myself': "
        "any program of theirs would pass",
    ]


@pytest.mark.parametrize(("uid", "opens"), [(1021, True), (None, True), (4021, False)])
def test_a_loan_is_to_the_account_that_it_was_made_to(uid, opens):
    """Another account of that name does not get it; of one that older code made, only the name is known."""
    temporary = loans_locks.Temporary((Loan("myself", "leaptest", 0, 2**31, uid=uid),))
    compiled = compile_policy(policy(grants={}), inventory(), temporary=temporary)
    assert opened(compiled) == ([("myself", 1021)] if opens else [])
    assert messages(compiled) == (
        []
        if opens
        else ["loan:myself:leaptest: user 'myself' has UID 1021 now; it was lent to the account with UID 4021"]
    )


# Nobody to be asked


def test_what_somebody_had_who_cannot_be_asked_for_stays():
    compiled = asked(OWN, [ANNE], users=["anne"])
    assert opened(compiled) == [("anne", 5021)]
    assert messages(compiled) == [
        f"spice:grants:own:user: nobody can tell whether there is a user 'anne' ({SILENT}): "
        "what they had stays as it was"
    ]


@pytest.mark.parametrize(
    ("grants", "changes"),
    [
        (OWN, {"previous": []}),
        (OWN, {"previous": [ANNE._replace(grants=("other",))]}),
        (OWN, {"holders": {5021: "next"}}),
        (OWN, {"numeric_names": frozenset({"5021"})}),
        (OWN, {"previous": [ANNE._replace(uid=0)]}),
        (OWN, {"before": policy(grants={})}),
        (OWN, {"before": policy(grants={"own": {"user": "anne", "vm": "leaptest"}})}),
        (OWN, {"before": policy(grants={"own": {"group": "anne", "vm": "debianx"}})}),
        ({"new": OWN["own"]}, {}),
        ({}, {}),
    ],
)
def test_what_does_not_stay(grants, changes):
    """What was not had by that very grant; a UID that is another's now; a grant of something else, or that is gone."""
    compiled = asked(grants, **{"previous": [ANNE], "users": ["anne"], **changes})
    assert opened(compiled) == []
    assert len(messages(compiled)) == len(grants)


def test_members_of_a_group_that_cannot_be_asked_for():
    """Those who had the grant keep it if their UID is the same, known or not; new ones are those who are told."""
    stood = [
        Access(name, uid, "debianx", ("everyone",))
        for name, uid in (("anne", 5021), ("ben", 5022), ("guest", 1023), ("mybro", 4022))
    ]
    compiled = asked(FAMILY, stood, users=["anne"], unknown=["family"], groups={"spicegrp": Group("spicegrp", 995)})
    assert opened(compiled) == [("anne", 5021), ("guest", 1023)]
    assert messages(compiled)[0] == (
        f"spice:grants:everyone:group: nobody can tell who is in group 'family' ({SILENT}): who had this grant keeps it"
    )
    partly = {**inventory().groups, "family": Group("family", 2000, ("myself",))}
    compiled = asked(FAMILY, stood, users=["anne"], unknown=["family"], groups=partly)
    assert opened(compiled) == [("anne", 5021), ("guest", 1023), ("myself", 1021)]


def test_a_group_that_answers_is_believed():
    """Who is not in it any more has nothing, whether the account can be asked for or not."""
    stood = [Access(name, uid, "debianx", ("everyone",)) for name, uid in (("anne", 5021), ("guest", 1023))]
    assert opened(asked(FAMILY, stood, users=["anne"])) == [("mybro", 1022), ("myself", 1021)]


def test_a_loan_stays_as_well():
    loan = Loan("anne", "debianx", 0, 2**31, uid=5021)
    temporary = loans_locks.Temporary((loan,))
    stood = [ANNE._replace(grants=(loan.name,))]
    assert opened(asked({}, stood, users=["anne"], temporary=temporary)) == [("anne", 5021)]
    assert opened(asked({}, stood, users=["anne"])) == []


# What nsswitch.conf says


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", (["files"], False)),
        ("passwd: files systemd\n", (["files", "systemd"], False)),
        ("  passwd :\tfiles  [NOTFOUND=return]  sss # db\n", (["files", "sss"], False)),
        ("passwd: files [ !UNAVAIL = return  SUCCESS = merge ] sss", (["files", "sss"], True)),
        ("# passwd: sss\ngroup: sss\n", (["files"], False)),
        ("passwd: sss\npasswd: files\n", (["files"], False)),
        ("passwd:\n", ([], False)),
    ],
)
def test_sources_that_are_named(text, found):
    assert nss.sources(text, "passwd") == found


def test_members_of_a_group_that_are_left_out():
    """Directories have names that cannot be granted anything: without them the run is no failure."""
    group = Group("family", 2000, ("josé", "mybro", "myself", "pc42$"))
    known = {"groups": {"spicegrp": Group("spicegrp", GID), "family": group}}
    everybody = {"grants": {"all": {"group": "family", "vm": "debianx"}}}
    found = desired(everybody, **known)
    assert len(found.findings) == 2 and [access.user for access in found.accesses] == ["mybro", "myself"]
    less = {"grants": {"all": {"group": "family", "vm": "debianx", "except": ["josé", "pc42$", "myself"]}}}
    found = desired(less, **known)
    assert found.findings == () and [access.user for access in found.accesses] == ["mybro"]
