"""A desk's question to the KVM host: what is asked and how, where the ticket goes, and what its user is told."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spicegrants.core import languages
from spicegrants.core.errors import CommandFailed, SystemFault
from spicegrants.policy import pillar, ticket_protocol
from spicegrants.policy.ticket_protocol import REFUSALS, Answer
from spicegrants.viewer import connection_text
from spicegrants.viewer.live import ticket
from unit.build import desired, key_file
from unit.kvm import hosted, policy
from unit.strategies import accounts, hosts, lines, names, passwords, port_numbers

# Tue 2026-12-01, 08:00 in Berlin.
SINCE = 1796108400
BERLIN = policy(time={"zone": "Europe/Berlin"})
TICKET = "-_" + "a1B2" * 9 + "xyz"

# The connection file


def test_a_ticket_in_a_connection_file():
    text = connection_text.connection_text(desired(unconfinable=""), "debianx")
    made = connection_text.with_ticket(text.encode(), TICKET).decode()
    assert made == f"{text}password={TICKET}\n"
    assert key_file(made) == {**key_file(text), "password": TICKET}


@given(st.from_regex(r"[A-Za-z0-9_-]{32,60}", fullmatch=True) | passwords, lines, hosts)
@example("a\\nb\\\\c=;#", "CN=x", "mysrv.anraconc.de")
def test_any_ticket_is_read_as_it_was_given(secret, subject, host):
    """By the rules of GLib's key files, beside whatever else stands there."""
    changes = {"vms__debianx__host_subject": subject, "servers__mysrv__host": host}
    text = connection_text.connection_text(desired(changes, authorities={"mysrv": "a\nb\n"}), "debianx")
    made = connection_text.with_ticket(text.encode(), secret).decode()
    assert key_file(made) == {**key_file(text), "password": secret}


# The question


def test_the_command():
    """All that ssh reads, uses and believes is named; the user and the vm are not."""
    assert ticket.command(policy(), "debianx", "open") == [
        "ssh",
        "-F",
        "none",
        "-T",
        "-i",
        "/var/lib/spice-grant/desk_key",
        "-p",
        "22",
        "-oBatchMode=yes",
        "-oConnectTimeout=8",
        "-oControlPath=none",
        "-oGlobalKnownHostsFile=/dev/null",
        "-oIdentitiesOnly=yes",
        "-oIdentityAgent=none",
        "-oLogLevel=ERROR",
        "-oPreferredAuthentications=publickey",
        "-oStrictHostKeyChecking=yes",
        "-oUpdateHostKeys=no",
        "-oUserKnownHostsFile=/etc/spice-grant/known_hosts",
        "-oHostKeyAlias=mysrv",
        "-l",
        "spice-ticket",
        "mysrv.anraconc.de",
        "open",
    ]


def test_another_port():
    words = ticket.command(policy(servers__mysrv__ssh_port=2222), "debianx", "why")
    assert words[words.index("-p") + 1] == "2222" and words[-1] == "why"


@given(names, hosts, port_numbers, names)
def test_no_word_of_the_pillar_is_an_option(server, host, port, vm):
    data = hosted(vms={vm: {"server": server, "tls_port": 20002}}, grants={})
    data["servers"] = {server: {**data["servers"]["mysrv"], "host": host, "ssh_port": port}}
    words = ticket.command(pillar.parse_policy(data), vm, ticket_protocol.OPEN)
    usual = ticket.command(policy(), "debianx", ticket_protocol.OPEN)
    assert len(words) == len(usual)
    differing = {place for place, pair in enumerate(zip(words, usual)) if len({*pair}) > 1}
    assert differing <= {usual.index("22"), usual.index("-oHostKeyAlias=mysrv"), usual.index("mysrv.anraconc.de")}
    assert not words[-2].startswith("-") and words[-2] == host.lower()


@pytest.fixture
def asked(monkeypatch):
    """Take note of what is run instead of ssh; answer with a line."""
    calls = []

    def answer(line, code=0, complaint=""):
        def attempt(command, **options):
            calls.append((command, options))
            return type("Result", (), {"stdout": line, "stderr": complaint, "returncode": code})

        monkeypatch.setattr(ticket.run, "attempt", attempt)
        return calls

    return answer


@given(user=accounts)
def test_user_and_vm_go_to_standard_input_only(user):
    calls = []
    with pytest.MonkeyPatch.context() as patched:
        result = type("Result", (), {"stdout": f'{{"ticket": "{TICKET}"}}\n', "stderr": "", "returncode": 0})
        patched.setattr(ticket.run, "attempt", lambda *words, **options: calls.append((words, options)) or result)
        assert ticket.ask(policy(), user, "debianx").ticket == TICKET
    (((command,), options),) = calls
    assert command == ticket.command(policy(), "debianx", "open")
    assert options == {"text": f"{user} debianx\n", "timeout": 25}
    assert ticket_protocol.question(options["text"].encode()) == (user, "debianx")


