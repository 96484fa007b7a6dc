"""Which files are looked at."""

import posixpath

from spicegrants.drift import watch_list
from spicegrants.policy.state_file import Stored
from spicegrants.viewer import desk
from unit.build import policy


def test_whatever_a_layer_reads_is_watched():
    places = watch_list.places(Stored(policy(viewer={"path": ["/opt/v/viewer", "/usr/bin/remote-viewer"]})))
    assert places["/opt/v"] == {"viewer"} and "remote-viewer" in places["/usr/bin"]
    assert {"sudoers", "sudoers.d", "passwd", "group", "spice-grant"} <= places["/etc"]
    for directory in ("/etc/sudoers.d", "/var/lib/spice-grant", "/etc/spice-grant/vms", "/usr/local/lib/spice-grant"):
        assert places[directory] is None
    assert places["/etc/systemd/system/nftables.service.d"] == {"spice-grant.conf"}
    for path in desk.PATHS:
        directory, name = posixpath.split(path)
        assert name in places[directory]


def test_authorities_in_files_are_watched_and_those_in_pillar_are_none():
    assert watch_list.places(Stored(policy(servers__mysrv__ca="/etc/pki/spice/ca.pem")))["/etc/pki/spice"] == {"ca.pem"}


def test_without_a_policy_there_is_still_the_store():
    assert watch_list.places(Stored())["/var/lib/spice-grant"] is None


def test_names_are_joined():
    assert watch_list.joined({"a"}, ["b"]) == {"a", "b"}
    assert watch_list.joined(None, {"a"}) is watch_list.joined({"a"}, None) is None
