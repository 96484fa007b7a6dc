"""Moments that come soon, and not before all that has to be prepared for them is."""

import time

LONGEST = 1000


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
