"""The viewer layer: files as values, what is planned, and how that is said."""

import json
from dataclasses import replace

import pytest

from spicegrants.core.accounts import Account
from spicegrants.core.entries import Directory, File, Link, Other, difference
from spicegrants.core.paths import DESKTOP_ENTRY, LAUNCHER, connection_file
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import NOTHING, Lock, Temporary
from spicegrants.schedule.instants import EARLIEST
from spicegrants.schedule.intervals import DAY, LAST
from spicegrants.sudo import sudoers
from spicegrants.viewer import desk, files
from spicegrants.viewer.connection_text import connection_text
from spicegrants.viewer.files import Program, ViewerLive
from unit.build import EVENING_WINDOWS, GID, HOST_KEY, TICKETS, TIMED, VIEWER, desired, inventory, key_file, policy

PROGRAM = b"#!/usr/bin/python3 -I\n"
VMS = "/etc/spice-grant/vms"
MENU = "/etc/spice-grant/menu"


def live(compiled, members=(), programs=None, **entries):
    """Return what a run leaves behind; ``entries`` by path are what is there instead, None for nothing."""
    there = {**files.desired_entries(compiled, PROGRAM), **entries}
    good = {path: Program(0, compiled.gid, 0o750) for path in compiled.policy.viewer.paths}
    return ViewerLive(
        tuple(members), good if programs is None else programs, {path: e for path, e in there.items() if e is not None}
    )


def words(planned):
    return [(change.what, change.grants) for change in planned.changes]


@pytest.mark.parametrize(
    ("want", "have", "verb"),
    [
        (File(b"a", 0o640), None, "creates"),
        (Directory(0o755), None, "creates"),
        (File(b"a", 0o640), File(b"a", 0o640), None),
        (File(b"a", 0o640, 5, reader=7), File(b"a", 0o640, 5, reader=7), None),
        (Directory(0o750, 5), Directory(0o750, 5), None),
        (File(b"a", 0o640), File(b"b", 0o640), "rewrites"),
        (File(b"a", 0o640), File(b"b", 0o644), "rewrites"),
        (File(b"a", 0o640), File(b"a", 0o644), "restores owner and mode of"),
        (File(b"a", 0o640), File(b"a", 0o640, 5), "restores owner and mode of"),
        (File(b"a", 0o640), File(b"a", 0o640, uid=5), "restores owner and mode of"),
        (File(b"a", 0o640, reader=7), File(b"a", 0o640, reader=8), "restores owner and mode of"),
        (File(b"a", 0o640, reader=7), File(b"a", 0o640), "restores owner and mode of"),
        (File(b"a", 0o640), File(b"a", 0o640, reader=-1), "restores owner and mode of"),
        (Directory(0o750), Directory(0o755), "restores owner and mode of"),
        (Directory(0o750, 5), Directory(0o750, uid=5), "restores owner and mode of"),
        (File(b"a", 0o640), Directory(0o640), "replaces the directory at"),
        (Directory(0o640), File(b"", 0o640), "replaces the file at"),
        (File(b"a", 0o640), Other("symbolic link"), "replaces the symbolic link at"),
        (Directory(0o755), Other("special file"), "replaces the special file at"),
        (File(b"a", 0o640, None), File(b"a", 0o640, 995), "restores owner and mode of"),
        (Link("/a"), Link("/a"), None),
        (Link("/a"), Link("/b"), "redirects"),
        (Link("/a"), None, "creates"),
        (Link("/a"), File(b"", 0o777), "replaces the file at"),
        (File(b"", 0o777), Link("/a"), "replaces the symbolic link at"),
    ],
)
def test_difference(want, have, verb):
    assert difference(want, have) == verb


def test_connection_file():
    compiled = desired({"vms__debianx__host_subject": "C=DE,O=Müller\\, Söhne"}, authorities={"mysrv": "a\nb\n"})
    text = connection_text(compiled, "debianx")
    assert key_file(text) == {
        "type": "spice",
        "host": "mysrv.anraconc.de",
        "tls-port": "20002",
        "title": "debianx",
        "secure-channels": "all",
        "ca": "a\nb\n",
        "host-subject": "C=DE,O=Müller\\, Söhne",
    }
    assert "ca=a\\nb\\n\n" in text and "O=Müller\\\\, Söhne" in text


def test_connection_file_without_certificate_and_subject():
    assert {"ca", "host-subject", "password", "port"}.isdisjoint(key_file(connection_text(desired(), "debianx")))


SECRET = {"vms__debianx__password": "s3cret"}


