"""Small policies, inventories and listings to test with."""

import copy
import itertools
import re
import subprocess
from datetime import datetime, timezone

from spicegrants.core.accounts import Account, Group
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.facts import Inventory
from spicegrants.schedule.instants import EARLIEST
from spicegrants.schedule.intervals import DAY, FIRST, LAST
from spicegrants.sudo import sudoers
from spicegrants.sudo.live import tools

VIEWER = "/usr/bin/remote-viewer"
GID = 995
PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\nQmFzZTY0\n-----END CERTIFICATE-----\n"

# Public keys of SSH: a KVM host's, and two desks'.
HOST_KEY, DESK_KEY, OTHER_KEY = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{letter * 42}0" for letter in "HDO")
# Places of article() by which the KVM host gives tickets.
TICKETS = {"servers__mysrv__minion": "kvm1", "servers__mysrv__host_key": HOST_KEY}

EVENINGS = {"days": "mon-fri", "hours": "18:00-22:00", "zone": "Europe/Berlin"}
# Where nothing else is said, times are worked out on 2020-01-01: from two days before it to two days after.
TIMED = {
    "time": {"zone": "Europe/Berlin", "horizon": "2d"},
    "schedules": {"evenings": EVENINGS},
    "grants__myself-debianx__schedule": "evenings",
}
EVENING_WINDOWS = tuple((EARLIEST + days * DAY + 61200, EARLIEST + days * DAY + 75600) for days in (-2, -1, 0, 1))


def article():
    """The article's scenario in the pillar's form: two vms on one server, each granted to one user."""
    return {
        "servers": {"mysrv": {"host": "mysrv.anraconc.de", "addresses": ["192.168.2.2"], "ports": "20001-20010"}},
        "vms": {
            "debianx": {"server": "mysrv", "tls_port": 20002},
            "leaptest": {"server": "mysrv", "tls_port": 20004},
        },
        "grants": {
            "myself-debianx": {"user": "myself", "vm": "debianx"},
            "mybro-leaptest": {"user": "mybro", "vm": "leaptest", "nopasswd": True},
        },
    }


def changed(data, **changes):
    """Return a copy of nested data; ``vms__debianx__tls_port=1`` sets that place, ``...`` removes it."""
    made = copy.deepcopy(data)
    for place, value in changes.items():
        *parents, last = place.split("__")
        inner = made
        for name in parents:
            inner = inner[name]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
    return made


def policy(**changes):
    """Return the article's policy, with some places of its pillar changed."""
    return pillar.parse_policy(changed(article(), **changes))


def inventory(**changes):
    """Return what the article's workstation has: three users, the viewer's group, one group of users."""
    known = {
        "users": {
            "myself": Account("myself", 1021, 1021),
            "mybro": Account("mybro", 1022, 1022),
            "guest": Account("guest", 1023, 1023),
        },
        "groups": {"spicegrp": Group("spicegrp", GID), "family": Group("family", 2000, ("mybro", "myself"))},
        "addresses": {"mysrv": ("192.168.2.2",)},
    }
    return Inventory(**{**known, **changes})


def desired(policy_changes=None, previous=(), **inventory_changes):
    """Compile the article's policy, with changes, on its workstation, with changes."""
    return compile_policy(policy(**(policy_changes or {})), inventory(**inventory_changes), previous)


