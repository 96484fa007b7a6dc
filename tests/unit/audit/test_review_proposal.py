"""The pillar that follows from decisions: who is revoked loses just that, and nobody else loses or gets anything."""

import copy
import datetime

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from spicegrants.audit import review_csv, review_proposal
from spicegrants.audit.review_csv import Decision, Decisions
from spicegrants.core.accounts import Group
from spicegrants.core.errors import Finding
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from unit.audit import reviewed
from unit.audit.reviewed import HOSTILE
from unit.audit.test_review import golden
from unit.build import article, changed, inventory

VMS = ("debianx", "leaptest", "third")
USERS = ("guest", "mybro", "myself")
SPICE = changed(
    article(),
    vms__third={"server": "mysrv", "tls_port": 20006},
    vm_groups={"all": [*VMS], "one": "third"},
)
GROUPS = {
    "spicegrp": Group("spicegrp", 995),
    "family": Group("family", 2000, USERS),
    "two": Group("two", 2001, USERS[1:]),
}


def decided(*revoked, findings=()):
    return Decisions([*revoked], 0, 0, [*findings])


def revoke(user, vm, *grants, groups=(), line=2, desks=("desk-1",), comment=""):
    return Decision(line, user, vm, grants, tuple(groups), tuple(desks), comment)


def grants_of(text):
    """The grants of a proposed pillar, as YAML reads them."""
    (found,) = yaml.safe_load_all(text)
    return found["spice"]["grants"]


def proposed(grants, *revoked, spice=SPICE):
    """What becomes of grants; and what is not done."""
    found = review_proposal.proposed(decided(*revoked), {"desk-1": {**spice, "grants": grants}})
    return grants_of(found.text), found.findings


@pytest.mark.parametrize(
    ("grant", "revoked", "expected"),
    [
        ({"user": "guest", "vm": "third"}, [revoke("guest", "third", "g")], None),
        ({"user": "guest", "vm": ["third"]}, [revoke("guest", "third", "g/third")], None),
        (
            {"user": "guest", "vm": ["third", "debianx"]},
            [revoke("guest", "third", "g/third")],
            {"g": {"user": "guest", "vm": ["debianx"]}},
        ),
        (
            {"user": "guest", "vm_group": "all", "owner": "it"},
            [revoke("guest", "third", "g/third")],
            {"g": {"user": "guest", "vm": ["debianx", "leaptest"], "owner": "it"}},
        ),
        (
            {"group": "family", "vm": "third"},
            [revoke("guest", "third", "g", groups=["family"])],
            {"g": {"group": "family", "vm": "third", "except": ["guest"]}},
        ),
        (
            {"group": "family", "vm": "third", "except": "mybro"},
            [revoke("guest", "third", "g", groups=["family"])],
            {"g": {"group": "family", "vm": "third", "except": ["mybro", "guest"]}},
        ),
        (
            {"group": "family", "vm_group": "all"},
            [revoke("guest", vm, f"g/{vm}", groups=["family"]) for vm in VMS],
            {"g": {"group": "family", "vm_group": "all", "except": ["guest"]}},
        ),
        (
            {"group": "family", "vm_group": ["one", "all"], "owner": "it"},
            [revoke("guest", "third", "g/third", groups=["family"])],
            {
                "g": {"group": "family", "owner": "it", "vm": ["debianx", "leaptest"]},
                "g/third": {"group": "family", "owner": "it", "vm": "third", "except": ["guest"]},
            },
        ),
        (
            {"group": "family", "vm": "third"},
            [revoke("", "third", "g", groups=["family"])],
            None,
        ),
        (
            {"group": "family", "vm": ["third", "debianx"]},
            [revoke("", "third", "g/third", groups=["family"])],
            {"g": {"group": "family", "vm": ["debianx"]}},
        ),
        (
            {"group": "family", "vm": ["third", "debianx"]},
            [
                revoke("guest", "third", "g/third", groups=["family"]),
                revoke("mybro", "debianx", "g/debianx", groups=["family"]),
            ],
            {
                "g/third": {"group": "family", "vm": "third", "except": ["guest"]},
                "g/debianx": {"group": "family", "vm": "debianx", "except": ["mybro"]},
            },
        ),
    ],
)
def test_what_becomes_of_a_grant(grant, revoked, expected):
    """All others are as they were, and where they were."""
    kept = {"before": {"user": "mybro", "vm": "leaptest"}, "after": {"user": "myself", "vm": "debianx"}}
    grants, findings = proposed({"before": kept["before"], "g": grant, "after": kept["after"]}, *revoked)
    assert findings == []
    assert grants == {"before": kept["before"], **(expected or {}), "after": kept["after"]}
    assert [*grants] == ["before", *(expected or {}), "after"]


