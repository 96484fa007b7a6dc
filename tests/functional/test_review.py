"""The review of one machine: what it says of real accounts, groups, sudo rules and the record; it changes nothing."""

import pytest

from functional.office import FILES, changed, difference
from scene import SaltError
from scenes import article
from spicegrants.core.paths import RECORD, RECORD_FILE
from spicegrants.record import events
from spicegrants.schedule import instants

pytestmark = pytest.mark.salt

SITE = "/etc/sudoers.d/site"


@pytest.fixture
def review(shared):
    """Return the rows by user and vm, and what is not known."""

    def asked(**arguments):
        found = shared.minion.call("spice_grant.review", **arguments)
        rows = {(row["user"], row["vm"]): row for row in found if row["vm"]}
        return rows, [row["why"] for row in found if not row["vm"]]

    return asked


def flags(rows):
    return {pair: row["flags"] for pair, row in rows.items()}


USUAL = {("mybro", "leaptest"): ["never used", "no owner", "no end"]}
USUAL["myself", "debianx"] = USUAL["mybro", "leaptest"]


def test_each_access_has_a_row_and_nothing_changes(shared, review):
    before = shared.snapshot()
    rows, unknown = review()
    assert flags(rows) == USUAL and unknown == []
    row = rows["myself", "debianx"]
    assert row["desks"] == [shared.minion.id] and row["grants"] == {"myself-debianx": {"when": "always"}}
    (window,) = row["windows"]
    length = instants.seconds(window["until"]) - instants.seconds(window["from"])
    assert (window["kind"], length) == ("window", 7 * 86400)
    assert not difference(before, shared.snapshot())


def test_people_read_a_table(shared):
    shown = shared.minion.salt_call("spice_grant.review").stdout
    assert shown.splitlines()[1] == "  2 rows: 2 never used, 2 no owner, 2 no end"


def test_what_is_declared_says_who_and_until_when(shared, review):
    about = {"owner": "accounting", "reason": "year-end", "ticket": "T-1"}
    books = {"group": "accounting", "vm": "debianx", "valid_until": "2099-01-01T00:00Z", **about}
    old = {"user": "nogrant", "vm": "leaptest", "valid_until": "2021-01-01T00:00Z"}
    shared.client.run(["gpasswd", "--add", "nogrant", "accounting"])
    shared.applied(changed(article(), grants={**article()["spice"]["grants"], "books": books, "old": old}))
    rows, _ = review()
    found = rows["nogrant", "debianx"]
    assert (found["groups"], found["flags"]) == (["accounting"], ["never used"])
    end = {"when": "until Thu 2099-01-01 00:00 UTC", "valid_until": "2099-01-01T00:00:00Z"}
    assert found["grants"] == {"books": {**end, **about, "group": "accounting"}}
    assert rows["nogrant", "leaptest"]["flags"] == ["ended", "never used", "no owner"]
    shared.client.run(["gpasswd", "--delete", "nogrant", "accounting"])
    rows, _ = review()
    assert rows["", "debianx"]["flags"] == ["gives nothing"]
    assert rows["", "debianx"]["why"] == "nobody is in group accounting"


def test_who_left_is_seen_before_and_after_the_account_goes(shared, review):
    """As real tools leave accounts; and what was locked is there again when it is put right."""
    client = shared.client
    client.run(["useradd", "--uid", "1040", "--password", "x", "leaver"])
    grants = {**article()["spice"]["grants"], "last": {"user": "leaver", "vm": "debianx"}}
    shared.applied(changed(article(), grants=grants))
    assert "user disabled" not in review()[0]["leaver", "debianx"]["flags"]
    for away, back, why in (
        (["usermod", "--lock"], ["usermod", "--unlock"], "its password is locked"),
        (["usermod", "--expiredate", "2021-01-01"], ["usermod", "--expiredate", ""], "its account has expired"),
        (
            ["usermod", "--shell", "/usr/sbin/nologin"],
            ["usermod", "--shell", "/bin/sh"],
            "its shell is /usr/sbin/nologin",
        ),
    ):
        client.run([*away, "leaver"])
        found = review()[0]["leaver", "debianx"]
        assert found["flags"][0] == "user disabled" and found["why"] == why
        client.run([*back, "leaver"])
        assert "user disabled" not in review()[0]["leaver", "debianx"]["flags"]
    client.run(["userdel", "leaver"])
    found = review()[0]["leaver", "debianx"]
    assert found["flags"] == ["gives nothing", "no owner", "no end"] and "no user 'leaver'" in found["why"]


