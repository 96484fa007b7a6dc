"""Declared consoles beside libvirt's domains: what keeps one shut, in which words, and what is put right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.hypervisor import consoles, domains
from spicegrants.hypervisor.domains import Domain
from spicegrants.policy import pillar
from unit.build import changed
from unit.kvm import SHUT, domain, graphics, hosted, policy
from unit.strategies import lines, names

# Behind debianx (20002) is a domain of another name, behind leaptest (20004) one of its own.
DECLARED = policy(vms__debianx__domain="debianx-kali").consoles_of("kvm1")
KALI, LEAP = "debianx-kali", "leaptest"


def found(defined=(), running=()):
    """Return a host's domains, of their XML."""
    return domains.assembled(domains.parse("".join(defined)), domains.parse("".join(running)))


def good(name, tls_port, **attributes):
    return domain(name, graphics(tls_port, **{**SHUT, **attributes}))


BOTH = (good(KALI, 20002), good(LEAP, 20004))


def judged(defined=BOTH, running=(), accepted=()):
    return consoles.judge(DECLARED, found(defined, running), dict(accepted))


def said(judgement):
    return {name: [*console.wrong] for name, console in judgement.items()}


@pytest.mark.parametrize("running", [(), BOTH, BOTH[:1]])
@pytest.mark.parametrize("accepted", [{}, {"debianx": f"of {KALI}", "leaptest": f"of {LEAP}"}])
def test_as_declared(running, accepted):
    """Running or off."""
    judgement = judged(BOTH, running, accepted)
    assert said(judgement) == {"debianx": [], "leaptest": []} and consoles.sentences(judgement) == []
    assert not any(console.redefine or console.restart for console in judgement.values())
    assert [console.domain.name for console in judgement.values()] == [KALI, LEAP]


OTHER = f"behind it is another domain than before: of {LEAP}, not old; spice_host.accept takes it"


@pytest.mark.parametrize(
    ("defined", "running", "accepted", "sentences", "redefined"),
    [
        # No domain, or none with that name.
        (BOTH[:1], (), {}, ["there is no domain leaptest"], False),
        (
            (BOTH[0], good("other", 20004)),
            (),
            {},
            ["there is no domain leaptest", "port 20004 is that of domain other as well"],
            False,
        ),
        # Somebody else at its port: as defined, as it runs, without TLS.
        (
            (*BOTH, good("other", 20004), good("more", 20004)),
            (),
            {},
            ["port 20004 is that of domain more, other as well"],
            False,
        ),
        (
            (*BOTH, good("other", 20009)),
            (good("other", 20004),),
            {},
            ["port 20004 is that of domain other as well"],
            False,
        ),
        (
            (*BOTH, domain("other", graphics(20009, port="20004"))),
            (),
            {},
            ["port 20004 is that of domain other as well"],
            False,
        ),
        (
            (BOTH[0], good(LEAP, 20005), good("other", 20004)),
            (),
            {},
            ["port 20004 is that of domain other as well"],
            False,
        ),
        # Another domain of its name.
        (BOTH, (), {"leaptest": "old"}, [OTHER], False),
        ((BOTH[0], good(LEAP, 20005)), (), {"leaptest": "old"}, [OTHER], False),
        # Its definition.
        ((BOTH[0], good(LEAP, 20005)), (), {}, [], True),
        ((BOTH[0], good(LEAP, 20004, passwdValidTo=None)), (), {}, [], True),
        ((BOTH[0], domain(LEAP)), (), {}, ["domain leaptest has 0 SPICE consoles, not one"], False),
        (
            (BOTH[0], domain(LEAP, graphics(20004, **SHUT), graphics(20005, **SHUT))),
            (),
            {},
            ["domain leaptest has 2 SPICE consoles, not one"],
            False,
        ),
        (
            (BOTH[0], domain(LEAP, graphics(None, "<listen type='socket' socket='/run/a'/>", **SHUT))),
            (),
            {},
            ["domain leaptest listens on a socket, or nowhere, not on a port"],
            False,
        ),
        # What runs.
        (
            BOTH,
            (good(LEAP, 20005),),
            {},
            ["domain leaptest runs with port 20005 instead of 20004: restart it"],
            False,
        ),
        (
            BOTH,
            (domain(LEAP, graphics(None, port="5900", **SHUT)),),
            {},
            ["domain leaptest runs with port 5900 instead of 20004: restart it"],
            False,
        ),
        (BOTH, (domain(LEAP, graphics(None)),), {}, ["domain leaptest runs without port 20004: restart it"], False),
        (
            BOTH,
            (good(LEAP, 20004, port="5900"),),
            {},
            ["domain leaptest runs with port 5900 without TLS: restart it"],
            False,
        ),
        (
            BOTH,
            (good(LEAP, 20004, defaultMode=None),),
            {},
            ["domain leaptest runs with channels that need no TLS: restart it"],
            False,
        ),
        (
            BOTH,
            (good(LEAP, 20004, within="<channel name='main' mode='any'/>"),),
            {},
            ["domain leaptest runs with channels that need no TLS: restart it"],
            False,
        ),
        (
            BOTH,
            (good(LEAP, 20004, passwd=None, passwdValidTo=None),),
            {},
            ["domain leaptest runs without a password: restart it"],
            False,
        ),
        (BOTH, (domain(LEAP),), {}, ["domain leaptest runs with 0 SPICE consoles, not one: restart it"], False),
        # A ticket's password, or one that never ends, is no reason for a restart.
        (BOTH, (good(LEAP, 20004, passwdValidTo="2026-12-01T08:00:30"),), {}, [], False),
        (BOTH, (good(LEAP, 20004, passwdValidTo=None),), {}, [], False),
        # Defined otherwise since it runs.
        (
            (BOTH[0], good(LEAP, 20005)),
            (good(LEAP, 20005),),
            {},
            ["domain leaptest runs with port 20005 instead of 20004: restart it"],
            True,
        ),
        # It only runs, without a definition.
        (BOTH[:1], (BOTH[1],), {}, [], False),
        (
            BOTH[:1],
            (good(LEAP, 20005),),
            {},
            ["domain leaptest runs with port 20005 instead of 20004: restart it"],
            False,
        ),
        # Everything at once.
        (
            (BOTH[0], good(LEAP, 20005), good("other", 20004)),
            (good(LEAP, 20005),),
            {"leaptest": "old"},
            [
                "port 20004 is that of domain other as well",
                OTHER,
                "domain leaptest runs with port 20005 instead of 20004: restart it",
            ],
            False,
        ),
    ],
)
def test_what_keeps_a_console_shut(defined, running, accepted, sentences, redefined):
    judgement = judged(defined, running, accepted)
    assert said(judgement) == {"debianx": [], "leaptest": sentences}
    assert {name: console.redefine for name, console in judgement.items()} == {"debianx": False, "leaptest": redefined}
    expected = [("leaptest", "; ".join(sentences))] if sentences else []
    assert consoles.sentences(judgement) == expected


