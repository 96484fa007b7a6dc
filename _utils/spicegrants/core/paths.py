"""Paths that more than one module uses: our own files, and the system's files that they rest on."""

from __future__ import annotations

# The store, for root only: what is enforced, and what systemd loads at the boot.
STORE = "/var/lib/spice-grant"
STATE = f"{STORE}/state.json"
# What is gone with the next boot.
RUN = "/run/spice-grant"
# The record, which root writes and the group adm may read; and where the recorder hears of launches.
RECORD = "/var/log/spice-grant"
RECORD_FILE = f"{RECORD}/events.jsonl"
RECORDER_SOCKET = f"{RUN}/recorder"
# Sessions that are open, as the recorder saw them last: by themselves, since what changes in the store may be drift.
SESSIONS = f"{STORE}/recorder/sessions.json"
# Where node_exporter looks for files, as Debian has it.
METRICS = "/var/lib/prometheus/node-exporter/spice-grant.prom"
# What root runs: at the boot, by systemd, for a user who opens a console.
PROGRAMS = "/usr/local/lib/spice-grant"
OPENER = f"{PROGRAMS}/open"
CLOCK = f"{PROGRAMS}/clock"
UPLINKS = f"{PROGRAMS}/uplinks"
BACKSTOP = f"{PROGRAMS}/backstop"
RECORDER = f"{PROGRAMS}/recorder"
LOAD_GUARD = f"{PROGRAMS}/load-guard"
LOAD_ROUTES = f"{PROGRAMS}/load-routes"
# What the viewer is started with, and from.
CONFIG = "/etc/spice-grant"
CONNECTIONS = f"{CONFIG}/vms"
MENUS = f"{CONFIG}/menu"
# Whom all on this machine may ask.
CONTACT = f"{CONFIG}/contact"
LAUNCHER = "/usr/local/bin/rviewer"
DESKTOP_ENTRY = "/usr/local/share/applications/rviewer.desktop"
# What else there is about the launcher, where each program looks for it.
MANUAL = "/usr/local/share/man/man1/rviewer.1"
BASH_COMPLETION = "/usr/local/share/bash-completion/completions/rviewer"
ZSH_COMPLETION = "/usr/local/share/zsh/site-functions/_rviewer"
FISH_COMPLETION = "/etc/fish/completions/rviewer.fish"
LOCALES = "/usr/local/share/locale"
SUDOERS = "/etc/sudoers.d/spice-grant"
# The network device into which routes lead that lead nowhere.
DEVICE = "spice-dead"
# Routing rules of ours: the number that marks them, and the preference of those that shut consoles for everybody,
# because nothing else could close them to somebody.
PROTOCOL, SHUT = 74, 160

# A KVM host's half: its store, what is gone with the next boot, and the programs that give tickets.
HOST_STORE = "/var/lib/spice-host"
HOST_STATE = f"{HOST_STORE}/state.json"
HOST_PORTS = f"{HOST_STORE}/ports.json"
HOST_HOME = f"{HOST_STORE}/home"
HOST_RUN = "/run/spice-host"
# What counts instead of what is stored, where that cannot be written.
HOST_UNSTORED = f"{HOST_RUN}/state.json"
HOST_SOCKET = f"{HOST_RUN}/tickets"
HOST_SESSIONS = f"{HOST_RUN}/sessions.json"
HOST_LAST_RUN = f"{HOST_RUN}/last-run"
HOST_ASK = f"{PROGRAMS}/ask-ticket"
HOST_TICKETS = f"{PROGRAMS}/give-tickets"
HOST_LOAD = f"{PROGRAMS}/load-ports"
# The account by which desks ask; and a desk's key, and the keys of the hosts that it asks.
TICKET_USER = "spice-ticket"
DESK_KEY = f"{STORE}/desk_key"
KNOWN_HOSTS = f"{CONFIG}/known_hosts"

PYTHON = "/usr/bin/python3"
UNITS = "/etc/systemd/system"
# There while systemd is the init system: sd_booted(3).
SYSTEMD = "/run/systemd/system"
GROUPS = "/etc/group"
NSSWITCH = "/etc/nsswitch.conf"


def catalogue_file(language: str) -> str:
    """Return the path of the launcher's catalogue for a language."""
    return f"{LOCALES}/{language}/LC_MESSAGES/spice-grant.mo"


def connection_file(vm: str) -> str:
    """Return the path of a vm's connection file."""
    return f"{CONNECTIONS}/{vm}.vv"
