"""Whoever tampers with a layer: plan and test=True name it, one run repairs it, and the next finds nothing."""

import os

import pytest

from functional.office import FILES, OPEN, STATE, URIS, changed, difference, sentences
from scenes import ADDRESS, GROUP, SECOND_ADDRESS, SUDOERS, VIEWER, article
from spicegrants.core.paths import BASH_COMPLETION, MANUAL, catalogue_file

# The guard of uplinks would close most of these holes: they are to be seen.
PILLAR = changed(article(), firewall={"uplinks": False})
T = "inet spice_grant"
MENU, VV, LAUNCHER = "/etc/spice-grant/menu/1021", FILES["debianx"], "/usr/local/bin/rviewer"
PROGRAMS = "/usr/local/lib/spice-grant"
DESKTOP = "/usr/local/share/applications/rviewer.desktop"
GERMAN = catalogue_file("de")


def prepare(office):
    """Things of others, beside ours: the runs of all these tests must leave them alone."""
    tables = """
        table inet site { set guarded { type inet_service; elements = { 22 }; }
            chain output { type filter hook output priority 0; meta skuid 1021 tcp dport 22 counter accept; }; }
        table ip spice_grant { chain guard { tcp dport 20002 accept; }; }
    """
    office.nft("-f", "-", text=tables)
    office.client.write("/etc/sudoers.d/site", "nogrant ALL=(root) NOPASSWD: /usr/bin/id\n", mode=0o440)
    office.client.write("/etc/sudoers.d/spice-grant.rpmsave", "this does not parse\n")
    office.client.write("/etc/spice-grant-not-ours/vms/debianx.vv", "mine\n")
    office.client.write("/usr/local/bin/rviewer2", "mine\n", mode=0o755)


def _nft(text):
    return lambda office: office.nft("-f", "-", text=text.format(T=T, gid=office.gid(), a=ADDRESS))


def _run(*command):
    return lambda office: office.client.run([str(word).format(gid=office.gid()) for word in command])


def _sh(text):
    return lambda office: office.client.run(["sh", "-ec", text])


def _append(path, text):
    return lambda office: office.client.path(path).write_text(office.client.read(path) + text, encoding="utf-8")


def _replace(path, old, new):
    def edit(office):
        text = office.client.read(path)
        assert old in text
        office.client.path(path).write_text(text.replace(old, new), encoding="utf-8")

    return edit


def _rule(chain, text):
    """Delete the rule of a chain that holds a text."""

    def delete(office):
        lines = office.nft("-n", "-a", "list", "chain", "inet", "spice_grant", chain).splitlines()
        (line,) = [line for line in lines if text in line]
        office.nft("delete", "rule", "inet", "spice_grant", chain, "handle", line.rpartition("handle ")[2])

    return delete


def _foreign_acl(office):
    """Let another user read a menu too, as setfacl would."""
    path = office.client.path(MENU)
    name = "system.posix_acl_access"
    os.setxattr(path, name, os.getxattr(path, name).replace((1021).to_bytes(4, "little"), (1022).to_bytes(4, "little")))


