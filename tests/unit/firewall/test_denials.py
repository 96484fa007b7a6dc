"""The guard's lines in the kernel's log: read as data, whatever else stands there; recorded from real kernels."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.audit.live import kernel_log
from spicegrants.core.errors import LiveStateUnreadable, SystemFault
from spicegrants.firewall import denials
from spicegrants.firewall.denials import Denial
from spicegrants.firewall.guard import LOG_PREFIXES
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.loans_locks import Lock, Temporary
from spicegrants.schedule.instants import EARLIEST
from unit.build import EVENING_WINDOWS, GID, TIMED, desired, inventory, policy
from unit.loader.test_api import ROOT, load

# By nft and by iptables alike: the kernel's own function writes them.
V4 = (
    "spice-grant deny output: IN= OUT=eth0 SRC=192.168.2.22 DST=192.168.2.2 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=32502 "
    "DF PROTO=TCP SPT=16145 DPT=20002 WINDOW=64240 RES=0x00 SYN URGP=0 UID=1023 GID=1023 "
)
V6 = (
    "spice-grant deny output: IN= OUT=eth0 SRC=fd00:0002:0000:0000:0000:0000:0000:0022 "
    "DST=fd00:0002:0000:0000:0000:0000:0000:0002 LEN=80 TC=0 HOPLIMIT=64 FLOWLBL=812749 PROTO=TCP SPT=11936 DPT=20004 "
    "WINDOW=64800 RES=0x00 SYN URGP=0 UID=1021 GID=1021 "
)
# Forwarded: by a bridge or router, without an owner.
FORWARDED = (
    "spice-grant deny forward: IN=veth0 OUT=eth0 MAC=02:42:ac:11:00:02:02:42:ac:11:00:03:08:00 SRC=10.0.3.2 "
    "DST=192.168.2.2 LEN=60 TOS=0x00 PREC=0x00 TTL=63 ID=1 DF PROTO=TCP SPT=40000 DPT=20002 WINDOW=64240 RES=0x00 "
    "SYN URGP=0 "
)
READ4 = Denial(100, 1023, 1023, "192.168.2.2", 20002, 4, 16145, "output")


def test_recorded_lines():
    found, unread = denials.parse_denials([(100, V4), (101, V6), (102, FORWARDED)])
    assert found == [
        READ4,
        Denial(101, 1021, 1021, "fd00:2::2", 20004, 6, 11936, "output"),
        Denial(102, None, None, "192.168.2.2", 20002, 4, 40000, "forward"),
    ]
    assert unread == 0


@pytest.mark.parametrize(
    "line",
    [
        "",
        "eth0: link up",
        # A process may be named like the prefix, as far as a name goes, and may be named anything behind it.
        "spice-grant den[77]: segfault at 0 ip 0 sp 0 error 4",
        f"sh[77]: segfault {V4}",
        f" {V4}",
        V4.upper(),
        f"audit: comm={V4}",
        f"other\n{V4}",
    ],
)
def test_what_is_not_the_guards(line):
    assert denials.parse_denials([(100, line)]) == ([], 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("DST=192.168.2.2 ", ""),
        ("DST=192.168.2.2 ", "DST=192.168.2.2000 "),
        ("DST=192.168.2.2 ", "DST=fd00::2 "),
        ("DST=192.168.2.2 ", "DST=192.168.2.2 DST=192.168.2.3 "),
        ("DPT=20002", "DPT=65536"),
        ("DPT=20002", "DPT=-1"),
        ("DPT=20002", "DPT="),
        ("DPT=20002", f"DPT={'9' * 10000}"),
        ("DPT=20002", "DPT=٢٠٠٠٢"),
        ("SPT=16145 ", ""),
        ("PROTO=TCP", "PROTO=UDP"),
        ("UID=1023 ", "UID=4294967295 "),
        ("UID=1023 ", "UID=99999999999999999999 "),
        ("UID=1023 ", ""),
        ("GID=1023 ", ""),
        ("UID=1023 GID=1023 ", "UID=1023 GID=1023 UID=0 "),
        ("URGP=0 ", "URGP=0\n"),
        ("URGP=0 ", "URGP=0\x1b[2J "),
        ("IN= OUT", "\x00IN= OUT"),
    ],
)
def test_what_cannot_be_read_is_counted(old, new):
    line = V4.replace(old, new)
    assert line != V4
    assert denials.parse_denials([(100, line), (100, V4)]) == ([READ4], 1)


def test_lines_of_former_versions_do_not_say_which_rule():
    (found,), unread = denials.parse_denials([(100, V4.replace("deny output", "deny"))])
    assert (found, unread) == (READ4._replace(rule=None), 0)


@given(st.sampled_from(["spice-grant deny: ", *LOG_PREFIXES.values()]), st.text(max_size=300))
def test_any_text_behind_the_prefix_is_read_or_counted(prefix, text):
    found, unread = denials.parse_denials([(1, prefix + text)])
    assert len(found) + unread == 1


def test_repeated_ones_of_a_minute_are_one_entry():
    again = [READ4._replace(moment=moment, source_port=moment) for moment in (100, 130, 161, 1000)]
    other = [READ4._replace(moment=161, gid=GID), READ4._replace(moment=162, port=20004)]
    other.append(READ4._replace(moment=163, rule="egress"))
    folded = denials.fold([*again, *other])
    assert [(denial.moment, denial.gid, denial.port, count) for denial, count in folded] == [
        (1000, 1023, 20002, 1),
        (163, 1023, 20002, 1),
        (162, 1023, 20004, 1),
        (161, 1023, 20002, 2),
        (161, GID, 20002, 1),
        (100, 1023, 20002, 1),
    ]


def why(compiled, user="myself", **changes):
    denial = Denial(EARLIEST, 1021, 1021, "192.168.2.2", 20002, 4, 1)._replace(**changes)
    return denials.entry(compiled, denial, 1, user)["why"]


def test_an_entry():
    denial = READ4._replace(moment=EARLIEST)
    assert denials.entry(desired(), denial, 3, "guest") == {
        "at": "2020-01-01T00:00:00Z",
        "user": "guest",
        "uid": 1023,
        "gid": 1023,
        "vm": "debianx",
        "server": "mysrv",
        "address": "192.168.2.2",
        "port": 20002,
        "rule": "output",
        "by": "guard",
        "count": 3,
        "why": "no grant of debianx means guest",
    }
    unused = denials.entry(desired(), denial._replace(port=20009), 1, "guest")
    assert (unused["vm"], unused["server"]) == (None, "mysrv")
    elsewhere = denials.entry(desired(), denial._replace(address="192.168.2.9"), 1, "guest")
    assert (elsewhere["vm"], elsewhere["server"]) == (None, None)
    assert "only a guarded port" in elsewhere["why"]
    assert set(denials.note("why")) == set(elsewhere)


def test_why():
    assert why(desired()) == "not with the viewer's group spicegrp"
    assert why(desired(), gid=GID).startswith("not denied by what holds now")
    assert why(desired(), uid=None, gid=None, user=None).startswith("the kernel knows no owner")
    assert why(desired(), uid=None, gid=None, user=None, rule="forward").startswith("forwarded, from a guest")
    assert why(desired(), uid=None, gid=None, user=None, rule="egress").startswith("from a guest or container")
    assert why(desired(), uid=4711, user=None) == "no account has UID 4711"


def test_why_by_the_times_of_that_moment():
    timed = desired(TIMED)
    begin, end = EVENING_WINDOWS[2]
    assert why(timed, gid=GID, moment=end) == "closed at that moment for myself"
    assert why(timed, gid=GID, moment=begin).startswith("not denied by what holds now")
    assert why(timed, gid=1021, moment=begin) == "not with the viewer's group spicegrp"


def test_why_by_a_lock_of_that_moment():
    temporary = Temporary(locks=(Lock("user", "myself", "left", EARLIEST + 10),))
    locked = compile_policy(policy(), inventory(), temporary=temporary)
    assert why(locked, gid=GID, moment=EARLIEST + 10) == "locked: user myself (left)"
    assert why(locked, gid=GID, moment=EARLIEST + 9).startswith("not denied by what holds now")


def entry(message):
    """An entry as ``journalctl --output=json`` prints it with its fields limited to the message."""
    return json.dumps(
        {
            "__CURSOR": "s=5c;i=1",
            "_BOOT_ID": "4f3c",
            "__MONOTONIC_TIMESTAMP": "8319681943",
            "__REALTIME_TIMESTAMP": "1795627074631067",
            "MESSAGE": message,
        }
    )


def test_entries_of_the_journal():
    assert kernel_log.journal_line(entry(V4)) == (1795627074, V4)
    # Bytes that are no UTF-8, several messages in one entry, none.
    assert kernel_log.journal_line(entry([97, 255, 98])) == (1795627074, "a\\xffb")
    assert kernel_log.journal_line(entry(None)) == (1795627074, "")
    for printed in ("{", "[]", "{}", '{"MESSAGE": "x"}', entry(["a", "b"]), entry({"a": 1})):
        with pytest.raises(LiveStateUnreadable, match="what is no entry"):
            kernel_log.journal_line(printed)


def test_records_of_the_kernel():
    assert kernel_log.kernel_line(f"6,1564,8319681943,-;{V4}\n".encode()) == (8319.681943, V4)
    record = b"4,339,5140900,-;a\\x0ab\\xff\\x5c;c\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n"
    assert kernel_log.kernel_line(record) == (5.1409, "a\nb\\xff\\;c")
    # Facility user: a program of root's wrote it. The kernel lets none write as itself.
    assert kernel_log.kernel_line(f"14,1564,8319681943,-;{V4}\n".encode()) is None
    for record in (b"", b"6,1;x", V4.encode()):
        with pytest.raises(LiveStateUnreadable):
            kernel_log.kernel_line(record)


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """Has a program print a journal's entries; returns it as something to call with them, and its arguments."""
    (tmp_path / "journal").mkdir()
    monkeypatch.setattr(kernel_log, "_JOURNAL", str(tmp_path / "journal"))
    monkeypatch.setattr(kernel_log.run, "SEARCH", f"{tmp_path}:{kernel_log.run.SEARCH}")
    monkeypatch.setattr(kernel_log.run, "as_root", lambda: None)
    program = tmp_path / "journalctl"

    def made(printed, code=0):
        (tmp_path / "printed").write_text(printed)
        program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\ncat {tmp_path}/printed\nexit {code}\n')
        program.chmod(0o755)
        return lambda: (tmp_path / "arguments").read_text().split()

    return made


