"""A name service that is away: what is known stays as it was, nothing new opens, the run fails and says why."""

import collections
import pathlib
import sysconfig

import pytest

from functional.office import OPEN, changed
from scene import need
from scenes import ADDRESS, GROUP, SUDOERS, article

need("gcc")
LIBRARY = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/libnss_scene.so.2"
SOURCE = pathlib.Path(__file__).with_name("nss.c")
BOOKS, WEB = 20002, 20004
ANNE, BEN, CLEO = 5021, 5022, 5023
PASSWD = "".join(f"{name}:x:{uid}:5000::/nowhere:/bin/sh\n" for name, uid in (("anne", ANNE), ("ben", BEN)))
GRANTS = {
    **article()["spice"]["grants"],
    "anne": {"user": "anne", "vm": "debianx"},
    "staff": {"group": "staff2", "vm": "leaptest"},
}
# How the remote source is named, and what is done to it; the last cannot be loaded.
ORDERS = {"last": "files scene", "first": "scene files"}
FAILURES = ("away", "busy", "not installed")


@pytest.fixture
def remote(office):
    """An office with users and a group of a remote source, which are granted something."""
    made = office.client.path("/srv/libnss.so")
    office.client.path("/srv/nss").mkdir()
    office.client.write("/srv/nss.c", SOURCE.read_text(encoding="utf-8"))
    office.client.run(["gcc", "-shared", "-fPIC", "-o", "/srv/libnss.so", "/srv/nss.c"])
    office.client.write(LIBRARY, made.read_bytes())
    serve(office)
    order(office, ORDERS["last"])
    office.applied(changed(article(), grants=GRANTS))
    assert reached(office) == {(ANNE, BOOKS), (ANNE, WEB), (BEN, WEB)}
    return office


def serve(office, passwd=PASSWD, members="anne,ben"):
    """Have the remote source answer."""
    office.client.write("/srv/nss/passwd", passwd)
    office.client.write("/srv/nss/group", f"staff2:x:5500:{members}\n")
    office.client.path("/srv/nss/busy").unlink(missing_ok=True)
    if not office.client.path(LIBRARY).exists():
        office.client.path("/srv/library").rename(office.client.path(LIBRARY))


def fail(office, how="away"):
    """Have it fail."""
    if how == "busy":
        office.client.write("/srv/nss/busy", "")
    elif how == "not installed":
        office.client.write("/srv/library", office.client.path(LIBRARY).read_bytes())
        office.client.path(LIBRARY).unlink()
    else:
        for name in ("passwd", "group"):
            office.client.path(f"/srv/nss/{name}").unlink()


def order(office, users, groups=None):
    """Have nsswitch.conf name sources for users and groups."""
    lines = office.client.read("/etc/nsswitch.conf").splitlines()
    kept = [line for line in lines if not line.startswith(("passwd:", "group:"))]
    office.client.write("/etc/nsswitch.conf", "\n".join([f"passwd: {users}", f"group: {groups or users}", *kept, ""]))


def reached(office):
    """UIDs of the remote users, and ports that they reach with the viewer's group."""
    places = [(ADDRESS, port, None) for port in (BOOKS, WEB)]
    uids = (ANNE, BEN, CLEO)
    words = office.attempts([[uid, office.gid()] for uid in uids], places)
    return {(uid, place[1]) for uid, row in zip(uids, words) for place, word in zip(places, row) if word == "open"}


@pytest.mark.turns(2)
@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.parametrize("where", ORDERS)
def test_what_is_known_stays(remote, where, how):
    """In each order of sources, each way to fail, by a run, a repair and twice; then all is as before, and succeeds."""
    order(remote, ORDERS[where])
    remote.applied()
    before, sudoers = reached(remote), remote.client.read(SUDOERS)
    fail(remote, how)
    for result in (remote.apply(test=True), remote.apply(), remote.apply()):
        assert (result["result"], result["changes"]) == (False, {})
        assert "source 'scene' of /etc/nsswitch.conf cannot be asked" in result["comment"]
        assert "spice:grants:anne:user: nobody can tell whether there is a user 'anne'" in result["comment"]
        assert "spice:grants:staff:group: nobody can tell who is in group 'staff2'" in result["comment"]
    assert remote.minion.call("spice_grant.repair")["changes"] == {}
    assert (reached(remote), remote.client.read(SUDOERS)) == (before, sudoers)
    assert remote.openings((ADDRESS,)) == OPEN
    serve(remote)
    assert remote.applied()["changes"] == {}


