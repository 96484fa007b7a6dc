"""What Hypothesis draws from: good pillars with their systems, junk, and hostile text."""

import base64
import ipaddress
import string

from hypothesis import strategies as st

from spicegrants.core.accounts import Account, Group
from spicegrants.policy.facts import Inventory
from unit.build import PEM

ALNUM = string.ascii_letters + string.digits
# Words that mean something to sudoers even where a user name is expected.
KEYWORDS = {"Defaults", "Cmd_Alias", "Cmnd_Alias", "Host_Alias", "Runas_Alias", "User_Alias", "sudoedit"}


def dotted(first, rest):
    """Text of a first character and others, with single dots among them."""
    parts = st.lists(st.text(rest, min_size=1, max_size=8), max_size=2).map(".".join)
    ends = st.sampled_from(["", ".", "-"])
    return st.builds("{}{}{}".format, st.sampled_from(first), parts, ends)


def ssh_key(kind, *fields):
    """Spell a public key of SSH."""
    raw = b"".join(len(field).to_bytes(4, "big") + field for field in (kind.encode(), *fields))
    return f"{kind} {base64.b64encode(raw).decode()}"


def is_account(text):
    """Say whether text that looks like an account can have a grant."""
    capitals = set(text) <= set(string.ascii_uppercase + string.digits + "_") and text[0] != "_"
    return not capitals and text not in KEYWORDS | {"root", "spicegrp"}


def is_path(text):
    """Say whether a path means just one file."""
    return not {".", ".."} & set(text.split("/"))


names = dotted(ALNUM, ALNUM + "_-")
accounts = dotted(string.ascii_letters + "_", ALNUM + "_@-").filter(is_account)
paths = st.lists(st.text(ALNUM + "._+-", min_size=1, max_size=8), min_size=1, max_size=4)
paths = paths.map(lambda parts: "/" + "/".join(parts)).filter(is_path)
labels = st.builds("{}{}x".format, st.sampled_from(string.ascii_letters), st.text(string.ascii_lowercase + "0189-"))
hosts = st.lists(labels, min_size=1, max_size=3).map(".".join).filter(lambda text: len(text) < 64)
# Text of one line, as a reason or a certificate's subject: any letters, digits, punctuation and symbols, blanks inside.
_visible = st.characters(categories=("L", "N", "P", "S"))
lines = st.lists(st.text(_visible, min_size=1, max_size=10), min_size=1, max_size=4).map(" ".join)
passwords = lines.filter(lambda text: len(text.encode()) <= 60)
addresses = st.one_of(
    st.integers(1 << 24, (224 << 24) - 1).map(ipaddress.IPv4Address),
    st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(ipaddress.IPv6Address),
)
port_numbers = st.integers(1, 65535)
port_ranges = st.tuples(port_numbers, st.integers(0, 20)).map(lambda pair: (pair[0], min(sum(pair), 65535)))
# Two bytes make a key: more of them would say nothing more.
_material = st.binary(min_size=2, max_size=2)
ssh_keys = st.one_of(
    _material.map(lambda pair: ssh_key("ssh-ed25519", pair * 16)),
    _material.map(lambda pair: ssh_key("ssh-rsa", b"\1\0\1", b"\0" + pair * 128)),
    _material.map(lambda pair: ssh_key("ecdsa-sha2-nistp256", b"nistp256", b"\4" + pair * 32)),
)


def spell(low_high):
    """Spell a range of ports in one of the ways that a pillar may."""
    low, high = low_high
    return f"{low}-{high}" if low != high else low if low % 2 else str(low)


def some(draw, chance=2):
    """Decide for or against something optional."""
    return draw(st.integers(0, chance)) == chance


@st.composite
def servers(draw, count):
    """Draw servers whose hosts and addresses are all different; two names for one place are tested elsewhere."""
    own = draw(st.lists(hosts, min_size=count, max_size=count, unique_by=str.lower))
    places = draw(st.lists(addresses.map(str), min_size=count, max_size=3 * count, unique=True))
    found = {}
    for number, name in enumerate(draw(st.lists(names, min_size=count, max_size=count, unique=True))):
        ranges = draw(st.lists(port_ranges, min_size=1, max_size=3))
        server = {"host": own[number], "ports": [spell(entry) for entry in ranges]}
        mine = places[number::count]
        if some(draw):
            server["host"] = mine[0]
        if not some(draw):
            server["addresses"] = mine
        if some(draw):
            server["ca"] = draw(st.sampled_from([PEM, "/etc/pki/spice/ca-cert.pem"]))
        if some(draw):
            server.update(minion=draw(st.sampled_from(["kvm1", "kvm2"])), host_key=draw(ssh_keys))
            if some(draw):
                server["ssh_port"] = draw(port_numbers)
        found[name] = server
    return found


