"""The execution modules: what they answer about a real system, and what they change on it."""

import subprocess
import threading
from pathlib import Path

import pytest

from functional.office import FILES, OPEN, STATE, URIS, changed, difference, sentences
from functional.test_drift import FIREWALL, SUDO, VIEWER_LAYER
from scene import Minion, SaltError
from scenes import ADDRESS, ADDRESS6, GROUP, SUDOERS, VIEWER, article
from spicegrants.viewer import desk

pytestmark = pytest.mark.salt

LISTED = [
    {
        "user": "mybro",
        "uid": 1022,
        "vm": "leaptest",
        "server": "mysrv",
        "addresses": [ADDRESS],
        "port": 20004,
        "nopasswd": True,
        "open": True,
        "state": "open",
        "grants": {"mybro-leaptest": {"when": "always"}},
        "groups": [],
        "last_used": None,
    },
    {
        "user": "myself",
        "uid": 1021,
        "vm": "debianx",
        "server": "mysrv",
        "addresses": [ADDRESS],
        "port": 20002,
        "nopasswd": False,
        "open": True,
        "state": "open",
        "grants": {"myself-debianx": {"when": "always"}},
        "groups": [],
        "last_used": None,
    },
]


@pytest.fixture
def call(shared):
    """Call a function of the shared office's minion."""
    return shared.minion.call


# Who may what


def test_list_and_who(shared, call):
    """list returns every access with what it rests on, who the same for one vm; neither writes anything."""
    before = shared.snapshot()
    assert call("spice_grant.list") == LISTED
    assert call("spice_grant.who", "debianx") == LISTED[1:]
    with pytest.raises(SaltError, match="no vm 'debian' in the policy of this minion, did you mean 'debianx'"):
        call("spice_grant.who", "debian")
    assert not difference(before, shared.snapshot())


def test_timeline(shared, call):
    """Of a user who has nothing it is empty; of nobody it is not, since that may be a slip."""
    (row,) = call("spice_grant.timeline", "myself", days=1)
    assert (row["user"], row["vm"]) == ("myself", "debianx")
    assert call("spice_grant.timeline", "nogrant") == []
    with pytest.raises(SaltError, match="no user 'myslef' on this machine, did you mean 'myself'"):
        call("spice_grant.timeline", "myslef")


def test_members_of_a_group(shared, call):
    """A grant of a group holds for its members, by primary group too, and follows the group with the next run."""
    client = shared.client
    client.run(["gpasswd", "--add", "nogrant", "accounting"])
    client.run(["useradd", "--uid", "1040", "--gid", "accounting", "clerk"])
    books = {"books": {"group": "accounting", "vm": "debianx", "reason": "year-end"}}
    shared.applied(changed(article(), grants={**article()["spice"]["grants"], **books}))
    members = {("nogrant", GROUP, ADDRESS, 20002)}
    assert shared.openings() == OPEN | members
    assert shared.reach("clerk", GROUP, ADDRESS, 20002) == "open"
    assert shared.opens("nogrant", FILES["debianx"])
    (entry,) = [entry for entry in call("spice_grant.list") if entry["user"] == "clerk"]
    assert entry["grants"] == {"books": {"when": "always", "reason": "year-end"}}
    assert entry["groups"] == ["accounting"]
    assert "grant books (group accounting, year-end)" in str(call("spice_grant.explain", "clerk", "debianx"))
    with pytest.raises(SaltError, match="nogrant has debianx through a group, by books"):
        call("spice_grant.revoke", "nogrant", "debianx")
    assert shared.openings() == OPEN | members
    client.run(["gpasswd", "--delete", "nogrant", "accounting"])
    result = shared.applied()
    assert "closes 192.168.2.2 port 20002 to nogrant" in sentences(result["changes"])
    assert shared.openings() == OPEN
    assert shared.reach("clerk", GROUP, ADDRESS, 20002) == "open"
    client.run(["userdel", "clerk"])


