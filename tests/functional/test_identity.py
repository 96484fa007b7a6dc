"""Accounts that are deleted, made again, renamed, doubled; and groups whose members change, during a session too."""

import sys

import pytest

from functional.confined import ANYTHING, ON_X, WITNESS, WITNESS_TEXT, Witnesses, pillar, site_rule
from functional.mechanisms import by_each
from functional.office import OPEN, Office, changed
from scene import need
from scenes import ADDRESS, GROUP, SUDOERS, VIEWER, article

need("bwrap", "setpriv")
MENUS = "/etc/spice-grant/menu"
LOAD = "/usr/local/lib/spice-grant/load-guard"
REFUSED, IMPOSSIBLE = 1, 3
# Connects, says so, and sends a byte twice a second until the connection ends.
_STAY = """
import os, socket, sys, time
uid, gid, address, port = map(eval, sys.argv[1:])
os.setgroups([gid]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
with socket.create_connection((address, port), 5) as sock:
    print("open", flush=True)
    try:
        while sock.send(b"x"):
            time.sleep(0.1)
    except OSError:
        print("ended", flush=True)
"""


@pytest.fixture
def desk():
    """An office with confined viewers, a loan beside the grants, and users who may call the opener with anything."""
    with Office(pillar()) as office:
        office.client.write(WITNESS, WITNESS_TEXT, mode=0o755)
        office.applied()
        office.minion.call("spice_grant.lend", "myself", "leaptest", "1h", nopasswd=True)
        heard = Witnesses(office)
        yield heard
        heard.stop()


def reuse(office, name="heir"):
    """Delete an account; the one that is made at once gets its UID."""
    office.client.run(["userdel", "--remove", "--force", "myself"])
    assert office.client.add_user(name, 1021, "Nx-1") == 1021


def opens_nothing(desk, name):
    """What a user tries: the firewall as they are, sudo, the opener where sudo lets them through, other groups."""
    office = desk.office
    places = [(address, port, None) for address in (ADDRESS, "fd00:2::2") for port in (20002, 20004)]
    account = office.client.account(name)
    (words,) = office.attempts([[account["uid"], account["gid"]]], places)
    assert set(words) == {"refused"}
    for vm in ("debianx", "leaptest"):
        asked = ["/usr/bin/sudo", "-n", "-u", "root", "/usr/local/lib/spice-grant/open", vm]
        assert office.client.run(asked, user=name, check=False).returncode == REFUSED
        with site_rule(office, ANYTHING):
            passed = office.client.run([*asked[:2], *asked[2:]], user=name, env=ON_X, check=False)
        assert passed.returncode in (REFUSED, IMPOSSIBLE), passed
        assert passed.stderr.startswith("rviewer: ")
    assert office.client.run(["newgrp", GROUP], user=name, check=False, input="\n").returncode != 0
    # setpriv itself keeps its capabilities until it starts something.
    assert office.client.run(["/bin/sh", "-c", f"{VIEWER} --version"], user=name, check=False).returncode == 126


def holds_nothing(office, name):
    """What the layers hold: neither the UID nor the name is anywhere."""
    assert all(rule["uid"] != 1021 for rule in office.minion.call("spice_firewall.rules", foreign=False))
    assert office.attempts([[1021, office.gid()]], [(ADDRESS, port, None) for port in (20002, 20004)]) == [
        ["refused", "refused"]
    ]
    rules = office.minion.call("spice_sudoers.rules")
    assert not [rule for rule in rules if rule.get("user") in ("myself", name)], rules
    for text in (office.client.read(SUDOERS), office.client.read("/var/lib/spice-grant/guard.json")):
        assert "1021" not in text and name not in text
    assert not office.client.path(f"{MENUS}/1021").exists()


