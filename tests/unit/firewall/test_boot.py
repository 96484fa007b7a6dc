"""What is stored for the boot: the very rules of a run, and ports that stay shut if those do not load."""

import json
import re
import shlex
import subprocess

import pytest

from spicegrants.core.entries import Directory, File, Link, Other
from spicegrants.core.paths import LOAD_GUARD, UNITS
from spicegrants.firewall import boot
from spicegrants.firewall.nft import guard_table
from unit.build import Kernel, desired

(GUARD,) = boot.GUARDS["nftables"]
NFTABLES, UFW = (f"{UNITS}/{name}.service.d/spice-grant.conf" for name in ("nftables", "ufw"))
TOOLS = {4: "iptables-nft", 6: "ip6tables-nft"}
FALLBACK = {"servers__two": {"host": "two.example.com", "ports": [5900, "5905-5910"]}}


def nft(*changes, **facts):
    return boot.for_nftables(desired(*changes, **facts))


def xtables(*changes, **facts):
    return boot.for_iptables(desired(*changes, **facts), "iptables-nft", TOOLS)


LOADINGS = pytest.mark.parametrize("loading", [nft, xtables])


def words(loading, live):
    return [change.what for change in boot.plan_boot_files(loading, live)[0]]


def test_the_stored_rules_are_those_of_a_run():
    stored = json.loads(boot.desired_entries(nft())[GUARD].content)
    assert stored == {"nftables": json.loads(json.dumps(guard_table.plan_guard_table(desired(), None).commands))}
    kernel = Kernel()
    kernel.load(stored["nftables"])
    assert guard_table.plan_guard_table(desired(), kernel.listing()).commands == ()


def test_loading_them_again_replaces_what_is_there():
    """As when nftables.service was reloaded without flushing: nothing is there twice."""
    kernel = Kernel()
    for _ in range(2):
        kernel.load(json.loads(boot.desired_entries(nft())[GUARD].content)["nftables"])
    assert guard_table.plan_guard_table(desired(), kernel.listing()).commands == ()


@LOADINGS
def test_only_root_reads_who_may_open_what(loading):
    entries = boot.desired_entries(loading())
    for path in loading().files:
        assert entries.pop(path).mode == 0o600
    for path, entry in entries.items():
        if path != boot.ENABLED:
            assert (entry.uid, entry.gid, entry.mode) == (0, 0, 0o755 if path == LOAD_GUARD else 0o644)
            assert b"myself" not in entry.content and b"192.168.2.2" not in entry.content


@LOADINGS
def test_the_unit_is_enabled(loading):
    entries = boot.desired_entries(loading())
    assert entries[boot.ENABLED] == Link(boot.UNIT)
    assert set(entries) == {*boot.PATHS, *loading().files}


def test_it_is_loaded_before_the_network():
    unit = boot.desired_entries(nft())[boot.UNIT].content.decode()
    assert re.search(r"^Before=.*\bnetwork-pre\.target\b", unit, re.MULTILINE)
    assert re.search(r"^After=.*\bnftables\.service\b", unit, re.MULTILINE)
    assert "\nDefaultDependencies=no\n" in unit


def test_a_reload_is_given_only_to_services_that_have_one():
    """Otherwise "reload-or-restart" of such a service would no longer restart it."""
    entries = boot.desired_entries(nft())
    assert b"ExecReload" in entries[NFTABLES].content
    assert b"ExecReload" not in entries[UFW].content and b"ExecStartPost=-/bin/sh" in entries[UFW].content


def test_firewalld_is_waited_for():
    """It says that it is up before it has flushed and loaded rules."""
    lines = boot.desired_entries(nft())[NFTABLES.replace("nftables", "firewalld")].content.decode().splitlines()
    start = [line for line in lines if line.startswith("ExecStartPost=")]
    assert [line.rpartition("/")[2] for line in start] == ["firewall-cmd --quiet --state", "load-guard"]


def test_the_ports_stay_shut_if_the_rules_do_not_load():
    """The fallback needs no file: its ports stand in the script itself."""
    uplinks, *_, script = nft(FALLBACK).commands
    assert uplinks == "systemctl --no-block restart spice-grant-uplinks.service 2>/dev/null"
    loaded, _, shut = script.rpartition(" || ")
    assert shut == "{ shut4; shut6; exit 1; }"
    good, _, fallback = loaded.rpartition(" || ")
    assert f"nft -j -f {GUARD}; }} && " in good and "list chain inet spice_grant output" in good
    program, closed = shlex.split(fallback)
    assert program == "nft"
    for hook in ("output", "forward"):
        assert (
            f"chain {hook} {{ type filter hook {hook} priority -5; "
            "tcp dport { 5900, 5905-5910, 20001-20010 } reject with tcp reset; }" in closed
        )
    assert closed.startswith("table inet spice_grant { ")


def test_the_ports_stay_shut_if_the_rules_do_not_load_into_iptables():
    script = "\n".join(xtables(FALLBACK).commands)
    assert "for ports in 5900:5900 5905:5910 20001:20010; do" in script
    assert "for chain in SPICE-GRANT-OUT SPICE-GRANT-FWD; do" in script
    for (version, tool), path in zip(TOOLS.items(), boot.GUARDS["iptables-nft"]):
        assert f"guard {tool} {path} || {{ shut{version}; failed=1; }}" in script