def test_a_group_of_which_a_part_is_away(remote):
    """Where members of several sources are joined, those of a source that is away stay; local ones come and go."""
    remote.client.write("/etc/group", remote.client.read("/etc/group") + "staff2:x:5500:myself\n")
    order(remote, ORDERS["last"], "files [SUCCESS=merge] scene")
    remote.applied()
    assert remote.reach("myself", GROUP, ADDRESS, WEB) == "open"
    fail(remote)
    assert remote.apply()["changes"] == {}
    remote.client.run(["gpasswd", "--add", "nogrant", "staff2"])
    assert "nobody can tell who is in group 'staff2'" in remote.apply()["comment"]
    assert remote.reach("nogrant", GROUP, ADDRESS, WEB) == "open"
    assert reached(remote) == {(ANNE, BOOKS), (ANNE, WEB), (BEN, WEB)}


def test_nothing_new_is_opened(remote):
    """Neither to who was never asked for, nor to who had something else; local users go on as ever."""
    fail(remote)
    grants = {
        **GRANTS,
        "ben": {"user": "ben", "vm": "debianx"},
        "cleo": {"user": "cleo", "vm": "debianx"},
        "guest": {"user": "nogrant", "vm": "debianx"},
    }
    result = remote.apply(changed(article(), grants=grants))
    assert result["result"] is False
    for name in ("ben", "cleo"):
        assert f"spice:grants:{name}:user: nobody can tell whether there is a user '{name}'" in result["comment"]
    assert reached(remote) == {(ANNE, BOOKS), (ANNE, WEB), (BEN, WEB)}
    assert remote.openings((ADDRESS,)) == OPEN | {("nogrant", GROUP, ADDRESS, BOOKS)}
    proof = remote.verify()
    assert set(proof["matrix"]) >= {"myself", "mybro", "nogrant"} and not {"anne", "ben"} & set(proof["matrix"])
    assert all(difference.startswith("not enforced: ") for difference in proof["differences"])
    firewall = remote.minion.call("spice_grant.explain", "anne", "debianx")["firewall"]
    assert firewall["answer"] == "in doubt" and "nobody can tell whether there is a user anne" in firewall["why"]


@pytest.mark.parametrize(
    "grants",
    [
        {name: grant for name, grant in GRANTS.items() if name not in ("anne", "staff")},
        {**GRANTS, "anne": {"user": "cleo", "vm": "debianx"}, "staff": {"group": "staff3", "vm": "leaptest"}},
        {**GRANTS, "anne": {"user": "ben", "vm": "debianx"}, "staff": {"user": "cleo", "vm": "leaptest"}},
        {**GRANTS, "anne": {"user": "anne", "vm": "leaptest"}, "staff": {"group": "staff2", "vm": "debianx"}},
    ],
)
def test_what_is_revoked_closes_all_the_same(remote, grants):
    """A grant that is not declared any more, or that is of somebody or something else by the same name."""
    fail(remote)
    result = remote.apply(changed(article(), grants=grants))
    assert result["changes"]
    assert reached(remote) == set()
    assert "anne" not in remote.client.read(SUDOERS)
    assert remote.openings((ADDRESS,)) == OPEN


def test_a_lock_and_a_loan_of_somebody_who_cannot_be_asked_for(remote):
    """Who has something can be locked; what was lent stays lent; nothing new is lent."""
    remote.minion.call("spice_grant.lend", "ben", "debianx", "1h")
    before = reached(remote)
    assert (BEN, BOOKS) in before
    fail(remote)
    remote.minion.call("spice_grant.lock", user="anne")
    assert reached(remote) == {(BEN, BOOKS), (BEN, WEB)}
    remote.minion.call("spice_grant.unlock", user="anne")
    assert reached(remote) == {(BEN, BOOKS), (BEN, WEB)}
    serve(remote)
    remote.minion.call("spice_grant.repair")
    assert reached(remote) == before


