"""The README's quick start and docs/install.md, typed as they stand there, with the ready-made files as they are."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from daemons.conftest import AS_SHIPPED, PATIENCE

from checkout import ROOT
from readme import commands

LINKS = sorted(path.name for path in (ROOT / "salt").iterdir() if path.is_symlink())
CONFIG = Path("/etc/salt")


def good(data):
    """Whether this is what a function of a successful run returns: states, none of them failed, or a proof."""
    if "ok" in data:
        # No server answers here: nothing differs, and nothing is proven.
        return (data["ok"], data["differences"]) == (None, [])
    return all(state["result"] is not False for state in data.values() if isinstance(state, dict))


@pytest.fixture
def alone(served, pillar_root, people):
    """A minion's own configuration in the usual place, with nothing of ours yet."""
    (CONFIG / "minion.d").mkdir(parents=True)
    CONFIG.joinpath("minion").write_text(json.dumps({"id": "alone", "enable_fqdns_grains": False}))
    yield
    shutil.rmtree(CONFIG)


def test_masterless_as_the_readme_says(alone):
    """Each command succeeds; afterwards the grants are enforced, and once it is undone they are not."""
    env = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    cloned, *typed = commands("Quick start")
    assert cloned[:2] == ["git", "clone"] and cloned[3] == str(AS_SHIPPED), "the fixture has done it"
    assert [words[1] for words in typed if words[0] == "salt-call"] == [
        "saltutil.sync_all",
        "state.apply",
        "state.apply",
        "spice_grant.verify",
    ]
    for words in typed:
        asked = ["--out=json"] if words[0] == "salt-call" else []
        done = subprocess.run([*words, *asked], env=env, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is ("spice_grant.verify" not in words), (words, done.stdout, done.stderr)
        if asked:
            assert good(json.loads(done.stdout)["local"]), (words, done.stdout)
    shown = subprocess.run(words, env=env, capture_output=True, text=True, check=False).stdout
    assert shown.startswith("local:\n  Not proven: nothing differs, but no granted user reached a console;"), shown
    matrix = json.loads(done.stdout)["local"]["matrix"]
    assert matrix["mybro"]["debianx"]["viewer group"] == "denied"
    assert matrix["mybro"]["leaptest"]["viewer group"] == "unreachable", "granted, but nobody serves it here"
    for words in commands("Undo"):
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    assert not Path("/etc/sudoers.d/spice-grant").exists()


def typed_at(daemon, minion):
    """Type what docs/install.md says at a master; return what the last command said."""
    for words in commands("With a master", "docs/install.md"):
        if words[0] == "salt-run":
            done = daemon.salt_run_cli(timeout=PATIENCE).run(*words[1:])
        else:
            assert words[:2] == ["salt", "*"]
            done = daemon.salt_cli(timeout=PATIENCE).run(*words[2:], minion_tgt=words[1], _timeout=120)
            assert good(done.data[minion.id]), (words, done.data)
        assert (done.returncode == 0) is ("spice_grant.verify" not in words), (words, done)
    table = subprocess.run(
        [Path(sys.executable).parent / "salt", "-c", daemon.config_dir, minion.id, "spice_grant.list"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert table.stdout.startswith(f"{minion.id}:\n  2 accesses: 2 open\n"), table
    return done.data[minion.id]


def test_with_a_master_that_serves_a_checkout_as_the_readme_says(master, minion):
    assert typed_at(master, minion)["matrix"]["mybro"]["debianx"]["viewer group"] == "denied"


@pytest.mark.full
def test_with_a_master_that_serves_a_git_repository_as_the_readme_says(git_master, git_minion):
    assert typed_at(git_master, git_minion)["matrix"]["mybro"]["debianx"]["viewer group"] == "denied"


@pytest.mark.parametrize("way", ["checkout", "git repository"])
def test_minions_see_the_state_tree_and_the_modules_and_nothing_else(way, request):
    """No pillar, no tests, no history; and all of what they must see, as files, not as links."""
    names = {"checkout": ("master", "minion"), "git repository": ("git_master", "git_minion")}[way]
    daemon, client = (request.getfixturevalue(name) for name in names)
    daemon.salt_run_cli(timeout=PATIENCE).run("fileserver.update")
    seen = set(daemon.salt_cli(timeout=PATIENCE).run("cp.list_master", minion_tgt=client.id).data)
    expected = {"top.sls", *(f"spice/{path.name}" for path in (ROOT / "salt" / "spice").iterdir())}
    for name in LINKS:
        expected |= {f"{name}/{path.relative_to(ROOT / name)}" for path in (ROOT / name).rglob("*.py")}
    assert {name for name in seen if name not in LINKS} == expected
    for hidden in ("pillar/spice.sls", "tests/conftest.py", ".git/config", "../pillar/spice.sls", "setup.cfg"):
        got = daemon.salt_cli(timeout=PATIENCE).run("cp.cache_file", f"salt://{hidden}", minion_tgt=client.id)
        assert not got.data, hidden


def test_every_directory_of_modules_is_mounted_from_the_git_repository():
    """What salt/ links is what the ready-made file for gitfs mounts; a link that it forgets would not be served."""
    text = (ROOT / "etc" / "master.d" / "spice-grant-gitfs.conf").read_text(encoding="utf-8")
    mounted = {}
    for remote in yaml.safe_load(text)["gitfs_remotes"]:
        ((_, settings),) = remote.items()
        settings = {key: value for setting in settings for key, value in setting.items()}
        mounted[settings["root"]] = settings.get("mountpoint", "salt://")
    assert mounted == {"salt": "salt://", **{name: f"salt://{name}" for name in LINKS}}
