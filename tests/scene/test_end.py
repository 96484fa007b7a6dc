"""However the owner of a machine ends, nothing is left."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from scene import Machine, need
from scene.machine import descendants

need("ip")

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT / "tools")}
KINDS = ("pid", "net", "mnt")

OWNER = """
import signal, sys, time
from scene import Machine, connect
# Whoever starts the tests in the background may have them ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
with Machine("one") as one, Machine("two") as two:
    connect(one, two, ["192.168.2.22/24"], ["192.168.2.2/24"])
    one.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
    one.run(["mount", "-t", "tmpfs", "none", "/mnt"])
    daemon = two.popen(["sh", "-c", "trap '' TERM HUP INT; while :; do sleep 1000; done"])
    # With it stops what waits for it outside, and nobody is left to continue that.
    two.popen(["sleep", "1000"]).send_signal(signal.SIGSTOP)
    print(one.pid, two.pid, flush=True)
    if sys.argv[1] == "raise":
        sys.stdin.readline()
        raise SystemExit(3)
    one.run(["sleep", "1000"], timeout=1000)
"""


def namespaces(kind):
    """Namespaces of one kind that any process is in."""
    found = set()
    for path in pathlib.Path("/proc").glob(f"[0-9]*/ns/{kind}"):
        try:
            found.add(os.readlink(path))
        except OSError:  # the process has ended meanwhile
            continue
    return found


def leftovers(spaces):
    return {kind: known & namespaces(kind) for kind, known in spaces.items() if known & namespaces(kind)}


def gone(pids, spaces, seconds=60):
    """Whether the processes and namespaces end within the time."""
    deadline = time.monotonic() + seconds
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) or leftovers(spaces):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def host():
    return {
        "mounts": pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8"),
        "links": sorted(os.listdir("/sys/class/net")),
        "netns": subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout,
    }


@pytest.fixture
def hold():
    """What stays open for as long as the test lasts."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("end", ["raise", signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left(end, tmp_path, hold):
    before, env = host(), {**ENV, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", OWNER, str(end)], env=env, text=True, **pipes) as owner:
        pids = owner.stdout.readline().split()
        assert len(pids) == 2, owner.stderr.read()
        spaces = {kind: {os.readlink(f"/proc/{pid}/ns/{kind}") for pid in pids} for kind in KINDS}
        # While they are held, no machine of another test gets their numbers.
        for path in (f"/proc/{pid}/ns/{kind}" for pid in pids for kind in KINDS):
            hold.callback(os.close, os.open(path, os.O_RDONLY))
        assert leftovers(spaces) == spaces
        if end == "raise":
            owner.stdin.write("now\n")
            owner.stdin.flush()
        else:
            time.sleep(0.2)  # until the owner waits for its command
            owner.send_signal(end)
        try:
            assert owner.wait(60) == (3 if end == "raise" else -end)
        finally:
            owner.kill()
    assert gone(pids, spaces)
    assert host() == before
    assert list(tmp_path.iterdir()) == []


def test_run_of_the_suite_that_is_killed(tmp_path, hold):
    before, env = host(), {**os.environ, "TMPDIR": str(tmp_path)}
    options = ["--tests", "tests/lifecycle", "--workers", "2", "--reports", tmp_path, "--", "-p", "no:cacheprovider"]
    command = [sys.executable, ROOT / "tools" / "suite.py", *options]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as suite:
        try:
            own, deadline = os.readlink("/proc/self/ns/net"), time.monotonic() + 60
            pids, spaces = [], {}
            while not spaces:
                assert suite.poll() is None
                assert time.monotonic() < deadline
                pids = descendants(suite.pid)
                spaces = {"net": {space for space in map(space_of, pids) if space not in (own, None)}}
                spaces = {kind: found for kind, found in spaces.items() if found}
                time.sleep(0.02)
            for pid in pids:
                with contextlib.suppress(OSError):
                    hold.callback(os.close, os.open(f"/proc/{pid}/ns/net", os.O_RDONLY))
        finally:
            suite.kill()
    assert gone(pids, spaces)
    assert host() == before


def space_of(pid):
    """The network namespace of a process; ``None`` where it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


def scene(*argv, **kw):
    command = [sys.executable, "-m", "scene", "run", *argv]
    return subprocess.run(command, env=ENV, capture_output=True, text=True, timeout=60, check=False, **kw)


def test_command_line_passes_on_everything():
    done = scene("--name", "cli", "--", "sh", "-c", "hostname; pwd; cat; exit 7", cwd="/usr", input="input\n")
    assert (done.returncode, done.stdout) == (7, "cli\n/usr\ninput\n")
    assert scene("--", "sh", "-c", "kill -9 $$").returncode == 137
    assert scene("--", "/nowhere/program").returncode == 127
    assert scene().returncode == 2


def test_command_line_lets_the_command_end_by_itself():
    script = "trap 'sleep 0.5; echo cleaned up; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    command = [sys.executable, "-m", "scene", "run", "--", "sh", "-c", script]
    with subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.read() == "cleaned up\n"
        assert process.wait(60) == 128 + signal.SIGTERM


def test_machine_in_a_machine():
    inner = [sys.executable, "-m", "scene", "run", "--name", "inner", "--", "sh", "-c", "hostname; ip -br link | wc -l"]
    assert scene("--", *inner).stdout == "inner\n1\n"


# A chroot directory that is no mount point, with a /usr that is one.
CHROOT = """
set -eu
top=/srv/chroot
mkdir -p $top/usr $top/proc $top/sys $top/dev $top/tmp $top/mnt $top/var $top/home "$top$1" "$top$2"
cp -a /etc /bin /lib /sbin $top/
if [ -e /lib64 ]; then cp -a /lib64 $top/; fi
mount --bind /usr $top/usr
mount -t proc proc $top/proc
mount --bind /dev $top/dev
mount --bind "$1" "$top$1"
mount --bind "$2" "$top$2"
echo outside > /etc/where; echo chroot > $top/etc/where
shift 2
exec chroot $top "$@"
"""


@pytest.mark.skipif(not pathlib.Path("/bin").is_symlink(), reason="needs a merged /usr")
def test_machine_in_a_chroot():
    inner = [sys.executable, "-m", "scene", "run", "--", "sh", "-c"]
    script = "cat /etc/where; ls /usr/bin/env /srv/chroot; touch /usr/new; echo changed > /etc/where; cat /etc/where"
    done = scene("--", "sh", "-c", CHROOT, "sh", str(ROOT), sys.prefix, *inner, script)
    assert done.stdout == "chroot\n/usr/bin/env\nchanged\n", done.stderr


def test_without_root_it_says_so():
    """A user of a machine tries to make one."""
    script = "import sys; sys.path[:0] = [sys.argv[1]]; from scene import Machine; Machine('x').start()"
    with Machine("one") as machine:
        machine.add_user("somebody")
        argv = ["/usr/bin/python3", "-B", "-c", script, ROOT / "tools"]
        assert "machines need root" in machine.run(argv, user="somebody", check=False).stderr


# As Salt's plug-in for pytest leaves one.
THREAD = """
import threading, time
def test_it():
    threading.Thread(target=time.sleep, args=(1000,)).start()
    time.sleep(2)
"""


def test_workers_end_with_their_pytest(tmp_path):
    """Also those that wait for a thread; with them go their machines."""
    (tmp_path / "test_thread.py").write_text(THREAD, encoding="utf-8")
    (tmp_path / "conftest.py").write_text("from lifetime import end_with_controller as pytest_configure\n")
    command = [sys.executable, "-m", "pytest", "-n", "1", "-p", "no:cacheprovider", tmp_path]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}/tests"}
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not (workers := [pid for pid in descendants(process.pid) if _plays(pid)]):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        process.kill()
        assert gone(workers, {})


def _plays(pid):
    with contextlib.suppress(OSError):
        return b"test_it" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
