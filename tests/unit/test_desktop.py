"""What is said to users whose sessions were ended."""

import pytest

from spicegrants.host import desktop
from spicegrants.sessions import Connection
from unit.build import wanted

LOCAL = ("192.168.2.22", 40000)


def ended(uid, port, address="192.168.2.2"):
    return Connection(LOCAL, (address, port), uid)


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (ended(1022, 20002), "Your access to the console of VM debianx was removed."),
        (ended(1021, 20002), "The rules for the console of VM debianx have changed: open it again."),
        (ended(1021, 20009), "Your access to the console at 192.168.2.2 port 20009 was removed."),
        (ended(1021, 20002, "fd00:2::9"), "Your access to the console at fd00:2::9 port 20002 was removed."),
    ],
    ids=["revoked", "still granted", "no such vm any more", "no such address any more"],
)
def test_sentence(connection, said):
    """A user is named his vm; who still has it is not told that he lost it."""
    assert desktop.notices(wanted(), [connection]) == {connection.uid: said}


def test_one_message_for_each_user():
    """A viewer has several connections, and a user may lose several consoles at once."""
    connections = [ended(1023, port) for port in (20004, 20002, 20004, 20002)] + [ended(1022, 20002)]
    assert desktop.notices(wanted(), connections) == {
        1023: "Your access to the console of VM debianx was removed.\n"
        "Your access to the console of VM leaptest was removed.",
        1022: "Your access to the console of VM debianx was removed.",
    }


def test_nothing_ended_nothing_said():
    assert desktop.notices(wanted(), []) == {}