def test_why_a_session_has_ended_is_asked_for_by_another_word(asked):
    calls = asked('{"refusal": "taken_over", "user": "ben"}\n')
    assert ticket.ask(policy(), "anne", "debianx", "why") == Answer(refusal="taken_over", user="ben")
    assert calls[0][0][-1] == "why"


@pytest.mark.parametrize(
    ("complaint", "code", "why"),
    [
        ("mysrv: Connection refused\r\n", 255, "mysrv: Connection refused"),
        ("@@@ long\nHost key verification failed.\r\n", 255, "Host key verification failed"),
        ("", 255, "ssh ended with 255"),
        ("x" * 500, 1, "x" * 200),
    ],
)
def test_a_host_that_cannot_be_asked(asked, complaint, code, why):
    asked('{"ticket": "' + TICKET + '"}\n', code, complaint)
    with pytest.raises(SystemFault) as raised:
        ticket.ask(policy(), "anne", "debianx")
    assert str(raised.value) == f"the KVM host kvm1 cannot be asked: {why}"


def test_a_host_that_does_not_answer(monkeypatch):
    def attempt(*words, **options):
        raise CommandFailed("ssh has not answered within 25 s")

    monkeypatch.setattr(ticket.run, "attempt", attempt)
    with pytest.raises(SystemFault, match=r"^the KVM host kvm1 cannot be asked: ssh has not answered within 25 s$"):
        ticket.ask(policy(), "anne", "debianx")


@pytest.mark.parametrize(
    "line",
    [
        *("", "\n", "hello\n", "{}\n", '{"ticket": "short"}\n', f'{{"ticket": "{TICKET}", "refusal": "closed"}}\n'),
        f'{{"ticket": "{TICKET}\\nhost=evil"}}\n',
        f'{{"ticket": "{TICKET}"' + " " * 5000 + "}\n",
    ],
)
def test_a_host_that_answers_something_else(asked, line):
    """No ticket is taken from it, and none is shown."""
    asked(line)
    with pytest.raises(SystemFault) as raised:
        ticket.ask(policy(), "anne", "debianx")
    assert str(raised.value) == "the KVM host kvm1 has answered with something else than a ticket"


# What the user is told

TOLD = {
    "ended": ("it has ended", "sie ist zu Ende"),
    "taken_over": ("somebody else has opened it", "jemand anderes hat sie geöffnet"),
    "not_granted": ("the KVM host knows of no grant that is yours", "der KVM-Host weiß von keiner Erlaubnis für Sie"),
    "closed": ("it is closed", "sie ist geschlossen"),
    "locked": ("it is locked at the KVM host", "sie ist am KVM-Host gesperrt"),
    "in_use": ("somebody else has it open", "jemand anderes hat sie offen"),
    "busy": (
        "somebody is just opening it: try again in a moment",
        "jemand öffnet sie gerade: Versuchen Sie es gleich noch einmal",
    ),
    "shut": ("the KVM host keeps it shut: no {disk}", "der KVM-Host hält sie geschlossen: no {disk}"),
    "too_many": (
        "this machine asks too often: try again in a moment",
        "dieser Rechner fragt zu oft: Versuchen Sie es gleich noch einmal",
    ),
    "failed": (
        "the KVM host could not make a ticket: no {disk}",
        "der KVM-Host konnte kein Ticket ausstellen: no {disk}",
    ),
}


def test_each_refusal_has_words():
    assert {*TOLD} == {*REFUSALS}


@pytest.mark.parametrize(("refusal", "words"), TOLD.items())
def test_a_refusal_in_words(refusal, words):
    answer = Answer(refusal=refusal, why="no {disk}")
    assert (ticket.refusal(BERLIN, answer, "en"), ticket.refusal(BERLIN, answer, "de")) == words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            Answer(refusal="in_use", user="ben", since=SINCE),
            (
                "ben has it open since Tue 2026-12-01 08:00 Europe/Berlin",
                "ben hat sie seit Di 2026-12-01 08:00 Europe/Berlin offen",
            ),
        ),
        (Answer(refusal="taken_over", user="ben", since=SINCE), ("ben has opened it", "ben hat sie geöffnet")),
        (Answer(refusal="in_use", user="ben"), TOLD["in_use"]),
        (Answer(refusal="in_use", since=SINCE), TOLD["in_use"]),
        (Answer(refusal="closed", user="ben", since=SINCE), TOLD["closed"]),
    ],
)
def test_who_has_it(answer, words):
    assert (ticket.refusal(BERLIN, answer, "en"), ticket.refusal(BERLIN, answer, "de")) == words


@given(
    st.sampled_from(REFUSALS),
    st.none() | accounts,
    st.none() | st.integers(0, 2**32),
    st.none() | st.text() | st.just("virsh ended with 1: no."),
    st.sampled_from([languages.ENGLISH, *languages.TRANSLATED]),
)
def test_whatever_a_host_answers_there_are_words(refusal, user, since, why, language):
    answer = ticket_protocol.answer(ticket_protocol.spelled(Answer(refusal=refusal, user=user, since=since, why=why)))
    words = ticket.refusal(BERLIN, answer, language)
    assert words.isprintable() and not words.endswith(".")
