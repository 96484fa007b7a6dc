"""Refusals as sudo and the guard write them, and what users may put into such lines."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.accounting import refusals

NOW = 1795543920
OPEN = "/usr/local/lib/spice-grant/open"
VIEWERS = ("/usr/bin/remote-viewer",)


def line(text, program="/usr/bin/sudo", **fields):
    entry = {"__CURSOR": "c", "__REALTIME_TIMESTAMP": f"{NOW}000000", "_EXE": program, "MESSAGE": text, **fields}
    return json.dumps(entry).encode()


def by_sudo(text, **kw):
    return refusals.by_sudo(refusals.entry(line(text, **kw)), VIEWERS)


@pytest.mark.parametrize(
    ("command", "vm"),
    [
        (f"{OPEN} books", "books"),
        (f"{OPEN} books web", None),
        (f"{OPEN} ../books", None),
        ("/usr/bin/remote-viewer -- /etc/spice-grant/vms/books.vv", "books"),
        ("/usr/bin/remote-viewer -- spice://mysrv?tls-port=20002", None),
    ],
)
def test_a_call_of_ours(command, vm):
    found = by_sudo(f"    anne : command not allowed ; TTY=pts/0 ; PWD=/home/anne ; USER=root ; COMMAND={command}")
    assert found == (NOW, "anne", vm, "command not allowed")


@pytest.mark.parametrize(
    "text",
    [
        f"anne : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND={OPEN} books",
        "anne : command not allowed ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
        "pam_unix(sudo:session): session opened for user root(uid=0) by anne(uid=1021)",
        f"an ne : no ; COMMAND={OPEN} books",
        "",
    ],
)
def test_what_is_none(text):
    assert by_sudo(text) is None


def test_another_program_that_writes_like_sudo():
    text = f"boss : command not allowed ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND={OPEN} books"
    assert by_sudo(text, program="/usr/bin/logger") is None
    assert by_sudo(text, program="") is None
    assert by_sudo(text, _TRANSPORT="kernel") is None


def test_a_directory_with_the_rest_of_a_line_for_its_name():
    """It says something else of whoever is in it, and of nobody else."""
    found = by_sudo(f"anne : command not allowed ; PWD=/tmp/x ; COMMAND=/usr/bin/id ; USER=root ; COMMAND={OPEN} books")
    assert (found.user, found.vm) == ("anne", "books")


def test_the_guard():
    text = "spice-grant deny output: OUT=eth0 SRC=192.168.2.22 DST=192.168.2.2 PROTO=TCP SPT=4000 DPT=20002 UID=7 GID=8"
    denial = refusals.by_guard(refusals.entry(line(text, _TRANSPORT="kernel")))
    assert (denial.uid, denial.gid, denial.port) == (7, 8, 20002)
    assert refusals.by_guard(refusals.entry(line(text))) is None, "a program wrote it"


@given(st.binary(max_size=300) | st.builds(line, st.text(max_size=200)))
def test_anything(text):
    found = refusals.entry(text)
    if found is not None:
        refusals.by_sudo(found, VIEWERS), refusals.by_guard(found)


def test_many_of_a_kind_are_few_lines():
    """The first at once; after a minute one that counts those between."""
    known = {}
    assert [refusals.folded(known, ("sudo", 1), NOW + n) for n in (0, 1, 59, 60, 61, 125)] == [1, 0, 0, 3, 0, 2]
    assert refusals.folded(known, ("sudo", 2), NOW + 2) == 1
