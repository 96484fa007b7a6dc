"""The sudo rules by the real sudo: users call it themselves and type their passwords."""

import json
import sys

import pytest

from functional.office import FILES, URIS, changed, started
from scene.machine import CHECKOUT
from scenes import GROUP, VIEWER, article

# Instead of a viewer, a program of root's that says what it was started with.
WITNESS = "/usr/local/bin/witness"
WITNESS_TEXT = """\
#!/usr/bin/python3 -IS
import json, os, sys
umask = os.umask(0)
ids = [os.getresuid(), os.getresgid()]
print(json.dumps({"env": dict(os.environ), "argv": sys.argv, "ids": ids, "umask": umask, "cwd": os.getcwd()}))
"""
# Looks at the tree as it would be, and at what is seen before, meanwhile, and afterwards.
STAGE = """
import json, os, sys, threading
sys.path.insert(0, sys.argv[1])
from spicegrants.host import run
from spicegrants.sudo.live import tools
seen = []
def look(*_, **__):
    names = {name: open(f"/etc/sudoers.d/{name}").read() for name in os.listdir("/etc/sudoers.d")}
    seen.append([os.readlink("/proc/thread-self/ns/mnt"), names, open("/proc/thread-self/mounts").read()])
    return ""
look()
run.run = look
getattr(tools, sys.argv[2])("# staged")
look()
print(json.dumps([seen, threading.active_count()]))
"""
PILLAR = changed(article(), viewer={"path": [VIEWER, WITNESS], "confine": False})
URI, FILE = URIS["debianx"], FILES["debianx"]
ROOTS = "Rt-0"  # password


def prepare(office):
    """What these tests need before the first run."""
    office.client.write(WITNESS, WITNESS_TEXT, mode=0o755)
    office.client.run(["chpasswd"], input=f"root:{ROOTS}\n")
    for name in ("remote-viewer", "witness"):
        office.client.write(f"/home/myself/{name}", "#!/bin/sh\necho mine\n", mode=0o755, owner="myself")
    office.client.run(["mkdir", "/home/myself/bin"])
    office.client.run(["ln", "-s", WITNESS, "/home/myself/bin/witness"])
    office.client.run(["ln", "-s", VIEWER, "/home/myself/link"])
    office.client.run(["ln", "-s", FILE, "/home/myself/debianx.vv"])


# What is granted


@pytest.mark.parametrize("options", [["-g", GROUP], ["-u", "myself", "-g", GROUP], ["-g", GROUP, "-u", "#1021"]])
@pytest.mark.parametrize("argument", [URI, FILE])
def test_the_granted_calls_start_the_viewer(looked_at, options, argument):
    """URI and connection file open with the user's password, in the article's form with -u and without it."""
    done = looked_at.sudo("myself", *options, VIEWER, "--", argument)
    assert started(done), done


def test_the_viewer_runs_as_its_user_with_the_group(looked_at):
    """Nobody becomes root or another user: only the group is lent; what the viewer writes is private."""
    done = looked_at.sudo("myself", "-g", GROUP, WITNESS, "--", FILE)
    seen = json.loads(done.stdout)
    assert seen["ids"] == [[1021] * 3, [looked_at.gid()] * 3]
    assert seen["argv"] == [WITNESS, "--", FILE]
    assert seen["umask"] == 0o077
    assert seen["env"]["HOME"] == "/home/myself"


def test_nopasswd_asks_nothing(looked_at):
    """A grant with nopasswd starts without a password; the calls are as exact as with one."""
    for argument in (URIS["leaptest"], FILES["leaptest"]):
        assert started(looked_at.sudo("mybro", "-g", GROUP, VIEWER, "--", argument, password=None))
    done = looked_at.sudo("mybro", "-g", GROUP, VIEWER, "--", FILES["leaptest"], "--debug", password=None)
    assert not started(done)
    assert "a password is required" in done.stderr
    assert not looked_at.opens("mybro", FILE)


