"""The workstation under attack, in three forms: bare, with the recipe's protection, with ours.

Each has a server of its own with two real consoles. What of a console an attacker may have is its answer within TLS.
"""

import contextlib
import copy
import os
import select
import shlex
import subprocess
import time

import scenes
from scene import CommandError, Desktop, Machine, Minion
from scene.machine import CommandTimeout, program
from scenes import ADDRESS, GROUP, HOST, OWN_ADDRESS, VIEWER

USERS = {**scenes.UIDS, "visitor": scenes.STRANGER}  # the last one has no grant
PORTS = scenes.CONSOLES
GRANTED = {"myself": "debianx", "mybro": "leaptest"}
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"]
BUILT_IN = ("INPUT", "OUTPUT", "FORWARD")
REFUSED = 7  # exit code of a program that could not connect, or was cut off

# What users' own programs start with. REDQ is how a SPICE server's answer begins.
PRELUDE = f"""
import errno, os, socket, ssl, struct, subprocess, sys, time

def _end(kind, value, trace):
    sys.__excepthook__(kind, value, trace)
    sys.stdout.flush()
    os._exit({REFUSED} if issubclass(kind, OSError) else 1)

sys.excepthook = _end

def secured(sock):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sock.settimeout(10)
    return context.wrap_socket(sock)

def ask(secure):
    secure.sendall(struct.pack("<4sIIIIBBIII", b"REDQ", 2, 2, 18, 0, 1, 0, 0, 0, 18))
    return secure.recv(4).decode()

def connected(address, port):
    return socket.create_connection((address, int(port)), 2)

def reach(address, port):
    return ask(secured(connected(address, port)))
"""
# Connects, says so, and asks once it gets a line.
LATER = """
secure = secured(connected(*sys.argv[1:]))
print("connected", flush=True)
sys.stdin.readline()
print(ask(secure), flush=True)
"""
# A forwarder: what connects to its port of this machine is connected to the place that it was given.
RELAY = """
import selectors
with socket.create_server(("", int(sys.argv[1]))) as listener:
    print("listening", flush=True)
    while True:
        near = listener.accept()[0]
        try:
            far = connected(*sys.argv[2:])
        except OSError:
            near.close()
            continue
        ready, open_ = selectors.DefaultSelector(), True
        for here, there in ((near, far), (far, near)):
            ready.register(here, selectors.EVENT_READ, there)
        while open_:
            for key, _ in ready.select():
                data = key.fileobj.recv(65536)
                key.data.sendall(data)
                open_ = open_ and bool(data)
        near.close()
        far.close()
"""


def uri(vm):
    """Where a console is, as viewers get it."""
    return f"spice://{HOST}?tls-port={PORTS[vm]}"


