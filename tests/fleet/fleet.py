"""A fleet: a master, two clients of it, and a server with consoles, each a machine of its own in one network."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import yaml

from checkout import ROOT, copy_checkout
from scene import Console, Machine, connect, tls
from scene.daemons import QUICK, Daemon, Master

HOST, ADDRESS = "kvm.office.example", "192.168.2.2"
AUTHORITY = "/etc/pki/spice/ca-cert.pem"
CONSOLES = {"books": 20002, "web": 20004, "analysis": 20006}
GROUP = "spicegrp"
# The office of the example, and somebody to whom nothing is ever granted.
PEOPLE = ("charlie", "boss", "maggie", "anne", "ralph")
STRANGER = "visitor"
EVERYBODY = (*PEOPLE, STRANGER)
# By name of a client, as the example's top file has it: what its people may open.
CLIENTS = {
    "desk-books": {("charlie", "books"), ("boss", "books")},
    "laptop-1": {("charlie", "books"), ("boss", "books"), ("maggie", "web"), ("anne", "web"), ("ralph", "analysis")},
}
EXAMPLE = ROOT / "pillar" / "examples" / "fleet"
MASTER_FILES = [ROOT / "etc" / "master.d" / f"spice-grant-{name}.conf" for name in ("gitfs", "pillar-git")]

# Opens consoles, as each of some users and groups: root becomes them one after the other.
_TRY = """
import json, os, socket, ssl, sys

everybody, ports, host, authority = json.loads(sys.argv[1])
context = ssl.create_default_context(cafile=authority)

def word(port):
    try:
        with socket.create_connection((host, port), 10) as sock, context.wrap_socket(sock, server_hostname=host):
            return "open"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return str(error)

answers = []
for uid, gid in everybody:
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        with open(writing, "w") as stream:
            json.dump([word(port) for port in ports], stream)
        os._exit(0)
    os.close(writing)
    with open(reading) as stream:
        answers.append(json.load(stream))
    os.wait()
print(json.dumps(answers))
"""

# Holds a connection over TLS, and says when it ended.
_HOLD = """
import socket, ssl, sys, time

host, port, authority = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
with socket.create_connection((host, int(port)), 10) as sock, context.wrap_socket(sock, server_hostname=host) as held:
    held.settimeout(None)
    print("open", flush=True)
    try:
        why = "the server closed it" if not held.recv(1) else "the server spoke"
    except OSError as error:
        why = str(error)
    print(time.time(), why, flush=True)
"""


class Repository:
    """A bare repository on the master, and an admin's clone of it from which he pushes."""

    def __init__(self, machine, name):
        self.machine, self.bare, self.work = machine, f"/srv/git/{name}.git", f"/root/{name}"
        for where, bare in ((self.bare, ["--bare"]), (self.work, [])):
            machine.run(["git", "init", "--quiet", "--initial-branch=main", *bare, where])
        self.git("remote", "add", "origin", self.bare)

    def git(self, *words):
        """Run git in the clone; return what it prints."""
        identity = ["-c", "user.name=admin", "-c", "user.email=admin@example.com"]
        return self.machine.run(["git", "-C", self.work, *identity, *words]).stdout.strip()

    def path(self, name=""):
        """Where the host sees a file of the clone."""
        return self.machine.path(f"{self.work}/{name}")

    def push(self, why):
        """Commit all that is different in the clone, and push it."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", why)
        self.git("push", "--quiet", "origin", "main")


class Session:
    """A connection to a console that a process of a user, with the viewer's group, holds open."""

    def __init__(self, client, user, vm):
        command = [sys.executable, "-I", "-S", "-c", _HOLD, HOST, CONSOLES[vm], AUTHORITY]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self._process = client.popen([str(word) for word in command], user=user, group=GROUP, **pipes)
        said = self._process.stdout.readline().strip()
        assert said == "open", f"{user} has no session at {vm}: {said}{self._process.stdout.read()}"

    def holds(self):
        """Whether it is still open."""
        return self._process.poll() is None

    def ended(self, seconds):
        """Wait for its end; return when that was, and why."""
        self._process.wait(seconds)
        moment, _, why = self._process.stdout.read().strip().partition(" ")
        return float(moment), why

    def stop(self):
        """Close it."""
        self._process.kill_tree()
        self._process.stdout.close()


class Client:
    """A workstation with the office's users and a minion."""

    def __init__(self, name, machine):
        self.name, self.machine, self.minion = name, machine, None

    def words(self, users=EVERYBODY, vms=CONSOLES):
        """What becomes of a connection, by user, group (``None`` is his own) and vm: ``open``, ``refused``, an error."""
        asked = [(user, group) for user in users for group in (None, GROUP)]
        ids = []
        for user, group in asked:
            account = self.machine.account(user)
            ids.append([account["uid"], account["gid"] if group is None else self.machine.group_id(group)])
        told = json.dumps([ids, [CONSOLES[vm] for vm in vms], HOST, AUTHORITY])
        rows = json.loads(self.machine.run([sys.executable, "-I", "-S", "-c", _TRY, told]).stdout)
        return {(*who, vm): word for who, row in zip(asked, rows) for vm, word in zip(vms, row)}

    def openings(self):
        """Whoever opens what with the viewer's group, by trying all; nobody else may get anything but a refusal."""
        words = self.words()
        opened = {(user, vm) for (user, group, vm), word in words.items() if group == GROUP and word == "open"}
        others = {key: word for key, word in words.items() if (key[0], key[2]) not in opened or key[1] is None}
        assert set(others.values()) == {"refused"}, others
        return opened

    def opens(self, user, vm):
        """Whether a user opens a console with the viewer's group."""
        return self.words([user], [vm])[user, GROUP, vm] == "open"

    def held(self):
        """What a run may change, to be compared: the grants in the kernel, sudoers, and what is stored."""
        rules = ["nft", "--stateless", "-nn", "-a", "list", "table", "inet", "spice_grant"]
        files = ("/etc/sudoers.d/spice-grant", "/var/lib/spice-grant/state.json")
        return {
            "rules": self.machine.run(rules).stdout,
            **{path: (self.machine.read(path), self.machine.stat(path).st_mtime_ns) for path in files},
        }