def test_explain(shared, call):
    """explain gives each layer's own answer: granted, not granted, unknown user, unknown vm."""
    granted = call("spice_grant.explain", "myself", "debianx")
    assert granted["answer"] == "may open"
    assert granted["policy"] == {"answer": "granted", "why": "grant myself-debianx (user myself)"}
    assert granted["firewall"]["answer"] == "open"
    assert f"UID 1021 with GID {shared.gid()} (spicegrp) to 192.168.2.2 port 20002" in granted["firewall"]["why"]
    assert granted["sudo"] == {"answer": "allowed", "why": "2 exact rule(s); asks for the user's own password"}
    assert granted["viewer"]["answer"] == "only through sudo"
    assert "no password is asked" in call("spice_grant.explain", "mybro", "leaptest")["sudo"]["why"]
    refused = call("spice_grant.explain", "mybro", "debianx")
    assert refused["answer"] == "may not open"
    assert refused["policy"] == {"answer": "not granted", "why": "no grant of debianx means mybro"}
    assert (refused["firewall"]["answer"], refused["sudo"]["answer"]) == ("closed", "refused")
    with pytest.raises(SaltError, match="no user 'mysef' on this machine, did you mean 'myself'"):
        call("spice_grant.explain", "mysef", "debianx")
    # One with a grant, whose account is gone.
    call("spice_grant.grant", "leaver", "debianx")
    unknown = call("spice_grant.explain", "leaver", "debianx")
    assert unknown["answer"] == "may not open"
    assert unknown["firewall"]["why"] == "no user leaver on this machine"
    with pytest.raises(SaltError, match="no vm 'debianz' in the policy"):
        call("spice_grant.explain", "myself", "debianz")


@pytest.mark.parametrize(
    "tamper, user, layer, answer",
    [
        (FIREWALL["jump deleted"][0], "nogrant", "firewall", "in doubt"),
        (FIREWALL["element deleted"][0], "myself", "firewall", "closed"),
        (SUDO["deleted"][0], "myself", "sudo", "refused"),
        (SUDO["rule added"][0], "nogrant", "sudo", "in doubt"),
        (SUDO["all allowed"][0], "nogrant", "sudo", "allowed"),
        (VIEWER_LAYER["viewer: mode"][0], "myself", "viewer", "in doubt"),
    ],
)
def test_explain_looks_at_what_is_there(shared, call, tamper, user, layer, answer):
    """explain does not repeat the policy: where a layer holds something else, it says so and is in doubt."""
    tamper(shared)
    explained = call("spice_grant.explain", user, "debianx")
    assert explained["answer"] == "in doubt"
    assert explained[layer]["answer"] == answer


def test_before_the_first_run(office):
    """Without a policy the functions that need one say so; nothing is assumed, and nothing is made."""
    before = office.snapshot()
    calls = [
        ("list",),
        ("who", "debianx"),
        ("explain", "myself", "debianx"),
        ("verify",),
        ("grant", "myself", "debianx"),
    ]
    for name, *arguments in [*calls, ("revoke", "myself", "debianx")]:
        with pytest.raises(SaltError, match="no policy has been applied on this minion yet: run state"):
            office.minion.call(f"spice_grant.{name}", *arguments)
    assert office.minion.call("spice_firewall.rules") == []
    assert office.minion.call("spice_firewall.denied") == []
    for layer in ("firewall", "sudoers", "viewer"):
        assert office.minion.call(f"spice_{layer}.remove") == {}
    assert {place for place in difference(before, office.snapshot()) if "salt-scene" not in place} == set()


# grant and revoke


