"""The firewall layer in iptables: chains that say when, how they are built, read back and put right."""

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.firewall import guard
from spicegrants.firewall.guard import Element, Key
from spicegrants.firewall.iptables import guard_chains, time_chains
from spicegrants.firewall.iptables.guard_chains import SavedRule
from spicegrants.firewall.trace.iptables_rules import tables
from spicegrants.firewall.trace.tracer import Packet, find
from spicegrants.policy.access import Drain, Times
from spicegrants.schedule.instants import EARLIEST
from spicegrants.schedule.intervals import ALWAYS, DAY, FIRST, LAST, NEVER, union
from unit.firewall.test_iptables import Host, words
from unit.firewall.test_nftables_times import choices
from unit.timed import CHANGES, TODAY, evenings, timed

MYSELF = Key(1021, 995, "192.168.2.2", 20002)
MYBRO = Key(1022, 995, "192.168.2.2", 20004)
GRACE = guard.desired_elements(timed())[MYBRO].verdict
EVENINGS = "SPICE-GRANT-T-75c67f9e49"
DENY = "SPICE-GRANT-DENY"
NOTHING = ((), {})


@pytest.fixture
def host():
    """Holds the desired state."""
    made = Host()
    made.apply(timed())
    return made


def repaired(host, sentences, compiled=None):
    """The plan says so; once it is carried out, nothing is left to do. Return the lines for IPv4."""
    compiled = compiled or timed()
    planned = host.apply(compiled)
    assert words(planned) == sentences
    again = host.plan(compiled)
    assert (again.changes, again.commands) == NOTHING
    return planned.commands.get(4, "").splitlines()[1:-1]


# What is built


def test_a_grant_goes_to_its_chain_and_all_else_is_denied(host):
    (grant,) = [rule for rule in host.v4["SPICE-GRANT"] if "1021" in rule]
    assert grant[-2:] == ["-g", EVENINGS]
    assert list(map(" ".join, host.v4[EVENINGS])) == [
        "-m time --datestart 2026-11-23T17:00:00 --datestop 2026-11-23T20:59:59 -j RETURN",
        "-m time --datestart 2026-11-24T17:00:00 --datestop 2026-11-24T20:59:59 -j RETURN",
        "-m time --datestart 2026-11-25T17:00:00 --datestop 2026-11-25T20:59:59 -j RETURN",
        "-m comment --comment schedule_evenings -g SPICE-GRANT-DENY",
    ]
    (going_on,) = [rule for rule in host.v4[time_chains.chain(GRACE)] if "2026-11-23T21:29:59" in rule]
    state = "-m conntrack --ctstate ESTABLISHED"
    dates = "--datestart 2026-11-23T17:00:00 --datestop 2026-11-23T21:29:59"
    assert " ".join(going_on) == f"{state} -m time {dates} -j RETURN"


def test_names_of_chains_are_short_enough():
    for name in ("schedule_" + "x" * 63, GRACE, f"draining_{LAST}"):
        assert len(time_chains.chain(name)) <= 28 and time_chains.is_timed(time_chains.chain(name))
    assert time_chains.chain(EVENINGS) == EVENINGS
    assert not time_chains.is_timed("SPICE-GRANT-T-SITE") and not guard_chains.is_ours("SPICE-GRANTED")


def test_many_grants_share_a_chain(host):
    more = timed({"grants__guest": {"user": "guest", "vm": "debianx", "schedule": "evenings"}})
    lines = repaired(
        host, [f"opens {address} port 20002 to guest, by schedule evenings" for address in ADDRESSES], more
    )
    (line,) = [line for line in lines if "SPICE-GRANT-LOG" not in line]
    assert line.startswith("-I SPICE-GRANT ") and line.endswith(f"-g {EVENINGS}")


ADDRESSES = ("192.168.2.2", "2001:db8::2")


def test_a_chain_is_there_only_for_the_version_that_uses_it():
    host = Host()
    host.apply(timed(addresses={"mysrv": ("192.168.2.2",)}))
    assert EVENINGS in host.v4 and EVENINGS not in host.tables[6].chains


def test_what_is_stored_for_the_boot_holds_them():
    host = Host()
    for version, table in host.tables.items():
        table.restore(guard_chains.stored(timed(), version))
        assert guard_chains.chains(guard_chains.parse_saved_rules(table.text())) == guard.desired_chains(timed())


def test_removal_takes_them_away(host):
    for version, table in host.live().items():
        host.tables[version].restore(guard_chains.removal(table))
    assert host.tables[4].chains == {"INPUT": [], "FORWARD": [], "OUTPUT": []}


def test_one_chain_alone_is_something_of_ours():
    assert guard_chains.holds_ours({EVENINGS: []}) and not guard_chains.holds_ours({"SPICE-GRANT-T-SITE": []})


# What is read


