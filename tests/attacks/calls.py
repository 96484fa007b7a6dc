"""Calls of sudo by a granted user, close to the granted one.

On a bare client sudo lets everybody start anything as anybody, with whatever they add.
"""

from attacks.clients import uri
from scenes import GROUP, VIEWER

OPENER = "/usr/local/lib/spice-grant/open"
BARE = "/etc/sudoers.d/bare"
# How sudo refuses; where it needs no rule for as whom something is to run, the kernel does.
REFUSED = (
    "not allowed",
    "not permitted",
    "a password is required",
    "is not in the sudoers file",
    "may not run sudo",
    "unable to execute",
    "unknown user",
    # The words of sudo-rs.
    "I'm afraid I can't do that",
    "authentication is required",
    "invalid option provided",
    "unrecognized option",
    "not yet been implemented",
    "not found",
)


def site(client):
    """Have a sudo that refuses nothing on a bare client."""
    if client.form == "bare":
        client.root("groupadd", "--system", GROUP, undo=["groupdel", GROUP])
        rule = "Defaults closefrom_override, setenv, runchroot=*, runcwd=*\nALL ALL=(ALL:ALL) NOPASSWD:SETENV: ALL\n"
        client.machine.write(BARE, rule, mode=0o440)
        client.used.callback(client.machine.run, ["rm", BARE])


def confined(client):
    """Whether what opens a console is our opener."""
    return client.form not in ("bare", "recipe")


def granted(client, vm="debianx"):
    """As whom, and what, the granted user asks sudo for: options, program, arguments."""
    if confined(client):
        return ["-u", "root"], OPENER, [vm]
    return ["-u", "myself", "-g", GROUP], VIEWER, ["--", uri(vm)]


def passes(client, *words, user="myself", env=None):
    """Whether sudo does what it is asked for, behind ``sudo``."""
    command = ["env", *(f"{name}={value}" for name, value in (env or {}).items()), "sudo", "-n", *words]
    done = client.machine.run(command, user=user, check=False)
    return not any(text in done.stderr for text in REFUSED)


def let_through(client, direct, opener):
    """Arguments of the granted program, of those for viewer or opener, with which sudo lets it start."""
    options, program, own = granted(client)
    assert passes(client, *options, program, *own), "not even the granted call passes"
    tried = opener if confined(client) else direct
    return [words for words in tried if passes(client, *options, program, *words)]