ELEMENT = "{gid} . {a} . 20002"
# What is done, and words that the plan must hold.
FIREWALL = {
    "element deleted": (_nft("delete element {T} grants4 {{ 1021 . " + ELEMENT + " }}"), "20002 to myself"),
    "all elements deleted": (_nft("flush map {T} grants4"), "20004 to mybro"),
    "foreign element": (
        _nft("add element {T} grants4 {{ 1023 . " + ELEMENT + " : accept }}"),
        "closes 192.168.2.2 port 20002",
    ),
    "element of another port": (
        _nft("add element {T} grants4 {{ 1021 . {gid} . {a} . 20007 : accept }}"),
        "port 20007",
    ),
    "element of another group": (_nft("add element {T} grants4 {{ 1021 . 1021 . {a} . 20002 : accept }}"), "GID 1021"),
    "element of IPv6": (_nft("add element {T} grants6 {{ 1021 . {gid} . fd00:2::2 . 20002 : accept }}"), "fd00:2::2"),
    "verdict changed": (
        _nft(
            "delete element {T} grants4 {{ 1021 . " + ELEMENT + " }}\n"
            "add element {T} grants4 {{ 1021 . " + ELEMENT + ' comment "debianx" : drop }}'
        ),
        "restores the element",
    ),
    "verdict jumps": (
        _nft("add chain {T} mine {{ accept; }}\nadd element {T} grants4 {{ 1023 . " + ELEMENT + " : jump mine }}"),
        "chain mine",
    ),
    "element renamed": (
        _nft(
            "delete element {T} grants4 {{ 1021 . " + ELEMENT + " }}\n"
            "add element {T} grants4 {{ 1021 . " + ELEMENT + ' comment "leaptest" : accept }}'
        ),
        "restores the element",
    ),
    "accept in front of the guard": (
        _nft("insert rule {T} guard meta skuid 1023 accept"),
        "chain guard: 1 rule(s) that",
    ),
    "accept in front of output": (
        _nft("insert rule {T} output tcp dport 20002 accept"),
        "chain output: 1 rule(s) that",
    ),
    "accept in front of forward": (_nft("insert rule {T} forward accept"), "chain forward: 1 rule(s) that"),
    "accept before the denial": (_nft("insert rule {T} deny accept"), "chain deny: 1 rule(s) that"),
    "rule twice": (_nft("add rule {T} output tcp dport @guarded goto guard"), "chain output"),
    "jump deleted": (_rule("output", "@guarded"), "chain output: 1 rule(s) missing"),
    "forward deleted": (_rule("forward", "@guarded"), "chain forward: 1 rule(s) missing"),
    "reject deleted": (_rule("deny", "l4proto 6 reject"), "chain deny: 1 rule(s) missing"),
    "log deleted": (_rule("deny", "log"), "chain deny: 1 rule(s) missing"),
    "owner's denial deleted": (_rule("guard", "0-4294967295"), "chain guard: 1 rule(s) missing"),
    "last denial deleted": (_rule("guard", "\t\tgoto deny"), "chain guard: 1 rule(s) missing"),
    "order changed": (
        _nft("flush chain {T} output\nadd rule {T} output tcp dport @guarded goto deny"),
        "chain output",
    ),
    "chain emptied": (_nft("flush chain {T} guard"), "chain guard"),
    "all chains emptied": (_nft("flush table {T}"), "chain output"),
    "policy changed": (_nft("add chain {T} forward {{ policy drop; }}"), "chain forward"),
    "foreign chain": (_nft("add chain {T} mine {{ type filter hook output priority -10; }}"), "removes chain mine"),
    "foreign set": (_nft("add set {T} mine {{ type uid; }}"), "removes set mine"),
    "foreign map": (_nft("add map {T} yours {{ type uid : verdict; }}"), "removes map yours"),
    "foreign counter": (_nft("add counter {T} mine"), "removes counter mine"),
    "guard narrowed": (
        _nft("flush set {T} guarded\nadd element {T} guarded {{ 20001-20003 }}"),
        "20001-20010 instead of 20001-20003",
    ),
    "guard widened": (_nft("add element {T} guarded {{ 20011-20020 }}"), "20001-20010 instead of 20001-20020"),
    "guard emptied": (_nft("flush set {T} guarded"), "guards ports 20001-20010"),
    "set of denials deleted": (
        _nft("flush chain {T} deny\nflush chain {T} deny_many\ndelete set {T} denied4"),
        "restores set denied4, which was missing",
    ),
    "table deleted": (_nft("delete table {T}"), "guards ports 20001-20010 towards every destination"),
    "table asleep": (_nft("add table {T} {{ flags dormant; }}"), "restores table spice_grant"),
}
SUDO = {
    "rule added": (
        _append(SUDOERS, f"nogrant ALL=(:{GROUP}) PASSWD: NOSETENV: {VIEWER} -- {VV}\n"),
        f"no longer lets nogrant start the viewer on {VV}",
    ),
    "rule of another form added": (_append(SUDOERS, f"nogrant ALL=(ALL:{GROUP}) {VIEWER} -- {VV}\n"), SUDOERS),
    "all allowed": (_append(SUDOERS, "nogrant ALL=(ALL:ALL) NOPASSWD: ALL\n"), SUDOERS),
    "password no longer asked": (_replace(SUDOERS, " PASSWD:", " NOPASSWD:"), "with their password"),
    "setenv allowed": (_replace(SUDOERS, "NOSETENV", "SETENV"), "lets myself start the viewer"),
    "wildcard": (_replace(SUDOERS, r"\?", "?"), SUDOERS),
    "another variable kept": (_replace(SUDOERS, "LANGUAGE", "LD_PRELOAD"), SUDOERS),
    "defaults gone": (_replace(SUDOERS, "env_reset", "!env_reset"), SUDOERS),
    "rule gone": (_replace(SUDOERS, "myself ALL", "nobody ALL"), "lets myself start the viewer"),
    "emptied": (_sh(f": >{SUDOERS}"), "lets myself start the viewer"),
    "only comments": (_sh(f"echo '# nothing' >{SUDOERS}"), "lets mybro start the viewer"),
    "broken": (_append(SUDOERS, "this does not parse\n"), "which does not parse"),
    "mode 0644": (_run("chmod", "0644", SUDOERS), "owner and mode"),
    "mode 0666": (_run("chmod", "0666", SUDOERS), "owner and mode"),
    "owner": (_run("chown", "myself", SUDOERS), "owner and mode"),
    "group": (_run("chgrp", "myself", SUDOERS), "owner and mode"),
    "deleted": (_run("rm", SUDOERS), "lets myself start the viewer"),
    "a link": (_sh(f"mv {SUDOERS} /etc/copy; ln -s /etc/copy {SUDOERS}"), SUDOERS),
    "a directory": (_sh(f"rm {SUDOERS}; mkdir {SUDOERS}"), SUDOERS),
}
VIEWER_LAYER = {
    "viewer: mode": (_run("chmod", "0755", VIEWER), f"restricts {VIEWER}"),
    "viewer: set-UID": (_run("chmod", "4750", VIEWER), f"restricts {VIEWER}"),
    "viewer: owner": (_run("chown", "myself", VIEWER), f"restricts {VIEWER}"),
    "viewer: group": (_run("chgrp", "accounting", VIEWER), f"restricts {VIEWER}"),
    "group: a member": (_run("gpasswd", "--add", "nogrant", GROUP), f"takes nogrant out of group {GROUP}"),
    "group: several members": (_run("gpasswd", "--members", "nogrant,mybro", GROUP), "takes mybro out of"),
    "group: a password": (_run("groupmod", "--password", "$6$x$y", GROUP), "takes administrators and password from"),
    "group: an administrator": (_run("gpasswd", "--administrators", "nogrant", GROUP), "takes administrators and"),
    "group: another number": (_sh(f"groupmod --gid 2222 {GROUP}"), f"restricts {VIEWER}"),
    "group: deleted": (_run("groupdel", GROUP), f"creates group {GROUP}"),
    "connection file: edited": (_replace(VV, "20002", "20004"), f"rewrites {VV}"),
    "connection file: mode": (_run("chmod", "0644", VV), f"owner and mode of {VV}"),
    "connection file: owner": (_run("chown", "myself", VV), f"owner and mode of {VV}"),
    "connection file: deleted": (_run("rm", VV), f"creates {VV}"),
    "connection file: a link": (_sh(f"mv {VV} /etc/copy; ln -s /etc/copy {VV}"), f"replaces the symbolic link at {VV}"),
    "connection file: a pipe": (_sh(f"rm {VV}; mkfifo {VV}"), f"replaces the special file at {VV}"),
    "menu: edited": (_replace(MENU, "debianx", "leaptest"), f"rewrites {MENU}"),
    "menu: mode": (_run("chmod", "0644", MENU), f"owner and mode of {MENU}"),
    "menu: another reader": (_foreign_acl, f"owner and mode of {MENU}"),
    "menu: deleted": (_run("rm", MENU), f"creates {MENU}"),
    "menu: a link": (_sh(f"rm {MENU}; ln -s /etc/shadow {MENU}"), f"replaces the symbolic link at {MENU}"),
    "menu: a directory": (_sh(f"rm {MENU}; mkdir {MENU}"), f"replaces the directory at {MENU}"),
    "launcher: edited": (_append(LAUNCHER, "import os\n"), f"rewrites {LAUNCHER}"),
    "launcher: mode": (_run("chmod", "0777", LAUNCHER), f"owner and mode of {LAUNCHER}"),
    "launcher: deleted": (_run("rm", LAUNCHER), f"creates {LAUNCHER}"),
    "launcher: a link": (_sh(f"mv {LAUNCHER} /etc/copy; ln -s /etc/copy {LAUNCHER}"), LAUNCHER),
    "desktop file: edited": (_replace(DESKTOP, "Exec=", "Exec=env LD_PRELOAD=/tmp/x "), f"rewrites {DESKTOP}"),
    "desktop file: deleted": (_run("rm", DESKTOP), f"creates {DESKTOP}"),
    "completion: edited": (_append(BASH_COMPLETION, "rviewer() { :; }\n"), f"rewrites {BASH_COMPLETION}"),
    "man page: mode": (_run("chmod", "0600", MANUAL), f"owner and mode of {MANUAL}"),
    "language: deleted": (_run("rm", GERMAN), f"creates {GERMAN}"),
    "stray file": (_sh("echo x >/etc/spice-grant/mine"), "removes /etc/spice-grant/mine"),
    "stray connection file": (_sh(f"cp {VV} /etc/spice-grant/vms/mine.vv"), "removes /etc/spice-grant/vms/mine.vv"),
    "stray menu": (_sh("echo {} >/etc/spice-grant/menu/1023"), "removes /etc/spice-grant/menu/1023"),
    "stray link": (_sh("ln -s /etc/shadow /etc/spice-grant/vms/link.vv"), "removes /etc/spice-grant/vms/link.vv"),
    "stray directory": (_sh("mkdir /etc/spice-grant/empty"), "removes /etc/spice-grant/empty"),
    "directory: mode": (_run("chmod", "0777", "/etc/spice-grant/vms"), "owner and mode of /etc/spice-grant/vms"),
    "directory: owner": (_run("chown", "myself", "/etc/spice-grant"), "owner and mode of /etc/spice-grant"),
    "directory: a file": (
        _sh("rm -r /etc/spice-grant/menu; echo x >/etc/spice-grant/menu"),
        "replaces the file at /etc/spice-grant/menu",
    ),
    "directory: a link": (
        _sh("mv /etc/spice-grant/vms /etc/copy; ln -s /etc/copy /etc/spice-grant/vms"),
        "replaces the symbolic link at /etc/spice-grant/vms",
    ),
    "all deleted": (_run("rm", "-r", "/etc/spice-grant"), "creates /etc/spice-grant/vms/debianx.vv"),
}
STORED = {
    "state: deleted": (_run("rm", STATE), "adds the grant of debianx to myself"),
    "state: directory deleted": (_run("rm", "-r", os.path.dirname(STATE)), "adds server mysrv"),
    "state: another policy": (_replace(STATE, '"tls_port": 20002', '"tls_port": 20003'), "changes vm debianx"),
    "state: other accesses": (_replace(STATE, '"myself", 1021', '"myself", 1023'), "user myself has UID 1021 now"),
    "state: mode": (_run("chmod", "0666", STATE), STATE),
    "state: owner": (_run("chown", "nogrant", STATE), STATE),
    "state: directory's mode": (_run("chmod", "0777", os.path.dirname(STATE)), os.path.dirname(STATE)),
    "programs: directory's mode": (_run("chmod", "0777", PROGRAMS), f"owner and mode of {PROGRAMS}"),
    "programs: directory's owner": (_run("chown", "nogrant", PROGRAMS), f"owner and mode of {PROGRAMS}"),
}
WITH_THE_STATE = ("rule added", "emptied", "broken", "mode 0644", "deleted")
ALL = {**FIREWALL, **VIEWER_LAYER, **STORED, **{f"sudoers: {name}": SUDO[name] for name in WITH_THE_STATE}}
# Tamperings that do not get in each other's way are done at once: each is named by words of its own.
TOGETHER = {
    "elements": [
        name for name in FIREWALL if "element" in name and name not in ("all elements deleted", "element renamed")
    ],
    "rules": ["accept in front of the guard", "jump deleted", "forward deleted", "reject deleted"],
    "other rules": ["owner's denial deleted", "accept in front of output", "accept in front of forward", "log deleted"],
    "more rules": ["last denial deleted", "rule twice", "accept before the denial", "policy changed"],
    "what is foreign": ["foreign chain", "foreign set", "foreign map", "foreign counter", "guard widened"],
    "modes": [name for name in VIEWER_LAYER if name.endswith(": mode")]
    + ["group: several members", "desktop file: edited"],
    "owners": ["viewer: owner", "connection file: owner", "directory: owner", "menu: another reader"],
    "contents": [
        "viewer: group",
        "connection file: edited",
        "menu: edited",
        "launcher: edited",
        "desktop file: deleted",
        "completion: edited",
    ],
    "missing": [
        "viewer: set-UID",
        "connection file: deleted",
        "menu: deleted",
        "launcher: deleted",
        "language: deleted",
    ],
    "links": ["connection file: a link", "menu: a link", "launcher: a link"],
    "strays": [name for name in VIEWER_LAYER if name.startswith("stray")],
    "other kinds": ["connection file: a pipe", "menu: a directory", "group: a member"],
    "state": ["state: mode", "state: other accesses"],
    "state's directory": ["state: owner", "state: directory's mode", "programs: directory's mode"],
}
ALONE = set(ALL) - {name for names in TOGETHER.values() for name in names}