@LOADINGS
def test_routing_shuts_the_ports_if_no_program_can(loading):
    script = "\n".join(loading(FALLBACK).commands)
    for version in (4, 6):
        for ports in ("5900", "5905-5910", "20001-20010"):
            rule = f"pref 160 protocol 74 ipproto tcp dport {ports} prohibit"
            assert f"    ip -{version} rule add {rule} 2>/dev/null\n" in script
    both = {"mysrv": ("192.168.2.2", "2001:db8::2")}
    script = "\n".join(loading({"firewall": {"guard": "servers"}}, addresses=both).commands)
    rules = {line.strip() for line in script.splitlines() if " rule add " in line}
    assert {rule.partition(" ipproto")[0].partition(" to ")[2] for rule in rules} == {"192.168.2.2", "2001:db8::2"}


@LOADINGS
def test_the_script_is_one_that_the_shell_reads(loading):
    script = boot.desired_entries(loading(FALLBACK))[LOAD_GUARD].content
    done = subprocess.run(["/bin/sh", "-n"], input=script, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_programs_read_and_print_times_in_utc():
    """Whatever zone the machine is in: nft would take its text for local time."""
    script = boot.desired_entries(boot.Loading({}, ("env",)))[LOAD_GUARD].content
    environment = {"TZ": "Asia/Kolkata", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh"], input=script, capture_output=True, check=True, env=environment)
    assert b"TZ=UTC" in done.stdout.splitlines()


@LOADINGS
def test_nothing_from_pillar_but_numbers_is_in_the_script(loading):
    named = {"servers__mysrv__host": "other.example.com", "vms__debianx__host_subject": "$(id)"}
    assert loading(named).commands == loading().commands


def test_the_first_run():
    changes, write = boot.plan_boot_files(nft(), {})
    assert [change.what for change in changes] == [
        f"creates {LOAD_GUARD}",
        f"creates {boot.UNIT}",
        f"creates {boot.ENABLED}",
        f"loads the guard again after {', '.join(boot.FLUSHING)}",
        "stores the rules for the next boot",
    ]
    assert all(change.layer == "firewall" and change.grants == () for change in changes)
    assert set(write) == {*boot.PATHS, GUARD}


@LOADINGS
def test_the_second_run(loading):
    assert boot.plan_boot_files(loading(), boot.desired_entries(loading())) == ((), ())


def test_a_grant_that_goes_is_not_loaded_by_the_next_boot():
    less = nft({"grants__myself-debianx": ...})
    assert boot.plan_boot_files(less, boot.desired_entries(nft()))[1] == (GUARD,)
    assert words(less, boot.desired_entries(nft())) == ["stores the rules for the next boot"]
    assert b"debianx" not in boot.desired_entries(less)[GUARD].content


def test_a_grant_that_goes_is_not_loaded_into_iptables_either():
    less = xtables({"grants__myself-debianx": ...})
    path = boot.GUARDS["iptables-nft"][0]
    assert b"debianx" in xtables().files[path] and b"debianx" not in less.files[path]
    assert boot.plan_boot_files(less, boot.desired_entries(xtables()))[1] == boot.GUARDS["iptables-nft"]


def test_other_ports_change_the_fallback_too():
    more = nft({"servers__mysrv__ports": "20001-20020"})
    assert boot.plan_boot_files(more, boot.desired_entries(nft()))[1] == (GUARD, LOAD_GUARD)


@pytest.mark.parametrize(
    ("path", "live", "sentence"),
    [
        (GUARD, None, "stores the rules for the next boot"),
        (GUARD, File(b"{}", 0o600), "stores the rules for the next boot"),
        (LOAD_GUARD, None, f"creates {LOAD_GUARD}"),
        (LOAD_GUARD, File(b"", 0o755), f"rewrites {LOAD_GUARD}"),
        (boot.UNIT, None, f"creates {boot.UNIT}"),
        (boot.UNIT, File(b"", 0o644), f"rewrites {boot.UNIT}"),
        (boot.UNIT, Link("/dev/null"), f"replaces the symbolic link at {boot.UNIT}"),
        (NFTABLES, Directory(0o755), "loads the guard again after nftables"),
        (NFTABLES, None, "loads the guard again after nftables"),
        (boot.ENABLED, None, f"creates {boot.ENABLED}"),
        (boot.ENABLED, Link("/dev/null"), f"redirects {boot.ENABLED}"),
        (boot.ENABLED, File(b"", 0o644), f"replaces the file at {boot.ENABLED}"),
        (boot.ENABLED, Other("special file"), f"replaces the special file at {boot.ENABLED}"),
    ],
)
def test_tampering(path, live, sentence):
    """A masked or disabled unit is drift as well."""
    entries = {**boot.desired_entries(nft()), path: live}
    assert words(nft(), entries) == [sentence]
    assert boot.plan_boot_files(nft(), entries)[1] == (path,)