@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_what_iptables_save_prints_is_what_was_sent(variant):
    """Recorded from both implementations: a plan finds nothing to do."""
    recorded = pathlib.Path(__file__).parents[1].joinpath("recorded").joinpath(f"times.iptables-{variant}")
    table = guard_chains.parse_saved_rules(recorded.read_text(encoding="utf-8"))
    planned = guard_chains.plan_guard_chains(timed(addresses={"mysrv": ("192.168.2.2",)}), {4: table})
    assert (planned.changes, planned.commands) == NOTHING
    assert guard_chains.chains(table) == guard.desired_chains(timed())
    assert guard_chains.elements(table) == {
        MYSELF: Element("schedule_evenings", "debianx"),
        MYBRO: Element(GRACE, "leaptest"),
    }


moments = st.integers(FIRST, LAST)
windows = st.lists(st.tuples(moments, moments).filter(lambda span: span[0] < span[1]), max_size=6).map(
    lambda spans: union(tuple(spans))
)


@given(windows, windows)
def test_whatever_is_sent_is_read_back(opened, lasting):
    times = time_chains.representable(Times(opened, lasting))
    rules = [SavedRule(rule).normal for rule in time_chains.rules("schedule_x", times, DENY)]
    assert time_chains.parse_chain(rules, DENY) == ("schedule_x", times)


def test_what_the_match_cannot_hold():
    """It ends in 2038, and an end behind that is an end then: it closes, and does not stay open."""
    last = 2**31
    assert time_chains.representable(Times(((TODAY, LAST),), ALWAYS)) == Times(((TODAY, last),), ALWAYS)
    assert time_chains.representable(Times(((last, LAST),))) == Times(NEVER)
    (rule, _) = time_chains.rules("schedule_x", time_chains.representable(Times(((FIRST, last + DAY),))), DENY)
    assert rule == ("-m", "time", "--datestop", "2038-01-19T03:14:07", "-j", "RETURN")
    assert time_chains.rules("schedule_x", Times(ALWAYS), DENY)[0] == ("-j", "RETURN")


END = "-m comment --comment schedule_evenings -g SPICE-GRANT-DENY"
WITHIN = "-m time --datestart 2026-11-23T17:00:00 --datestop 2026-11-23T20:59:59"


def test_an_open_end_that_is_not_printed():
    """Other releases print no stop where it is the last one that there is."""
    assert read("-m time --datestart 2026-11-23T17:00:00 -j RETURN", END)[1] == Times(((evenings(0)[0][0], 2**31),))


def read(*rules):
    return time_chains.parse_chain([SavedRule(tuple(rule.split())).normal for rule in rules], DENY)


@pytest.mark.parametrize(
    "rules",
    [
        (),
        (WITHIN,),
        (f"{WITHIN} -j RETURN",),
        (END, END),
        (f"{WITHIN} -j ACCEPT", END),
        (f"{WITHIN} --kerneltz -j RETURN", END),
        (f"{WITHIN} --weekdays Mon -j RETURN", END),
        (f"{WITHIN} -s 10.0.0.0/8 -j RETURN", END),
        (f"-m conntrack --ctstate NEW {WITHIN} -j RETURN", END),
        (f"-m conntrack ! --ctstate ESTABLISHED {WITHIN} -j RETURN", END),
        (f"{WITHIN} -m time --datestop 2030-01-01T00:00:00 -j RETURN", END),
        ("-m time --datestart tomorrow -j RETURN", END),
        (f"-m conntrack --ctstate ESTABLISHED {WITHIN} -j RETURN", f"{WITHIN} -j RETURN", END),
        (f"{WITHIN} -j RETURN", END.replace("SPICE-GRANT-DENY", "OTHER")),
        (f"{WITHIN} -j RETURN", "-g SPICE-GRANT-DENY"),
    ],
)
def test_other_rules_say_no_times(rules):
    assert read(*rules)[1] is None


def test_a_packet_is_walked_through_them(host):
    """What they refuse is the guard's; it is not laid to others."""
    (table,) = tables("ip", "\n".join(line.partition("] ")[2] or line for line in host.tables[4].text().splitlines()))
    assert find([table], Packet(1021, 995, "192.168.2.2", 20002, "eth0")) == ()


# What changes


SETS = "sets the times of chain schedule_evenings"
SETS_GRACE = f"sets the times of chain {GRACE}: by schedule evenings"
ALTERED = "restores chain schedule_evenings, whose rules were altered"


def test_the_next_day_touches_those_chains_alone(host):
    """Rules of grants stay, and so do their counters; both versions of IP are one sentence."""
    lines = repaired(host, [SETS, SETS_GRACE], timed(day=TODAY + DAY))
    assert {line.split()[0].lstrip(":") if line.startswith(":") else line.split()[1] for line in lines} == {
        EVENINGS,
        time_chains.chain(GRACE),
    }