def test_grant_and_revoke_at_once_until_the_next_highstate(shared, call):
    """grant and revoke work in all layers at once, are kept, and say until when; pillar then brings its own back."""
    report = call("spice_grant.grant", "nogrant", "debianx", nopasswd=True, reason="on call")
    assert report["errors"] == []
    assert set(report["changes"]["grants"]["nogrant-debianx"]) == {"policy", "firewall", "sudo", "viewer"}
    assert "exclusive: True" in report["comment"]
    assert shared.openings() == OPEN | {("nogrant", GROUP, ADDRESS, 20002)}
    assert shared.opens("nogrant", FILES["debianx"], password=None)
    assert shared.client.run(["rviewer", "--list"], user="nogrant").stdout == "debianx\n"
    assert call("spice_grant.grant", "nogrant", "debianx", nopasswd=True, reason="on call")["changes"] == {}
    report = call("spice_grant.revoke", "myself", "debianx")
    assert set(report["changes"]["grants"]["myself-debianx"]) == {"policy", "firewall", "sudo", "viewer"}
    assert "exclusive: True" in report["comment"]
    # What a reboot does: the ruleset is gone, the policy is not.
    shared.nft("flush", "ruleset")
    call("spice_firewall.apply")
    assert shared.openings() == {("mybro", GROUP, ADDRESS, 20004), ("nogrant", GROUP, ADDRESS, 20002)}
    assert not shared.opens("myself", FILES["debianx"])
    assert call("spice_grant.plan", exclusive=False)["changes"]["grants"].keys() == {"myself-debianx"}
    shared.applied()
    assert shared.openings() == OPEN
    assert call("spice_grant.list") == LISTED


def test_a_wrong_grant_or_revoke_changes_nothing(keeper, shared, call):
    """Unknown vm or user, a strange name, root, a grant that is not there: an error that says what."""
    for function, arguments, message in [
        ("grant", ("nogrant", "debian"), "no vm 'debian', did you mean 'debianx'?"),
        ("grant", ("root", "debianx"), "root needs no grant"),
        ("grant", ("no grant", "debianx"), "not a usable"),
        ("grant", ("%accounting", "debianx"), "not a usable"),
        ("revoke", ("nogrant", "debianx"), "nogrant has no grant of debianx on this machine"),
        ("revoke", ("myself", "debian"), "no vm 'debian', did you mean 'debianx'?"),
    ]:
        with pytest.raises(SaltError) as error:
            call(f"spice_grant.{function}", *arguments)
        assert message in str(error.value)
    assert not keeper.traces()


def test_a_grant_to_nobody_is_an_error(shared):
    """A grant to a user who does not exist opens nothing and ends with an exit code that is not 0."""
    report, code = shared.minion.call_raw("spice_grant.grant", "leaver", "debianx")
    assert code != 0
    assert report["errors"] == ["spice:grants:leaver-debianx:user: no user 'leaver' on this machine"]
    assert shared.openings() == OPEN


# What the kernel, sudo and the viewer layer hold


def test_firewall_rules(shared, call):
    """rules lists our elements with users, vms and counters, and other tables' owner rules, marked as foreign."""
    shared.reach("myself", GROUP, ADDRESS, 20002)
    own = call("spice_firewall.rules", foreign=False)
    assert [(rule["user"], rule["uid"], rule["gid"], rule["address"], rule["port"], rule["vm"]) for rule in own] == [
        ("myself", 1021, shared.gid(), ADDRESS, 20002, "debianx"),
        ("mybro", 1022, shared.gid(), ADDRESS, 20004, "leaptest"),
    ]
    assert own[0]["packets"] >= 3 <= own[0]["bytes"]
    assert not any(rule["foreign"] for rule in own)
    table = """
        table ip site { chain mine { type filter hook output priority 0;
            meta skuid 1023 ip daddr 192.168.2.2 tcp dport 20002 counter accept; tcp dport 22 accept;
            meta skgid 1500 drop; }; }
    """
    shared.nft("-f", "-", text=table)
    found = call("spice_firewall.rules")
    assert found[:2] == own
    first, second = found[2:]
    desired = {"user": "nogrant", "uid": 1023, "address": ADDRESS, "port": 20002, "verdict": "accept", "packets": 0}
    desired.update(table="ip site", chain="mine", foreign=True)
    assert {key: first[key] for key in desired} == desired
    assert (second["gid"], second["verdict"], second["foreign"]) == (1500, "drop", True)
    shared.nft("delete", "table", "ip", "site")


