"""The state on a KVM host: predicted, done once, repaired after whatever somebody changed, and taken away."""

import os

import pytest

from drift import until
from functional.hosted import CONSOLES, ENDED, IN, KEYS, STORE, Site
from functional.hosttraces import EVERYWHERE, NOTES, UNITS, essence, graphics, snapshot
from functional.office import difference, only, sentences
from scene.hostsite import GIVE

STATE, PORTS = f"{STORE}/state.json", f"{STORE}/ports.json"
ASK, LOAD = "/usr/local/lib/spice-grant/ask-ticket", "/usr/local/lib/spice-grant/load-ports"
TICKETS = f"{UNITS}/spice-host.service"


@pytest.fixture(scope="module")
def site():
    """Host and desks."""
    with Site() as made:
        yield made


def test_a_second_run_changes_nothing(site):
    """Not a file is written anew, no rule, no domain."""
    site.end_service()
    before = snapshot(site, EVERYWHERE)
    assert site.applied()["changes"] == {}
    assert site.apply(test=True)["result"] is True
    assert difference(before, snapshot(site, EVERYWHERE)).keys() <= NOTES
    site.serve()


def test_what_is_stored_is_roots_alone(site):
    """And what the desks' account may read, it may not write."""
    for path in (STATE, PORTS):
        assert (site.host.mode(path), site.host.stat(path).st_uid) == (0o600, 0)
    gid = site.host.group_id("spice-ticket")
    for path, mode in ((KEYS, 0o640), (os.path.dirname(KEYS), 0o750), (f"{STORE}/home", 0o750)):
        assert (site.host.mode(path), site.host.stat(path).st_uid, site.host.stat(path).st_gid) == (mode, 0, gid)
    assert site.host.account("spice-ticket")["home"] == f"{STORE}/home"
    found = site.host.run(["find", "/", "-xdev", "-user", "spice-ticket"], check=False).stdout
    assert found == ""


def nft(text):
    """Change the kernel's rules."""
    return lambda site: site.host.run(["nft", text])


def run(*command):
    """Run a command on the host."""
    return lambda site: site.host.run(command)


def live(until):
    """Give the running console a password that somebody knows, by virsh."""

    def tamper(site):
        words = f"type='spice' autoport='no' tlsPort='{CONSOLES['books'][0]}' listen='::' defaultMode='secure'"
        end = f" passwdValidTo='{until}'" if until else ""
        text = f"<graphics {words} passwd='known'{end}><listen type='address' address='::'/></graphics>"
        site.kvm.virsh("update-device", "books", "/dev/stdin", "--live", input=text)

    return tamper


def appended(path, text="#\n"):
    """Append to a file."""
    return lambda site: site.host.write(path, site.host.read(path) + text, mode=site.host.mode(path))


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEUPuxNvZlpMw8atj4PgGJzp2iuZgfuhu+CoX9rS22Ci\n"
# What somebody did, and words of what a plan says to it.
TAMPERING = {
    "rules flushed": (nft("flush ruleset"), "shuts the consoles' ports"),
    "table deleted": (nft("delete table inet spice_host"), "shuts the consoles' ports"),
    "table emptied": (nft("flush table inet spice_host"), "restores chain"),
    "table asleep": (nft("add table inet spice_host { flags dormant; }"), "restores"),
    "rule added": (nft("insert rule inet spice_host consoles accept"), "restores chain consoles"),
    "rule for one": (nft("insert rule inet spice_host input ip saddr 192.168.2.23 accept"), "restores chain input"),
    "port let out": (nft("delete element inet spice_host guarded { 20001-20010 }"), "restores set guarded"),
    "chain added": (nft("add chain inet spice_host more"), "removes chain more"),
    "definition open": (graphics(passwd=None, passwdValidTo=None), "defines the console of books"),
    "definition plain": (graphics(port="'20009'"), "defines the console of books"),
    "definition with a known password": (
        graphics(passwdValidTo=None, passwd="'known'"),  # noqa: S106 - nobody's
        "defines the console of books",
    ),
    "definition that ends late": (graphics(passwdValidTo="'2100-01-01T00:00:00'"), "defines the console of books"),
    "definition with another port": (graphics(tlsPort="'20008'"), "defines the console of books"),
    "definition without TLS": (graphics(defaultMode="'any'"), "defines the console of books"),
    "password without end": (live(None), "ends the password of books"),
    "password with a late end": (live("2100-01-01T00:00:00"), "ends the password of books"),
    "key added": (appended(KEYS, KEY), f"rewrites {KEYS}"),
    "key freed": (
        lambda site: site.host.write(KEYS, site.host.read(KEYS).replace("restrict,", ""), 0o640, "root:spice-ticket"),
        f"rewrites {KEYS}",
    ),
    "keys gone": (run("rm", KEYS), f"creates {KEYS}"),
    "keys for everybody": (run("chmod", "0666", KEYS), KEYS),
    "keys of another": (run("chown", "eve", KEYS), KEYS),
    "home for everybody": (run("chmod", "0777", f"{STORE}/home"), f"{STORE}/home"),
    "more keys": (lambda site: site.host.write(f"{KEYS}2", KEY), f"removes {KEYS}2"),
    "account gone": (run("userdel", "spice-ticket"), "creates the account spice-ticket"),
    "account with a password": (run("usermod", "-p", "$6$x$y", "spice-ticket"), "restores the account spice-ticket"),
    "account without a shell": (
        run("usermod", "-s", "/usr/sbin/nologin", "spice-ticket"),
        "restores the account spice-ticket",
    ),
    "account at home elsewhere": (
        run("usermod", "-d", "/home/eve", "spice-ticket"),
        "restores the account spice-ticket",
    ),
    "giver edited": (appended(GIVE), f"rewrites {GIVE}"),
    "giver for everybody": (run("chmod", "0777", GIVE), GIVE),
    "asker set-uid": (run("chmod", "4755", ASK), ASK),
    "asker gone": (run("rm", ASK), f"creates {ASK}"),
    "boot's program edited": (appended(LOAD), f"rewrites {LOAD}"),
    "boot's rules edited": (lambda site: site.host.write(PORTS, "{}", mode=0o600), f"rewrites {PORTS}"),
    "unit edited": (appended(TICKETS), f"rewrites {TICKETS}"),
    "unit switched off": (run("rm", f"{UNITS}/multi-user.target.wants/spice-host.service"), "spice-host.service"),
    "unit masked": (run("ln", "-sf", "/dev/null", TICKETS), TICKETS),
    "store gone": (run("rm", STATE), "stores the policy"),
    "store for everybody": (run("chmod", "0644", STATE), ""),
    "store's directory for everybody": (run("chmod", "0777", STORE), ""),
    "left by a killed run": (
        lambda site: site.host.write(f"{STORE}/.spice-grant.0123456789ab", "half"),
        f"removes {STORE}/.spice-grant.0123456789ab",
    ),
}


