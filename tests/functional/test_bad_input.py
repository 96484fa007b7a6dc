"""Bad input and a broken system: a clear error, nothing changed, nothing opened."""

import contextlib
import json
import sys

import pytest

from functional.office import ADDRESS, FILES, GROUP, HOST, OPEN, SECOND_ADDRESS, VIEWER, article, changed, difference
from scene.machine import CHECKOUT

NEW = {"user": "nogrant", "vm": "debianx"}
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
        (_set("spice:grants:b", {"user": "myself"}), "spice:grants:b: 'vm' is missing"),
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
            _set("spice:viewer", {"path": ["viewer", "/usr/../x"], "group": "root", "confine": True}),
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


def _refused(office, pillar, *words):
    """Apply a bad pillar, dry and for real: both are False, name all places, and report no change."""
    office.minion.set_pillar(pillar)
    for test in (True, False):
        result = office.apply(test=test)
        assert (result["result"], result["changes"]) == (False, {}), result
        assert result["comment"].startswith("Nothing was changed.")
        assert [said for said in words if said not in result["comment"]] == [], result["comment"]
    return result["comment"]


def _mistaken(mistakes):
    data = article()
    for edit, _ in MISTAKES[mistakes]:
        edit(data)
    return data, *(words for _, words in MISTAKES[mistakes])


@pytest.mark.parametrize("mistakes", MISTAKES)
def test_a_wrong_pillar_changes_nothing(keeper, shared, mistakes):
    """Over grants in force: the state is False, its comment names every place, and everything stays as it was."""
    _refused(shared, *_mistaken(mistakes))
    assert not keeper.traces()


@pytest.mark.parametrize("place", PLACES)
def test_strange_names_change_nothing(keeper, shared, place):
    """Names that other programs could read as something else are refused, every one, wherever a name can stand."""
    names, put = PLACES[place]
    data = article()
    for number, name in enumerate(names):
        put(data["spice"], number, name)
    comment = _refused(shared, data)
    for number, name in enumerate(names):
        where = f"spice:grants:x{number}:{place[:-1]}: " if place in ("users", "groups") else f"{ascii(name)[:77]}"
        assert where in comment, name
    assert len(comment.splitlines()) >= len(names)
    assert not keeper.traces()


@pytest.mark.parametrize("name", ["my self", "../x", "%wheel", "#0", "-x", "ALL", "995"])
def test_a_strange_viewer_group_changes_nothing(keeper, shared, name):
    """The viewer's group is named in rules and commands: it must be a plain name."""
    _refused(shared, changed(article(), viewer={"group": name}), "spice:viewer:group: ")
    assert not keeper.traces()


def test_before_the_first_run_nothing_is_made(office):
    """On a machine without any of it, bad pillars leave no trace: no group, no file, no rule."""
    office.minion.call("test.ping")
    before = office.snapshot()
    for mistakes in ("unknown keys", "references", "no pillar", "viewer is missing"):
        _refused(office, *_mistaken(mistakes))
    after = {place: held for place, held in office.snapshot().items() if "salt-scene" not in place}
    assert not difference({place: before[place] for place in before if "salt-scene" not in place}, after)
    assert GROUP not in office.groups()


# One bad user costs only his own grants

# Users of whom none can be granted anything: how they come to be, and what is said about them.
UNFIT = {
    "leaver": ([], "no user 'leaver' on this machine"),
    "toor": (["useradd --non-unique --uid 0 toor"], "user 'toor' has UID 0"),
    "insider": ([f"useradd --uid 1030 --gid {GROUP} insider"], "the primary group of user 'insider'"),
    "twin": (["useradd --uid 1031 twin", "useradd --badname --uid 1999 1031"], "an account is named '1031'"),
    "namesake": (["useradd --uid 1032 namesake", "groupadd --gid 1998 1032"], "an account is named '1032'"),
}


