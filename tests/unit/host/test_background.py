"""What is done beside: its result, and its failure, arrive where they are asked for."""

import threading

import pytest

from spicegrants.core.errors import CommandFailed, SystemFault
from spicegrants.host import background


def test_it_goes_on_meanwhile():
    go_on = threading.Event()
    begun = background.begin(lambda: go_on.wait(60))
    go_on.set()
    assert begun.result() is True


def test_a_failure_is_that_of_who_asks():
    def fail():
        raise CommandFailed("nft ended with 1")

    begun = background.begin(fail)
    with pytest.raises(CommandFailed, match="nft ended with 1"):
        begun.result()


def test_where_there_can_be_no_thread(monkeypatch):
    def refused(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(SystemFault, match="no thread can be started"):
        background.begin(int)
