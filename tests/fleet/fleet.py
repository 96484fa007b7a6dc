"""A fleet: a master, two clients of it, and a server with consoles, each a machine of its own in one network."""

import contextlib
import sys
import time
from pathlib import Path

import yaml

import scenes
from checkout import ROOT, copy_checkout
from fleet.people import CONSOLES, HOST, attempts
from scene import Console, SceneError, tls
from scene.daemons import script
from scenes import ADDRESS, AUTHORITY, GROUP, PKI, SUDOERS, VIEWER

# The office of the example, and somebody to whom nothing is ever granted.
PEOPLE = ("charlie", "boss", "maggie", "anne", "ralph")
STRANGER = "visitor"
EVERYBODY = (*PEOPLE, STRANGER)
# By name of a client, as the example's top file has it: what its people may open.
CLIENTS = {
    "desk-books": {("charlie", "books"), ("boss", "books")},
    "laptop-1": {("charlie", "books"), ("boss", "books"), ("maggie", "web"), ("anne", "web"), ("ralph", "analysis")},
}
LINKS = sorted(path.name for path in (ROOT / "salt").iterdir() if path.is_symlink())
EXAMPLE = ROOT / "pillar" / "examples" / "fleet"
# The master fetches what was pushed when it is asked to, and not just then by itself.
MASTER = {"gitfs_update_interval": 3600, "git_pillar_update_interval": 3600}
# How the hook that checks a push is to do it: as by itself, with the checkout's command.
CHECK = f"{sys.executable} {ROOT / 'tools' / 'check.py'} --config /etc/salt --pillar-root ."


def served():
    """Paths of all files that minions need, and no others may be served."""
    found = {"top.sls", *(f"spice/{path.name}" for path in (ROOT / "salt" / "spice").iterdir())}
    for name in LINKS:
        found |= {f"{name}/{path.relative_to(ROOT / name)}" for path in (ROOT / name).rglob("*.py")}
    return found


class Repository:
    """A bare repository on the master, and a clone of it from which an admin pushes."""

    def __init__(self, machine, name):
        self.machine, self.bare, self.work = machine, f"/srv/git/{name}.git", f"/var/lib/clones/{name}"
        for where, bare in ((self.bare, ["--bare"]), (self.work, [])):
            machine.run(["git", "init", "--quiet", "--initial-branch=main", *bare, where])
        self.git("remote", "add", "origin", self.bare)

    def git(self, *words):
        """Run git in the clone; return what it prints."""
        identity = ["-c", "user.name=admin", "-c", "user.email=admin@example.com"]
        env = {"SPICE_GRANT_RUN": " ".join(script("salt-run")), "SPICE_GRANT_CHECK": CHECK}
        return self.machine.run(["git", "-C", self.work, *identity, *words], env=env).stdout.strip()

    def path(self, name=""):
        """Where the host sees a file of the clone."""
        return self.machine.path(f"{self.work}/{name}")

    def push(self, why):
        """Commit all that is different in the clone, and push it; a hook has done its work when this returns."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", why)
        self.git("push", "--quiet", "origin", "main")

    def head(self):
        """The commit that was pushed last."""
        return self.git("rev-parse", "HEAD")

    def published(self):
        """The commit that the repository has."""
        return self.git("ls-remote", "origin", "main").split()[0]

    def go_back(self):
        """Push what the first commit has, if the last one has something else."""
        first = self.git("rev-list", "--max-parents=0", "HEAD")
        self.git("checkout", "--quiet", "--force", first, "--", ".")
        if self.git("status", "--porcelain"):
            self.push("As it was")

    def hook(self, name):
        """Install a ready-made hook; return where the host sees it."""
        path = f"{self.bare}/hooks/{name}"
        self.machine.write(path, (ROOT / "etc" / "git" / name).read_bytes(), mode=0o755)
        return self.machine.path(path)


class Client:
    """A workstation with the office's users and a minion."""

    def __init__(self, name, machine):
        self.name, self.machine, self.minion = name, machine, None

    def openings(self):
        """Whoever opens what with the viewer's group, by trying all; nobody else may get anything but a refusal."""
        words = attempts(self.machine, EVERYBODY, CONSOLES)
        opened = {(user, vm) for (user, group, vm), word in words.items() if group == GROUP and word == "open"}
        others = {key: word for key, word in words.items() if (key[0], key[2]) not in opened or key[1] is None}
        assert set(others.values()) == {"refused"}, others
        return opened

    def grants(self):
        """The grants in the kernel."""
        rules = ["nft", "--stateless", "--numeric", "list", "map", "inet", "spice_grant", "grants4"]
        return self.machine.run(rules).stdout

    def enforced(self):
        """What users run into: the grants in the kernel, the sudo rules, and who may execute the viewer."""
        return self.grants(), self.machine.read(SUDOERS), self.machine.stat(VIEWER).st_mode

    def content(self):
        """What a run may change, to be compared: the grants in the kernel, sudoers, and what is stored."""
        files = (SUDOERS, "/var/lib/spice-grant/state.json")
        return {
            "rules": self.grants(),
            **{path: (self.machine.read(path), self.machine.stat(path).st_mtime_ns) for path in files},
        }


