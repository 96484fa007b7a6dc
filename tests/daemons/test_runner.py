"""The runner, on a master with two minions and the pillar in git.

The minions share this one machine and so its kernel, users and files: what one enforces the other finds done.
"""

import functools
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from daemons.conftest import PATIENCE

import terminals
from checkout import ROOT
from drift import until

BARE, CLONE = Path("/srv/git/spice-pillar.git"), Path("/srv/office-pillar")
BIN = Path(sys.executable).parent
# Beside what Salt itself says on standard error now and then.
PROGRESS = ("answered", "compiled")
GIT = ("git", "-c", "user.name=admin", "-c", "user.email=admin@example.com")


def git(*words, **options):
    return subprocess.run([*GIT, "-C", str(CLONE), *words], check=True, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def grants(served):
    """A clone of the pillar's repository."""
    BARE.parent.mkdir(exist_ok=True)
    subprocess.run([*GIT, "init", "--quiet", "--bare", "--initial-branch=main", str(BARE)], check=True)
    subprocess.run([*GIT, "clone", "--quiet", str(BARE), str(CLONE)], check=True, capture_output=True)
    git("checkout", "--quiet", "-b", "main")
    for name in ("top.sls", "spice.sls"):
        shutil.copy2(served / "pillar" / name, CLONE)
    git("add", "--all")
    git("commit", "--quiet", "-m", "as in the example")
    git("push", "--quiet", "origin", "main")
    return CLONE / "spice.sls"


@pytest.fixture(scope="module")
def office(new_master, grants, people):
    """The master, with the ready-made files as they are, and two minions with the grants in force."""
    daemon = new_master("fleetmaster", "spice-grant.conf")
    Path("/srv/empty").mkdir()
    config = Path(daemon.config_dir)
    for name in ("git-pillar", "reactor"):
        shutil.copy2(ROOT / "etc" / "master.d" / f"spice-grant-{name}.conf", config / "master.d")
    (config / "master.d" / "test.conf").write_text(
        f"pillar_roots: {{base: [/srv/empty]}}\ngather_job_timeout: 2\ntimeout: {PATIENCE}\n"
    )
    with daemon.started():
        assert run(daemon, "saltutil.sync_all")[1] == 0
        with daemon.stopped():
            pass  # a directory of modules that was not there when it started
        minions = [daemon.salt_minion_daemon(name, overrides={"enable_fqdns_grains": False}) for name in ("one", "two")]
        with minions[0].started(), minions[1].started():
            assert daemon.salt_cli(timeout=PATIENCE).run("saltutil.sync_all", minion_tgt="*").returncode == 0
            found, code = run(daemon, "spice_grant.follow")
            assert code == 0, found
            yield daemon, minions


def run(daemon, *words):
    """Run a runner's function as typed; its data and the exit code."""
    command = [BIN / "salt-run", "-c", daemon.config_dir, "--out=json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    run.errors = done.stderr
    try:
        return json.loads(done.stdout), done.returncode
    except ValueError:
        return done.stdout + done.stderr, done.returncode


@pytest.fixture
def salt_run(office):
    return lambda *words: run(office[0], *words)


@pytest.fixture
def two_is_down(office):
    with office[1][1].stopped():
        yield
    deadline = time.monotonic() + 60
    while office[0].salt_cli().run("test.ping", minion_tgt="two").returncode != 0:
        assert time.monotonic() < deadline


def states(found, key="state"):
    return {row["minion"]: row[key] for row in found["minions"]}


def push(path, before, after):
    """Edit the pillar and push it; what git said."""
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    git("commit", "--quiet", "--all", "-m", "edited")
    return git("push", "--quiet", "origin", "main").stderr


def follow(salt_run):
    """Have every minion be as is declared, as each test finds and leaves them."""
    found, code = salt_run("spice_grant.follow")
    assert code == 0, found


def test_all_follow(salt_run):
    found, code = salt_run("spice_grant.status")
    assert (states(found), code) == ({"one": "in sync", "two": "in sync"}, 0), found
    first, second = found["minions"]
    assert first["policy"] == second["policy"] and len(first["policy"]) == 12 and first["since"]
    assert not [word for word in PROGRESS if word in run.errors], "without a terminal nothing shows how far it is"


def test_a_terminal_shows_how_many_have_answered(office):
    """On standard error, where it is gone at the end; those who want it quiet do not see it."""
    command = [BIN / "salt-run", "-c", office[0].config_dir, "--out=json", "spice_grant.status", "batch=1"]
    drawn, output, code = terminals.run(functools.partial(subprocess.Popen, command))
    for what in (
        "pings answered: 2 of 2",
        "batch 1 of 2, minions answered: 0 of 2",
        "batch 2 of 2, minions answered: 2 of 2",
        "pillars compiled: 1 of 2",
    ):
        assert what in drawn
    assert not [line for line in terminals.left(drawn) if any(word in line for word in PROGRESS)]
    assert (states(json.loads(output)), code) == ({"one": "in sync", "two": "in sync"}, 0)
    quiet, _, _ = terminals.run(functools.partial(subprocess.Popen, [*command, "quiet=True"]))
    assert not [word for word in PROGRESS if word in quiet]


def test_a_table_for_people(office):
    command = [BIN / "salt-run", "-c", office[0].config_dir, "spice_grant.status"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said, titles, _, *rows = done.stdout.splitlines()
    assert said == "2 minions: 2 in sync" and titles.split()[:2] == ["state", "minion"]
    assert [row.split()[:3] for row in rows[:2]] == [["in", "sync", "one"], ["in", "sync", "two"]]


@pytest.mark.usefixtures("two_is_down")
def test_a_minion_that_is_down_is_named(salt_run):
    """By every function, with and without batches, and the exit code says so."""
    for batch in ((), ("batch=50%",)):
        found, code = salt_run("spice_grant.status", "timeout=3", *batch)
        assert (states(found), code) == ({"one": "in sync", "two": "not answering"}, 1), found
    found, code = salt_run("spice_grant.who", "debianx", "timeout=3")
    rows = {(row["minion"], row["user"], row["state"].split(";")[0]) for row in found["minions"]}
    assert ("two", "", "not answering") in rows and {row[:2] for row in rows} == {("one", "myself"), ("two", "")}
    assert code == 1
    found, code = salt_run("spice_grant.plan", "timeout=3")
    assert (states(found, "result"), code) == ({"one": "succeeded", "two": "not answering"}, 1)
    found, code = salt_run("spice_grant.sessions", "timeout=3")
    assert (states(found), code) == ({"two": "not answering"}, 1)
    found, code = salt_run("spice_grant.review", "timeout=3")
    *rows, silent = found["review"]
    assert {(*row["desks"], row["user"]) for row in rows} == {("one", "myself"), ("one", "mybro")}
    assert (silent["desks"], silent["flags"], silent["why"], code) == (["two"], ["desk silent"], "not answering", 1)


def test_a_lock_is_confirmed_by_each_minion(salt_run, office):
    try:
        found, code = salt_run("spice_grant.lock", "user=myself", "reason=left")
        assert code == 0, found
        assert (found["confirmed"], found["failed"], found["not confirmed"]) == (["one", "two"], {}, [])
        (lock,) = office[0].salt_cli(timeout=PATIENCE).run("spice_grant.locks", minion_tgt="one").data
        assert lock["reason"] == "left"
        *_, event = office[0].salt_cli(timeout=PATIENCE).run("spice_grant.events", "kind=lock", minion_tgt="one").data
        assert event["what"] == "user myself is locked" and re.fullmatch(r"\w+, job 2\d{19}", event["by"]), event
    finally:
        found, code = salt_run("spice_grant.unlock", "user=myself")
    assert (found["confirmed"], code) == (["one", "two"], 0)
    found, code = salt_run("spice_grant.lock", "user=nobody-knows")
    assert code == 1 and set(found["failed"]) == {"one", "two"} and found["confirmed"] == []


def test_a_lock_reaches_a_minion_that_was_down_when_it_starts(salt_run, office):
    """Until then it is shown, and given to nobody else; and so it is with what takes it away."""
    (_, two) = office[1]
    for function, words, state in (
        ("lock", "lock user myself", "pending"),
        ("unlock", "unlock user myself", "pending: to be unlocked"),
    ):
        with two.stopped():
            found, code = salt_run(f"spice_grant.{function}", "user=myself", "timeout=3")
            assert (found["confirmed"], found["not confirmed"], code) == (["one"], ["two"], 1)
            found, code = salt_run("spice_grant.locks", "timeout=3")
            assert {(row["minion"], row["about"]) for row in found["minions"] if row["state"] == state} == {
                ("two", "user myself")
            }
            found, code = salt_run("spice_grant.deliver", "timeout=3")
            assert (found, code) == ({"retcode": 1, "delivered": {}, "failed": {}, "pending": {"two": [words]}}, 1)
        until(
            lambda: salt_run("spice_grant.deliver")[0] == {"retcode": 0, "delivered": {}, "failed": {}, "pending": {}}
        )
        found, code = salt_run("spice_grant.locks")
        assert code == 0 and {row["minion"] for row in found["minions"]} == (
            {"one", "two"} if function == "lock" else set()
        )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "tgt=oen"], "no minion with an accepted key matches 'oen' (glob), did you mean 'one'?"),
        (["status", "batch=many"], "batch"),
        (["lock"], "name one of user=NAME, vm=NAME and all=True"),
        (["who", "debianx", "tgtt=one"], "no argument 'tgtt', did you mean 'tgt'? (arguments: vm, at=None, tgt=*, "),
        (["who"], "'vm' is missing (arguments: vm, "),
    ],
)
def test_what_is_wrong_with_a_call_is_one_line(salt_run, words, said):
    """And no traceback, nor the whole docstring."""
    function, *rest = words
    found, code = salt_run(f"spice_grant.{function}", *rest)
    assert code == 1 and said in found and "\n" not in found


