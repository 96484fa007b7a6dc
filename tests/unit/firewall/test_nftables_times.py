"""The firewall layer in nftables: chains that say when, how they are built, read back and put right."""

import copy
import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.firewall import boot, guard
from spicegrants.firewall.guard import Element, Key
from spicegrants.firewall.nft import guard_table, time_chains
from spicegrants.policy.access import Drain, Times
from spicegrants.schedule.instants import EARLIEST
from spicegrants.schedule.intervals import ALWAYS, DAY, FIRST, LAST, NEVER, union
from unit.build import Kernel
from unit.timed import CHANGES, TODAY, evenings, timed

RECORDED = json.loads(
    pathlib.Path(__file__).parents[1].joinpath("recorded").joinpath("table-times.json").read_text(encoding="utf-8")
)
MYSELF = Key(1021, 995, "192.168.2.2", 20002)
MYBRO = Key(1022, 995, "192.168.2.2", 20004)
GRACE = guard.desired_elements(timed())[MYBRO].verdict
TIME = {"meta": {"key": "time"}}
ESTABLISHED = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": 2}}
ACCEPT = {"accept": None}


@pytest.fixture
def kernel():
    """Holds the desired state."""
    return holding(timed())


def holding(compiled):
    live = Kernel()
    live.carry_out(guard_table.plan_guard_table(compiled, None))
    return live


def words(planned):
    return [change.what for change in planned.changes]


def verbs(planned):
    """What a plan does: verb, kind and, of chains, rules and sets, the name."""
    found = []
    for command in (*planned.before, *planned.commands, *planned.after):
        ((verb, entry),) = command.items()
        ((kind, body),) = entry.items()
        found.append(f"{verb} {kind} {body.get('chain') or body.get('name')}")
    return found


def repaired(kernel, sentences, compiled=None):
    """The plan says so; once it is carried out, nothing is left to do."""
    compiled = compiled or timed()
    planned = guard_table.plan_guard_table(compiled, kernel.listing())
    assert words(planned) == sentences
    kernel.carry_out(planned)
    assert guard_table.plan_guard_table(compiled, kernel.listing()) == guard_table.FirewallPlan((), ())
    return verbs(planned)


def within(*windows):
    ranges = [{"range": list(window)} for window in windows]
    return {"match": {"op": "==", "left": TIME, "right": {"set": ranges} if ranges[1:] else ranges[0]}}


# What is built


def test_what_may_be_opened_and_what_may_go_on():
    assert time_chains.rules(Times(evenings(0, 1))) == [[within(*evenings(0, 1)), ACCEPT]]
    assert time_chains.rules(Times(evenings(0), evenings(0, longer=1800))) == [
        [within(*evenings(0)), ACCEPT],
        [ESTABLISHED, within(*evenings(0, longer=1800)), ACCEPT],
    ]
    assert time_chains.rules(Times(evenings(0), ALWAYS))[1] == [ESTABLISHED, ACCEPT]
    assert time_chains.rules(Times(NEVER, ((FIRST, TODAY),))) == [[ESTABLISHED, within((FIRST, TODAY)), ACCEPT]]
    assert time_chains.rules(Times(ALWAYS)) == [[ACCEPT]]


def test_elements_lead_to_their_chains():
    elements = guard.desired_elements(timed())
    assert elements[MYSELF] == Element("schedule_evenings", "debianx")
    assert elements[MYBRO].verdict.startswith("times_")
    listed = next(
        command["add"]["element"]["elem"]
        for command in guard_table.fresh(timed())
        if "element" in command.get("add", {}) and command["add"]["element"]["name"] == "grants4"
    )
    assert [verdict for _, verdict in listed] == [
        {"jump": {"target": "schedule_evenings"}},
        {"jump": {"target": elements[MYBRO].verdict}},
    ]


def test_the_first_run_says_when_and_fills_chains_before_elements():
    planned = guard_table.plan_guard_table(timed(), None)
    assert words(planned) == [
        "guards ports 20001-20010 towards every destination",
        "opens 192.168.2.2 port 20002 to myself, by schedule evenings",
        "opens 2001:db8::2 port 20002 to myself, by schedule evenings",
        "opens 192.168.2.2 port 20004 to mybro, by schedule evenings",
        "opens 2001:db8::2 port 20004 to mybro, by schedule evenings",
    ]
    done = verbs(planned)
    assert done.index("add chain schedule_evenings") < done.index("add rule schedule_evenings")
    assert done.index("add rule schedule_evenings") < done.index("add element grants4")


