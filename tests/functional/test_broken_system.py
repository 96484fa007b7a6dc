"""Programs that are missing or broken, and runs without root: a clear error, nothing opened."""

import contextlib
import json
import sys

import pytest

from functional.office import FILES, OPEN, changed
from functional.refusals import NEW, refused
from scene.machine import CHECKOUT
from scenes import ADDRESS, GROUP, VIEWER, article


@contextlib.contextmanager
def _replaced(office, path, text=None):
    """Take a program away; put a script in its place if a text is given."""
    office.client.run(["mv", path, path + ".away"])
    try:
        if text is not None:
            office.client.write(path, text, mode=0o755)
        yield
    finally:
        office.client.run(["mv", "-f", path + ".away", path])


WITH_NEW = changed(article(), grants={**article()["spice"]["grants"], "n": NEW})
MISSING = {
    "/usr/sbin/nft /usr/sbin/iptables": "nft is not installed, and iptables is not installed",
    "/usr/sbin/visudo": "visudo is not installed",
    "/usr/bin/cvtsudoers": "cvtsudoers is not installed",
    "/usr/bin/sudo": "sudo is not installed",
    VIEWER: f"no viewer {VIEWER}",
    "/etc/sudoers.d": "/etc/sudoers.d",
}


@pytest.mark.parametrize("paths", MISSING)
def test_a_missing_program_changes_nothing(keeper, shared, paths):
    """Without any firewall, a part of sudo, or the viewer: False, it is named, and nobody is granted anything more."""
    with contextlib.ExitStack() as stack:
        for path in paths.split():
            stack.enter_context(_replaced(shared, path))
        refused(shared, WITH_NEW, MISSING[paths])
    assert not keeper.traces()
    assert shared.openings() == OPEN


NOTHING_YET = """\
Nothing was changed. nothing can guard the ports: nft is not installed, and iptables is not installed
spice:viewer:path: no viewer /usr/bin/remote-viewer on this machine: install it first
sudo is not installed, visudo is not installed, cvtsudoers is not installed (looked in /usr/sbin:/usr/bin:/sbin:/bin)
what brings them on Debian: apt-get install nftables sudo virt-viewer
routing: pillar wants it: ip is not installed
spice:servers:mysrv:ca: /etc/pki/spice/ca-cert.pem is not on this machine: its consoles stay closed
spice:grants:mybro-leaptest:user: no user 'mybro' on this machine
spice:grants:n:group: no group 'xyzzy' on this machine"""


@pytest.mark.salt
def test_a_first_run_names_all_that_is_missing_at_once(office):
    """Programs, with the packages that bring them, certificates, users and groups; once all is there, one run does."""
    data = changed(article(), grants={**article()["spice"]["grants"], "n": {"group": "xyzzy", "vm": "debianx"}})
    data["spice"]["servers"]["mysrv"]["ca"] = "/etc/pki/spice/ca-cert.pem"
    data["spice"]["routing"] = {"enabled": True}
    programs = (
        VIEWER,
        "/usr/sbin/nft",
        "/usr/sbin/iptables",
        "/usr/sbin/visudo",
        "/usr/bin/sudo",
        "/usr/bin/cvtsudoers",
        "/usr/bin/ip",
    )
    account = office.client.run(["getent", "passwd", "mybro"]).stdout
    with contextlib.ExitStack() as stack:
        for path in programs:
            stack.enter_context(_replaced(office, path))
        office.client.run(["userdel", "mybro"])
        assert refused(office, data) == NOTHING_YET
        answer, _ = office.minion.call_raw("spice_grant.status")
        assert answer["last_run"]["errors"] == NOTHING_YET.removeprefix("Nothing was changed. ").splitlines()
    assert not office.client.path("/etc/sudoers.d/spice-grant").exists()
    uid = account.split(":")[2]
    office.client.run(["useradd", "--uid", uid, "mybro"])
    office.applied(article())
    assert office.openings() == OPEN


def test_many_missing_programs_keep_nothing_from_closing(shared):
    """A user who lost a grant is out, whatever else there is to be said."""
    less = changed(article(), grants={"mybro-leaptest": article()["spice"]["grants"]["mybro-leaptest"], "n": NEW})
    with contextlib.ExitStack() as stack:
        for path in ("/usr/sbin/visudo", "/usr/bin/cvtsudoers", VIEWER):
            stack.enter_context(_replaced(shared, path))
        result = shared.apply(less)
        assert result["result"] is False and result["changes"]
        lines = result["comment"].splitlines()
        assert any(line.startswith("visudo is not installed, cvtsudoers is not installed") for line in lines)
        assert f"spice:viewer:path: no viewer {VIEWER} on this machine: install it first" in lines
        assert "nothing was opened" in lines
        assert "what brings them on Debian: apt-get install sudo virt-viewer" in lines
        assert shared.openings() <= {("mybro", GROUP, ADDRESS, 20004)}


BROKEN = {
    "fails": "#!/bin/sh\necho cannot >&2; exit 1\n",
    "prints nothing": "#!/bin/sh\nexit 0\n",
    "prints garbage": "#!/bin/sh\necho garbage\n",
    "is killed": "#!/bin/sh\nkill -9 $$\n",
}