def test_an_undisturbed_run_changes_nothing(keeper, shared):
    """What the tests below compare with is a state in which plan and run find nothing to do."""
    assert shared.minion.call("spice_grant.plan")["changes"] == {}
    assert shared.apply()["changes"] == {}
    assert not keeper.traces()


@pytest.mark.parametrize("tampering", SUDO)
def test_the_sudo_layer_repairs_its_file(keeper, shared, tampering):
    """The sudo layer's plan names what was done to its file, and its apply puts it right, whatever it was."""
    tamper, words = SUDO[tampering]
    tamper(shared)
    planned = shared.minion.call("spice_sudoers.plan")
    assert words in sentences(planned)
    assert shared.minion.call("spice_sudoers.apply") == planned
    shared.client.run(["rm", "-rf", "/etc/copy"])
    assert not keeper.traces()


@pytest.mark.turns(3)
@pytest.mark.parametrize("tamperings", [*TOGETHER.values(), *([name] for name in ALL if name in ALONE)], ids=", ".join)
def test_one_run_repairs(keeper, shared, tamperings):
    """test=True names all that was tampered with, one run repairs just that.

    Afterwards everything is as it was before, the things of others included; so the next run has nothing to do.
    """
    for tampering in tamperings:
        ALL[tampering][0](shared)
    dry = shared.apply(test=True)
    assert dry["result"] is None, dry
    text = sentences(dry["changes"])
    assert [name for name in tamperings if ALL[name][1] not in text] == [], text
    real = shared.apply()
    assert (real["result"], real["changes"]) == (True, dry["changes"]), real
    shared.client.run(["rm", "-rf", "/etc/copy"])
    left = keeper.traces()
    if left and tamperings[0] in (
        "group: deleted",
        "group: another number",
        "state: deleted",
        "state: directory deleted",
    ):
        # The group has another number now, and all that hangs on it; or nobody knows any more who made it.
        assert shared.openings() == OPEN
        assert shared.opens("myself", VV)
        assert shared.apply()["changes"] == {}
    else:
        assert not left