def test_what_is_stored_for_the_boot_holds_them():
    loading = boot.for_nftables(timed())
    (content,) = loading.files.values()
    kernel = Kernel()
    kernel.load(json.loads(content)["nftables"])
    assert guard_table.plan_guard_table(timed(), kernel.listing()) == guard_table.FirewallPlan((), ())


# What is read


def test_what_nft_lists_is_what_was_sent():
    """Recorded from the kernel: moments are text there, and a plan finds nothing to do."""
    assert guard_table.plan_guard_table(timed(), RECORDED) == guard_table.FirewallPlan((), ())
    assert (
        guard_table.chains(RECORDED)
        == guard.desired_chains(timed())
        == {
            "schedule_evenings": Times(evenings(0, 1, 2)),
            GRACE: Times(evenings(0, 1, 2), evenings(0, 1, 2, longer=1800)),
        }
    )
    assert guard_table.elements(RECORDED)[MYSELF].verdict == "schedule_evenings"


def test_the_last_moment_that_can_be_held():
    expressions = [{"match": {"op": "==", "left": TIME, "right": {"range": ["2026-11-24 00:00:00", LATEST]}}}, ACCEPT]
    assert time_chains.parse_chain([expressions]) == Times(((TODAY, LAST),))


LATEST = "2106-02-07 06:28:16"
moments = st.integers(FIRST, LAST)
windows = st.lists(st.tuples(moments, moments).filter(lambda span: span[0] < span[1]), max_size=6).map(
    lambda spans: union(tuple(spans))
)


@given(windows, windows)
def test_whatever_is_sent_is_read_back(opened, lasting):
    times = Times(opened, lasting)
    assert time_chains.parse_chain(time_chains.rules(times)) == (None if times == Times(NEVER) else times)


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [[]],
        [[{"drop": None}]],
        [[within(*evenings(0))]],
        [[within(*evenings(0)), {"drop": None}]],
        [[within(*evenings(0)), {"counter": {"packets": 0, "bytes": 0}}, ACCEPT]],
        [[within(*evenings(0)), within(*evenings(0)), ACCEPT]],
        [[within(*evenings(0)), ACCEPT], [within(*evenings(1)), ACCEPT]],
        [[ESTABLISHED, ACCEPT], [within(*evenings(0)), ACCEPT]],
        [[within(*evenings(0)), ACCEPT], [{"jump": {"target": "deny"}}]],
        [[{"match": {"op": "!=", "left": TIME, "right": {"range": [1, 2]}}}, ACCEPT]],
        [[{"match": {"op": "==", "left": TIME, "right": "2026-11-24 00:00:00"}}, ACCEPT]],
        [[{"match": {"op": "==", "left": TIME, "right": {"set": ["2026-11-24 00:00:00"]}}}, ACCEPT]],
        [[{"match": {"op": "==", "left": {"meta": {"key": "hour"}}, "right": {"range": ["08:00", "09:00"]}}}, ACCEPT]],
        [[{"match": {"op": "==", "left": {"meta": {"key": "skuid"}}, "right": {"range": [1, 2]}}}, ACCEPT]],
    ],
)
def test_other_rules_say_no_times(rules):
    assert time_chains.parse_chain(rules) is None


# What changes


def test_the_next_day_touches_those_chains_alone(kernel):
    """Nothing else is sent, so that all counters stay."""
    tomorrow = timed(day=TODAY + DAY)
    assert repaired(kernel, [SETS, SETS_GRACE], tomorrow) == [
        "add rule schedule_evenings",
        f"add rule {GRACE}",
        f"add rule {GRACE}",
        "delete rule schedule_evenings",
        f"delete rule {GRACE}",
        f"delete rule {GRACE}",
    ]


def test_new_times_are_there_before_old_ones_go(kernel):
    """A rule that says when has a set of its own; whoever is under way in it must find one that is whole."""
    planned = guard_table.plan_guard_table(timed(day=TODAY + DAY), kernel.listing())
    assert {next(iter(command)) for command in planned.before} == {"add"}
    assert planned.commands == ()
    assert {next(iter(command)) for command in planned.after} == {"delete"}