def test_without_nopasswd_a_password_is_asked(looked_at):
    """A grant without nopasswd does not start without the password, nor with root's."""
    done = looked_at.sudo("myself", "-g", GROUP, VIEWER, "--", FILE, password=None)
    assert "a password is required" in done.stderr
    assert not started(done)
    assert not looked_at.opens("myself", FILE, password=ROOTS)


@pytest.mark.parametrize("argument", [URI, FILE])
def test_a_console_of_somebody_else_is_refused(looked_at, argument):
    """Neither a user with another grant nor one without any can open it."""
    for user in ("mybro", "nogrant"):
        done = looked_at.sudo(user, "-g", GROUP, VIEWER, "--", argument)
        assert not started(done)
        assert "not allowed" in done.stderr or "not in the sudoers file" in done.stderr


# What is not granted

G = ("-g", GROUP)
MUTANTS = {
    "? replaced": [*G, VIEWER, "--", URI.replace("?", "X")],
    "? escaped": [*G, VIEWER, "--", URI.replace("?", "\\?")],
    "argument split at ?": [*G, VIEWER, "--", *URI.split("?")],
    "argument split in the host": [*G, VIEWER, "--", "spice://mysrv.", "anraconc.de?tls-port=20002"],
    "a dot replaced": [*G, VIEWER, "--", URI.replace(".anraconc", "xanraconc")],
    "wildcard": [*G, VIEWER, "--", URI.replace("20002", "*")],
    "argument added behind": [*G, VIEWER, "--", URI, "--debug"],
    "second console behind": [*G, VIEWER, "--", URI, URIS["leaptest"]],
    "argument added before": [*G, VIEWER, "--debug", "--", URI],
    "second --": [*G, VIEWER, "--", "--", URI],
    "no --": [*G, VIEWER, URI],
    "no argument": [*G, VIEWER],
    "only --": [*G, VIEWER, "--"],
    "empty argument": [*G, VIEWER, "--", ""],
    "empty argument behind": [*G, VIEWER, "--", URI, ""],
    "blank behind": [*G, VIEWER, "--", URI + " "],
    "newline behind": [*G, VIEWER, "--", URI + "\n"],
    "another port": [*G, VIEWER, "--", URI.replace("20002", "20003")],
    "another console": [*G, VIEWER, "--", URIS["leaptest"]],
    "another console's file": [*G, VIEWER, "--", FILES["leaptest"]],
    "plain port": [*G, VIEWER, "--", URI.replace("tls-port", "port")],
    "plain port too": [*G, VIEWER, "--", URI + "&port=20002"],
    "port cut": [*G, VIEWER, "--", URI[:-1]],
    "port longer": [*G, VIEWER, "--", URI + "0"],
    "another host": [*G, VIEWER, "--", URI.replace("mysrv", "other")],
    "capitals": [*G, VIEWER, "--", URI.upper()],
    "another file": [*G, VIEWER, "--", "/home/myself/x.vv"],
    "link to the file": [*G, VIEWER, "--", "/home/myself/debianx.vv"],
    "path around": [*G, VIEWER, "--", FILE.replace("/vms/", "/vms/../vms/")],
    "path with two slashes": [*G, VIEWER, "--", "/" + FILE],
    "relative path": [*G, VIEWER, "--", FILE[1:]],
    "no group": [VIEWER, "--", URI],
    "the user without the group": ["-u", "myself", VIEWER, "--", URI],
    "another group": ["-g", "accounting", VIEWER, "--", URI],
    "the user's own group": ["-g", "myself", VIEWER, "--", URI],
    "root's group": ["-g", "root", VIEWER, "--", URI],
    "root": ["-u", "root", VIEWER, "--", URI],
    "root with the group": ["-u", "root", *G, VIEWER, "--", URI],
    "root by number": ["-u", "#0", *G, VIEWER, "--", URI],
    "root by -1": ["-u", "#-1", *G, VIEWER, "--", URI],
    "another user with the group": ["-u", "mybro", *G, VIEWER, "--", URI],
    "another user": ["-u", "mybro", VIEWER, "--", URI],
    "nobody with the group": ["-u", "nobody", *G, VIEWER, "--", FILE],
    "another program": [*G, "/usr/bin/id", "--", URI],
    "another viewer": [*G, "/usr/bin/virt-viewer", "--", URI],
    "the launcher": [*G, "/usr/local/bin/rviewer", "--", URI],
    "a shell": [*G, "-s"],
    "a login shell": [*G, "-i"],
    "a shell with the call": [*G, "-s", VIEWER, "--", URI],
    "an editor": [*G, "-e", FILE],
    "the user's own viewer": [*G, "/home/myself/remote-viewer", "--", URI],
    "link to the viewer": [*G, "/home/myself/link", "--", URI],
    "environment: LD_PRELOAD": ["LD_PRELOAD=/home/myself/x.so", *G, VIEWER, "--", URI],
    "environment: SPICE_PROXY": [*G, "SPICE_PROXY=http://x:3128", VIEWER, "--", URI],
    "environment: GTK_MODULES": [*G, "GTK_MODULES=/home/myself/x.so", VIEWER, "--", FILE],
    "environment: PATH": [*G, "PATH=/home/myself", VIEWER, "--", FILE],
    "environment kept": ["-E", *G, VIEWER, "--", URI],
    "SPICE_PROXY kept": ["--preserve-env=SPICE_PROXY", *G, VIEWER, "--", FILE],
    "another directory": ["-D", "/home/myself", *G, VIEWER, "--", FILE],
    "another root": ["-R", "/home/myself", *G, VIEWER, "--", FILE],
    "another machine": ["-h", "other", *G, VIEWER, "--", FILE],
    "open descriptors": ["-C", "9", *G, VIEWER, "--", FILE],
}
# How sudo refuses. For the user's own group it needs no rule: then the kernel does.
REFUSED = ("not allowed", "not permitted", "a remote host", "unknown user")
BY_THE_KERNEL = f"unable to execute {VIEWER}: Permission denied"


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_call_close_to_the_granted_one_is_refused(looked_at, mutant):
    """With the right password: whatever differs from the two granted calls is refused by sudo itself."""
    done = looked_at.sudo(
        "myself", *MUTANTS[mutant], env={"SPICE_PROXY": "http://x:3128"} if "kept" in mutant else None
    )
    assert not started(done), done
    assert done.returncode == 1
    # Up to 1.9.13 it is sudo that refuses the user without the group.
    by_the_kernel = {"the user's own group": (BY_THE_KERNEL,), "the user without the group": (*REFUSED, BY_THE_KERNEL)}
    refused = by_the_kernel.get(mutant, REFUSED)
    assert any(words in done.stderr for words in refused), done