# What tampering opens is really open, and really closed afterwards

HOLES = {
    "foreign element": ("nogrant", GROUP, ADDRESS, 20002),
    "element of another port": ("myself", GROUP, ADDRESS, 20007),
    "element of another group": ("myself", None, ADDRESS, 20002),
    "verdict jumps": ("nogrant", GROUP, ADDRESS, 20002),
    "accept in front of the guard": ("nogrant", None, ADDRESS, 20009),
    "accept in front of output": ("root", None, SECOND_ADDRESS, 20002),
    "jump deleted": ("nogrant", None, ADDRESS, 20001),
    "chain emptied": ("nogrant", None, ADDRESS, 20002),
    "guard narrowed": ("nogrant", None, ADDRESS, 20004),
    "guard emptied": ("mybro", None, ADDRESS, 20002),
    "table deleted": ("nogrant", None, ADDRESS, 20002),
    "table asleep": ("nogrant", None, ADDRESS, 20002),
}


@pytest.mark.parametrize("tampering", HOLES)
def test_a_hole_in_the_guard_is_closed(shared, tampering):
    """A connection that tampering opened is refused again after one run, and nobody else's is touched."""
    FIREWALL[tampering][0](shared)
    user, group, address, port = HOLES[tampering]
    assert shared.reach(user, group, address, port) == "open"
    assert shared.minion.call("spice_firewall.apply")
    assert shared.openings() == OPEN