def test_a_password_is_in_a_confined_viewers_connection_file_only():
    assert "password=s3cret" in connection_text(desired(SECRET, unconfinable=""), "debianx")
    assert "s3cret" not in repr(desired(SECRET, unconfinable=""))
    open_anyway = desired(SECRET)
    assert [access.vm for access in open_anyway.accesses] == ["leaptest"]
    assert [finding.path for finding in open_anyway.findings] == ["spice:vms:debianx:password"]
    assert "password" not in connection_text(open_anyway, "debianx")


def test_a_password_in_a_file_that_cannot_be_read():
    """Whoever read the files has reported it; nobody is asked for a password that users do not know."""
    named = {"vms__debianx__password": {"file": "/root/secret"}}
    assert [access.vm for access in desired(named, unconfinable="").accesses] == ["leaptest"]
    found = desired(named, unconfinable="", passwords={"debianx": "s3cret"})
    assert "password=s3cret" in connection_text(found, "debianx") and "s3cret" not in repr(found)


def test_another_password_is_no_word_of_the_plan():
    before, after = (desired({"vms__debianx__password": text}, unconfinable="") for text in ("s3cret", "0ther"))
    planned = files.plan_files(after, files.ViewerLive((), {}, files.desired_entries(before, PROGRAM)), PROGRAM)
    assert words(planned) == [(f"rewrites {VMS}/debianx.vv", ("myself-debianx",))]


def test_menu():
    compiled = desired({"grants__more": {"user": "myself", "vm": "leaptest", "nopasswd": True}})
    mine = [access for access in compiled.accesses if access.uid == 1021]
    assert json.loads(files.menu_text(compiled, mine)) == {
        "group": "spicegrp",
        "viewer": VIEWER,
        "consoles": {
            "debianx": {
                "file": f"{VMS}/debianx.vv",
                "password": True,
                "grants": ["myself-debianx"],
                "windows": None,
            },
            "leaptest": {"file": f"{VMS}/leaptest.vv", "password": False, "grants": ["more"], "windows": None},
        },
    }


def test_menu_with_times():
    compiled = desired(
        {**TIMED, "grants__more": {"user": "myself", "vm": "leaptest", "valid_from": "2020-01-01T08:00Z"}}
    )
    mine = [access for access in compiled.accesses if access.uid == 1021]
    consoles = json.loads(files.menu_text(compiled, mine))["consoles"]
    assert consoles["debianx"]["windows"].split() == [f"{start}-{end}" for start, end in EVENING_WINDOWS]
    assert consoles["leaptest"]["windows"] == f"{EARLIEST + 8 * 3600}-{LAST}"


LOCKED = Temporary(locks=(Lock("user", "myself", "stolen laptop", 0),))


def locked(locks=LOCKED, **changes):
    """Return the article's state with locks, of which both vms may have one."""
    more = {"grants__more": {"user": "myself", "vm": "leaptest"}}
    return compile_policy(policy(**{**more, **changes}), inventory(), temporary=locks)


def test_a_menu_says_what_is_locked_and_nothing_with_which_it_opens():
    compiled = locked(grants__more__contact="Eve")
    assert {access.user for access in compiled.accesses} == {"mybro"}
    entries = files.desired_entries(compiled, b"")
    assert list(entries) == [path for path in files.paths(compiled) if path in entries]
    menu = json.loads(entries[f"{MENU}/1021"].content)
    assert menu["consoles"] == {
        "debianx": {"locked": True, "grants": ["myself-debianx"], "windows": ""},
        "leaptest": {"locked": True, "grants": ["more"], "windows": "", "contact": "Eve"},
    }
    assert "locked" not in entries[f"{MENU}/1022"].content.decode()
    # Nobody else has debianx.
    assert f"{VMS}/debianx.vv" not in entries and f"{VMS}/leaptest.vv" in entries
    assert {rule.user for rule in sudoers.rules(compiled)} == {"mybro"}


def test_a_lock_and_its_end_are_said_of_the_menu():
    open_, shut = locked(NOTHING), locked()
    there = live(open_)
    shutting = files.plan_files(replace(shut, previous=open_.accesses), there, PROGRAM)
    assert words(shutting) == [
        (f"rewrites {MENU}/1021", ("more", "myself-debianx")),
        (f"removes {VMS}/debianx.vv", ("myself-debianx",)),
    ]
    assert files.plan_files(shut, live(shut), PROGRAM) == files.ViewerPlan(())
    opening = files.plan_files(replace(open_, previous=shut.accesses), live(shut), PROGRAM)
    assert words(opening) == [
        (f"creates {VMS}/debianx.vv", ("myself-debianx",)),
        (f"rewrites {MENU}/1021", ("more", "myself-debianx")),
    ]