def test_each_change_has_a_comment_and_so_has_what_goes():
    grants = {"a": {"user": "guest", "vm": "third"}, "b": {"group": "family", "vm": "third"}}
    rows = [revoke("guest", "third", "a", "b", groups=["family"], line=7, comment="left the team")]
    text = review_proposal.proposed(decided(*rows), {"desk-1": {**SPICE, "grants": grants}}).text
    assert text.splitlines() == [
        "# Proposed, and nothing was changed. Rows of the review: 1 revoked, 0 kept, 0 not decided.",
        "# Of desk-1",
        "spice:",
        "  grants:",
        "    # a goes: line 7 revokes third of guest (left the team)",
        "    # changed: line 7 revokes third of guest (left the team)",
        "    b:",
        "      group: family",
        "      vm: third",
        "      except: [guest]",
    ]


def test_golden(request):
    """A spreadsheet of the office that came back: what it decides, and what is wrong with it."""
    text = review_csv.written(reviewed.compared().rows)
    for user, vm, word in (("anne", "web", "revoke"), ("anne", "books", "Revoke"), ("ralph", "analysis", "maybe")):
        (line,) = [each for each in text.split("\r\n") if each.startswith(f"{user},{vm},")]
        text = text.replace(line, f"{line.removesuffix(',,')},{word},for {user}")
    found = review_csv.read(text.encode())
    spice = yaml.safe_load(reviewed.office_pillar().read_text(encoding="utf-8"))["spice"]
    declared = {"desk-1": spice, "desk-2": spice}
    made = review_proposal.proposed(found, declared)
    golden(request, "proposal.yaml", made.text)
    assert [finding.path for finding in made.findings] == ["line 7", "line 2, desk-1, desk-2"]


@pytest.mark.parametrize(
    ("revoked", "message"),
    [
        (revoke("guest", "third", "loan:guest:third"), "loan:guest:third is a loan: spice_grant.end_loan ends it"),
        (
            revoke("guest", "third", "x"),
            "grant 'x' is not declared there, so another state, or spice_grant.grant, made it",
        ),
        (revoke("guest", "debianx", "own"), "grant 'own' is not about vm 'debianx' there"),
        (revoke("mybro", "third", "own"), "grant 'own' is not of 'mybro' there"),
        (revoke("", "third", "own"), "grant 'own' is not of '' there"),
        (revoke("guest", "third", "shared"), "grant 'shared' is not of 'guest' there"),
        (revoke("guest", "third", "shared", groups=["two"]), "grant 'shared' is not of 'guest' there"),
        (
            revoke("guest", "third", "odd"),
            "grant 'odd' is not declared there, so another state, or spice_grant.grant, made it",
        ),
    ],
)
def test_what_cannot_be_revoked_there_is_said(revoked, message):
    grants = {"own": {"user": "guest", "vm": "third"}, "shared": {"group": "family", "vm": "third"}, "odd": 7}
    found = review_proposal.proposed(decided(revoked), {"desk-1": {**SPICE, "grants": grants}})
    assert found.findings == [Finding("line 2, desk-1", message)]
    assert message in found.text and "# No grant would change." in found.text and "grants:" not in found.text


def test_a_name_in_another_spelling_is_the_same_users():
    grants, findings = proposed({"g": {"user": "Guest@corp", "vm": "third"}, "k": {}}, revoke("guest", "third", "g"))
    assert (grants, findings) == ({"k": {}}, [])


def test_where_all_go_the_pillar_has_no_grants():
    assert proposed({"g": {"user": "guest", "vm": "third"}}, revoke("guest", "third", "g")) == ({}, [])


def test_desks_with_other_grants_have_a_pillar_of_their_own():
    one, other = ({**SPICE, "grants": {"g": {"user": "guest", "vm": "third", "owner": owner}}} for owner in "ab")
    row = revoke("guest", "third", "g", desks=["d1", "d2", "d3", "d4"])
    declared = {"d1": one, "d2": other, "d3": one, "d4": "Rendering failed"}
    found = review_proposal.proposed(decided(row), declared)
    assert [*yaml.safe_load_all(found.text)] == [{"spice": {"grants": {}}}] * 2
    assert "# Of d1, d3\n" in found.text and "# Of d2\n" in found.text
    assert found.findings == [Finding("d4", "no pillar: Rendering failed")]


def test_a_grant_need_not_be_declared_for_each_desk_of_a_row():
    """Only one that none of them declares is a finding."""
    own = {desk: {**SPICE, "grants": {desk: {"user": "guest", "vm": "third"}}} for desk in ("d1", "d2")}
    found = review_proposal.proposed(decided(revoke("guest", "third", "d1", "d2", "d3", desks=own)), own)
    assert [*yaml.safe_load_all(found.text)] == [{"spice": {"grants": {}}}] * 2
    message = "grant 'd3' is not declared there, so another state, or spice_grant.grant, made it"
    assert found.findings == [Finding(f"line 2, {desk}", message) for desk in own]