def test_a_flushed_ruleset_is_restored(shared):
    """``nft flush ruleset``, as each reload of nftables.service does, opens everything until the next run."""
    shared.nft("flush", "ruleset")
    assert ("nogrant", None, ADDRESS, 20002) in shared.openings()
    dry = shared.apply(test=True)
    assert "guards ports 20001-20010" in sentences(dry["changes"])
    real = shared.apply()
    assert real["changes"] == dry["changes"]
    assert set(real["changes"]) == {"grants", "layers"}
    assert {layer for layers in real["changes"]["grants"].values() for layer in layers} == {"firewall"}
    assert shared.openings() == OPEN
    assert shared.apply()["changes"] == {}


@pytest.mark.parametrize("tampering", ["rule added", "all allowed", "wildcard", "password no longer asked"])
def test_a_hole_in_the_rules_is_closed(shared, tampering):
    """A sudo call that tampering allowed is refused again after one run; the granted ones work."""
    user, argument, password = {
        "rule added": ("nogrant", VV, True),
        "all allowed": ("nogrant", FILES["leaptest"], None),
        "wildcard": ("myself", URIS["debianx"].replace("?", "X"), True),
        "password no longer asked": ("myself", VV, None),
    }[tampering]
    SUDO[tampering][0](shared)
    assert shared.opens(user, argument, password=password)
    assert shared.minion.call("spice_sudoers.apply")
    assert not shared.opens(user, argument, password=password)
    assert shared.opens("myself", VV)
    assert shared.opens("mybro", URIS["leaptest"], password=None)


