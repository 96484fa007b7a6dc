"""libvirt's domains: what virsh prints is read, made as it must be, and otherwise left as it is."""

import pathlib
import re
from xml.dom import minidom
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core.errors import LiveStateUnreadable
from spicegrants.hypervisor import domains
from spicegrants.hypervisor.domains import ENDED, Domain, Graphics
from unit.kvm import SHUT, domain, graphics

RECORDED = pathlib.Path(__file__).parents[1] / "recorded"
LOCAL, EVERYWHERE = ("127.0.0.1",), ("0.0.0.0",)  # noqa: S104 - as it was recorded


def recorded(name):
    """Return what ``virsh dumpxml --security-info`` of libvirt 9.0 has printed of several domains."""
    return (RECORDED / f"domains-{name}.xml").read_text(encoding="utf-8")


def read(name):
    return {domains.name_of(found): found for found in domains.parse(recorded(name))}


def console(text):
    """Return the one console of the one domain in a text."""
    (found,) = domains.parse(text)
    (console,) = domains.consoles(found)
    return console


# What virsh prints

INACTIVE = {
    'a<b>&"c': [Graphics(20013, None, False, "any", False, None)],
    "Müller 北京": [Graphics(20014, None, False, "any", False, None)],
    "auto": [Graphics(None, None, True, "any", False, None)],
    "auto-tls": [Graphics(None, None, True, "secure", False, None, EVERYWHERE)],
    "both": [Graphics(20004, 5952, False, "any", False, None, LOCAL)],
    "channels": [Graphics(20011, 5955, False, "insecure", True, "2026-12-31T23:00:00", EVERYWHERE)],
    "ended": [Graphics(20010, None, False, "secure", True, ENDED)],
    "listen": [Graphics(20005, None, False, "any", False, None, ("::1",))],
    "none": [],
    "nowhere": [Graphics(None, None, False, "any", False, None, local=True)],
    "password": [Graphics(20009, None, False, "any", True, None)],
    "plain": [Graphics(None, 5951, False, "any", False, None)],
    "socket": [Graphics(None, None, False, "any", False, None, local=True)],
    "tls": [Graphics(20003, None, False, "any", False, None, EVERYWHERE)],
    "two": [Graphics(port, None, False, "any", False, None) for port in (20006, 20007)],
    "vnc": [Graphics(20008, None, False, "any", True, None)],
}
RUNNING = {
    'a<b>&"c': [Graphics(20013, None, False, "any", False, None, LOCAL)],
    "Müller 北京": [Graphics(20014, None, False, "any", False, None, LOCAL)],
    "auto": [Graphics(5901, 5900, True, "any", False, None, LOCAL)],
    "auto-tls": [Graphics(5902, None, True, "secure", False, None, EVERYWHERE)],
    "both": INACTIVE["both"],
    "channels": INACTIVE["channels"],
    "ended": [Graphics(20010, None, False, "secure", True, ENDED, LOCAL)],
    "listen": INACTIVE["listen"],
    "none": [],
    "nowhere": INACTIVE["nowhere"],
    "password": [Graphics(20009, None, False, "any", True, None, LOCAL)],
    "plain": [Graphics(None, 5951, False, "any", False, None, LOCAL)],
    "socket": INACTIVE["socket"],
    "tls": INACTIVE["tls"],
    "transient": [Graphics(20020, None, False, "any", False, None, LOCAL)],
    "vnc": [Graphics(20008, None, False, "any", True, None, LOCAL)],
}


@pytest.mark.parametrize(("name", "expected"), [("inactive", INACTIVE), ("running", RUNNING)])
def test_recorded_domains(name, expected):
    assert {called: [*domains.consoles(found)] for called, found in read(name).items()} == expected


def test_definitions_and_what_runs_are_put_together():
    found = domains.assembled(read("inactive").values(), read("running").values())
    assert [each.name for each in found] == sorted({*INACTIVE, *RUNNING})
    for each in found:
        defined, now = (None if each.name not in among else (*among[each.name],) for among in (INACTIVE, RUNNING))
        assert (each.defined, each.now) == (defined, now)
    assert {each.name for each in found if each.now is None} == {"two"}
    assert {each.name for each in found if each.defined is None} == {"transient"}


def test_what_runs_belongs_to_a_definition_by_its_uuid():
    defined = domains.parse(domain("books", graphics(20003)) + domain("wiki", graphics(20004)))
    running = domains.parse(domain("books", graphics(20004), uuid="of wiki"))
    now = (Graphics(20004, None, False, "any", False, None),)
    assert domains.assembled(defined, running) == [
        Domain("books", "of books", (Graphics(20003, None, False, "any", False, None),), None),
        Domain("wiki", "of wiki", now, now),
    ]


