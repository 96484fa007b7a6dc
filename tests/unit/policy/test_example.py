"""A first pillar is a valid one, whatever a machine holds, and says what is to be filled in."""

import pathlib
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from salt.utils import yamlloader

from spicegrants.core.accounts import Account
from spicegrants.policy import example, pillar
from spicegrants.policy.example import Console, Seen

pytestmark = pytest.mark.salt

ROOT = pathlib.Path(__file__).parents[3]
PEOPLE = ("anne", "ralph", "charlie", "eve", "boss", "guest")
LIBVIRT = """\
<domain type='kvm' id='3'>
  <name>books</name>
  <devices>
    <graphics type='vnc' port='5907' autoport='no'/>
    <graphics type='spice' port='5900' tlsPort='5901' autoport='no' listen='0.0.0.0'>
      <listen type='address' address='0.0.0.0'/>
    </graphics>
  </devices>
</domain>
"""


def read(text):
    """The policy, as Salt reads the text and as YAML is read elsewhere."""
    assert not re.search(r"\{[{%#]", text) and not text.startswith("#!"), "Salt would take it for a template"
    data = yamlloader.load(text, Loader=yamlloader.SaltYamlSafeLoader)
    assert data == yaml.safe_load(text)
    return pillar.parse_policy(data["spice"])


def grants(policy):
    return {name: (grant.user, grant.vm) for name, grant in policy.grants.items()}


def test_where_nothing_is_seen_it_has_the_names_of_the_readme():
    policy = read(example.pillar(Seen()))
    shown = yaml.safe_load((ROOT / "pillar" / "spice.sls").read_text(encoding="utf-8"))["spice"]
    expected = pillar.parse_policy(shown)
    assert policy.servers == expected.servers and policy.vms == expected.vms
    assert grants(policy) == {"myself-debianx": ("myself", "debianx"), "mybro-leaptest": ("mybro", "leaptest")}


def test_what_is_seen_is_in_its_place_and_the_rest_is_to_be_filled_in():
    consoles = (Console("books", 5901, 5900), Console("analysis", 5903), Console("auto", 5905, 5904, True))
    text = example.pillar(Seen(PEOPLE, "/etc/pki/qemu/ca-cert.pem", "kvm1.example.org", consoles))
    policy = read(text)
    (server,) = policy.servers.values()
    assert (server.name, server.host, server.addresses) == ("kvm1", "kvm1.example.org", ())
    assert (server.ports, server.ca) == (((5900, 5901), (5903, 5905)), "/etc/pki/qemu/ca-cert.pem")
    assert {vm.name: vm.tls_port for vm in policy.vms.values()} == {"analysis": 5903, "auto": 5905, "books": 5901}
    # A few, one console after the other.
    assert grants(policy) == {
        "anne-analysis": ("anne", "analysis"),
        "ralph-auto": ("ralph", "auto"),
        "charlie-books": ("charlie", "books"),
        "eve-analysis": ("eve", "analysis"),
    }
    noted = {line.split(":")[0].strip(): line.partition("  # ")[2] for line in text.splitlines()}
    assert noted["ca"] == "seen here" and noted["vms"] == "as libvirt defines them on this machine"
    assert noted["auto"] == "libvirt chose the port (autoport): set a fixed one"
    assert {key for key, note in noted.items() if note.startswith("fill in: ")} == {"host", "ports", "grants"}


@pytest.mark.parametrize("host", ["", "a b", "-x", "kvm\n1", "x" * 300, "{{ 7 }}"])
def test_a_host_name_that_is_none_is_not_taken(host):
    (server,) = read(example.pillar(Seen(host=host, consoles=(Console("books", 5901),)))).servers.values()
    assert (server.name, server.host) == ("mysrv", "mysrv.anraconc.de")


ODD = st.one_of(
    st.text(max_size=70),
    st.sampled_from(
        ["on", "No", "null", "y", "1e3", "0x10", "101", "2026-11-24", "_", "a@b", "a.b", "ALL", "~", "a: b", "#x"]
    ),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,66}", fullmatch=True),
)
CONSOLES = st.builds(Console, ODD, st.integers(1, 65535), st.none() | st.integers(1, 65535), st.booleans())


