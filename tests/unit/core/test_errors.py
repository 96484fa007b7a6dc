"""Errors that are reported together, and the packages that they lead to."""

import pytest

from spicegrants.core import packages
from spicegrants.core.errors import CommandFailed, Finding, PolicyError, SystemFault, kept, programs_of, together


def faults():
    found = []
    for error in (CommandFailed("no nft", ["nft"]), PolicyError([Finding("a", "b"), Finding("c", "d")])):
        with kept(found):
            raise error
    return found


def test_each_thing_is_said_by_itself():
    error = together(faults(), ["more", "no nft"])
    assert error.sentences == ("no nft", "a: b", "c: d", "more") and error.programs == ("nft",)
    assert str(error).splitlines() == [*error.sentences]
    nested = together([error, SystemFault("two\nlines")])
    assert nested.sentences == (*error.sentences, "two\nlines") and nested.programs == ("nft",)


def test_one_error_is_itself():
    for error in faults():
        assert together([error]) is error


@pytest.mark.parametrize(
    ("programs", "advised"),
    [
        ([], []),
        (["/opt/viewer"], []),
        (["sudo", "visudo", "/usr/bin/remote-viewer", "nft"], ["nftables sudo virt-viewer"]),
        (["ip6tables-nft-save", "iptables"], ["iptables"]),
    ],
)
def test_the_packages_of_missing_programs(programs, advised):
    found = packages.advice(programs_of([CommandFailed("missing", programs), PolicyError([])]))
    assert [text.rpartition("install ")[2] for text in found] == advised
