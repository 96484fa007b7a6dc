"""Scenes of the tests: a workstation, its server, their people and consoles, each in a line.

::

    with scenes.pair() as (client, server, cable):            # two machines, joined
        scenes.people(client, stranger="visitor")             # myself, mybro, and somebody without a grant
        scenes.trust(client, server)                          # the server's certificate, which the client believes
        console = scenes.console(server, "debianx")           # a real console over TLS
        minion = Minion(client, scenes.shipped())             # Salt without a master, with this repository's pillar

    with scenes.office("desk-books", "laptop-1") as made:     # a server, a master's machine, workstations: one network
        with scenes.master(made.hub, "gitfs") as master:      # as etc/master.d/spice-grant-gitfs.conf has it
            with scenes.minion(made.desks["laptop-1"]):       # which has that master

What more than one directory of tests needs is here. What is special to one is built from it there: an office with Salt
and something that answers on all ports (``functional.office``), one with consoles and desktops (``article.conftest``),
workstations under attack (``attacks.clients``), one that boots (``booted.workstation``), a fleet whose grants are
pushed (``fleet.fleet``), daemons of pytest-salt-factories in one machine (``daemons``).
"""

import contextlib
from typing import NamedTuple

import yaml

from scene import Console, Machine, connect, lan, tls
from scene.daemons import QUICK, Daemon, Master
from scene.machine import CHECKOUT

HOST = "mysrv.anraconc.de"
ADDRESS, SECOND_ADDRESS, ADDRESS6 = "192.168.2.2", "192.168.2.3", "fd00:2::2"
OWN_ADDRESS, OWN_ADDRESS6 = "192.168.2.22", "fd00:2::22"
GROUP, VIEWER = "spicegrp", "/usr/bin/remote-viewer"
SUDOERS = "/etc/sudoers.d/spice-grant"
PKI = "/etc/pki/spice"
AUTHORITY = f"{PKI}/ca-cert.pem"
# The users of the article, each granted one console; and the number of whoever has no grant.
UIDS = {"myself": 1021, "mybro": 1022}
STRANGER = 1023
CONSOLES = {"debianx": 20002, "leaptest": 20004}
MASTER = "192.168.2.1"


class Office(NamedTuple):
    """Machines in one network: the server, the master's, and workstations by name."""

    server: Machine
    hub: Machine
    desks: dict[str, Machine]


@contextlib.contextmanager
def pair(server="mysrv", *, ipv6=True, second=False):
    """A workstation, a server with the addresses of the article's pillar, and the cable; all end with the block.

    ipv6
        Whether they speak it as well.
    second
        Whether the server has an address that no pillar knows.
    """
    own, its = [f"{OWN_ADDRESS}/24"], [f"{ADDRESS}/24"]
    if second:
        its.append(f"{SECOND_ADDRESS}/24")
    if ipv6:
        own.append(f"{OWN_ADDRESS6}/64")
        its.append(f"{ADDRESS6}/64")
    with Machine("client") as near, Machine(server) as far:
        introduce(near, HOST)
        yield near, far, connect(near, far, own, its)


@contextlib.contextmanager
def office(*names):
    """An office with workstations of these names, joined by a bridge of the server; all end with the block."""
    with contextlib.ExitStack() as stack:
        server, hub, *desks = (stack.enter_context(Machine(name)) for name in ("kvm", "salt", *names))
        others = zip((hub, *desks), (1, *range(21, 254)))
        lan((server, f"{ADDRESS}/24"), *((machine, f"192.168.2.{last}/24") for machine, last in others))
        yield Office(server, hub, dict(zip(names, desks)))


# In virsh's place: libvirt answers, and has no domain.
NO_DOMAINS = """#!/bin/sh
case $* in *"echo '<next/>'"*) printf '<next/>';; *"echo next"*) printf next;; esac
"""


def master(hub, *ready_made, **options):
    """Start a master with files of ``etc/master.d``, by the end of their names; ``options`` are settings of Salt."""
    return Master(hub, options, [CHECKOUT / "etc" / "master.d" / f"spice-grant-{name}.conf" for name in ready_made])


def minion(desk, **options):
    """Start a minion of that master, called as its machine.

    It does not wait ten seconds before each new attempt to reach it, as a fleet of thousands should.
    """
    patience = {"acceptance_wait_time": 1, "random_reauth_delay": 1, "recon_max": 1000}
    return Daemon(desk, "minion", {**QUICK, **patience, "master": MASTER, "id": desk.name, **options})


def people(machine, *, stranger=None, passwords=None):
    """Give a workstation its users, with passwords by name; return their UIDs."""
    uids = {**UIDS, **({stranger: STRANGER} if stranger else {})}
    for name, uid in uids.items():
        machine.add_user(name, uid, (passwords or {}).get(name))
    return uids


def trust(client, server, host=HOST):
    """Make the server's authority and certificate; the client gets to know the authority, and the server's name."""
    tls.create(server.path(PKI), host)
    introduce(client, host)
    client.write(AUTHORITY, server.read(AUTHORITY))


def introduce(client, host):
    """Have a workstation know the server's name, by which viewers find it."""
    known = client.read("/etc/hosts")
    if host not in known:
        client.write("/etc/hosts", f"{known}{ADDRESS} {host}\n")


def console(server, vm, **options):
    """Start a console of the article; ``options`` are those of :class:`scene.Console`."""
    return Console(server, vm, CONSOLES[vm], PKI, **options)


def shipped(**changes):
    """The pillar of this repository; ``changes`` are further parts of it."""
    data = yaml.safe_load((CHECKOUT / "pillar" / "spice.sls").read_text(encoding="utf-8"))
    data["spice"].update(changes)
    return data


def article(addresses=None):
    """That pillar in the article's own, direct form, and without certificate.

    addresses
        Where its server is instead.
    """
    data = shipped(viewer={"confine": False})
    server = data["spice"]["servers"]["mysrv"]
    del server["ca"]
    if addresses is not None:
        server["addresses"] = list(addresses)
    return data