@pytest.mark.parametrize("who", ["myself", "%accounting"])
def test_whom_sudo_makes_as_good_as_root(shared, review, who):
    """By name or group, also as one of pillar's admins; what lets somebody do less does not."""
    client = shared.client
    client.run(["gpasswd", "--add", "myself", "accounting"])
    client.write(SITE, f"{who} ALL=(ALL:ALL) ALL\nmybro ALL=(root) /usr/bin/apt-get update\n", 0o440)
    shared.applied(changed(article(), sudo={"admins": [who]}))
    assert flags(review()[0]) == {**USUAL, ("myself", "debianx"): ["as good as root", *USUAL["myself", "debianx"]]}
    client.run(["rm", SITE])
    client.run(["gpasswd", "--delete", "myself", "accounting"])
    assert flags(review()[0]) == USUAL


def recorded(moment, kind, **fields):
    return events.event(kind, moment, None, **fields)


def test_the_record_tells_who_did(shared, review):
    """Sessions and refusals of the last days; what of the file is damaged is said, and hinders nothing."""
    now = int(shared.client.run(["date", "+%s"]).stdout)
    about = {"session": "a", "user": "myself", "uid": 1021, "vm": "debianx"}
    found = [
        recorded(now - 200 * 86400, events.ENDED, **{**about, "session": "b"}, start=instants.iso(now - 201 * 86400)),
        recorded(now - 7200, events.OPENED, **about),
        recorded(now - 5400, events.REFUSED, user="myself", uid=1021, vm="debianx", by="opener", why="no", count=4),
        recorded(now - 3600, events.ENDED, **about, start=instants.iso(now - 7200)),
    ]
    text, after = b"", events.NOTHING
    for each in found:
        line = events.line(each, after)
        text, after = text + line, events.digest(line)
    shared.client.write(RECORD_FILE, text, 0o640)
    rows, unknown = review()
    row = rows["myself", "debianx"]
    assert (row["sessions"], row["refusals"], row["last_used"]) == (1, 4, instants.iso(now - 3600))
    assert row["used"] == [{"from": instants.iso(now - 7200), "until": instants.iso(now - 3600)}]
    assert row["flags"] == ["no owner", "no end"] and unknown == []
    assert flags(rows)["mybro", "leaptest"] == USUAL["mybro", "leaptest"]
    assert review(since="365d")[0]["myself", "debianx"]["sessions"] == 2
    shared.client.write(RECORD_FILE, text + b"{\n", 0o640)
    rows, unknown = review()
    assert rows["myself", "debianx"]["sessions"] == 1
    assert unknown[0] == f"{RECORD}: 1 line(s) are damaged"
    shared.client.run(["ln", "-sf", FILES["debianx"], RECORD_FILE])
    rows, (why,) = review()
    assert rows["myself", "debianx"]["flags"] == ["no owner", "no end"] and "cannot be read" in why
    shared.client.run(["rm", RECORD_FILE])


def test_where_no_record_is_kept_nothing_is_said_of_use(shared, review):
    shared.applied(changed(article(), audit={"enabled": False}))
    rows, unknown = review()
    assert set(map(tuple, flags(rows).values())) == {("no owner", "no end")}
    assert unknown == ["no record is kept here: pillar says so"]


def test_a_lock_is_said(shared, review):
    shared.minion.call("spice_grant.lock", "myself", reason="left")
    row = review()[0]["myself", "debianx"]
    assert row["why"] == "user myself is locked (left)" and row["windows"][-1]["kind"] == "lock"
    shared.minion.call("spice_grant.unlock", "myself")


def test_what_is_wrong_is_said(shared, office):
    with pytest.raises(SaltError, match="since: 'soon' is neither a duration, as 90d, nor a moment, as 2026-11-24"):
        shared.minion.call("spice_grant.review", since="soon")
    with pytest.raises(SaltError, match="no policy has been applied on this minion yet"):
        office.minion.call("spice_grant.review")