def test_no_password_is_kept():
    found = domains.assembled(read("inactive").values(), read("running").values())
    passwords = re.findall("passwd='(.*?)'", recorded("inactive"))
    assert {"secret", "vncpass"} <= set(passwords) and not any(each in repr(found) for each in passwords if each != "x")


# Anything

BOMB = '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
FILE = '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
GOOD = domain("books", graphics(20003))


@pytest.mark.parametrize(
    "printed",
    [
        BOMB + GOOD,
        GOOD + BOMB,
        FILE + domain("books", more="<title>&a;</title>"),
        f"</domains>{FILE}<domains>" + domain("books", more="<title>&a;</title>"),
        domain("books", more=FILE + "<title>&a;</title>"),
        "<<!--!DOCTYPE d>" + GOOD,
        domain("books", more="<title>&undefined;</title>"),
        f"<?xml version='1.0' encoding='UTF-7'?>{GOOD}",
        GOOD + "</domains><domains>",
        GOOD[:-3],
        GOOD[3:],
        GOOD + "\0",
        GOOD.replace('20003"', "20003"),
        "<domain>",
        "&",
    ],
)
def test_what_is_no_list_of_domains(printed):
    with pytest.raises(LiveStateUnreadable, match="virsh dumpxml printed what is no XML"):
        domains.parse(printed)


@pytest.mark.parametrize("printed", ["", "\n", "error: none of them\n", "<network/>", "<!-- <domain/> -->"])
def test_no_domain(printed):
    assert domains.parse(printed) == []


def test_a_domain_without_anything():
    (found,) = domains.parse("<domain/>")
    assert (domains.name_of(found), domains.uuid_of(found), domains.consoles(found)) == ("", "", ())


def test_text_that_looks_like_a_console_is_none():
    text = "&lt;graphics type='spice'/><![CDATA[<graphics type='spice' tlsPort='1'/><!DOCTYPE d>]]><!-- <graphics/> -->"
    assert console(domain("books", graphics(20003), more=f"<description>{text}</description>")).tls_port == 20003


@pytest.mark.parametrize(
    ("text", "port"),
    [
        *(("20003", 20003), ("65535", 65535), ("020003", None), ("0", None), ("-1", None), ("", None), ("x", None)),
        *(
            ("9" * 5000, None),
            ("2e4", None),
            ("0x10", None),
            (" 1", None),
            ("\u0661", None),
            ("+1", None),
            ("1_0", None),
        ),
    ],
)
def test_ports(text, port):
    found = console(domain("books", graphics(text, port=text)))
    assert (found.tls_port, found.port) == (port, port)


# As it must be


@pytest.mark.parametrize(
    "attributes",
    [
        {"defaultMode": "any"},
        {"defaultMode": None},
        {"passwd": None},
        {"passwdValidTo": None},
        {"passwdValidTo": "2038-01-01T00:00:00"},
        {"autoport": "yes"},
        {"port": "5900"},
        {"tls_port": "20004"},
        {"tls_port": None},
        {"within": "<channel name='main' mode='any'/>"},
        {"within": "<channel name='main' mode='secure'/><channel name='record' mode='insecure'/>"},
        {"within": "<listen type='socket' socket='/run/books'/>"},
        {"within": "<listen type='none'/>"},
    ],
)
def test_what_a_console_must_not_be(attributes):
    good = {"tls_port": "20003", **SHUT}
    assert domains.as_declared(console(domain("books", graphics(**good))), 20003)
    assert not domains.as_declared(console(domain("books", graphics(**{**good, **attributes}))), 20003)


TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters="\x7f"), max_size=12)
PORTS = st.one_of(st.none(), st.sampled_from(["-1", "0", "5900", "20003"]), st.integers(1, 65535).map(str))
LISTENS = st.sampled_from(
    ["<listen type='address'/>", "<listen type='address' address='::1'/>", "<listen type='network' network='default'/>"]
)
WITHIN = st.one_of(
    st.builds("<channel name='{}' mode='{}'/>".format, st.sampled_from("abc"), st.sampled_from(["secure", "any", "x"])),
    st.sampled_from(
        ["<image compression='off'/>", "<!-- graphics -->", "\n  ", "<gl enable='no'/>", "<o:x xmlns:o='urn:o'/>"]
    ),
)
SPICE = st.builds(
    graphics,
    PORTS,
    st.builds("{}{}".format, LISTENS, st.lists(WITHIN, max_size=3).map("".join)),
    port=PORTS,
    autoport=st.sampled_from([None, "yes", "no"]),
    listen=st.none() | TEXTS,
    keymap=st.none() | TEXTS,
    defaultMode=st.sampled_from([None, "any", "secure", "insecure"]),
    passwd=st.none() | TEXTS,
    passwdValidTo=st.sampled_from([None, ENDED, "2026-12-31T23:00:00"]),
    connected=st.sampled_from([None, "keep", "fail", "disconnect"]),
)
OTHERS = st.sampled_from(
    [
        graphics(None, kind="vnc", port="5901", **SHUT),
        "<!-- a device -->",
        "<disk type='file'><source file='/a &amp; b'/></disk>",
        "<qemu:x xmlns:qemu='urn:a' qemu:y='1'><z xmlns='urn:b'>&lt;![CDATA[</z></qemu:x>",
        "\n    ",
    ]
)
METADATA = st.sampled_from(
    [
        "",
        "<title>Müller &amp; \u5317</title>",
        "<metadata><l:os xmlns:l='http://libosinfo.org/xmlns/libvirt/domain/1.0' id='a'/><a xmlns='urn:a' b='c'/>"
        "<?pi some?><!-- other programs' --><x><![CDATA[<!DOCTYPE x>]]></x></metadata>",
    ]
)
# What this is about: all other attributes, and what else is within, are left as they are.
OURS = ("port", "tlsPort", "autoport", "defaultMode", "passwd", "passwdValidTo", "connected")


