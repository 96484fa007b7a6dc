"""The state: test=True reports the truth and writes nothing, a second run changes nothing, exit codes are right."""

import pytest

from amount import first_of
from functional.office import changed, difference, sentences
from scenes import ADDRESS, ADDRESS6, GROUP, HOST, VIEWER, article, introduce

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]
BOTH = {"myself-debianx": {"user": "myself", "vm": "debianx"}, "mybro-leaptest": {"user": "mybro", "vm": "leaptest"}}


def _honest(office, run):
    """Run with test=True, for real, and again; return what the real run reported.

    The dry run reports what the real one then does and writes nothing; afterwards nothing is left to do.
    """
    before = office.snapshot()
    dry = run(test=True)
    assert not difference(before, office.snapshot()), "test=True has written something"
    real = run(test=False)
    assert real["result"] is True, real
    assert dry["changes"] == real["changes"]
    assert real["changes"], "there was nothing to do"
    assert dry["result"] is None, dry
    settled = office.snapshot()
    again = run(test=False)
    assert (again["result"], again["changes"]) == (True, {}), again
    assert not difference(settled, office.snapshot()), "an unchanged run has written something"
    return real


# One function for each form in which grants are declared.


def _init_sls(office):
    return office.apply


def _by_grants(office):
    return lambda test: office.single("present", name="consoles", grants=BOTH, exclusive=True, test=test)


def _single(office):
    return lambda test: office.single("present", name="myself-debianx", user="myself", vm="debianx", test=test)


def test_a_grant_of_several_vms(office):
    """It opens each of them; what leaves the list closes, and all of it goes by its name."""
    pillar = changed(article(), vm_groups={"all": ["debianx", "leaptest"]}, grants={})
    office.minion.set_pillar(office.declared(pillar))

    def opened():
        return {port for user, group, _, port, *_ in office.openings() if (user, group) == ("myself", GROUP)}

    real = _honest(office, lambda test: office.single("present", name="ops", user="myself", vm_group="all", test=test))
    assert {"ops/debianx", "ops/leaptest"} <= real["changes"]["grants"].keys() and opened() == {20002, 20004}
    _honest(office, lambda test: office.single("present", name="ops", user="myself", vm=["leaptest"], test=test))
    assert opened() == {20004}
    _honest(office, lambda test: office.single("absent", name="ops", test=test))
    assert opened() == set()


@pytest.mark.salt
@pytest.mark.parametrize("form", [_init_sls, _by_grants, _single])
def test_present_first_run(office, form):
    """A first run in each form: test=True writes nothing and reports exactly what the real run does, once."""
    real = _honest(office, form(office))
    settled = form(office)(test=True)
    assert (settled["result"], settled["changes"]) == (True, {}), settled
    text = sentences(real["changes"])
    assert f"firewall: opens {ADDRESS} port 20002 to myself" in text
    assert f"creates group {GROUP}" in text
    assert ("myself", GROUP, ADDRESS, 20002) in office.openings()


@pytest.mark.salt
def test_present_without_pillar_grants(office):
    """A state with its own grants needs servers and vms from pillar, but no grants there."""
    office.minion.set_pillar(changed(article(), grants={}))
    _honest(office, _by_grants(office))
    assert {found[:2] for found in office.openings()} == {("myself", GROUP), ("mybro", GROUP)}


@pytest.mark.salt
def test_absent(granted):
    """absent: test=True writes nothing and reports exactly what the real run does; only that grant is gone."""
    real = _honest(granted, lambda test: granted.single("absent", name="myself-debianx", test=test))
    assert "myself-debianx: firewall: closes" in sentences(real["changes"])
    assert granted.openings() == {("mybro", GROUP, ADDRESS, 20004)}


@pytest.mark.salt
@pytest.mark.parametrize("requisite", ["watch", "listen"])
def test_a_state_that_follows_another(granted, requisite):
    """It is applied when the other has changed, by whichever requisite."""
    reason = {"file": ["managed", {"name": f"/etc/{requisite}"}, {"contents": "x"}]}
    following = {"spice_grant": ["absent", {"name": "mybro-leaptest"}, {requisite: [{"file": "reason"}]}]}
    answers = granted.minion.call("state.high", {"reason": reason, "following": following})
    assert all(answer["result"] is True for answer in answers.values()), answers
    assert granted.openings() == {("myself", GROUP, ADDRESS, 20002)}


def test_absent_of_nothing(office):
    """absent of a grant that is not there is true already, before the first run too, and writes nothing."""
    before = office.snapshot()
    for test in (True, False):
        result = office.single("absent", name="myself-debianx", test=test)
        assert (result["result"], result["changes"]) == (True, {})
    assert not difference(before, office.snapshot())


