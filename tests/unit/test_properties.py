"""What holds for every pillar, not just for those that somebody thought of."""

import copy

from hypothesis import given, note
from hypothesis import strategies as st

from spicegrants.core.errors import PolicyError
from spicegrants.firewall.nft import guard_table
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.model import to_pillar
from spicegrants.sudo import sudoers
from spicegrants.viewer import files
from unit.build import Kernel, article
from unit.strategies import junk, pillars, systems
from unit.timestrategies import timed_pillars


def parsed_or_refused(data):
    """Return the policy, or None where it is refused as it must be."""
    try:
        return pillar.parse_policy(data)
    except PolicyError as error:
        assert error.findings
        for finding in error.findings:
            assert str(finding).isprintable(), ascii(str(finding))
        return None


@given(junk)
def test_junk_is_refused_in_printable_lines(data):
    assert parsed_or_refused(data) is None


@given(st.data())
def test_junk_at_any_place_of_a_good_pillar(data):
    """The rest is good, so that the reading goes on to the junk and past it."""
    made = data.draw(pillars())
    for _ in range(data.draw(st.integers(1, 3))):
        inner = made
        while True:
            key = data.draw(st.sampled_from(list(inner) if isinstance(inner, dict) else range(len(inner))))
            if not inner[key] or not isinstance(inner[key], (dict, list)) or data.draw(st.integers(0, 3)) == 0:
                break
            inner = inner[key]
        inner[key] = data.draw(junk)
        if not made:
            break
    before = copy.deepcopy(made)
    policy = parsed_or_refused(made)
    assert repr(made) == repr(before), "reading changed the pillar"
    if policy is not None:
        check_sound(policy)


def check_sound(policy):
    """A policy is whole: nothing refers to what is not there, and nothing is half a grant."""
    for vm in policy.vms.values():
        assert policy.servers[vm.server].guards(vm.tls_port)
    for grant in policy.grants.values():
        assert grant.vm in policy.vms
        assert (grant.user is None) != (grant.group is None)
    for server in policy.servers.values():
        assert server.host and server.ports


@given(st.data())
def test_nothing_declared_is_lost(data):
    """A pillar either becomes a policy with everything in it, or is refused."""
    made = data.draw(pillars())
    parts = [part for part in ("servers", "vms", "grants") if made[part]]
    part = made[data.draw(st.sampled_from(parts))]
    entry = part[data.draw(st.sampled_from(list(part)))]
    entry[data.draw(st.sampled_from(list(entry)))] = data.draw(st.sampled_from([None, [], {}, [None], "", 0, False]))
    policy = parsed_or_refused(made)
    if policy is not None:
        check_sound(policy)
        for kind in ("servers", "vms", "grants"):
            assert set(getattr(policy, kind)) == set(made[kind])


@given(pillars())
def test_a_good_pillar_is_read_and_written_back(data):
    policy = pillar.parse_policy(data)
    check_sound(policy)
    assert pillar.parse_policy(to_pillar(policy)) == policy
    assert set(policy.servers) == set(data["servers"]) and set(policy.vms) == set(data["vms"])
    assert {name: (grant.user, grant.group, grant.vm) for name, grant in policy.grants.items()} == {
        name: (entry.get("user"), entry.get("group"), entry["vm"]) for name, entry in data["grants"].items()
    }


@given(timed_pillars())
def test_times_are_read_and_written_back(data):
    """Whatever the spelling and the zone: what is written is read as the same, and written the same again."""
    policy = pillar.parse_policy(data)
    written = to_pillar(policy)
    assert pillar.parse_policy(written) == policy
    assert to_pillar(pillar.parse_policy(written)) == written
    for name, declared in data["grants"].items():
        grant = policy.grants[name]
        chosen = declared.get("schedule", ())
        assert set(grant.schedules) == set([chosen] if isinstance(chosen, str) else chosen)
        assert (grant.valid_from is None, grant.valid_until is None) == tuple(
            key not in declared for key in ("valid_from", "valid_until")
        )
        assert (grant.owner, grant.ticket) == (declared.get("owner"), declared.get("ticket"))
        assert (grant.grace is None) == ("grace" not in declared)


def drawn(data):
    """Draw a good pillar and a workstation for it."""
    made = data.draw(pillars())
    policy = pillar.parse_policy(made)
    return made, policy, data.draw(systems(policy))


@given(st.data())
def test_the_order_of_grants_makes_no_difference(data):
    made, policy, inventory = drawn(data)
    grants = data.draw(st.permutations(list(made["grants"].items())))
    one = compile_policy(policy, inventory)
    other = compile_policy(pillar.parse_policy({**made, "grants": dict(grants)}), inventory)
    assert one.accesses == other.accesses
    assert sorted(one.findings) == sorted(other.findings)
    assert guard_table.plan_guard_table(one, None).commands == guard_table.plan_guard_table(other, None).commands
    assert sudoers.render(one) == sudoers.render(other)
    assert files.desired_entries(one, b"") == files.desired_entries(other, b"")