class Kernel:
    """Holds one table as the kernel does, and lists it as ``nft -nj list table`` does."""

    def __init__(self):
        self.objects = None
        self.elements = {}
        self._handles = itertools.count(100)

    @classmethod
    def of(cls, listing):
        """Return a kernel that holds what a listing says."""
        kernel = cls()
        kernel.objects = [entry for entry in copy.deepcopy(listing) if "metainfo" not in entry]
        for entry in kernel.objects:
            if entry.get("map", {}).get("name") in ("grants4", "grants6"):
                kernel.elements[entry["map"]["name"]] = {
                    tuple(element[0]["elem"]["val"]["concat"]): element for element in entry["map"].pop("elem", [])
                }
        return kernel

    def carry_out(self, planned):
        """Make the changes of a plan, as the host's part does."""
        for commands in (planned.before, planned.commands, planned.after):
            self.load(commands)

    def load(self, commands):
        """Carry out the commands of one ``nft -j -f``."""
        for command in commands:
            ((verb, entry),) = copy.deepcopy(command).items()
            ((kind, body),) = entry.items()
            if verb == "flush":
                self._flush(kind, body)
            elif (verb, kind) == ("delete", "chain"):
                self._delete_chain(body["name"])
            elif (verb, kind) == ("delete", "rule"):
                self._delete_rule(body)
            elif kind == "table":
                if verb == "delete":
                    assert self.objects is not None, "there is no table to delete"
                    self.objects, self.elements = None, {}
                elif self.objects is None:
                    self.objects = [entry]
            elif kind == "element":
                self._change(verb, body)
            else:
                assert verb == "add"
                assert kind == "rule" or not self._has(kind, body["name"]), f"{kind} {body['name']} is there already"
                self.objects.append(entry)
                if kind == "map":
                    self.elements[body["name"]] = {}

    def _has(self, kind, name):
        return any(entry[kind]["name"] == name for entry in self.objects if kind in entry)

    def _flush(self, kind, body):
        if kind == "table":
            self.objects = [entry for entry in self.objects if "rule" not in entry]
        elif kind == "chain":
            assert self._has(kind, body["name"]), f"there is no chain {body['name']}"
            self.objects = [entry for entry in self.objects if entry.get("rule", {}).get("chain") != body["name"]]
        else:
            self._set(body["name"])["elem"] = []

    def _delete_rule(self, body):
        found = [entry for entry in self.objects if body.items() <= entry.get("rule", {}).items()]
        assert found, f"there is no rule {body['handle']}"
        self.objects.remove(found[0])

    def _delete_chain(self, name):
        """Delete a chain, which the kernel refuses as long as anything leads to it, or it has rules that do."""
        rules = [entry["rule"] for entry in self.objects if "rule" in entry]
        assert not [rule for rule in rules if rule["chain"] == name], f"chain {name} has rules"
        leading = [expression for rule in rules for expression in rule["expr"]]
        leading += [element[1] for elements in self.elements.values() for element in elements.values()]
        assert name not in map(_target, leading), f"something leads to chain {name}"
        self.objects = [entry for entry in self.objects if entry.get("chain", {}).get("name") != name]

    def _set(self, name):
        return next(entry["set"] for entry in self.objects if entry.get("set", {}).get("name") == name)

    def _change(self, verb, body):
        if body["name"] not in self.elements:
            assert verb == "add"
            self._set(body["name"])["elem"] += body["elem"]
            return
        elements = self.elements[body["name"]]
        for element in body["elem"]:
            key, value = (element, None) if verb == "delete" else (element[0]["elem"].pop("val"), element)
            concat = _meant(*key["concat"])
            if verb == "delete":
                del elements[concat]
            else:
                assert concat not in elements, f"{concat} is an element already"
                target = _target(element[1])
                assert target is None or self._has("chain", target), f"there is no chain {target}"
                elements[concat] = value

    def listing(self, packets=0):
        """List the table: with handles and counters, elements in an order of the kernel's own."""
        if self.objects is None:
            return None
        objects = [{"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}}]
        for entry in self.objects:
            ((kind, body),) = entry.items()
            body.setdefault("handle", next(self._handles))
        for entry in copy.deepcopy(self.objects):
            ((kind, body),) = entry.items()
            if kind == "rule":
                body["expr"] = list(map(_listed, body["expr"]))
            if kind == "map" and self.elements.get(body["name"]):
                counter = {"counter": {"packets": packets, "bytes": packets * 60}}
                body["elem"] = [
                    [{"elem": {"val": {"concat": list(concat)}, **element[0]["elem"], **counter}}, element[1]]
                    for concat, element in reversed(self.elements[body["name"]].items())
                ]
            elif "elem" in body:
                body["elem"] = body["elem"][::-1]
                if not body["elem"]:
                    del body["elem"]
            objects.append(entry)
        return objects


def _meant(uid, gid, *rest):
    """Return a key as the kernel gets it; nft would look for an account of a name that has no sign."""
    assert uid[0] == gid[0] == "+"
    return int(uid), int(gid), *rest


def _target(verdict):
    """Return the chain to which a verdict leads, if it does."""
    return next((verdict[kind]["target"] for kind in ("jump", "goto") if verdict.get(kind)), None)


def _listed(expression):
    """Return an expression as nft lists it: moments as text, without the zone, which is UTC."""
    if expression.get("match", {}).get("left") != {"meta": {"key": "time"}}:
        return expression
    right = expression["match"]["right"]
    ranges = right.get("set", [right])
    listed = [
        {"range": [f"{datetime.fromtimestamp(at, timezone.utc):%F %T}" for at in each["range"]]} for each in ranges
    ]
    return {"match": {**expression["match"], "right": {"set": listed} if "set" in right else listed[0]}}


def cvtsudoers(text):
    """Return what cvtsudoers makes of the text of a sudoers file."""
    done = subprocess.run(
        ["/usr/bin/cvtsudoers", "-f", "json", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return tools.parsed(done.stdout)


def visudo(text):
    """Return what visudo says against the text of a sudoers file; nothing if it parses."""
    done = subprocess.run(
        ["/usr/sbin/visudo", "-c", "-f", "-"], input=text, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stderr + done.stdout


def _as_whom(rule):
    return {"runasusers": [{"username": "root"}]} if rule.confined else {"runasgroups": [{"usergroup": rule.group}]}


def parsed(rules):
    """Return what cvtsudoers makes of our own file with these rules, without asking it."""
    return {
        "User_Specs": [
            {
                "User_List": [{"username": rule.user}],
                "Host_List": [{"hostname": "ALL"}],
                "Cmnd_Specs": [
                    {
                        **_as_whom(rule),
                        "Options": [*_times(window), {"authenticate": not rule.nopasswd}, {"setenv": False}],
                        "Commands": [{"command": " ".join(map(sudoers.escape, rule.command))}],
                    }
                ],
            }
            for rule in rules
            for window in rule.windows
        ]
    }


def _times(window):
    """Return the options of a window; both ends are part of it."""
    start, end = window
    stamps = [("notbefore", start, FIRST), ("notafter", end - 1, LAST - 1)]
    return [{key: f"{datetime.fromtimestamp(at, timezone.utc):%Y%m%d%H%M%SZ}"} for key, at, no in stamps if at != no]


def key_file(text):
    """Read a GLib key file of one group strictly: ``{key: value}``, escapes undone."""
    escapes = {"n": "\n", "r": "\r", "t": "\t"}
    head, *lines = text.split("\n")
    assert head == "[virt-viewer]" and lines.pop() == ""
    found = {}
    for line in lines:
        key, equals, value = line.partition("=")
        assert equals and key not in found and key.replace("-", "").isalpha(), line
        assert not re.search(r"\\(?![nrt\\])", value.replace("\\\\", "")), line
        found[key] = re.sub(r"\\(.)", lambda escaped: escapes.get(escaped[1], escaped[1]), value)
    return found
