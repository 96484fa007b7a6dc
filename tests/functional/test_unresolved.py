"""Servers whose name does not resolve or whose certificate is missing: runs fail, their consoles stay closed."""

import pytest

from functional.office import OPEN, changed
from scene import tls
from scenes import ADDRESS, HOST, SECOND_ADDRESS, article

PKI = "/etc/pki/spice"
CERTIFICATE = f"{PKI}/ca-cert.pem"


def _by_name():
    data = article()
    del data["spice"]["servers"]["mysrv"]["addresses"]
    return data


def _hosts(office, *addresses):
    lines = ["127.0.0.1 localhost", "127.0.1.1 client", *(f"{address} {HOST}" for address in addresses), ""]
    office.client.write("/etc/hosts", "\n".join(lines))


@pytest.mark.parametrize("guard", ["everywhere", "servers"])
def test_a_host_that_does_not_resolve(office, guard):
    """At first: closed, the run fails. Once it resolves: open. When it no longer does: as before, but the run fails."""
    _hosts(office)
    pillar = changed(_by_name(), firewall={"guard": guard})
    office.minion.set_pillar(pillar)
    dry, real = office.apply(test=True), office.apply()
    for result in (dry, real):
        assert result["result"] is False
        assert f"spice:servers:mysrv:host: '{HOST}' does not resolve" in result["comment"]
    assert dry["changes"] == real["changes"]
    assert office.openings() == set()
    _hosts(office, ADDRESS)
    office.applied()
    assert office.openings((ADDRESS,)) == OPEN
    _hosts(office)
    for _ in range(2):
        result = office.apply()
        assert (result["result"], result["changes"]) == (False, {})
        assert f"it keeps {ADDRESS}" in result["comment"]
    assert office.openings((ADDRESS,)) == OPEN
    assert office.verify()["ok"] is False


ELSEWHERE = "192.0.2.9"
NAMES = {
    "not at all": ((), "differences", f"viewers do not find it: the name {HOST} does not resolve here"),
    "elsewhere": ((ELSEWHERE,), "differences", f"viewers go elsewhere: the name {HOST} resolves to {ELSEWHERE} here"),
    "elsewhere as well": ((ADDRESS, ELSEWHERE), "unproven", f"the name {HOST} resolves to {ELSEWHERE} as well"),
}


@pytest.mark.parametrize("resolves", NAMES)
def test_a_name_that_leads_viewers_elsewhere(granted, resolves):
    """The rules hold addresses that are declared, and are right; but a viewer goes by the name."""
    addresses, where, said = NAMES[resolves]
    _hosts(granted, *addresses)
    granted.applied()
    answer = granted.verify()
    (found,) = answer[where]
    assert found.startswith(f"server mysrv: {said}")
    assert answer["ok"] is (where != "differences")


def test_a_host_that_moves(granted):
    """Addresses follow the name at the next run: all of them, old ones are closed."""
    _hosts(granted, ADDRESS)
    granted.applied(_by_name())
    _hosts(granted, SECOND_ADDRESS, "fd00:2::2")
    result = granted.applied()
    assert "server mysrv is now at 192.168.2.3, fd00:2::2" in str(result["changes"])
    assert {found[2] for found in granted.openings()} == {SECOND_ADDRESS, "fd00:2::2"}


def test_a_host_that_resolves_to_what_no_server_can_have(office):
    """A name that resolves to no usable address is like one that does not resolve."""
    _hosts(office, "0.0.0.0")  # noqa: S104
    result = office.apply(_by_name())
    assert result["result"] is False
    assert "resolves to no usable address" in result["comment"]
    assert office.openings() == set()


def test_a_missing_certificate_costs_only_its_server(granted):
    """A certificate file that is not there: its consoles stay closed, the run fails; the guard stands."""
    data = article()
    data["spice"]["servers"]["mysrv"]["ca"] = "/etc/pki/spice/none.pem"
    result = granted.apply(data)
    assert result["result"] is False
    assert "spice:servers:mysrv:ca: /etc/pki/spice/none.pem is not on this machine" in result["comment"]
    assert granted.openings() == set()