@pytest.mark.parametrize("by", ["user", "group"])
def test_a_bad_user_costs_only_his_own_grants(granted, by):
    """Users who cannot be granted anything: red, each is named, with test=True too; all others are enforced."""
    client = granted.client
    for commands, _ in UNFIT.values():
        for command in commands:
            client.run(command.split())
    grants = article()["spice"]["grants"]
    if by == "group":
        line = "accounting:x:1500:"
        text = client.read("/etc/group").replace(line, line + ",".join(["mybro", *UNFIT]))
        client.path("/etc/group").write_text(text, encoding="utf-8")
        grants["books"] = {"group": "accounting", "vm": "debianx"}
    else:
        grants.update({f"g-{name}": {"user": name, "vm": "debianx"} for name in ("mybro", *UNFIT)})
    granted.minion.set_pillar(changed(article(), grants=grants))
    dry, real = granted.apply(test=True), granted.apply()
    for result in (dry, real, granted.apply()):
        assert result["result"] is False
        lines = result["comment"].splitlines()
        for name, (_, words) in UNFIT.items():
            where = "spice:grants:books:group: " if by == "group" else f"spice:grants:g-{name}:user: "
            assert any(where in line and words in line for line in lines), (name, lines)
    assert real["changes"] == dry["changes"]
    assert granted.openings() == OPEN | {("mybro", GROUP, ADDRESS, 20002)}
    for name in UNFIT:
        if name not in ("leaver", "toor"):
            assert granted.reach(name, GROUP, ADDRESS, 20002) == "refused"


def test_a_user_who_left_loses_his_grants(granted):
    """When an account is deleted its rules go with the next run, before somebody else gets its number."""
    granted.client.run(["userdel", "--remove", "myself"])
    result = granted.apply()
    assert result["result"] is False
    assert "no user 'myself' on this machine" in result["comment"]
    granted.client.add_user("next", 1021, "Nx-1")
    assert granted.reach("next", GROUP, ADDRESS, 20002) == "refused"
    assert granted.reach("mybro", GROUP, ADDRESS, 20004) == "open"
    assert granted.client.run(["rviewer", "--list"], user="next", check=False).returncode == 1


def test_a_group_that_is_not_here_costs_only_its_own_grants(shared):
    """An unknown group: red, it is named, the others are enforced."""
    grants = {**article()["spice"]["grants"], "x": {"group": "nobodies", "vm": "debianx"}}
    result = shared.apply(changed(article(), grants=grants))
    assert result["result"] is False
    assert "spice:grants:x:group: no group 'nobodies' on this machine" in result["comment"]
    assert shared.openings() == OPEN


# The viewer's group


def test_a_group_with_members_is_not_taken_over(office):
    """A group of that name that exists with members is somebody's: nothing is changed, and they are named."""
    office.client.run(["groupadd", GROUP])
    office.client.run(["gpasswd", "--add", "nogrant", GROUP])
    before = office.snapshot()
    for test in (True, False):
        result = office.apply(test=test)
        assert (result["result"], result["changes"]) == (False, {})
        assert "spice:viewer:group" in result["comment"]
        assert "nogrant" in result["comment"]
    assert not difference(before, office.snapshot())


def test_an_empty_group_is_used(office):
    """A group of that name without members will do."""
    office.client.run(["groupadd", "--gid", "1777", GROUP])
    office.applied()
    assert office.gid() == 1777
    assert office.openings() == OPEN


def test_a_user_whose_primary_group_is_the_viewers_is_reported(granted):
    """Somebody who is in the group by his primary group could start the viewer himself: red, and he is named."""
    granted.client.run(["useradd", "--uid", "1030", "--gid", GROUP, "insider"])
    result = granted.apply()
    assert result["result"] is False
    assert "insider" in result["comment"]
    assert granted.openings() == OPEN


# What is missing or broken on the machine


@contextlib.contextmanager
def _replaced(office, path, text=None):
    """Take a program away; put a script in its place if a text is given."""
    office.client.run(["mv", path, path + ".away"])
    try:
        if text is not None:
            office.client.write(path, text, mode=0o755)
        yield
    finally:
        office.client.run(["mv", "-f", path + ".away", path])


