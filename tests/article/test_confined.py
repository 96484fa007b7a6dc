"""The real viewer in its sandbox, before real consoles: on X and on Wayland, with a password that nobody types."""

import json
import secrets
import subprocess
import time

import pytest
from article.conftest import opened, shipped
from article.wayland import Wayland

from scene.consoles import Console
from scene.desktop import Desktop
from scene.requirements import need

# Others each time: what is searched for stands in no checkout.
SECRETS = {vm: f"Tr0ub4dor&3=;{secrets.token_hex(8)}" for vm in ("debianx", "leaptest")}
OTHER = secrets.token_hex(8)
SECRET_FILE, SDB_FILE = "/etc/spice-secrets/leaptest", "/etc/spice-secrets/sdb.yaml"
STAMP = "/root/stamp"
CONNECTION = "/etc/spice-grant/vms/{}.vv"
# Where the file is searched in that holds a word: all that was written since the stamp.
_SEARCH = [
    "find",
    "/",
    "(",
    "-path",
    "/proc",
    "-o",
    "-path",
    "/sys",
    ")",
    "-prune",
    "-o",
    "-type",
    "f",
    "-newer",
    STAMP,
]


@pytest.fixture(scope="module")
def secret():
    """An office whose consoles have passwords: one in pillar, asked for with sdb, one in a file on the minion."""
    need("bwrap", "pgrep")
    profiles = {"secrets": {"driver": "yaml", "files": [SDB_FILE]}, "broken": {"driver": "nosuch"}}
    with opened(SECRETS, options=profiles) as office:
        office.client.write(STAMP, "")
        time.sleep(0.1)
        office.client.run(["install", "-d", "-m", "0700", "/etc/spice-secrets"])
        office.client.write(SDB_FILE, json.dumps({"debianx": SECRETS["debianx"]}), mode=0o600)
        office.client.write(SECRET_FILE, SECRETS["leaptest"] + "\n", mode=0o600)
        office.pillar = shipped(viewer={"confine": True})
        vms, grants = office.pillar["spice"]["vms"], office.pillar["spice"]["grants"]
        vms["debianx"]["password"] = "sdb://secrets/debianx"  # noqa: S105 - where it is
        vms["leaptest"]["password"] = {"file": SECRET_FILE}
        grants["myself-debianx"]["nopasswd"] = True
        office.apply()
        yield office


def holding(office, word, user=None):
    """Paths of files in which a word is, of those that a user can read."""
    command = [
        *_SEARCH,
        "-exec",
        "grep",
        "--files-with-matches",
        "--fixed-strings",
        "--no-messages",
        "--",
        word,
        "{}",
        "+",
    ]
    return set(office.client.run(command, user=user, check=False).stdout.split())


def told_of_processes(office):
    """Arguments and environments of all processes of the machine, as root reads them."""
    return office.client.run(["sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ"], check=False).stdout


@pytest.mark.parametrize(("user", "vm"), [("myself", "debianx"), ("mybro", "leaptest")])
def test_the_console_shows_and_nobody_was_asked_for_its_password(secret, artefacts, user, vm):
    """rviewer alone: the password is in no argument and no environment, and in no file that the user can read."""
    with Desktop(secret.client, user) as desktop:
        process = desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert desktop.shows(secret.consoles[vm].rgb)
        assert vm in desktop.wait_window(vm)
        desktop.screenshot(artefacts / f"confined-{vm}.png")
        assert SECRETS[vm] not in told_of_processes(secret)
        assert "remote-viewer" in told_of_processes(secret)
        assert holding(secret, SECRETS[vm], user) == set()
        process.kill_tree()
    known = {"/var/lib/spice-grant/state.json", SDB_FILE} if vm == "debianx" else {SECRET_FILE}
    assert holding(secret, SECRETS[vm]) == {CONNECTION.format(vm), *known}
    for reader in ("myself", "mybro", "visitor"):
        assert secret.client.run(["cat", CONNECTION.format(vm)], user=reader, check=False).returncode == 1
    assert secret.client.mode("/var/lib/spice-grant/state.json") == 0o600


def test_on_wayland(secret, artefacts):
    """There it has the Wayland socket, and no X display."""
    need("weston", "weston-screenshooter", "convert")
    with Wayland(secret.client, "myself") as desktop:
        process = desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shown = desktop.shows(secret.consoles["debianx"].rgb)
        artefacts.joinpath("confined-wayland.png").write_bytes(secret.client.path(desktop.picture()).read_bytes())
        process.kill_tree()
    assert shown


def test_a_console_with_two_displays(secret):
    """Each has a window of the one viewer."""
    secret.consoles["debianx"].stop()
    try:
        with (
            Console(secret.server, "debianx", 20002, "/etc/pki/spice", SECRETS["debianx"], cards=2),
            Desktop(secret.client, "myself") as desktop,
        ):
            process = desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            assert desktop.wait_window("debianx (1)") and desktop.wait_window("debianx (2)")
            process.kill_tree()
    finally:
        secret.consoles["debianx"] = Console(secret.server, "debianx", 20002, "/etc/pki/spice", SECRETS["debianx"])


