"""Moments that come soon, and not before all that has to be prepared for them is; scenes that have their times."""

import time

LONGEST = 1000


class Late(Exception):
    """A moment was over before the test got there: that says nothing but that this machine is busy."""


def wait(moment):
    """Wait until a moment; raise Late if it is over."""
    left = moment - time.time()
    if left < 0:
        raise Late
    time.sleep(left)


def in_time(play, seconds):
    """Play a scene whose times are so many seconds; where that is too short, once more with longer ones.

    play
        Is called with the seconds; raises Late.
    """
    while True:
        try:
            return play(seconds)
        except Late:
            seconds *= 3
            assert seconds < LONGEST, "nothing ever happens in time"


def soon(prepare, lead, margin=3):
    """Have something prepared for a moment; return the moment.

    Where that takes longer than there is time, this machine is busy: it is prepared again, for a later moment.

    prepare
        Is called with the moment, in whole seconds.
    lead
        Seconds until then, at first; margin: how many of them must be left.
    """
    while True:
        moment = int(time.time()) + lead
        prepare(moment)
        if time.time() < moment - margin:
            return moment
        lead *= 2
        assert lead < LONGEST, "nothing is ever prepared in time"
