"""A newer version of the extension, pushed to the repository from which all minions have it."""

import pytest

pytestmark = pytest.mark.full
MARKER = """

from spicegrants.core.validation import MARKER as _MARKER


def marker():
    return _MARKER
"""


def test_the_next_job_of_every_minion_runs_the_version_that_was_synced(office):
    """Without a restart; grants stay as they are, and only what holds the code itself is written anew."""
    pids = {name: client.minion.pid for name, client in office.clients.items()}
    before = {name: client.content() for name, client in office.clients.items()}
    assert "is not available" in str(office.master.salt("spice_grant.marker", check=False))
    names = office.code.path("_utils/spicegrants/core/validation.py")
    module = office.code.path("_modules/spice_grant.py")
    names.write_text(f"{names.read_text()}\nMARKER = 'N+1'\n")
    module.write_text(module.read_text() + MARKER)
    office.code.push("Version N+1")
    office.sync()
    assert office.master.salt("spice_grant.marker")[0] == dict.fromkeys(office.clients, "N+1")
    for result in office.apply().values():
        assert result["result"] is True
        assert result["changes"] == {
            "layers": {
                "firewall": ["rewrites /usr/local/lib/spice-grant/clock"],
                "viewer": ["rewrites /usr/local/lib/spice-grant/open"],
                "audit": ["rewrites /usr/local/lib/spice-grant/recorder"],
            }
        }
    assert {name: client.minion.pid for name, client in office.clients.items()} == pids
    assert {name: client.content() for name, client in office.clients.items()} == before
