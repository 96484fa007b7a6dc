"""What is behind a console's port: a domain that restarts, is missing, is another, or has somebody else's port."""

import subprocess
import sys
import uuid

import pytest

from drift import until
from functional.hosted import ADDRESS, DENIED, ENDED, IN, Site

PORTS = {"books": 20003, "debianx": 20002}
DESK = {"books": ("desk-1", "anne"), "debianx": ("desk-1", "ben")}


@pytest.fixture(scope="module")
def shared():
    """Host and desks."""
    with Site() as made:
        yield made


@pytest.fixture
def site(shared):
    """Host and desks with all as it was at first."""
    definitions = {vm: shared.kvm.virsh("dumpxml", "--security-info", "--inactive", vm).stdout for vm in PORTS}
    yield shared
    for name in shared.kvm.virsh("list", "--all", "--name").stdout.split():
        shared.kvm.virsh("destroy", name, check=False)
        shared.kvm.virsh("undefine", name, check=False)
    for vm, text in definitions.items():
        shared.kvm.virsh("define", "/dev/stdin", input=text)
        shared.kvm.virsh("start", vm)
        shared.minion.call("spice_host.accept", vm)
    shared.afresh()


def redefine(site, vm, **changes):
    """Define a domain anew with some attributes of its console changed; ``None`` removes one."""
    text = site.kvm.virsh("dumpxml", "--security-info", "--inactive", vm).stdout
    head, graphics, rest = text.partition("<graphics type='spice'")
    attributes, closing, rest = rest.partition(">")
    words = dict(part.split("=", 1) for part in attributes.split())
    words.update({key: f"'{value}'" for key, value in changes.items()})
    kept = " ".join(f"{key}={value}" for key, value in words.items() if changes.get(key, "") is not None)
    site.kvm.virsh("define", "/dev/stdin", input=f"{head}{graphics} {kept}{closing}{rest}")


def refused(site, vm):
    """Why a desk gets no ticket for a console, though its user has a grant."""
    answer = site.ask(*DESK[vm], vm)
    assert answer["refusal"] == "shut", answer
    return answer["why"]


def test_a_domain_that_restarts_while_nobody_looks_is_shut(site):
    """Its open session ends, the ticket before opens nothing, and a new one does."""
    ticket = site.ticket("desk-1", "anne", "books")
    with site.linked("desk-1", "books", ticket) as (answer, _):
        assert answer == IN
        until(lambda: ("books", "anne", "desk-1", False) in site.sessions())
        until(lambda: site.shut("books"))
        site.kvm.restart("books")
        assert site.shut("books") and site.password_end("books") == ENDED
        until(lambda: site.sessions() == set())
    assert site.link("desk-1", "books", ticket) == "refused"
    with site.port_open_to("desk-1", "books"):
        assert site.link("desk-1", "books", ticket) == DENIED
    assert site.link("desk-1", "books", site.ticket("desk-1", "anne", "books")) == IN
    assert site.apply()["changes"] == {}


def test_a_restart_right_after_a_ticket_was_given(site):
    """The ticket is void: the definition's own password holds again."""
    ticket = site.ticket("desk-1", "anne", "books")
    site.kvm.restart("books")
    assert site.link("desk-1", "books", ticket) == DENIED


def test_two_domains_whose_ports_are_exchanged(site):
    """Nobody sees the one behind the other's port: both are shut and named."""
    for vm, other in (("books", "debianx"), ("debianx", "books")):
        site.kvm.virsh("destroy", vm)
        redefine(site, vm, tlsPort=PORTS[other])
    for vm in PORTS:
        site.kvm.virsh("start", vm)
    for vm, other in (("books", "debianx"), ("debianx", "books")):
        assert refused(site, vm) == f"domain {vm} runs with port {PORTS[other]} instead of {PORTS[vm]}"
    result = site.apply(test=True)
    assert result["result"] is False
    result = site.apply()
    assert result["result"] is False
    for vm, other in (("books", "debianx"), ("debianx", "books")):
        assert f"spice:vms:{vm}: port {PORTS[vm]} is that of domain {other} as well" in result["comment"]
        assert f"domain {vm} runs with port {PORTS[other]} instead of {PORTS[vm]}: restart it" in result["comment"]
        refused(site, vm)
    # They are defined as declared again, and that needs a restart.
    for vm in PORTS:
        site.kvm.virsh("destroy", vm)
    for vm in PORTS:
        site.kvm.virsh("start", vm)
    assert site.apply()["result"] is True
    for vm in PORTS:
        with site.linked(DESK[vm][0], vm, site.ticket(*DESK[vm], vm)) as (answer, _):
            assert answer == IN


