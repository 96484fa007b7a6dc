"""Everything that a run makes, the removal takes away."""

import json

UNTOUCHED = ("/etc", "/usr/local", "/usr/bin/remote-viewer", "/var/lib/dpkg/statoverride", "/var/lib/spice-grant")
# What tools keep as their own copies of files, and what changes by itself.
NOISE = ("-", ".cache", "resolv.conf")
LISTING = """
import hashlib, json, os, sys
found = {}
def note(path):
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    text = ""
    if os.path.islink(path):
        text = os.readlink(path)
    elif os.path.isfile(path):
        text = hashlib.sha256(open(path, "rb").read()).hexdigest()
    found[path] = (status.st_mode, status.st_uid, status.st_gid, text)
for top in sys.argv[1:]:
    note(top)
    for directory, _, names in os.walk(top):
        for name in names:
            note(os.path.join(directory, name))
print(json.dumps(found))
"""


def snapshot(machine):
    """Return owner, mode and content of every file that a run may touch, and the kernel's tables."""
    files = json.loads(machine.run(["/usr/bin/python3", "-c", LISTING, *UNTOUCHED]).stdout)
    kept = {path: rest for path, rest in files.items() if not path.endswith(NOISE)}
    return kept, machine.run(["nft", "list", "ruleset"]).stdout


def removed(client, test=False):
    (state,) = client.minion.state("spice.absent", test=test).values()
    return state


def test_removal_leaves_the_machine_as_it_was(client):
    """Apply, remove: every file, owner, mode and table is as before; a second removal has nothing to do."""
    client.apply()
    removed(client)  # so that directories that tools make once are there in both pictures
    before = snapshot(client.machine)
    client.apply()
    assert snapshot(client.machine) != before
    planned = removed(client, test=True)
    done = removed(client)
    assert (planned["result"], done["result"]) == (None, True), done["comment"]
    assert planned["changes"] == done["changes"] != {}
    assert snapshot(client.machine) == before
    again = removed(client)
    assert (again["result"], again["changes"]) == (True, {})
    assert "spicegrp" not in client.machine.read("/etc/group")


def test_removal_in_test_mode_removes_nothing(client):
    client.apply()
    before = snapshot(client.machine)
    assert removed(client, test=True)["changes"]
    assert snapshot(client.machine) == before


def test_group_of_the_site_stays(client):
    """A group that was there before the first run is not ours to remove."""
    client.machine.run(["groupadd", "--system", "spicegrp"])
    client.apply()
    removed(client)
    assert "spicegrp" in client.machine.read("/etc/group")


def test_removal_goes_on_where_it_was_interrupted(client):
    """Half of it gone already by hand: the rest is removed."""
    client.apply()
    client.machine.run(["rm", "/etc/sudoers.d/spice-grant", "/usr/local/bin/rviewer"])
    client.machine.run(["nft", "delete", "table", "inet", "spice_grant"])
    assert removed(client)["result"] is True
    assert removed(client)["changes"] == {}


def test_grants_come_back_after_removal(client):
    """The state can be applied again."""
    client.apply()
    removed(client)
    assert client.apply()["changes"]
    assert client.apply()["changes"] == {}
