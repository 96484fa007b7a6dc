"""A KVM host among a master's minions: a lock of the runner's reaches desks and hosts, and hosts know the desks."""

import json

import pytest
from unit.build import HOST_KEY

import scenes
from scene import need
from scene.machine import CHECKOUT

pytestmark = pytest.mark.full

HOST, DESK = "kvm1", "desk-1"
SERVER = {"host": scenes.HOST, "addresses": [scenes.ADDRESS], "ports": "20001-20010", "minion": HOST}
PILLAR = {
    "spice": {
        "servers": {"mysrv": {**SERVER, "host_key": HOST_KEY}},
        "vms": {"books": {"server": "mysrv", "tls_port": 20003}},
        "grants": {"anne": {"user": "anne", "vm": "books", "nopasswd": True}},
        "viewer": {"confine": True},
    }
}


@pytest.fixture(scope="module")
def master():
    """The master of a desk and of a KVM host, on which libvirt and sshd are programs that do nothing."""
    need("ip", "nft", "remote-viewer", "bwrap", "ssh", "sudo", "visudo", "useradd")
    with scenes.office(DESK) as made:
        made.hub.write("/srv/pillar/top.sls", "base: {'*': [spice]}\n")
        made.hub.write("/srv/pillar/spice.sls", json.dumps(PILLAR))
        scenes.trust(made.desks[DESK], made.server)
        made.desks[DESK].add_user("anne", 1031)
        made.server.write("/usr/bin/virsh", scenes.NO_DOMAINS, mode=0o755)
        made.server.write("/usr/sbin/sshd", "#!/bin/sh\n", mode=0o755)
        roots = {"file_roots": {"base": [str(CHECKOUT / "salt")]}, "pillar_roots": {"base": ["/srv/pillar"]}}
        runners = {"runner_dirs": [str(CHECKOUT / "_runners")], "utils_dirs": [str(CHECKOUT / "_utils")]}
        mine = {"mine_functions": {"spice_grant.desk": []}}
        with (
            scenes.master(made.hub, **roots, **runners) as running,
            scenes.minion(made.desks[DESK], **mine),
            scenes.minion(made.server, id=HOST),
        ):
            _both_answer(running)
            running.salt("saltutil.sync_all")
            yield running


def _both_answer(running):
    while set(running.salt("test.ping", timeout=5, check=False)[0] or ()) < {HOST, DESK}:
        assert running.runs, running.log()


def applied(running):
    """Apply both halves; return the host's result. Its one error is that there is no domain."""
    running.salt("state.apply", "spice", target=DESK)
    answers, _ = running.salt("state.apply", "spice.host", target=HOST, check=False)
    (result,) = answers[HOST].values()
    assert "there is no domain books" in result["comment"] and result["comment"].count("spice:vms") == 1, result
    return result


def test_the_host_knows_the_desk_by_the_mine(master):
    """Once it has made its key; before that nobody may ask."""
    assert "no desk may ask for a ticket" in str(applied(master))
    master.salt("mine.update")
    assert "/var/lib/spice-host/home/.ssh/authorized_keys" in str(applied(master)["changes"])
    status, _ = master.salt("spice_host.status", target=HOST, check=False)
    assert status[HOST]["desks"] == [DESK]


def test_a_lock_reaches_desk_and_host(master):
    """And what takes it away reaches both as well."""
    found, code = master.salt_run("spice_grant.lock", "user=anne")
    assert code == 0 and sorted(found["confirmed"]) == [DESK, HOST], found
    held, _ = master.salt("spice_grant.locks")
    assert {(name, lock["about"]) for name, locks in held.items() for lock in locks} == {
        (DESK, "user anne"),
        (HOST, "user anne"),
    }
    found, code = master.salt_run("spice_grant.unlock", "user=anne")
    assert code == 0 and sorted(found["confirmed"]) == [DESK, HOST], found
    held, _ = master.salt("spice_grant.locks")
    assert not any(held.values()), held