class Fleet:
    """All of it, with the example's grants pushed and nothing applied."""

    def __init__(self):
        self.clients, self._applied = {}, False
        with contextlib.ExitStack() as stack:
            server, hub, machines = stack.enter_context(scenes.office(*CLIENTS))
            tls.create(server.path(PKI), HOST)
            self.consoles = {
                vm: stack.enter_context(Console(server, vm, port, PKI, wait=False)) for vm, port in CONSOLES.items()
            }
            self.code, self.pillar = _code(hub), _pillar(hub)
            self.master = stack.enter_context(scenes.master(hub, "gitfs", "git-pillar", **MASTER))
            for number, (name, machine) in enumerate(machines.items()):
                client = self.clients[name] = Client(name, machine)
                _people(client, server, first_uid=1100 + 100 * number)
                client.minion = stack.enter_context(scenes.minion(machine))
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
            try:
                answers, _ = self.master.salt("test.ping", timeout=2, check=False)
            except SceneError as err:  # While no key is accepted yet, salt says so in words, before its data.
                answers = err
            if isinstance(answers, dict) and all(answers.get(name) is True for name in self.clients):
                return time.monotonic() - start
            assert time.monotonic() - start < seconds, f"{answers}\n{self.logs()}"

    def logs(self):
        """What all daemons have logged, for whoever looks into a failure."""
        daemons = {"master": self.master, **{name: client.minion for name, client in self.clients.items()}}
        return "\n".join(f"--- {name}\n{daemon.log()[-4000:]}" for name, daemon in daemons.items())

    def sync(self):
        """What follows a push of the extension: the master fetches it, and the minions sync it."""

        def fetched():
            self.master.salt_run("fileserver.update")
            return served() <= set(self.master.salt_run("fileserver.file_list")[0])

        _until(fetched)
        self.master.salt("saltutil.sync_all")
        self.master.salt_run("saltutil.sync_all")

    # Grants

    def grant(self, user, **grants):
        """Write a user's file in the clone of the pillar: by vm what else the grant has; without one there is none."""
        entries = {f"{user}-{vm}": {"user": user, "vm": vm, "nopasswd": True, **more} for vm, more in grants.items()}
        data = {"include": [f"spice.vms.{vm}" for vm in grants], "spice": {"grants": entries}}
        self.write(f"spice/grants/{user}.sls", yaml.safe_dump(data, sort_keys=False))

    def write(self, name, text):
        """Write a file in the clone of the pillar."""
        self.pillar.path(name).write_text(text, encoding="utf-8")

    def apply(self):
        """Run ``salt '*' state.apply spice``; return the one state's result by minion."""
        data, _ = self.master.salt("state.apply", "spice")
        assert set(data) == set(self.clients), data
        self._applied = True
        return {name: next(iter(states.values())) for name, states in data.items()}

    def as_first_pushed(self):
        """Have the example's grants in force, again or for the first time."""
        self.pillar.go_back()
        if not self._applied:
            self.apply()

    def openings(self):
        """Whoever opens what, by client, by trying all."""
        return {name: client.openings() for name, client in self.clients.items()}

    def verify(self):
        """Have every client prove by trying that what is granted holds, and nothing else; return the proofs."""
        data, code = self.master.salt("spice_grant.verify", check=False)
        assert set(data) == set(self.clients), data
        assert code == 0 and all(proof["ok"] for proof in data.values()), data
        return data


def _until(fetched, seconds=60):
    """Have the master fetch; it refuses while it does so by itself, as after its start, and is asked again."""
    deadline = time.monotonic() + seconds
    while not fetched():
        assert time.monotonic() < deadline, "the master does not fetch"


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
    repository.hook("post-receive")
    return repository


def _people(client, server, first_uid):
    """Users, whose numbers are other ones on each client, the server's name, and its authority."""
    machine = client.machine
    for number, name in enumerate(EVERYBODY):
        machine.add_user(name, first_uid + number)
    machine.write("/etc/hosts", machine.read("/etc/hosts") + f"{ADDRESS} {HOST}\n")
    machine.write(AUTHORITY, Path(server.path(AUTHORITY)).read_text(encoding="utf-8"))