@given(st.data())
def test_compiling_twice_gives_the_same(data):
    _, policy, inventory = drawn(data)
    one, other = compile_policy(policy, inventory), compile_policy(policy, inventory)
    assert one == other
    assert guard_table.plan_guard_table(one, None) == guard_table.plan_guard_table(other, None)
    assert sudoers.render(one) == sudoers.render(other)


def declared(policy, inventory):
    """Who was declared to open what, worked out from the grants in the plainest way: ``{(user, vm)}``."""
    found = set()
    for grant in policy.grants.values():
        members = (grant.user,) if grant.user else getattr(inventory.groups.get(grant.group), "members", ())
        found |= {(name, grant.vm) for name in members}
    return found


@given(st.data())
def test_each_element_belongs_to_one_declared_user_and_vm(data):
    _, policy, inventory = drawn(data)
    desired = compile_policy(policy, inventory)
    may = declared(policy, inventory)
    by_uid = {account.uid: name for name, account in inventory.users.items()}
    elements = guard_table.desired_elements(desired)
    for key, element in elements.items():
        vm = policy.vms[element.vm]
        note(f"{key} {element}")
        assert (by_uid[key.uid], element.vm) in may
        assert key.gid == inventory.groups["spicegrp"].gid
        assert key.port == vm.tls_port and key.address in inventory.addresses[vm.server]
        assert policy.servers[vm.server].guards(key.port)
        assert any(low <= key.port <= high for low, high in policy.guarded_ports())
        assert element.verdict == "accept"
        same_place = [
            other.name
            for other in policy.vms.values()
            if other.tls_port == key.port and key.address in inventory.addresses[other.server]
        ]
        assert same_place == [element.vm]
    for access in desired.accesses:
        account = inventory.users[access.user]
        assert (access.user, access.vm) in may and access.uid == account.uid != 0
        assert str(access.uid) not in inventory.numeric_names
        assert account.gid != desired.gid
        for name in access.grants:
            assert policy.grants[name].vm == access.vm
    assert len(set(desired.accesses)) == len({(access.user, access.vm) for access in desired.accesses})


@given(st.data())
def test_nobody_loses_a_grant_silently(data):
    """Whoever is declared can either open the console, or a finding says why not."""
    _, policy, inventory = drawn(data)
    desired = compile_policy(policy, inventory)
    opened = {(access.user, access.vm) for access in desired.accesses}
    hindered = [finding.path.split(":")[1:3] for finding in desired.findings]
    for grant in policy.grants.values():
        members = (grant.user,) if grant.user else getattr(inventory.groups.get(grant.group), "members", ("",))
        server = policy.vms[grant.vm].server
        unread = policy.vms[grant.vm].password_file and grant.vm not in inventory.passwords
        unread = unread or (policy.servers[server].ca and server not in inventory.authorities)
        if not inventory.addresses[server] or unread:
            continue  # whoever read the system has reported it
        places = [["grants", grant.name], ["vms", grant.vm], ["viewer", "confine"]]
        for name in members:
            assert (name, grant.vm) in opened or any(place in hindered for place in places)


@given(st.data())
def test_without_grants_nothing_is_opened(data):
    made, _, _ = drawn(data)
    policy = pillar.parse_policy({**made, "grants": {}})
    desired = compile_policy(policy, data.draw(systems(policy)))
    assert desired.accesses == () and guard_table.desired_elements(desired) == {}
    assert sudoers.rules(desired) == [] and "ALL=" not in sudoers.render(desired)
    assert not [path for path in files.desired_entries(desired, b"") if path.endswith(".vv") or "/menu/" in path]
    assert any(
        "set" in entry["add"] for entry in guard_table.plan_guard_table(desired, None).commands if "add" in entry
    )


@given(st.data())
def test_from_any_policy_to_any_other(data):
    """What is planned, once done, leaves nothing to do; and the guard is never taken down on the way."""
    kernel = Kernel()
    previous = ()
    _, policy, inventory = drawn(data)
    for step in range(3):
        if step == 2 and data.draw(st.booleans()):
            _, policy, inventory = drawn(data)
        else:
            inventory = data.draw(systems(policy))
        desired = compile_policy(policy, inventory, previous)
        planned = guard_table.plan_guard_table(desired, kernel.listing(packets=step))
        assert bool(planned.commands) >= (kernel.objects is None)
        kernel.carry_out(planned)
        if desired.gid is not None:
            assert set(guard_table.elements(kernel.listing())) == set(guard_table.desired_elements(desired))
            assert bool(planned.changes) == bool(planned.commands)
        again = guard_table.plan_guard_table(desired, kernel.listing(packets=7))
        assert again.commands == ()
        previous = desired.accesses


def test_the_article_is_sound():
    check_sound(pillar.parse_policy(article()))