def ports_of(server):
    """Return the guarded ports of a server in the pillar's form."""
    found = set()
    for entry in server["ports"]:
        low, _, high = str(entry).partition("-")
        found |= set(range(int(low), int(high or low) + 1))
    return sorted(found)


@st.composite
def tickets(draw, domain):
    """Draw what a vm may have where the KVM host gives tickets."""
    found = {"domain": f"{domain}+"} if some(draw, 1) else {}
    return {**found, "sharing": draw(st.sampled_from(["exclusive", "takeover", "shared"]))} if some(draw, 1) else found


@st.composite
def desks(draw):
    """Draw the workstations that may ask KVM hosts for tickets."""
    own = draw(st.lists(ssh_keys, max_size=3, unique=True))
    called = draw(st.lists(names, min_size=len(own), max_size=len(own), unique=True))
    places = st.one_of(
        addresses.map(str), st.lists(addresses.map(str) | st.just("::ffff:10.0.0.5"), min_size=1, max_size=3)
    )
    return {name: {"addresses": draw(places), "key": key} for name, key in zip(called, own)}


@st.composite
def pillars(draw):
    """Draw the pillar's ``spice``: all of it good."""
    found = draw(servers(draw(st.integers(1, 3))))
    vms, taken = {}, set()
    domains = draw(st.lists(lines, min_size=4, max_size=4, unique=True))
    for name in draw(st.lists(names, min_size=draw(st.sampled_from([2, 2, 1, 0])), max_size=4, unique=True)):
        server = draw(st.sampled_from(sorted(found)))
        free = [port for port in ports_of(found[server]) if (server, port) not in taken]
        if free:
            vms[name] = {"server": server, "tls_port": draw(st.sampled_from(free))}
            taken.add((server, vms[name]["tls_port"]))
            if some(draw):
                vms[name]["host_subject"] = draw(lines)
            if some(draw):
                vms[name]["contact"] = draw(lines)
            if some(draw):
                vms[name]["allow"] = ["files"]
            if "minion" in found[server]:
                vms[name].update(draw(tickets(domains.pop())))
            elif some(draw):
                vms[name]["password"] = draw(st.one_of(passwords, st.just({"file": "/etc/spice/password"})))
    people = draw(st.lists(accounts, min_size=1, max_size=4, unique=True))
    grants = {}
    fewest = draw(st.sampled_from([5, 3, 2, 0]))
    for name in draw(st.lists(names, min_size=fewest, max_size=8, unique=True)) if vms else []:
        grant = {"vm": draw(st.sampled_from(sorted(vms))), draw(st.sampled_from(["user", "group"])): ""}
        grant.update({key: draw(st.sampled_from(people)) for key in grant if key != "vm"})
        if some(draw):
            grant["nopasswd"] = draw(st.booleans())
        if some(draw):
            grant["reason"] = draw(lines)
        grants[name] = grant
    data = {"servers": found, "vms": vms, "grants": grants}
    secret = any({"password", "allow", "minion"} & set(entry) for entry in (*vms.values(), *found.values()))
    if some(draw):
        data["viewer"] = {
            "path": draw(st.lists(paths, min_size=1, max_size=2)),
            "group": "spicegrp",
            "confine": draw(st.sampled_from(["auto", True, *([] if secret else [False])])),
        }
        if some(draw):
            data["viewer"]["contact"] = draw(lines)
    if some(draw):
        data["firewall"] = {
            "guard": draw(st.sampled_from(["everywhere", "servers"])),
            "backend": "auto",
            "uplinks": draw(st.sampled_from(["auto", False, ["eth0"], ["wl*", "enp[0-9]s*"]])),
            "backstop": draw(st.sampled_from(["auto", True, False])),
        }
    if some(draw):
        data["sudo"] = {"strict": draw(st.booleans()), "admins": draw(st.sampled_from([[], ["%sudo", "ann"]]))}
    if some(draw):
        data["desks"] = draw(desks())
    if some(draw):
        data["schedules"] = {
            "evenings": {
                "days": draw(st.lists(st.sampled_from(["mon", "tue", "sun"]), min_size=1, max_size=3)),
                "hours": draw(st.lists(st.sampled_from(["18:00-22:00", "22:00-02:00"]), min_size=1, max_size=2)),
                "zone": "Europe/Berlin",
                "except": ["2026-12-24"],
            }
        }
    return data


