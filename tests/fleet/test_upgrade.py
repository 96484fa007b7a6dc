"""A newer version of the extension, pushed to the repository from which all minions have it."""

MARKER = """

from spicegrants.names import MARKER as _MARKER


def marker():
    return _MARKER
"""


def publish(office, marker):
    """Push a version whose module tells a value of its package."""
    office.code.go_back()
    names, module = (office.code.path(name) for name in ("_utils/spicegrants/names.py", "_modules/spice_grant.py"))
    names.write_text(f"{names.read_text()}\nMARKER = {marker!r}\n")
    module.write_text(module.read_text() + MARKER)
    office.code.push(f"Version {marker}")


def sync(office):
    office.master.salt_run("fileserver.update")
    office.master.salt("saltutil.sync_all")


def test_the_next_job_of_every_minion_runs_the_version_that_was_synced(office):
    """Without a restart, and what is enforced stays."""
    pids = {name: client.minion.pid for name, client in office.clients.items()}
    before = {name: client.held() for name, client in office.clients.items()}
    try:
        for marker in ("N", "N+1"):
            publish(office, marker)
            sync(office)
            assert office.master.salt("spice_grant.marker")[0] == dict.fromkeys(office.clients, marker)
        for data in office.follow().values():
            assert [(result["result"], result["changes"]) for result in data.values()] == [(True, {})]
    finally:
        office.code.go_back()
        sync(office)
    assert {name: client.minion.pid for name, client in office.clients.items()} == pids
    assert {name: client.held() for name, client in office.clients.items()} == before