def test_a_grant_goes_with_its_chain(host):
    without = timed({"grants__mybro-leaptest": ..., **dict.fromkeys(OF_MYBRO, ...)})
    lines = repaired(host, [f"closes {address} port 20004 to UID 1022" for address in ADDRESSES], without)
    gone = time_chains.chain(GRACE)
    assert lines[0].startswith("-D SPICE-GRANT ") and lines[1:3] == [f"-F {gone}", f"-X {gone}"]
    assert all("SPICE-GRANT-LOG" in line for line in lines[3:])
    sentences = [f"opens {address} port 20004 to mybro, by schedule evenings" for address in ADDRESSES]
    assert repaired(host, sentences)[0] == f":{gone} - [0:0]"


OF_MYBRO = [place for place in CHANGES if place.startswith("grants__mybro-leaptest__")]


def test_a_place_that_drains_with_a_grace(host):
    drain = Drain("myself", 1021, "192.168.2.2", 20002, "debianx", ("myself-debianx",), TODAY + 900)
    sessions = frozenset({(1021, "192.168.2.2", 20002)})
    drained = timed(WITHOUT_MYSELF, leaving=(drain,), sessions=sessions)
    sentences = ["closes 192.168.2.2 port 20002 to myself, whose open sessions may go on"]
    repaired(host, [*sentences, "closes 2001:db8::2 port 20002 to myself"], drained)
    found = guard_chains.chains(host.live()[4])[f"draining_{TODAY + 900}"]
    assert found == Times(NEVER, ((EARLIEST, TODAY + 900),))


WITHOUT_MYSELF = {"grants__myself-debianx__schedule": ..., "grants__myself-debianx": ...}


# What others do to them


@pytest.mark.parametrize(
    ("alter", "sentence"),
    [
        (lambda rules: rules.clear(), ALTERED),
        (lambda rules: rules.insert(0, ["-j", "RETURN"]), SETS),
        (lambda rules: rules.insert(0, ["-p", "tcp", "-j", "RETURN"]), ALTERED),
        (lambda rules: rules.pop(0), SETS),
        (lambda rules: rules[0].__setitem__(3, "2020-01-01T00:00:00"), SETS),
        (lambda rules: rules.pop(), ALTERED),
        (lambda rules: rules[-1].__setitem__(3, "schedule_mornings"), ALTERED),
    ],
    ids=["emptied", "always", "more", "less", "widened", "without its end", "named otherwise"],
)
def test_an_altered_chain(host, alter, sentence):
    alter(host.v4[EVENINGS])
    lines = repaired(host, [sentence])
    assert lines[0] == f":{EVENINGS} - [0:0]" and len(lines) == 5


def test_a_grant_that_leads_to_another_chain(host):
    (rule,) = [rule for rule in host.v4["SPICE-GRANT"] if "1021" in rule]
    rule[-1] = time_chains.chain(GRACE)
    sentence = "changes when 192.168.2.2 port 20002 to myself is open: by schedule evenings"
    assert [line.split()[0] for line in repaired(host, [sentence])] == ["-D", "-I"]


def test_a_grant_that_returns_always(host):
    (rule,) = [rule for rule in host.v4["SPICE-GRANT"] if "1021" in rule]
    rule[-2:] = ["-j", "RETURN"]
    repaired(host, ["changes when 192.168.2.2 port 20002 to myself is open: by schedule evenings"])


def test_chains_to_which_nothing_leads(host):
    one, other = "SPICE-GRANT-T-0000000000", "SPICE-GRANT-T-1111111111"
    host.v4.update({one: [["-g", other]], other: []})
    sentences = [f"removes chain {chain}, to which nothing leads" for chain in (one, other)]
    assert repaired(host, sentences) == [f"-F {one}", f"-F {other}", f"-X {one}", f"-X {other}"]


def test_a_call_of_a_chain_from_elsewhere(host):
    host.v4["INPUT"].append(["-j", EVENINGS])
    repaired(host, ["removes 1 rule(s) that call the guard from the wrong place (IPv4)"])


def test_chains_are_filled_where_all_is_made_anew(host):
    host.v4["SPICE-GRANT-DENY"].clear()
    host.v4["SPICE-GRANT-T-0000000000"] = [["-g", EVENINGS]]
    sentences = ["restores chain SPICE-GRANT-DENY (IPv4): 5 rule(s) missing"]
    repaired(host, [*sentences, "removes chain SPICE-GRANT-T-0000000000, to which nothing leads"])
    assert guard_chains.chains(host.live()[4]) == guard.desired_chains(timed())


# From any to any


@given(st.data())
def test_from_any_times_to_any_other(data):
    """What is planned, once done, leaves nothing to do."""
    host = Host()
    for _ in range(3):
        compiled = timed(data.draw(choices), day=TODAY + DAY * data.draw(st.integers(0, 3)))
        planned = host.apply(compiled)
        assert bool(planned.changes) == bool(planned.commands)
        again = host.plan(compiled)
        assert (again.changes, again.commands) == NOTHING
        chains = {name: time_chains.representable(times) for name, times in guard.desired_chains(compiled).items()}
        assert guard_chains.chains(host.live()[4]) == chains
