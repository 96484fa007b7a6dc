"""Accounts that nobody can use any more, as the files of a machine say it."""

import pwd

import pytest

from spicegrants.audit.live import disabled
from spicegrants.core.errors import SystemFault

DAY = 86400
SHADOW = """\
root:*:19000:0:99999:7:::
good:$y$j9T$x:20000:0:99999:7:::
locked:!$y$j9T$x:20000:0:99999:7:::
never:!:20000:0:99999:7:::
keyless:*:20000:0:99999:7:::
yesterday:$y$j9T$x:20000:0:99999:7::20599:
today:$y$j9T$x:20000:0:99999:7::20600:
tomorrow:$y$j9T$x:20000:0:99999:7::20601:
odd:$y$j9T$x:20000:0:99999:7::soon:
short:!
twice:$y$j9T$x:20000:0:99999:7:::
twice:!:20000:0:99999:7:::
"""
SHELLS = {"shell": "/usr/sbin/nologin", "false": "/bin/false", "empty": "", "own": "/opt/nologin/bash"}


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine with these files; users who are not in them are a directory's."""
    path = tmp_path / "shadow"
    path.write_bytes(SHADOW.encode() + b"\xff:!:1:::::\n")
    monkeypatch.setattr(disabled, "SHADOW", str(path))

    def entry(name):
        if name == "ghost":
            raise KeyError(name)
        return pwd.struct_passwd((name, "x", 1, 1, "", "/", SHELLS.get(name, "/bin/bash")))

    monkeypatch.setattr(pwd, "getpwnam", entry)
    return path


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("locked", "its password is locked"),
        ("never", "its password is locked"),
        ("yesterday", "its account has expired"),
        ("today", "its account has expired"),
        ("shell", "its shell is /usr/sbin/nologin"),
        ("false", "its shell is /bin/false"),
        *((name, None) for name in ("good", "keyless", "tomorrow", "odd", "short", "twice", "empty", "own")),
        *((name, None) for name in ("directory", "ghost")),
    ],
)
def test_accounts(name, why):
    assert disabled.accounts([name], 20600 * DAY + 5) == ({name: why} if why else {})


def test_without_the_file_only_shells_count(machine):
    machine.unlink()
    assert disabled.accounts(["locked", "shell"], 0) == {"shell": "its shell is /usr/sbin/nologin"}


def test_what_cannot_be_read_is_no_answer(machine):
    machine.unlink()
    machine.mkdir()
    with pytest.raises(SystemFault):
        disabled.accounts(["locked"], 0)
