"""The firewall layer for iptables: what is built, what counts as different, and how that is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.firewall.guard import Element, Key, desired_elements
from spicegrants.firewall.iptables import guard_chains
from spicegrants.firewall.iptables.guard_chains import SavedRule
from spicegrants.firewall.nft import guard_table
from spicegrants.policy import pillar
from spicegrants.policy.access import Drain
from spicegrants.policy.compiler import compile_policy
from unit.build import article, desired, inventory
from unit.strategies import pillars, systems
from unit.tables import Tables, saved

BOTH = {"mysrv": ("192.168.2.2", "2001:db8::2")}
MYSELF = Key(1021, 995, "192.168.2.2", 20002)


class Host:
    """Both tables of a host."""

    def __init__(self):
        self.tables = {4: Tables(), 6: Tables()}

    def live(self, packets=0):
        return {version: guard_chains.parse_saved_rules(table.text(packets)) for version, table in self.tables.items()}

    def plan(self, compiled):
        return guard_chains.plan_guard_chains(compiled, self.live())

    def apply(self, compiled):
        planned = self.plan(compiled)
        for version, text in planned.commands.items():
            self.tables[version].restore(text)
        return planned

    @property
    def v4(self):
        return self.tables[4].chains


@pytest.fixture
def host():
    """Holds what the article wants, on both IP versions."""
    made = Host()
    made.apply(desired(addresses=BOTH))
    return made


def words(planned):
    return [change.what for change in planned.changes]


# What is built


def test_a_grant_is_one_rule_of_each_address(host):
    (rule,) = [rule for rule in host.v4["SPICE-GRANT"] if "1021" in rule]
    owner = "-m owner --uid-owner 1021 --gid-owner 995 -m comment --comment debianx -j RETURN"
    assert " ".join(rule) == f"-d 192.168.2.2/32 -p tcp -m tcp --dport 20002 {owner}"
    assert sum("1021" in rule for rule in host.tables[6].chains["SPICE-GRANT"]) == 1


def test_the_guard_is_called_first(host):
    assert host.v4["OUTPUT"] == [["-p", "tcp", "-j", "SPICE-GRANT-OUT"]]
    assert host.v4["FORWARD"] == [["-p", "tcp", "-j", "SPICE-GRANT-FWD"]]
    assert list(map(" ".join, host.v4["SPICE-GRANT-OUT"])) == ["-p tcp -m tcp --dport 20001:20010 -g SPICE-GRANT"]
    assert host.v4["SPICE-GRANT-FWD"] == [
        ["-p", "tcp", "-m", "tcp", "--dport", "20001:20010", "-g", "SPICE-GRANT-DENY-FWD"]
    ]


def test_what_has_an_owner_and_no_grant_is_denied_established_or_not(host):
    *grants, owned, teardown, rest = host.v4["SPICE-GRANT"]
    assert all(rule[-1] == "RETURN" for rule in grants)
    assert owned == ["-m", "owner", "--uid-owner", "0-4294967294", "-g", "SPICE-GRANT-DENY"]
    assert teardown[-2:] == ["-j", "RETURN"] and "ESTABLISHED" in teardown
    assert rest == ["-g", "SPICE-GRANT-DENY"]


def test_a_denial_is_reported_logged_and_reset(host):
    _, _, nflog, logged, reset = host.v4["SPICE-GRANT-DENY"]
    assert "NFLOG" in nflog and logged == ["-j", "SPICE-GRANT-LOG"]
    assert reset == ["-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"]
    forwarded, reset = host.v4["SPICE-GRANT-DENY-FWD"]
    assert "spice-grant deny forward: " in forwarded
    assert reset == ["-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"]


def test_the_end_of_a_session_that_is_cut_reaches_the_server_and_is_no_denial(host):
    ending, ended = map(" ".join, host.v4["SPICE-GRANT-DENY"][:2])
    assert ending == "-p tcp -m tcp --tcp-flags RST RST -m conntrack --ctstate ESTABLISHED -j RETURN"
    assert ended == "-p tcp -m conntrack --ctstate ESTABLISHED -j REJECT --reject-with tcp-reset"


def test_granted_users_have_limits_of_their_own_in_the_log_and_all_others_share_two(host):
    rules = host.v4["SPICE-GRANT-LOG"]
    owners = [rule[rule.index("--uid-owner") + 1] if "--uid-owner" in rule else None for rule in rules]
    assert owners == ["1021", "1021", "1022", "1022", *["65536-4294967294"] * 2, *["0-4294967294"] * 2, None]
    assert [rule[-1] for rule in rules[1:-1:2]] == ["RETURN"] * 4
    assert all("spice-grant deny output: " in rule and "--log-uid" in rule for rule in rules[::2])


def test_limits_that_somebody_altered_are_drift():
    host = Host()
    host.apply(desired())
    host.v4["SPICE-GRANT-LOG"].pop(0)
    plan = host.plan(desired())
    assert [change.what for change in plan.changes] == ["restores chain SPICE-GRANT-LOG"]
    assert "SPICE-GRANT-OUT" not in plan.commands[4] and 6 not in plan.commands
    host.apply(desired())
    assert host.plan(desired()).changes == ()


def test_no_rule_of_ours_accepts(host):
    """What else the site's own rules say of a granted packet stays theirs."""
    assert not [
        rule for table in host.tables.values() for rules in table.chains.values() for rule in rules if "ACCEPT" in rule
    ]