ON_CALL = {"user": "myself", "vm": "debianx", "reason": "on call"}
NOPASSWD = {"user": "myself", "vm": "debianx", "nopasswd": True}
UNUSED = {"server": "mysrv", "tls_port": 20007}
NOGRANT = {"user": "nogrant", "vm": "debianx"}
SERVERS = {"mysrv": {"host": HOST, "addresses": [ADDRESS], "ports": "20001-20010"}}
VMS = {"debianx": {"server": "mysrv", "tls_port": 20002}, "leaptest": {"server": "mysrv", "tls_port": 20004}}
# What an admin changes in pillar: the parts that become different, and who reaches what afterwards.
MYSELF, MYBRO = ("myself", GROUP, ADDRESS, 20002), ("mybro", GROUP, ADDRESS, 20004)
EDITS = {
    "a grant more": (
        {"grants": {**BOTH, "n": NOGRANT}},
        {("nogrant", *MYSELF[1:])},
        set(),
    ),
    "a grant less": ({"grants": {"mybro-leaptest": BOTH["mybro-leaptest"]}}, set(), {MYSELF}),
    "no grant at all": ({"grants": {}}, set(), {MYSELF, MYBRO}),
    "another grant's name": (
        {"grants": {"m": BOTH["myself-debianx"], "mybro-leaptest": BOTH["mybro-leaptest"]}},
        set(),
        set(),
    ),
    "another user": (
        {"grants": {**BOTH, "myself-debianx": NOGRANT}},
        {("nogrant", *MYSELF[1:])},
        {MYSELF},
    ),
    "another vm": (
        {"grants": {**BOTH, "myself-debianx": {"user": "myself", "vm": "leaptest"}}},
        {("myself", *MYBRO[1:])},
        {MYSELF},
    ),
    "two grants of one thing": (
        {"grants": {**BOTH, "more": NOPASSWD}},
        set(),
        set(),
    ),
    "password asked": ({"grants": BOTH}, set(), set()),
    "another port": (
        {"vms": {**VMS, "debianx": {"server": "mysrv", "tls_port": 20003}}},
        {(*MYSELF[:3], 20003)},
        {MYSELF},
    ),
    "a vm renamed": (
        {
            "vms": {"deb": VMS["debianx"], "leaptest": VMS["leaptest"]},
            "grants": {**BOTH, "myself-debianx": {"user": "myself", "vm": "deb"}},
        },
        set(),
        set(),
    ),
    "two vms change ports": (
        {"vms": {"debianx": VMS["leaptest"], "leaptest": VMS["debianx"]}},
        {(*MYSELF[:3], 20004), (*MYBRO[:3], 20002)},
        {MYSELF, MYBRO},
    ),
    "what opens nothing more": (
        {
            "servers": {**SERVERS, "far": {"host": "far.example", "addresses": ["192.168.2.9"], "ports": 5901}},
            "vms": {**VMS, "debianx": {**VMS["debianx"], "host_subject": "CN=x"}, "books": UNUSED},
            "grants": {**BOTH, "myself-debianx": ON_CALL},
        },
        set(),
        set(),
    ),
    "an address more": (
        {"servers": {"mysrv": {**SERVERS["mysrv"], "addresses": [ADDRESS, ADDRESS6]}}},
        {(*MYSELF[:2], ADDRESS6, 20002), (*MYBRO[:2], ADDRESS6, 20004)},
        set(),
    ),
    "another host name": ({"servers": {"mysrv": {**SERVERS["mysrv"], "host": "kvm.example"}}}, None, None),
    "fewer ports guarded": (
        {"servers": {"mysrv": {**SERVERS["mysrv"], "ports": [20002, "20004-20010"]}}},
        None,
        None,
    ),
    "viewer: another group": ({"viewer": {"group": "consoles", "confine": False}}, None, None),
    "viewer: a second one": ({"viewer": {"path": [VIEWER, "/usr/bin/virt-viewer"], "confine": False}}, None, None),
    "guard: servers": ({"firewall": {"guard": "servers"}}, None, None),
}


@pytest.mark.turns(2)
@pytest.mark.parametrize("edit", first_of(EDITS, 10))
def test_present_after_an_edit_of_pillar(shared, edit):
    """Whatever is edited in pillar: honest with test=True, settled after one run, and the right ports are open."""
    parts, more, less = EDITS[edit]
    for server in parts.get("servers", {}).values():
        introduce(shared.client, server["host"])
    shared.minion.set_pillar(changed(article(), **parts))
    _honest(shared, shared.apply)
    if more is None:
        assert shared.verify()["differences"] == []
    else:
        assert shared.openings() == ({MYSELF, MYBRO} - less) | more


@pytest.mark.salt
def test_grants_come_back_after_none(shared):
    """All grants removed, then some declared again: each run does what pillar says."""
    shared.applied(changed(article(), grants={}))
    assert shared.openings() == set()
    assert not shared.opens("mybro", "/etc/spice-grant/vms/leaptest.vv", password=None)
    shared.applied(article())
    assert shared.openings() == {MYSELF, MYBRO}
    assert shared.opens("mybro", "/etc/spice-grant/vms/leaptest.vv", password=None)