@pytest.fixture
def alone(site):
    """Host and desks without what gives tickets: it would repair the rules by itself, within seconds."""
    site.end_service()
    yield site
    site.serve()


@pytest.mark.turns(3)
@pytest.mark.parametrize(("tamper", "words"), TAMPERING.values(), ids=TAMPERING)
def test_what_somebody_changed_is_named_and_repaired(alone, tamper, words):
    """Said beforehand, without a change; then one run, which says the same, makes all as it was."""
    clean = essence(snapshot(alone))
    tamper(alone)
    before = snapshot(alone)
    assert difference(clean, essence(before)) != {}
    predicted = alone.minion.call("spice_host.plan")
    assert words in sentences(predicted["changes"]) and not predicted["errors"], predicted
    assert difference(before, snapshot(alone)) == {}
    done = alone.minion.call("spice_host.apply")
    assert (done["changes"], done["errors"]) == (predicted["changes"], [])
    # An account that is made anew is another, and may have another number.
    if "account" not in words:
        assert difference(clean, essence(snapshot(alone))) == {}
    assert alone.minion.call("spice_host.plan")["changes"] == {}


def test_after_all_of_that_a_desk_can_ask(site):
    """By the account, the key and the programs that were made anew."""
    with site.linked("desk-1", "books", site.ticket("desk-1", "anne", "books")) as (answer, _):
        assert answer == IN
        until(lambda: site.sessions() == {("books", "anne", "desk-1", False)} and site.shut("books"))
    until(lambda: site.sessions() == set())


def single(site, form, test=False):
    """Run one state by itself; return its result."""
    return only(site.minion.call("state.single", f"spice_host.{form}", name="consoles", test=test))


@pytest.mark.salt
def test_it_goes_without_a_trace_and_comes_back(alone):
    """Each way said beforehand, without a change. Consoles stay shut; those that somebody opened are shut again."""
    clean = essence(snapshot(alone))
    for form in ("absent", "present"):
        if form == "present":
            graphics(passwd=None, passwdValidTo=None)(alone)
        before = snapshot(alone)
        predicted = single(alone, form, test=True)
        assert predicted["result"] is None
        assert difference(before, snapshot(alone)) == {}, form
        done = single(alone, form)
        assert (done["result"], done["changes"]) == (True, predicted["changes"])
        again = single(alone, form)
        assert (again["result"], again["changes"]) == (True, {})
        if form == "absent":
            left = alone.host.run(["find", *EVERYWHERE, "-path", "*spice-host*"], check=False).stdout
            assert left == "" and not alone.host.path(GIVE).exists()
            assert "spice_host" not in alone.host.run(["nft", "list", "tables"]).stdout
            assert "spice-ticket" not in alone.host.read("/etc/passwd")
            assert {alone.password_end(vm) for vm in CONSOLES} == {ENDED}
    after = essence(snapshot(alone))
    # Nothing has written down any session yet.
    assert clean.keys() - after.keys() <= {"/run/spice-host/sessions.json"} and after.keys() <= clean.keys()
    assert after["nft"] == clean["nft"]