@pytest.mark.parametrize("by", ["run", "repair", "loan", "lock", "boot"])
def test_a_uid_that_another_account_got(desk, by):
    """Before anything has noticed it opens nothing; once something has, whatever it was, nothing is left of it."""
    office = desk.office
    reuse(office)
    opens_nothing(desk, "heir")
    if by == "boot":
        office.nft("delete", "table", "inet", "spice_grant")
        office.client.run(["/bin/sh", LOAD])
        opens_nothing(desk, "heir")
    how = {
        "run": lambda: office.apply(),
        "repair": lambda: office.minion.call("spice_grant.repair"),
        "loan": lambda: office.minion.call("spice_grant.lend", "nogrant", "debianx", "1h"),
        "lock": lambda: office.minion.call("spice_grant.lock", user="mybro"),
        "boot": lambda: office.minion.call("spice_grant.repair"),
    }[by]
    text = str(how())
    assert "no user 'myself' on this machine" in text
    holds_nothing(office, "heir")
    opens_nothing(desk, "heir")


def test_an_account_that_is_renamed(desk):
    """Its UID has no grant by its new name, and the new owner of its name none by the old UID until a run says so."""
    office = desk.office
    office.client.run(["usermod", "--login", "renamed", "myself"])
    opens_nothing(desk, "renamed")
    office.client.run(["usermod", "--login", "myself", "nogrant"])
    # sudo goes by the name; the opener by both.
    done = office.client.run(
        ["/usr/bin/sudo", "-n", "-u", "root", "/usr/local/lib/spice-grant/open", "leaptest"], user="myself", check=False
    )
    assert (done.returncode, done.stderr) == (
        REFUSED,
        "rviewer: leaptest cannot be opened: it is not granted to you. Ask your administrator.\n",
    )
    result = office.apply()
    assert "user myself has UID 1023 now, not 1021" in str(result["changes"])
    assert (
        "loan:myself:leaptest: user 'myself' has UID 1023 now; it was lent to the account with UID 1021"
        in (result["comment"])
    )
    assert office.attempts(
        [[1021, office.gid()], [1023, office.gid()]], [(ADDRESS, port, None) for port in (20002, 20004)]
    ) == [["refused", "refused"], ["open", "refused"]]
    opens_nothing(desk, "renamed")


def test_an_account_that_is_made_again_with_another_uid(desk):
    """Pillar names it, so it has the grant by the next run, not before, and the loan not at all."""
    office = desk.office
    office.client.run(["userdel", "--remove", "--force", "myself"])
    office.client.add_user("myself", 4021, "Ms-2")
    opens_nothing(desk, "myself")
    office.apply()
    places = [(ADDRESS, port, None) for port in (20002, 20004)]
    assert office.attempts([[1021, office.gid()], [4021, office.gid()]], places) == [
        ["refused", "refused"],
        ["open", "refused"],
    ]
    assert sorted(path.name for path in office.client.path(MENUS).iterdir()) == ["1022", "4021"]


def test_a_name_that_stands_twice(desk):
    """The first line counts, as it does for libc; the opener lets neither through while both are there."""
    office = desk.office
    passwd = office.client.read("/etc/passwd")
    office.client.write("/etc/passwd", f"{passwd}myself:x:4021:4021::/home/myself:/bin/sh\n")
    assert office.applied()["changes"] == {}
    office.client.write("/etc/passwd", f"myself:x:4021:4021::/home/myself:/bin/sh\n{passwd}")
    command = ["setpriv", "--reuid=1021", "--regid=1021", "--clear-groups", "/usr/bin/sudo", "-n", "-u", "root"]
    done = office.client.run([*command, "/usr/local/lib/spice-grant/open", "leaptest"], env=ON_X, check=False)
    assert done.returncode == IMPOSSIBLE and "not the same account to all who were asked" in done.stderr
    office.apply()
    assert office.attempts([[1021, office.gid()], [4021, office.gid()]], [(ADDRESS, 20002, None)]) == [
        ["refused"],
        ["open"],
    ]


def test_a_uid_that_two_accounts_have(desk):
    """They are the same to the kernel: neither has anything, and both are named."""
    office = desk.office
    office.client.run(["useradd", "--non-unique", "--uid", "1021", "twin"])
    result = office.apply()
    assert "user 'myself' has the UID of 'twin': nothing can tell one from the other" in result["comment"]
    holds_nothing(office, "twin")
    opens_nothing(desk, "twin")
    office.client.run(["userdel", "twin"])
    assert office.apply()["result"] is True


