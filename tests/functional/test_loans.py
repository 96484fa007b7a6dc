"""Loans: a console lent on the machine itself, with an end that nothing has to see to."""

import time

import pytest

from functional.clients import TALK, running, say
from functional.office import FILES, STATE, changed, sentences
from scene.minion import SaltError
from scenes import ADDRESS, GROUP, article
from soon import in_time, wait

MECHANISMS = ["nftables", "iptables-nft"]
PILLAR = article()
PILLAR["spice"]["time"] = {"zone": "Europe/Berlin", "longest_loan": "2h"}
OPEN = {("myself", GROUP, ADDRESS, 20002), ("mybro", GROUP, ADDRESS, 20004)}
LENT = ("nogrant", GROUP, ADDRESS, 20002)


@pytest.fixture
def call(shared):
    """Call a function of the office's minion; what was lent is taken back afterwards."""
    yield shared.minion.call
    for loan in shared.minion.call("spice_grant.loans"):
        shared.minion.call("spice_grant.end_loan", loan["user"], loan["vm"])


@pytest.mark.salt
def test_a_loan_opens_every_layer_and_lasts(shared, call):
    """It holds over highstates and a boot, is listed apart, and is taken back before its time."""
    report = call("spice_grant.lend", "nogrant", "debianx", "1h30m", reason="year-end", nopasswd=True)
    assert report["errors"] == []
    assert report["event"] is False  # Nobody to send it to.
    assert set(report["changes"]["grants"]["loan:nogrant:debianx"]) == {
        "policy",
        "firewall",
        "sudo",
        "viewer",
    }
    assert "lends debianx to nogrant until " in sentences(report["changes"])
    assert shared.openings() == OPEN | {LENT}
    assert shared.opens("nogrant", FILES["debianx"], password=None)
    assert shared.applied()["changes"] == {}
    shared.mechanism.delete(shared)
    shared.client.run(["/bin/sh", "/usr/local/lib/spice-grant/load-guard"])
    assert shared.openings() == OPEN | {LENT}
    assert shared.verify()["differences"] == []
    (loan,) = call("spice_grant.loans")
    assert (loan["user"], loan["vm"], loan["reason"], loan["locked"]) == ("nogrant", "debianx", "year-end", False)
    assert loan["until"].endswith("Europe/Berlin")
    (entry,) = [entry for entry in call("spice_grant.list") if entry["user"] == "nogrant"]
    assert entry["grants"]["loan:nogrant:debianx"]["loan"] is True
    assert entry["state"] == f"open until {loan['until']}"
    answer = call("spice_grant.explain", "nogrant", "debianx")
    assert answer["answer"] == "may open"
    assert "loan (" in answer["policy"]["why"] and "year-end" in answer["policy"]["why"]
    report = call("spice_grant.end_loan", "nogrant", "debianx")
    assert "ends the loan of debianx to nogrant" in sentences(report["changes"])
    assert shared.openings() == OPEN
    assert call("spice_grant.loans") == []
    with pytest.raises(SaltError, match="'debianx' is not lent to 'nogrant'; lent is nothing"):
        call("spice_grant.end_loan", "nogrant", "debianx")


def test_a_loan_ends_by_itself(shared, call):
    """In the kernel and in sudo, with nothing of ours running; the next run has nothing to say, nor to clean up."""

    def play(seconds):
        start = time.time()
        call("spice_grant.lend", "nogrant", "debianx", f"{seconds}s")
        end = time.time() + seconds
        with running(shared.client, TALK, ADDRESS, 20002, user="nogrant", group=GROUP) as session:
            answers = session.stdout.readline().strip(), say(session, "hello")
            wait(start + seconds - 1)
            assert answers == ("open", "answered")
            time.sleep(end + 0.2 - time.time())
            assert say(session, "still there?") == "ended"

    in_time(play, 12)
    assert shared.reach("nogrant", GROUP, ADDRESS, 20002) == "refused"
    assert not shared.opens("nogrant", FILES["debianx"])
    assert shared.applied()["changes"] == {}
    assert call("spice_grant.loans") == []
    assert shared.verify()["differences"] == []


