"""A throw-away machine: namespaces over a private copy of the running system.

Nothing that happens in a machine changes the host: its root is an overlay whose changes lie in memory, its processes,
network, mounts and host name are its own. It ends with :meth:`Machine.stop`, or with the Python process that started
it, even when that is killed.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import stat as stat_module
import subprocess
import sys
import time

ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USER_PATH = "/usr/local/bin:/usr/bin:/bin"
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
SHOWN_BY_OVERLAY = ("/", "/usr", "/usr/local")
FIRST_UID = 1100
MAX_LINKS = 40


class SceneError(Exception):
    """The scene could not be set up, or a command in it failed."""


class CommandError(SceneError):
    """A command in a machine ended with another exit code than 0."""

    def __init__(self, machine, argv, returncode, stdout, stderr):
        self.returncode, self.stdout, self.stderr = returncode, stdout, stderr
        super().__init__(
            f"{machine}: {' '.join(argv)} ended with {returncode}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )


class CommandTimeout(SceneError):
    """A command in a machine did not end in time and was killed."""


class Process(subprocess.Popen):
    """A process in a machine; signals reach the process itself, not the nsenter that entered the machine."""

    def inner(self):
        """Process ID, as the host counts, of the command in the machine; None before it started or after it ended."""
        return next(iter(_children(self.pid)), None)

    def send_signal(self, sig):
        """Send a signal to the process in the machine."""
        deadline = time.monotonic() + 1
        while self.poll() is None and self.inner() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        target = self.inner()
        if target is None:
            super().send_signal(sig)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, sig)

    def kill_tree(self):
        """Kill the command in the machine and all its descendants; nsenter, which reaps it, then ends by itself."""
        for pid in descendants(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(1)
        if self.returncode is None:
            super().send_signal(signal.SIGKILL)


class Machine:
    """One machine; see the module's docstring. ``binds`` are further directories to show read-only, ``shown`` all."""

    def __init__(self, name, *, binds=()):
        self.name = name
        self.pid = None
        self.links = 0
        self._outer = None
        paths = map(os.path.realpath, (CHECKOUT, sys.prefix, sys.base_prefix, *binds))
        self.shown = sorted({*paths} - set(SHOWN_BY_OVERLAY))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def __repr__(self):
        return f"<Machine {self.name} pid={self.pid}>"

    def start(self):
        """Start the machine; raise SceneError with the reason if that is impossible."""
        if self._outer is not None:
            raise SceneError(f"{self.name} runs already")
        if os.geteuid() != 0:
            raise SceneError("machines need root")
        config = json.dumps({"name": self.name, "binds": self.shown})
        self._outer = subprocess.Popen(
            [sys.executable, "-I", "-S", str(pathlib.Path(__file__).with_name("pid1.py")), config],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": ROOT_PATH},
            cwd="/",
            start_new_session=True,
        )
        said = {}
        for line in self._outer.stdout:
            word, _, rest = line.decode().strip().partition(" ")
            said[word] = rest
            if {"ready", "pid"} <= said.keys() or "error" in said:
                break
        if "ready" not in said:
            self.stop()
            raise SceneError(f"no machine {self.name}: {said.get('error', 'its first process ended')}")
        self.pid = int(said["pid"])

    def stop(self):
        """End the machine with everything in it; it is harmless if the machine does not run."""
        outer, self._outer, self.pid = self._outer, None, None
        if outer is None:
            return
        with contextlib.suppress(BrokenPipeError):
            outer.stdin.close()
        try:
            outer.wait(10)
        except subprocess.TimeoutExpired:
            outer.kill()
            outer.wait()
        outer.stdout.close()

    # Commands

    def enter(self, argv, *, user=None, group=None, cwd="/"):
        """Return the argument list that, run on the host, runs ``argv`` in the machine."""
        if self.pid is None:
            raise SceneError(f"{self.name} does not run")
        command = [program("nsenter"), f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid"]
        command += ["--root", f"--wd={self.path(cwd)}", "--"]
        if user is not None or group is not None:
            command += self._login(user or "root", group)
        return command + [str(arg) for arg in argv]

    def environment(self, user=None, extra=None):
        """Return the environment of a fresh login of the user, with ``extra``."""
        account = self.account(user or "root")
        path = ROOT_PATH if account["uid"] == 0 else USER_PATH
        env = {"PATH": path, "HOME": account["home"], "USER": account["name"], "LOGNAME": account["name"]}
        return {**env, "LANG": "C.UTF-8", **(extra or {})}

    def popen(self, argv, *, user=None, group=None, env=None, cwd="/", **kw):
        """Start a command in the machine, in a session of its own; ``kw`` goes to subprocess.Popen."""
        kw.setdefault("start_new_session", True)
        kw.setdefault("stdin", subprocess.DEVNULL)
        command = self.enter(argv, user=user, group=group, cwd=cwd)
        return Process(command, env=self.environment(user, env), **kw)

    def run(self, argv, *, user=None, group=None, input=None, env=None, check=True, timeout=120, cwd="/"):
        """Run a command to its end and return its output, as text."""
        argv = [str(arg) for arg in argv]
        process = self.popen(
            argv,
            user=user,
            group=group,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        with process:
            try:
                out, err = process.communicate(input, timeout=timeout)
            except subprocess.TimeoutExpired as late:
                process.kill_tree()
                out, err = process.communicate()
                what = f"{self.name}: {' '.join(argv)} did not end within {timeout} s"
                raise CommandTimeout(f"{what}\n--- stdout\n{out}\n--- stderr\n{err}") from late
            except BaseException:
                process.kill_tree()
                raise
        if check and process.returncode != 0:
            raise CommandError(self.name, argv, process.returncode, out, err)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def _login(self, user, group):
        # A leading + makes setpriv take a number as a number, even if a user or group has it for a name.
        account = self.account(user)
        gid = account["gid"] if group is None else self.group_id(group)
        groups = sorted({gid, account["gid"], *self._groups_of(account["name"])})
        return [
            program("setpriv"),
            f"--reuid=+{account['uid']}",
            f"--regid=+{gid}",
            "--groups=" + ",".join(f"+{number}" for number in groups),
            "--",
        ]

    # Accounts

    def account(self, user):
        """Return name, uid, gid and home of a user of the machine, by name; by number for an int."""
        for line in self.read("/etc/passwd").splitlines():
            fields = line.split(":")
            if len(fields) == 7 and (fields[0] == user or (isinstance(user, int) and int(fields[2]) == user)):
                return {"name": fields[0], "uid": int(fields[2]), "gid": int(fields[3]), "home": fields[5]}
        raise SceneError(f"{self.name} has no user {user}")

    def group_id(self, group):
        """Return the number of a group of the machine, by name; return an int as it is."""
        if isinstance(group, int):
            return group
        for name, gid, _ in self._groups():
            if name == group:
                return gid
        raise SceneError(f"{self.name} has no group {group}")

    def add_user(self, name, uid=None, password=None, groups=(), gid=None):
        """Create a user with a home, by the system's own tools; return the uid."""
        command = ["useradd", "--create-home", "--shell", "/bin/bash"]
        command += ["--uid", str(uid)] if uid is not None else ["--key", f"UID_MIN={FIRST_UID}"]
        command += ["--gid", str(gid)] if gid is not None else []
        command += ["--groups", ",".join(groups)] if groups else []
        self.run([*command, name])
        if password is not None:
            # The way of few rounds: nobody steals this password, and each sudo asks for it.
            self.run(["chpasswd", "-c", "SHA512", "-s", "1000"], input=f"{name}:{password}\n")
        return self.account(name)["uid"]

    def _groups(self):
        rows = [line.split(":") for line in self.read("/etc/group").splitlines()]
        return [(row[0], int(row[2]), row[3].split(",")) for row in rows if len(row) == 4]

    def _groups_of(self, name):
        return [gid for _, gid, members in self._groups() if name in members]

    # Files

    def path(self, path, *, follow=True):
        """Return the host's path for a path of the machine.

        Symbolic links are resolved as the machine would: an absolute one never leads out of it. With ``follow=False``
        the last component is left alone.
        """
        if self.pid is None:
            raise SceneError(f"{self.name} does not run")
        top = pathlib.Path(f"/proc/{self.pid}/root")
        todo = [part for part in str(path).split("/") if part][::-1]
        done, links = [], 0
        while todo:
            part = todo.pop()
            if part in (".", ".."):
                done = done[:-1] if part == ".." else done
                continue
            here = top.joinpath(*done, part)
            if (todo or follow) and here.is_symlink():
                links += 1
                if links > MAX_LINKS:
                    raise SceneError(f"{self.name}: too many symbolic links in {path}")
                target = os.readlink(here)
                done = [] if target.startswith("/") else done
                todo += [piece for piece in target.split("/") if piece][::-1]
            else:
                done.append(part)
        return top.joinpath(*done)

    def read(self, path):
        """Return the text of a file of the machine."""
        return self.path(path).read_text(encoding="utf-8", errors="replace")

    def write(self, path, content, mode=0o644, owner="root:root"):
        """Write a file of the machine and its directories; ``owner`` is ``user`` or ``user:group``."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        user, _, group = owner.partition(":")
        account = self.account(user)
        gid = self.group_id(group) if group else account["gid"]
        data = content if isinstance(content, bytes) else content.encode()
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as stream:
            os.fchown(descriptor, account["uid"], gid)
            os.fchmod(descriptor, mode)
            stream.write(data)

    def stat(self, path, *, follow=True):
        """Return os.stat_result for a path of the machine."""
        return os.lstat(self.path(path, follow=follow))

    def mode(self, path):
        """Return the permission bits of a path, ``0o750`` for example."""
        return stat_module.S_IMODE(self.stat(path).st_mode)


def program(name):
    found = shutil.which(name, path=ROOT_PATH)
    if found is None:
        raise SceneError(f"{name} is not installed")
    return found


def _children(pid):
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # Each thread has those that it has started.
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += pathlib.Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii").split()
    return [int(number) for number in found]


def descendants(pid):
    """Return the process IDs, as the host counts, of all present descendants of a process."""
    found = []
    for child in _children(pid):
        found += [child, *descendants(child)]
    return found
