"""A viewer, or a group, that pillar names no more is given back; nothing of the restriction stays behind."""

import json

import pytest

SECOND = "/usr/bin/second-viewer"


@pytest.fixture
def changing(client):
    """The client with a second viewer, that had rights of its own before the first run restricted it alone."""
    client.machine.write(SECOND, "#!/bin/sh\n", 0o751, owner="root:adm")
    client.before = rights(client)
    declare(client, path=SECOND)
    client.apply()
    assert rights(client) == (0, client.machine.group_id("spicegrp"), 0o750)
    return client


def declare(client, **viewer):
    client.pillar["spice"].setdefault("viewer", {}).update(viewer)


def rights(client, path=SECOND):
    status = client.machine.stat(path)
    return status.st_uid, status.st_gid, client.machine.mode(path)


def groups(client):
    return {line.partition(":")[0] for line in client.machine.read("/etc/group").splitlines()}


def override(client, path):
    return client.machine.run(["dpkg-statoverride", "--list", path], check=False).stdout


def changed(client):
    """Make a run that does exactly what test=True said, and a second one that has nothing to do; return its words."""
    planned, done = client.plan(), client.apply()["changes"]
    assert planned == done
    assert client.apply()["changes"] == {}
    return done["layers"]["viewer"]


def test_viewer_that_is_declared_no_more_is_given_back(changing):
    """Its own owner and mode, not the usual ones, and no override; the new one is restricted."""
    declare(changing, path="/usr/bin/remote-viewer")
    lines = changed(changing)
    assert lines[-2:] == [
        f"leaves owner and mode of {SECOND} to its package",
        f"gives {SECOND} back its owner and mode",
    ]
    assert rights(changing) == changing.before
    assert override(changing, SECOND) == ""
    assert changing.machine.mode("/usr/bin/remote-viewer") == 0o750


def test_viewer_that_was_given_back_is_the_sites(changing):
    """Whatever the site does with it later, no run and no removal touches it again."""
    declare(changing, path="/usr/bin/remote-viewer")
    changing.apply()
    changing.machine.run(["chmod", "0700", SECOND])
    assert changing.apply()["changes"] == {}
    changing.minion.call("spice_grant.remove")
    assert changing.machine.mode(SECOND) == 0o700


def test_one_of_two_viewers_goes(changing):
    declare(changing, path=[SECOND, "/usr/bin/remote-viewer"])
    changing.apply()
    declare(changing, path=["/usr/bin/remote-viewer"])
    changed(changing)
    assert rights(changing) == changing.before


def test_viewer_that_comes_back_is_restricted_again(changing):
    """And after that it still is known what it was like at first."""
    declare(changing, path="/usr/bin/remote-viewer")
    changing.apply()
    declare(changing, path=SECOND)
    changed(changing)
    assert rights(changing) == (0, changing.machine.group_id("spicegrp"), 0o750)
    changing.minion.call("spice_grant.remove")
    assert rights(changing) == changing.before


@pytest.mark.parametrize("instead", ["link", "nothing"])
def test_what_is_not_the_viewer_any_more_is_left_alone(changing, instead):
    """What a link points to was never restricted, and gets no rights from us."""
    changing.machine.run(["rm", SECOND])
    changing.machine.write("/srv/secret", "", 0o600)
    if instead == "link":
        changing.machine.run(["ln", "-s", "/srv/secret", SECOND])
    declare(changing, path="/usr/bin/remote-viewer")
    changed(changing)
    assert rights(changing, "/srv/secret") == (0, 0, 0o600)


def test_group_of_ours_with_another_name_goes(changing):
    """Every layer uses the new one; the old one is nobody's any more."""
    declare(changing, group="consoles")
    lines = changed(changing)
    assert lines[-1] == "removes group spicegrp"
    assert "consoles" in groups(changing) and "spicegrp" not in groups(changing)
    assert rights(changing) == (0, changing.machine.group_id("consoles"), 0o750)
    assert override(changing, SECOND) == f"root consoles 750 {SECOND}\n"


def test_group_and_viewer_change_at_once(changing):
    declare(changing, path="/usr/bin/remote-viewer", group="consoles")
    changed(changing)
    assert rights(changing) == changing.before
    assert "spicegrp" not in groups(changing)


def test_group_of_the_site_stays(client):
    """One that was there before the first run is not ours to remove."""
    client.machine.run(["groupadd", "--system", "spicegrp"])
    client.apply()
    declare(client, group="consoles")
    assert "removes group spicegrp" not in changed(client)
    assert "spicegrp" in groups(client)


def test_group_that_the_site_makes_later_stays(changing):
    """Once ours is gone, its name means nothing to us."""
    declare(changing, group="consoles")
    changing.apply()
    changing.machine.run(["groupadd", "--system", "spicegrp"])
    assert changing.apply()["changes"] == {}
    changing.minion.call("spice_grant.remove")
    assert "spicegrp" in groups(changing) and "consoles" not in groups(changing)


@pytest.mark.parametrize("then", ["run", "removal", "change back"])
def test_group_that_could_not_be_removed_is_not_forgotten(changing, then):
    """It is some user's own for the moment: the run fails and says so; the next one, or the removal, takes it away."""
    changing.machine.add_user("guest", gid=changing.machine.group_id("spicegrp"))
    declare(changing, group="consoles")
    changing.minion.set_pillar(changing.pillar)
    (state,) = changing.minion.state().values()
    assert state["result"] is False
    assert "cannot remove the primary group of user 'guest'" in state["comment"]
    changing.machine.run(["userdel", "guest"])
    if then == "run":
        assert changed(changing) == ["removes group spicegrp"]
    if then == "change back":
        declare(changing, group="spicegrp")
        assert changed(changing)[-1] == "removes group consoles"
        assert json.loads(changing.machine.read("/var/lib/spice-grant/state.json"))["made_group"] is True
    if then == "removal":
        assert changing.minion.call("spice_grant.remove")["errors"] == []
        assert not {"spicegrp", "consoles"} & groups(changing)
