"""An office of a console for each person: verify finds holes also where it was not drawn to try."""

import pytest

from functional.office import changed
from scene.consoles import Listener
from scenes import ADDRESS, GROUP, article

PEOPLE = 70
FIRST_PORT, FIRST_UID = 20101, 30000
SUDOERS = "/etc/sudoers.d/spice-grant"


def pillar():
    data = article()
    server = {**data["spice"]["servers"]["mysrv"], "addresses": [ADDRESS], "ports": "20001-20200"}
    vms = {f"vm{index}": {"server": "mysrv", "tls_port": FIRST_PORT + index} for index in range(PEOPLE)}
    grants = {f"g{index}": {"user": f"user{index}", "vm": f"vm{index}"} for index in range(PEOPLE)}
    return changed(data, servers={"mysrv": server}, vms=vms, grants=grants)


PILLAR = pillar()


def prepare(office):
    """The people, as a name service has them: made at once, without homes."""
    for path, line in (
        ("/etc/passwd", "{0}:x:{1}:100::/nonexistent:/bin/sh"),
        ("/etc/shadow", "{0}:$6$x$y:20000:0:99999:7:::"),
    ):
        lines = [line.format(f"user{index}", FIRST_UID + index) for index in range(PEOPLE)]
        office.client.write(path, office.client.read(path) + "".join(f"{each}\n" for each in lines))


@pytest.fixture
def large(shared):
    with Listener(shared.server, range(FIRST_PORT, FIRST_PORT + PEOPLE)):
        yield shared


def test_everybody_gets_into_their_own_and_nobody_else(large):
    answer = large.verify()
    assert (answer["ok"], answer["differences"], answer["unproven"]) == (True, [], [])
    cells = {(user, vm): cell for user, row in answer["matrix"].items() for vm, cell in row.items()}
    own = {(f"user{index}", f"vm{index}") for index in range(PEOPLE)}
    assert own < set(cells)
    for pair, cell in cells.items():
        granted, opened = (True, "open") if pair in own else (False, "denied")
        assert (cell["granted"], cell["viewer group"], cell["own program"]) == (granted, opened, "denied")
        assert cell["sudo"] in ("allowed" if granted else "refused", "not asked")
    assert {vm for _, vm in set(cells) - own} == {f"vm{index}" for index in range(PEOPLE)}
    number = (PEOPLE + 1) * PEOPLE
    assert answer["left_out"][0].startswith(f"{len(cells):,} of {number:,} pairs of user and vm are tried")
    assert "not asked" in {cell["sudo"] for cell in cells.values()}


def test_of_one_user_or_console_everything_is_tried(large):
    for narrowed, number in (({"user": "user3"}, PEOPLE), ({"vm": "vm3"}, PEOPLE + 1)):
        answer = large.verify(**narrowed)
        assert (answer["ok"], answer["differences"]) == (True, [])
        assert sum(map(len, answer["matrix"].values())) == number
        assert not [what for what in answer["left_out"] if "pairs" in what]


def _unasked(answer, granted):
    """A pair for which sudo was not asked."""
    return next(
        (user, vm)
        for user, row in answer["matrix"].items()
        for vm, cell in row.items()
        if cell["sudo"] == "not asked" and cell["granted"] is granted
    )


def test_a_sudo_rule_that_is_missing_is_found_though_sudo_is_not_asked_for_it(large):
    user, _ = _unasked(large.verify(), True)
    lines = large.client.read(SUDOERS).splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"{user} ")]
    assert len(kept) < len(lines)
    large.client.write(SUDOERS, "".join(kept), mode=0o440)
    answer = large.verify()
    assert answer["ok"] is False
    assert [what for what in answer["differences"] if what.startswith("sudo: ")]


def test_an_element_that_is_missing_or_too_many_is_found(large):
    user, vm = _unasked(large.verify(), False)
    uid, port = FIRST_UID + int(user[4:]), FIRST_PORT + int(vm[2:])
    gid = large.client.group_id(GROUP)
    large.nft("add", "element", "inet", "spice_grant", "grants4", f"{{ {uid} . {gid} . {ADDRESS} . {port} : accept }}")
    answer = large.verify()
    assert f"{user} x {vm}: {ADDRESS} is open with the viewer's group" in answer["differences"]
    assert [what for what in answer["differences"] if what.startswith("firewall: ")]
    large.applied()
    own = f"{{ {FIRST_UID + 5} . {gid} . {ADDRESS} . {FIRST_PORT + 5} }}"
    large.nft("delete", "element", "inet", "spice_grant", "grants4", own)
    answer = large.verify()
    assert f"user5 x vm5: {ADDRESS} is denied with the viewer's group" in answer["differences"]


def test_each_account_is_asked_of_pam(large):
    """Also those whose call is not made as far as the viewer."""
    expired = {f"user{index}" for index in range(0, PEOPLE, 5)}
    for user in expired:
        large.client.run(["chage", "-E", "1", user])
    answer = large.verify()
    for user in expired:
        large.client.run(["chage", "-E", "-1", user])
    refused = [what for what in answer["differences"] if "sudo refuses the account" in what]
    assert {what.partition(":")[0] for what in refused} == expired
