"""The clock's files: as long as systemd was not told of them, the next run has something to do."""

import pytest

from spicegrants.core.errors import CommandFailed
from spicegrants.expiry import clock_units
from spicegrants.expiry.live import clock, layer, notify
from spicegrants.firewall.live import sockets
from spicegrants.policy.layer import Plan
from unit.build import desired


@pytest.fixture
def done(monkeypatch):
    """What is done, in order; nothing is."""
    found = []
    monkeypatch.setattr(layer.disk, "make_parents", lambda path: None)
    monkeypatch.setattr(layer.disk, "write", lambda path, entry: found.append(("write", path)))
    monkeypatch.setattr(layer.disk, "remove", lambda path: found.append(("remove", path)))
    monkeypatch.setattr(layer.systemd, "reload", lambda: found.append("reload"))
    monkeypatch.setattr(clock, "start", lambda: found.append("start"))
    monkeypatch.setattr(sockets, "connections", list)
    monkeypatch.setattr(sockets, "end", lambda strays: None)
    monkeypatch.setattr(notify, "tell", lambda *arguments: None)
    return found


def applied():
    """Apply a plan that writes all files."""
    entries = clock_units.desired_entries(b"")
    layer.Expiry().apply(Plan((), desired(), layer.Steps(entries, entries[clock_units.ENABLED])))


def test_the_link_that_starts_it_at_a_boot_goes_first_and_comes_last(done):
    """So it is missing for whoever looks after a run that was killed in between."""
    applied()
    assert done[0] == ("remove", clock_units.ENABLED)
    assert done[-3:] == ["reload", "start", ("write", clock_units.ENABLED)]
    assert done.count(("write", clock_units.ENABLED)) == 1


def test_it_stays_away_where_systemd_does_not_listen(done, monkeypatch):
    def refuses():
        raise CommandFailed("no")

    monkeypatch.setattr(layer.systemd, "reload", refuses)
    with pytest.raises(CommandFailed):
        applied()
    assert ("write", clock_units.ENABLED) not in done
