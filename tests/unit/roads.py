"""A kernel's rules of policy routing, as far as ours go: changed by lines for `ip -batch`, listed, and asked."""

from spicegrants.routing import policy_rules

_LISTS = {"pref": "priority", "table": "table", "lookup": "table", "goto": "goto", "protocol": "protocol", "iif": "iif"}


def entry(words):
    """A rule as `ip -N -j rule` lists it, from what `ip rule add` is given."""
    found, rest = {"src": "all"}, words.split()
    while rest:
        word = rest.pop(0)
        if word in ("nop", "prohibit"):
            found.update({"nop": None} if word == "nop" else {"action": "8"})
        elif word == "uidrange":
            found["uid_start"], found["uid_end"] = map(int, rest.pop(0).split("-"))
        elif word == "to":
            found["dst"] = rest.pop(0)
        elif word == "ipproto":
            found["ipproto"] = "ipproto-6" if rest.pop(0) == "tcp" else "ipproto-17"
        elif word == "dport":
            low, high = (rest.pop(0).split("-") * 2)[:2]
            found.update({"dport_start": int(low), "dport_end": int(high)} if high != low else {"dport": int(low)})
        else:
            value = rest.pop(0)
            found[_LISTS[word]] = int(value) if word in ("pref", "goto") else value
    return found


class Rules:
    """The rules of one IP version, in their order."""

    def __init__(self, *lines):
        self.entries = [
            {"priority": 0, "src": "all", "table": "255"},
            {"priority": 32766, "src": "all", "table": "254"},
        ]
        self.run(lines)

    def run(self, lines):
        """Carry lines out; one that the kernel would refuse is an error."""
        for line in lines:
            what, verb, words = line.split(" ", 2)
            if what == "rule":
                getattr(self, verb)(entry(words))

    def add(self, new):
        """A new rule goes behind those of its preference; one that is there already is refused."""
        assert new not in self.entries, f"File exists: {new}"
        self.entries.append(new)
        self.entries.sort(key=lambda rule: rule["priority"])

    def delete(self, named):
        """The first rule goes that has all that is named: what is not named fits whatever a rule has."""
        named = {key: value for key, value in named.items() if key != "src"}
        self.entries.remove(next(rule for rule in self.entries if named.items() <= rule.items()))

    def passes(self, uid, address, port, *, iif="lo", tcp=True):
        """Whether a packet finds a way out by the machine's own rules."""
        at = 0
        while True:
            rule = self.entries[at]
            at += 1
            if not _matches(rule, uid, address, port, iif, tcp) or "nop" in rule:
                continue
            if "goto" in rule:
                targets = [n for n, other in enumerate(self.entries) if other["priority"] == rule["goto"]]
                # One that leads nowhere is passed over.
                at = targets[0] if targets else at
            elif rule.get("action") == "8" or rule["table"] == str(policy_rules.TABLE):
                return False
            elif rule["table"] == "254":
                return True


setattr(Rules, "del", Rules.delete)


def _matches(rule, uid, address, port, iif, tcp):
    low, high = rule.get("dport_start", rule.get("dport", 0)), rule.get("dport_end", rule.get("dport", 65535))
    return (
        rule.get("table") != "255"
        and rule.get("uid_start", 0) <= uid <= rule.get("uid_end", 2**32)
        and rule.get("dst", address) == address
        and rule.get("iif", iif) == iif
        and (rule.get("ipproto") is None or (rule["ipproto"] == "ipproto-6") is tcp)
        and low <= port <= high
    )
