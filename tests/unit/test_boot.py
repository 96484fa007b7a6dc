"""What is stored for the boot: the very rules of a run, and ports that stay shut if those do not load."""

import json
import re
import shlex

import pytest

from spicegrants import boot, nftables
from spicegrants.files import Directory, File, Link, Other
from unit.build import Kernel, wanted


def words(compiled, live):
    return [change.what for change in boot.plan(compiled, live)[0]]


def loads(compiled):
    """Return the shell scripts that the unit and the drop-in run."""
    entries = boot.wanted_entries(compiled)
    lines = (entries[boot.UNIT].content + entries[boot.DROP_IN].content).decode().splitlines()
    commands = [line.partition("=")[2] for line in lines if line.startswith("Exec")]
    assert len(commands) == 5
    found = []
    for command in commands:
        program, option, script = shlex.split(command.lstrip("-"))
        assert (program, option) == ("/bin/sh", "-c")
        found.append(script)
    return found


def test_the_stored_rules_are_those_of_a_run():
    stored = json.loads(boot.wanted_entries(wanted())[boot.GUARD].content)
    assert stored == {"nftables": json.loads(json.dumps(nftables.plan(wanted(), None).commands))}
    kernel = Kernel()
    kernel.load(stored["nftables"])
    assert nftables.plan(wanted(), kernel.listing()).commands == ()


def test_loading_them_again_replaces_what_is_there():
    """As when nftables.service was reloaded without flushing: nothing is there twice."""
    kernel = Kernel()
    for _ in range(2):
        kernel.load(json.loads(boot.wanted_entries(wanted())[boot.GUARD].content)["nftables"])
    assert nftables.plan(wanted(), kernel.listing()).commands == ()


def test_only_root_reads_who_may_open_what():
    assert boot.wanted_entries(wanted())[boot.GUARD].mode == 0o600
    for path in (boot.UNIT, boot.DROP_IN):
        entry = boot.wanted_entries(wanted())[path]
        assert (entry.uid, entry.gid, entry.mode) == (0, 0, 0o644)
        assert b"myself" not in entry.content and b"192.168.2.2" not in entry.content


def test_the_unit_is_enabled():
    assert boot.wanted_entries(wanted())[boot.ENABLED] == Link(boot.UNIT)
    assert set(boot.wanted_entries(wanted())) == set(boot.PATHS)


def test_it_is_loaded_before_the_network():
    unit = boot.wanted_entries(wanted())[boot.UNIT].content.decode()
    assert re.search(r"^Before=.*\bnetwork-pre\.target\b", unit, re.MULTILINE)
    assert re.search(r"^After=.*\bnftables\.service\b", unit, re.MULTILINE)
    assert "\nDefaultDependencies=no\n" in unit


def test_the_ports_stay_shut_if_the_rules_do_not_load():
    """The fallback needs no file: its ports stand in the unit itself."""
    ports = {"servers__two": {"host": "two.example.com", "ports": [5900, "5905-5910"]}}
    for script in loads(wanted(ports)):
        good, _, fallback = script.partition(" || ")
        assert f"nft -j -f {boot.GUARD} && " in good and "list chain inet spice_grant output" in good
        program, closed = shlex.split(fallback)
        assert program == "/usr/sbin/nft"
        for hook in ("output", "forward"):
            assert (
                f"chain {hook} {{ type filter hook {hook} priority -5; "
                "tcp dport { 5900, 5905-5910, 20001-20010 } reject with tcp reset; }" in closed
            )
        assert closed.startswith("table inet spice_grant { ")


def test_nothing_from_pillar_but_numbers_is_in_a_script():
    for script in loads(wanted({"servers__mysrv__host": "evil.example.com", "vms__debianx__host_subject": "$(id)"})):
        assert "evil" not in script and "$" not in script and "`" not in script


def test_the_first_run():
    changes, write = boot.plan(wanted(), {})
    assert [change.what for change in changes] == [
        f"creates {boot.UNIT}",
        f"creates {boot.DROP_IN}",
        f"creates {boot.ENABLED}",
        "stores the rules for the next boot",
    ]
    assert all(change.layer == "firewall" and change.grants == () for change in changes)
    assert set(write) == set(boot.PATHS)


def test_the_second_run():
    assert boot.plan(wanted(), boot.wanted_entries(wanted())) == ((), ())


def test_a_grant_that_goes_is_not_loaded_by_the_next_boot():
    less = wanted({"grants__myself-debianx": ...})
    assert boot.plan(less, boot.wanted_entries(wanted()))[1] == (boot.GUARD,)
    assert words(less, boot.wanted_entries(wanted())) == ["stores the rules for the next boot"]
    assert b"debianx" not in boot.wanted_entries(less)[boot.GUARD].content


def test_other_ports_change_the_fallback_too():
    more = wanted({"servers__mysrv__ports": "20001-20020"})
    assert boot.plan(more, boot.wanted_entries(wanted()))[1] == (boot.GUARD, boot.UNIT, boot.DROP_IN)


@pytest.mark.parametrize(
    ("path", "live", "said"),
    [
        (boot.GUARD, None, "stores the rules for the next boot"),
        (boot.GUARD, File(b"{}", 0o600), "stores the rules for the next boot"),
        (boot.UNIT, None, f"creates {boot.UNIT}"),
        (boot.UNIT, File(b"", 0o644), f"rewrites {boot.UNIT}"),
        (boot.UNIT, Link("/dev/null"), f"replaces the symbolic link at {boot.UNIT}"),
        (boot.DROP_IN, Directory(0o755), f"replaces the directory at {boot.DROP_IN}"),
        (boot.ENABLED, None, f"creates {boot.ENABLED}"),
        (boot.ENABLED, Link("/dev/null"), f"redirects {boot.ENABLED}"),
        (boot.ENABLED, File(b"", 0o644), f"replaces the file at {boot.ENABLED}"),
        (boot.ENABLED, Other("special file"), f"replaces the special file at {boot.ENABLED}"),
    ],
)
def test_tampering(path, live, said):
    """A masked or disabled unit is drift as well."""
    held = {**boot.wanted_entries(wanted()), path: live}
    assert words(wanted(), held) == [said]
    assert boot.plan(wanted(), held)[1] == (path,)