PLACES = {
    "the user's file": ("install -D -o myself /dev/stdin /etc/pki/ca.pem", "/etc/pki/ca.pem", "can be changed by"),
    "all may write": ("install -D -m 0666 /dev/stdin /etc/pki/ca.pem", "/etc/pki/ca.pem", "can be changed by"),
    "the user's directory": (
        "install -D /dev/stdin /home/myself/d/ca.pem",
        "/home/myself/d/ca.pem",
        "may write in /home/myself",
    ),
    "a common place": ("install /dev/stdin /tmp/ca.pem", "/tmp/ca.pem", "may write in /tmp"),  # noqa: S108
    "a link to there": (
        "mkdir /opt/real; install /dev/stdin /opt/real/ca.pem; cd /home/myself; ln -s /opt/real l; ln -s $PWD/l /opt/l",
        "/opt/l/ca.pem",
        "may write in /home/myself",
    ),
    "a loop of links": ("ln -s /opt/m /opt/l; ln -s l /opt/m", "/opt/l/ca.pem", "leads through too many links"),
    "a pipe": ("mkfifo -m 0600 /home/myself/ca.pem", "/home/myself/ca.pem", "may write in /home/myself"),
}


@pytest.mark.turns(2)
@pytest.mark.parametrize("place", PLACES)
def test_a_certificate_that_others_than_root_could_exchange(granted, place):
    """Whoever could would decide whom viewers of all others trust: it is not read, and its consoles stay closed."""
    made, path, why = PLACES[place]
    tls.create(granted.client.path(PKI), HOST)
    granted.client.run(["sh", "-ec", made], input=granted.client.read(CERTIFICATE))
    data = article()
    data["spice"]["servers"]["mysrv"]["ca"] = path
    result = granted.apply(data)
    assert result["result"] is False and "its consoles stay closed" in result["comment"]
    assert "spice:servers:mysrv:ca: " in result["comment"] and why in result["comment"]
    assert granted.openings() == set()


@pytest.mark.parametrize("path", [CERTIFICATE, "/opt/link/ca-cert.pem"])
def test_a_certificate_of_roots(granted, path):
    """Also behind a link that is root's: it counts."""
    tls.create(granted.client.path(PKI), HOST)
    granted.client.run(["ln", "-s", "../etc/pki/spice", "/opt/link"])
    data = article()
    data["spice"]["servers"]["mysrv"]["ca"] = path
    granted.applied(data)
    assert granted.openings((ADDRESS,)) == OPEN


BUNDLES = {
    "joined without a line end": (lambda text: text.rstrip("\n") + text, None),
    "with comments, and ends of lines of another system": (
        lambda text: f"# ours\n{text}# end\n".replace("\n", "\r\n"),
        None,
    ),
    "on one line": (
        lambda text: text.replace("\n", "").replace("-----B", "\n-----B").replace("E-----M", "E-----\nM"),
        None,
    ),
    "cut off": (lambda text: text + text[: len(text) // 2], "is cut off, in line"),
    "damaged": (lambda text: text.replace("M", "N", 1), "has a certificate that OpenSSL cannot read, number 1"),
    "something else": (lambda text: "no certificate\n", "holds no PEM certificate"),
}


@pytest.mark.turns(2)
@pytest.mark.parametrize("how", BUNDLES)
def test_a_bundle_is_all_of_its_certificates_or_a_failure(granted, how):
    """None is dropped or kept in silence: the viewer would refuse the server, and nobody would know why."""
    spoil, message = BUNDLES[how]
    tls.create(granted.client.path(PKI), HOST)
    granted.client.write(CERTIFICATE, spoil(granted.client.read(CERTIFICATE)))
    data = article()
    data["spice"]["servers"]["mysrv"]["ca"] = CERTIFICATE
    result = granted.apply(data)
    assert result["result"] is (message is None)
    assert message is None or f"spice:servers:mysrv:ca: {CERTIFICATE} {message}" in result["comment"]
    assert granted.openings((ADDRESS,)) == (OPEN if message is None else set())
