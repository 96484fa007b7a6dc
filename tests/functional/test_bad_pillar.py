"""Mistakes in pillar and strange names: all are named, nothing is changed, nothing opened."""

import pytest

from functional.office import changed, difference
from functional.refusals import NEW, refused
from scenes import GROUP, VIEWER, article

SHARED_VIEWER = "/tmp/viewer"  # noqa: S108 - that is the point


def _set(path, value):
    """Pillar edits: put a value at a path of keys, or take the key away for ``...``."""

    def edit(data):
        *parents, last = path.split(":")
        for key in parents:
            data = data.setdefault(key, {})
        if value is ...:
            del data[last]
        else:
            data[last] = value

    return edit


# Mistakes that can stand in one pillar together, each with words that the comment must hold. All are reported at once.
MISTAKES = {
    "unknown keys": [
        (_set("spice:colour", "red"), "spice:colour: unknown key"),
        (_set("spice:servers:mysrv:port", 1), "spice:servers:mysrv:port: unknown key"),
        (_set("spice:vms:debianx:tls-port", 1), "spice:vms:debianx:tls-port: unknown key"),
        (_set("spice:grants:myself-debianx:usr", "x"), "spice:grants:myself-debianx:usr: unknown key"),
        (_set("spice:viewer:mode", 1), "spice:viewer:mode: unknown key"),
        (_set("spice:firewall:zone", 1), "spice:firewall:zone: unknown key"),
    ],
    "references": [
        (_set("spice:grants:a", {"user": "myself", "vm": "debian"}), "a:vm: no vm 'debian', did you mean 'debianx'?"),
        (
            _set("spice:vms:x", {"server": "mysv", "tls_port": 20003}),
            "x:server: no server 'mysv', did you mean 'mysrv'?",
        ),
        (_set("spice:grants:b", {"user": "myself"}), "spice:grants:b: needs either 'vm' or 'vm_group'"),
        (_set("spice:grants:c", {"vm": "debianx"}), "spice:grants:c: needs either"),
        (_set("spice:grants:d", {**NEW, "group": "accounting"}), "spice:grants:d: needs either"),
        (_set("spice:grants:e", {"user": "root", "vm": "debianx"}), "spice:grants:e:user: root"),
        (_set("spice:grants:f", {**NEW, "schedule": "evenings"}), "spice:grants:f:schedule"),
        (_set("spice:grants:g", {**NEW, "valid_until": "2027-03-31"}), "spice:grants:g:valid_until"),
        (_set("spice:grants:h", {**NEW, "reason": "two\nlines"}), "spice:grants:h:reason"),
        (_set("spice:grants:i", {**NEW, "nopasswd": "yes"}), "spice:grants:i:nopasswd"),
    ],
    "ports": [
        (_set("spice:vms:a", {"server": "mysrv", "tls_port": "20003x"}), "spice:vms:a:tls_port"),
        (_set("spice:vms:b", {"server": "mysrv", "tls_port": True}), "spice:vms:b:tls_port"),
        (_set("spice:vms:c", {"server": "mysrv", "tls_port": 0}), "spice:vms:c:tls_port"),
        (_set("spice:vms:d", {"server": "mysrv", "tls_port": 65536}), "spice:vms:d:tls_port"),
        (_set("spice:vms:e", {"server": "mysrv", "tls_port": 20011}), "spice:vms:e:tls_port: 20011 is outside"),
        (_set("spice:vms:f", {"server": "mysrv", "tls_port": 20004}), "tls_port: 20004 on"),
        (_set("spice:vms:g", {"server": "mysrv", "tls_port": 20005, "password": "x"}), "spice:vms:g:password"),
        (_set("spice:servers:a", {"host": "a", "ports": "20010-20001"}), "spice:servers:a:ports"),
        (_set("spice:servers:b", {"host": "b", "ports": []}), "spice:servers:b:ports"),
        (_set("spice:servers:c", {"host": "c", "ports": [5900, "x"]}), "spice:servers:c:ports:1"),
    ],
    "hosts and settings": [
        (_set("spice:servers:a", {"host": "my srv", "ports": 1}), "spice:servers:a:host"),
        (_set("spice:servers:b", {"host": "-x", "ports": 1}), "spice:servers:b:host"),
        (_set("spice:servers:c", {"host": "c", "ports": 1, "addresses": ["192.168.2.256"]}), "c:addresses:0"),
        (_set("spice:servers:d", {"host": "d", "ports": 1, "addresses": "192.168.2.0/24"}), "d:addresses"),
        (_set("spice:servers:e", {"host": "e", "ports": 1, "addresses": ["::"]}), "e:addresses:0"),
        (_set("spice:servers:f", {"host": "f", "ports": 1, "addresses": []}), "f:addresses"),
        (_set("spice:servers:g", {"host": "g", "ports": 1, "ca": "ca.pem"}), "spice:servers:g:ca"),
        (
            _set("spice:viewer", {"path": ["viewer", "/usr/../x"], "group": "root", "confine": "yes"}),
            "spice:viewer:path:0",
        ),
        (lambda data: None, "spice:viewer:path:1"),
        (lambda data: None, "spice:viewer:group"),
        (lambda data: None, "spice:viewer:confine"),
        (_set("spice:firewall", {"backend": "ufw", "guard": "nowhere"}), "spice:firewall:backend"),
        (lambda data: None, "spice:firewall:guard"),
    ],
    "parts of a wrong type": [
        (_set(f"spice:{part}", value), f"spice:{part}")
        for part, value in {
            "servers": "mysrv",
            "vms": [],
            "grants": 7,
            "viewer": "remote-viewer",
            "firewall": True,
            "schedules": ["evenings"],
        }.items()
    ],
    "things of a wrong type": [
        (_set("spice:servers:mysrv", ["192.168.2.2"]), "spice:servers:mysrv"),
        (_set("spice:vms:debianx", 20002), "spice:vms:debianx"),
        (_set("spice:grants:myself-debianx", "myself"), "spice:grants:myself-debianx"),
    ],
    "values of a wrong type": [
        (_set("spice:servers:mysrv:host", 3232236034), "spice:servers:mysrv:host"),
        (_set("spice:servers:mysrv:ports", {"from": 20001}), "spice:servers:mysrv:ports"),
        (_set("spice:servers:mysrv:addresses", {"a": 1}), "spice:servers:mysrv:addresses"),
        (_set("spice:vms:debianx:server", ["mysrv"]), "spice:vms:debianx:server"),
        (_set("spice:vms:leaptest:tls_port", [20004]), "spice:vms:leaptest:tls_port"),
        (_set("spice:grants:myself-debianx:user", ["myself"]), "spice:grants:myself-debianx:user"),
        (_set("spice:grants:mybro-leaptest:reason", 1), "spice:grants:mybro-leaptest:reason"),
    ],
    "nothing required": [
        (_set("spice", {"viewer": {}}), "spice: 'servers' is missing"),
        (lambda data: None, "spice: 'vms' is missing"),
        (lambda data: None, "spice: 'grants' is missing"),
    ],
    "pillar of a wrong type": [(_set("spice", ["servers"]), "spice: must be a mapping")],
    "empty pillar": [(_set("spice", {}), "spice: the pillar of this minion declares nothing here")],
    "no pillar": [(_set("spice", ...), "spice: the pillar of this minion declares nothing here")],
    "pillar is null": [(_set("spice", None), "spice: the pillar of this minion declares nothing here")],
    "viewer is missing": [(_set("spice:viewer", {"path": ["/usr/bin/none", VIEWER]}), "no viewer /usr/bin/none")],
    "viewer is a link": [
        (_set("spice:viewer", {"path": "/usr/bin/python3"}), "/usr/bin/python3 is not a regular file")
    ],
    "viewer is a directory": [(_set("spice:viewer", {"path": "/usr/bin"}), "spice:viewer:path")],
    "viewer of a user": [(_set("spice:viewer", {"path": "/home/myself/viewer"}), "others than root can replace")],
    "viewer in a common place": [(_set("spice:viewer", {"path": SHARED_VIEWER}), "others than root can replace")],
}
# Names that some program could read as something else. Text that is no name in YAML is not among the keys.
STRANGE = [
    "my self",
    "my\nself",
    "my/self",
    "..",
    "../x",
    "%wheel",
    "#0",
    "!x",
    "-x",
    "+x",
    "a=b",
    "a,b",
    "ä",
    "x" * 64,
]
NO_ACCOUNT = [*STRANGE, "ALL", "1021", ""]
PLACES = {
    "users": (NO_ACCOUNT, lambda spice, i, name: spice["grants"].update({f"x{i}": {"user": name, "vm": "debianx"}})),
    "groups": (NO_ACCOUNT, lambda spice, i, name: spice["grants"].update({f"x{i}": {"group": name, "vm": "debianx"}})),
    "vms": (STRANGE, lambda spice, i, name: spice["vms"].update({name: {"server": "mysrv", "tls_port": 20003}})),
    "grants": (STRANGE, lambda spice, i, name: spice["grants"].update({name: NEW})),
    "servers": (STRANGE, lambda spice, i, name: spice["servers"].update({name: {"host": "x", "ports": 1}})),
}