def test_guard_servers_names_the_addresses():
    host = Host()
    host.apply(desired({"firewall": {"guard": "servers"}}, addresses=BOTH))
    assert host.v4["SPICE-GRANT-OUT"] == [
        ["-d", "192.168.2.2/32", "-p", "tcp", "-m", "tcp", "--dport", "20001:20010", "-g", "SPICE-GRANT"]
    ]
    (rule,) = host.tables[6].chains["SPICE-GRANT-FWD"]
    assert rule[:2] == ["-d", "2001:db8::2/128"]


def test_several_ranges_are_several_rules():
    host = Host()
    host.apply(desired({"servers__two": {"host": "two.example.com", "ports": [5900, "5905-5910"]}}))
    assert [rule[5] for rule in host.v4["SPICE-GRANT-OUT"]] == ["5900", "5905:5910", "20001:20010"]


def test_without_the_viewer_group_nobody_passes():
    host = Host()
    host.apply(desired(groups={}))
    assert len(host.v4["SPICE-GRANT"]) == 3


# Changes


def test_the_first_run_and_the_second():
    host = Host()
    assert words(host.apply(desired()))[0] == "guards ports 20001-20010 towards every destination"
    assert host.plan(desired()) == guard_chains.FirewallPlan((), {})


def test_a_grant_that_goes_takes_its_rule_only(host):
    less = desired({"grants__myself-debianx": ...}, addresses=BOTH)
    planned = host.plan(less)
    texts = planned.commands.values()
    lines = [[line for line in text.splitlines() if line[0] == "-" and "SPICE-GRANT-LOG" not in line] for text in texts]
    assert [line[:2] for (line,) in lines] == ["-D", "-D"]
    assert [text.count("--uid-owner +1022 -j RETURN") for text in texts] == [1, 1]
    host.apply(less)
    assert not host.plan(less).changes


def test_counters_are_no_difference(host):
    assert guard_chains.plan_guard_chains(desired(addresses=BOTH), host.live(packets=7)).changes == ()


def test_a_session_that_may_go_on_keeps_an_established_rule(host):
    """The verdict changes in one step, and nothing is closed."""
    drain = Drain("myself", 1021, "192.168.2.2", 20002, "debianx", ("myself-debianx",))
    compiled = compile_policy(
        pillar.parse_policy({**article(), "grants": {}}),
        inventory(addresses=BOTH, sessions=frozenset({(1021, "192.168.2.2", 20002)})),
        leaving=(drain,),
    )
    planned = host.apply(compiled)
    assert "closes 192.168.2.2 port 20002 to myself, whose open sessions may go on" in words(planned)
    (rule,) = [rule for rule in host.v4["SPICE-GRANT"] if "1021" in rule]
    assert "--ctstate ESTABLISHED" in " ".join(rule)
    assert guard_chains.elements(host.live()[4]) == {MYSELF: Element("drain", "debianx")}


@pytest.mark.parametrize("chain", ["SPICE-GRANT-OUT", "SPICE-GRANT-FWD", "SPICE-GRANT", "SPICE-GRANT-DENY"])
def test_a_chain_that_was_emptied_is_filled(host, chain):
    before = {name: list(rules) for name, rules in host.v4.items()}
    host.v4[chain].clear()
    planned = host.apply(desired(addresses=BOTH))
    assert f"restores chain {chain} (IPv4)" in words(planned)[0]
    assert host.v4 == before


