"""What the guard logged, read back: from the real log of the kernel, by real refusals of real users."""

import datetime
import secrets
import sys
import time
from subprocess import DEVNULL

import pytest
from unit.build import changed

from functional.office import BOTH
from functional.recorder import RECORD, events, recording, waited
from scene.minion import SaltError
from scenes import ADDRESS, ADDRESS6, GROUP, article

# Other machines' denials are in the same log: nobody else's consoles are here. Below the ports that connections get by
# themselves: the reset of a connection from a guarded port is refused as well.
FIRST = 20100 + 10 * secrets.randbelow(900)
OWN = range(FIRST, FIRST + 10)
GRANTED, OTHER, UNUSED = OWN[2], OWN[4], OWN[9]

MECHANISMS = ["nftables", "iptables-nft", "iptables-legacy"]
PILLAR = changed(
    article(BOTH),
    spice__servers__mysrv__ports=f"{OWN[0]}-{OWN[-1]}",
    spice__vms__debianx__tls_port=GRANTED,
    spice__vms__leaptest__tls_port=OTHER,
)
KMSG = "/dev/kmsg"
JOURNALD, JOURNAL = "/lib/systemd/systemd-journald", "/run/systemd/journal"


def prepare(office):
    """The kernel's log, for root only to read: machines have none."""
    office.client.run(["mknod", "-m", "0400", KMSG, "c", "1", "11"])


@pytest.fixture(autouse=True)
def unlimited(request):
    """What earlier tests logged is not counted against these."""
    if "shared" in request.fixturenames:
        office = request.getfixturevalue("shared")
        office.minion.call("spice_firewall.remove")
        office.applied()


def now():
    """The next full second, once it has come: nothing older is from then on."""
    moment = int(time.time()) + 1
    time.sleep(moment - time.time() + 0.01)
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def denials(office, **kw):
    found = office.minion.call("spice_grant.denials", **kw)
    return [entry for entry in found if entry["port"] in OWN]


@pytest.mark.salt
def test_who_was_refused_what_and_why(shared, kernel_log):
    shared.applied()
    start = now()
    for _ in range(3):
        shared.connect("nogrant", None, [(ADDRESS, GRANTED)])
    shared.connect("myself", GROUP, [(ADDRESS, GRANTED)])
    shared.connect("myself", None, [(ADDRESS, GRANTED), (ADDRESS6, OTHER)])
    shared.connect("mybro", GROUP, [(ADDRESS, UNUSED)])
    found = denials(shared, since=start)
    # The kernel dates its log by a clock of its own, which nobody corrects.
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=5)
    end = end.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert all(start <= entry["at"] <= end for entry in found)
    assert [entry["at"] for entry in found] == sorted(entry["at"] for entry in found)
    keys = ("user", "uid", "gid", "vm", "server", "address", "port", "rule", "count", "why")
    ungranted = "no grant of leaptest means myself"
    unused = "no console of the policy is there, only a guarded port"
    desired = [
        ("nogrant", 1023, 1023, "debianx", "mysrv", ADDRESS, GRANTED, "output", 3, "no grant of debianx means nogrant"),
        (
            "myself",
            1021,
            1021,
            "debianx",
            "mysrv",
            ADDRESS,
            GRANTED,
            "output",
            1,
            f"not with the viewer's group {GROUP}",
        ),
        ("myself", 1021, 1021, "leaptest", "mysrv", ADDRESS6, OTHER, "output", 1, ungranted),
        ("mybro", 1022, shared.gid(), None, "mysrv", ADDRESS, UNUSED, "output", 1, unused),
    ]
    assert {tuple(entry[key] for key in keys) for entry in found} == set(desired)
    assert len(found) == len(desired)
    assert {entry["user"] for entry in denials(shared, since=start, user="myself")} == {"myself"}
    assert {entry["user"] for entry in denials(shared, since=start, vm="debianx")} == {"nogrant", "myself"}
    assert denials(shared, since="2099-01-01") == []


# Tries again and again, and says how often.
FLOOD = """
import socket, sys
for _ in range(int(sys.argv[3])):
    if socket.socket().connect_ex((sys.argv[1], int(sys.argv[2]))) != 111:
        sys.exit("not refused")
"""


@pytest.mark.parametrize(("one", "other"), [("nogrant", "mybro"), ("myself", "root")])
def test_a_flood_of_one_user_neither_fills_the_log_nor_hides_another(shared, kernel_log, one, other):
    """Thousands of tries within seconds are a few lines; the single try of another in the midst of it is there."""
    shared.applied()
    start = now()
    flood = [sys.executable, "-I", "-S", "-c", FLOOD, ADDRESS, f"{UNUSED}"]
    shared.client.run([*flood, "2000"], user=one)
    assert shared.reach(other, None, ADDRESS, GRANTED) == "refused"
    shared.client.run([*flood, "2000"], user=one)
    found = denials(shared, since=start)
    logged = {entry["user"]: 0 for entry in found}
    for entry in found:
        logged[entry["user"]] += entry["count"]
    assert logged.keys() == {one, other}
    assert logged[other] == 1
    # Where iptables holds it, who has no grant shares the limit of all who have none.
    shares = shared.mechanism.name != "nftables" and one == "nogrant"
    assert 1 <= logged[one] <= (60 if shares else 20), logged
    assert shared.apply()["changes"] == {}


