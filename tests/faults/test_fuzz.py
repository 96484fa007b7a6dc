"""Thousands of odd pillars: whatever is read from one, no layer opens more than it says, and sudo reads just that."""

import ipaddress
import json
import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from unit.build import cvtsudoers, visudo
from unit.strategies import hostile, systems

import amount
from faults.mutations import mutated
from scene import Machine
from spicegrants.core.accounts import Account, Group
from spicegrants.core.errors import PolicyError
from spicegrants.firewall.nft import guard_table
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.facts import Inventory
from spicegrants.sudo import sudoers

FUZZED = {
    "deadline": None,
    "derandomize": not amount.full,
    "database": None,
    "phases": (Phase.generate, Phase.shrink),
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}
SAMPLE = {**FUZZED, "suppress_health_check": [*FUZZED["suppress_health_check"], HealthCheck.function_scoped_fixture]}


@st.composite
def worlds(draw, data):
    """Draw a workstation for a pillar that can be read; some groups have members with names that nobody expects."""
    inventory = draw(systems(pillar.parse_policy(data)))
    strange = draw(st.lists(hostile, max_size=2, unique=True))
    users = {name: Account(name, 80000 + number, 2000) for number, name in enumerate(strange)}
    groups = {
        name: Group(name, group.gid, (*group.members, *strange)) if name != "spicegrp" else group
        for name, group in inventory.groups.items()
    }
    return Inventory(
        {**users, **inventory.users},
        groups,
        inventory.numeric_names,
        inventory.addresses,
        inventory.authorities,
        inventory.passwords,
        unconfinable=inventory.unconfinable,
    )


def drawn(data):
    """Draw an odd pillar; return it with its policy and a workstation, or None if it is refused."""
    made = data.draw(mutated())
    try:
        policy = pillar.parse_policy(made)
    except PolicyError as error:
        assert error.findings and all(str(finding).isprintable() for finding in error.findings)
        return None
    inventory = data.draw(worlds(made))
    try:
        return made, inventory, compile_policy(policy, inventory)
    except PolicyError:
        return None


# What the fuzzed data says, worked out without the product


def several(value):
    return value if isinstance(value, list) else [value]


def number_of(address):
    """The one number that the kernel knows an address by, with its version."""
    parsed = ipaddress.ip_address(address)
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return parsed.version, int(parsed)


def members(grant, inventory):
    if "user" in grant:
        return [grant["user"]]
    return inventory.groups[grant["group"]].members if grant["group"] in inventory.groups else []


def addresses(server, name, inventory):
    if server.get("addresses") is not None:
        return {number_of(text) for text in several(server["addresses"])}
    try:
        return {number_of(server["host"])}
    except ValueError:
        return {number_of(text) for text in inventory.addresses.get(name, ())}


def meaning(made, inventory):
    """Whom the pillar lets open what: the places, and the lines of sudoers, by user and vm; and the guarded ports."""
    opened, lines, guarded = {}, {}, set()
    for server in made["servers"].values():
        for low, _, high in (str(entry).partition("-") for entry in several(server["ports"])):
            guarded |= set(range(int(low), int(high or low) + 1))
    viewer = made.get("viewer") or {}
    confined = viewer.get("confine", "auto") in ("auto", True) and not inventory.unconfinable
    for grant in made["grants"].values():
        vm = made["vms"][grant["vm"]]
        server, port = made["servers"][vm["server"]], vm["tls_port"]
        assert port in guarded
        host = server["host"].lower()
        uri = f"spice://{f'[{host}]' if ':' in host else host}?tls-port={port}"
        for user in members(grant, inventory):
            key = user, grant["vm"]
            opened[key] = {(*place, port) for place in addresses(server, vm["server"], inventory)}
            quiet = grant.get("nopasswd", False) or any(line[2] for line in lines.get(key, ()))
            lines[key] = {(user, "root", quiet, "/usr/local/lib/spice-grant/open", grant["vm"])}
            lines[key] = (
                lines[key]
                if confined
                else {
                    (user, viewer.get("group") or "spicegrp", quiet, path, argument)
                    for path in several(viewer.get("path") or "/usr/bin/remote-viewer")
                    for argument in (uri, f"/etc/spice-grant/vms/{grant['vm']}.vv")
                }
            )
    return opened, lines, guarded