def test_an_answer_is_an_answer(remote):
    """A source that says that there is no such user, or no such member, is believed; also if it knows a part only."""
    serve(remote, passwd=PASSWD.splitlines(keepends=True)[1])
    result = remote.apply()
    assert "spice:grants:anne:user: no user 'anne' on this machine" in result["comment"]
    assert reached(remote) == {(BEN, WEB)}
    serve(remote, members="anne")
    remote.applied()
    assert reached(remote) == {(ANNE, WEB), (ANNE, BOOKS)}


def test_a_member_of_a_local_group_who_cannot_be_asked_for(remote):
    """The group itself answers: members who are listed keep what they have, those who are taken out do not."""
    remote.client.write("/etc/group", remote.client.read("/etc/group") + "staff2:x:5501:anne,ben,cleo\n")
    remote.apply()
    fail(remote)
    assert remote.apply()["changes"] == {}
    assert reached(remote) == {(ANNE, BOOKS), (ANNE, WEB), (BEN, WEB)}
    remote.client.run(["gpasswd", "--delete", "ben", "staff2"])
    remote.apply()
    assert reached(remote) == {(ANNE, BOOKS), (ANNE, WEB)}


def test_a_uid_that_is_somebody_elses_now_is_not_kept(remote):
    """A local account deleted while the remote source is away: nobody can know, until its UID is another's."""
    fail(remote)
    remote.client.run(["userdel", "myself"])
    result = remote.apply()
    assert result["changes"] == {}
    assert "nobody can tell whether there is a user 'myself'" in result["comment"]
    assert remote.attempts([[1021, remote.gid()]], [(ADDRESS, BOOKS, None)]) == [["open"]]
    remote.client.run(["useradd", "--uid", "1021", "next"])
    remote.client.run(["useradd", "--uid", str(ANNE), "other"])
    result = remote.apply()
    assert "UID 1021 is that of user 'next' now" in result["comment"]
    assert remote.reach("next", GROUP, ADDRESS, BOOKS) == "refused"
    assert reached(remote) == {(BEN, WEB)}


def test_what_loads_the_rules_asks_for_no_names(remote):
    """nft takes each number for a name first: a question for each grant, to a directory that may be slow, or lie."""
    asked = remote.client.path("/srv/nss/asked")
    remote.client.write("/srv/nss/asked", "")
    assert remote.applied(article())["changes"] and remote.applied(changed(article(), grants=GRANTS))["changes"]
    remote.nft("flush", "ruleset")
    remote.client.run(["/bin/sh", "/usr/local/lib/spice-grant/load-guard"])
    assert reached(remote) == {(ANNE, BOOKS), (ANNE, WEB), (BEN, WEB)}
    names = set(asked.read_text(encoding="utf-8").split())
    assert "anne" in names, "it is noted who is asked for"
    assert not {name for name in names if name.strip("+").isdigit()}


PEOPLE = 40


def test_a_run_asks_for_each_user_once(remote):
    """Whatever they are granted, in a first run as in one without changes."""
    names = [f"person{index}" for index in range(PEOPLE)]
    serve(remote, PASSWD + "".join(f"{name}:x:{6000 + index}:5000::/:/bin/sh\n" for index, name in enumerate(names)))
    grants = {f"{name}-{vm}": {"user": name, "vm": vm} for name in names for vm in ("debianx", "leaptest")}
    asked = remote.client.path("/srv/nss/asked")
    for changes in (True, False):
        remote.client.write("/srv/nss/asked", "")
        assert bool(remote.applied(changed(article(), grants=grants))["changes"]) is changes
        times = collections.Counter(asked.read_text(encoding="utf-8").split())
        assert {name: times[name] for name in names} == dict.fromkeys(names, 1)
    assert remote.attempts([[6000, remote.gid()]], [(ADDRESS, BOOKS, None)]) == [["open"]]