def test_what_a_program_writes_into_the_kernels_log_is_none(shared, kernel_log):
    """Even root's programs, which may pass on what users say, cannot speak as the kernel."""
    shared.applied()
    start = now()
    (port,) = kernel_log.ports(1)
    shared.connect("nogrant", None, [(ADDRESS, GRANTED, port)])
    (line,) = kernel_log.lines(port)
    forged = line[line.index("spice-grant deny output: ") :].replace("UID=1023 GID=1023", "UID=1022 GID=1022")
    shared.client.run(["dd", "bs=4096", "conv=notrunc", f"of={KMSG}"], input=f"{forged}\n")
    assert len(kernel_log.lines(port)) == 2
    assert [entry["user"] for entry in denials(shared, since=start)] == ["nogrant"]


@pytest.fixture
def journal(shared):
    """The real journald, which reads the kernel's log; and nothing else can, once it does."""
    client = shared.client
    client.run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"])
    client.run(["mkdir", "--parents", JOURNAL])
    # Its own troubles are not for the log of the machine that the tests run on.
    process = client.popen([JOURNALD], env={"SYSTEMD_LOG_TARGET": "console"}, stdout=DEVNULL, stderr=DEVNULL)
    deadline = time.monotonic() + 60
    while client.run(["journalctl", "--sync"], check=False).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    client.run(["mv", KMSG, f"{KMSG}.away"])
    yield
    process.kill_tree()
    client.run(["mv", f"{KMSG}.away", KMSG])
    client.run(["rm", "-rf", JOURNAL, "/run/log/journal"])
    client.run(["umount", "/sys/fs/cgroup"])


@pytest.mark.usefixtures("journal")
def test_the_journal_is_asked_where_there_is_one(shared, kernel_log):
    """What the kernel said, and nothing that a program did: neither by the kernel's log nor in its name."""
    shared.applied()
    start = now()
    (port,) = kernel_log.ports(1)
    shared.connect("nogrant", None, [(ADDRESS, GRANTED, port)])
    shared.connect("myself", None, [(ADDRESS6, OTHER)])
    (line,) = kernel_log.lines(port)
    forged = line[line.index("spice-grant deny ") :].replace("UID=1023 GID=1023", "UID=1022 GID=1022") + "\n"
    shared.client.run(["dd", "bs=4096", "conv=notrunc", f"of={KMSG}.away"], input=forged)
    fields = f"MESSAGE={forged}SYSLOG_IDENTIFIER=kernel\nSYSLOG_FACILITY=0\nPRIORITY=4\n"
    shared.client.run(["logger", "--journald"], input=fields, user="mybro")
    shared.client.run(["journalctl", "--sync"])
    assert shared.client.run(["journalctl", "--quiet", f"--grep=SPT={port} "]).stdout.count("UID=1022") == 2
    found = denials(shared, since=start)
    entries = sorted((entry["user"], entry["address"], entry["port"]) for entry in found)
    assert entries == [("myself", ADDRESS6, OTHER), ("nogrant", ADDRESS, GRANTED)]
    assert all(start <= entry["at"] for entry in found)


def test_an_unreadable_log_is_an_error(shared):
    shared.client.run(["mv", KMSG, f"{KMSG}.away"])
    try:
        with pytest.raises(SaltError, match="/dev/kmsg cannot be read"):
            denials(shared)
    finally:
        shared.client.run(["mv", f"{KMSG}.away", KMSG])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"since": "yesterday"}, "neither a duration"),
        ({"user": "mybor"}, "did you mean 'mybro'"),
        ({"vm": "debianz"}, "did you mean 'debianx'"),
    ],
)
def test_what_means_nothing_is_refused(looked_at, wrong, words):
    with pytest.raises(SaltError, match=words):
        denials(looked_at, **wrong)


@pytest.mark.usefixtures("journal")
def test_the_record_has_it_as_well(shared, kernel_log):
    """Once, however often somebody tries within a minute; nothing that a program wrote in the kernel's name."""
    shared.applied()
    shared.client.path(RECORD).unlink(missing_ok=True)
    with recording(shared):
        forged = f"spice-grant deny output: SRC={ADDRESS} DST={ADDRESS} PROTO=TCP SPT=1 DPT={GRANTED} UID=1022 GID=1022"
        shared.client.run(["logger", "--tag", "kernel", "--", forged], user="mybro")
        for port in kernel_log.ports(3):
            shared.connect("nogrant", None, [(ADDRESS, GRANTED, port)])
        (refused,) = waited(shared, "refused")
        shared.client.run(["journalctl", "--sync"])
        assert (refused["user"], refused["uid"], refused["vm"], refused["by"]) == ("nogrant", 1023, "debianx", "guard")
        assert refused["why"] == "no grant of debianx means nogrant"
    assert len(events(shared, "refused")) == 1
