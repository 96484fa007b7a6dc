"""The parts of the demo that show the KVM host's half: tickets, a machine of nobody's, one console for one person."""

import contextlib
import sys
import time

from demo_page import Picture
from scene import HostSite
from scene.hostsite import ADDRESS, MINION

DESKS = {"desk-1": "192.168.2.21", "desk-2": "192.168.2.22"}
LAPTOP = {"laptop": "192.168.2.23"}
VM, PORT = "books", 20003
# Who sits where.
ANNE, BEN = ("desk-1", "anne"), ("desk-2", "ben")
GRANTS = {f"{user}-{VM}": {"user": user, "vm": VM, "nopasswd": True} for _, user in (ANNE, BEN)}
VMS = {VM: {"server": "mysrv", "tls_port": PORT, "sharing": "takeover"}}
PATIENCE = 60
KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
    print("open")
except OSError as error:
    print(error.strerror or error)
"""


def play(told):
    """Play these parts; return pictures."""
    shows = "A KVM host with libvirt, two desks, and a laptop that nobody manages: here they come up."
    told.begin("A host that takes part", shows, f"# salt {MINION} state.apply spice.host")
    users = {user: 1031 + number for number, (_, user) in enumerate((ANNE, BEN))}
    with HostSite({**DESKS, **LAPTOP}, DESKS, {VM: (PORT, "magenta")}, users, GRANTS, vms=VMS) as site:
        told.end(f"{VM} has a password that nobody knows and that has ended; its port is shut.")
        shut_out(told, site)
        return taken_over(told, site)


def shut_out(told, site):
    """Knock from everywhere, without a ticket."""
    told.begin("Without a ticket", "Who has not just been given a ticket does not reach the port: not from anywhere.")
    places = [(name, machine, ADDRESS) for name, machine in site.machines.items()]
    places += [("the host itself", site.host, address) for address in (ADDRESS, "127.0.0.1")]
    found = {}
    for name, machine, address in places:
        # As root, whom no workstation holds back.
        knock = [sys.executable, "-I", "-S", "-c", KNOCK, address, PORT]
        found[f"{name}, to {address}"] = machine.run(knock).stdout.strip()
    said = "\n".join(f"{place}: {answer}" for place, answer in found.items())
    told.end("Nobody is let in.", said, holds="open" not in found.values())


def taken_over(told, site):
    """Open the console at one desk, then at another; lock who has it, with their desk cut off. Return pictures."""
    told.begin("A ticket", "anne opens books at desk-1: her desk asks the host, and the host makes a ticket.")
    with contextlib.ExitStack() as stack:
        hers, _ = stack.enter_context(site.viewer(*ANNE, VM))
        seen = hers.shows(site.rgb[VM]) and _has(site, ANNE)
        pictures = [Picture("anne has opened books at desk-1, by a ticket of the KVM host.", hers.picture(trim=True))]
        told.end(f"{_who(site)}.", holds=seen)
        told.begin("Taken over", "ben opens the same console at desk-2: books is declared with sharing: takeover.")
        his, _ = stack.enter_context(site.viewer(*BEN, VM))
        seen = his.shows(site.rgb[VM]) and _has(site, BEN)
        hers.wait_window("SPICE console")
        pictures.append(Picture("What anne's screen shows then.", hers.picture(trim=True)))
        pictures.append(Picture("The same console, at desk-2.", his.picture(trim=True)))
        told.end(f"{_who(site)}; anne's screen says that ben has opened it.", holds=seen)
        shows = "The network of desk-2 is cut, and ben is locked at the host: it ends what he has open by itself."
        told.begin("A lock at the host", shows, f"# salt {MINION} spice_host.lock user=ben")
        site.machines[BEN[0]].run(["ip", "link", "set", "eth0", "down"])
        site.minion.call("spice_host.lock", user="ben")
        ended = _wait(lambda: not site.minion.call("spice_host.sessions") and not _connected(site))
        told.end("Nobody has books open.", holds=ended)
    return pictures


def _who(site):
    return "; ".join(f"{each['user']} has {each['vm']} at {each['desk']}" for each in _sessions(site)) or "nobody is in"


def _has(site, who):
    """Tell whether somebody has the console, and nobody else, and their ticket opens nothing any more."""
    return _wait(lambda: [(each["desk"], each["user"], each["opening"]) for each in _sessions(site)] == [(*who, False)])


def _sessions(site):
    return site.minion.call("spice_host.sessions")


def _connected(site):
    command = ["ss", "-HtnO", "state", "established", "sport", "=", f":{PORT}"]
    return site.host.run(command).stdout


def _wait(condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False
