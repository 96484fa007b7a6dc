"""``salt '*' state.apply spice``; and pushed commits, which the ready-made hook has all minions follow."""

import contextlib
import sys
import time
from types import SimpleNamespace

import pytest
from article.viewers import Viewer

from amount import first_of
from checkout import ROOT
from fleet.fleet import CLIENTS
from fleet.people import Session, Watch
from scene import CommandError

# Seconds after the run has ended in which an open viewer may still notice that it is over.
SOON = 5


def test_exactly_the_granted_users_connect(fleet):
    """Each client, every user at every console, with and without the viewer's group; a second run changes nothing."""
    for result in fleet.apply().values():
        assert result["result"] is True, result
    assert fleet.openings() == CLIENTS
    for result in fleet.apply().values():
        assert (result["result"], result["changes"]) == (True, {})
    for name, proof in fleet.verify().items():
        cells = {(user, vm): cell for user, vms in proof["matrix"].items() for vm, cell in vms.items()}
        assert {key for key, cell in cells.items() if cell["viewer group"] == "open"} == CLIENTS[name]
        assert {key for key, cell in cells.items() if cell["sudo"] == "allowed"} == CLIENTS[name]


@pytest.fixture
def at_work(office):
    """Charlie and Anne before their viewers on the laptop; at the desk, Charlie and the boss with a session each."""
    laptop, desk = (office.clients[name].machine for name in ("laptop-1", "desk-books"))
    with contextlib.ExitStack() as stack:
        seats = SimpleNamespace(client=laptop, consoles=office.consoles)
        viewers = []
        for display, (user, vm) in enumerate((("charlie", "books"), ("anne", "web"))):
            viewers.append(Viewer(seats, user, vm, display))
            stack.callback(viewers[-1].stop)
        for viewer in viewers:
            viewer.waits_until_it_shows()
        sessions = [stack.enter_context(Session(desk, user, "books")) for user in ("charlie", "boss")]
        yield SimpleNamespace(viewers=viewers, sessions=sessions)


def test_a_pushed_commit_is_followed_by_both_clients(office, at_work, say):
    """Charlie's grant goes and the boss gets one more: what is open ends for Charlie and for nobody else."""
    (viewer, others_viewer), (session, others_session) = at_work.viewers, at_work.sessions
    before = others_viewer.connections()
    assert viewer.connections() and before and session.holds() and others_session.holds()
    with contextlib.ExitStack() as stack:
        watches = {
            name: stack.enter_context(Watch(client.machine, "boss", "web")) for name, client in office.clients.items()
        }
        for watch in watches.values():
            watch.when("refused")
        office.grant("charlie")
        office.grant("boss", books={}, web={})
        start = time.time()
        office.pillar.push("Charlie leaves, the boss takes over the web server")
        returned = time.time() - start
        opened = {name: watch.when("open") - start for name, watch in watches.items()}
    ended = session.when("ended") - start
    assert viewer.ends(SOON), "the viewer still runs"
    assert viewer.connections() == set()
    new = ", ".join(f"{took:.1f} s on {name}" for name, took in sorted(opened.items()))
    say(f"push to enforcement: the new grant opens after {new}; the old one's session is cut after {ended:.1f} s")
    say(f"git push returned after {returned:.1f} s, with what all minions said")
    assert others_session.holds()
    assert others_viewer.connections() == before and others_viewer.shows()
    expected = {name: opened - {("charlie", "books")} | {("boss", "web")} for name, opened in CLIENTS.items()}
    assert office.openings() == expected
    office.verify()


# An error in a file that both clients have, and what is said about it: by the job, and by what checks a commit. The job
# has the file where it could not be rendered; otherwise the path, as minions see no files. The check has both.
FILE = "spice/grants/boss.sls"
GRANT = "include: [spice.vms.books]\nspice:\n  grants:\n    boss-books: {user: boss, vm: "
UNKNOWN = "spice:grants:boss-books:vm: no vm 'boks', did you mean 'books'?"
UNREADABLE = "Rendering SLS 'spice.grants.boss' failed"
BROKEN = {
    "unknown vm": (GRANT + "boks}\n", (UNKNOWN, f"{FILE}: {UNKNOWN}")),
    "no YAML": (GRANT + "books\n", (UNREADABLE, f"{FILE}: {UNREADABLE}, render error: while parsing a flow mapping")),
}


def checked(office):
    """What the command says that judges a pillar repository, of the clone from which was pushed."""
    command = [sys.executable, ROOT / "tools" / "check.py", "--pillar-root", ".", *CLIENTS]
    done = office.pillar.machine.run(command, cwd=office.pillar.work, check=False)
    assert done.returncode == 1
    return done.stdout


def last_run(office):
    """The job by which the state was applied last."""
    jobs, _ = office.master.salt_run("jobs.list_jobs", "search_function=state.apply")
    return max(jobs)


@pytest.mark.parametrize(("text", "message"), first_of(BROKEN.values()), ids=BROKEN)
def test_a_commit_with_an_error_changes_nothing_and_fails(office, text, message):
    """Not a rule, file or session is touched on either client; the job says why, in the job cache as well."""
    before = {name: client.content() for name, client in office.clients.items()}
    with contextlib.ExitStack() as stack:
        sessions = [
            stack.enter_context(Session(client.machine, "charlie", "books")) for client in office.clients.values()
        ]
        office.write(FILE, text)
        office.pillar.push("A slip")
        assert {name: client.content() for name, client in office.clients.items()} == before
        assert all(session.holds() for session in sessions)
        assert office.openings() == CLIENTS
    job, _ = office.master.salt_run("jobs.list_job", last_run(office))
    assert set(job["Result"]) == set(CLIENTS)
    for result in job["Result"].values():
        assert result["retcode"] != 0 and message[0] in str(result["return"])
    assert message[1] in checked(office)


@pytest.fixture
def checking(office):
    """The office, where the ready-made hook checks what is pushed before it is taken."""
    hook = office.pillar.hook("pre-receive")
    yield office
    hook.unlink()


@pytest.mark.parametrize(("text", "message"), first_of(BROKEN.values()), ids=BROKEN)
def test_a_commit_with_an_error_is_refused_where_the_hook_checks(checking, text, message):
    """Whoever pushes reads file, path and reason; no minion hears of it. What is right then is taken and followed."""
    before = {name: client.content() for name, client in checking.clients.items()}
    head, job = checking.pillar.published(), last_run(checking)
    checking.write(FILE, text)
    with pytest.raises(CommandError) as refused:
        checking.pillar.push("A slip")
    assert all(f"{name}: {message[1]}" in refused.value.stderr for name in CLIENTS)
    assert (checking.pillar.published(), last_run(checking)) == (head, job)
    assert {name: client.content() for name, client in checking.clients.items()} == before
    checking.grant("boss", books={}, web={})
    checking.pillar.push("As it was meant")
    assert checking.pillar.published() == checking.pillar.head() != head
    assert checking.openings() == {name: opened | {("boss", "web")} for name, opened in CLIENTS.items()}
