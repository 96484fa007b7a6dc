"""Files of sudoers as people have them: nothing that sudo takes is a traceback or a stop, and strict judges rightly.

First seen: sudo-project/sudo#513 and its test trees; sites' own rules for help desks, which let them set passwords.
"""

import pytest
from functional.office import OPEN, changed

from scenes import article

PILLAR = changed(article(), sudo={"strict": True, "admins": ["%sudo"]})
SITE = "/etc/sudoers.d/site"
# What cvtsudoers before 1.9.16 prints as no JSON; bytes of no encoding that one could rely on.
ODD = {
    "CWD": b"eve ALL = CWD=/tmp /bin/ls\n",
    "CHROOT and tags": b"eve ALL = (root) CHROOT=/srv CWD=* NOPASSWD: /bin/ls, /bin/true\n",
    "ROLE": b"eve ALL = ROLE=unconfined_r TYPE=unconfined_t /bin/ls\n",
    "times": b"eve ALL = TIMEOUT=5m NOTBEFORE=20260101000000Z NOTAFTER=20360101000000Z /bin/ls\n",
    "tags": b"eve ALL = NOINTERCEPT: EXEC: NOFOLLOW: NOMAIL: LOG_INPUT: /bin/ls\n",
    "digests": b"eve ALL = sha256:" + b"a" * 64 + b" /bin/ls\n",
    "an expression": b"eve ALL = ^/bin/l[ns]$ ^-l$\n",
    "ISO-8859-1": b"Cmnd_Alias DRUCK = /usr/bin/lp -d B\xfcro\neve ALL = DRUCK\n",
    "aliases in a circle": (
        b"User_Alias A = eve, B\nUser_Alias B = A\nHost_Alias C = ALL, D\nHost_Alias D = C\n"
        b"Runas_Alias E = root, F\nRunas_Alias F = E\nCmnd_Alias G = /bin/ls, H\nCmnd_Alias H = G, !G\n"
        b"B D = (F) H\n"
    ),
    "no end of line": b"eve ALL = /bin/ls",
    "netgroups and groups of others": b"+staff, %:domain\\ users, #4711, %#4711 ALL = /bin/ls\n",
    "continued": b"eve ALL = \\\n /bin/ls, \\\n /bin/true\n",
    "many settings": b'Defaults !lecture, passprompt="[%p] ", badpass_message="nein, %u"\nDefaults:eve !requiretty\n',
}
AS_GOOD = {
    "passwd myself": "changing the password of myself",
    "passwd [A-Za-z]*": "changing the password of mybro",
    "passwd [a-z]*, !/usr/bin/passwd root": "changing the password of mybro",
    "su - myself": "acting as myself",
    "su - my*": "acting as mybro",
    "runuser -u myself *": "acting as myself",
    "setpriv --reuid=myself *": "acting as myself",
    "chpasswd": "changing anybody's password",
    "systemd-run *": "starting any program",
    "date *": "changing the clock",
    "timedatectl *": "changing the clock",
}
PATHS = {"chpasswd": "/usr/sbin", "runuser": "/usr/sbin"}
HARMLESS = ("passwd -S myself", "passwd guest", "su - guest", 'date ""', "timedatectl status", "systemd-analyze *")


@pytest.fixture
def site(shared):
    """Puts a file of the site's there."""

    def put(text):
        shared.client.write(SITE, text, mode=0o440)
        shared.client.run(["visudo", "-c", "-f", SITE])

    yield put
    shared.client.run(["rm", "-f", SITE])


@pytest.mark.turns(3)
@pytest.mark.parametrize("name", ODD)
def test_what_sudo_takes_is_no_stop(shared, site, name):
    """A run, what it notes, and who asks sudo about others."""
    site(ODD[name])
    assert shared.apply()["result"] is True
    assert shared.openings() == OPEN
    assert shared.minion.call("spice_sudoers.rules")
    shared.minion.call("spice_sudoers.others")
    assert shared.verify()["ok"] is True


@pytest.mark.parametrize("command", AS_GOOD)
def test_who_is_as_good_as_granted_is_named(shared, site, command):
    """A strict policy fails then."""
    program = command.split()[0]
    site(f"nogrant ALL = (root) {PATHS.get(program, '/usr/bin')}/{command}\n")
    result = shared.apply()
    assert result["result"] is False
    assert AS_GOOD[command] in result["comment"].partition("which includes ")[2]


@pytest.mark.parametrize("command", HARMLESS)
def test_who_is_not_is_not_named(shared, site, command):
    site(f"nogrant ALL = (root) /usr/bin/{command}\n")
    assert shared.apply()["result"] is True


def test_whom_rules_mean_that_name_nobody(shared, site):
    """sudo runs them as runas_default says, and nobody is root there."""
    site("Defaults runas_default=nobody\nnogrant ALL = /usr/bin/systemd-run *\n")
    assert shared.apply()["result"] is True
    site("Defaults runas_default=nobody\nnogrant ALL = (root) /usr/bin/systemd-run *\n")
    assert shared.apply()["result"] is False
