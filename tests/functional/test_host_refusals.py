"""Who gets into no console, each for the right reason: the port, the password, or that there is no ticket.

With the port shut a connection is reset; with the port open by hand a console says that the password is wrong.
"""

import subprocess
import sys
import time

import pytest

from drift import until
from functional.hosted import ADDRESS, CONSOLES, DENIED, DESK_KEY, ENDED, IN, KNOWN_HOSTS, RELAY, Site

# Places on the host itself.
OWN = (("kvm", "127.0.0.1"), ("kvm", "::1"), ("kvm", ADDRESS))
OTHERS = (("desk-2", ADDRESS), ("laptop", ADDRESS), *OWN)
VALID = 30


@pytest.fixture(scope="module")
def site():
    """Host and desks."""
    with Site() as made:
        yield made


def relayed(site, port=30000):
    """What a machine that nobody manages gets by a relay that a user of the host has; and what the relay saw."""
    command = [sys.executable, "-I", "-S", "-c", RELAY, port, "127.0.0.1", CONSOLES["books"][0]]
    relay = site.host.popen(command, user="eve", stdout=subprocess.PIPE, text=True)
    try:
        assert relay.stdout.readline() == "listening\n"
        answer = site.link("laptop", "books", "guessed", port=port)
        return answer, relay.stdout.readline().strip()
    finally:
        relay.kill_tree()
        relay.stdout.close()


def test_without_a_ticket(site):
    """Not from a desk, not from elsewhere, not by somebody at the host, nor by a relay there."""
    for where, address in (("desk-1", ADDRESS), *OTHERS):
        assert site.link(where, "books", "guessed", address=address) == "refused", (where, address)
    assert relayed(site) == ("reset", "ConnectionRefusedError")


def test_where_the_port_is_open_the_password_has_ended(site):
    """Whatever is given; and the one of the definition, which root of the host can read."""
    printed = site.kvm.virsh("dumpxml", "--security-info", "books").stdout
    known = printed.partition("passwd='")[2].partition("'")[0]
    assert len(known) > 30
    with site.port_open_to("laptop", "books"):
        for password in ("", "guessed", known, ENDED):
            assert site.link("laptop", "books", password) == DENIED


def test_a_password_of_old_ends_with_the_first_run(site):
    """The console runs on, and whoever knows its password gets in no more."""
    site.kvm.define("old", "red", tlsPort=20005, passwd="of-old")  # noqa: S106 - nobody's
    site.kvm.restart("old")
    CONSOLES["old"] = (20005, "red")
    try:
        with site.port_open_to("laptop", "old"):
            assert site.link("laptop", "old", "of-old") == IN
        vms = {**site.pillar["spice"]["vms"], "old": {"server": "mysrv", "tls_port": 20005}}
        result = site.apply(site.changed(vms=vms))
        assert "ends the password of old, which was no ticket" in str(result["changes"])
        with site.port_open_to("laptop", "old"):
            assert site.link("laptop", "old", "of-old") == DENIED
    finally:
        del CONSOLES["old"]
        site.kvm.virsh("destroy", "old")
        site.kvm.virsh("undefine", "old")
        site.applied()


def test_a_ticket_is_for_one_launch_at_one_desk(site):
    """It opens nothing elsewhere, nothing a second time, and nothing after its end."""
    unused, since = site.ticket("desk-1", "ben", "debianx"), time.time()
    ticket = site.ticket("desk-1", "anne", "books")
    for where, address in OTHERS:
        assert site.link(where, "books", ticket, address=address) == "refused", (where, address)
    assert relayed(site) == ("reset", "ConnectionRefusedError")
    assert site.link("desk-1", "debianx", ticket) == DENIED
    assert site.link("desk-1", "books", ticket[:-1]) == DENIED
    with site.linked("desk-1", "books", ticket) as (answer, _):
        assert answer == IN
        until(lambda: site.sessions() >= {("books", "anne", "desk-1", False)})
        until(lambda: site.shut("books"))
        assert site.link("desk-1", "books", ticket) == "refused"
        with site.port_open_to("desk-1", "books"):
            assert site.link("desk-1", "books", ticket) == DENIED
        assert len(site.connections("books")) == 1
    time.sleep(max(0, since + VALID + 2 - time.time()))
    assert site.link("desk-1", "debianx", unused) == "refused"
    until(lambda: site.sessions() == set())
    with site.port_open_to("desk-1", "debianx"):
        assert site.link("desk-1", "debianx", unused) == DENIED


def test_who_has_no_grant_gets_no_ticket(site):
    """Whatever a desk claims; and for a vm that is none, or none of this host's."""
    site.afresh()
    before = site.elements("opening4")
    for user, vm in (
        ("eve", "books"),
        ("anne", "debianx"),
        ("root", "books"),
        ("anne", "nosuch"),
        ("spice-ticket", "x"),
    ):
        answer = site.ask("desk-1", user, vm)
        assert answer["refusal"] == "not_granted" and "ticket" not in answer, answer
    assert site.elements("opening4") == before


def test_a_machine_that_is_no_desk_cannot_ask(site):
    """With a key of its own; with a desk's key, but not at that desk: also at the host itself."""
    machine = site.stranger
    machine.run(["mkdir", "-p", "/etc/spice-grant", "/var/lib/spice-grant"])
    machine.write(KNOWN_HOSTS, site.desks["desk-1"].read(KNOWN_HOSTS))
    machine.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/own"])
    stolen = site.desks["desk-1"].read(DESK_KEY)
    machine.write("/root/stolen", stolen, mode=0o600)
    site.host.write("/root/stolen", stolen, mode=0o600)
    site.host.write("/root/known", site.desks["desk-1"].read(KNOWN_HOSTS))
    for where, key, options in (
        ("laptop", "/root/own", ()),
        ("laptop", "/root/stolen", ()),
        ("kvm", "/root/stolen", ("-oUserKnownHostsFile=/root/known",)),
    ):
        code, said, complained = site.ssh(where, "open", key=key, options=options, input=b"anne books\n")
        assert (code, said) == (255, "") and "Permission denied (publickey" in complained, (where, key, complained)
    assert "not from" in site.kvm.log("sshd") or "permitted hosts" in site.kvm.log("sshd")


def test_a_desk_that_pillar_names_no_more_cannot_ask(site):
    """And the others can."""
    kept = {"desk-2": site.pillar["spice"]["desks"]["desk-2"]}
    site.applied(site.changed(desks=kept))
    try:
        code, said, complained = site.ssh("desk-1", "open", input=b"anne books\n")
        assert (code, said) == (255, "") and "Permission denied (publickey" in complained
        assert "ticket" in site.ask("desk-2", "anne", "books")
    finally:
        site.applied()


def test_no_secret_is_in_an_argument_an_environment_a_log_or_an_answer(site):
    """Of a ticket that was given, and of its console's own password."""
    site.afresh()
    ticket = site.ticket("desk-1", "anne", "books")
    printed = site.kvm.virsh("dumpxml", "--security-info", "--inactive", "books").stdout
    kept = printed.partition("passwd='")[2].partition("'")[0]
    told = site.host.run(["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ"], check=False).stdout
    logs = site.host.run(["sh", "-c", "find /var/log -type f -exec cat {} +"]).stdout
    answers = [site.minion.call(f"spice_host.{name}") for name in ("sessions", "consoles", "plan")]
    for secret in (ticket, kept):
        for text in (told, logs, str(answers), site.minion.log(), site.host.read("/run/spice-host/sessions.json")):
            assert secret not in text
    assert "anne" in logs
