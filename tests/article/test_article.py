"""What the article's author tried by hand, on real consoles with the real viewer."""

import pytest

from readme import commands, printed
from scene.desktop import Desktop

URI = "spice://mysrv.anraconc.de?tls-port={}"
AS_USER = ["sudo", "-k", "-u", "{user}", "-g", "spicegrp", "remote-viewer", "--"]
ASKPASS = """#!/bin/sh
cat ~/secret
"""


def sudo(user, *rest):
    """The article's own call, with what follows the two dashes."""
    return [word.format(user=user) for word in AS_USER] + list(rest)


def end(terminal):
    terminal.close()
    return terminal.output


def test_rviewer_shows_the_granted_console(office, artefacts):
    """myself types rviewer, then the account's password, and sees debianx: with one grant it opens straight away."""
    with Desktop(office.client, "myself") as desktop:
        terminal = office.terminal("myself", ["rviewer"], desktop.env)
        assert "password" in terminal.read_until("assword.*:")
        terminal.type("correct horse")
        shown = desktop.shows(office.consoles["debianx"].rgb)
        desktop.screenshot(artefacts / "article-debianx.png")
        titles = desktop.windows()
        output = end(terminal)
    assert shown, output
    assert any("debianx" in title for title in titles)


def test_classic_call_shows_the_granted_console(office, artefacts):
    """The article's own sudo line with the URI works as well; the authority is in the user's own trust store."""
    office.client.write(
        "/home/myself/.spicec/spice_truststore.pem", office.client.read("/etc/pki/spice/ca-cert.pem"), owner="myself"
    )
    with Desktop(office.client, "myself") as desktop:
        terminal = office.terminal("myself", sudo("myself", URI.format(20002)), desktop.env)
        terminal.read_until("assword.*:")
        terminal.type("correct horse")
        shown = desktop.shows(office.consoles["debianx"].rgb)
        desktop.screenshot(artefacts / "article-debianx-uri.png")
        output = end(terminal)
    assert shown, output


def test_without_a_terminal_an_askpass_program_asks(office):
    """From a desktop icon there is no terminal: sudo asks through an askpass program."""
    office.client.write("/usr/bin/ssh-askpass", ASKPASS, 0o755)
    office.client.write("/home/myself/secret", "correct horse\n", 0o600, owner="myself")
    (exec_line,) = [
        line.removeprefix("Exec=")
        for line in office.client.read("/usr/local/share/applications/rviewer.desktop").splitlines()
        if line.startswith("Exec=")
    ]
    with Desktop(office.client, "myself") as desktop:
        viewer = desktop.popen(exec_line.split())
        assert desktop.shows(office.consoles["debianx"].rgb)
        viewer.kill_tree()


def test_viewer_does_not_start_without_sudo(office):
    """The article: 'remote-viewer -- spice://...' by itself is not permitted, to anybody."""
    for user in ("myself", "mybro", "visitor"):
        done = office.client.run(["sh", "-c", f"remote-viewer -- {URI.format(20002)}"], user=user, check=False)
        assert done.returncode == 127
        assert "Permission denied" in done.stderr


@pytest.mark.parametrize(
    ("user", "password", "arguments"),
    [
        ("myself", "correct horse", [URI.format(20004)]),
        ("mybro", "battery staple", [URI.format(20002)]),
        ("mybro", "battery staple", ["/etc/spice-grant/vms/debianx.vv"]),
        ("visitor", "visitor", [URI.format(20002)]),
        ("visitor", "visitor", [URI.format(20004)]),
    ],
)
def test_other_consoles_are_refused_by_sudo(office, user, password, arguments):
    """The article's wrong port, and every console of somebody else: refused although the password is right."""
    terminal = office.terminal(user, sudo(user, *arguments))
    terminal.read_until("assword.*:")
    terminal.type(password)
    code = terminal.end()
    output = end(terminal)
    assert code == 1
    assert "not allowed to execute" in output or "may not run sudo" in output or "not in the sudoers" in output


def test_rviewer_refuses_another_console(office):
    """rviewer says what the user may open instead, with exit code 1."""
    done = office.client.run(["rviewer", "debianx"], user="mybro", check=False)
    assert done.returncode == 1
    assert "leaptest" in done.stderr
    done = office.client.run(["rviewer"], user="visitor", check=False)
    assert done.returncode == 1
    assert "No SPICE console is granted" in done.stderr


@pytest.mark.parametrize("user", ["myself", "mybro", "visitor"])
@pytest.mark.parametrize("port", [20002, 20004])
def test_own_tls_client_is_refused(office, user, port):
    """Granted or not: a TLS client of one's own gets no connection, while root of the server sees the port is up."""
    client = ["openssl", "s_client", "-connect", f"192.168.2.2:{port}", "-brief"]
    done = office.client.run(client, user=user, input="", check=False)
    assert done.returncode != 0
    assert "refused" in done.stderr.lower()
    local = office.server.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-brief"], input="")
    assert "CONNECTION ESTABLISHED" in local.stderr


def test_viewer_of_another_user_with_the_group_is_stopped_by_the_firewall(office):
    """If sudo and file rights fell, the firewall alone would hold: UID and GID must both be right."""
    for user, port in (("mybro", 20002), ("myself", 20004), ("visitor", 20002)):
        client = ["openssl", "s_client", "-connect", f"192.168.2.2:{port}", "-brief"]
        done = office.client.run(client, user=user, group="spicegrp", input="", check=False)
        assert done.returncode != 0
        assert "refused" in done.stderr.lower()
    client = ["openssl", "s_client", "-connect", "192.168.2.2:20002", "-brief"]
    done = office.client.run(client, user="myself", group="spicegrp", input="", check=False)
    assert "CONNECTION ESTABLISHED" in done.stderr


def test_verify_proves_the_matrix(office):
    """verify comes to the same by itself, against the live consoles."""
    proof, retcode = office.minion.call_raw("spice_grant.verify")
    assert (proof["ok"], proof["differences"], retcode) == (True, [], 0)
    matrix = {
        (user, vm): (cell["granted"], cell["viewer group"], cell["own program"], cell["sudo"])
        for user, cells in proof["matrix"].items()
        for vm, cell in cells.items()
        if user in ("myself", "mybro")
    }
    opened, closed = (True, "open", "denied", "allowed"), (False, "denied", "denied", "refused")
    assert matrix == {
        ("myself", "debianx"): opened,
        ("myself", "leaptest"): closed,
        ("mybro", "debianx"): closed,
        ("mybro", "leaptest"): opened,
    }


def test_verify_says_what_the_readme_shows(office):
    """Its quick start has this office."""
    *_, (program, *words) = commands("Quick start")
    assert program == "salt-call"
    assert office.minion.salt_call(*words).stdout == printed("Quick start")