class Fleet:
    """All of it, with the example's grants pushed and nothing applied; ``seconds`` by name are what things took."""

    def __init__(self):
        self.clients = {}
        with contextlib.ExitStack() as stack:
            server, hub = (stack.enter_context(Machine(name)) for name in ("kvm", "salt"))
            machines = {name: stack.enter_context(Machine(name)) for name in CLIENTS}
            _cable(server, [hub, *machines.values()])
            tls.create(server.path("/etc/pki/spice"), HOST)
            self.consoles = {
                vm: stack.enter_context(Console(server, vm, port, "/etc/pki/spice", wait=False))
                for vm, port in CONSOLES.items()
            }
            self.code, self.pillar = _code(hub), _pillar(hub)
            self.master = stack.enter_context(Master(hub, included=MASTER_FILES))
            for number, (name, machine) in enumerate(machines.items()):
                client = self.clients[name] = Client(name, machine)
                _people(client, server, first_uid=1100 + 100 * number)
                minion = {"id": name, "master": "192.168.2.1", "random_reauth_delay": 1, "acceptance_wait_time": 1}
                client.minion = stack.enter_context(Daemon(machine, "minion", {**QUICK, **minion}))
            for console in self.consoles.values():
                console.wait(60)
            self.wait_for_answers()
            self._stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._stack.close()

    def wait_for_answers(self, seconds=180):
        """Wait until every minion answers the master; return how long that took."""
        start = time.monotonic()
        while True:
            answers, _ = self.master.salt("test.ping", timeout=5, check=False)
            if isinstance(answers, dict) and all(answers.get(name) is True for name in self.clients):
                return time.monotonic() - start
            assert time.monotonic() - start < seconds, f"{answers}\n{self.logs()}"

    def logs(self):
        """What all daemons have logged, for whoever looks into a failure."""
        daemons = {"master": self.master, **{name: client.minion for name, client in self.clients.items()}}
        return "\n".join(f"--- {name}\n{daemon.log()[-4000:]}" for name, daemon in daemons.items())

    # Grants

    def grant(self, user, **grants):
        """Put into a user's file of the pillar's clone: by vm, further keys of his grant."""
        data = {
            "include": [f"spice.vms.{vm}" for vm in grants],
            "spice": {"grants": {f"{user}-{vm}": {"user": user, "vm": vm, **more} for vm, more in grants.items()}},
        }
        path = self.pillar.path(f"spice/grants/{user}.sls")
        path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")

    def follow(self, check=True):
        """What follows a push: the master fetches the pillar, and the minions apply it; return the states' results."""
        self.master.salt_run("git_pillar.update")
        return self.apply(check)

    def apply(self, check=True, **options):
        """Run ``salt '*' state.apply spice``; return the one state's result by minion."""
        data, _ = self.master.salt("state.apply", "spice", check=check, **options)
        assert set(data) == set(self.clients), data
        return {name: next(iter(states.values())) for name, states in data.items()}

    def verify(self):
        """Have every client prove by trying that what is granted holds, and nothing else."""
        data, code = self.master.salt("spice_grant.verify", check=False)
        assert set(data) == set(self.clients), data
        assert code == 0 and all(proof["ok"] for proof in data.values()), data
        return data


def _cable(server, others):
    """Join all machines to a bridge of the server, which has the address that the example's pillar gives it."""
    server.run(["ip", "link", "add", "lan", "type", "bridge"])
    for machine, last in zip(others, (1, *range(21, 30))):
        link = connect(machine, server, [f"192.168.2.{last}/24"], [])
        server.run(["ip", "link", "set", link.b_dev, "master", "lan"])
    server.run(["ip", "addr", "add", f"{ADDRESS}/24", "dev", "lan"])
    server.run(["ip", "link", "set", "lan", "up"])


def _code(hub):
    """The repository of the extension, where the ready-made file for gitfs expects it."""
    repository = Repository(hub, "spice-grant")
    copy_checkout(repository.path())
    repository.push("All of it")
    return repository


def _pillar(hub):
    """The repository of the pillar: the example for fleets, open at all times and without sudo's question."""
    repository = Repository(hub, "spice-pillar")
    for source in sorted(EXAMPLE.rglob("*.sls")):
        target = repository.path(source.relative_to(EXAMPLE))
        target.parent.mkdir(parents=True, exist_ok=True)
        data = yaml.safe_load(source.read_text(encoding="utf-8"))
        if source.parent.name == "grants":
            data["spice"].pop("schedules", None)
            grants = data["spice"]["grants"]
            for name, grant in grants.items():
                kept = {key: grant[key] for key in ("user", "vm", "reason") if key in grant}
                grants[name] = {**kept, "nopasswd": True}
        target.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    repository.push("The office")
    return repository


def _people(client, server, first_uid):
    """Users, whose numbers are other ones on each client, the server's name, and its authority."""
    machine = client.machine
    for number, name in enumerate(EVERYBODY):
        machine.add_user(name, first_uid + number)
    machine.write("/etc/hosts", machine.read("/etc/hosts") + f"{ADDRESS} {HOST}\n")
    machine.write(AUTHORITY, Path(server.path(AUTHORITY)).read_text(encoding="utf-8"))