def test_a_group_left_for_another_opens_nothing(shared):
    """After another viewer group was declared, the former one opens no port and starts no viewer."""
    old = shared.gid()
    shared.applied(changed(article(), viewer={"group": "consoles", "confine": False}))
    places = [(ADDRESS, port) for port in (20002, 20004)]
    for user in ("myself", "mybro"):
        assert set(shared.connect(user, old, places).values()) == {"refused"}
    assert shared.reach("myself", "consoles", ADDRESS, 20002) == "open"
    assert not shared.opens("mybro", "/etc/spice-grant/vms/leaptest.vv")
    assert shared.opens("mybro", "/etc/spice-grant/vms/leaptest.vv", options=("-g", "consoles"), password=None)


@pytest.mark.salt
def test_exclusive_removes_other_grants(shared):
    """exclusive: True removes all grants that the state does not name."""
    result = shared.single("present", name="n", user="nogrant", vm="debianx", exclusive=True)
    assert result["result"] is True
    assert "myself-debianx: policy: removes" in sentences(result["changes"])
    assert shared.openings() == {("nogrant", *MYSELF[1:])}


def test_not_exclusive_keeps_other_grants(shared):
    """Without exclusive the grants of this minion stay, in all layers, and one is added."""
    result = shared.single("present", name="n", user="nogrant", vm="debianx")
    assert result["result"] is True
    assert set(result["changes"]["grants"]) == {"n"}
    assert shared.openings() == {MYSELF, MYBRO, ("nogrant", *MYSELF[1:])}
    assert shared.opens("myself", "/etc/spice-grant/vms/debianx.vv")
    assert shared.opens("mybro", "/etc/spice-grant/vms/leaptest.vv", password=None)


def test_not_exclusive_changes_a_grant_of_the_same_name(shared):
    """A grant of the same name is changed, not doubled."""
    shared.single("present", name="myself-debianx", user="nogrant", vm="debianx")
    assert shared.openings() == {("nogrant", *MYSELF[1:]), MYBRO}


@pytest.mark.salt
def test_highstate(office):
    """The repository's own top file brings the state to the minion."""
    results = office.minion.state(None)
    assert [result["result"] for result in results.values()] == [True]
    assert MYSELF in office.openings()


# Mistakes in the state itself


@pytest.mark.salt
def test_wrong_arguments(keeper, shared):
    """A state with wrong arguments is False, with test=True as well, says why, and changes nothing."""
    cases = [
        ("present", {"usr": "myself", "vm": "debianx"}, "usr"),
        ("present", {"grants": BOTH, "user": "myself", "vm": "debianx"}, "exclude each other"),
        ("present", {"grants": {}, "vm": "debianx"}, "exclude each other"),
        ("present", {"grants": BOTH, "schedule": "evenings"}, "exclude each other"),
        ("present", {"user": "myself"}, "spice:grants:x: needs either 'vm' or 'vm_group'"),
        ("present", {"user": "myself", "vm": "debian"}, "did you mean 'debianx'?"),
        ("present", {"grants": ["myself-debianx"]}, "spice:grants"),
        ("present", {"grants": "all"}, "spice:grants"),
        ("present", {"grants": {"a": {"user": "myself", "vm": "debianx", "colour": "red"}}}, "spice:grants:a:colour"),
        ("present", {"user": "nogrant", "vm": "debianx", "exclusive": "no"}, "exclusive: must be true or false"),
        ("present", {"user": "nogrant", "vm": "debianx", "exclusive": ""}, "exclusive: must be true or false"),
        ("absent", {"vm": "debianx"}, "vm"),
    ]
    for number, (function, arguments, message) in enumerate(cases):
        for test in (True, False) if number in (0, 1, 5) else (False,):
            result = shared.single(function, name="x", test=test, **arguments)
            assert (result["result"], result["changes"]) == (False, {})
            assert message in result["comment"]
    assert not keeper.traces()


# The real command


@pytest.mark.salt
def test_salt_call(office):
    """The real salt-call: exit code 0 with test=True and for real; 2 for a failed state, on request."""
    minion = office.minion
    before = office.snapshot()
    dry = minion.salt_call("state.apply", "spice", "test=True")
    assert "opens 192.168.2.2 port 20002 to myself" in dry.stdout
    assert "Failed:    0" in dry.stdout
    after = {place: entry for place, entry in office.snapshot().items() if not place.startswith("/etc/salt-scene")}
    assert not difference({place: before[place] for place in after}, after)
    assert minion.salt_call("--retcode-passthrough", "state.apply", "spice").returncode == 0
    assert office.openings() == {MYSELF, MYBRO}
    minion.set_pillar(changed(article(), grants={"a": {"user": "leaver", "vm": "debianx"}}))
    for word in ("test=True", "test=False"):
        failed = minion.salt_call("--retcode-passthrough", "state.apply", "spice", word, check=False)
        assert failed.returncode == 2, failed
        assert "spice:grants:a:user: no user 'leaver' on this machine" in failed.stdout


@pytest.mark.salt
def test_grants_survive_in_words_only_root_reads(granted):
    """What is kept on the minion is root's alone."""
    for path in ("/var/lib/spice-grant", "/var/lib/spice-grant/state.json"):
        status = granted.client.stat(path)
        assert (status.st_uid, status.st_gid, status.st_mode & 0o077) == (0, 0, 0)