@st.composite
def printed(draw):
    """Draw a domain with one SPICE console, among other things."""
    before, after = (draw(st.lists(OTHERS, max_size=2)) for _ in range(2))
    return domain(draw(TEXTS), *before, draw(SPICE), *after, more=draw(METADATA))


def spelled(element):
    return ElementTree.canonicalize(ElementTree.tostring(element, encoding="unicode"), with_comments=True)


def rest(text):
    """Return a domain's canonical XML, comments and prefixes and all, without what is ours to say and indentation."""
    document = minidom.parseString(text)  # noqa: S318 - our own, or recorded
    for element in document.getElementsByTagName("graphics"):
        if element.getAttribute("type") == "spice":
            for name in OURS:
                if element.hasAttribute(name):
                    element.removeAttribute(name)
            for channel in element.getElementsByTagName("channel"):
                if channel.getAttribute("mode") != "secure":
                    element.removeChild(channel)
    return ElementTree.canonicalize(document.toxml(), with_comments=True, strip_text=True)


@given(printed(), st.integers(1, 65535), TEXTS)
def test_redefined_is_as_declared_and_all_else_as_it_was(text, port, secret):
    (found,) = domains.parse(text)
    before = spelled(found)
    made = domains.redefined(found, port, secret)
    assert spelled(found) == before, "what was read is not changed itself"
    (again,) = domains.parse(made)
    (now,) = domains.consoles(again)
    assert domains.as_declared(now, port) and not domains.as_declared(now, port % 65535 + 1)
    assert rest(made) == rest(text)
    assert domains.redefined(again, port, secret) == made
    (was,) = domains.consoles(found)
    assert now.listens == was.listens
    (element,) = (each for each in again.iter("graphics") if each.get("type") == "spice")
    assert element.get("passwd") == secret and element.get("connected") is None
    assert {each.get("mode") for each in element.iter("channel")} <= {"secure"}
    assert (was == now) == domains.as_declared(was, port)


@pytest.mark.parametrize("name", [name for name, found in INACTIVE.items() if len(found) == 1 and not found[0].local])
def test_recorded_domains_redefined(name):
    (text,) = (
        each for each in re.findall("<domain .*?</domain>", recorded("inactive"), re.DOTALL) if _called(each, name)
    )
    (found,) = domains.parse(text)
    made = domains.redefined(found, 20001, "secret")
    assert domains.as_declared(console(made), 20001)
    assert rest(made) == rest(text)


def _called(text, name):
    return f"<name>{escape(name, {chr(34): '&quot;'})}</name>" in text


@given(printed(), TEXTS, st.sampled_from(["keep", "disconnect", "fail"]))
def test_a_ticket_changes_nothing_else_of_a_console(text, secret, connected):
    (found,) = domains.parse(text)
    before = spelled(found)
    made = domains.with_ticket(found, secret, "2026-12-01T08:00:30", connected)
    assert spelled(found) == before
    (was,) = (each for each in found.iter("graphics") if each.get("type") == "spice")
    was.attrib.update(passwd=secret, passwdValidTo="2026-12-01T08:00:30", connected=connected)
    assert ElementTree.canonicalize(made, with_comments=True) == spelled(was)


def test_a_ticket_for_a_recorded_console():
    made = domains.with_ticket(read("running")["ended"], 't"<&>', "2026-12-01T08:00:30", "fail")
    assert made.split("\n")[0] == (
        '<graphics type="spice" tlsPort="20010" autoport="no" listen="127.0.0.1" defaultMode="secure" '
        'passwd="t&quot;&lt;&amp;&gt;" passwdValidTo="2026-12-01T08:00:30" connected="fail">'
    )