def test_sudo_rules_of_others_are_reported(shared, call):
    """rules, and the state's comment, name what else lets somebody start the viewer, targetpw too; none is changed."""
    lines = ["nogrant ALL=(ALL) NOPASSWD: ALL", "%accounting ALL=(root) /usr/bin/remote-viewer", "Defaults targetpw"]
    site = "/etc/sudoers.d/site"
    shared.client.write(site, "\n".join([*lines, "myself ALL=(root) /usr/bin/id", ""]), mode=0o440)
    before = shared.snapshot()[site]
    result = shared.apply()
    found = call("spice_sudoers.rules")
    own = [rule for rule in found if not rule["foreign"]]
    assert own == [
        {
            "user": user,
            "group": GROUP,
            "viewer": VIEWER,
            "argument": argument,
            "nopasswd": user == "mybro",
            "windows": None,
            "foreign": False,
        }
        for user, vm in (("mybro", "leaptest"), ("myself", "debianx"))
        for argument in (URIS[vm], FILES[vm])
    ]
    foreign = {rule["who"]: rule["what"] for rule in found if rule["foreign"]}
    assert set(foreign) >= {"nogrant", "%accounting", "Defaults"}
    assert "may run ALL as ALL" in foreign["nogrant"]
    assert "targetpw" in foreign["Defaults"]
    assert "myself" not in foreign
    for who in ("nogrant", "%accounting", "targetpw"):
        assert who in result["comment"]
    assert result["result"] is True
    assert call("spice_sudoers.rules", foreign=False) == own
    assert shared.snapshot()[site] == before
    shared.client.run(["rm", site])


def test_sudo_allowed(call):
    """allowed asks sudo itself, and gives the calls as they are typed."""
    typed = [f"-g {GROUP} {VIEWER} -- {argument}" for argument in (URIS["debianx"], FILES["debianx"])]
    assert call("spice_sudoers.allowed", "myself", "debianx") == {"allowed": typed, "refused": []}
    assert call("spice_sudoers.allowed", "mybro", "debianx") == {"allowed": [], "refused": typed}
    with pytest.raises(SaltError, match="no vm 'debian' in the policy of this minion, did you mean 'debianx'"):
        call("spice_sudoers.allowed", "myself", "debian")


def test_viewer_status(shared, call):
    """status returns group, members, owner and mode of the viewer, and other programs that open consoles."""
    shared.client.write("/usr/bin/spicy", "#!/bin/sh\n", mode=0o755)
    try:
        status = call("spice_viewer.status")
    finally:
        shared.client.run(["rm", "/usr/bin/spicy"])
    assert (status["group"], status["gid"], status["members"]) == (GROUP, shared.gid(), [])
    assert status["programs"] == {VIEWER: {"owner": f"root:{GROUP}", "mode": "0750"}}
    assert "/usr/bin/spicy" in status["others"]


def test_backend(call):
    """backend names what enforces the rules."""
    assert call("spice_firewall.backend")["backend"] == "nftables"


def test_the_routing_layer_by_itself(keeper, shared, call):
    """Off, there is nothing; on, its rules are the grants, and plan, apply and remove go by themselves."""
    assert call("spice_routing.review") == {"errors": [], "warnings": []}
    assert call("spice_routing.rules") == [] and call("spice_routing.plan") == {}
    shared.applied(changed(article(), routing={"enabled": True}))
    assert call("spice_routing.plan") == {}
    rules = call("spice_routing.rules")
    assert {(rule["user"], *rule["ports"]) for rule in rules} == {("myself", 20002, 20002), ("mybro", 20004, 20004)}
    removed = call("spice_routing.remove", test=True)
    assert removed == call("spice_routing.remove") and call("spice_routing.rules") == []
    planned = call("spice_routing.plan")
    assert planned == call("spice_routing.apply") and call("spice_routing.rules") == rules


def test_the_viewer_layer_by_itself(shared, call):
    """It takes members out of the group as well, which a whole run does before all layers."""
    shared.client.run(["gpasswd", "--add", "nogrant", GROUP])
    planned = call("spice_viewer.plan")
    assert f"takes nogrant out of group {GROUP}" in sentences(planned)
    assert call("spice_viewer.apply") == planned
    assert call("spice_viewer.plan") == {} and shared.groups()[GROUP] == []


def test_the_sudo_layer_says_what_a_plan_does_not(shared, call):
    assert call("spice_sudoers.review")["errors"] == []


# Taking it away again