WITH_NEW = changed(article(), grants={**article()["spice"]["grants"], "n": NEW})
MISSING = {
    "/usr/sbin/nft /usr/sbin/iptables": "nft is not installed, and iptables is not installed",
    "/usr/sbin/visudo": "visudo is not installed",
    "/usr/bin/cvtsudoers": "cvtsudoers is not installed",
    "/usr/bin/sudo": "sudo is not installed",
    VIEWER: f"no viewer {VIEWER}",
    "/etc/sudoers.d": "/etc/sudoers.d",
}


@pytest.mark.parametrize("paths", MISSING)
def test_a_missing_program_changes_nothing(keeper, shared, paths):
    """Without any firewall, a part of sudo, or the viewer: False, it is named, and nobody is granted anything more."""
    with contextlib.ExitStack() as stack:
        for path in paths.split():
            stack.enter_context(_replaced(shared, path))
        _refused(shared, WITH_NEW, MISSING[paths])
    assert not keeper.traces()
    assert shared.openings() == OPEN


BROKEN = {
    "fails": "#!/bin/sh\necho cannot >&2; exit 1\n",
    "prints nothing": "#!/bin/sh\nexit 0\n",
    "prints garbage": "#!/bin/sh\necho garbage\n",
    "is killed": "#!/bin/sh\nkill -9 $$\n",
}


@pytest.mark.parametrize("how", BROKEN)
def test_an_unreadable_ruleset_is_not_an_empty_one(keeper, shared, how):
    """A ruleset that cannot be read: False with the reason, nothing changed, nobody is granted anything more."""
    with _replaced(shared, "/usr/sbin/nft", BROKEN[how]):
        _refused(shared, WITH_NEW, "nft")
    assert not keeper.traces()


@pytest.mark.parametrize("how", ["fails", "is killed"])
def test_rules_that_cannot_be_checked_are_not_installed(shared, how):
    """If visudo does not run: red, in both ways, and the new user can not start the viewer; the others still can."""
    shared.minion.set_pillar(WITH_NEW)
    with _replaced(shared, "/usr/sbin/visudo", BROKEN[how]):
        for test in (True, False):
            result = shared.apply(test=test)
            assert result["result"] is False
            assert "visudo -c" in result["comment"]
    assert not shared.opens("nogrant", FILES["debianx"])
    assert shared.opens("mybro", FILES["leaptest"], password=None)


def test_a_kernel_that_refuses_the_rules_opens_nothing(shared):
    """If the transaction is refused, no other layer is opened either: red, and the next run makes good."""
    script = '#!/bin/sh\ncase "$*" in *-f*) echo refused >&2; exit 1;; esac\nexec /usr/sbin/nft.away "$@"\n'
    with _replaced(shared, "/usr/sbin/nft", script):
        result = shared.apply(WITH_NEW)
        assert result["result"] is False
        assert "firewall: nft -j -f - ended with 1: refused" in result["comment"]
    assert shared.openings() == OPEN
    assert not shared.opens("nogrant", FILES["debianx"])
    assert shared.client.run(["rviewer", "--list"], user="nogrant", check=False).returncode == 1
    shared.applied()
    assert shared.openings() == OPEN | {("nogrant", GROUP, ADDRESS, 20002)}
    assert shared.opens("nogrant", FILES["debianx"])


def test_without_groupadd_nothing_is_opened(office):
    """If the group cannot be made nothing else is done: red, with the reason."""
    with _replaced(office, "/usr/sbin/groupadd"):
        result = office.apply()
        assert result["result"] is False
        assert "groupadd is not installed" in result["comment"]
    assert office.client.run(["nft", "list", "tables"]).stdout == ""
    assert not office.client.path("/etc/sudoers.d/spice-grant").exists()
    office.applied()
    assert office.openings() == OPEN