def test_two_declared_consoles_whose_ports_are_exchanged():
    """Both are named, and both are put right; what runs meanwhile is shut until it is restarted."""
    exchanged = (good(KALI, 20004), good(LEAP, 20002))
    judgement = judged(exchanged)
    assert said(judgement) == {
        "debianx": ["port 20002 is that of domain leaptest as well"],
        "leaptest": ["port 20004 is that of domain debianx-kali as well"],
    }
    assert all(console.redefine for console in judgement.values())
    running = judged(exchanged, exchanged)
    assert {name: wrong[1:] for name, wrong in said(running).items()} == {
        "debianx": ["domain debianx-kali runs with port 20004 instead of 20002: restart it"],
        "leaptest": ["domain leaptest runs with port 20002 instead of 20004: restart it"],
    }
    assert {console.restart for console in running.values()} == {
        "runs with port 20004 instead of 20002",
        "runs with port 20002 instead of 20004",
    }


def test_none_is_put_right_while_it_is_another_domain():
    """Nor is the other of the two then: it would get a port behind which nobody knows who is."""
    exchanged = (good(KALI, 20004), good(LEAP, 20002))
    judgement = judged(exchanged, accepted={"leaptest": "old"})
    assert {name: console.redefine for name, console in judgement.items()} == {"debianx": True, "leaptest": False}


PORTS = st.sampled_from([None, 20002, 20004, 20005])
MODES = st.sampled_from(["secure", "secure", "any"])
CONSOLES = st.builds(
    graphics,
    PORTS,
    port=st.sampled_from([None, None, None, "20004", "5900"]),
    defaultMode=MODES,
    passwd=st.sampled_from(["x", "x", None]),
    passwdValidTo=st.sampled_from([domains.ENDED, None]),
)
DOMAINS = st.builds(
    lambda name, found, uuid: domain(name, *found, uuid=uuid),
    st.sampled_from([LEAP, LEAP, KALI, "other"]),
    st.lists(CONSOLES, min_size=1, max_size=2) | st.lists(CONSOLES, max_size=1),
    st.sampled_from([None, None, "of somebody"]),
)


@st.composite
def hosts(draw):
    """Draw a host's domains: names and UUIDs are each one's own, among definitions and among what runs."""
    defined = draw(st.lists(DOMAINS, max_size=4))
    running = draw(st.lists(DOMAINS, max_size=4))
    found = []
    for texts in (defined, running):
        parsed = domains.parse("".join(texts))
        kept = {domains.name_of(each): each for each in parsed}
        found.append([*{domains.uuid_of(each): each for each in kept.values()}.values()])
    return found


