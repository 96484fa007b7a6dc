"""Machines within one machine, on which the demo, the benchmarks and the tests run."""

from scene import bootsector, tls
from scene.consoles import Console, Listener
from scene.desktop import Desktop
from scene.hostsite import HostSite
from scene.kvmhost import KvmHost
from scene.machine import CommandError, CommandTimeout, Machine, Process, SceneError
from scene.minion import Minion, SaltError
from scene.network import Link, connect, lan
from scene.requirements import missing, need

__all__ = [
    "CommandError",
    "CommandTimeout",
    "Console",
    "Desktop",
    "HostSite",
    "KvmHost",
    "Link",
    "Listener",
    "Machine",
    "Minion",
    "Process",
    "SaltError",
    "SceneError",
    "bootsector",
    "connect",
    "lan",
    "missing",
    "need",
    "tls",
]
