"""What reports changes, on a machine: of rules by each mechanism, and where the kernel cannot help."""

import json
import subprocess
import sys

import pytest

from functional.office import Office, changed
from scene.machine import CHECKOUT
from scenes import article

# Listens, and answers a line of input with a line of output: what changed, who changed rules, and what is in the way.
LISTEN = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
from spicegrants.drift.live import nft_monitor
from spicegrants.drift.live.watchers import Ears

options = json.loads(sys.argv[2])
nft_monitor._BUFFER = options.get("buffer", nft_monitor._BUFFER)
if "files" in options:
    resource.setrlimit(resource.RLIMIT_NOFILE, (options["files"], options["files"]))
ears = Ears()
print(json.dumps(ears.attend()), flush=True)
for line in sys.stdin:
    changed, transactions = ears.hear()
    around = ears.look_around() if line.strip() == "around" else []
    who = [transaction.comm for transaction in transactions]
    print(json.dumps({"changed": changed, "who": who, "around": around, "hindrances": ears.hindrances}), flush=True)
"""


class Listener:
    """The process that listens on the client."""

    def __init__(self, office, **options):
        command = [sys.executable, "-c", LISTEN, CHECKOUT / "_utils", json.dumps(options)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = office.client.popen(command, **pipes)
        self.missed = json.loads(self.process.stdout.readline())

    def ask(self, line=""):
        """Have it listen, and look around as well."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def listening(office, **options):
    """A listener on an office's client; it ends with the machine."""
    made = Listener(office, **options)
    assert made.ask("around")["changed"] == []
    return made


def test_nftables(granted):
    """Our table, by whom; nothing of other tables; files of ours."""
    ears = listening(granted)
    assert ears.missed == [f"{what} were not watched before" for what in ("files", "rules")]
    granted.nft("add table inet site; add table ip filter")
    assert ears.ask("around") == {"changed": [], "who": [], "around": [], "hindrances": []}
    granted.nft("insert rule inet spice_grant output accept")
    granted.client.run(["touch", "/etc/sudoers.d/site"])
    answer = ears.ask()
    assert answer["changed"] == ["/etc/sudoers.d/site", "table inet spice_grant"] and answer["who"] == ["nft"]
    granted.nft("flush ruleset")
    assert ears.ask()["changed"] == ["table inet spice_grant", "table netdev spice_grant"]


def test_routes(granted):
    """Rules and routes of ours, not those of others; links that appear, or go up or down."""
    granted.applied(changed(article(), routing={"enabled": True}))
    ears = listening(granted)
    assert "routes were not watched before" in ears.missed
    granted.client.run(["ip", "rule", "add", "pref", "1000", "lookup", "main"])
    granted.client.run(["ip", "route", "add", "10.1.0.0/16", "dev", "eth0"])
    assert ears.ask()["changed"] == []
    granted.client.run(["ip", "rule", "del", "pref", "165"])
    granted.client.run(["ip", "-6", "rule", "add", "pref", "163", "lookup", "main"])
    assert ears.ask()["changed"] == ["rules of routing (IPv4)", "rules of routing (IPv6)"]
    granted.client.run(["ip", "route", "flush", "table", "7462"])
    assert ears.ask()["changed"] == ["routes of table 7462"]
    granted.client.run(["ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1"])
    assert ears.ask()["changed"] == ["device late1", "device late0"]
    granted.client.run(["ip", "link", "set", "late0", "mtu", "1400"])
    assert ears.ask()["changed"] == []
    granted.client.run(["ip", "link", "set", "late0", "up"])
    assert ears.ask()["changed"] == ["device late0"]


@pytest.fixture(params=["iptables-nft", "iptables-legacy"])
def by_iptables(request):
    """An office whose guard is in iptables."""
    with Office(article(), request.param) as made:
        made.applied()
        yield request.param, made


def test_iptables(by_iptables):
    """iptables-nft changes rules by transactions that the kernel reports; of iptables-legacy it reports nothing."""
    mechanism, office = by_iptables
    ears = listening(office)
    office.client.run([mechanism, "-I", "OUTPUT", "-j", "ACCEPT"])
    answer = ears.ask("around")
    if mechanism == "iptables-nft":
        assert (answer["changed"], answer["who"], answer["around"]) == (["table ip filter"], [mechanism], [])
    else:
        assert (answer["changed"], answer["around"]) == ([], ["rules of iptables-legacy"])
    # Packets that are counted are no change.
    office.openings()
    assert ears.ask("around") == {"changed": [], "who": [], "around": [], "hindrances": []}


def test_what_the_kernel_had_to_drop_counts_as_changed(granted):
    ears = listening(granted, buffer=2048)
    granted.nft("add table inet site")
    granted.nft("\n".join(f"add chain inet site c{number}" for number in range(500)))
    assert ears.ask()["changed"] == ["more rules changed than the kernel could tell"]
    granted.nft("insert rule inet spice_grant output accept")
    assert ears.ask()["changed"] == ["table inet spice_grant"], "it goes on"


def test_what_cannot_be_watched_is_said_and_counts_as_changed(granted):
    """No descriptor is left: nothing is noticed, and each look around says so."""
    ears = Listener(granted, files=3)
    answer = ears.ask("around")
    files, rules = answer["hindrances"]
    assert files == "changes of files cannot be noticed: Too many open files"
    assert rules.startswith("/var/lib/spice-grant/guard.json cannot be read: [Errno 24]")
    assert answer["around"] == answer["hindrances"]
