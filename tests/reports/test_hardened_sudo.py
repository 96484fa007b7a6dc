"""Settings of sudo that guides to hardening ask for (ANSSI-BP-028, CIS, STIG): whoever is granted a console gets in.

First seen: such guides applied to workstations, where `noexec` and `intercept` keep a program from starting others.
"""

import pytest
from functional.confined import Witnesses, pillar
from functional.confined import prepare as _confined
from functional.office import FILES, changed

from amount import first_of

PILLAR = pillar()
GUIDE = "/etc/sudoers.d/00-guide"
LATER = "/etc/sudoers.d/zz-guide"
SETTINGS = (
    "use_pty",
    "noexec",
    "intercept",
    "intercept_verify",
    "log_subcmds",
    "requiretty",
    "logfile = /var/log/sudo.log",
    "log_input, log_output",
    "timestamp_timeout = 0",
    "timestamp_type = ppid",
    "umask = 0777",
    "umask = 0077, umask_override",
    "lecture = always",
    "ignore_dot",
    "authenticate",
    "fdexec = never",
    "runas_default = nobody",
    "env_reset, !env_keep",
    'env_keep += "LD_PRELOAD PYTHONPATH"',
    "!env_reset",
    "preserve_groups",
    "rlimit_core = 0, rlimit_nproc = 4096",
    "noninteractive_auth",
    "log_denied, log_allowed, log_exit_status",
    "runcwd = /nowhere",
    "apparmor_profile = nowhere",
    "command_timeout = 1",
    "passwd_timeout = 1, passwd_tries = 1",
    "closefrom_override",
    "!root_sudo",
    "targetpw",
    "rootpw",
    "runaspw",
    "secure_path = /nowhere",
    "ignore_iolog_errors, iolog_dir = /nowhere",
    "tty_tickets, !pwfeedback, insults",
    "match_group_by_gid",
    "always_set_home",
    "stay_setuid",
    "compress_io, iolog_flush",
    "pam_session, pam_setcred, !pam_acct_mgmt",
    "exec_background",
    "restricted_env_file = /nowhere, env_file = /nowhere",
)


def prepare(office):
    _confined(office)


@pytest.fixture(params=first_of([GUIDE, LATER]), ids=["before", "after"])
def place(request, shared):
    yield request.param
    shared.client.run(["rm", "-f", request.param])


@pytest.mark.turns(3)
@pytest.mark.parametrize("setting", SETTINGS)
def test_confined(shared, place, setting):
    """The opener starts the sandbox, whatever is said before or after our own settings."""
    shared.client.write(place, f"Defaults {setting}\n", mode=0o440)
    result = shared.applied(PILLAR)
    heard = Witnesses(shared)
    done, report = heard.open("myself")
    heard.stop()
    assert report is not None, (done, result["comment"])


@pytest.mark.full
@pytest.mark.parametrize("setting", SETTINGS)
def test_direct(shared, place, setting):
    """So does the viewer by itself."""
    shared.client.write(place, f"Defaults {setting}\n", mode=0o440)
    shared.applied(changed(PILLAR, viewer={"confine": False}))
    assert shared.opens("myself", FILES["debianx"])