SETS = "sets the times of chain schedule_evenings"
SETS_GRACE = f"sets the times of chain {GRACE}: by schedule evenings"


def test_a_new_schedule_comes_with_its_grant(kernel):
    mornings = {**CHANGES["schedules"], "mornings": {"days": ["mon-fri"], "hours": ["08:00-12:00"]}}
    new = timed({"schedules": mornings, "grants__new": {"user": "guest", "vm": "debianx", "schedule": "mornings"}})
    done = repaired(
        kernel,
        [
            "opens 192.168.2.2 port 20002 to guest, by schedule mornings",
            "opens 2001:db8::2 port 20002 to guest, by schedule mornings",
        ],
        new,
    )
    elements = ["add element grants4", "add element grants6"]
    assert done == ["add chain schedule_mornings", "add rule schedule_mornings", *elements]
    elements = ["delete element grants4", "delete element grants6"]
    gone = [
        "closes 192.168.2.2 port 20002 to UID 1023",
        "closes 2001:db8::2 port 20002 to UID 1023",
    ]
    assert repaired(kernel, gone) == [*elements, "flush chain schedule_mornings", "delete chain schedule_mornings"]


def test_another_schedule_for_a_grant(kernel):
    """The element is another, and so is what it leads to."""
    always = timed({"grants__myself-debianx__schedule": ...})
    sentences = [
        "changes when 192.168.2.2 port 20002 to myself is open: always",
        "changes when 2001:db8::2 port 20002 to myself is open: always",
    ]
    assert repaired(kernel, sentences, always)[-1] == "delete chain schedule_evenings"
    sentences = [
        "changes when 192.168.2.2 port 20002 to myself is open: by schedule evenings",
        "changes when 2001:db8::2 port 20002 to myself is open: by schedule evenings",
    ]
    assert repaired(kernel, sentences)[0] == "add chain schedule_evenings"


def test_a_place_that_drains_with_a_grace(kernel):
    """A user who lost a grant may go on until then, and no longer."""
    drain = Drain("myself", 1021, "192.168.2.2", 20002, "debianx", ("myself-debianx",), TODAY + 900)
    sessions = frozenset({(1021, "192.168.2.2", 20002)})
    drained = timed({"grants__myself-debianx": ...}, leaving=(drain,), sessions=sessions)
    done = repaired(
        kernel,
        [
            "closes 192.168.2.2 port 20002 to myself, whose open sessions may go on",
            "closes 2001:db8::2 port 20002 to myself",
        ],
        drained,
    )
    assert done[0] == f"add chain draining_{TODAY + 900}"
    assert guard_table.chains(kernel.listing())[f"draining_{TODAY + 900}"] == Times(NEVER, ((EARLIEST, TODAY + 900),))


# What others do to them


def rule(chain, *expressions):
    return {"rule": {"family": "inet", "table": "spice_grant", "chain": chain, "expr": list(expressions)}}


def chain(name, **hook):
    return {"chain": {"family": "inet", "table": "spice_grant", "name": name, **hook}}


def drop_rules(kernel, name):
    kernel.objects = [entry for entry in kernel.objects if entry.get("rule", {}).get("chain") != name]


ALTERED = "restores chain schedule_evenings, whose rules were altered"


def test_an_emptied_chain(kernel):
    drop_rules(kernel, "schedule_evenings")
    assert repaired(kernel, [ALTERED]) == ["add rule schedule_evenings"]


def test_a_widened_range(kernel):
    drop_rules(kernel, "schedule_evenings")
    kernel.objects.append(rule("schedule_evenings", within((TODAY, TODAY + DAY)), ACCEPT))
    assert repaired(kernel, [SETS]) == ["add rule schedule_evenings", "delete rule schedule_evenings"]


@pytest.mark.parametrize("added", [(ACCEPT,), ({"drop": None},), (within((TODAY, TODAY + DAY)), ACCEPT)])
def test_a_rule_more(kernel, added):
    kernel.objects.append(rule("schedule_evenings", *added))
    sentence = ALTERED
    assert repaired(kernel, [sentence]) == ["add rule schedule_evenings", *["delete rule schedule_evenings"] * 2]


def test_a_grace_that_is_gone(kernel):
    kernel.objects.remove(next(entry for entry in reversed(kernel.objects) if "rule" in entry))
    assert repaired(kernel, [SETS_GRACE]) == [*[f"add rule {GRACE}"] * 2, f"delete rule {GRACE}"]