NOT_ROOT = """
import json, sys
sys.path[:0] = sys.argv[1:]
import spice_firewall, spice_grant, spice_sudoers, spice_viewer
from salt.exceptions import CommandExecutionError
spice_grant.__salt__, spice_grant.__pillar__, spice_grant.__context__ = {}, {"spice": {}}, {}
calls = {
    spice_firewall: ["rules", "denied", "plan", "apply", "remove"],
    spice_sudoers: ["rules", "refusal", "plan", "apply", "remove"],
    spice_viewer: ["status", "plan", "originals", "ensure_group", "apply", "remove"],
    spice_grant: ["list_", "plan", "apply", "verify"],
}
with_arguments = {
    (spice_grant, "who"): ["debianx"],
    (spice_grant, "absent"): ["myself-debianx"],
    (spice_grant, "grant"): ["nogrant", "debianx"],
    (spice_grant, "revoke"): ["myself", "debianx"],
    (spice_grant, "explain"): ["myself", "debianx"],
    (spice_sudoers, "allowed"): ["myself", "debianx"],
}
every = {(module, name): [] for module, names in calls.items() for name in names}
said = {}
for (module, name), arguments in {**every, **with_arguments}.items():
    try:
        said[f"{module.__name__}.{name}"] = repr(getattr(module, name)(*arguments))
    except CommandExecutionError as error:
        said[f"{module.__name__}.{name}"] = ["refused", str(error)]
print(json.dumps(said))
"""


def test_not_root_reads_and_changes_nothing(keeper, shared):
    """As a user, every function of the four modules says that it needs root, and does nothing."""
    command = [sys.executable, "-c", NOT_ROOT, CHECKOUT / "_modules", CHECKOUT / "_utils"]
    said = json.loads(shared.client.run(command, user="nogrant").stdout)
    assert len(said) > 25
    for function, answer in said.items():
        assert answer[0] == "refused", (function, answer)
        assert "root" in answer[1] or "spice-grant.lock" in answer[1], (function, answer)
    assert not keeper.traces()


# Names that do not resolve


def _by_name():
    data = article()
    del data["spice"]["servers"]["mysrv"]["addresses"]
    return data


def _hosts(office, *addresses):
    lines = ["127.0.0.1 localhost", "127.0.1.1 client", *(f"{address} {HOST}" for address in addresses), ""]
    office.client.write("/etc/hosts", "\n".join(lines))


@pytest.mark.parametrize("guard", ["everywhere", "servers"])
def test_a_host_that_does_not_resolve(office, guard):
    """At first: closed and red. Once it resolves: open. When it no longer does: as before, but red."""
    pillar = changed(_by_name(), firewall={"guard": guard})
    office.minion.set_pillar(pillar)
    dry, real = office.apply(test=True), office.apply()
    for result in (dry, real):
        assert result["result"] is False
        assert f"spice:servers:mysrv:host: '{HOST}' does not resolve" in result["comment"]
    assert dry["changes"] == real["changes"]
    assert office.openings() == set()
    _hosts(office, ADDRESS)
    office.applied()
    assert office.openings((ADDRESS,)) == OPEN
    _hosts(office)
    for _ in range(2):
        result = office.apply()
        assert (result["result"], result["changes"]) == (False, {})
        assert f"it keeps {ADDRESS}" in result["comment"]
    assert office.openings((ADDRESS,)) == OPEN
    assert office.verify()["ok"] is False


def test_a_host_that_moves(granted):
    """Addresses follow the name at the next run: all of them, old ones are closed."""
    _hosts(granted, ADDRESS)
    granted.applied(_by_name())
    _hosts(granted, SECOND_ADDRESS, "fd00:2::2")
    result = granted.applied()
    assert "server mysrv is now at 192.168.2.3, fd00:2::2" in str(result["changes"])
    assert {found[2] for found in granted.openings()} == {SECOND_ADDRESS, "fd00:2::2"}


def test_a_host_that_resolves_to_what_no_server_can_have(office):
    """A name that resolves to no usable address is like one that does not resolve."""
    _hosts(office, "0.0.0.0")  # noqa: S104
    result = office.apply(_by_name())
    assert result["result"] is False
    assert "resolves to no usable address" in result["comment"]
    assert office.openings() == set()


def test_a_missing_certificate_costs_only_its_server(granted):
    """A certificate file that is not there: its consoles stay closed, red; the guard stands."""
    data = article()
    data["spice"]["servers"]["mysrv"]["ca"] = "/etc/pki/spice/none.pem"
    result = granted.apply(data)
    assert result["result"] is False
    assert "spice:servers:mysrv:ca: no file /etc/pki/spice/none.pem" in result["comment"]
    assert granted.openings() == set()