# Names that mean something else to some tool

STRANGE = ("1021", "1022", "ALL", "ADMINS", "#1021", "%sudo", "+all", "!mybro", "a,ALL", "_=x", "root ", "1021:995")


def test_users_and_groups_with_strange_names(office):
    """In a granted group, as users and as groups of their own: they get nothing, and nobody gets anything by them."""
    client = office.client
    lines = [
        f"{name}:x:{4000 + number}:4000::/nowhere:/bin/sh\n" for number, name in enumerate(STRANGE) if ":" not in name
    ]
    client.write("/etc/passwd", client.read("/etc/passwd") + "".join(lines))
    groups = [f"{name}:x:{4100 + number}:nogrant\n" for number, name in enumerate(STRANGE) if ":" not in name]
    text = client.read("/etc/group").replace(
        "accounting:x:1500:", "accounting:x:1500:nogrant,1023,ALL,#1021,%sudo,+all,!mybro"
    )
    client.write("/etc/group", text + "".join(groups))
    client.write("/etc/sudoers", client.read("/etc/sudoers") + "\nUser_Alias ADMINS = nogrant\n", mode=0o440)
    data = changed(
        article(), grants={**article()["spice"]["grants"], "books": {"group": "accounting", "vm": "debianx"}}
    )
    result = office.apply(data)
    assert result["result"] is False
    # An account with another's number for a name costs that one's grants: tools take the one for the other.
    assert office.openings((ADDRESS,)) == {("nogrant", GROUP, ADDRESS, 20002)}
    for word in ("'ALL'", "'#1021'", "'%sudo'", "'+all'", "'!mybro'"):
        assert word in result["comment"]
    assert "an account is named '1021', like the UID of 'myself'" in result["comment"]
    rules = office.minion.call("spice_sudoers.rules")
    assert {rule["user"] for rule in rules if not rule.get("foreign")} == {"nogrant"}
    assert not office.opens("mybro", "/etc/spice-grant/vms/debianx.vv")


@pytest.mark.parametrize("mechanism", by_each())
def test_an_account_that_is_named_like_a_granted_uid_gets_nothing_by_the_stored_rules(mechanism):
    """A boot loads them before any run could say that there is such an account; so it is with groups."""
    with Office(mechanism=mechanism) as office:
        office.applied()
        client = office.client

        def owners():
            return {(rule["uid"], rule["gid"]) for rule in office.minion.call("spice_firewall.rules", foreign=False)}

        assert owners() == {(1021, office.gid()), (1022, office.gid())}
        client.write("/etc/passwd", client.read("/etc/passwd") + "1021:x:4021:4021::/nowhere:/bin/sh\n")
        groups = client.read("/etc/group")
        client.write("/etc/group", groups + f"{office.gid()}:x:4022:\n")
        assert client.run(["id", "-u", "1021"]).stdout == "4021\n"
        client.run(["/bin/sh", LOAD])
        assert owners() == {(1021, office.gid()), (1022, office.gid())}
        assert office.openings((ADDRESS,)) == OPEN
        # A run says so, and takes the grants of that UID away: other tools would take the one for the other.
        client.write("/etc/group", groups)
        assert "an account is named '1021', like the UID of 'myself'" in office.apply()["comment"]
        assert owners() == {(1022, office.gid())}


# Groups


def stay(office, uid, port=20002):
    """Have a user with the viewer's group open a console and keep it busy."""
    command = [sys.executable, "-I", "-S", "-c", _STAY, str(uid), str(office.gid()), repr(ADDRESS), str(port)]
    process = office.client.popen(command, stdout=-1, text=True)
    assert process.stdout.readline() == "open\n"
    return process