@pytest.mark.parametrize("about", [Lock("user", "myself", "", 0), Lock("vm", "debianx", "", 0)])
def test_closing_leaves_what_is_locked_in_menus(about):
    """What is stored does not say who has it: without this each closing would be a change, and the next run one."""
    compiled = locked(Temporary(locks=(about,)))
    recalled = replace(compiled, locked=(), previous=compiled.accesses)
    entries = closable(compiled)
    assert (
        files.plan_closing(compiled, entries) == files.plan_closing(recalled, entries) == files.ClosingPlan((), (), {})
    )
    # Without locks, or the grants behind them, it goes.
    assert f"{MENU}/1021" in gone(replace(recalled, temporary=NOTHING), entries)
    grants = {name: grant for name, grant in compiled.policy.grants.items() if name == "mybro-leaptest"}
    assert f"{MENU}/1021" in gone(replace(recalled, policy=replace(compiled.policy, grants=grants)), entries)
    assert f"{MENU}/1021" in gone(None, entries)


def test_closing_gives_nothing_by_locks():
    """It makes no menu, no connection file, and of no other file a menu; what it leaves only says what is locked."""
    compiled = locked()
    recalled = replace(compiled, locked=())
    for content in (b"", b"[]", b"{", b'{"consoles": {"debianx": {"locked": true, "grants": 5}}}', b"[" * 100000):
        entries = {f"{MENU}/1021": File(content, 0o640, reader=1021), f"{MENU}/1023": File(b"{}", 0o640, reader=1023)}
        planned = files.plan_closing(recalled, entries)
        assert (planned.remove, planned.write) == ((f"{MENU}/1023", f"{MENU}/1021"), {})
    free = files.desired_entries(locked(NOTHING), PROGRAM)[f"{MENU}/1021"]
    (written,) = files.plan_closing(compiled, {f"{MENU}/1021": free}).write.values()
    assert all(
        set(each) == {"locked", "grants", "windows"} for each in json.loads(written.content)["consoles"].values()
    )
    assert files.plan_closing(compiled, {}).write == {}


def closable(compiled):
    """Return what a run leaves in the directories that are ours alone."""
    own = tuple(f"{path}/" for path in files.DIRECTORIES)
    return {path: entry for path, entry in files.desired_entries(compiled, PROGRAM).items() if path.startswith(own)}


def gone(recalled, entries):
    """Return the paths that closing removes or rewrites."""
    planned = files.plan_closing(recalled, entries)
    return {*planned.remove, *planned.write}


def test_menu_with_contacts():
    """As far as there are some; everybody can read whom all may ask, and it goes with the key."""
    compiled = desired({"viewer": {"contact": "Anne (phone 12)"}, "grants__myself-debianx__contact": "Eve"})
    menus = {uid: json.loads(files.desired_entries(compiled, b"")[f"{MENU}/{uid}"].content) for uid in (1021, 1022)}
    assert menus[1021]["consoles"]["debianx"]["contact"] == "Eve"
    assert menus[1022]["consoles"]["leaptest"]["contact"] == "Anne (phone 12)"
    contact = File(b"Anne (phone 12)\n", 0o644)
    assert files.desired_entries(compiled, b"")["/etc/spice-grant/contact"] == contact
    assert files.plan_files(desired(), live(compiled), PROGRAM).remove == ("/etc/spice-grant/contact",)
    assert files.plan_closing(compiled, {"/etc/spice-grant/contact": contact}).remove == ()
    assert files.plan_closing(None, {"/etc/spice-grant/contact": contact}).remove == ("/etc/spice-grant/contact",)


def test_the_keys_of_hosts_that_give_tickets():
    """As long as they do; closing first leaves them, as who keeps a console could open it no more without."""
    path, known = "/etc/spice-grant/known_hosts", File(f"mysrv {HOST_KEY}\n".encode(), 0o644)
    compiled = desired(TICKETS, unconfinable="")
    assert files.desired_entries(compiled, b"")[path] == known and path in files.paths(compiled)
    assert path not in files.desired_entries(desired(), b"")
    assert files.plan_files(desired(), live(desired(), **{path: known}), PROGRAM).remove == (path,)
    assert files.plan_closing(compiled, {path: known}).remove == ()
    assert files.plan_closing(None, {path: known}).remove == (path,)


def test_menu_of_what_never_opens_again():
    """It stays in the user's menu, which says so."""
    declared = policy(**TIMED, **{"grants__myself-debianx__valid_until": "2020-01-02T18:00Z"})
    compiled = compile_policy(declared, inventory(), now=EARLIEST + 5 * DAY, day=EARLIEST + 5 * DAY)
    mine = [access for access in compiled.accesses if access.uid == 1021]
    assert json.loads(files.menu_text(compiled, mine))["consoles"]["debianx"]["windows"] == ""


