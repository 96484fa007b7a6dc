"""What is written for other programs to read keeps its structure, whatever stands in pillar or name service.

Sudo's own parsers say what a sudoers file means: cvtsudoers and visudo read what is rendered.
"""

import ctypes
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spicegrants.core.accounts import Account, Group
from spicegrants.core.errors import PolicyError
from spicegrants.core.paths import CONNECTIONS, MENUS, OPENER
from spicegrants.policy import pillar, wording
from spicegrants.policy.compiler import compile_policy
from spicegrants.schedule.intervals import ALWAYS
from spicegrants.sudo import commands as sudo_commands
from spicegrants.sudo import sudoers
from spicegrants.sudo.live import tools
from spicegrants.viewer import files
from unit.build import PEM, article, changed, cvtsudoers, desired, inventory, key_file, visudo
from unit.strategies import accounts, dotted, hostile, hosts, lines, names, paths, pillars, systems, text

pytestmark = pytest.mark.usefixtures("sudo_tools")

KEYS = ["type", "host", "tls-port", "title", "secure-channels", "ca", "host-subject", "password"]


def check_sudoers(compiled):
    """Sudo reads exactly the rules that are meant."""
    written = sudoers.render(compiled)
    assert visudo(written) == ""
    tree = cvtsudoers(written)
    meant = sudoers.rules(compiled)
    read = sudoers.own_rules(tree)
    assert sorted(read) == sorted(meant) and len(set(meant)) == len(meant)
    aliases = tree.get("Command_Aliases", {})
    uses = [
        (len(spec["User_List"]), command)
        for spec in tree.get("User_Specs", [])
        for entry in spec["Cmnd_Specs"]
        for command in entry["Commands"]
    ]
    uses = [users * len(aliases[command["cmndalias"]]) if "cmndalias" in command else users for users, command in uses]
    assert sum(uses) == sum(len(rule.windows) for rule in meant)
    assert set(tree) <= {"Defaults", "Command_Aliases", "User_Specs"}
    assert all(name == sudoers.ALIAS or name.startswith(f"{sudoers.ALIAS}_") for name in aliases)
    for default in tree.get("Defaults", []):
        assert default["Binding"] == [{"cmndalias": sudoers.ALIAS}]
    for spec in tree.get("User_Specs", []):
        assert spec["Host_List"] == [{"hostname": "ALL"}]
    return tree


def check_files(compiled):
    """Each connection file pins its own console, each menu lists its user's own consoles."""
    policy = compiled.policy
    entries = files.desired_entries(compiled, b"")
    consoles = {}
    for path, entry in entries.items():
        if path.startswith(CONNECTIONS + "/"):
            fields = key_file(entry.content.decode())
            vm = policy.vms[path[len(CONNECTIONS) + 1 : -len(".vv")]]
            assert [key for key in KEYS if key in fields] == list(fields)
            assert (fields["title"], fields["host"]) == (vm.name, policy.servers[vm.server].host)
            assert (fields["tls-port"], fields["type"], fields["secure-channels"]) == (str(vm.tls_port), "spice", "all")
            assert fields.get("host-subject") == vm.host_subject
            secret = vm.password or compiled.inventory.passwords.get(vm.name)
            assert fields.get("password") == (secret if compiled.confined else None)
            assert fields.get("ca") == compiled.inventory.authorities.get(vm.server)
            assert (entry.mode, entry.gid, entry.uid) == (0o640, compiled.gid, 0)
        elif path.startswith(MENUS + "/"):
            menu = json.loads(entry.content)
            direct = {"group": policy.viewer.group, "viewer": policy.viewer.paths[0]}
            start = {key: value for key, value in menu.items() if key != "consoles"}
            assert start == ({"opener": OPENER} if compiled.confined else direct)
            consoles[int(path.rpartition("/")[2])] = menu["consoles"]
            assert (entry.mode, entry.gid, entry.reader) == (0o640, 0, int(path.rpartition("/")[2]))
    may = {}
    for access in compiled.accesses:
        windows = compiled.times(access).opened
        may.setdefault(access.uid, {})[access.vm] = {
            **({} if compiled.confined else {"file": f"/etc/spice-grant/vms/{access.vm}.vv"}),
            "password": not access.nopasswd,
            "grants": list(access.grants),
            "windows": None if windows == ALWAYS else " ".join(f"{start}-{end}" for start, end in windows),
            **({} if windows == ALWAYS else {"zone": wording.zone_of(policy, access) or "UTC"}),
            **({"contact": asked} if (asked := policy.contact(access.vm, access.grants)) else {}),
        }
    assert consoles == may
    assert {path for path in entries if "/.." in path or "//" in path} == set()


