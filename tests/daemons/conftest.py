"""A real master and a real minion, in a machine of their own (``make test`` starts these tests in one)."""

import subprocess
from pathlib import Path

import pytest

from scene.requirements import need

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def inside_a_machine():
    """Never on a real machine: these tests apply states to whatever they run on."""
    if b"pid1.py" not in Path("/proc/1/cmdline").read_bytes():
        pytest.fail("run these tests by 'make test': they change the machine that they run on", pytrace=False)
    need("nft", "sudo", "visudo", "cvtsudoers", "ip", "useradd")


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
    for name, uid in (("myself", 1021), ("mybro", 1022), ("visitor", 1023)):
        subprocess.run(["useradd", "--create-home", "--uid", str(uid), name], check=True)
    Path("/etc/pki/spice").mkdir(parents=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/root/ca-key.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", *key, "-subj", "/CN=test", "-out", "/etc/pki/spice/ca-cert.pem"],
        check=True,
        capture_output=True,
    )
    cable = "link add office type veth peer name wall"
    for command in (cable, "addr add 192.168.2.22/24 dev office", "link set office up", "link set wall up"):
        subprocess.run(["ip", *command.split()], check=True)


@pytest.fixture(scope="session")
def pillar_root(tmp_path_factory):
    """A copy of the repository's pillar, to be edited."""
    directory = tmp_path_factory.mktemp("pillar")
    for name in ("top.sls", "spice.sls"):
        (directory / name).write_text((ROOT / "pillar" / name).read_text())
    return directory


@pytest.fixture(scope="session")
def master(salt_factories, pillar_root):
    """A master that serves the repository's state tree."""
    overrides = {
        "open_mode": True,
        "file_roots": {"base": [str(ROOT / "salt")]},
        "pillar_roots": {"base": [str(pillar_root)]},
        "fileserver_list_cache_time": 0,
    }
    daemon = salt_factories.salt_master_daemon("master", overrides=overrides)
    with daemon.started():
        yield daemon


@pytest.fixture(scope="session")
def minion(master, people):
    """A minion that has had its modules synced."""
    daemon = master.salt_minion_daemon("client", overrides={"enable_fqdns_grains": False})
    with daemon.started():
        assert master.salt_cli().run("saltutil.sync_all", minion_tgt=daemon.id).returncode == 0
        yield daemon
