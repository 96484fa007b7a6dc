"""The first process of a machine: it creates the machine's namespaces, then keeps them.

Run as a script, by path and isolated (``python -I -S pid1.py CONFIG``), so it imports nothing of its own package.
CONFIG is JSON: ``{"name": host name, "binds": [directories to show read-only at the same path]}``.

It consists of two processes. The outer one stays in the caller's namespaces, reports the machine's process ID, and
waits. The inner one is PID 1 of the machine: it makes the root file system, reports ``ready`` and then blocks on its
standard input, a pipe whose other end only the owner holds. When the owner ends, for whatever reason, the pipe closes,
PID 1 ends, and the kernel kills every process and drops every mount of the machine.
"""

import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import socket
import stat
import struct
import sys
import time

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}

BASE = "/tmp"  # noqa: S108 - covered by a tmpfs, in the machine's own mount namespace only
ROOT = BASE + "/root"
TMPFS = {"tmp": "1777", "run": "0755", "home": "0755", "root": "0700"}
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
LAYERED = ("/usr", "/var", "/etc", "/opt", "/srv", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
UNLAYERED = ("tmpfs", "nsfs", "squashfs", "autofs", "proc", "sysfs")
CONTAINERS = ("/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/lxc", "/var/lib/machines")

# UIDs and GIDs that useradd gives to people.
OF_PEOPLE = range(1000, 60000)
SEARCH = 0o111

_libc = ctypes.CDLL(None, use_errno=True)


class SetupError(OSError):
    """The machine cannot be created here; the text is the reason."""


def _check(result, what):
    if result != 0:
        code = ctypes.get_errno()
        raise SetupError(code, f"{what}: {os.strerror(code)}")


def mount(source, target, kind=None, flags=0, options=None):
    """Call mount(2)."""
    raw = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _check(_libc.mount(raw[0], raw[1], raw[2], ctypes.c_ulong(flags), raw[3]), f"mount {kind or source} on {target}")


def show(source, target, flags=0):
    """Bind one directory or file to another path; MS_RDONLY in flags makes that view read-only."""
    mount(source, target, None, MS_BIND)
    mount(None, target, None, MS_BIND | MS_REMOUNT | flags)


def pivot_root(directory):
    """Make a mount point the root of the mount namespace and let go of the former one."""
    number = SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise SetupError(errno.ENOSYS, f"no number of pivot_root known for {os.uname().machine}")
    os.chdir(directory)
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount of the former root")
    os.chdir("/")


def unescape(field):
    """Return the path from /proc/self/mountinfo, which writes blanks and backslashes as octal numbers.

    >>> unescape("/srv/two\\\\040words")
    '/srv/two words'
    """
    for code in ("\\040", "\\011", "\\012", "\\134"):
        field = field.replace(code, chr(int(code[1:], 8)))
    return field


def below(path, tops):
    """Tell whether a path is one of the directories or lies in one."""
    return any(path == top or path.startswith(top + "/") for top in tops)


def layered(mountinfo):
    """Return the mount points of real file systems that make up the system besides ``/``, parents first."""
    found = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        point, kind = unescape(left.split()[4]), right.split()[0]
        if kind not in UNLAYERED and below(point, LAYERED) and not below(point, CONTAINERS):
            found.append(point)
    return sorted(set(found))


def overlay(lower, target, number):
    """Mount a private, writable copy of a directory tree."""
    upper, work = f"{BASE}/upper{number}", f"{BASE}/work{number}"
    os.mkdir(upper)
    os.mkdir(work)
    own = os.stat(lower)
    os.chmod(upper, stat.S_IMODE(own.st_mode))
    os.chown(upper, own.st_uid, own.st_gid)
    for char in "\\:,":
        lower = lower.replace(char, "\\" + char)
    try:
        mount("overlay", target, "overlay", 0, f"lowerdir={lower},upperdir={upper},workdir={work}")
    except SetupError as err:
        why = {
            errno.ENODEV: "this kernel has no overlayfs (modprobe overlay)",
            errno.EPERM: "not allowed: this needs root with CAP_SYS_ADMIN",
            errno.EINVAL: "overlayfs refused it; an overlay cannot lie on two others",
        }.get(err.errno, "overlayfs failed")
        raise SetupError(err.errno, f"{why}: {err.strerror}") from err


def make_root():
    """Overlay the running system, with private directories where programs write."""
    points = layered(read("/proc/self/mountinfo"))
    mount("tmpfs", BASE, "tmpfs", 0, "mode=0755")
    os.mkdir(ROOT)
    overlay("/", ROOT, 0)
    for number, point in enumerate(points, 1):
        if os.path.isdir(point):
            overlay(point, ROOT + point, number)
        elif os.path.isfile(point):
            rewrite(ROOT + point, read(point))
    for name, mode in TMPFS.items():
        os.makedirs(f"{ROOT}/{name}", exist_ok=True)
        mount("tmpfs", f"{ROOT}/{name}", "tmpfs", 0, f"mode={mode}")
    for name in ("lock", "user"):
        os.mkdir(f"{ROOT}/run/{name}")
    os.chmod(ROOT + "/run/lock", 0o1777)  # noqa: S103


def make_devices():
    """Create a /dev with the devices that programs expect and no disk of the host."""
    dev = ROOT + "/dev"
    mount("tmpfs", dev, "tmpfs", MS_NOEXEC, "mode=0755")
    for name, (major, minor) in DEVICES.items():
        os.mknod(f"{dev}/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
        os.chmod(f"{dev}/{name}", 0o666)  # noqa: S103
    if os.path.exists("/dev/net/tun"):
        os.mkdir(dev + "/net")
        os.mknod(dev + "/net/tun", stat.S_IFCHR | 0o666, os.makedev(10, 200))
        os.chmod(dev + "/net/tun", 0o666)  # noqa: S103
    for name, target in LINKS.items():
        os.symlink(target, f"{dev}/{name}")
    os.mkdir(dev + "/pts")
    mount("devpts", dev + "/pts", "devpts", MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    os.mkdir(dev + "/shm")
    mount("tmpfs", dev + "/shm", "tmpfs", MS_NODEV, "mode=1777")


def make_kernel_views():
    """Mount the machine's /proc and /sys; parts that are not the machine's own are read-only."""
    proc = ROOT + "/proc"
    mount("proc", proc, "proc", MS_NODEV | MS_NOEXEC)
    show(proc + "/sys", proc + "/sys", MS_RDONLY)
    show(proc + "/sys/net", proc + "/sys/net")
    if os.path.exists(proc + "/sysrq-trigger"):
        show(proc + "/sysrq-trigger", proc + "/sysrq-trigger", MS_RDONLY)
    mount("sysfs", ROOT + "/sys", "sysfs", MS_RDONLY | MS_NODEV | MS_NOEXEC)


def make_binds(binds):
    """Show the opened directories read-only at their own paths."""
    for path, descriptor in sorted(binds.items()):
        os.makedirs(ROOT + path, exist_ok=True)
        open_way(path)
        show(f"/proc/self/fd/{descriptor}", ROOT + path, MS_RDONLY)
        os.close(descriptor)


def open_way(path):
    """Let users of the machine get to a path whose directories are private on the host, such as /root."""
    while path != "/":
        path = os.path.dirname(path)
        mode = stat.S_IMODE(os.stat(ROOT + path).st_mode)
        if mode & SEARCH != SEARCH:
            os.chmod(ROOT + path, mode | SEARCH)


def make_accounts():
    """Leave out the host's people and its sudoers files, so that names and numbers are free for the scene."""
    people, groups = (
        {row[0] for row in rows(name) if len(row) > 2 and row[2].isdigit() and int(row[2]) in OF_PEOPLE}
        for name in ("passwd", "group")
    )
    for name in ("passwd", "shadow", "subuid", "subgid", "group", "gshadow"):
        gone, grouped = (groups, True) if name in ("group", "gshadow") else (people, False)
        kept = [row for row in rows(name) if row[0] not in gone]
        if grouped:
            kept = [[*row[:-1], ",".join(each for each in row[-1].split(",") if each not in people)] for row in kept]
        if os.path.exists(f"{ROOT}/etc/{name}"):
            with open(f"{ROOT}/etc/{name}", "w", encoding="utf-8", errors="surrogateescape") as stream:
                stream.writelines(":".join(row) + "\n" for row in kept)
    sudoers = f"{ROOT}/etc/sudoers.d"
    for name in os.listdir(sudoers) if os.path.isdir(sudoers) else []:
        os.unlink(f"{sudoers}/{name}")


def rows(name):
    """Return the lines of an account file, each split at its colons."""
    path = f"{ROOT}/etc/{name}"
    return [line.split(":") for line in read(path).splitlines()] if os.path.exists(path) else []


def make_names(name):
    """Set the host name, and files that resolve it without any name server."""
    _check(_libc.sethostname(name.encode(), len(name)), "sethostname")
    rewrite(ROOT + "/etc/hostname", name + "\n")
    own = f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    rewrite(ROOT + "/etc/hosts", own)
    rewrite(ROOT + "/etc/resolv.conf", "# no name server\n")


def loopback_up():
    """Bring lo up, and IPv6 with it."""
    for switch in ("all", "default", "lo"):
        path = f"/proc/sys/net/ipv6/conf/{switch}/disable_ipv6"
        if os.path.exists(path):
            with open(path, "w", encoding="ascii") as stream:
                stream.write("0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, 0x8913, request))[1]
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))


def read(path):
    """Return the text of a file."""
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        return stream.read()


def rewrite(path, text):
    """Replace a file; a symbolic link is replaced too, never followed."""
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(text)


def leave_chroot():
    """Go to the root of the mount namespace: neither pivot_root nor MS_PRIVATE work in a chroot directory."""
    descriptor = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    _check(_libc.setns(descriptor, CLONE_NEWNS), "setns")
    os.close(descriptor)


def make_private():
    """Keep every mount of this namespace to itself, from the very top, also when started in a chroot directory."""
    start = os.open("/", os.O_PATH | os.O_CLOEXEC)
    leave_chroot()
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    os.chdir(start)
    os.chroot(".")
    os.close(start)


def become_machine(config):
    """Do everything that PID 1 does before it waits."""
    os.umask(0o022)
    make_private()
    binds = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in config["binds"]}
    make_root()
    make_devices()
    make_kernel_views()
    make_binds(binds)
    make_accounts()
    make_names(config["name"])
    loopback_up()
    root = os.open(ROOT, os.O_PATH | os.O_CLOEXEC)
    leave_chroot()
    pivot_root(root)
    os.close(root)


def inner(config):
    """Act as PID 1: set up, report, wait until the owner is gone."""
    try:
        become_machine(config)
    except OSError as err:
        os.write(1, f"error {err}\n".encode())
        os._exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.write(1, b"ready\n")
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    while os.read(0, 4096):
        pass
    os._exit(0)


def resume(pid, proc):
    """Have those go on who wait for a process of a machine, and were stopped with it.

    nsenter stops itself when what it started is stopped. If its own parent is gone nobody continues it, and the kernel
    waits for it until the machine's last process is reaped.

    pid
        PID of the machine's first process.

    proc
        Descriptor of the directory in which the owner's processes are; the machine's own has no others.
    """
    for name in filter(str.isdigit, os.listdir(proc)):
        try:
            descriptor = os.open(f"{name}/cmdline", os.O_RDONLY, dir_fd=proc)
            with open(descriptor, "rb") as stream:
                words = stream.read().split(b"\0")
            if words[0].endswith(b"nsenter") and f"--target={pid}".encode() in words:
                os.kill(int(name), signal.SIGCONT)
        except (FileNotFoundError, ProcessLookupError):
            continue


def main(argv):
    """Make the namespaces, fork PID 1, wait for it."""
    config = json.loads(argv[1])
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC
    try:
        _check(_libc.unshare(flags), "unshare")
    except SetupError as err:
        os.write(1, f"error {err}\n".encode())
        return 1
    pid = os.fork()
    if pid == 0:
        os.close(proc)
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        inner(config)
    os.write(1, f"pid {pid}\n".encode())
    os.close(1)
    # Until the owner's end of the pipe is closed, or the machine could not be made.
    select.select([0, os.pidfd_open(pid)], [], [])
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        resume(pid, proc)
        time.sleep(0.05)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF


if __name__ == "__main__":
    sys.exit(main(sys.argv))