@pytest.mark.parametrize("mode, owner", [("0755", "root:root"), ("0711", "root:accounting")])
def test_remove_restores(office, mode, owner):
    """The layers' remove functions leave the machine as it was before the first run, and do nothing a second time."""
    office.client.run(["chown", owner, VIEWER])
    office.client.run(["chmod", mode, VIEWER])
    office.minion.call("test.ping")
    before = office.snapshot()
    office.applied()
    call = office.minion.call
    assert call("spice_sudoers.remove") == {"layers": {"sudo": [f"removes {SUDOERS}"]}}
    assert not office.opens("mybro", FILES["leaptest"], password=None)
    assert f"removes group {GROUP}" in sentences(call("spice_viewer.remove"))
    assert office.openings() == set()
    assert "removes the guard" in sentences(call("spice_firewall.remove"))
    assert ("nogrant", None, ADDRESS, 20002) in office.openings()
    for layer in ("firewall", "sudoers", "viewer"):
        assert call(f"spice_{layer}.remove") == {}
    left = difference(before, office.snapshot())
    changed_only_in_time = {
        place for place, (was, now) in left.items() if was and now and was[:3] == now[:3] and was[5:] == now[5:]
    }
    kept = {"/var/lib/spice-grant", STATE}
    made_by_system_tools = {f"/etc/{name}-" for name in ("group", "gshadow", "passwd", "shadow")}
    # Directories that hold the files of others as well.
    shared = {directory for path in desk.PATHS for directory in map(str, Path(path).parents)}
    assert set(left) - changed_only_in_time <= {*kept, *made_by_system_tools, *shared}


# One at a time


def test_runs_wait_for_each_other(shared):
    """While another run is at work a run waits, and then does its own; test=True does not wait."""
    shared.client.run(["rm", SUDOERS])
    with shared.client.popen(
        ["flock", "/run/spice-grant.lock", "sh", "-c", "echo held; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert shared.apply(test=True)["changes"]
        assert holder.poll() is None
        letting_go = threading.Timer(1, holder.stdin.close)
        letting_go.start()
        assert shared.applied()["changes"]
        assert holder.stdin.closed
        letting_go.join()


def test_two_runs_at_once_lose_nothing(shared):
    """Two changes at the same moment, from two minions' processes, are both there afterwards."""
    with Minion(shared.client, article(), conf="/etc/salt-scene-2") as other:
        other.call("test.ping")
        reports = []

        def grant(minion, vm):
            reports.append(minion.call("spice_grant.grant", "nogrant", vm))

        calls = [(shared.minion, "debianx"), (other, "leaptest")]
        threads = [threading.Thread(target=grant, args=arguments) for arguments in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [report["errors"] for report in reports] == [[], []]
    assert shared.openings() == OPEN | {("nogrant", GROUP, ADDRESS, 20002), ("nogrant", GROUP, ADDRESS, 20004)}
    assert {entry["vm"] for entry in shared.minion.call("spice_grant.list") if entry["user"] == "nogrant"} == {
        "debianx",
        "leaptest",
    }
    shared.client.run(["rm", "-r", "/etc/salt-scene-2"])


def test_a_thousand_grants_at_once(office):
    """Many grants come in one run, and go in one run; the second run has nothing to do."""
    users = [f"user{number}" for number in range(250)]
    lines = "".join(f"{name}:x:{3000 + number}:100::/nonexistent:/bin/sh\n" for number, name in enumerate(users))
    path = office.client.path("/etc/passwd")
    path.write_text(path.read_text(encoding="utf-8") + lines, encoding="utf-8")
    vms = {f"vm{port}": {"server": "mysrv", "tls_port": port} for port in range(20001, 20005)}
    grants = {f"{name}-{vm}": {"user": name, "vm": vm} for name in users for vm in vms}
    office.applied(changed(article(), vms=vms, grants=grants))
    assert len(office.minion.call("spice_grant.list")) == 1000
    assert office.apply()["changes"] == {}
    assert office.reach("user249", GROUP, ADDRESS, 20004) == "open"
    assert office.reach("user249", GROUP, ADDRESS, 20005) == "refused"
    office.applied(changed(article(), vms=vms, grants={}))
    assert office.reach("user249", GROUP, ADDRESS, 20004) == "refused"
    assert office.openings((ADDRESS, ADDRESS6)) == set()
