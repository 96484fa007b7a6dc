"""What is done beside: its result, and its failure, arrive where they are asked for."""

import threading

import pytest

from spicegrants.errors import CommandFailed, SystemFault
from spicegrants.host import beside


def test_it_goes_on_meanwhile():
    go_on = threading.Event()
    begun = beside.begin(lambda: go_on.wait(60))
    go_on.set()
    assert begun.result() is True


def test_a_failure_is_that_of_who_asks():
    def fail():
        raise CommandFailed("nft ended with 1")

    begun = beside.begin(fail)
    with pytest.raises(CommandFailed, match="nft ended with 1"):
        begun.result()


def test_where_there_can_be_no_thread(monkeypatch):
    def refused(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(SystemFault, match="no thread can be started"):
        beside.begin(int)