@pytest.mark.parametrize("tampering", ["broken", "owner", "deleted", "a link"])
def test_damaged_rules_work_again(shared, tampering):
    """After tampering that takes sudo's rules away, one run gives the granted calls back."""
    SUDO[tampering][0](shared)
    assert shared.minion.call("spice_sudoers.apply")
    assert shared.opens("mybro", FILES["leaptest"], password=None)
    assert not shared.opens("nogrant", VV)


@pytest.mark.parametrize("tampering", ["viewer: mode", "viewer: owner", "group: a member", "group: deleted"])
def test_the_viewer_is_out_of_reach_again(shared, tampering):
    """After one run nobody starts the viewer directly, and through sudo the granted users do."""
    VIEWER_LAYER[tampering][0](shared)
    assert shared.applied()["changes"]
    for user in ("myself", "nogrant"):
        assert shared.client.run(["test", "-x", VIEWER], user=user, check=False).returncode == 1
    assert shared.groups()[GROUP] == []
    assert shared.opens("mybro", FILES["leaptest"], password=None)
    assert shared.openings() == OPEN


@pytest.mark.salt
@pytest.mark.parametrize("layer, tampering", [("firewall", "guard narrowed"), ("sudoers", "rule added")])
def test_plan_of_a_layer(shared, layer, tampering):
    """Each layer's own plan names its drift, apply of that layer alone repairs it, and neither touches the others."""
    {**FIREWALL, **SUDO}[tampering][0](shared)
    shared.client.run(["chmod", "0755", VIEWER])
    before = shared.snapshot()
    words = {**FIREWALL, **SUDO}[tampering][1]
    planned = shared.minion.call(f"spice_{layer}.plan")
    assert words in sentences(planned)
    whole = shared.minion.call("spice_grant.plan")
    assert words in sentences(whole["changes"])
    assert f"restricts {VIEWER}" in sentences(whole["changes"])
    assert not difference(before, shared.snapshot())
    assert shared.minion.call(f"spice_{layer}.apply") == planned
    assert shared.minion.call(f"spice_{layer}.plan") == {}
    assert shared.client.mode(VIEWER) == 0o755
    assert sentences(shared.minion.call("spice_viewer.plan")) == f"viewer: restricts {VIEWER} to root:{GROUP} 0750"
    shared.minion.call("spice_viewer.apply")
    assert shared.minion.call("spice_grant.plan")["changes"] == {}