def test_a_question_about_a_misspelt_vm_names_the_nearest(salt_run):
    found, code = salt_run("spice_grant.who", "debain")
    assert (found["minions"], code) == ([], 0)
    assert "no access of vm 'debain' on the minions that answered, did you mean 'debianx'?\n" in run.errors


@pytest.mark.full
def test_a_lock_that_is_not_confirmed_names_the_minion(salt_run, two_is_down):
    try:
        found, code = salt_run("spice_grant.lock", "all=True", "timeout=3")
        assert (found["confirmed"], found["not confirmed"], code) == (["one"], ["two"], 1)
    finally:
        salt_run("spice_grant.unlock", "all=True", "timeout=3")


def test_who_and_what(salt_run):
    found, code = salt_run("spice_grant.who", "leaptest")
    assert code == 0
    assert {(row["minion"], row["user"], row["vm"]) for row in found["minions"]} == {
        ("one", "mybro", "leaptest"),
        ("two", "mybro", "leaptest"),
    }
    found, code = salt_run("spice_grant.what", "myself", "at=2026-11-24T18:00", "tgt=one")
    assert code == 0
    assert [(row["user"], row["vm"]) for row in found["minions"]] == [("myself", "debianx")]


def test_a_review_is_written_compared_and_decided(salt_run):
    """By files of root's alone; what is revoked in a spreadsheet goes out of the pillar in git, as text."""
    html, table, earlier = (Path(f"/root/review.{form}") for form in ("html", "csv", "json"))
    for path in (earlier, html, table):
        since = [f"since={earlier}"] if path == html else []
        found, code = salt_run("spice_grant.review", f"format={path.suffix[1:]}", f"file={path}", *since)
        assert (found, code) == ({"retcode": 0, "written": str(path), "rows": 2, "silent": []}, 0), found
        assert path.stat().st_mode & 0o7777 == 0o600 and path.stat().st_uid == 0
    assert "Nothing but use." in html.read_text() and "all 2" in html.read_text()
    found, code = salt_run("spice_grant.review", f"since={earlier}")
    assert (found["changes"], code) == ([], 0)
    assert {(row["user"], *row["desks"]) for row in found["review"]} == {
        ("myself", "one", "two"),
        ("mybro", "one", "two"),
    }
    lines = table.read_bytes().decode().split("\r\n")
    decided = [f"{line[:-1]}revoke,left" if line.startswith("mybro,") else line for line in lines]
    table.write_bytes("\r\n".join(decided).encode())
    found, code = salt_run("spice_grant.apply_review", str(table))
    assert code == 0, found
    assert [*yaml.safe_load(found["pillar"])["spice"]["grants"]] == ["myself-debianx"]
    assert "# mybro-leaptest goes: line 2 revokes leaptest of mybro (left)" in found["pillar"]
    assert states(salt_run("spice_grant.status")[0]) == {"one": "in sync", "two": "in sync"}, "nothing was changed"