@pytest.mark.parametrize("how", BROKEN)
def test_an_unreadable_ruleset_is_not_an_empty_one(keeper, shared, how):
    """A ruleset that cannot be read: False with the reason, nothing changed, nobody is granted anything more."""
    with _replaced(shared, "/usr/sbin/nft", BROKEN[how]):
        refused(shared, WITH_NEW, "nft")
    assert not keeper.traces()


@pytest.mark.parametrize("how", ["fails", "is killed"])
def test_rules_that_cannot_be_checked_are_not_installed(shared, how):
    """If visudo does not run, the run fails, in both ways; the new user cannot start the viewer, others still can."""
    shared.minion.set_pillar(WITH_NEW)
    with _replaced(shared, "/usr/sbin/visudo", BROKEN[how]):
        for test in (True, False):
            result = shared.apply(test=test)
            assert result["result"] is False
            assert "visudo -c" in result["comment"]
    assert not shared.opens("nogrant", FILES["debianx"])
    assert shared.opens("mybro", FILES["leaptest"], password=None)


def test_a_kernel_that_refuses_the_rules_opens_nothing(shared):
    """If the transaction is refused, no other layer is opened either: the run fails, and the next one makes good."""
    script = '#!/bin/sh\ncase "$*" in *-f*) echo refused >&2; exit 1;; esac\nexec /usr/sbin/nft.away "$@"\n'
    with _replaced(shared, "/usr/sbin/nft", script):
        result = shared.apply(WITH_NEW)
        assert result["result"] is False
        assert "firewall: nft -j -f - ended with 1: refused" in result["comment"]
    assert shared.openings() == OPEN
    assert not shared.opens("nogrant", FILES["debianx"])
    assert shared.client.run(["rviewer", "--list"], user="nogrant", check=False).returncode == 1
    shared.applied()
    assert shared.openings() == OPEN | {("nogrant", GROUP, ADDRESS, 20002)}
    assert shared.opens("nogrant", FILES["debianx"])


def test_without_groupadd_nothing_is_opened(office):
    """If the group cannot be made nothing else is done: the run fails with the reason, and so does a dry one."""
    with _replaced(office, "/usr/sbin/groupadd"):
        refused(office, article(), "groupadd is not installed", "apt-get install passwd")
    assert office.client.run(["nft", "list", "tables"]).stdout == ""
    assert not office.client.path("/etc/sudoers.d/spice-grant").exists()
    office.applied()
    assert office.openings() == OPEN


NOT_ROOT = """
import json, sys
sys.path[:0] = sys.argv[1:]
import spice_firewall, spice_grant, spice_grant_loans, spice_grant_queries, spice_grant_verify
import spice_grant_record, spice_grant_review, spice_routing, spice_sudoers, spice_viewer
from salt.exceptions import CommandExecutionError
spice_grant.__salt__, spice_grant.__pillar__, spice_grant.__context__ = {}, {"spice": {}}, {}
spice_grant_loans.__context__ = {}
for module in (spice_grant, spice_grant_loans, spice_grant_review):
    module.__opts__ = {"id": "desk-1"}
calls = {
    spice_firewall: ["rules", "denied", "plan", "apply", "remove"],
    spice_routing: ["rules", "review", "plan", "apply", "remove"],
    spice_sudoers: ["rules", "review", "plan", "apply", "remove"],
    spice_viewer: ["status", "plan", "apply", "remove"],
    spice_grant: ["plan", "apply"],
    spice_grant_queries: ["list_"],
    spice_grant_record: ["sessions", "events"],
    spice_grant_review: ["review"],
    spice_grant_verify: ["verify"],
}
with_arguments = {
    (spice_grant_queries, "who"): ["debianx"],
    (spice_grant, "absent"): ["myself-debianx"],
    (spice_grant, "grant"): ["nogrant", "debianx"],
    (spice_grant, "revoke"): ["myself", "debianx"],
    (spice_grant_loans, "lend"): ["myself", "debianx", "1h"],
    (spice_grant_loans, "end_loan"): ["myself", "debianx"],
    (spice_grant_loans, "lock"): ["myself"],
    (spice_grant_loans, "unlock"): ["myself"],
    (spice_grant_queries, "explain"): ["myself", "debianx"],
    (spice_sudoers, "allowed"): ["myself", "debianx"],
}
every = {(module, name): [] for module, names in calls.items() for name in names}
answers = {}
for (module, name), arguments in {**every, **with_arguments}.items():
    try:
        answers[f"{module.__name__}.{name}"] = repr(getattr(module, name)(*arguments))
    except CommandExecutionError as error:
        answers[f"{module.__name__}.{name}"] = ["refused", str(error)]
print(json.dumps(answers))
"""


def test_not_root_reads_and_changes_nothing(keeper, shared):
    """As a user, every function of the modules says that it needs root, and does nothing."""
    command = [sys.executable, "-c", NOT_ROOT, CHECKOUT / "_modules", CHECKOUT / "_utils"]
    answers = json.loads(shared.client.run(command, user="nogrant").stdout)
    assert len(answers) > 25
    for function, answer in answers.items():
        assert answer[0] == "refused", (function, answer)
        assert "root" in answer[1] or "spice-grant.lock" in answer[1], (function, answer)
    assert not keeper.traces()
