"""Where a search looks, what it asks find for, and how it reports names that users chose."""

import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.viewer import search
from spicegrants.viewer.search import Mount, quoted

INFO = b"""\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
23 22 0:5 / /proc rw,nosuid - proc proc rw
24 22 0:40 / /tmp rw,nosuid,nodev shared:7 master:2 - tmpfs tmpfs rw
25 22 254:0 /srv/a /mnt/a\\040b\\134 rw - ext4 /dev/vda rw
26 22 0:41 / /mnt/net rw - nfs4 server:/export rw
27 22 0:42 / /mnt/lid rw - ext4 /dev/vdb rw
28 27 0:43 / /mnt/lid rw - fuse.sshfs me@there rw
29 22 0:44 / /over rw - overlay overlay rw,lowerdir=/l,upperdir=/up\\054per,workdir=/w
30 22 0:45 /@home /home rw - btrfs /dev/vdc rw,subvol=/@home
"""


def test_mounts_are_read():
    """Escapes are undone; of two mounts at one point only the upper can be reached."""
    found = {mount.point: mount for mount in search.mounts(INFO)}
    assert found[b"/tmp"] == Mount(b"/tmp", b"/", "0:40", "tmpfs", frozenset(("rw", "nosuid", "nodev")))
    assert found[b"/mnt/a b\\"].root == b"/srv/a"
    assert found[b"/mnt/lid"].kind == "fuse.sshfs"
    assert found[b"/over"].upper == b"/up,per"


def test_what_is_searched_and_what_is_not():
    block = search.block_kinds("nodev\tsysfs\n\text4\n\tfuseblk\n\tbtrfs\nnodev\toverlay\n")
    assert block == {"ext4", "btrfs"}
    searched, skipped = search.local(search.mounts(INFO), block)
    assert [mount.point for mount in searched] == [b"/", b"/tmp", b"/mnt/a b\\", b"/over", b"/home"]
    assert [mount.point for mount in skipped] == [b"/mnt/net", b"/mnt/lid"]


def test_where_else_a_mount_may_be_seen():
    known = search.mounts(INFO)
    bind = next(mount for mount in known if mount.root == b"/srv/a")
    assert list(search.twice(bind, known)) == [b"/srv/a"]
    assert list(search.twice(known[0], known)) == []
    inner = Mount(b"/x", b"/srv/a/b", "254:0", "ext4")
    assert set(search.twice(inner, known)) == {b"/srv/a/b", b"/mnt/a b\\/b"}
    assert list(search.twice(Mount(b"/x", b"/srv/abc", "254:0", "ext4"), [bind])) == []


def test_find_stays_on_the_mount():
    """By device, but where a subvolume would be one of its own: there by the paths of what is mounted below."""
    known = [Mount(b"/home", b"/", "0:45", "btrfs"), Mount(b"/home/a*", b"/", "0:46", "nfs4"), *search.mounts(INFO)]
    plain = search.expression(known[2], known, 995, [7, 7])
    assert b"-xdev" in plain and b"-path" not in plain and plain.count(b"7c") == 1
    words = search.expression(known[0], known, 995, [7])
    assert b"-xdev" not in words and words[2:6] == [b"-path", b"/home/a\\*", b"-prune", b"-o"]


def test_find_finds_what_it_is_asked_for(tmp_path):
    """With the real find: the bit and the group, or the size; pruned where something is mounted."""
    gid = os.getgid()
    for name, mode, size in (("set", 0o2755, 1), ("plain", 0o755, 1), ("large", 0o644, 7), ("below/set", 0o2755, 1)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * size)
        path.chmod(mode)
    top = os.fsencode(tmp_path)
    mount, below = Mount(top, b"/", "0:1", "btrfs"), Mount(top + b"/below", b"/", "0:2", "nfs")
    for known, expected in (([mount], {"set", "large", "below/set"}), ([mount, below], {"set", "large"})):
        command = [b"find", *search.expression(mount, known, gid, [7])]
        printed = subprocess.run(command, capture_output=True, check=True).stdout
        found = {os.path.relpath(each.path, top).decode(): each for each in search.files_in(printed)}
        assert set(found) == expected
        assert (found["set"].mode, found["set"].gid, found["large"].size) == (0o2755, gid, 7)
        # What was cut short when time was up is left out.
        assert len(list(search.files_in(printed[:-5]))) == len(expected) - 1


@given(st.lists(st.binary(max_size=40), max_size=8, unique=True))
def test_a_name_is_one_printable_line_and_its_own(names):
    spelled = [quoted(name) for name in names]
    assert all(line.isprintable() and "\n" not in line for line in spelled)
    assert len(set(spelled)) == len(names)


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        (b"/plain", "/plain"),
        (b"a\nb", "a\\x0ab"),
        (b"\xff", "\\xff"),
        (b"\\xff", "\\x5cxff"),
        (b"\xe2\x80\xae", "\\xe2\\x80\\xae"),
    ],
)
def test_how_names_are_spelled(name, spelled):
    """Marks that turn the direction of writing are no more printable than line ends."""
    assert quoted(name) == spelled


def test_a_long_name_is_cut():
    assert quoted(b"x" * 5000).endswith("x... (5000 bytes)") and len(quoted(b"\n" * 100000)) < 1100