def test_drift_and_a_pillar_that_is_ahead(salt_run, grants):
    subprocess.run(["nft", "flush", "map", "inet", "spice_grant", "grants4"], check=True)
    found, code = salt_run("spice_grant.status", "declared=False")
    assert (set(states(found).values()), code) == ({"drifted"}, 1)
    found, code = salt_run("spice_grant.plan")
    assert code == 1 and set(states(found, "result").values()) == {"would change"}
    assert "opens 192.168.2.2 port 20002 to myself" in found["minions"][0]["changes"]
    follow(salt_run)
    push(grants, "user: mybro", "user: visitor")
    try:
        assert salt_run("git_pillar.update")[1] == 0
        found, code = salt_run("spice_grant.status")
        assert (set(states(found).values()), code) == ({"behind"}, 1), found
    finally:
        push(grants, "user: visitor", "user: mybro")
        follow(salt_run)


@pytest.mark.full
def test_a_wrong_pillar_fails_everywhere_and_changes_nothing(salt_run, grants):
    push(grants, "vm: leaptest", "vm: leaptset")
    try:
        found, code = salt_run("spice_grant.follow")
        assert (set(states(found, "result").values()), code) == ({"failed"}, 1), found
        assert all("did you mean 'leaptest'?" in row["why"] for row in found["minions"])
        found, code = salt_run("spice_grant.status", "declared=False")
        assert (set(states(found).values()), code) == ({"failed"}, 1)
    finally:
        push(grants, "vm: leaptset", "vm: leaptest")
        follow(salt_run)


