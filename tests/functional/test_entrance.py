"""What verify tries of each user's own: the account, and the opener with its sandbox."""

import pytest

from functional.confined import pillar
from functional.confined import prepare as _confined
from functional.office import FILES
from scene import need

need("bwrap")
PILLAR = pillar()


def prepare(office):
    _confined(office)


def test_all_get_in(shared):
    """sudo asks one user for a password and not the other: the opener has done all but start the viewer."""
    answer = shared.verify()
    assert (answer["ok"], answer["differences"], answer["unproven"], answer["warnings"]) == (True, [], [], [])


# What is done on the workstation, by whom, and what verify says then of whom.
SPOILT = {
    "no connection file": (
        ["rm", FILES["leaptest"]],
        None,
        {f"mybro: leaptest does not open: rviewer: leaptest cannot be opened: there is no {FILES['leaptest']}"},
    ),
    "an account that has expired": (
        ["chage", "-E", "1", "myself"],
        ["chage", "-E", "-1", "myself"],
        {"myself: sudo refuses the account: "},
    ),
    "such an account that is asked for no password": (
        ["chage", "-E", "1", "mybro"],
        ["chage", "-E", "-1", "mybro"],
        {"mybro: leaptest does not open: sudo: account validation failure"},
    ),
    "a password that has expired": (
        ["chage", "-d", "0", "myself"],
        ["chage", "-d", "2026-01-01", "myself"],
        {"myself: sudo refuses the account: Authentication token is no longer valid"},
    ),
    "a rule of PAM": (
        ["sh", "-c", "cp /etc/pam.d/sudo /etc/pam.d/was; echo account required pam_deny.so >>/etc/pam.d/sudo"],
        ["mv", "/etc/pam.d/was", "/etc/pam.d/sudo"],
        {"myself: sudo refuses the account: ", "mybro: leaptest does not open: sudo: "},
    ),
    "an opener that is gone": (
        ["mv", "/usr/local/lib/spice-grant/open", "/root/open"],
        ["mv", "/root/open", "/usr/local/lib/spice-grant/open"],
        {"myself: debianx does not open: ", "mybro: leaptest does not open: "},
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_who_is_kept_out_is_named(shared, what):
    """All rules are right, and somebody granted gets in nowhere: verify fails and says why."""
    spoil, mend, texts = SPOILT[what]
    shared.client.run(spoil)
    try:
        answer = shared.verify()
    finally:
        if mend:
            shared.client.run(mend)
    assert answer["ok"] is False
    for words in texts:
        assert any(found.startswith(words) for found in answer["differences"]), answer["differences"]
    kept_out = {words.partition(":")[0] for words in texts}
    entered = {"myself", "mybro"} - kept_out
    assert not [found for found in answer["differences"] if found.partition(":")[0] in entered]


def test_explain_says_that_the_account_is_refused(shared):
    """The rules are there, and sudo refuses all the same."""
    assert shared.minion.call("spice_grant.explain", "myself", "debianx")["answer"] == "may open"
    shared.client.run(["chage", "-E", "1", "myself"])
    answer = shared.minion.call("spice_grant.explain", "myself", "debianx")
    shared.client.run(["chage", "-E", "-1", "myself"])
    assert answer["answer"] == "in doubt" and answer["sudo"]["why"].startswith("PAM refuses the account: ")


def test_a_password_that_is_locked(shared):
    """Another way than by password may let the user in: it is not proven, and no difference."""
    shared.client.run(["usermod", "-L", "myself"])
    answer = shared.verify()
    shared.client.run(["usermod", "-U", "myself"])
    assert answer["unproven"] == ["myself: sudo asks for a password, and the account's is locked"]
    assert answer["differences"] == []


def test_where_sudo_insists_on_a_terminal(shared):
    """Not for our commands: what a site sets for all others is undone for them."""
    shared.client.write("/etc/sudoers.d/site", "Defaults requiretty\n", mode=0o440)
    answer = shared.verify()
    shared.client.run(["rm", "/etc/sudoers.d/site"])
    assert answer["ok"] is True and answer["differences"] == []


def test_a_machine_whose_own_name_is_not_known(shared):
    """sudo says so with each answer, and takes its time: that is no refusal to answer."""
    shared.client.run(["hostname", "nowhere.invalid"])
    try:
        answer = shared.verify()
    finally:
        shared.client.run(["hostname", "client"])
    assert (answer["ok"], answer["differences"], answer["unproven"]) == (True, [], [])
    (warning,) = answer["warnings"]
    assert warning.startswith("nobody knows this machine's own name, nowhere.invalid: ")