def test_an_element_that_leads_to_another_chain(kernel):
    kernel.elements["grants4"][1021, 995, "192.168.2.2", 20002][1] = {"jump": {"target": GRACE}}
    sentence = "changes when 192.168.2.2 port 20002 to myself is open: by schedule evenings"
    assert repaired(kernel, [sentence]) == ["delete element grants4", "add element grants4"]


@pytest.mark.parametrize("verdict", [{"jump": {"target": "deny"}}, {"drop": None}])
def test_an_element_that_leads_nowhere_of_ours(kernel, verdict):
    kernel.elements["grants4"][1021, 995, "192.168.2.2", 20002][1] = verdict
    repaired(kernel, ["restores the element that opens 192.168.2.2 port 20002 to myself, by schedule evenings"])


def test_chains_to_which_nothing_leads(kernel):
    """One may lead to the other."""
    kernel.objects += [chain("schedule_a"), chain("times_b"), rule("schedule_a", {"jump": {"target": "times_b"}})]
    sentences = [f"removes chain {name}, to which nothing leads" for name in ("schedule_a", "times_b")]
    assert repaired(kernel, sentences) == [
        "flush chain schedule_a",
        "flush chain times_b",
        "delete chain schedule_a",
        "delete chain times_b",
    ]


def test_a_base_chain_with_such_a_name(kernel):
    """It sees packets by itself, so the table is built anew."""
    kernel.objects.append(chain("schedule_evil", type="filter", hook="output", prio=-300, policy="accept"))
    done = repaired(kernel, ["removes chain schedule_evil, which does not belong in table spice_grant"])
    assert done[:2] == ["add table spice_grant", "delete table spice_grant"]


def test_rules_that_are_altered_elsewhere_leave_them_filled(kernel):
    kernel.objects.append(rule("guard", ACCEPT))
    done = repaired(kernel, ["restores chain guard: 1 rule(s) that do not belong there"])
    assert not [verb for verb in done if "schedule_" in verb or GRACE in verb]
    assert guard_table.chains(kernel.listing()) == guard.desired_chains(timed())


def test_a_rule_of_the_guard_that_leads_to_a_chain_that_goes(kernel):
    kernel.objects += [chain("times_x"), rule("times_x", ACCEPT), rule("guard", {"jump": {"target": "times_x"}})]
    sentences = ["restores chain guard: 1 rule(s) that do not belong there"]
    repaired(kernel, [*sentences, "removes chain times_x, to which nothing leads"])


# From any to any


choices = st.fixed_dictionaries(
    {
        "grants__myself-debianx__schedule": st.sampled_from(["evenings", "mornings", ["evenings", "mornings"], ...]),
        "grants__mybro-leaptest__schedule": st.sampled_from(["evenings", "mornings", ...]),
        "grants__mybro-leaptest__grace": st.sampled_from(["30m", "1h", ...]),
        "grants__myself-debianx__valid_until": st.sampled_from(["2026-11-24", "2050-01-01", "2020-02-02"]),
        "firewall": st.sampled_from([{"guard": "servers"}, {}]),
        "schedules": st.sampled_from(["08:00-12:00", "23:00-01:00", "00:00-24:00"]).map(
            lambda hours: {**CHANGES["schedules"], "mornings": {"days": ["mon-sun"], "hours": [hours]}}
        ),
    }
)


def chosen(data):
    return timed(data.draw(choices), day=TODAY + DAY * data.draw(st.integers(0, 3)))


@given(st.data())
def test_from_any_times_to_any_other(data):
    """What is planned, once done, leaves nothing to do, and is the same as from nothing."""
    kernel = holding(chosen(data))
    for step in range(2):
        compiled = chosen(data)
        planned = guard_table.plan_guard_table(compiled, kernel.listing(packets=step))
        assert bool(planned.changes) == any(planned[1:])
        kernel.carry_out(planned)
        assert guard_table.plan_guard_table(compiled, kernel.listing()) == guard_table.FirewallPlan((), ())
        assert guard_table.chains(kernel.listing()) == guard.desired_chains(compiled)


def test_a_listing_is_left_as_it_is():
    before = copy.deepcopy(RECORDED)
    guard_table.plan_guard_table(timed(day=TODAY + DAY), RECORDED)
    assert before == RECORDED
