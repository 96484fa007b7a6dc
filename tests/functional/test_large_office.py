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


def _unasked(answer, granted):
    """A pair for which sudo was not asked."""
    return next(
        (user, vm)
        for user, row in answer["matrix"].items()
        for vm, cell in row.items()
        if cell["sudo"] == "not asked" and cell["granted"] is granted
    )


def test_everybody_gets_into_their_own_and_whatever_differs_is_found(large):
    """One rule of sudo's and one element missing, one element too many, and accounts that have expired."""
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

    without_rule, _ = _unasked(answer, True)
    lines = large.client.read(SUDOERS).splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"{without_rule} ")]
    assert len(kept) < len(lines)
    large.client.write(SUDOERS, "".join(kept), mode=0o440)
    user, vm = _unasked(answer, False)
    gid = large.client.group_id(GROUP)
    more = f"{FIRST_UID + int(user[4:])} . {gid} . {ADDRESS} . {FIRST_PORT + int(vm[2:])}"
    large.nft("add", "element", "inet", "spice_grant", "grants4", f"{{ {more} : accept }}")
    less = f"{FIRST_UID + 5} . {gid} . {ADDRESS} . {FIRST_PORT + 5}"
    large.nft("delete", "element", "inet", "spice_grant", "grants4", f"{{ {less} }}")
    expired = {f"user{index}" for index in range(0, PEOPLE, 5)}
    for name in expired:
        large.client.run(["chage", "-E", "1", name])

    answer = large.verify()
    for name in expired:
        large.client.run(["chage", "-E", "-1", name])
    differences = answer["differences"]
    assert answer["ok"] is False
    assert [what for what in differences if what.startswith("sudo: ")], "though sudo is not asked for that rule"
    assert [what for what in differences if what.startswith("firewall: ")]
    assert f"{user} x {vm}: {ADDRESS} is open with the viewer's group" in differences
    assert f"user5 x vm5: {ADDRESS} is denied with the viewer's group" in differences
    refused = {what.partition(":")[0] for what in differences if "sudo refuses the account" in what}
    assert refused == expired, "also those whose call is not made as far as the viewer"


def test_of_one_user_or_console_everything_is_tried(large):
    for narrowed, number in (({"user": "user3"}, PEOPLE), ({"vm": "vm3"}, PEOPLE + 1)):
        answer = large.verify(**narrowed)
        assert (answer["ok"], answer["differences"]) == (True, [])
        assert sum(map(len, answer["matrix"].values())) == number
        assert not [what for what in answer["left_out"] if "pairs" in what]