def test_two_arguments_written_as_one(looked_at):
    """sudo compares arguments joined by blanks and so lets them through as one; the viewer itself refuses that."""
    done = looked_at.sudo("myself", *G, VIEWER, f"-- {URI}")
    assert not started(done)
    assert "Unknown option" in done.stderr


@pytest.mark.parametrize("name", ["witness", "./witness", "/home/myself/bin/witness", "/usr/local/bin/../bin/witness"])
def test_by_whatever_path_only_the_granted_program_runs(looked_at, name):
    """A bare name, a relative path, a link of the user's own: the program of the rule is started, or nothing."""
    env = {"PATH": "/home/myself/bin:/usr/bin"}
    done = looked_at.sudo("myself", *G, name, "--", FILE, env=env, cwd="/home/myself")
    if done.stdout:
        assert json.loads(done.stdout)["argv"][0] == WITNESS
    else:
        assert "not allowed" in done.stderr


# The environment

DESKTOP = {
    "DISPLAY": ":7",
    "XAUTHORITY": "/run/user/1021/xauth",
    "WAYLAND_DISPLAY": "wayland-7",
    "XDG_RUNTIME_DIR": "/run/user/1021",
    "XDG_SESSION_COOKIE": "cookie",
    "LANG": "de_DE.UTF-8",
    "LANGUAGE": "en",
    "LC_ALL": "C.UTF-8",
    "LC_MESSAGES": "en_GB.UTF-8",
    "LC_TIME": "de_DE.UTF-8",
}
NAMES = """
    LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT GTK_MODULES GTK3_MODULES GTK_PATH GTK_EXE_PREFIX GTK_DATA_PREFIX GTK_IM_MODULE
    GTK_IM_MODULE_FILE GDK_PIXBUF_MODULE_FILE GDK_PIXBUF_MODULEDIR GIO_EXTRA_MODULES GIO_MODULE_DIR GST_PLUGIN_PATH
    GST_PLUGIN_PATH_1_0 GST_PLUGIN_SYSTEM_PATH GST_REGISTRY GCONV_PATH LOCPATH NLSPATH XDG_CONFIG_HOME XDG_CONFIG_DIRS
    XDG_DATA_HOME XDG_DATA_DIRS XDG_CACHE_HOME SPICE_PROXY http_proxy https_proxy all_proxy PYTHONPATH PYTHONSTARTUP
    PERL5LIB BASH_ENV ENV BROWSER MALLOC_CHECK_ MESA_LOADER_PATH LIBGL_DRIVERS_PATH LIBVA_DRIVERS_PATH
    VDPAU_DRIVER_PATH ALSA_CONFIG_PATH PULSE_SERVER DBUS_SESSION_BUS_ADDRESS SSL_CERT_FILE SSL_CERT_DIR OPENSSL_CONF
    OPENSSL_MODULES G_MESSAGES_DEBUG SSLKEYLOGFILE SPICE_DEBUG SUDO_EDITOR TMPDIR FOO
"""
# Without a slash: with one, no check of sudo's lets it pass.
DANGEROUS = dict.fromkeys(NAMES.split(), "x.so")
# What sudo sets itself, or lets through after a check of its own (TERM, TZ, COLORTERM).
OF_SUDO = {"HOME", "LOGNAME", "MAIL", "PATH", "SHELL", "USER", "TERM"}
SITES = {
    "as Debian ships it": "",
    "env_keep": f'Defaults env_keep += "{" ".join(DANGEROUS)}"',
    "env_keep for the user": 'Defaults:myself env_keep += "LD_PRELOAD GTK_MODULES SPICE_PROXY"',
    "env_keep for whom it runs as": "Defaults>myself,root env_keep += FOO, !targetpw, runchroot=*",
    "env_check": 'Defaults env_check += "LD_PRELOAD GTK_MODULES SPICE_PROXY PYTHONPATH"',
    "env_check of all": f'Defaults env_check += "{" ".join(DANGEROUS)}"',
    "env_delete emptied": "Defaults !env_delete, !env_check",
    "setenv": "Defaults setenv",
    "setenv for the user": "Defaults:myself setenv",
    "no env_reset": "Defaults !env_reset",
    "targetpw": "Defaults targetpw",
    "rootpw": "Defaults rootpw",
    "runaspw": "Defaults runaspw, runas_default=mybro",
    "authenticate off": "Defaults !authenticate",
    "authenticate off for the user": "Defaults:myself !authenticate",
    "exempt group": "Defaults exempt_group=accounting",
    "requiretty": "Defaults requiretty",
    "umask": "Defaults umask=0002, !umask_override",
    "closefrom": "Defaults closefrom_override",
    "any root and directory": "Defaults runchroot=*, runcwd=*",
}