class Client:
    """A workstation without any protection, and its server.

    ``machine`` and ``server`` are the two; ``consoles`` the server's, by vm. In ``site`` an attack may put keys of the
    pillar that a site like its own has, by part.
    """

    form = "bare"
    device = "eth0"  # by which it reaches the server
    group = None  # with which viewers run; None is their users' own

    def __init__(self):
        self.used = contextlib.ExitStack()
        self.site = {}
        self._guest = None
        with contextlib.ExitStack() as stack:
            self.machine, self.server, _ = stack.enter_context(scenes.pair(second=True))
            scenes.trust(self.machine, self.server)
            self._prepare_server()
            self.consoles = {
                vm: stack.enter_context(scenes.console(self.server, vm, wait=False, agent=True)) for vm in PORTS
            }
            self._prepare_users()
            for console in self.consoles.values():
                console.wait()
            self._stack = stack.pop_all()

    def _prepare_server(self):
        # Fast open for whatever listens, with data before any cookie was handed out.
        self.server.run(["sysctl", "-qw", f"net.ipv4.tcp_fastopen={0x1 | 0x2 | 0x200 | 0x400}"])

    def _prepare_users(self):
        machine, authority = self.machine, self.server.read(scenes.AUTHORITY)
        scenes.people(machine, stranger="visitor", passwords={user: user for user in USERS})
        for user in USERS:
            machine.write(f"/home/{user}/.spicec/spice_truststore.pem", authority)

    def stop(self):
        """End both."""
        try:
            self.used.close()
        finally:
            self._stack.close()

    # What protects it

    def protect(self):
        """Have everything in force that this form has against attacks."""

    def expose(self):
        """Take it away again."""

    def load(self):
        """Load the rules anew, by what does that at boot."""

    def revoke(self, user):
        """Take a user's grant away."""

    def grant_group(self, group, members, vm):
        """Grant a console to a group with these members, of whatever names."""

    def viewer(self, user, vm):
        """The command by which a user opens their console."""
        return [VIEWER, "--", uri(vm)]

    def serves(self):
        """Whether granted users reach their consoles, by whatever way is theirs."""
        return self.reach("myself", ADDRESS, PORTS["debianx"], group=self.group) == "REDQ"

    # What attackers do

    def reach(self, user, address, port, *, group=None, machine=None):
        """Ask a console for its answer by a program of a user's own; return the answer, nothing if there is none."""
        return self.python("print(reach(*sys.argv[1:]))", address, port, user=user, group=group, machine=machine)

    def python(self, text, *arguments, user=None, group=None, machine=None, by=()):
        """Run a user's own Python program, on this machine or another, and return what it prints.

        It finds :data:`PRELUDE` before it; ``by`` is a command that starts it. Where an OSError ends it, it was
        refused; any other failure is an error.
        """
        machine = machine or self.machine
        command = [*by, *PYTHON, PRELUDE + text, *map(str, arguments)]
        done = machine.run(command, user=user, group=group, check=False)
        if done.returncode not in (0, REFUSED):
            raise CommandError(machine.name, [*PYTHON, "...", *arguments], done.returncode, done.stdout, done.stderr)
        return done.stdout.strip()

    def start(self, text, *arguments, by=(), **who):
        """Start such a program, which ends with the attack; return it once it has said something."""
        return self.started([*by, *PYTHON, PRELUDE + text, *map(str, arguments)], **who)

    def started(self, command, *, user=None, group=None, machine=None):
        """Start a command, which ends with the attack; return it once it has said something."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = (machine or self.machine).popen(command, user=user, group=group, **pipes)
        self.used.callback(process.kill_tree)
        return self.used.enter_context(contextlib.closing(Program(process)))

    def root(self, *command, undo=None, input=None):
        """Run a command as root, and another one when the attack is over; return what it prints."""
        done = self.machine.run(command, input=input)
        if undo is not None:
            self.used.callback(self.machine.run, undo)
        return done.stdout

    def allow(self, *words):
        """Add a rule of the site's own to those of iptables, until the attack is over."""
        self.root("iptables", "-A", *words, "-j", "ACCEPT", undo=["iptables", "-D", *words, "-j", "ACCEPT"])

    def nft(self, table, text):
        """Load a table of the site's own, until the attack is over."""
        self.root(
            "nft", "-f", "-", input=f"table {table} {{\n{text}\n}}\n", undo=["nft", "delete", "table", *table.split()]
        )

    def desktop(self, user, **kw):
        """A desktop of a user's, which ends with the attack."""
        return self.used.enter_context(Desktop(self.machine, user, **kw))

    def shows(self, desktop, vm):
        """Whether a console is, or comes within a minute, on a desktop; one that does not come is looked for rarely."""
        return desktop.shows(self.consoles[vm].rgb, timeout=5) or desktop.shows(self.consoles[vm].rgb, every=2)

    def guest(self):
        """The container or virtual machine on this workstation: made when it is first wanted, gone with the attack."""
        if self._guest is None:
            self._guest = self.used.enter_context(Machine("guest"))
            self.used.callback(setattr, self, "_guest", None)
        return self._guest

    def lend_device(self, *words):
        """Give the guest a device that rests on one of this machine's, as ``ip link add WORDS`` makes it."""
        command = [program("nsenter"), f"--net=/proc/{self.machine.pid}/ns/net", "--", program("ip"), "link", "add"]
        subprocess.run([*command, *words[:4], "netns", str(self.guest().pid), *words[4:]], check=True)

    def tidy(self):
        """Take away what an attack left."""
        self.used.close()
        self.site.clear()


