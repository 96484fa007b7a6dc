"""Small random firewalls, as text for nft and iptables-restore; most of their rules are about the packet on trial."""

import random

UID, GID, PORT = 1021, 1500, 20002
ADDRESSES = {4: "192.168.2.2", 6: "fd00:2::2"}
ELSEWHERE = "192.168.2.3"

_OWNERS = [
    f"meta sk{kind} {text}"
    for kind, number in (("uid", UID), ("gid", GID))
    for text in (
        f"{number}",
        f"!= {number}",
        "0",
        f"{number - 5}-{number}",
        f"{number + 1}-{number + 9}",
        f"{{ 0, {number} }}",
        f"!= {{ 1, {number} }}",
        f"> {number}",
        f"<= {number}",
    )
]
_PORTS = [
    f"tcp dport {text}"
    for text in (
        f"{PORT}",
        f"!= {PORT}",
        "22",
        "20001-20010",
        "!= 1-1024",
        "{ 22, 443 }",
        f"{{ 22, {PORT} }}",
        "@ports",
        "!= @ports",
        f"< {PORT}",
        f">= {PORT}",
    )
]
_OTHERS = [
    "udp dport 53",
    "meta l4proto tcp",
    "meta l4proto { icmp, udp }",
    "ct state new",
    "ct state established,related",
    "ct state != new",
    "ct state { new, invalid }",
    "ct state invalid",
    "meta mark 0",
    "meta mark != 0",
    "limit rate 100/second",
    "limit rate over 100/second",
    'oifname "eth0"',
    "oif lo",
    'oifname { "lo", "tun*" }',
    'oifname != "eth*"',
    "tcp flags & (syn|ack) == syn",
    "counter",
    "meta length > 1000",
    "th dport 20002",
]
_INET = ["meta nfproto ipv4", "meta nfproto ipv6", "meta nfproto { ipv4, ipv6 }"]
_DESTINATIONS = {
    4: [
        f"ip daddr {text}"
        for text in (
            ADDRESSES[4],
            f"!= {ADDRESSES[4]}",
            "192.168.0.0/16",
            "10.0.0.0/8",
            "192.168.2.1-192.168.2.3",
            "@hosts4",
            "!= @hosts4",
            "{ 10.0.0.1, 192.168.2.0/24 }",
        )
    ]
    + [
        "ip protocol tcp",
        "ip ttl > 1",
        "ip daddr . tcp dport @pairs4",
        f"ip daddr . tcp dport {{ {ADDRESSES[4]} . 22 }}",
        "ip daddr & 255.255.0.0 == 192.168.0.0",
    ],
    6: [
        f"ip6 daddr {text}"
        for text in (
            ADDRESSES[6],
            f"!= {ADDRESSES[6]}",
            "fd00::/8",
            "2001:db8::/32",
            "@hosts6",
            f"{{ ::1, {ADDRESSES[6]} }}",
        )
    ]
    + ["ip6 nexthdr tcp", "ip6 daddr . tcp dport @pairs6"],
}
_SETS = {
    "all": ["set ports { type inet_service; flags interval; elements = { 22, 20000-20003 }; }"],
    4: [
        "set hosts4 { type ipv4_addr; flags interval; elements = { 192.168.2.0/30, 10.1.1.1 }; }",
        "set pairs4 { type ipv4_addr . inet_service; flags interval; elements = { 192.168.0.0/16 . 20000-20100 }; }",
    ],
    6: [
        "set hosts6 { type ipv6_addr; elements = { ::1, 2001:db8::1 }; }",
        "set pairs6 { type ipv6_addr . inet_service; elements = { fd00:2::2 . 20002 }; }",
    ],
}


def nft(seed):
    """Return one or two tables."""
    dice = random.Random(seed)  # noqa: S311 - nothing secret
    tables = [_table(dice, f"site{number}") for number in range(dice.randint(1, 2))]
    return "\n".join([*tables, *dice.choice([[], [], [_rewriting(dice)]])])


def _rewriting(dice):
    """Sends some connections elsewhere, before most chains look at them."""
    port = dice.choice(["20002", "22", "20000-20005"])
    lines = ["table ip rewriting {", "chain base {", "type nat hook output priority -100;"]
    return "\n".join([*lines, f"tcp dport {port} dnat to {ELSEWHERE}:20004", "}", "}"])