def test_without_the_password_the_server_lets_nobody_in(secret):
    """What the file holds is what opens it: with another, the console does not show."""
    secret.client.write(SDB_FILE, json.dumps({"debianx": OTHER}), mode=0o600)
    secret.apply()
    with Desktop(secret.client, "myself") as desktop:
        process = desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        desktop.wait_window("Authentication")
        assert not desktop.shows(secret.consoles["debianx"].rgb, timeout=0)
        process.kill_tree()
    secret.client.write(SDB_FILE, json.dumps({"debianx": SECRETS["debianx"]}), mode=0o600)
    secret.apply()


def test_no_answer_event_or_log_says_a_password(secret):
    """Not when it changes, nor when it is asked about, nor when something goes wrong."""
    call, answers = secret.minion.call, []
    for word in (OTHER, SECRETS["debianx"]):
        secret.client.write(SDB_FILE, json.dumps({"debianx": word}), mode=0o600)
        answers += [secret.minion.state(test=True), secret.minion.state()]
    answers.append(secret.minion.salt_call("state.apply", "spice", "--out=json", "-l", "info").stdout)
    for function, arguments in {
        "spice_grant.plan": (),
        "spice_grant.list": (),
        "spice_grant.who": ("debianx",),
        "spice_grant.explain": ("myself", "debianx"),
        "spice_grant.verify": (),
        "spice_grant.timeline": (),
        "spice_sudoers.rules": (),
        "spice_sudoers.review": (),
        "spice_viewer.status": (),
        "spice_viewer.plan": (),
        "spice_grant.lend": ("visitor", "debianx", "1h"),
        "spice_grant.end_loan": ("visitor", "debianx"),
    }.items():
        answers.append(call(function, *arguments))
    for broken in (SECRETS["debianx"] + "\n", "x" * 61, SECRETS["debianx"] + " "):
        secret.client.write(SDB_FILE, json.dumps({"debianx": broken}), mode=0o600)
        answers.append(secret.minion.state(test=True))
        assert "is no usable password" in str(answers[-1])
    secret.client.write(SDB_FILE, json.dumps({"debianx": SECRETS["debianx"]}), mode=0o600)
    answers.append(secret.minion.log())
    spoken = "\n".join(map(str, answers))
    assert not [word for word in (OTHER, *SECRETS.values()) if word in spoken]
    assert secret.minion.state()


@pytest.mark.parametrize("uri", ["sdb://secrets/nosuch", "sdb://nowhere/debianx", "sdb://broken/debianx", "sdb://"])
def test_a_password_that_sdb_does_not_have(secret, uri):
    """Nothing is changed, and the URI, which may say something, is not repeated."""
    vm = secret.pillar["spice"]["vms"]["debianx"]
    before = vm["password"]
    vm["password"] = uri
    secret.minion.set_pillar(secret.pillar)
    vm["password"] = before
    (result,) = secret.minion.state().values()
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"].startswith("Nothing was changed. spice:vms:debianx:password: sdb has no text under this")
    secret.apply()


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["chmod", "0640", SECRET_FILE], "can be read by others than root"),
        (["chown", "mybro", SECRET_FILE], "can be read by others than root"),
        (
            ["chmod", "0777", "/etc/spice-secrets"],
            "can be replaced by others than root: they may write in /etc/spice-secrets",
        ),
        (["rm", SECRET_FILE], "is not on this machine"),
        (["ln", "-sf", "/home/mybro/x", SECRET_FILE], "is no regular file"),
        (
            ["truncate", "--size=0", SECRET_FILE],
            "is no usable password: one line of 1 to 60 printable characters, without blanks around it",
        ),
    ],
)
def test_a_file_that_is_not_roots_alone_is_not_used(secret, command, why):
    """The console stays closed, the run fails and says why; the others are open."""
    secret.client.run(command)
    (result,) = secret.minion.state().values()
    assert result["result"] is False
    assert f"spice:vms:leaptest:password: {SECRET_FILE} {why}: the console stays closed" in result["comment"]
    assert [entry["vm"] for entry in secret.minion.call("spice_grant.list")] == ["debianx"]
    secret.client.run(["rm", "-f", SECRET_FILE])
    secret.client.run(["chmod", "0755", "/etc/spice-secrets"])
    secret.client.write(SECRET_FILE, SECRETS["leaptest"] + "\n", mode=0o600)
    secret.apply()


def test_a_password_is_no_word_of_the_direct_form(secret):
    """Where viewers are not confined it is refused; where they cannot be, its console is closed."""
    secret.pillar["spice"]["viewer"] = {"confine": False}
    secret.minion.set_pillar(secret.pillar)
    (result,) = secret.minion.state(test=True).values()
    assert result["result"] is False and "cannot be kept from the user where viewers are not" in result["comment"]
    secret.pillar["spice"]["viewer"] = {"confine": "auto"}
    secret.minion.set_pillar(secret.pillar)
    secret.client.run(["mv", "/usr/bin/bwrap", "/usr/bin/bwrap.away"])
    (result,) = secret.minion.state().values()
    secret.client.run(["mv", "/usr/bin/bwrap.away", "/usr/bin/bwrap"])
    assert result["result"] is False and "its console stays closed" in result["comment"]
    assert holding(secret, SECRETS["debianx"]) <= {"/var/lib/spice-grant/state.json", SDB_FILE}
    secret.pillar["spice"]["viewer"] = {"confine": True}
    secret.apply()
