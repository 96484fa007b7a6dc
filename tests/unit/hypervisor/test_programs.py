"""Files of a KVM host: who may ask, as sshd reads it, what is loaded at the boot, and the service."""

import json
import pathlib
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.entries import Directory, File, Link
from spicegrants.core.errors import PolicyError
from spicegrants.core.paths import HOST_ASK, HOST_PORTS
from spicegrants.hypervisor import port_table, programs
from spicegrants.policy import pillar
from unit.kvm import DESKS, hosted, key, policy
from unit.strategies import addresses, hostile, names

GOLDEN = pathlib.Path(__file__).parent / "golden"
GID = 994
PORTS = [(5900, 5900), (20001, 20010)]
ENTRIES = programs.entries(policy(), PORTS, GID, b"ask\n", b"give\n")


def content(entry):
    """Spell an entry as a text to compare."""
    if isinstance(entry, Link):
        return f"-> {entry.target}\n"
    head = f"{entry.mode:04o} {entry.uid}:{entry.gid}\n"
    return head + (entry.content.decode() if isinstance(entry, File) else "")


def test_entries(request):
    path = GOLDEN / "entries"
    made = "".join(f"{f' {name} ':=^100}\n{content(entry)}" for name, entry in ENTRIES.items() if name != HOST_PORTS)
    if request.config.getoption("--update-golden"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


def test_stored_rules_are_what_a_run_loads():
    assert json.loads(ENTRIES[HOST_PORTS].content) == {"nftables": port_table.fresh(PORTS)}
    assert ENTRIES[HOST_PORTS].mode == 0o600


def test_what_is_removed_is_what_is_made():
    directories = [path for path, entry in ENTRIES.items() if isinstance(entry, Directory)]
    assert [*programs.DIRECTORIES] == directories
    assert {*programs.PATHS, *programs.DIRECTORIES} == {*ENTRIES} and len({*programs.PATHS}) == len(programs.PATHS)


def test_parents_come_first():
    paths = [*ENTRIES]
    for path in paths:
        parents = {str(parent) for parent in pathlib.PurePath(path).parents} & {*paths}
        assert all(paths.index(parent) < paths.index(path) for parent in parents)


def test_nobody_but_root_can_write_any_of_it():
    for entry in ENTRIES.values():
        assert isinstance(entry, Link) or (entry.uid == 0 and not entry.mode & 0o022)


def test_as_long_as_the_account_does_not_exist_nothing_is_the_groups():
    made = programs.entries(policy(), [(20001, 20010)], None, b"", b"")
    assert {path for path, entry in made.items() if getattr(entry, "gid", 0) is None} == {
        *programs.DIRECTORIES,
        programs.KEYS,
    }


# Who may ask


def test_keys(request):
    path = GOLDEN / "authorized_keys"
    made = programs.authorized_keys(policy().desks)
    if request.config.getoption("--update-golden"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


def test_the_order_of_desks_does_not_matter():
    turned = policy(desks=dict(reversed(DESKS.items())))
    assert programs.authorized_keys(turned.desks) == programs.authorized_keys(policy().desks)


def test_no_desk():
    assert programs.authorized_keys({}) == ""


def read_line(line):
    """Read a line as sshd does, auth2-pubkeyfile.c and auth-options.c: options by name, kind of key, and key."""
    at, quoted = 0, False
    while quoted or line[at] not in " \t":
        if line.startswith('\\"', at):
            at += 1
        elif line[at] == '"':
            quoted = not quoted
        at += 1
    found, rest = {}, line[:at]
    while rest:
        option = re.match(r'([a-z-]+)(?:="((?:[^"\\]|\\.)*)")?(?:,|$)', rest)
        assert option and option[1] not in found, rest
        found[option[1]], rest = option[2], rest[option.end() :]
    kind, key = line[at:].strip(" \t").split(" ")
    return found, kind, key


def check_keys(desks):
    """Each line lets one desk do one thing from its own addresses, by its own key."""
    lines = programs.authorized_keys(desks).split("\n")
    assert lines.pop() == "" and len(lines) == len(desks)
    found = {}
    for line in lines:
        options, kind, key = read_line(line)
        assert [*options] == ["restrict", "from", "command"] and options["restrict"] is None
        # The account's shell runs it.
        program, name = shlex.split(options["command"])
        assert program == HOST_ASK and options["command"] == f"{program} {name}"
        found[name] = options["from"].split(","), f"{kind} {key}"
    assert found == {name: ([*desk.addresses], desk.key) for name, desk in desks.items()}


@given(
    st.dictionaries(names, st.lists(addresses.map(str), min_size=1, max_size=3, unique=True), max_size=4),
    st.permutations("abcd"),
)
def test_each_line_is_one_desks(places, letters):
    desks = {name: {"addresses": found, "key": key(letter)} for (name, found), letter in zip(places.items(), letters)}
    check_keys(policy(desks=desks).desks)


KEYS = st.one_of(
    st.just(key("a")),
    hostile,
    st.builds("{}{}".format, st.just(key("a")), hostile),
    st.builds("{}{}".format, hostile, st.just(key("a"))),
    hostile.map(lambda text: key("a")[:40] + text + key("a")[40:]),
)
PLACES = st.lists(st.one_of(addresses.map(str), hostile, st.builds("192.168.2.2{}".format, hostile)), max_size=2)


@given(st.one_of(names, hostile, st.builds("{}{}".format, names, hostile)), PLACES, KEYS)
def test_whatever_pillar_says_nothing_leaves_its_quotes(name, places, found):
    try:
        declared = pillar.parse_policy(hosted(desks={name: {"addresses": places, "key": found}}))
    except PolicyError:
        return
    check_keys(declared.desks)


@pytest.mark.parametrize(
    "desk",
    [
        {'desk",command="sh': {"addresses": ["192.168.2.22"], "key": key("a")}},
        {"desk 1": {"addresses": ["192.168.2.22"], "key": key("a")}},
        {"desk$(id)": {"addresses": ["192.168.2.22"], "key": key("a")}},
        {"desk\nssh": {"addresses": ["192.168.2.22"], "key": key("a")}},
        {"desk": {"addresses": ["*"], "key": key("a")}},
        {"desk": {"addresses": ["!192.168.2.22"], "key": key("a")}},
        {"desk": {"addresses": ["192.168.2.0/24"], "key": key("a")}},
        {"desk": {"addresses": ['192.168.2.22",command="sh'], "key": key("a")}},
        {"desk": {"addresses": [], "key": key("a")}},
        {"desk": {"addresses": ["192.168.2.22"], "key": key("a") + " a comment"}},
        {"desk": {"addresses": ["192.168.2.22"], "key": key("a") + "\n" + key("b")}},
        {"desk": {"addresses": ["192.168.2.22"], "key": 'environment="A=B" ' + key("a")}},
        {"desk": {"addresses": ["192.168.2.22"], "key": key("a").replace("ed25519 ", "rsa ", 1)}},
    ],
)
def test_a_desk_that_could_leave_them_is_refused(desk):
    with pytest.raises(PolicyError):
        policy(desks=desk)
