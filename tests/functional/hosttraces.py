"""What a run leaves on a KVM host: files, accounts, rules and domains."""

import hashlib
import os
import re
import stat

from functional.hosted import CONSOLES, STORE

UNITS = "/etc/systemd/system"
# Where a run may write, and all else where root's tools do.
WRITTEN = (UNITS, "/usr/local/lib/spice-grant", STORE, "/run/spice-host")
ACCOUNTS = tuple(f"/etc/{name}" for name in ("passwd", "shadow", "group", "gshadow"))
EVERYWHERE = ("/etc", "/usr/local", "/var/lib", "/home", "/root", "/run")
# What belongs to others: Salt, libvirt, and the account tools' own copies.
OTHERS = (
    "/etc/salt-scene",
    "/var/lib/salt-scene",
    "/var/lib/libvirt",
    "/etc/libvirt",
    "/var/lib/scene",
    "/run/libvirt",
)
# What each run notes, and nobody else has use for.
NOTES = {"/run/spice-grant.lock", "/run/spice-host", "/run/spice-host/last-run"}
# What libvirt adds once a password was set.
KEPT = " connected='keep'"
BACKUPS = {f"/etc/{name}-" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")}


def snapshot(site, directories=WRITTEN):
    """All that a run may write: files with owner, mode, time and content; the ruleset with its handles; the domains."""
    found = {"nft": site.host.run(["nft", "-n", "-a", "-s", "list", "ruleset"]).stdout}
    for name in site.kvm.virsh("list", "--all", "--name").stdout.split():
        found[name] = site.kvm.virsh("dumpxml", "--security-info", "--inactive", name).stdout
        found[f"{name} now"] = site.kvm.virsh("dumpxml", "--security-info", name).stdout
    top = str(site.host.path("/"))
    found.update((path, site.host.read(path)) for path in ACCOUNTS)
    for directory in directories:
        for above, inner, names in os.walk(site.host.path(directory)):
            inner[:] = [name for name in inner if f"{above}/{name}".removeprefix(top) not in OTHERS]
            for path in (above, *(f"{above}/{name}" for name in names)):
                status = os.lstat(path)
                content = None
                if stat.S_ISREG(status.st_mode):
                    with open(path, "rb") as stream:
                        content = hashlib.sha256(stream.read()).hexdigest()
                elif stat.S_ISLNK(status.st_mode):
                    content = os.readlink(path)
                own = (status.st_mode, status.st_uid, status.st_gid, status.st_ino, status.st_mtime_ns)
                found[path.removeprefix(top)] = (*own, content)
    return {path: entry for path, entry in found.items() if path not in BACKUPS}


def essence(found):
    """A snapshot without what differs after each run: inodes, times, handles, and passwords that nobody knows."""
    plain = {path: (entry[:3] + entry[5:] if isinstance(entry, tuple) else entry) for path, entry in found.items()}
    plain["nft"] = [line.partition(" # handle")[0] for line in found["nft"].splitlines()]
    for vm in CONSOLES:
        for name in (vm, f"{vm} now"):
            plain[name] = re.sub(" passwd='[^']{40,}'", " passwd='secret'", plain[name]).replace(KEPT, "")
    # One for each console for whose sake somebody has waited; when the last run was; what was half-way written there.
    passing = re.compile(r"/run/spice-host/(.*\.lock|last-run|\.spice-grant\..*)|/run/spice-grant.lock")
    return {path: entry for path, entry in plain.items() if not passing.fullmatch(path)}


def graphics(**changes):
    """Define a console with other attributes, by virsh."""

    def tamper(site):
        text = site.kvm.virsh("dumpxml", "--security-info", "--inactive", "books").stdout
        head, mark, rest = text.partition("<graphics ")
        attributes, closing, rest = rest.partition(">")
        words = {**dict(part.split("=", 1) for part in attributes.split()), **changes}
        kept = " ".join(f"{name}={value}" for name, value in words.items() if value is not None)
        site.kvm.virsh("define", "/dev/stdin", input=head + mark + kept + closing + rest)

    return tamper