@pytest.fixture(params=SITES)
def site(looked_at, request):
    """The office, with a line that a site may have in its own sudoers."""
    before = looked_at.client.read("/etc/sudoers")
    looked_at.client.run(["usermod", "--append", "--groups", "accounting", "myself"])
    looked_at.client.write("/etc/sudoers", f"{before}\n{SITES[request.param]}\n", mode=0o440)
    try:
        yield looked_at
    finally:
        looked_at.client.write("/etc/sudoers", before, mode=0o440)
        looked_at.client.run(["gpasswd", "--delete", "myself", "accounting"])


def test_the_sites_own_defaults_change_nothing(site):
    """Whatever the site's sudoers says for all commands: who is asked for what, and what the viewer is given, stays.

    The user's own password is asked and accepted, nothing starts without it; of the environment exactly the desktop's
    and the locale variables arrive, and the user can add none.
    """
    offered = {**DESKTOP, **DANGEROUS}
    done = site.sudo("myself", *G, WITNESS, "--", FILE, env=offered)
    assert done.stdout, done
    seen = json.loads(done.stdout)
    env = {name: value for name, value in seen["env"].items() if not name.startswith("SUDO_")}
    assert {name: env.get(name) for name in DESKTOP} == DESKTOP
    assert set(env) - set(DESKTOP) <= OF_SUDO
    assert not set(env["PATH"].split(":")) - {"/usr/local/bin", "/usr/bin", "/bin"}
    assert seen["umask"] == 0o077
    assert seen["ids"] == [[1021] * 3, [site.gid()] * 3]
    for given in (["LD_PRELOAD=/home/myself/x.so"], ["FOO=bar"], ["-E"], ["--preserve-env=SPICE_PROXY"]):
        done = site.sudo("myself", *G, *given, WITNESS, "--", FILE, env=offered)
        assert not done.stdout, given
        assert "not allowed" in done.stderr
    done = site.sudo("myself", *G, WITNESS, "--", FILE, password=None)
    assert not done.stdout
    assert "a password is required" in done.stderr