def read_back(text):
    """What sudo makes of a file: user, group or root, whether without password, program and argument."""
    tree, found = cvtsudoers(text), []
    assert set(tree) <= {"Defaults", "Command_Aliases", "User_Specs"}
    for spec in tree.get("User_Specs", []):
        ((user,),) = [list(spec["User_List"])]
        assert set(user) == {"username"} and user["username"] != "ALL" and spec["Host_List"] == [{"hostname": "ALL"}]
        for entry in spec["Cmnd_Specs"]:
            (whom,) = set(entry) - {"Options", "Commands"}
            ((runas,),) = [entry[whom]]
            assert set(runas) == {{"runasgroups": "usergroup", "runasusers": "username"}[whom]}
            (as_whom,) = runas.values()
            assert whom == "runasgroups" or as_whom == "root"
            options = {name: value for option in entry["Options"] for name, value in option.items()}
            assert set(options) == {"authenticate", "setenv"} and options["setenv"] is False
            for command in entry["Commands"]:
                assert set(command) == {"command"} and not re.search(r"(?<!\\)[*?\[\]]", command["command"])
                viewer, *dashes, argument = re.sub(r"\\(.)", r"\1", command["command"]).split(" ")
                assert dashes == (["--"] if whom == "runasgroups" else [])
                found.append((user["username"], as_whom, not options["authenticate"], viewer, argument))
    return found


def guarded_by(objects):
    """The ports before which the guard stands."""
    (elements,) = [entry["set"].get("elem", []) for entry in objects if entry.get("set", {}).get("name") == "guarded"]
    bounds = [entry["range"] if isinstance(entry, dict) else (entry, entry) for entry in elements]
    return {port for low, high in bounds for port in range(low, high + 1)}


def opened_by(elements, inventory):
    """Whom elements of the guard let go where."""
    users = {account.uid: name for name, account in inventory.users.items()}
    return {(users[key.uid], *number_of(key.address), key.port): key.gid for key in elements}


def test_no_layer_opens_more_than_the_pillar_says():
    """Hundreds of cases, thousands in a full run; enough are read at all, with grants, shared grants, odd members."""
    count = amount.amount(2000, 300)
    seen = Counter()

    @settings(max_examples=count, **FUZZED)
    @given(st.data())
    def case(data):
        seen["cases"] += 1
        found = drawn(data)
        if found is None:
            return
        made, inventory, compiled = found
        note(repr(made))
        opened, lines, guarded = meaning(made, inventory)
        assert guarded_by(guard_table.skeleton(compiled)) == guarded
        pairs = {(access.user, access.vm) for access in compiled.accesses}
        assert pairs <= set(opened)
        may = {(user, *place) for user, vm in pairs for place in opened[user, vm]}
        elements = opened_by(guard_table.desired_elements(compiled), inventory)
        assert set(elements) == (may if compiled.gid is not None else set())
        assert set(elements.values()) <= {compiled.gid} and compiled.gid != 0
        assert not any(inventory.users[user].uid == 0 for user, _ in pairs)
        text = sudoers.render(compiled)
        assert visudo(text) == ""
        rules = read_back(text)
        assert len(rules) == len(set(rules)) and set(rules) == {line for pair in pairs for line in lines[pair]}
        seen["read"] += 1
        seen["granted"] += bool(pairs)
        seen["merged"] += any(len(access.grants) > 1 for access in compiled.accesses)
        seen["ungranted"] += bool(set(opened) - pairs)

    case()
    assert seen["cases"] >= count, seen
    assert min(seen[what] for what in ("read", "granted", "merged", "ungranted")) >= count // 20, seen


@pytest.fixture(scope="module")
def machine():
    """A machine whose kernel takes the rules."""
    with Machine("fuzz") as made:
        yield made


def listing(machine):
    return json.loads(machine.run(["nft", "-nj", "list", "table", "inet", "spice_grant"]).stdout)["nftables"]


@settings(max_examples=amount.amount(200, 40), **SAMPLE)
@given(data=st.data())
def test_a_kernel_holds_what_the_pillar_says(machine, data):
    """A sample in a real kernel: from one policy to another, and then there is nothing to do."""
    live = None
    for _ in range(2):
        found = drawn(data)
        if found is None:
            return
        made, inventory, compiled = found
        for commands in filter(None, guard_table.plan_guard_table(compiled, live)[1:]):
            machine.run(["nft", "-j", "-f", "-"], input=json.dumps({"nftables": commands}))
        live = listing(machine)
        opened, _, guarded = meaning(made, inventory)
        assert guarded_by(live) == guarded
        may = {(user, *place) for (user, _), places in opened.items() for place in places}
        passing = opened_by(guard_table.elements(live), inventory)
        assert set(passing) <= may
        assert passing == opened_by(guard_table.desired_elements(compiled), inventory)
        assert not any(guard_table.plan_guard_table(compiled, live)[1:])