def test_entries_let_users_read_only_what_is_theirs():
    entries = files.desired_entries(desired(), PROGRAM)
    assert entries[VMS] == Directory(0o750, GID) and entries[MENU] == Directory(0o711)
    assert {path for path in entries if path.startswith((VMS + "/", MENU + "/"))} == {
        f"{VMS}/debianx.vv",
        f"{VMS}/leaptest.vv",
        f"{MENU}/1021",
        f"{MENU}/1022",
    }
    for path, entry in entries.items():
        assert entry.uid == 0 and not entry.mode & 0o022, path
        if path.startswith(VMS + "/"):
            assert (entry.mode, entry.gid, entry.reader) == (0o640, GID, None)
        if path.startswith(MENU + "/"):
            assert (entry.mode, entry.gid, entry.reader) == (0o640, 0, int(path.rpartition("/")[2]))
    assert entries[LAUNCHER] == File(PROGRAM, 0o755)


def test_parents_come_first():
    paths = list(files.desired_entries(desired(unconfinable=""), PROGRAM))
    assert paths == files.paths(desired())
    for place, path in enumerate(paths):
        assert not [later for later in paths[place:] if path.startswith(f"{later}/")]


def test_the_desktop_file_starts_the_launcher_without_a_terminal():
    text = files.desired_entries(desired(), PROGRAM)[DESKTOP_ENTRY].content.decode()
    assert text.startswith("[Desktop Entry]\nType=Application\n")
    assert f"\nExec={LAUNCHER}\n" in text and "\nTerminal=false\n" in text
    # The standard wants RemoteAccess below Network.
    assert "\nCategories=Network;RemoteAccess;\n" in text


def test_the_second_run_has_nothing_to_do():
    assert files.plan_files(desired(), live(desired()), PROGRAM) == files.ViewerPlan(())


def test_the_first_run():
    before = desired(groups={})
    programs = {VIEWER: Program(0, 0, 0o755)}
    planned = files.plan_files(before, ViewerLive((), programs, {}), PROGRAM)
    assert [what for what, _ in words(planned)] == [
        "creates group spicegrp",
        f"restricts {VIEWER} to root:spicegrp 0750",
        "creates /etc/spice-grant",
        f"creates {VMS}",
        f"creates {MENU}",
        "creates /usr/local/bin/rviewer",
        *(f"creates {path}" for path in desk.PATHS),
        f"creates {VMS}/debianx.vv",
        f"creates {VMS}/leaptest.vv",
        f"creates {MENU}/1022",
        f"creates {MENU}/1021",
    ]
    assert planned.create_group and planned.programs == (VIEWER,) and planned.remove == ()
    assert dict(words(planned))[f"creates {MENU}/1021"] == ("myself-debianx",)
    assert dict(words(planned))[f"creates {VMS}/leaptest.vv"] == ("mybro-leaptest",)


def test_the_first_run_says_what_the_second_then_does_not():
    """What depends on the group's GID is said once, though the group is made on the way."""
    before = desired(groups={})
    sentences = words(files.plan_files(before, ViewerLive((), {VIEWER: Program(0, 0, 0o755)}, {}), PROGRAM))
    later = words(files.plan_files(desired(), ViewerLive((), {VIEWER: Program(0, 0, 0o755)}, {}), PROGRAM))
    assert sentences == [("creates group spicegrp", ()), *later]


def test_a_group_that_others_could_join_is_shut():
    state = live(desired())
    planned = files.plan_files(desired(), state._replace(lendable=True), PROGRAM)
    assert planned.seal and words(planned) == [("takes administrators and password from group spicegrp", ())]
    assert not files.plan_files(desired(), state, PROGRAM).seal


def test_members_are_taken_out_of_the_group():
    planned = files.plan_files(desired(), live(desired(), members=["guest", "mybro"]), PROGRAM)
    assert words(planned) == [
        ("takes guest out of group spicegrp", ()),
        ("takes mybro out of group spicegrp", ()),
    ]
    assert planned.strip == ("guest", "mybro")


@pytest.mark.parametrize(
    "program",
    [
        Program(0, 0, 0o755),
        Program(0, GID, 0o755),
        Program(1021, GID, 0o750),
        Program(0, GID, 0o2750),
        Program(0, 0, 0o750),
    ],
)
def test_a_viewer_that_others_could_start(program):
    planned = files.plan_files(desired(), live(desired(), programs={VIEWER: program}), PROGRAM)
    assert words(planned) == [(f"restricts {VIEWER} to root:spicegrp 0750", ())]
    assert planned.programs == (VIEWER,)