def _table(dice, name):
    family = dice.choice(["inet", "inet", "ip", "ip6"])
    versions = {"inet": (4, 6), "ip": (4,), "ip6": (6,)}[family]
    hook = dice.choice(["output", "output", "output", "postrouting"])
    matches = [_OWNERS, _PORTS, _PORTS, _OTHERS, *(_DESTINATIONS[version] for version in versions)]
    matches += [_INET] if family == "inet" else []
    verdicts = ["accept", "drop", "drop", "return", "continue", "counter", "meta mark set 7", "notrack"]
    if hook == "output":
        verdicts += ["reject", "reject with tcp reset", *(["reject with icmpx 3"] if family == "inet" else [])]
    below = [
        "jump a",
        "goto a",
        "jump b",
        "tcp dport vmap { 22 : drop, 20000-20005 : jump a }",
        "tcp dport vmap @fates",
    ]
    below += [
        "ct state vmap { established : accept, new : goto b }",
        "meta skuid vmap { 0-500 : accept, 501-2000 : drop }",
    ]
    lines = [f"table {family} {name} {{", *_SETS["all"], *(line for version in versions for line in _SETS[version])]
    # A chain stands before those that jump to it.
    for chain, choice in (("b", verdicts), ("a", [*verdicts, "jump b", "goto b"])):
        lines += [f"chain {chain} {{", *_rules(dice, matches, choice, dice.randint(0, 2)), "}"]
    lines.append(
        "map fates { type inet_service : verdict; flags interval; elements = { 22 : accept, 20002 : goto b }; }"
    )
    priority, policy = dice.randint(-310, 200), dice.choice(["accept", "drop"])
    lines += ["chain base {", f"type filter hook {hook} priority {priority}; policy {policy};"]
    return "\n".join([*lines, *_rules(dice, matches, [*verdicts, *below], dice.randint(1, 4)), "}", "}"])


def _rules(dice, matches, verdicts, count):
    rules = []
    for _ in range(count):
        chosen = [dice.choice(dice.choice(matches)) for _ in range(dice.randint(0, 2))]
        # One header of the network layer a rule: nft refuses those that exclude each other.
        headers = [text for text in chosen if text.startswith(("ip", "meta nfproto"))]
        transport = ("tcp", "udp", "th", "meta l4proto", "ip protocol", "ip6 nexthdr")
        protocols = [text for text in chosen if text.startswith(transport) or ". tcp" in text]
        chosen = [text for text in chosen if text not in (*headers[1:], *protocols[1:])]
        verdict = dice.choice(verdicts)
        if any(text.startswith(("udp", "meta l4proto {")) for text in chosen) and "tcp" in verdict:
            verdict = "drop" if "reset" in verdict else "accept"
        rules.append(" ".join([*chosen, verdict]))
    return rules


_OPTIONS = [
    "-m owner --uid-owner 1021",
    "-m owner ! --uid-owner 1021",
    "-m owner --uid-owner 1000-1030",
    "-m owner --gid-owner 1500",
    "-m owner --gid-owner 0",
    "-m owner ! --gid-owner 1500-1600",
    "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate RELATED,ESTABLISHED",
    "-m conntrack ! --ctstate INVALID",
    "-m limit --limit 100/sec",
    "-m mark --mark 0x0",
    "-o eth0",
    "-o lo",
    "! -o lo",
    "-o eth+",
    "-m state --state NEW",
    '-m comment --comment "a -j DROP b"',
    "-m owner --gid-owner 4 --suppl-groups",
]
_TCP_OPTIONS = [
    "-p tcp",
    "-p tcp -m tcp --dport 20002",
    "-p tcp -m tcp ! --dport 20002",
    "-p tcp -m tcp --dport 20000:20010",
    "-p tcp -m multiport --dports 22,443",
    "-p tcp -m multiport --dports 22,20001:20003",
    "-p tcp -m multiport ! --dports 1:1024",
    "-p udp -m udp --dport 53",
    "! -p udp",
    "-p icmp",
    "-p tcp --syn",
    "-p tcp -m tcp --sport 1:1023",
    "-p tcp -m multiport --ports 20002",
]
_XT_DESTINATIONS = {
    4: [
        "-d 192.168.2.2",
        "! -d 192.168.2.2",
        "-d 192.168.0.0/16",
        "-d 10.0.0.0/8",
        "-s 192.168.2.22",
        "-d 192.168.0.2/255.255.0.255",
    ],
    6: ["-d fd00:2::2", "! -d fd00:2::2", "-d fd00::/8", "-d 2001:db8::/32", "-s fd00:2::22"],
}


def iptables(seed, version):
    """Return the table filter, and sometimes another one before it."""
    dice = random.Random(seed)  # noqa: S311 - nothing secret
    found = []
    for table in dice.choice([["filter"], ["mangle", "filter"], ["raw", "filter"]]):
        targets = ["ACCEPT", "DROP", "DROP", "RETURN", "MARK --set-mark 7" if table == "mangle" else "LOG"]
        targets += ["REJECT"] if table == "filter" else []
        lines = [f"*{table}", f":OUTPUT {dice.choice(['ACCEPT', 'DROP'])} [0:0]", ":A - [0:0]", ":B - [0:0]"]
        for chain, below in (("OUTPUT", ["-j A", "-g A", "-j B"]), ("A", ["-j B", "-g B"]), ("B", [])):
            for _ in range(dice.randint(0, 3)):
                words = [dice.choice(choice) for choice in (_XT_DESTINATIONS[version], _TCP_OPTIONS, _OPTIONS)]
                words = [word for word in words if dice.random() < 0.5]
                end = dice.choice([*(f"-j {target}" for target in targets), *below])
                lines.append(" ".join(["-A", chain, *words, end]))
        found += [*lines, "COMMIT"]
    return "\n".join([*found, ""])