def open_to():
    """Who has elements in the kernel."""
    listed = ["nft", "--stateless", "-n", "list", "map", "inet", "spice_grant", "grants4"]
    text = subprocess.run(listed, capture_output=True, check=True, text=True).stdout
    return {user for user, uid in (("myself", 1021), ("mybro", 1022), ("visitor", 1023)) if f"{uid} ." in text}


@pytest.fixture
def hook(office, monkeypatch):
    """The ready-made hook in the bare repository."""
    target = BARE / "hooks" / "post-receive"
    shutil.copy2(ROOT / "etc" / "git" / "post-receive", target)
    monkeypatch.setenv("SPICE_GRANT_RUN", f"{BIN / 'salt-run'} -c {office[0].config_dir}")
    yield
    target.unlink()


def test_a_push_is_enforced_by_the_hook(salt_run, grants, hook):
    """When git push returns all minions follow, and whoever pushed sees it."""
    try:
        started = time.monotonic()
        output = push(grants, "user: mybro", "user: visitor")
        print(f"from push to all minions' answers: {time.monotonic() - started:.1f} s")
        assert open_to() == {"myself", "visitor"}
        assert "succeeded" in output and "one" in output
    finally:
        output = push(grants, "user: visitor", "user: mybro")
    assert open_to() == {"myself", "mybro"}
    assert "succeeded" not in git("push", "--quiet", "origin", "main:aside").stderr, "minions do not follow that branch"


@pytest.mark.full
def test_a_push_is_enforced_by_the_reactor(office, salt_run, grants):
    """An event is all it takes."""
    for before, after, expected in (("mybro", "visitor", "visitor"), ("visitor", "mybro", "mybro")):
        push(grants, f"user: {before}", f"user: {after}")
        started = time.monotonic()
        assert (
            office[0].salt_cli(timeout=PATIENCE).run("event.send", "spice_grant/pushed", minion_tgt="one").returncode
            == 0
        )
        while open_to() != {"myself", expected}:
            assert time.monotonic() - started < 60
            time.sleep(0.1)
        print(f"from event to rule: {time.monotonic() - started:.1f} s")
    follow(salt_run)
