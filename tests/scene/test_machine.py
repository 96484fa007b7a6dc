"""A machine does what a machine does, and the host does not notice."""

import os
import pathlib
import shutil
import subprocess

import pytest

from scene import CommandError, CommandTimeout, Listener, Machine, SceneError, connect, need

need("ip", "nft", "visudo", "useradd")

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def machine():
    with Machine("alone") as one:
        yield one


def text_of(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def host_state():
    """Everything of the host that a machine of this project might touch."""
    viewer = pathlib.Path(shutil.which("remote-viewer") or "/bin/sh")
    info = os.lstat(viewer)
    files = [pathlib.Path("/etc") / name for name in ("passwd", "shadow", "group", "hosts", "hostname", "resolv.conf")]
    sudoers = sorted(pathlib.Path("/etc/sudoers.d").iterdir())
    return {
        "files": {str(path): path.read_bytes() for path in [*files, *sudoers] if path.is_file()},
        "names": {top: sorted(os.listdir(top)) for top in ("/", "/etc", "/etc/sudoers.d", "/home", "/root", "/opt")},
        "viewer": (info.st_mode, info.st_uid, info.st_gid, info.st_ino, info.st_mtime_ns),
        "rules": text_of("nft", "list", "ruleset"),
        "links": text_of("ip", "-br", "link"),
        "netns": text_of("ip", "netns", "list"),
        "hostname": os.uname().nodename,
        "mounts": pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8"),
        "forward": pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii"),
    }


VANDAL = """
set -e
viewer=$(command -v remote-viewer || echo /bin/sh)
groupadd spicegrp
chgrp spicegrp "$viewer"; chmod 0750 "$viewer"
echo 'ALL ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/all; chmod 0440 /etc/sudoers.d/all
nft add table inet scene_test
nft add chain inet scene_test out '{ type filter hook output priority 0; policy drop; }'
ip link add scene0 type veth peer name scene1
hostname vandal
echo 1 > /proc/sys/net/ipv4/ip_forward
mount -t tmpfs none /opt
touch /scene-was-here /root/scene-was-here /home/scene-was-here /opt/scene-was-here /var/tmp/scene-was-here
rm -rf /etc/ssl /usr/share/doc
: > /etc/shadow
"""


def test_vandalism_stays_inside():
    before = host_state()
    with Machine("vandal") as machine:
        machine.add_user("myself", password="secret")  # noqa: S106
        machine.run(["sh", "-c", VANDAL])
        assert "scene_test" in machine.run(["nft", "list", "ruleset"]).stdout
        assert machine.mode("/etc/sudoers.d/all") == 0o440
        assert host_state() == before
    assert host_state() == before
    assert not os.path.exists("/var/tmp/scene-was-here")  # noqa: S108


GUARDED = ["/proc/sys/kernel/printk", "/proc/sysrq-trigger", str(ROOT / "setup.cfg")]


@pytest.mark.parametrize("path", [path for path in GUARDED if os.path.exists(path)])
def test_what_belongs_to_the_host_is_read_only(machine, path):
    before = pathlib.Path(path).read_bytes() if path.endswith(".cfg") else b""
    done = machine.run(["sh", "-c", 'echo h > "$1"', "sh", path], check=False)
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr
    assert not path.endswith(".cfg") or pathlib.Path(path).read_bytes() == before


def test_links_of_the_machine_do_not_lead_into_the_host(machine):
    before = pathlib.Path("/etc/issue").read_bytes()
    machine.run(["ln", "-s", "/etc/issue", "/srv/absolute"])
    machine.run(["ln", "-s", "../../../../../etc/issue", "/srv/upwards"])
    machine.run(["ln", "-s", "/etc", "/srv/directory"])
    for path in ("/srv/absolute", "/srv/upwards", "/srv/directory/issue"):
        machine.write(path, f"by way of {path}\n")
        assert machine.run(["cat", "/etc/issue"]).stdout == f"by way of {path}\n" == machine.read(path)
    assert pathlib.Path("/etc/issue").read_bytes() == before


def test_links_in_a_circle_are_an_error(machine):
    machine.run(["ln", "-s", "circle", "/srv/circle"])
    with pytest.raises(SceneError, match="symbolic links"):
        machine.read("/srv/circle")
    assert machine.stat("/srv/circle", follow=False)


def test_files_get_owner_and_mode(machine):
    machine.add_user("writer")
    machine.run(["groupadd", "readers"])
    machine.write("/srv/new/deep/file", b"\xff\x00", mode=0o640, owner="writer:readers")
    assert machine.run(["stat", "-c", "%a %U %G %s", "/srv/new/deep/file"]).stdout == "640 writer readers 2\n"


def test_machine_has_its_own_names_processes_and_network(machine):
    assert machine.run(["hostname"]).stdout == "alone\n"
    assert machine.run(["getent", "hosts", "alone"]).stdout.split()[0] == "127.0.1.1"
    assert machine.run(["cat", "/proc/1/comm"]).stdout.startswith("python")
    assert machine.run(["ls", "/sys/class/net"]).stdout == "lo\n"
    assert machine.run(["cat", "/proc/mounts"]).stdout.count(" overlay ") == machine.run(["mount"]).stdout.count(
        "type overlay"
    )
    assert (
        machine.run(["sh", "-c", "echo > /dev/null; head -c1 /dev/urandom | wc -c; test -w /dev/shm"]).stdout == "1\n"
    )


def test_orphans_are_reaped(machine):
    machine.run(["sh", "-c", "setsid sleep 0.1 &"])
    machine.run(["sleep", "0.3"])
    assert "defunct" not in machine.run(["ps", "ax"]).stdout


def test_failure_says_everything(machine):
    with pytest.raises(CommandError) as caught:
        machine.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert caught.value.returncode == 3
    for part in ("alone", "exit 3", "ended with 3", "out", "err"):
        assert part in str(caught.value)
    assert machine.run(["false"], check=False).returncode == 1
    assert machine.run(["/nowhere/program"], check=False).returncode == 127


def test_timeout_kills_what_runs_inside(machine):
    with pytest.raises(CommandTimeout, match="waiting"):
        machine.run(["sh", "-c", "echo waiting; sleep 31415 & wait"], timeout=0.5)
    assert "31415" not in machine.run(["ps", "ax"]).stdout


def test_signals_reach_the_process_inside(machine):
    process = machine.popen(["sleep", "27182"])
    process.terminate()
    assert process.wait(60) == -15
    assert "27182" not in machine.run(["ps", "ax"]).stdout


def test_environment_is_a_fresh_login(machine, monkeypatch):
    monkeypatch.setenv("SCENE_LEAK", "1")
    machine.add_user("envuser")
    lines = machine.run(["env"], user="envuser", env={"EXTRA": "yes"}).stdout.splitlines()
    env = dict(line.split("=", 1) for line in lines)
    assert (env["USER"], env["HOME"], env["EXTRA"], env["LANG"]) == ("envuser", "/home/envuser", "yes", "C.UTF-8")
    assert "SCENE_LEAK" not in env
    assert "sbin" not in env["PATH"]
    assert machine.run(["pwd"], cwd="/etc").stdout == "/etc\n"
    assert machine.run(["cat"], input="grüße\n").stdout == "grüße\n"


def test_user_is_the_user(machine):
    machine.run(["groupadd", "--gid", "4001", "crew"])
    machine.run(["groupadd", "--gid", "4002", "keys"])
    assert machine.add_user("sailor", uid=4000, groups=["crew"]) == 4000
    ids = "id -u; id -ru; id -g; id -G"
    assert machine.run(["sh", "-c", ids], user="sailor").stdout.split("\n")[:3] == ["4000", "4000", "4000"]
    assert set(machine.run(["id", "-G"], user="sailor").stdout.split()) == {"4000", "4001"}
    assert machine.run(["id", "-g"], user="sailor", group="keys").stdout == "4002\n"
    assert "0" not in machine.run(["id", "-G"], user="sailor").stdout.split()
    assert machine.run(["cat", "/etc/shadow"], user="sailor", check=False).returncode == 1
    with pytest.raises(SceneError, match="no user nobody-here"):
        machine.run(["id"], user="nobody-here")


def test_a_number_as_name_confuses_nobody(machine):
    machine.add_user("target", uid=4100)
    machine.run(["useradd", "--badname", "--uid", "4101", "4100"])
    assert machine.run(["id", "-u"], user="target").stdout == "4100\n"
    assert machine.run(["id", "-u"], user="4100").stdout == "4101\n"


def test_sudo_asks_for_the_password():
    with Machine("sudo") as machine:
        machine.add_user("myself", password="right")  # noqa: S106
        rules = "Defaults passwd_tries=1\nmyself ALL=(root) /usr/bin/id\n"
        machine.write("/etc/sudoers.d/scene", rules, mode=0o440)
        argv = ["sudo", "-S", "-k", "/usr/bin/id", "-u"]
        assert machine.run(argv, user="myself", input="right\n").stdout == "0\n"
        refused = machine.run(argv, user="myself", input="wrong\n", check=False)
        assert refused.returncode == 1
        assert "incorrect password" in refused.stderr
        other = ["sudo", "-S", "-k", "/usr/bin/env"]
        assert machine.run(other, user="myself", input="right\n", check=False).returncode == 1


def test_cables():
    with Machine("client") as client, Machine("left") as left, Machine("right") as right:
        link = connect(client, left, ["192.168.2.22/24", "fd00:2::22/64"], ["192.168.2.2/24", "fd00:2::2/64"])
        second = connect(client, right, ["192.168.3.22/24"], ["192.168.3.2/24"])
        assert (link.a_dev, link.b_dev, second.a_dev, second.b_dev) == ("eth0", "eth0", "eth1", "eth0")
        with Listener(left, [20001, 20002]), Listener(right, [20001]):
            assert greeting(client, "192.168.2.2", 20002) == "scene 20002"
            assert greeting(client, "fd00:2::2", 20001) == "scene 20001"
            assert greeting(client, "192.168.3.2", 20001) == "scene 20001"
            assert greeting(client, "192.168.3.2", 20002) == ""
            assert greeting(left, "192.168.3.2", 20001) == ""
            link.cut()
            assert greeting(client, "192.168.2.2", 20002) == ""
            assert greeting(client, "192.168.3.2", 20001) == "scene 20001"


def greeting(machine, address, port):
    script = 'exec 3<>"/dev/tcp/$1/$2" && head -n1 <&3'
    return machine.run(["timeout", "5", "bash", "-c", script, "sh", address, port], check=False).stdout.strip()


def test_stopped_machine_says_so():
    machine = Machine("gone")
    with pytest.raises(SceneError, match="gone does not run"):
        machine.run(["true"])
    machine.start()
    with pytest.raises(SceneError, match="runs already"):
        machine.start()
    machine.stop()
    machine.stop()
    with pytest.raises(SceneError, match="gone does not run"):
        machine.read("/etc/passwd")
    machine.start()
    assert machine.run(["hostname"]).stdout == "gone\n"
    machine.stop()
