"""What programs print and files hold has another form than today: runs say so, never succeed, and show no traceback.

First seen: inputs drawn by the hundred (`faults/test_odd_inputs.py`).
"""

import pytest
from faults import breakage
from functional.office import OPEN

from scenes import ADDRESS, GROUP, article

PILLAR = article()
PILLAR["spice"]["routing"] = {"enabled": True}
MEMBERS = ("priority", "ifname", "chain", "elem", "concat", "flags", "ifindex")


@pytest.mark.turns(3)
@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("program", ["ip", "nft"])
def test_json_with_a_member_of_another_name(shared, program, member):
    """A lock gets through as far as it can; what hinders it is said as such."""
    script = f"""PATH.away "$@" | sed 's/"{member}"/"{member}s"/g'"""
    with breakage.program(shared.client, program, script):
        answer, code = shared.minion.call_raw("spice_grant.lock", user="myself")
        assert ("myself", GROUP, ADDRESS, 20002) not in shared.openings()
        assert code == (1 if answer["errors"] else 0)
    shared.minion.call("spice_grant.unlock", user="myself")


def test_a_mode_that_is_none(shared):
    """As dpkg-statoverride prints it."""
    with breakage.program(shared.client, "dpkg-statoverride", "PATH.away \"$@\" | sed 's/0*750/7x0/'"):
        result = shared.apply()
    assert result["result"] is False and "dpkg-statoverride printed something else than it does" in result["comment"]


def test_a_main_file_of_sudo_that_ends_early(shared):
    """It parses no more, and what it included is not included: the run fails, since nobody gets in."""
    text = shared.client.read("/etc/sudoers")
    with breakage.file(shared.client, "/etc/sudoers", text[: text.index("Defaults") + 8].encode()):
        result = shared.apply()
    assert result["result"] is False
    assert "sudo does not heed /etc/sudoers.d/spice-grant: its rules have no effect" in result["comment"]
    shared.applied()
    assert shared.openings() == OPEN


def test_a_name_service_without_a_source_of_groups(shared):
    """The viewer's group is not known then, and is not made once more with another GID."""
    gid = shared.gid()
    with breakage.file(shared.client, "/etc/nsswitch.conf", b"passwd: files\ngroup: fiALLes\nshadow: files\n"):
        result = shared.apply()
    assert result["result"] is False
    assert f"group {GROUP} is in /etc/group, and the name service does not know it" in result["comment"]
    assert shared.gid() == gid
    shared.applied()
    assert shared.openings() == OPEN
