"""/etc/permissions.local: our lines are found, put and taken away, and nothing else is touched."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spicegrants.viewer import suse_permissions
from unit.build import VIEWER

RIGHTS = ("root", "spicegrp", 0o750)
OURS = f"{VIEWER} root:spicegrp 0750\n".encode()
SITE = b"# ours\n\n/usr/bin/ping root:root 0755\n +capabilities cap_net_raw=ep\n$old\n/srv/ root:users 2775"
OTHER = f"{VIEWER}.old root:root 4755\n".encode()


@pytest.mark.parametrize(
    ("text", "rights"),
    [
        (b"", None),
        (SITE, None),
        (OTHER, None),
        (b"# " + OURS, None),
        (OURS, RIGHTS),
        (SITE + b"\n  " + OURS.replace(b" ", b"\t  "), RIGHTS),
        (OURS.replace(b"0750", b"750"), RIGHTS),
        (OURS.replace(b"0750", b"4755"), ("root", "spicegrp", 0o4755)),
        (OURS.replace(b"spicegrp", b"users"), ("root", "users", 0o750)),
        (OURS.rstrip(), RIGHTS),
        (OURS + OURS, suse_permissions.UNCLEAR),
        (OURS + SITE + b"\n" + OURS, suse_permissions.UNCLEAR),
        (OURS + b"+acl user:mybro:rx\n", suse_permissions.UNCLEAR),
        (OURS + b"# comment\n\n +acl user:mybro:rx\n", suse_permissions.UNCLEAR),
        (b":package: virt-viewer\n" + OURS, suse_permissions.UNCLEAR),
        (OURS + b":package: virt-viewer\n" + SITE, RIGHTS),
        (OURS.replace(b"0750", b"rwx"), suse_permissions.UNCLEAR),
        (OURS.replace(b"0750", b""), suse_permissions.UNCLEAR),
        (OURS.replace(b"0750", b"0750 0755"), suse_permissions.UNCLEAR),
        (VIEWER.encode() + b" \xff:\xfe 0750\n", ("\ufffd", "\ufffd", 0o750)),
    ],
)
def test_read(text, rights):
    assert suse_permissions.read(text, VIEWER) == rights


@pytest.mark.parametrize(
    "text",
    [
        b"",
        SITE,
        SITE + b"\n",
        OTHER,
        OURS.replace(b"0750", b"0755") + SITE,
        OURS + b" +acl user:mybro:rx\n" + SITE,
        b":package: virt-viewer\n" + OURS.replace(b"0750", b"0755") + b"# comment\n+acl user:mybro:rx\n",
        OURS + OURS,
    ],
)
def test_what_is_written_is_the_only_entry_and_all_else_stays(text):
    written = suse_permissions.write(text, VIEWER, *RIGHTS)
    assert suse_permissions.read(written, VIEWER) == RIGHTS
    assert written.startswith(OURS)
    assert suse_permissions.remove(written, VIEWER) == suse_permissions.remove(text, VIEWER)
    assert suse_permissions.write(written, VIEWER, *RIGHTS) == written


def test_what_added_to_our_entry_goes_with_it():
    """Left behind it would add to the entry before: rights for a program that was never meant."""
    text = b"/usr/bin/ping root:root 0755\n" + OURS + b"# why\n +capabilities cap_sys_admin=ep\n" + OTHER
    assert suse_permissions.remove(text, VIEWER) == b"/usr/bin/ping root:root 0755\n# why\n" + OTHER


def test_file_that_we_made_is_known_again():
    written = suse_permissions.write(None, VIEWER, *RIGHTS)
    assert suse_permissions.read(written, VIEWER) == RIGHTS
    assert suse_permissions.remove(written, VIEWER) == suse_permissions.HEADER
    assert suse_permissions.remove(suse_permissions.write(b"", VIEWER, *RIGHTS), VIEWER) == b""


PIECES = [OURS, OTHER, SITE, b"\n", b"\r", b"+acl x\n", b"#\n", b":"]


@given(st.binary() | st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_any_file_comes_back(text):
    """Whatever the site has in it, once our entry is gone it is as if it had never been there."""
    rest = suse_permissions.remove(text, VIEWER)
    lines = [line for line in rest.split(b"\n") if line.split() and not line.strip().startswith((b"#", b"$"))]
    assume(not lines or not lines[0].strip().startswith(b"+"))  # it adds to nothing
    written = suse_permissions.write(text, VIEWER, *RIGHTS)
    assert suse_permissions.read(written, VIEWER) == RIGHTS
    assert suse_permissions.remove(written, VIEWER) == rest
    if VIEWER.encode() not in text:
        assert rest == text
