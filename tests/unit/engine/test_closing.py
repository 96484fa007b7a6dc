"""Sessions that end by themselves while layers close are said as they were predicted."""

import pytest

from spicegrants.engine import closing as host
from spicegrants.engine import layers
from spicegrants.expiry.live import notify
from spicegrants.firewall.connections import Connection
from spicegrants.firewall.live import sockets
from spicegrants.policy import closing
from spicegrants.policy.layer import CloseResult
from unit.build import policy
from unit.policy.test_closing import asked, recalled, stored


@pytest.fixture
def open_until_closed(monkeypatch):
    """A session that the kernel resets as soon as the guard has closed, and layers that do nothing else."""
    session = Connection(("192.168.2.22", 40000), ("192.168.2.2", 20002), 1021)
    there = [session]

    def closes(*arguments):
        if not arguments[-1]:
            there.clear()
        return CloseResult()

    for layer in layers.ALL:
        monkeypatch.setattr(type(layer), "close", closes)
    monkeypatch.setattr(sockets, "connections", lambda: list(there))
    monkeypatch.setattr(sockets, "hindrance", lambda: "")
    monkeypatch.setattr(sockets, "end", lambda found: None)
    monkeypatch.setattr(notify, "tell", lambda *arguments: None)


@pytest.mark.usefixtures("open_until_closed")
def test_what_is_predicted_is_said():
    kept, _ = stored()
    found = closing.certain(kept, asked(kept, policy(**{"grants__myself-debianx": ...})))
    desired, was = recalled(kept, found), recalled(kept, kept)
    predicted, real = (host.layers(desired, was, whole=False, test=test) for test in (True, False))
    assert predicted == real and "ends" in str(real.changes)