@pytest.mark.parametrize("desks", [(), ("gone",)])
def test_without_a_pillar_nothing_is_revoked_and_that_is_said(desks):
    found = review_proposal.proposed(decided(revoke("guest", "third", "g", desks=desks)), dict.fromkeys(desks, "no"))
    assert "line 2: no pillar of its desks is known" in found.text and found.findings[-1].path == "line 2"


def test_findings_of_the_table_are_in_it():
    found = review_proposal.proposed(decided(findings=[Finding("line 3", HOSTILE)]), {})
    assert len(found.text.splitlines()) == 4 and found.findings and yaml.safe_load(found.text) is None


def test_dates_mean_the_same():
    """As YAML reads them: a last day, and moments with and without an offset."""
    zone = datetime.timezone(datetime.timedelta(hours=1))
    for value in (
        datetime.date(2027, 3, 31),
        datetime.datetime(2027, 3, 31, 18),
        datetime.datetime(2027, 3, 31, 18, tzinfo=zone),
    ):
        grants = {"g": {"user": "guest", "vm": ["third", "debianx"], "valid_until": value}}
        spice = changed(SPICE, time={"zone": "Europe/Berlin"})
        made, _ = proposed(grants, revoke("guest", "debianx", "g/debianx"), spice=spice)
        ends = [
            next(iter(pillar.parse_policy({**spice, "grants": each}).grants.values())).valid_until
            for each in (grants, made)
        ]
        assert ends[0] == ends[1] is not None


# Any grants, any decisions: the compiler itself says who has what before and after.


WHOM = st.one_of(
    st.sampled_from(USERS).map(lambda user: {"user": user}),
    st.builds(
        lambda group, out: {"group": group, **({"except": out} if out else {})},
        st.sampled_from(["family", "two"]),
        st.lists(st.sampled_from(USERS), max_size=1),
    ),
)
ABOUT = st.one_of(
    st.sampled_from(VMS).map(lambda vm: {"vm": vm}),
    st.lists(st.sampled_from(VMS), min_size=1, max_size=3, unique=True).map(lambda vms: {"vm": vms}),
    st.sampled_from([{"vm_group": "all"}, {"vm_group": ["one"]}]),
)
GRANTS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.builds(lambda whom, about: {**whom, **about}, WHOM, ABOUT), max_size=3
)


def has(grants):
    """Who has what, by which grants."""
    desired = compile_policy(pillar.parse_policy({**SPICE, "grants": grants}), inventory(groups=GROUPS))
    return {(access.user, access.vm): access.grants for access in desired.accesses}, desired.policy.grants


@given(GRANTS, st.data())
@example({"a": {"group": "family", "vm_group": "all"}}, None)
def test_who_is_revoked_loses_that_and_nobody_anything_else(grants, data):
    before, declared = has(grants)
    assume(before)
    pairs = sorted(before)
    chosen = pairs[:1] if data is None else data.draw(st.lists(st.sampled_from(pairs), unique=True))
    rows = [
        revoke(user, vm, *before[user, vm], groups=filter(None, (declared[name].group for name in before[user, vm])))
        for user, vm in chosen
    ]
    original = copy.deepcopy(grants)
    found = review_proposal.proposed(decided(*rows), {"desk-1": {**SPICE, "grants": grants}})
    assert found.findings == [] and grants == original
    after = has(grants_of(found.text) if chosen else grants)[0]
    assert after == {pair: names for pair, names in before.items() if pair not in chosen}


DATA = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just(HOSTILE), st.dates()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PILLARS = st.fixed_dictionaries(
    {
        "grants": st.one_of(
            DATA,
            st.dictionaries(
                st.sampled_from(["g", "g/third", HOSTILE]),
                st.one_of(DATA, st.dictionaries(st.sampled_from(["user", "group", "vm", "vm_group", "except"]), DATA)),
            ),
        ),
        "vm_groups": DATA,
    }
)


@given(PILLARS, st.sampled_from([("guest", "third"), ("", "third"), (HOSTILE, HOSTILE)]))
def test_whatever_a_pillar_holds_comes_back_as_it_was(spice, about):
    """But for what is revoked; the text is YAML, and has no line that somebody else has written."""
    found = review_proposal.proposed(decided(revoke(*about, "g", HOSTILE, groups=[HOSTILE])), {"desk-1": spice})
    assert all(letter.isprintable() or letter == "\n" for letter in found.text)
    read = yaml.safe_load(found.text)
    if read is not None:
        names = {"g", "g/third"}
        untouched = {name: spec for name, spec in spice["grants"].items() if name not in names}
        assert {name: spec for name, spec in read["spice"]["grants"].items() if name not in names} == plain(untouched)


def plain(value):
    """What YAML reads of a value: a date is text then."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime.date) else value
