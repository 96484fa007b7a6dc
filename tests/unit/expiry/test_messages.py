"""What is said to users whose sessions were ended, or are about to end."""

import pytest

from spicegrants.expiry import deadlines, messages
from spicegrants.expiry.deadlines import Deadline, Notice
from spicegrants.firewall.connections import Connection
from spicegrants.policy.access import Access
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import Loan, Lock, Temporary
from spicegrants.schedule import instants
from unit.build import desired, inventory, policy

LOCAL = ("192.168.2.22", 40000)
USERS = {1021: "myself", 1022: "mybro", 1023: "guest"}
ZONE = "Europe/Berlin"


def ended(uid, port, address="192.168.2.2"):
    return Connection(LOCAL, (address, port), uid)


@pytest.mark.parametrize(
    ("connection", "sentence"),
    [
        (ended(1022, 20002), "Your access to the console of VM debianx was removed."),
        (ended(1021, 20002), "The rules for the console of VM debianx have changed: open it again."),
        (ended(1021, 20009), "Your access to the console at 192.168.2.2 port 20009 was removed."),
        (ended(1021, 20002, "fd00:2::9"), "Your access to the console at fd00:2::9 port 20002 was removed."),
    ],
    ids=["revoked", "still granted", "no such vm any more", "no such address any more"],
)
def test_sentence_for_what_was_taken_away(connection, sentence):
    """The message names the vm; users who still have it are not told that they lost it."""
    assert messages.end_messages(desired(), [connection], USERS) == {connection.uid: sentence}


def test_one_message_for_each_user():
    """A viewer has several connections, and a user may lose several consoles at once."""
    connections = [ended(1023, port) for port in (20004, 20002, 20004, 20002)] + [ended(1022, 20002)]
    assert messages.end_messages(desired(), connections, USERS) == {
        1023: "Your access to the console of VM debianx was removed.\n"
        "Your access to the console of VM leaptest was removed.",
        1022: "Your access to the console of VM debianx was removed.",
    }


def test_nothing_ended_nothing_said():
    assert messages.end_messages(desired(), [], USERS) == {}
    assert messages.warning_messages(desired(), []) == {}


def at(text):
    return instants.parse_moment(text, ZONE)


def compiled(now, grant=None, temporary=None, previous=(), **changes):
    """The article's policy with other terms for myself, at a moment of Berlin's."""
    changes = {"time": {"zone": ZONE}, **changes}
    if grant is not None:
        changes["grants__myself-debianx"] = {"user": "myself", "vm": "debianx", **grant}
    moment = at(now)
    return compile_policy(
        policy(**changes), inventory(), previous, (), temporary or Temporary(), moment, moment // 86400 * 86400
    )


def why(*arguments, **options):
    return messages.end_messages(compiled(*arguments, **options), [ended(1021, 20002)], USERS)[1021]


EVENINGS = {"days": ["tue"], "hours": ["16:00-18:00"]}
LOAN = Loan("myself", "debianx", at("2026-11-24T10:00"), at("2026-11-24T12:00"))
NONE = {"schedules": {"evenings": EVENINGS}, "grants__myself-debianx": ...}


def test_sentence_for_a_window():
    sentence = why("2026-11-24T18:00", {"schedule": "evenings"}, schedules={"evenings": EVENINGS})
    assert sentence == (
        "The window for the console of VM debianx has ended. It opens again Tue 2026-12-01 16:00 Europe/Berlin."
    )


def test_sentence_for_the_last_window():
    last = {"schedule": "evenings", "valid_until": "2026-11-25"}
    sentence = why("2026-11-24T18:00:01", last, schedules={"evenings": EVENINGS})
    assert sentence == "The window for the console of VM debianx has ended."


def test_sentence_for_a_grant_that_ran_out():
    assert why("2026-11-24T18:00", {"valid_until": "2026-11-24T18:00"}) == (
        "Your access to the console of VM debianx has ended."
    )


def test_sentence_for_what_has_not_begun():
    """A grant of today was changed into one of tomorrow."""
    assert why("2026-11-24T18:00", {"valid_from": "2026-11-25"}) == (
        "The console of VM debianx is closed now. It opens again Wed 2026-11-25 00:00 Europe/Berlin."
    )


def test_sentence_for_a_loan():
    lent = Temporary((LOAN,))
    assert why("2026-11-24T12:00", None, lent, **NONE) == "The loan of the console of VM debianx has ended."


def test_sentence_for_a_loan_beside_a_window():
    """It is the loan that has ended; the grant says what comes next."""
    sentence = why("2026-11-24T12:00", {"schedule": "evenings"}, Temporary((LOAN,)), schedules={"evenings": EVENINGS})
    assert sentence == (
        "The loan of the console of VM debianx has ended. It opens again Tue 2026-11-24 16:00 Europe/Berlin."
    )


def test_sentence_for_a_loan_that_was_taken_back():
    """Nothing but the run before knows of it."""
    before = [Access("myself", 1021, "debianx", (LOAN.name,))]
    assert why("2026-11-24T11:00", None, None, before, **NONE) == "The loan of the console of VM debianx has ended."