def test_a_site_that_asks_for_everything_still_lets_nopasswd_through(looked_at):
    """nopasswd holds where the site insists on passwords elsewhere."""
    before = looked_at.client.read("/etc/sudoers")
    looked_at.client.write("/etc/sudoers", before + "\nDefaults authenticate, targetpw, rootpw\n", mode=0o440)
    try:
        assert looked_at.opens("mybro", FILES["leaptest"], password=None)
    finally:
        looked_at.client.write("/etc/sudoers", before, mode=0o440)


USERS_OWN_ROOT = f"""
set -e
cd /home/myself
for file in $(ldd /bin/sh | grep -o "/[^ ]*"); do mkdir -p ".$(dirname $file)"; cp $file .$file; done
mkdir -p ".$(dirname {VIEWER})" "./$(dirname {FILE})"
cp /bin/sh .{VIEWER}
echo "echo mine" > .{FILE}
chown -R myself /home/myself
"""


def test_a_program_under_a_root_of_the_users_own_does_not_start(looked_at):
    """Where a site lets everybody choose sudo's root or directory, for our commands nobody may."""
    before = looked_at.client.read("/etc/sudoers")
    looked_at.client.run(["sh", "-c", USERS_OWN_ROOT])
    looked_at.client.write("/etc/sudoers", f"{before}\nDefaults runchroot=*, runcwd=*\n", mode=0o440)
    try:
        for option in ("-R", "-D"):
            done = looked_at.sudo("myself", option, "/home/myself", *G, VIEWER, "--", FILE)
            assert done.returncode == 1 and not done.stdout and not started(done), done
            assert "not allowed" in done.stderr or "not permitted" in done.stderr, done
        assert started(looked_at.sudo("myself", *G, VIEWER, "--", FILE))
    finally:
        looked_at.client.write("/etc/sudoers", before, mode=0o440)


# The tree as it would be


@pytest.mark.parametrize("function", ["check", "tree"])
def test_the_staged_tree_is_seen_by_what_looks_at_it_only(looked_at, function):
    """Neither sudo nor the process that stages it sees it, then or later."""
    done = looked_at.client.run([sys.executable, "-I", "-S", "-c", STAGE, str(CHECKOUT / "_utils"), function])
    (before, *looks, after), threads = json.loads(done.stdout)
    staged = looks[-1]
    assert staged[0] != before[0] and staged[1] == {**before[1], "spice-grant": "# staged"} != before[1]
    assert after == before and threads == 1