KEPT = ("root", "spicegrp", 0o750)


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        (None, False),
        ({}, False),
        ({VIEWER: KEPT}, False),
        ({VIEWER: None}, True),
        ({VIEWER: ("root", "root", 0o750)}, True),
        ({VIEWER: ("root", "spicegrp", 0o755)}, True),
        ({VIEWER: ("myself", "spicegrp", 0o750)}, True),
    ],
)
def test_a_package_upgrade_leaves_the_viewer_restricted(overrides, count):
    """Where the system's packages can be asked; elsewhere there is nothing to plan."""
    state = live(desired())
    planned = files.plan_files(desired(), ViewerLive(state.members, state.programs, state.entries, overrides), PROGRAM)
    assert words(planned) == [(f"keeps owner and mode of {VIEWER} over package upgrades", ())] * count
    assert planned.overrides == (VIEWER,) * count


def test_each_of_several_viewers():
    compiled = desired({"viewer": {"path": [VIEWER, "/opt/bin/remote-viewer"]}})
    programs = {VIEWER: Program(0, GID, 0o750), "/opt/bin/remote-viewer": Program(0, 0, 0o755)}
    assert files.plan_files(compiled, live(compiled, programs=programs), PROGRAM).programs == (
        "/opt/bin/remote-viewer",
    )


@pytest.mark.parametrize(
    ("path", "entry", "verb", "grants"),
    [
        (f"{VMS}/debianx.vv", None, "creates", ("myself-debianx",)),
        (f"{VMS}/debianx.vv", File(b"", 0o640, GID), "rewrites", ("myself-debianx",)),
        (f"{VMS}/debianx.vv", Other("symbolic link"), "replaces the symbolic link at", ("myself-debianx",)),
        (f"{MENU}/1022", File(b"{}", 0o640, reader=1022), "rewrites", ("mybro-leaptest",)),
        (f"{MENU}/1022", Directory(0o755), "replaces the directory at", ("mybro-leaptest",)),
        (VMS, Directory(0o755, GID), "restores owner and mode of", ()),
        (MENU, Directory(0o755), "restores owner and mode of", ()),
        (LAUNCHER, File(b"exec sh", 0o755), "rewrites", ()),
        (DESKTOP_ENTRY, None, "creates", ()),
    ],
)
def test_tampering_with_a_file(path, entry, verb, grants):
    planned = files.plan_files(desired(), live(desired(), **{path: entry}), PROGRAM)
    assert words(planned) == [(f"{verb} {path}", grants)]
    assert [*planned.write] == [path] and planned.remove == ()


def test_what_does_not_belong_there_goes_the_deepest_first():
    strange = {f"{VMS}/x": Directory(0o755), f"{VMS}/x/y.vv": File(b"", 0o644), f"{MENU}/1023": File(b"{}", 0o644)}
    planned = files.plan_files(desired(), live(desired(), **strange), PROGRAM)
    assert planned.remove == (f"{VMS}/x/y.vv", f"{VMS}/x", f"{MENU}/1023")
    assert words(planned) == [(f"removes {path}", ()) for path in planned.remove]
    assert not planned.write


def test_a_grant_less():
    before = desired()
    after = desired({"grants__myself-debianx": ...}, previous=before.accesses)
    planned = files.plan_files(after, live(before), PROGRAM)
    assert words(planned) == [
        (f"removes {VMS}/debianx.vv", ("myself-debianx",)),
        (f"removes {MENU}/1021", ("myself-debianx",)),
    ]


def test_a_connection_file_stays_as_long_as_somebody_needs_it():
    before = desired({"grants__more": {"user": "mybro", "vm": "debianx"}})
    after = desired({"grants__myself-debianx": ..., "grants__more": {"user": "mybro", "vm": "debianx"}})
    assert files.plan_files(after, live(before), PROGRAM).remove == (f"{MENU}/1021",)


def test_a_user_with_another_uid_has_another_menu():
    before = desired()
    after = desired(users={**inventory().users, "myself": Account("myself", 4000, 4000)}, previous=before.accesses)
    planned = files.plan_files(after, live(before), PROGRAM)
    assert words(planned) == [
        (f"creates {MENU}/4000", ("myself-debianx",)),
        (f"removes {MENU}/1021", ("myself-debianx",)),
    ]


def test_paths_of_connection_files():
    assert connection_file("debianx") == f"{VMS}/debianx.vv"
