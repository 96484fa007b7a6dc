"""Users and groups that cannot be granted anything: each costs its own grants and no others."""

import pytest

from functional.office import OPEN, changed, difference, said
from scenes import ADDRESS, GROUP, article

# Users of whom none can be granted anything: how they come to be, and what is said about them.
UNFIT = {
    "leaver": ([], "no user 'leaver' on this machine"),
    "toor": (["useradd --non-unique --uid 0 toor"], "user 'toor' has UID 0"),
    "insider": ([f"useradd --uid 1030 --gid {GROUP} insider"], "the primary group of user 'insider'"),
    "twin": (["useradd --uid 1031 twin", "useradd --badname --uid 1999 1031"], "an account is named '1031'"),
    "namesake": (["useradd --uid 1032 namesake", "sed -i $a1032:x:1998: /etc/group"], "an account is named '1032'"),
}


@pytest.mark.parametrize("by", ["user", "group"])
def test_bad_users_cost_only_their_own_grants(granted, by):
    """Users who cannot be granted anything: the run fails and names each, also with test=True, and enforces others."""
    client = granted.client
    for commands, _ in UNFIT.values():
        for command in commands:
            client.run(command.split())
    grants = article()["spice"]["grants"]
    if by == "group":
        line = "accounting:x:1500:"
        text = client.read("/etc/group").replace(line, line + ",".join(["mybro", *UNFIT]))
        client.path("/etc/group").write_text(text, encoding="utf-8")
        grants["books"] = {"group": "accounting", "vm": "debianx"}
    else:
        grants.update({f"g-{name}": {"user": name, "vm": "debianx"} for name in ("mybro", *UNFIT)})
    granted.minion.set_pillar(changed(article(), grants=grants))
    dry, real = granted.apply(test=True), granted.apply()
    for result in (dry, real, granted.apply()):
        assert result["result"] is False
        lines = said(result).splitlines()
        for name, (_, words) in UNFIT.items():
            where = "spice:grants:books:group: " if by == "group" else f"spice:grants:g-{name}:user: "
            assert any(where in line and words in line for line in lines), (name, lines)
    assert real["changes"] == dry["changes"]
    assert granted.openings() == OPEN | {("mybro", GROUP, ADDRESS, 20002)}
    for name in UNFIT:
        if name not in ("leaver", "toor"):
            assert granted.reach(name, GROUP, ADDRESS, 20002) == "refused"


def test_users_who_left_lose_their_grants(granted):
    """When an account is deleted its rules go with the next run, before somebody else gets its number."""
    granted.client.run(["userdel", "--remove", "myself"])
    result = granted.apply()
    assert result["result"] is False
    assert "no user 'myself' on this machine" in result["comment"]
    granted.client.add_user("next", 1021, "Nx-1")
    assert granted.reach("next", GROUP, ADDRESS, 20002) == "refused"
    assert granted.reach("mybro", GROUP, ADDRESS, 20004) == "open"
    assert granted.client.run(["rviewer", "--list"], user="next", check=False).returncode == 1


def test_a_group_that_is_not_here_costs_only_its_own_grants(shared):
    """An unknown group: the run fails, it is named, the others are enforced."""
    grants = {**article()["spice"]["grants"], "x": {"group": "nobodies", "vm": "debianx"}}
    result = shared.apply(changed(article(), grants=grants))
    assert result["result"] is False
    assert "spice:grants:x:group: no group 'nobodies' on this machine" in result["comment"]
    assert shared.openings() == OPEN


# The viewer's group


def test_a_group_with_members_is_not_taken_over(office):
    """A group of that name that exists with members is somebody's: nothing is changed, and they are named."""
    office.client.run(["groupadd", GROUP])
    office.client.run(["gpasswd", "--add", "nogrant", GROUP])
    before = office.snapshot()
    for test in (True, False):
        result = office.apply(test=test)
        assert (result["result"], result["changes"]) == (False, {})
        assert "spice:viewer:group" in result["comment"]
        assert "nogrant" in result["comment"]
    assert not difference(before, office.snapshot())


def test_an_empty_group_is_used(office):
    """A group of that name without members will do."""
    office.client.run(["groupadd", "--gid", "1777", GROUP])
    office.applied()
    assert office.gid() == 1777
    assert office.openings() == OPEN


def test_a_user_whose_primary_group_is_the_viewers_is_reported(granted):
    """Users whose primary group it is could start the viewer themselves: the run fails and names them."""
    granted.client.run(["useradd", "--uid", "1030", "--gid", GROUP, "insider"])
    result = granted.apply()
    assert result["result"] is False
    assert "insider" in result["comment"]
    assert granted.openings() == OPEN