@pytest.mark.parametrize(
    ("lock", "sentence"),
    [
        (Lock("user", "myself", "left"), "Your access to the console of VM debianx is locked."),
        (Lock("vm", "debianx", "restored"), "VM debianx is locked."),
        (Lock("all"), "VM debianx is locked."),
        (Lock("user", "mybro"), "The rules for the console of VM debianx have changed: open it again."),
    ],
    ids=["user", "vm", "all", "somebody else"],
)
def test_sentence_for_a_lock(lock, sentence):
    """Its reason is for those who administer."""
    assert why("2026-11-24T11:00", None, Temporary((), (lock,))) == sentence


def warning(now, deadline, zone=ZONE):
    made = compiled(now, time={"zone": zone} if zone else {})
    return messages.warning_messages(made, [Notice(1021, "debianx", deadline)])[1021]


END = at("2026-11-24T18:00")


def test_warning_of_a_cut():
    assert warning("2026-11-24T17:45", Deadline(0, END, END)) == (
        "The console of VM debianx closes at 18:00, in 15 minutes."
    )


def test_warning_where_what_is_open_drains():
    """It is not called a cut: what is open goes on, for as long as it likes or until its grace is over."""
    assert warning("2026-11-24T17:45", Deadline(0, END, None)) == (
        "The console of VM debianx closes at 18:00, in 15 minutes. What you have open there may go on, but it cannot "
        "be opened again."
    )
    assert warning("2026-11-24T17:45", Deadline(0, END, END + 1800)) == (
        "The console of VM debianx closes at 18:00, in 15 minutes. What you have open there may go on until 18:30."
    )


def test_warning_of_the_end_of_a_grace():
    assert warning("2026-11-24T17:58", Deadline(0, END, END, closes=False)) == (
        "Your session at the console of VM debianx ends at 18:00, in 2 minutes."
    )


def test_warning_without_a_zone():
    assert "closes at 17:00 UTC, in" in warning("2026-11-24T17:45", Deadline(0, END, END), None)


def test_warning_speaks_in_the_zone_of_a_schedule_if_there_is_no_other():
    elsewhere = {"evenings": {**EVENINGS, "zone": "Asia/Kolkata"}}
    made = compiled("2026-11-24T17:45", {"schedule": "evenings"}, schedules=elsewhere, time={})
    sentence = messages.warning_messages(made, [Notice(1021, "debianx", Deadline(0, END, END))])[1021]
    assert "closes at 22:30, in 15 minutes" in sentence


def test_warning_names_the_day_if_it_is_another():
    night = at("2026-11-25T00:00")
    assert "closes at 00:00 on 2026-11-25, in 15 minutes." in warning("2026-11-24T23:45", Deadline(0, night, night))


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (119, "2 minutes"),
        (899, "15 minutes"),
        (3599, "1 hour"),
        (5400, "1 hour 30 minutes"),
        (86400, "24 hours"),
    ],
)
def test_how_long_is_left(seconds, sentence):
    made = compiled("2026-11-24T10:00")
    deadline = Deadline(0, made.now + seconds, made.now + seconds)
    assert messages.warning_messages(made, [Notice(1021, "debianx", deadline)])[1021].endswith(f", in {sentence}.")


def test_several_warnings_are_one_message():
    made = compiled("2026-11-24T17:45")
    both = [Notice(1021, vm, Deadline(0, END, END)) for vm in ("leaptest", "debianx")]
    assert messages.warning_messages(made, both)[1021].splitlines() == [
        "The console of VM debianx closes at 18:00, in 15 minutes.",
        "The console of VM leaptest closes at 18:00, in 15 minutes.",
    ]


def test_what_is_due_is_what_is_said():
    """From the policy to the sentence, in one go."""
    made = compiled("2026-11-24T17:58", {"schedule": "evenings"}, schedules={"evenings": EVENINGS})
    found = deadlines.due(made, made.now - 1, {(1021, "192.168.2.2", 20002)})
    assert messages.warning_messages(made, found) == {1021: "The console of VM debianx closes at 18:00, in 2 minutes."}


def test_all_of_it_in_german():
    """Warnings with days, hours, minutes and what may go on; ends with the moment at which it opens again."""
    night = at("2026-11-25T00:00")
    made = compiled("2026-11-24T22:29", {"schedule": "evenings"}, schedules={"evenings": EVENINGS})
    notices = [
        Notice(1021, "debianx", Deadline(0, night, night + 1800)),
        Notice(1022, "leaptest", Deadline(0, made.now + 1, None)),
        Notice(1023, "leaptest", Deadline(0, made.now + 60, made.now + 60, closes=False)),
    ]
    assert messages.warning_messages(made, notices, "de") == {
        1021: "Die Konsole der VM debianx schließt um 00:00 am 2026-11-25, in 1 Stunde 31 Minuten. "
        "Was Sie dort offen haben, darf bis 00:30 am 2026-11-25 weiterlaufen.",
        1022: "Die Konsole der VM leaptest schließt um 22:29, in 1 Sekunde. "
        "Was Sie dort offen haben, darf weiterlaufen, lässt sich aber nicht neu öffnen.",
        1023: "Ihre Sitzung an der Konsole der VM leaptest endet um 22:30, in 1 Minute.",
    }
    assert messages.end_messages(made, [ended(1021, 20002)], USERS, "de") == {
        1021: "Das Zeitfenster für die Konsole der VM debianx ist zu Ende. "
        "Sie öffnet wieder Di 2026-12-01 16:00 Europe/Berlin."
    }
    assert messages.ended_title("de") == "SPICE-Konsole geschlossen"
    assert messages.ending_title("de") == "SPICE-Konsole schließt bald"