def test_the_journal_is_asked_for_what_the_kernel_said(journal):
    arguments = journal(f"{entry(V4)}\n{entry(V6)}\n")
    assert kernel_log.lines(1795627000) == ([(1795627074, V4), (1795627074, V6)], False)
    assert {"--since=@1795627000", "_TRANSPORT=kernel", "SYSLOG_FACILITY=0"} <= set(arguments())


def test_of_too_long_a_journal_the_oldest_is_left_out(journal, monkeypatch):
    monkeypatch.setattr(kernel_log, "MOST", 1)
    arguments = journal(f"{entry(V4)}\n{entry(V6)}\n")
    assert kernel_log.lines(0) == ([(1795627074, V6)], True)
    assert "--lines=2" in arguments()


@pytest.mark.parametrize(("printed", "code"), [("", 1), ("{", 0)])
def test_an_unreadable_journal_is_an_error(journal, printed, code):
    journal(printed, code)
    with pytest.raises(SystemFault):
        kernel_log.lines(0)


def test_without_any_log_there_is_an_error(journal, monkeypatch, tmp_path):
    """A journal without a line of the kernel's says nothing: some hold none. What else /dev/kmsg may be is no log."""
    journal("")
    for path in (tmp_path / "none", "/dev/null", tmp_path):
        monkeypatch.setattr(kernel_log, "_KMSG", str(path))
        with pytest.raises(LiveStateUnreadable):
            kernel_log.lines(0)


def test_what_is_not_in_the_list_is_said(monkeypatch):
    module = load(ROOT / "_modules" / "spice_grant_denials.py")
    lines = [(EARLIEST + 100 * number, V4.replace("1023", "4294967294")) for number in range(3)]
    monkeypatch.setattr(module.context, "compiled", lambda **_: desired())
    monkeypatch.setattr(module.kernel_log, "lines", lambda since: ([*lines, (EARLIEST, "spice-grant deny: ?")], True))
    monkeypatch.setattr(module, "_MOST", 2)
    *listed, older, oldest, unread = module.denials()
    assert [each["at"] for each in listed] == ["2020-01-01T00:01:40Z", "2020-01-01T00:03:20Z"]
    assert (older["count"], unread["count"]) == (1, 1)
    assert "left out" in older["why"] and "left out" in oldest["why"] and "cannot be read" in unread["why"]
