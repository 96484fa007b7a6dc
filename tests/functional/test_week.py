"""A week as a picture: real salt-call calls write it for root alone, and never into or over what is others'."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from scene import SaltError

SVG, HTML = "/root/week.svg", "/root/week.html"
VICTIM = "/etc/motd"
OTHERS, TAKE = "others than root can put files into", "take a directory of root's"
# A user makes the name of the file a link to one of root's, and exchanges a directory of theirs with such a link.
_SWAP = """
import ctypes, os, sys
libc, (one, other) = ctypes.CDLL(None), map(str.encode, sys.argv[1:])
print("swapping", flush=True)
while True:
    if libc.renameat2(-100, one, -100, other, 2):
        sys.exit("no exchange")
"""


@pytest.fixture
def drawn(shared):
    """The shared office, without drawings before and after."""
    yield shared
    shared.client.run(["rm", "-f", SVG, HTML])


def files(machine):
    """Owner, group and mode of both files."""
    found = (machine.stat(path) for path in (SVG, HTML))
    return [(status.st_uid, status.st_gid, status.st_mode & 0o7777) for status in found]


@pytest.mark.salt
def test_both_files_are_written_and_written_again(drawn):
    """For root to read and nobody else; the second time another file takes its place, and nothing is left over."""
    client, call = drawn.client, drawn.minion.call
    answer = call("spice_grant.timeline", days=3, at="2026-11-23T18:00", svg=SVG, html=HTML)
    assert answer == {
        "written": [SVG, HTML],
        "consoles": 2,
        "from": "Mon 2026-11-23 00:00 UTC",
        "until": "Thu 2026-11-26 00:00 UTC",
    }
    assert files(client) == [(0, 0, 0o640)] * 2
    tree = ElementTree.fromstring(client.read(SVG))  # noqa: S314 - our own text
    titles = [title.text for title in tree.iter("{http://www.w3.org/2000/svg}title")]
    assert any("mybro may open leaptest\n" in title and "grant mybro-leaptest, always" in title for title in titles)
    assert f"{drawn.minion.id}: Mon 2026-11-23 to Wed 2026-11-25" in client.read(HTML)
    before = client.stat(SVG).st_ino, client.stat(HTML).st_ino
    assert call("spice_grant.timeline", "mybro", svg=SVG, at="2026-12-01")["consoles"] == 1
    assert "Tue 2026-12-01" in client.read(SVG) and "myself" not in client.read(SVG)
    after = client.stat(SVG).st_ino, client.stat(HTML).st_ino
    assert after[0] != before[0] and after[1] == before[1], "it takes the place of the other, in one step"
    assert client.run(["sh", "-c", "ls -A /root | grep spice-grant"], check=False).stdout == ""


def test_salt_call_says_what_was_written(drawn):
    """In one sentence."""
    shown = drawn.minion.salt_call("spice_grant.timeline", "days=1", "at=2026-11-23", f"html={HTML}").stdout
    sentence = f"Written: {HTML}, with 2 consoles, from Mon 2026-11-23 00:00 UTC until Tue 2026-11-24 00:00 UTC."
    assert " ".join(shown.split()) == f"local: {sentence}"


REFUSED = [
    ({"svg": "week.svg"}, "svg: 'week.svg' is no absolute path, as /root/week.svg"),
    ({"svg": HTML}, "svg: '/root/week.html' must end in .svg, as /root/week.svg"),
    ({"html": "/etc/shadow"}, "html: '/etc/shadow' must end in .html, as /root/week.html"),
    ({"html": "/root/none/week.html"}, "html: there is no directory /root/none"),
    ({"svg": "/root/directory.svg"}, "svg: /root/directory.svg is a directory"),
    ({"svg": "/root/link.svg"}, "svg: /root/link.svg is a link or a special file, and is not replaced"),
    ({"svg": "/root/logo.svg"}, "svg: /root/logo.svg is another file, and is not replaced"),
    ({"svg": SVG, "html": "/tmp/a.html"}, f"html: {OTHERS} /tmp; {TAKE}"),  # noqa: S108
    ({"svg": "/home/myself/week.svg"}, f"svg: {OTHERS} /home/myself; {TAKE}"),
    ({"svg": "/root/shared/week.svg"}, f"svg: {OTHERS} /root/shared; {TAKE}"),
    ({"svg": "/root/way/week.svg"}, f"svg: {OTHERS} /home/myself; {TAKE}"),
    ({"svg": SVG, "days": 32}, "days: a drawing has 31 at most, not 32"),
]


def test_what_is_refused_writes_nothing(drawn):
    """One line says why; of two files none is written where one must not be."""
    client = drawn.client
    client.run(["sh", "-ec", "cd /root; mkdir directory.svg shared; chmod 1777 shared; ln -s logo.svg link.svg"])
    client.run(["sh", "-ec", "cd /root; mkdir /home/myself/d; ln -s /home/myself/d way; echo '<svg/>' > logo.svg"])
    before = listing(client)
    for arguments, words in REFUSED:
        with pytest.raises(SaltError) as caught:
            drawn.minion.call("spice_grant.timeline", **arguments)
        assert str(caught.value) == f"CommandExecutionError: {words}"
    assert listing(client) == before
    client.run(["sh", "-ec", "cd /root; rm -r directory.svg shared link.svg logo.svg way /home/myself/d"])


def listing(client):
    """All there is where something might have been written, with times."""
    return client.run(["find", "/root", "/tmp", "/home", "-printf", "%p %i %s %T@\n"]).stdout  # noqa: S108


def test_a_users_link_never_makes_root_write_elsewhere(drawn):
    """Neither one that waits in /tmp, nor one that comes and goes in the place of a directory."""
    client = drawn.client
    before = client.read(VICTIM), client.stat(VICTIM).st_ino
    script = (
        f"mkdir -p /tmp/w/d; ln -sfn {VICTIM} /tmp/week.svg; ln -sfn {VICTIM} /tmp/w/d/a.svg; ln -sfn /etc /tmp/w/l"
    )
    client.run(["sh", "-ec", script], user="myself")
    swap = [sys.executable, "-IS", "-c", _SWAP, "/tmp/w/d", "/tmp/w/l"]  # noqa: S108
    process = client.popen(swap, user="myself", stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "swapping\n"
        for path in ("/tmp/week.svg", *["/tmp/w/d/a.svg", "/tmp/w/d/new.svg"] * 4):  # noqa: S108
            with pytest.raises(SaltError, match="others than root can put files into /tmp"):
                drawn.minion.call("spice_grant.timeline", svg=path)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert (client.read(VICTIM), client.stat(VICTIM).st_ino) == before
    found = client.run(["find", "/etc", "-newer", "/tmp/w", "-name", "*.svg"]).stdout  # noqa: S108
    assert not re.findall(r"/etc/(a|new)\.svg", found)
    client.run(["rm", "-rf", "/tmp/w", "/tmp/week.svg"])  # noqa: S108