@st.composite
def systems(draw, policy):
    """Draw a workstation for a policy: its accounts, some of them missing, and where its servers are."""
    mentioned = {grant.user or grant.group for grant in policy.grants.values()}
    known = [name for name in sorted(mentioned) if not some(draw, 4)]
    # Not 995: an account named like the GID of the viewer's group stops everything, which is tested elsewhere.
    uid = st.integers(0 if some(draw, 5) else 1, 70000).filter(lambda number: number != 995)
    uids = draw(st.lists(uid, min_size=len(known), max_size=len(known), unique=True))
    gid = st.sampled_from([2000, 2001, 2002, 2003, 995])
    users = {name: Account(name, number, draw(gid)) for name, number in zip(known, uids)}
    members = st.sets(st.sampled_from([*known, "ghost"]), min_size=1).map(sorted).map(tuple)
    groups = {name: Group(name, 3000 + number, draw(members)) for number, name in enumerate(known)}
    if not some(draw, 4):
        groups["spicegrp"] = Group("spicegrp", 995)
    resolved = st.lists(addresses.map(str), min_size=0 if some(draw, 4) else 1, max_size=2, unique=True).map(tuple)
    return Inventory(
        users,
        groups,
        frozenset(map(str, draw(st.sets(st.sampled_from([*uids, 12345]), max_size=1)))),
        {name: server.addresses or draw(resolved) for name, server in policy.servers.items()},
        {name: PEM for name, server in policy.servers.items() if server.ca and not some(draw, 4)},
        {vm.name: "from a file" for vm in policy.vms.values() if vm.password_file and not some(draw, 4)},
        unconfinable="no means" if some(draw) else "",
    )


# Words of the pillar and of what is written from it, so that junk looks like pillar.
_VOCABULARY = """
    servers vms grants schedules viewer firewall routing host addresses ports ca server tls_port host_subject password
    minion host_key ssh_port domain sharing desks key ssh-ed25519 exclusive
    enabled user group vm nopasswd reason schedule valid_from valid_until days hours zone except path confine backend
    guard mysrv
    debianx myself root ALL Defaults 20001-20010 20002 192.168.2.2 ::1 mon 18:00-22:00 Europe/Berlin 2026-12-24
    sudo strict admins everywhere auto /usr/bin/remote-viewer spicegrp -----BEGIN
"""
# What means something to one of the readers: sudo, nft, a key file, a shell, Jinja, a terminal, a path.
_MARKS = r"""
    .. / % # ! - , : = \ * ? [a-z] [ ] " ' ( ) ALL ALL=(ALL)NOPASSWD:ALL $(id) `id` {{x}} @ + ; & | < > ~ ^ $ \n \t =x
"""
_UNSEEN = [
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\x1b[2J",
    "\x7f",
    "\u2028",
    "\u202e",
    "\ud800",
    " ",
    "\n[virt-viewer]\nhost=evil\n",
]
_words = st.sampled_from(_VOCABULARY.split())
_marks = st.sampled_from([*_MARKS.split(), *_UNSEEN])
hostile = st.lists(st.one_of(_marks, _words, st.text(max_size=4)), min_size=1, max_size=5).map("".join)
text = st.one_of(_words, hostile, st.text(max_size=12))
_numbers = st.one_of(st.booleans(), st.integers(), port_numbers, st.floats())
_dates = st.one_of(st.dates(), st.datetimes())
keys = st.one_of(text, _numbers, st.none(), st.dates())
junk = st.recursive(
    st.one_of(st.none(), _numbers, text, _dates, st.binary(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=25,
)