class Program:
    """What runs beside an attack; ``first_line`` is the first line that it has printed."""

    def __init__(self, process):
        self.process = process
        self._pending = b""
        self.first_line = self.hear()

    def hear(self, timeout=60):
        """The next line that it prints; nothing if it ends without, and CommandTimeout if it does neither."""
        deadline, stream = time.monotonic() + timeout, self.process.stdout.fileno()
        while b"\n" not in self._pending:
            if not select.select([stream], [], [], max(0, deadline - time.monotonic()))[0]:
                raise CommandTimeout(f"{self.process.args[-3:]} says nothing within {timeout} s")
            chunk = os.read(stream, 4096)
            if not chunk:
                return ""
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode().strip()

    def tell(self, line="go on"):
        """Send it a line, and return what it says to that."""
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        return self.hear()

    def close(self):
        """End it."""
        self.process.kill_tree()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Recipe(Client):
    """A workstation as the article on which this extension rests protects it: IPv4 rules, sudoers, the viewer's mode.

    The policies, which it does not print, are those with which scripts of its firewall builder begin.
    """

    form = "recipe"
    SUDOERS = "/etc/sudoers.d/recipe"

    def protect(self, granted=GRANTED):
        """Rules, sudo, viewer, for some vms by user."""
        machine = self.machine
        machine.run(["groupadd", "--force", "--system", GROUP])
        machine.run(["chown", f"root:{GROUP}", VIEWER])
        machine.run(["chmod", "0750", VIEWER])
        machine.write(self.SUDOERS, self._sudoers(granted), mode=0o440)
        self.load(granted)

    def load(self, granted=GRANTED):
        """Load the rules, one after the other, as the script does."""
        self._iptables("DROP", *self._rules(granted))

    def _iptables(self, policy, *rules):
        for words in (*(f"-P {chain} {policy}" for chain in BUILT_IN), "-F", "-X", *rules):
            self.machine.run(["iptables", *shlex.split(words)])

    def expose(self):
        """Take the rules away."""
        self._iptables("ACCEPT")

    def revoke(self, user):
        """Load rules without that user."""
        self.protect({name: vm for name, vm in GRANTED.items() if name != user})

    def grant_group(self, group, members, vm):
        """Give each member the lines of sudo that the others have."""
        self.machine.write(self.SUDOERS, self._sudoers({**GRANTED, **dict.fromkeys(members, vm)}), mode=0o440)

    def viewer(self, user, vm):
        """Through sudo, with the viewer's group."""
        return ["sudo", "-n", "-u", user, "-g", GROUP, *super().viewer(user, vm)]

    @staticmethod
    def _sudoers(granted):
        lines = ["Defaults env_reset"]
        for user, vm in granted.items():
            argument = uri(vm).replace(":", "\\:")
            lines.append(f'Defaults:{user} env_keep += "DISPLAY"')
            lines.append(f"{user} ALL=({user}:{GROUP}) NOPASSWD: {VIEWER} -- {argument}")
        return "\n".join(lines) + "\n"

    def _rules(self, granted):
        known = "-m state --state ESTABLISHED,RELATED -j ACCEPT"
        yield from (f"-A {chain} {known}" for chain in BUILT_IN)
        for vm in granted.values():
            place = f"-o {self.device} -s {OWN_ADDRESS} -d {ADDRESS} -p tcp -m tcp --dport {PORTS[vm]}"
            yield from (f"-N {vm}", f"-A {vm} {place} -m state --state NEW -j ACCEPT")
        yield "-A INPUT -i lo -m state --state NEW -j ACCEPT"
        yield "-A OUTPUT -o lo -m state --state NEW -j ACCEPT"
        yield from (f"-A OUTPUT -m owner --uid-owner {USERS[user]} -j {vm}" for user, vm in granted.items())
        yield from ("-N Others", "-A OUTPUT -p tcp -m tcp --dport 20001:20010 -j Others")
        yield "-A Others -j LOG --log-level info --log-prefix 'RULE 6 -- DENY '"
        yield "-A Others -j DROP"


class Ours(Client):
    """A workstation with what this repository's pillar declares, except that sudo asks nobody for a password."""

    form = "nftables"
    group = GROUP

    def __init__(self):
        super().__init__()
        self.pillar = scenes.shipped()
        for grant in self.pillar["spice"]["grants"].values():
            grant["nopasswd"] = True
        self.minion = self._stack.enter_context(Minion(self.machine, self.pillar))

    def protect(self):
        """Run ``state.apply spice``."""
        pillar = copy.deepcopy(self.pillar)
        for part, keys in self.site.items():
            pillar["spice"].setdefault(part, {}).update(keys)
        self.minion.set_pillar(pillar)
        (state,) = self.minion.state().values()
        assert state["result"] is True, state["comment"]

    def expose(self):
        """Remove everything."""
        (state,) = self.minion.call("state.single", "spice_grant.removed", name="spice").values()
        assert state["result"] is True, state["comment"]

    def load(self):
        """By the unit's program."""
        self.machine.run(["/usr/local/lib/spice-grant/load-guard"])

    def revoke(self, user):
        """At once, until the next run with this pillar."""
        self.minion.call("spice_grant.revoke", user, GRANTED[user])

    def grant_group(self, group, members, vm):
        """By pillar; a run that says that something is wrong has done all else."""
        pillar = copy.deepcopy(self.pillar)
        pillar["spice"]["grants"][group] = {"group": group, "vm": vm, "nopasswd": True}
        self.minion.set_pillar(pillar)
        self.minion.state()

    def viewer(self, user, vm):
        """By its launcher."""
        return ["rviewer", vm]


class OursInIptables(Ours):
    """The same on a workstation whose firewall is iptables."""

    form = "iptables"

    def __init__(self):
        super().__init__()
        self.pillar["spice"]["firewall"] = {"backend": "iptables"}


FORMS = {kind.form: kind for kind in (Client, Recipe, Ours, OursInIptables)}


class Clients:
    """One client of each form, made when it is wanted, and made anew when an attack could not be undone."""

    def __init__(self):
        self._made = {}

    @contextlib.contextmanager
    def borrowed(self, form):
        """A client that is as good as new."""
        client = self._made.get(form) or FORMS[form]()
        self._made[form] = client
        try:
            yield client
            client.tidy()
        except BaseException:
            self._made.pop(form).stop()
            raise

    def stop(self):
        """End all of them."""
        for client in self._made.values():
            client.stop()