@settings(max_examples=60)
@given(st.data())
def test_sudo_reads_exactly_the_rules_of_any_policy(data):
    policy = pillar.parse_policy(data.draw(pillars()))
    compiled = compile_policy(policy, data.draw(systems(policy)))
    check_sudoers(compiled)
    check_files(compiled)


def at(**places):
    """Return the article's pillar with some places changed."""
    return changed(article(), **places)


def renamed(data, part, old, new):
    """Return a pillar in which a server, vm, grant or schedule has another name."""
    data[part] = {new if name == old else name: value for name, value in data[part].items()}
    return data


def served_by(word):
    """Return the article's pillar with another name for its server."""
    return renamed(at(vms__debianx__server=word, vms__leaptest__server=word), "servers", "mysrv", word)


# Where text from pillar goes, and a good one for each place.
PLACES = {
    "server's name": (served_by, names),
    "vm's name": (lambda word: renamed(at(**{"grants__myself-debianx__vm": word}), "vms", "debianx", word), names),
    "grant's name": (lambda word: renamed(at(), "grants", "myself-debianx", word), names),
    "user": (lambda word: at(**{"grants__myself-debianx__user": word}), accounts),
    "group": (lambda word: at(**{"grants__myself-debianx": {"group": word, "vm": "debianx"}}), accounts),
    "viewer's group": (lambda word: at(viewer={"group": word}), accounts),
    "viewer": (lambda word: at(viewer={"path": word}), paths),
    "host": (lambda word: at(servers__mysrv__host=word), hosts),
    "subject": (lambda word: at(vms__debianx__host_subject=word), lines),
    "reason": (lambda word: at(**{"grants__myself-debianx__reason": word}), lines),
    "certificate": (lambda word: at(servers__mysrv__ca=f"{word}\n{PEM}{word}"), lines),
    "certificate's path": (lambda word: at(servers__mysrv__ca=word), paths),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=25)
@given(st.data())
def test_hostile_text_is_refused_or_harmless(place, data):
    make, good = PLACES[place]
    made = make(data.draw(st.one_of(text, hostile, good)))
    try:
        policy = pillar.parse_policy(made)
    except PolicyError:
        return
    facts = inventory()
    users = {name: Account(name, 3000 + number, 3000) for number, name in enumerate(sorted(used_names(policy)))}
    compiled = compile_policy(
        policy,
        inventory(
            users={**facts.users, **users},
            groups={name: Group(name, 4000 + number, ("myself",)) for number, name in enumerate(sorted(users))},
            addresses=dict.fromkeys(policy.servers, ("192.168.2.2",)),
            authorities={name: server.ca for name, server in policy.servers.items() if server.ca},
        ),
    )
    assert len(sudoers.rules(compiled)) == 4
    check_sudoers(compiled)
    check_files(compiled)


def used_names(policy):
    return {name for grant in policy.grants.values() for name in (grant.user, grant.group) if name} | {
        policy.viewer.group
    }


@settings(max_examples=60)
@given(st.lists(st.one_of(hostile, accounts, dotted("#%+!@-0A", "a0A")), min_size=1, max_size=6, unique=True))
def test_hostile_members_of_a_group(members):
    """The name service is not the pillar: whoever may make accounts there writes no sudoers."""
    users = {name: Account(name, 3000 + number, 3000) for number, name in enumerate(members)}
    compiled = desired(
        {"grants": {"everyone": {"group": "family", "vm": "debianx"}}},
        users=users,
        groups={"spicegrp": Group("spicegrp", 995), "family": Group("family", 2000, tuple(members))},
    )
    check_sudoers(compiled)
    check_files(compiled)
    assert len(compiled.accesses) + len(compiled.findings) == len(members)
    for finding in compiled.findings:
        assert str(finding).isprintable()


def match(pattern, argument):
    """Say whether sudo's own matching, fnmatch(3) of the C library, lets an argument through."""
    libc = ctypes.CDLL(None)
    return libc.fnmatch(pattern.encode(), argument.encode(), 0) == 0