def prepare(office):
    """Programs that could be taken for viewers."""
    for path in ("/home/myself/viewer", SHARED_VIEWER):
        office.client.write(path, "#!/bin/sh\n", mode=0o755)


def _mistaken(mistakes):
    data = article()
    for edit, _ in MISTAKES[mistakes]:
        edit(data)
    return data, *(words for _, words in MISTAKES[mistakes])


@pytest.mark.turns(3)
@pytest.mark.parametrize("mistakes", MISTAKES)
def test_a_wrong_pillar_changes_nothing(keeper, shared, mistakes):
    """Over grants in force: the state is False, its comment names every place, and everything stays as it was."""
    refused(shared, *_mistaken(mistakes))
    assert not keeper.traces()


@pytest.mark.parametrize("place", PLACES)
def test_strange_names_change_nothing(keeper, shared, place):
    """Names that other programs could read as something else are refused, every one, wherever a name can stand."""
    names, put = PLACES[place]
    data = article()
    for number, name in enumerate(names):
        put(data["spice"], number, name)
    comment = refused(shared, data)
    for number, name in enumerate(names):
        where = f"spice:grants:x{number}:{place[:-1]}: " if place in ("users", "groups") else f"{ascii(name)[:77]}"
        # A grant may be called by its vm as well, and this is no vm's name.
        assert where in comment or f"spice:grants:{name}: is called by vm " in comment, name
    assert len(comment.splitlines()) >= len(names)
    assert not keeper.traces()


@pytest.mark.parametrize("name", ["my self", "../x", "%wheel", "#0", "-x", "ALL", "995"])
def test_a_strange_viewer_group_changes_nothing(keeper, shared, name):
    """The viewer's group is named in rules and commands: it must be a plain name."""
    refused(shared, changed(article(), viewer={"group": name}), "spice:viewer:group: ")
    assert not keeper.traces()


def test_before_the_first_run_nothing_is_made(office):
    """On a machine without any of it, bad pillars leave no trace: no group, no file, no rule."""
    office.minion.call("test.ping")
    before = office.snapshot()
    for mistakes in ("unknown keys", "references", "no pillar", "viewer is missing"):
        refused(office, *_mistaken(mistakes))
    after = {place: entry for place, entry in office.snapshot().items() if "salt-scene" not in place}
    assert not difference({place: before[place] for place in before if "salt-scene" not in place}, after)
    assert GROUP not in office.groups()