def test_a_loan_beside_a_grant_changes_nothing_of_it(shared, call):
    """When it ends the grant still holds, and so does the session."""

    def play(seconds):
        call("spice_grant.lend", "myself", "debianx", f"{seconds}s")
        end = time.time() + seconds
        with running(shared.client, TALK, ADDRESS, 20002, user="myself", group=GROUP) as session:
            assert session.stdout.readline().strip() == "open"
            wait(end + 0.5)
            assert say(session, "still there?") == "answered"

    in_time(play, 8)
    assert shared.openings() == OPEN


def test_a_second_loan_replaces_the_first(shared, call):
    """Its cap counts from now."""
    call("spice_grant.lend", "nogrant", "debianx", "2h")
    (first,) = call("spice_grant.loans")
    call("spice_grant.lend", "nogrant", "debianx", "5m")
    (second,) = call("spice_grant.loans")
    assert (first["left"] > "1h", second["left"].startswith(("5m", "4m"))) == (True, True)


def test_a_lock_beats_a_loan(shared, call):
    """One that is there before, and one that comes later."""
    call("spice_grant.lock", user="nogrant")
    call("spice_grant.lend", "nogrant", "debianx", "1h")
    assert call("spice_grant.loans")[0]["locked"] is True
    assert shared.openings() == OPEN
    call("spice_grant.unlock", user="nogrant")
    assert shared.openings() == OPEN | {LENT}
    call("spice_grant.lock", vm="debianx")
    assert LENT not in shared.openings()
    call("spice_grant.unlock", vm="debianx")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("nogrant", "debianx", "2h1s"), "duration: '2h1s' is not between 1s and 2h, pillar's spice:time:longest_loan"),
        (("nogrant", "debianx", "0s"), "duration: '0s' is not between 1s and 2h"),
        (("nogrant", "debianx", "-1h"), "duration: '-1h' is no duration, as 2h or 1h30m"),
        (("nogrant", "debianx", 3600), "duration: 3600 (int) is no duration"),
        (("nogrant", "debian", "1h"), "vm: no vm 'debian', did you mean 'debianx'?"),
        (("nogarnt", "debianx", "1h"), "user: no user 'nogarnt', did you mean 'nogrant'?"),
        (("root", "debianx", "1h"), "root needs no loan"),
        (("no grant", "debianx", "1h"), "not a usable account name"),
    ],
)
def test_a_wrong_loan_is_an_error_and_opens_nothing(keeper, shared, call, arguments, message):
    """All that is wrong is said, and nothing is stored."""
    with pytest.raises(SaltError) as error:
        call("spice_grant.lend", *arguments)
    assert message in str(error.value)
    assert not keeper.traces()


def test_nothing_may_be_lent_where_pillar_says_so(shared, call):
    """longest_loan: 0s."""
    shared.applied(changed(PILLAR, time={"longest_loan": "0s"}))
    with pytest.raises(SaltError, match="nothing may be lent here"):
        call("spice_grant.lend", "nogrant", "debianx", "1s")


def test_a_loan_to_an_account_that_goes_is_an_error_and_costs_nobody_else_anything(shared, call):
    """As a grant of such an account is."""
    shared.client.run(["useradd", "--uid", "1044", "temp"])
    call("spice_grant.lend", "temp", "debianx", "1h")
    shared.client.run(["userdel", "temp"])
    result = shared.apply()
    assert result["result"] is False
    assert "loan:temp:debianx: no user 'temp' on this machine" in result["comment"]
    assert shared.openings() == OPEN
    call("spice_grant.end_loan", "temp", "debianx")
    assert shared.applied()["changes"] == {}


def test_loans_are_roots_own_affair(shared, call):
    """What is stored of them nobody else can read."""
    call("spice_grant.lend", "nogrant", "debianx", "1h", reason="secret affair")
    done = shared.client.run(["cat", STATE], user="nogrant", check=False)
    assert done.returncode != 0 and "secret affair" not in done.stdout