def test_rules_of_others_stay(host):
    host.v4["OUTPUT"].insert(0, ["-o", "lo", "-j", "ACCEPT"])
    host.v4["MINE"] = [["-j", "ACCEPT"]]
    host.apply(desired(addresses=BOTH))
    assert host.v4["OUTPUT"] == [["-p", "tcp", "-j", "SPICE-GRANT-OUT"], ["-o", "lo", "-j", "ACCEPT"]]
    assert host.v4["MINE"] == [["-j", "ACCEPT"]]


def test_removal_takes_calls_rules_and_chains(host):
    host.v4["INPUT"].append(["-j", "SPICE-GRANT-DENY"])
    for version, table in host.live().items():
        host.tables[version].restore(guard_chains.removal(table))
    assert host.v4 == {"INPUT": [], "FORWARD": [], "OUTPUT": []}
    assert not any(map(guard_chains.holds_ours, host.live().values()))


def test_what_is_stored_for_the_boot_needs_nothing_to_be_there():
    host = Host()
    for version, table in host.tables.items():
        table.restore(guard_chains.stored(desired(addresses=BOTH), version))
        for hook, chain in guard_chains.HOOKS.items():
            table.chains[hook].insert(0, list(guard_chains.call(chain)))
    assert host.plan(desired(addresses=BOTH)).changes == ()


# Reading


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-d 192.168.2.2/32 -p tcp", "-p tcp -d 192.168.2.2"),
        ("-p tcp -m tcp --dport 20002", "-p tcp --dport 20002"),
        ("-d 2001:db8::2/128", "-d 2001:DB8:0::2"),
    ],
)
def test_the_same_rule_in_other_words(one, other):
    assert SavedRule(tuple(one.split())).normal == SavedRule(tuple(other.split())).normal


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-d 192.168.2.2/32", "! -d 192.168.2.2/32"),
        ("-d 192.168.2.2/32", "-d 192.168.2.0/24"),
        ("-m owner --uid-owner 1021", "-m owner ! --uid-owner 1021"),
        ("-j SPICE-GRANT", "-g SPICE-GRANT"),
        ("-p tcp --dport 1", "-p tcp --sport 1"),
    ],
)
def test_another_rule(one, other):
    assert SavedRule(tuple(one.split())).normal != SavedRule(tuple(other.split())).normal


@pytest.mark.parametrize(
    "text",
    [
        "-A OUTPUT -j ACCEPT\n",
        "[0:0] -A NOWHERE -j ACCEPT\n",
        "[x:0] -A OUTPUT -j ACCEPT\n",
        '[0:0] -A OUTPUT --comment "\n',
        "[0:0]\n",
    ],
)
def test_what_cannot_be_read_is_an_error(text):
    """Unreadable is not empty."""
    with pytest.raises(LiveStateUnreadable):
        guard_chains.parse_saved_rules("*filter\n:OUTPUT ACCEPT [0:0]\n" + text + "\n")


def test_words_with_blanks_and_quotes_are_read_as_one():
    words_ = ["-m", "comment", "--comment", 'it\'s "so" \\ there', "-j", "ACCEPT"]
    assert guard_chains.parse_saved_rules(saved({"OUTPUT": [words_]}))["OUTPUT"] == [SavedRule(tuple(words_))]


# For every policy


@given(st.data())
def test_it_lets_pass_what_nftables_lets_pass(data):
    policy = pillar.parse_policy(data.draw(pillars()))
    compiled = compile_policy(policy, data.draw(systems(policy)))
    host = Host()
    host.apply(compiled)
    elements = {key: element for table in host.live().values() for key, element in guard_chains.elements(table).items()}
    assert set(elements) == set(desired_elements(compiled)) == set(guard_table.desired_elements(compiled))
    assert host.plan(compiled).commands == {}


@given(st.data())
def test_any_policy_follows_any_other(data):
    host = Host()
    for _ in range(3):
        policy = pillar.parse_policy(data.draw(pillars()))
        compiled = compile_policy(policy, data.draw(systems(policy)))
        host.apply(compiled)
        assert host.plan(compiled).commands == {}
        fresh = Host()
        fresh.apply(compiled)
        for version, table in fresh.live().items():
            chains = host.live()[version]
            assert guard_chains.elements(chains) == guard_chains.elements(table)
            assert {chain: len(chains[chain]) for chain in guard_chains.CHAINS} == {
                chain: len(table[chain]) for chain in guard_chains.CHAINS
            }