# What cannot be repaired is said, and nothing is assumed


def test_a_damaged_state_file_is_reported(shared):
    """Nobody knows what was locked, so all closes, and the run fails and names the way out, which opens it again."""
    shared.client.write(STATE, "{", mode=0o600)
    before = shared.snapshot()
    dry = shared.apply(test=True)
    assert not difference(before, shared.snapshot())
    result = shared.apply()
    assert (result["result"], result["changes"]) == (False, dry["changes"])
    assert f"{STATE} is damaged" in result["comment"]
    assert shared.openings() == set()
    shared.client.run(["rm", STATE])
    shared.applied()
    assert shared.openings() == OPEN


def test_a_full_stray_directory_is_reported(shared):
    """A directory with content among ours is not deleted: the run fails and names it, and repairs all else."""
    shared.client.run(["mkdir", "-p", "/etc/spice-grant/mine/deep"])
    shared.client.run(["rm", SUDOERS])
    shared.nft("delete", "table", "inet", "spice_grant")
    result = shared.apply()
    assert result["result"] is False
    assert "/etc/spice-grant/mine cannot be removed" in result["comment"]
    assert shared.client.path("/etc/spice-grant/mine/deep").is_dir()
    assert shared.openings() == OPEN
    assert shared.opens("myself", VV)


def test_a_place_in_which_others_may_exchange_what_root_runs(shared):
    """As where a group may write in /usr/local: it is the site's, and said in each run."""
    note = f"others than root can exchange what root runs from {PROGRAMS}: they may write in /usr/local/lib"
    assert note not in shared.apply()["comment"]
    shared.client.run(["chmod", "2775", "/usr/local/lib"])
    result = shared.apply()
    shared.client.run(["chmod", "0755", "/usr/local/lib"])
    assert (result["result"], result["changes"]) == (True, {}) and f"Note: {note}." in result["comment"]