@pytest.mark.parametrize("on_end", ["cut", "drain"])
@pytest.mark.parametrize("how", ["member", "primary"])
def test_a_group_that_loses_and_gets_members_during_a_session(office, how, on_end):
    """Members who leave lose the grant: their session ends or goes on, as it says. Who joins gets it by the next."""
    grants = {"books": {"group": "accounting", "vm": "debianx", "on_end": on_end}}
    office.client.run(["usermod", "--append", "--groups", "accounting", "mybro"])
    if how == "primary":
        office.client.run(["usermod", "--gid", "accounting", "nogrant"])
    else:
        office.client.run(["gpasswd", "--add", "nogrant", "accounting"])
    office.applied(changed(article(), grants=grants))
    leaving, staying = stay(office, 1023), stay(office, 1022)
    if how == "primary":
        office.client.run(["usermod", "--gid", "nogroup", "nogrant"])
    else:
        office.client.run(["gpasswd", "--delete", "nogrant", "accounting"])
    office.client.run(["gpasswd", "--add", "myself", "accounting"])
    report = office.minion.call("spice_grant.repair")
    assert report["errors"] == [] and report["changes"]
    assert office.openings((ADDRESS,)) == {(name, GROUP, ADDRESS, 20002) for name in ("mybro", "myself")}
    if on_end == "cut":
        assert leaving.stdout.readline() == "ended\n"
    else:
        assert leaving.poll() is None
    for process in (leaving, staying):
        running = process.poll() is None
        process.kill_tree()
        process.wait()
        process.stdout.close()
        assert running or process is leaving


# In a namespace in which the viewer's group is root's: waits for that, and connects as the user with it.
_MAPPED = """
import ctypes, os, socket, sys
ctypes.CDLL(None).unshare(0x10000000)  # CLONE_NEWUSER
print(os.getpid(), flush=True)
sys.stdin.readline()
os.setgid(0)
print(socket.socket().connect_ex((sys.argv[1], int(sys.argv[2]))), flush=True)
"""


def _reaches_by_mapping(office, user):
    """Whether the user does, by a namespace for which root does what newgidmap(1) would."""
    command = [sys.executable, "-I", "-S", "-c", _MAPPED, ADDRESS, "20002"]
    process = office.client.popen(command, user=user, stdin=-1, stdout=-1, text=True)
    try:
        pid = process.stdout.readline().strip()
        for kind, mine in (("uid", office.client.run(["id", "-u", user]).stdout.strip()), ("gid", str(office.gid()))):
            office.client.run(["sh", "-c", f"echo 0 {mine} 1 >/proc/{pid}/{kind}_map"])
        return process.communicate("go on\n", timeout=60)[0] == "0\n"
    finally:
        process.kill_tree()
        process.wait()


@pytest.mark.parametrize("owner", ["myself", "1021"])
def test_a_user_who_may_map_the_viewers_group(granted, owner):
    """Into a namespace of their own: any program of theirs would pass, so they have nothing, and the run says so."""
    client, before = granted.client, granted.client.read("/etc/subgid")
    assert _reaches_by_mapping(granted, "myself")
    client.write("/etc/subgid", f"root:0:100000\nmybro:{granted.gid() + 1}:9\n{owner}:{granted.gid() - 5}:6\n")
    result = granted.apply()
    assert result["result"] is False
    assert f"/etc/subgid lets user 'myself' have the GID of '{GROUP}'" in result["comment"]
    assert "the viewer's group is a subordinate one of user 'myself'" in result["comment"]
    assert not _reaches_by_mapping(granted, "myself")
    assert granted.openings((ADDRESS,)) == {found for found in OPEN if found[0] != "myself"}
    client.write("/etc/subgid", before)
    assert granted.applied() and granted.openings((ADDRESS,)) == OPEN


def test_another_group_with_the_viewers_gid(granted):
    """To the kernel it is the same group: its members could start the viewer, so they have nothing, which is said."""
    granted.client.run(["groupadd", "--non-unique", "--gid", str(granted.gid()), "twin"])
    granted.client.run(["gpasswd", "--add", "myself", "twin"])
    result = granted.apply()
    assert result["result"] is False
    assert f"group 'twin' has the same GID as '{GROUP}'" in result["comment"]
    assert "user 'myself' is in a group with the GID of the viewer's" in result["comment"]
    assert granted.openings((ADDRESS,)) == {found for found in OPEN if found[0] != "myself"}
    granted.client.run(["groupdel", "twin"])
    assert granted.apply()["result"] is True
    assert granted.openings((ADDRESS,)) == OPEN