def test_a_domain_that_was_replaced_by_another_of_its_name(site):
    """It is shut until somebody has looked at it and accepts it."""
    site.kvm.virsh("destroy", "books")
    site.kvm.virsh("undefine", "books")
    other = str(uuid.uuid4())
    site.kvm.define("books", "red", uuid=other, tlsPort=20003, defaultMode="secure", passwd="x", passwdValidTo=ENDED)  # noqa: S106
    site.kvm.virsh("start", "books")
    assert refused(site, "books") == "domain books does not run"
    before = site.kvm.virsh("dumpxml", "--security-info", "--inactive", "books").stdout
    for _ in range(2):
        result = site.apply()
        assert result["result"] is False and result["changes"] == {}
        assert f"behind it is another domain than before: {other}" in result["comment"]
        assert "spice_host.accept takes it; its console stays shut" in result["comment"]
        refused(site, "books")
    assert site.kvm.virsh("dumpxml", "--security-info", "--inactive", "books").stdout == before
    report = site.minion.call("spice_host.accept", "books")
    assert report["changes"]["layers"]["console"] == [f"takes domain books ({other}) for the vm books"]
    assert site.minion.call("spice_host.accept", "books")["changes"] == {}
    site.applied()
    with site.linked("desk-1", "books", site.ticket("desk-1", "anne", "books")) as (answer, _):
        assert answer == IN


def test_a_domain_that_pillar_does_not_know_on_a_consoles_port(site):
    """Whose port it is nobody can tell: the declared one is shut, named, and left as it is defined."""
    site.kvm.define("intruder", "red", tlsPort=20003)
    result = site.apply()
    assert result["result"] is False and result["changes"] == {}
    assert "spice:vms:books: port 20003 is that of domain intruder as well; its console stays shut" in result["comment"]
    site.kvm.virsh("destroy", "books")
    site.kvm.virsh("start", "intruder")
    assert refused(site, "books") == "domain books does not run"
    assert site.link("desk-1", "books", "x") == site.link("laptop", "books", "x") == "refused"
    known = {entry["domain"]: entry["vm"] for entry in site.minion.call("spice_host.consoles")}
    assert known == {"books": "books", "debianx": "debianx", "intruder": None}
    assert site.minion.call("spice_host.propose") == {"intruder": {"server": "mysrv", "tls_port": 20003}}


def test_somebody_else_who_listens_at_a_consoles_port(site):
    """At another address of the host: a desk may reach the wrong one, so there is no ticket while that is so."""
    site.kvm.define(
        "books", "magenta", uuid=site.kvm.virsh("domuuid", "books").stdout.strip(), tlsPort=20003, listen=ADDRESS
    )
    site.applied()
    site.kvm.restart("books")
    program = "import socket; s = socket.create_server(('192.168.2.9', 20003)); print(flush=True); s.accept()"
    site.host.run(["ip", "address", "add", "192.168.2.9/24", "dev", "eth0"])
    other = site.host.popen([sys.executable, "-I", "-c", program], user="eve", stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"\n"
        assert refused(site, "books") == f"at port 20003 several programs listen ({ADDRESS}, 192.168.2.9)"
    finally:
        other.kill_tree()
        other.wait()
        other.stdout.close()
        site.host.run(["ip", "address", "del", "192.168.2.9/24", "dev", "eth0"])
    assert site.link("desk-1", "books", site.ticket("desk-1", "anne", "books")) == IN


def test_a_domain_that_is_missing(site):
    """It is named; the others are not affected."""
    site.kvm.virsh("destroy", "books")
    site.kvm.virsh("undefine", "books")
    result = site.apply()
    assert result["result"] is False
    assert "spice:vms:books: there is no domain books; its console stays shut" in result["comment"]
    assert refused(site, "books") == "domain books does not run"
    with site.linked("desk-1", "debianx", site.ticket("desk-1", "ben", "debianx")) as (answer, _):
        assert answer == IN


def test_a_domain_that_is_off_or_paused(site):
    """Off, there is nothing to open; paused, its console answers as before."""
    site.kvm.virsh("destroy", "books")
    assert refused(site, "books") == "domain books does not run"
    assert site.apply()["result"] is True
    site.kvm.virsh("start", "books")
    site.kvm.virsh("suspend", "books")
    with site.linked("desk-1", "books", site.ticket("desk-1", "anne", "books")) as (answer, _):
        assert answer == IN


@pytest.mark.turns(2)
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"port": 20009}, "runs with port 20009 without TLS"),
        ({"defaultMode": "any"}, "runs with channels that need no TLS"),
        ({"passwd": None, "passwdValidTo": None}, "runs without a password"),
        ({"tlsPort": 20009}, "runs with port 20009 instead of 20003"),
    ],
    ids=["plain", "mode", "open", "port"],
)
def test_a_domain_that_runs_otherwise_than_declared(site, changes, why):
    """What only a restart can change is said, and never done; until then it is shut."""
    site.kvm.virsh("destroy", "books")
    redefine(site, "books", **changes)
    site.kvm.virsh("start", "books")
    started = site.kvm.virsh("domid", "books").stdout
    assert refused(site, "books") == f"domain books {why}"
    result = site.apply()
    assert result["result"] is False
    assert f"spice:vms:books: domain books {why}: restart it; its console stays shut" in result["comment"]
    assert "defines the console of books" in str(result["changes"])
    assert site.kvm.virsh("domid", "books").stdout == started
    refused(site, "books")
    site.kvm.restart("books")
    assert site.apply()["result"] is True
    with site.linked("desk-1", "books", site.ticket("desk-1", "anne", "books")) as (answer, _):
        assert answer == IN
