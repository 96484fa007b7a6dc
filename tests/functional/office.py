"""The scene of these tests: a workstation with users, a server with consoles' ports, Salt on the workstation."""

import contextlib
import copy
import hashlib
import json
import os
import re
import stat

import scenes
import terminals
from everybody import answers, answers_of
from functional.mechanisms import MECHANISMS
from scene import Listener, Minion
from scenes import ADDRESS, ADDRESS6, GROUP, HOST, SECOND_ADDRESS, VIEWER, article

BOTH = (ADDRESS, ADDRESS6)
PORTS = range(20001, 20011)
OUTSIDE = (19999, 20000, 20011, 5900)
STATE = "/var/lib/spice-grant/state.json"
PASSWORDS = {"myself": "Ms-1021", "mybro": "Mb-1022", "nogrant": "Ng-1023"}
UIDS = {**scenes.UIDS, "nogrant": scenes.STRANGER}
# What a user types: the argument that the article's rule names, and the connection file.
URIS = {"debianx": f"spice://{HOST}?tls-port=20002", "leaptest": f"spice://{HOST}?tls-port=20004"}
FILES = {"debianx": "/etc/spice-grant/vms/debianx.vv", "leaptest": "/etc/spice-grant/vms/leaptest.vv"}
# What the article's grants open, as Office.openings() says it: at its address, or at one of each IP version.
OPEN = {("myself", GROUP, ADDRESS, 20002), ("mybro", GROUP, ADDRESS, 20004)}
OPEN_BOTH = {(user, group, address, port) for user, group, _, port in OPEN for address in BOTH}
# Where a run may write. Below /usr/local there may be a lot that has nothing to do with it.
WRITTEN = ("/etc", "/usr/local/bin", "/usr/local/share/applications", "/var/lib/spice-grant", "/home", VIEWER)
WRITTEN += ("/var/lib/dpkg/statoverride", "/usr/local/lib/spice-grant", "/usr/local/share/man/man1")
WRITTEN += tuple(f"/usr/local/share/{name}" for name in ("bash-completion", "zsh", "locale/de"))
# What the system's own tools leave behind when they edit accounts.
BACKUPS = {f"/etc/{name}-" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")}
# Larger files are compared by size and time only.
LARGE = 65536
# remote-viewer's own words when it starts without a desktop.
STARTED = "cannot open display"

# Connects to places.
_CONNECT = """
import errno, os, socket, struct
from concurrent.futures import ThreadPoolExecutor

def connect(address, port, source):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.settimeout(3)
        if source:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", source))
        code = sock.connect_ex((address, port))
        if code == 0:
            return "open" if sock.recv(64) == b"scene %d\\n" % port else "strange"
        if code == errno.ECONNREFUSED:
            # struct tcp_info of linux/tcp.h: tcpi_total_retrans. Who is answered at once asks once.
            asked_again, = struct.unpack_from("=I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)
            return "refused late" if asked_again else "refused"
        return errno.errorcode.get(code, str(code))

def answer(places):
    # Where nothing answers, all wait at once.
    with ThreadPoolExecutor(max(1, len(places))) as pool:
        return list(pool.map(lambda place: connect(*place), places))
"""


def _described(places):
    return [[*place, None][:3] for place in places]


class Office:
    """Client and server, joined; users on the client; something that listens on the server's ports."""

    def __init__(self, pillar=None, mechanism="nftables"):
        self._contents = {}
        self.mechanism = MECHANISMS[mechanism]
        with contextlib.ExitStack() as stack:
            self.client, self.server, self.link = stack.enter_context(scenes.pair(second=True))
            self.client.run(["groupadd", "--gid", "1500", "accounting"])
            scenes.people(self.client, stranger="nogrant", passwords=PASSWORDS)
            self.listener = stack.enter_context(Listener(self.server, [*PORTS, *OUTSIDE]))
            self.mechanism.prepare(self)
            self.minion = stack.enter_context(Minion(self.client, self.declared(pillar or article())))
            self._stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        """End everything."""
        self._stack.close()

    # Salt

    def declared(self, pillar):
        """A copy of a pillar that asks for this office's mechanism, unless that is what it gets by itself."""
        data = copy.deepcopy(pillar)
        if self.mechanism.name != "nftables":
            data["spice"].setdefault("firewall", {})["backend"] = "iptables"
        return data

    def apply(self, pillar=None, *, test=False):
        """Run ``state.apply spice``, with another pillar if one is given; return the one state's result."""
        if pillar is not None:
            self.minion.set_pillar(self.declared(pillar))
        return only(self.minion.state(test=test))

    def single(self, function, *, test=False, **arguments):
        """Run one state by itself; return its result."""
        return only(self.minion.call("state.single", f"spice_grant.{function}", test=test, **arguments))

    def applied(self, pillar=None):
        """Apply, and insist that all went well; return the result."""
        result = self.apply(pillar)
        assert result["result"] is True, result
        return result

    def verify(self, **kw):
        """Run spice_grant.verify; return its answer and insist that the exit code agrees with it."""
        answer, code = self.minion.call_raw("spice_grant.verify", **kw)
        assert code == {True: 0, False: 1, None: 2}[answer["ok"]], (code, answer)
        return answer

    def on_terminal(self, function, *words):
        """Run the real salt-call with a terminal for its standard error; see :func:`terminals.run`."""
        command = self.minion.salt_command(function, *words, "--out=json")
        return terminals.run(lambda **streams: self.client.popen(command, **streams))

    # What users can do

    def connect(self, user, group, places):
        """Connect as a user with a group; return by place ``open``, ``refused`` (at once), or the kernel's word."""
        places = [tuple(place) for place in places]
        return dict(zip(places, self._attempts([(user, group)], places)[0]))

    def reach(self, user, group, address, port):
        """Connect once; return the word."""
        return self.connect(user, group, [(address, port)])[address, port]

    def openings(self, addresses=(ADDRESS, SECOND_ADDRESS, ADDRESS6)):
        """Whoever reaches a guarded port: tuples of user, group, address and port, by trying them all."""
        places = [(address, port) for address in addresses for port in PORTS]
        groups = [GROUP] if GROUP in self.groups() else []
        everybody = [(user, group) for user in (*UIDS, "root") for group in (None, *groups)]
        found = set()
        for who, words in zip(everybody, self._attempts(everybody, places)):
            for place, word in zip(places, words):
                # EACCES: shut for everybody, by routing.
                if word not in ("refused", "EACCES"):
                    found.add((*who, *place) if word == "open" else (*who, *place, word))
        return found

    def _attempts(self, everybody, places):
        return answers(self.client, everybody, _CONNECT, _described(places))

    def attempts(self, ids, places):
        """Connect as pairs of UID and GID, whether there are such accounts or not; return their words, in order."""
        return answers_of(self.client, ids, _CONNECT, _described(places))

    def sudo(self, user, *arguments, password=True, env=None, cwd="/"):
        """Run sudo as the user, who types their password (or the one given, or none); return the finished process."""
        word = PASSWORDS[user] if password is True else password
        environment = ["/usr/bin/env", *(f"{name}={value}" for name, value in (env or {}).items())]
        command = [*environment, "/usr/bin/sudo", "-k", "-S" if word else "-n", *arguments]
        return self.client.run(command, user=user, input=f"{word}\n" if word else None, cwd=cwd, check=False)

    def opens(self, user, argument, *, options=("-g", GROUP), viewer=VIEWER, **kw):
        """Whether the real viewer starts when the user asks sudo for it."""
        return started(self.sudo(user, *options, viewer, "--", argument, **kw))

    def denied_to(self, user):
        """Places that the guard refused to a user within the last hour."""
        found = self.minion.call("spice_firewall.denied")
        return {(entry["address"], entry["port"]) for entry in found if entry["uid"] == UIDS[user]}

    # What the system holds

    def groups(self):
        """Names of the client's groups, with their members."""
        rows = [line.split(":") for line in self.client.read("/etc/group").splitlines()]
        return {row[0]: [name for name in row[3].split(",") if name] for row in rows}

    def gid(self):
        """Number of the viewer's group."""
        return self.client.group_id(GROUP)

    def nft(self, *words, text=None):
        """Run nft on the client; return what it prints."""
        return self.client.run(["nft", *words], input=text).stdout

    def ruleset(self):
        """The whole ruleset with its handles, without what traffic and time change."""
        printed = self.nft("-n", "-a", "-s", "-j", "list", "ruleset")
        try:
            listed = json.loads(printed)["nftables"]
        except ValueError:  # a table is asleep: what nft 1.0.6 prints for that is a matter of luck
            return [printed]
        for entry in listed:
            if "timeout" in entry.get("set", {}):
                entry["set"].pop("elem", None)
        return [*(json.dumps(entry, sort_keys=True) for entry in listed), *self.mechanism.ruleset(self)]

    def snapshot(self):
        """All that a run may write: the ruleset, the files, who owns the viewer; and the mounts."""
        found = {"nft": self.ruleset(), "mounts": self.client.run(["cat", "/proc/self/mountinfo"]).stdout}
        for top in WRITTEN:
            found.update(self._tree(top))
        return found

    def essence(self):
        """What of a snapshot must be the same after the same runs: not when, in which inode or under which handle."""
        found = {
            path: (entry[:3] + entry[5:] if isinstance(entry, tuple) else entry)
            for path, entry in self.snapshot().items()
            if not path.startswith(("/etc/salt-scene", "/home")) and path not in BACKUPS
        }
        found["nft"] = sorted(re.sub(r'"handle": [0-9]+(, )?', "", line) for line in found["nft"])
        return found

    def _tree(self, top):
        """What there is at a path and below: by path its kind, rights, inode, time, content and extended attributes."""
        found = {}
        skip = len(str(self.client.path("/")))
        start = str(self.client.path(top, follow=False))
        if not os.path.lexists(start):
            return found
        todo = [start]
        while todo:
            path = todo.pop()
            if path[skip:] in self.client.shown:
                continue
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                # A tool's temporary file, gone since its directory was listed.
                continue
            if stat.S_ISDIR(status.st_mode):
                todo += [entry.path for entry in os.scandir(path)]
            # Nothing of a file can change without its ctime.
            known = (path, status.st_ino, status.st_ctime_ns)
            if known not in self._contents:
                self._contents[known] = _content(path, status), _attributes(path)
            own = (status.st_mode, status.st_uid, status.st_gid, status.st_ino, status.st_mtime_ns)
            found[path[skip:]] = (*own, *self._contents[known])
        return found


def _content(path, status):
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return None
    if status.st_size > LARGE:
        return status.st_size
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def _attributes(path):
    names = [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("trusted.overlay")]
    return sorted((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)


def only(results):
    """The one state's result of a run."""
    (result,) = results.values()
    return result


def started(done):
    """Whether the real viewer ran: without a desktop it ends with words of its own."""
    return STARTED in done.stderr and "remote-viewer" in done.stderr


def changed(pillar, **parts):
    """A copy of a pillar with some of ``servers``, ``vms``, ``grants``, ... replaced or, for None, removed."""
    data = copy.deepcopy(pillar)
    for key, value in parts.items():
        if value is None:
            data["spice"].pop(key, None)
        else:
            data["spice"][key] = value
    return data


def sentences(changes):
    """All sentences of a state's changes as one text, ``grant or layer: layer: sentence`` a line."""
    lines = [f"{layer}: {what}" for layer, texts in changes.get("layers", {}).items() for what in texts]
    for grant, layers in changes.get("grants", {}).items():
        lines += [f"{grant}: {layer}: {what}" for layer, texts in layers.items() for what in texts]
    return "\n".join(lines)


def said(result):
    """The whole comment of a state, which itself has ten lines at most."""
    assert len(result["comment"].splitlines()) <= 10
    return "\n".join(result.get("sentences", [result["comment"]]))


def difference(before, after):
    """What two snapshots have not in common; empty if they are the same."""
    return {key: (before.get(key), after.get(key)) for key in {*before, *after} if before.get(key) != after.get(key)}
