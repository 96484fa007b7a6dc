"""A real master and a real minion, in a machine of their own (``make test`` starts these tests in one)."""

import logging
import shutil
import subprocess
from pathlib import Path

import pytest

import scenes
from checkout import ROOT, copy_checkout
from scene.daemons import ARCHIVES, EMPTY_ARCHIVE
from scene.requirements import need

# Seconds for an answer: only what hangs takes as long.
PATIENCE = 60

# Where the ready-made files in etc/ expect a checkout; and another place, if the one that is tested is there itself.
AS_SHIPPED = Path("/srv/spice-grant")
SERVED = AS_SHIPPED if AS_SHIPPED != ROOT and AS_SHIPPED not in ROOT.parents else Path("/srv/served")
PILLAR = Path("/srv/pillar")
REPOSITORY = Path("/srv/git/spice-grant.git")


def pytest_sessionfinish():
    """What daemons still log when pytest has closed its streams is no error, and would bury the summary."""
    logging.raiseExceptions = False


@pytest.fixture(scope="session", autouse=True)
def inside_a_machine():
    """Never on a real machine: these tests apply states to whatever they run on."""
    if b"pid1.py" not in Path("/proc/1/cmdline").read_bytes():
        pytest.fail("run these tests by 'make test': they change the machine that they run on", pytrace=False)
    need("nft", "sudo", "visudo", "cvtsudoers", "ip", "useradd")
    for path in ARCHIVES:
        Path(path).write_bytes(EMPTY_ARCHIVE)


@pytest.fixture(scope="session")
def salt_factories_config(tmp_path_factory):
    """Where daemons keep their files."""
    return {
        "code_dir": str(ROOT),
        "inject_sitecustomize": False,
        "start_timeout": 90,
        "slow_stop": False,
        "root_dir": str(tmp_path_factory.mktemp("salt")),
    }


@pytest.fixture(scope="session")
def people():
    """The users of the pillar, the server's authority, and a network in which the server does not answer."""
    for name, uid in (*scenes.UIDS.items(), ("visitor", scenes.STRANGER)):
        subprocess.run(["useradd", "--create-home", "--uid", str(uid), name], check=True)
    Path(scenes.PKI).mkdir(parents=True)
    with Path("/etc/hosts").open("a", encoding="utf-8") as known:
        known.write(f"{scenes.ADDRESS} {scenes.HOST}\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/root/ca-key.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", *key, "-subj", "/CN=test", "-out", scenes.AUTHORITY],
        check=True,
        capture_output=True,
    )
    cable = "link add office type veth peer name wall"
    for command in (cable, f"addr add {scenes.OWN_ADDRESS}/24 dev office", "link set office up", "link set wall up"):
        subprocess.run(["ip", *command.split()], check=True)


@pytest.fixture(scope="session")
def served():
    """A checkout to serve, with a history, as an admin has it."""
    copy_checkout(SERVED)
    git = ["git", "-C", str(SERVED), "-c", "user.name=admin", "-c", "user.email=admin@example.com"]
    for words in (["init", "--quiet", "--initial-branch=main"], ["add", "--all"], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *words], check=True)
    return SERVED


@pytest.fixture(scope="session")
def repository(served):
    """A bare repository of the checkout."""
    REPOSITORY.parent.mkdir()
    subprocess.run(["git", "clone", "--quiet", "--bare", str(served), str(REPOSITORY)], check=True)
    return REPOSITORY


@pytest.fixture(scope="session")
def pillar_root(served):
    """A copy of the repository's pillar, to be edited."""
    PILLAR.mkdir()
    for name in ("top.sls", "spice.sls"):
        shutil.copy2(served / "pillar" / name, PILLAR)
    return PILLAR


def install(ready_made, directory):
    """Copy a file of etc/ as it is, but for where the checkout is that it names."""
    text = ready_made.read_text(encoding="utf-8").replace(str(AS_SHIPPED), str(SERVED))
    (directory / ready_made.name).write_text(text, encoding="utf-8")


def make_master(salt_factories, name, *ready_made):
    """A master with some of the ready-made files, which Salt reads last, as they are."""
    overrides = {
        "open_mode": True,
        "pillar_roots": {"base": [str(PILLAR)]},
        "fileserver_list_cache_time": 0,
    }
    daemon = salt_factories.salt_master_daemon(name, overrides=overrides)
    included = Path(daemon.config_dir) / "master.d"
    included.mkdir(exist_ok=True)
    for file in ready_made:
        install(ROOT / "etc" / "master.d" / file, included)
    return daemon


@pytest.fixture(scope="session")
def new_master(salt_factories, served, pillar_root):
    """Makes further masters, by name and ready-made file; they are not started."""
    return lambda name, ready_made: make_master(salt_factories, name, ready_made)


@pytest.fixture(scope="session")
def master(salt_factories, served, pillar_root):
    """A master that serves a checkout."""
    daemon = make_master(salt_factories, "master", "spice-grant.conf", "spice-grant-reactor.conf")
    with daemon.started():
        yield daemon


@pytest.fixture(scope="module")
def git_master(salt_factories, repository, pillar_root):
    """A master that serves a git repository."""
    daemon = make_master(salt_factories, "gitmaster", "spice-grant-gitfs.conf")
    with daemon.started():
        yield daemon


@pytest.fixture(scope="session")
def minion(master, people):
    """A minion that has had its modules synced."""
    daemon = master.salt_minion_daemon("client", overrides={"enable_fqdns_grains": False})
    with daemon.started():
        assert master.salt_cli(timeout=PATIENCE).run("saltutil.sync_all", minion_tgt=daemon.id).returncode == 0
        yield daemon


@pytest.fixture(scope="module")
def git_minion(git_master, people):
    """A minion of the master that serves a git repository; nothing was synced yet."""
    daemon = git_master.salt_minion_daemon("gitclient", overrides={"enable_fqdns_grains": False})
    with daemon.started():
        yield daemon