@given(
    st.lists(st.tuples(ODD, st.integers(-1, 70000), st.sampled_from(["/bin/bash", "/usr/sbin/nologin", ""]))),
    st.none() | ODD.map(lambda name: f"/etc/pki/{name}/ca-cert.pem"),
    st.none() | ODD,
    st.lists(CONSOLES, max_size=8, unique_by=lambda console: console.name),
)
def test_it_is_a_valid_pillar_whatever_the_names(accounts, authority, host, consoles):
    """Names that can be granted nothing, or are no text to YAML, are left out or quoted."""
    found = example.people([(Account(name, uid, 100), shell) for name, uid, shell in accounts], "")
    text = example.pillar(Seen(found, authority, host, tuple(consoles)))
    policy = read(text)
    assert all(line.isprintable() for line in text.splitlines())
    names = {name for name, uid, shell in accounts if 1000 <= uid <= 60000 and shell == "/bin/bash"}
    assert {grant.user for grant in policy.grants.values()} <= (names if found else {"myself", "mybro"})
    assert len(policy.grants) == min(len(found), example.MOST_USERS) or not found
    assert set(policy.vms) <= {console.name for console in consoles} or set(policy.vms) == {"debianx", "leaptest"}


ACCOUNTS = [
    (Account("root", 0, 0), "/bin/bash"),
    (Account("daemon", 1, 1), "/usr/sbin/nologin"),
    (Account("anne", 1002, 100), "/bin/zsh"),
    (Account("ralph", 1001, 100), "/usr/bin/fish"),
    (Account("backup", 1003, 100), "/bin/false"),
    (Account("one", 1004, 100), "/bin/sh"),
    (Account("same", 1004, 100), "/bin/sh"),
    (Account("pc42$", 1005, 100), "/bin/sh"),
    (Account("ALL", 1006, 100), "/bin/sh"),
    (Account("early", 500, 100), "/bin/sh"),
    (Account("nobody", 65534, 100), "/bin/sh"),
]


@pytest.mark.parametrize(
    ("login_defs", "names"),
    [
        ("", ("ralph", "anne")),
        ("# UID_MIN 1\nUID_MIN 500\n", ("early", "ralph", "anne")),
        ("UID_MIN\t\t 0x1F4\nUID_MAX 1001 \n", ("early", "ralph")),
        ("UID_MIN many\nUID_MAX -1\nUID_MAX 99999999999999999999999\n", ("ralph", "anne")),
        ("UID_MIN 0\n", ("early", "ralph", "anne")),
        ("\x00\ufffd UID_MIN", ("ralph", "anne")),
    ],
)
def test_people_are_told_by_uid_and_shell(login_defs, names):
    assert example.people(ACCOUNTS, login_defs) == names


AUTO = "tlsPort='5901' autoport='yes'"


def _with(old, new):
    return LIBVIRT.replace(old, new)


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (LIBVIRT, Console("books", 5901, 5900)),
        (_with("port='5900' tlsPort='5901' autoport='no'", AUTO), Console("books", 5901, None, True)),
        (_with("tlsPort='5901'", "tlsPort='-1'"), None),
        (_with("tlsPort='5901'", ""), None),
        (_with("tlsPort='5901'", "tlsPort='65536'"), None),
        (_with("tlsPort='5901'", "tlsPort='٣'"), None),
        (_with("type='spice'", "type='vnc'"), None),
        (_with("<domain", "<!DOCTYPE d [<!ENTITY a 'aaaa'>]><domain"), None),
        (f"<?xml version='1.0' encoding='utf-16'?>{LIBVIRT}", Console("books", 5901, 5900)),
        ("<domain/>", None),
        ("", None),
        ("error: no domain", None),
        ("<a>" * 100000, None),
        ("\x00", None),
        ("\ud800", None),
    ],
)
def test_a_console_is_read_from_libvirts_definition(definition, expected):
    assert example.console("books", definition) == expected
