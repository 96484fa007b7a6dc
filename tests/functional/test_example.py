"""A first pillar of a real machine: its people, authority and consoles; redirected as the docs say, it is good."""

import subprocess
import sys

import pytest

import scenes
from functional.office import difference
from readme import commands
from scene.machine import CHECKOUT

pytestmark = pytest.mark.salt

# As virsh is asked; a name that could be an option, or has no definition, keeps nothing else from being said.
VIRSH = """\
#!/bin/sh
[ "$1 $2 $3" = "--readonly --connect qemu:///system" ] || exit 1
case "$4 $6" in
    "list --name") printf 'books\\n--help\\n\\na b\\nold\\n\\n';;
    "dumpxml books") cat /etc/books.xml;;
    "dumpxml old") echo "<domain/>";;
    *) echo "error: nothing of $6" >&2; exit 1;;
esac
"""
BOOKS = "<domain><devices><graphics type='spice' port='5900' tlsPort='5901' autoport='no'/></devices></domain>"


def _first(office):
    """What the command of the docs writes, of which spice-grant-check must say that it is good."""
    (words,) = (words for words in commands("A first pillar", "docs/pillar.md") if "spice_grant.example" in words)
    pipe, file = words.index("|"), words.index(">")
    printed = office.minion.salt_call(*words[1:pipe]).stdout
    text = subprocess.run(words[pipe + 1 : file], input=printed, capture_output=True, text=True, check=True).stdout
    path = office.client.path("/tmp/first.sls")  # noqa: S108 - in the machine
    path.write_text(text, encoding="utf-8")
    check = [sys.executable, CHECKOUT / "tools" / "check.py", path]
    said = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, ""), said
    return text


def test_people_and_an_authority(office):
    """myself, mybro and nogrant are people; libvirt is not there. Nothing is written, and pillar is not needed."""
    scenes.trust(office.client, office.server)
    office.minion.set_pillar("")
    before = office.snapshot()
    text = _first(office)
    assert not difference(before, office.snapshot())
    assert "ca: /etc/pki/spice/ca-cert.pem  # seen here" in text
    for grant in ("myself-debianx: {user: myself, vm: debianx}", "mybro-leaptest: {user: mybro, vm: leaptest}"):
        assert f"    {grant}\n" in text
    assert "user: root" not in text and "user: daemon" not in text


def test_consoles_that_libvirt_defines(office):
    office.client.write("/etc/books.xml", BOOKS)
    office.client.write("/usr/bin/virsh", VIRSH, mode=0o755)
    text = _first(office)
    assert "    books: {server: client, tls_port: 5901}\n" in text and "ports: [5900-5901]" in text
    assert "    myself-books: {user: myself, vm: books}\n" in text
    office.client.write("/usr/bin/virsh", "#!/bin/sh\nexit 1\n", mode=0o755)
    assert "    debianx: {server: mysrv, tls_port: 20002}\n" in _first(office), "what virsh does not say is not known"
