"""Network cables between machines."""

import subprocess

from scene.machine import ROOT_PATH, SceneError, program


class Link:
    """A veth pair between two machines: interface ``a_dev`` of machine ``a``, ``b_dev`` of machine ``b``."""

    def __init__(self, a, b, a_dev, b_dev):
        self.a, self.b, self.a_dev, self.b_dev = a, b, a_dev, b_dev

    def __repr__(self):
        return f"<Link {self.a.name}:{self.a_dev} - {self.b.name}:{self.b_dev}>"

    def cut(self):
        """Remove the cable."""
        self.a.run(["ip", "link", "delete", self.a_dev])


def lan(server, *others):
    """Join machines by a bridge of one of them; each has one address, with prefix length, in its pair."""
    machine, address = server
    machine.run(["ip", "link", "add", "lan", "type", "bridge"])
    for other, its in others:
        link = connect(other, machine, [its], [])
        machine.run(["ip", "link", "set", link.b_dev, "master", "lan"])
    machine.run(["ip", "addr", "add", address, "dev", "lan"])
    machine.run(["ip", "link", "set", "lan", "up"])


def connect(a, b, a_addrs, b_addrs):
    """Lay a cable between two machines and give both ends their addresses, IPv4 or IPv6, with prefix length."""
    devices = []
    for machine in (a, b):
        devices.append(f"eth{machine.links}")
        machine.links += 1
    a_dev, b_dev = devices
    # Only the network namespace is entered here: the number of b's first process is the host's.
    command = [program("nsenter"), f"--net=/proc/{a.pid}/ns/net", "--", program("ip"), "link", "add", a_dev]
    command += ["type", "veth", "peer", "name", b_dev, "netns", str(b.pid)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": ROOT_PATH}, check=False)
    if done.returncode != 0:
        raise SceneError(f"no link between {a.name} and {b.name}: {done.stderr.strip()}")
    for machine, device, addresses in ((a, a_dev, a_addrs), (b, b_dev, b_addrs)):
        lines = [f"addr add {text} dev {device}{' nodad' if ':' in text else ''}" for text in addresses]
        machine.run(["ip", "-batch", "-"], input="\n".join([*lines, f"link set {device} up"]) + "\n")
    return Link(a, b, a_dev, b_dev)
