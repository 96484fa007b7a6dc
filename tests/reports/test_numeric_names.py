"""Names of vms of which Salt makes numbers and truth values on the command line.

First seen: Proxmox, which names VMs by numbers: `end_loan eve 101` said that there is no such loan, with exit code 0.
"""

import pytest
from functional.office import changed

from amount import first_of
from scenes import ADDRESS, GROUP, article

NAMES = ("101", "0x10", "1e3", "on", "2026-01-01", "007")
PORTS = dict(zip(NAMES, range(20002, 20008)))
PILLAR = changed(
    article(),
    vms={name: {"server": "mysrv", "tls_port": port} for name, port in PORTS.items()},
    grants={f"myself-{name}": {"user": "myself", "vm": name} for name in NAMES},
)


def call(office, *words):
    """Call a function as an admin types it; return what it prints, and its exit code."""
    done = office.minion.salt_call("--out=json", *words, check=False)
    return done.stdout, done.returncode


@pytest.mark.parametrize("name", first_of(NAMES, 2))
def test_it_is_found(shared, name):
    """By what shows, by what takes away, and by what gives."""
    assert f'"vm": "{name}"' in call(shared, "spice_grant.who", name)[0]
    assert call(shared, "spice_grant.lend", "nogrant", name, "1h")[1] == 0
    assert shared.reach("nogrant", GROUP, ADDRESS, PORTS[name]) == "open"
    assert call(shared, "spice_grant.end_loan", "nogrant", name)[1] == 0
    assert shared.reach("nogrant", GROUP, ADDRESS, PORTS[name]) == "refused"
    assert call(shared, "spice_grant.lock", f"vm={name}")[1] == 0
    assert shared.reach("myself", GROUP, ADDRESS, PORTS[name]) == "refused"
    assert call(shared, "spice_grant.unlock", f"vm={name}")[1] == 0
    assert shared.reach("myself", GROUP, ADDRESS, PORTS[name]) == "open"


@pytest.mark.parametrize(
    "words, message",
    [
        (["spice_grant.who", "102"], "no vm 102 (int) in the policy of this minion, did you mean '101'?"),
        (["spice_grant.end_loan", "nogrant", "101"], "'101' is not lent to 'nogrant'; lent is nothing"),
        (["spice_grant.unlock", "user=myslef"], "no user 'myslef', did you mean 'myself'?"),
        (["spice_grant.explain", "myslef", "101"], "no user 'myslef' on this machine, did you mean 'myself'?"),
    ],
)
def test_what_is_not_found_is_an_error(shared, words, message):
    """With an exit code, and with the nearest name."""
    done = shared.minion.salt_call(*words, check=False)
    assert done.returncode != 0 and message in done.stdout + done.stderr
