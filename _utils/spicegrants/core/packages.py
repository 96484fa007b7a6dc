"""Packages that bring the programs which a run needs, by Debian's names."""

from __future__ import annotations

from collections.abc import Iterable

# By the program's name, whatever directory it is in.
_BRINGS = {
    "cvtsudoers": "sudo",
    "groupadd": "passwd",
    "ip": "iproute2",
    "nft": "nftables",
    "remote-viewer": "virt-viewer",
    "ss": "iproute2",
    "sshd": "openssh-server",
    "sudo": "sudo",
    "unshare": "util-linux",
    "useradd": "passwd",
    "virsh": "libvirt-clients",
    "virt-viewer": "virt-viewer",
    "visudo": "sudo",
}
_IPTABLES = ("iptables", "ip6tables")


def advice(programs: Iterable[str]) -> list[str]:
    """Return a sentence with the packages to install for missing programs; nothing where no package is known.

    programs
        Names or paths of the programs.
    """
    names = {program.rpartition("/")[2] for program in programs}
    found = {"iptables" if name.startswith(_IPTABLES) else _BRINGS.get(name, "") for name in names} - {""}
    return [f"what brings them on Debian: apt-get install {' '.join(sorted(found))}"] if found else []