@given(hosts(), st.sampled_from([{}, {"leaptest": f"of {LEAP}"}, {"leaptest": "of somebody"}]))
def test_nothing_is_wrong_only_if_all_is_right(host, accepted):
    """What it must be, said once more without the code; and then a running domain is also taken for its console."""
    defined, running = host
    every = domains.assembled(defined, running)
    console = consoles.judge(DECLARED, every, accepted)["leaptest"]
    named = {each.name: each for each in every}
    mine = named.get(LEAP)
    places = {
        port for each in named.values() if each.name != LEAP for one in _all(each) for port in (one.tls_port, one.port)
    }
    right = (
        mine is not None
        and 20004 not in places
        and accepted.get("leaptest") in (None, mine.uuid)
        and len(mine.defined if mine.defined is not None else mine.now) == 1
        and (mine.now is None or (len(mine.now) == 1 and _secure(mine.now[0])))
    )
    assert (console.wrong == ()) == right
    if right and mine.now is not None:
        (element,) = (each for each in running if domains.uuid_of(each) == mine.uuid)
        name = domains.name_of(element)
        expected = None if name == LEAP else f"the domain with the UUID of {LEAP} is called {name} now"
        assert consoles.hindrance(DECLARED["leaptest"], element) == expected
    if console.redefine:
        (one,) = mine.defined
        assert not domains.as_declared(one, 20004) and "other" not in {
            each.name for each in every for one in _all(each) if 20004 in (one.tls_port, one.port)
        }


def _all(found: Domain):
    return (*(found.defined or ()), *(found.now or ()))


def _secure(one):
    return (one.tls_port, one.port, one.mode, one.ticketed) == (20004, None, "secure", True)


@pytest.mark.parametrize(
    ("running", "sentence"),
    [
        (good(LEAP, 20004), None),
        (good(LEAP, 20004, passwdValidTo="2026-12-01T08:00:30"), None),
        (
            good(
                "other",
                20004,
            ),
            "the domain with the UUID of leaptest is called other now",
        ),
        (good(LEAP, 20005), "domain leaptest runs with port 20005 instead of 20004"),
        (good(LEAP, 20004, port="5900"), "domain leaptest runs with port 5900 without TLS"),
        (good(LEAP, 20004, defaultMode="any"), "domain leaptest runs with channels that need no TLS"),
        (good(LEAP, 20004, passwd=None), "domain leaptest runs without a password"),
        (domain(LEAP, graphics(None)), "domain leaptest runs without port 20004"),
        (domain(LEAP), "domain leaptest has 0 SPICE consoles, not one"),
        (domain(LEAP, graphics(20004, **SHUT), graphics(20005)), "domain leaptest has 2 SPICE consoles, not one"),
    ],
)
def test_what_hinders_a_ticket(running, sentence):
    (element,) = domains.parse(running)
    assert consoles.hindrance(DECLARED["leaptest"], element) == sentence


# What pillar does not declare


@pytest.mark.parametrize(
    ("listeners", "why"),
    [
        ([("::", 20002)], None),
        ([("192.168.2.2", 20002), ("192.168.2.2", 20003), ("::", 22)], None),
        # Desks reach neither.
        ([("::", 20002), ("127.0.0.1", 20002), ("::1", 20002)], None),
        (
            [("192.168.2.2", 20002), ("10.0.0.1", 20002)],
            "at port 20002 several programs listen (10.0.0.1, 192.168.2.2)",
        ),
        ([("192.168.2.2", 20002), ("::", 20002)], "at port 20002 several programs listen (192.168.2.2, ::)"),
        ([], "at port 20002 nobody listens"),
        ([("127.0.0.1", 20002)], "at port 20002 nobody listens"),
    ],
)
def test_who_answers_at_a_port(listeners, why):
    """Two programs may have one port at two addresses; which of them a desk reaches is no matter of libvirt's."""
    assert consoles.shared(20002, listeners) == why


def test_proposed():
    every = found(
        (
            *BOTH,
            good("books", 20003),
            good("Müller 北京", 20006),
            good("a: [b", 20007),
            good("zero\u200bwidth", 20008),
            domain("plain", graphics(None, port="5900")),
            domain("auto", graphics(None, autoport="yes")),
            domain("two", graphics(20009), graphics(20010)),
            domain("none"),
        ),
        (good("transient", 20001),),
    )
    assert consoles.proposed("mysrv", every, [KALI, LEAP]) == {
        "vm-20006": {"server": "mysrv", "tls_port": 20006, "domain": "Müller 北京"},
        "vm-20007": {"server": "mysrv", "tls_port": 20007, "domain": "a: [b"},
        "books": {"server": "mysrv", "tls_port": 20003},
        "transient": {"server": "mysrv", "tls_port": 20001},
    }


@given(st.lists(st.one_of(names, lines, st.text(max_size=8)), max_size=5, unique=True))
def test_what_is_proposed_can_be_declared(called):
    every = [
        Domain(name, name, (domains.Graphics(20001 + place, None, False, "any", False, None),))
        for place, name in enumerate(called)
    ]
    proposed = consoles.proposed("mysrv", every, [])
    declared = pillar.parse_policy(changed(hosted(), vms=proposed, grants={}))
    usable = {name for name in called if name.isprintable() and name.strip() == name and name}
    assert {vm.libvirts_name: vm.tls_port for vm in declared.vms.values()} == {
        name: 20001 + place for place, name in enumerate(called) if name in usable
    }
