"""Real consoles, seen by a real viewer on a user's desktop."""

import subprocess

import pytest

from scene import Console, Desktop, Machine, SceneError, bootsector, connect, need, tls

need("ip", "qemu-system-x86_64", "remote-viewer", "Xvfb", "xauth", "xwininfo", "import", "openssl")

HOST = "server.example"
PKI = "/etc/pki/spice"
FILE = """[virt-viewer]
type=spice
host={host}
tls-port={port}
password={password}
ca={ca}
host-subject={subject}
title={title}
"""


@pytest.fixture(scope="module")
def server():
    with Machine("server") as machine:
        tls.create(machine.path(PKI), HOST)
        yield machine


@pytest.fixture(scope="module")
def client(server):
    with Machine("client") as machine:
        connect(machine, server, ["192.168.2.22/24", "fd00:2::22/64"], ["192.168.2.2/24", "fd00:2::2/64"])
        machine.write("/etc/hosts", machine.read("/etc/hosts") + f"192.168.2.2 {HOST}\n")
        machine.add_user("myself")
        machine.add_user("mybro")
        yield machine


@pytest.fixture(scope="module")
def desktop(client):
    with Desktop(client, "myself") as desktop:
        yield desktop


def open_console(server, desktop, port, password="", title="title", subject=None):
    ca = server.read(f"{PKI}/ca-cert.pem").replace("\n", "\\n")
    subject = subject or tls.host_subject(server.path(PKI))
    text = FILE.format(host=HOST, port=port, password=password, ca=ca, subject=subject, title=title)
    desktop.machine.write(f"/srv/{title}.vv", text, mode=0o600, owner="myself")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return desktop.popen(["remote-viewer", "--", f"/srv/{title}.vv"], **quiet)


def end(viewer):
    viewer.terminate()
    viewer.wait(60)


def test_certificate_is_for_the_host(server):
    assert tls.host_subject(server.path(PKI)) == f"O=Scene,CN={HOST}"
    shown = server.run(["openssl", "verify", "-CAfile", f"{PKI}/ca-cert.pem", f"{PKI}/server-cert.pem"]).stdout
    assert shown.endswith("OK\n")
    server.run(
        ["openssl", "verify", "-CAfile", f"{PKI}/ca-cert.pem", "-verify_hostname", HOST, f"{PKI}/server-cert.pem"]
    )


def test_viewer_shows_which_console_it_is(server, client, desktop, tmp_path):
    assert desktop.windows() == []
    debianx = Console(server, "debianx", 20002, PKI, password="ticket", colour="green")  # noqa: S106
    books = Console(server, "books", 20004, PKI, colour="magenta")
    with debianx, books:
        viewer = open_console(server, desktop, 20002, "ticket", "debianx")
        assert "debianx" in desktop.wait_window("debianx")
        assert desktop.shows(debianx.rgb)
        assert not desktop.shows(books.rgb, timeout=0)
        assert desktop.screenshot(tmp_path / "green.png").read_bytes().startswith(b"\x89PNG")
        end(viewer)
        viewer = open_console(server, desktop, 20004, "", "books")
        assert desktop.shows(books.rgb)
        assert not desktop.shows(debianx.rgb, timeout=0)
        end(viewer)


@pytest.mark.parametrize("wrong", [{"password": "guess"}, {"subject": "O=Scene,CN=other.example"}])
def test_viewer_without_the_ticket_or_certificate_sees_nothing(server, desktop, wrong):
    with Console(server, "leaptest", 20003, PKI, password="ticket", colour="red") as console:  # noqa: S106
        viewer = open_console(server, desktop, 20003, **{"password": "ticket", "title": "wrong", **wrong})
        desktop.wait_window("")
        assert not desktop.shows(console.rgb, timeout=2)
        end(viewer)


def test_desktop_is_the_users_own(client, desktop):
    info = client.stat(desktop.cookie)
    assert (info.st_uid, client.mode(desktop.cookie)) == (client.account("myself")["uid"], 0o600)
    stranger = client.run(["xwininfo", "-root"], user="mybro", env={"DISPLAY": desktop.env["DISPLAY"]}, check=False)
    assert stranger.returncode != 0
    desktop.run(["xwininfo", "-root"])


def test_console_that_cannot_start_says_why(server):
    with pytest.raises(SceneError, match="nowhere"):
        Console(server, "broken", 20005, "/nowhere")


def test_sector_is_bootable_and_has_room_for_names():
    sector = bootsector.sector("x" * 63, (255, 0, 0))
    assert (len(sector), sector[-2:]) == (512, b"\x55\xaa")
    assert b"x" * 63 + b"\0" in sector
    with pytest.raises(ValueError, match="does not fit"):
        bootsector.sector("x" * 500, (0, 0, 0))