def argument_pattern(rule):
    """Return what sudo compares a rule's arguments with."""
    tree = cvtsudoers(f"ann ALL=(:{rule.group}) {' '.join(map(sudoers.escape, rule.command))}\n")
    (command,) = tree["User_Specs"][0]["Cmnd_Specs"][0]["Commands"]
    program, _, pattern = command["command"].partition(" ")
    assert program == rule.viewer
    return pattern


@settings(max_examples=25)
@given(st.data())
def test_an_argument_stands_for_itself_only(data):
    """Each character of an argument, replaced, makes a call that sudo refuses; a wildcard would let some through."""
    host = data.draw(st.one_of(hosts, st.sampled_from(["2001:db8::1", "192.168.2.2"])))
    compiled = desired({"servers__mysrv__host": host, "viewer": {"path": data.draw(paths)}})
    for rule in sudoers.rules(compiled):
        pattern = argument_pattern(rule)
        words = " ".join(rule.command[1:])
        assert match(pattern, words)
        for place in range(len(words)):
            for other in " X/?*\\":
                mutant = words[:place] + other + words[place + 1 :]
                assert match(pattern, mutant) == (mutant == words), mutant
            assert not match(pattern, words[:place] + words[place + 1 :])


def test_mutants_are_not_granted():
    """What verify tries as forbidden calls is forbidden: none is a granted call, each differs from all others."""
    compiled = desired({"viewer": {"path": ["/usr/bin/remote-viewer", "/opt/bin/remote-viewer"]}})
    granted = [rule.call for rule in sudoers.rules(compiled)]
    for rule in sudoers.rules(compiled):
        mutants = sudo_commands.mutants(rule, 65535)
        assert len(mutants) >= 12
        assert len({what for what, _ in mutants}) == len(mutants)
        for _, call in mutants:
            assert call not in granted and [call].count(rule.call) == 0
        assert len({tuple(call) for _, call in mutants}) == len(mutants)


@pytest.mark.parametrize("character", [",", ":", "=", "?", "*", "[", "]", "!", "#"])
def test_each_special_character_is_escaped(character):
    word = f"/a{character}b"
    assert sudoers.escape(word) == f"/a\\{character}b"
    tree = cvtsudoers(f"ann ALL=(:spicegrp) /usr/bin/remote-viewer -- {sudoers.escape(word)}\n")
    (command,) = tree["User_Specs"][0]["Cmnd_Specs"][0]["Commands"]
    assert match(command["command"].partition(" ")[2], f"-- {word}")
    assert not match(command["command"].partition(" ")[2], "-- /axb")


def test_a_rule_gives_the_group_and_no_other_user():
    """With ``(USER:GROUP)`` sudo would run the viewer without the group as well, or as somebody else."""
    tree = check_sudoers(desired())
    for spec in tree["User_Specs"]:
        (commands,) = spec["Cmnd_Specs"]
        assert commands["runasgroups"] == [{"usergroup": "spicegrp"}] and "runasusers" not in commands
        assert {"setenv": False} in commands["Options"]


def test_settings_hold_for_our_commands_only():
    tree = check_sudoers(desired())
    options = [option for default in tree["Defaults"] for option in default["Options"]]
    for expected in ({"env_reset": True}, {"targetpw": False}, {"rootpw": False}, {"runaspw": False}):
        assert expected in options
    assert {"requiretty": False} in options and {"umask": "0077"} in options
    (kept,) = [option["env_keep"] for option in options if "env_keep" in option]
    assert {"DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "LANG", "LC_ALL"} <= set(kept)
    assert not {"LD_PRELOAD", "SPICE_PROXY", "GTK_MODULES", "GTK_PATH", "HOME", "PATH", "XDG_CONFIG_HOME"} & set(kept)


def test_no_grants_no_rules(tmp_path, monkeypatch):
    """Of such a file cvtsudoers prints nothing at all, which is not the same as something unreadable."""
    without = desired({"grants": {}})
    assert check_sudoers(without) == {}
    path = tmp_path / "spice-grant"
    path.write_text(sudoers.render(without), encoding="utf-8")
    monkeypatch.setattr(tools, "SUDOERS", str(path))
    assert tools.own_tree() == {}
    path.write_text(sudoers.render(desired()), encoding="utf-8")
    assert sorted(sudoers.own_rules(tools.own_tree())) == sorted(sudoers.rules(desired()))
    path.write_text("nonsense\n", encoding="utf-8")
    assert tools.own_tree() is None
    path.unlink()
    assert tools.own_tree() is None
