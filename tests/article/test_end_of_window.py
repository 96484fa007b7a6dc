"""What becomes of the real viewer at the end of a window: it is cut on time, or left until its grace is over."""

import time

from article.viewers import PATIENCE

from soon import soon
from spicegrants.core.paths import CLOCK
from spicegrants.expiry.live.clock import AHEAD
from spicegrants.schedule import instants

# Seconds from the run on: one takes its time on a busy machine.
SOON = 15
CLIENT = ["openssl", "s_client", "-connect", "192.168.2.2:20002", "-brief"]


def windowed(office, **fields):
    """Have myself's grant end soon; return when."""

    def window(end):
        office.pillar["spice"]["grants"]["myself-debianx"].update(valid_until=instants.iso(end), **fields)
        office.apply()

    return soon(window, SOON, margin=8)


def clock(office, moment):
    """Start the clock just before a moment, as its timer does where there is systemd."""
    time.sleep(max(0, moment - AHEAD - time.time()))
    office.client.run(["/usr/bin/python3", "-I", CLOCK])


def test_viewer_is_cut_at_the_end_of_its_window(unasked, viewers, artefacts):
    """Nobody touches it: it is ended on time, its user is told why, and the other user's goes on."""
    cut, kept = viewers
    before = kept.connections()
    end = windowed(unasked, warn=[])
    time.sleep(max(0, end - 3 - time.time()))
    assert cut.connections() and cut.process.poll() is None
    clock(unasked, end)
    assert cut.ends(end + PATIENCE - time.time()), "the viewer still runs"
    print(f"the viewer left {time.time() - end:.2f} s after the end")
    assert not cut.shows()
    cut.desktop.wait_window("SPICE console closed")
    cut.desktop.screenshot(artefacts / "window-ended.png")
    assert kept.connections() == before and kept.shows()


def test_drained_viewer_is_left_until_its_grace_is_over(unasked, viewers):
    """After the end the very same connections are open, and no new one can be; then it is cut as well."""
    drained, kept = viewers
    before = kept.connections()
    mine = drained.connections()
    end = windowed(unasked, on_end="drain", grace="12s", warn=["4s"])
    clock(unasked, end - 4)
    drained.desktop.wait_window("SPICE console closes soon")
    clock(unasked, end)
    time.sleep(max(0, end + 3 - time.time()))
    done = unasked.client.run(CLIENT, user="myself", group="spicegrp", input="", check=False)
    assert "refused" in done.stderr.lower()
    assert drained.connections() == mine and drained.process.poll() is None
    clock(unasked, end + 12)
    assert drained.ends(end + 12 + PATIENCE - time.time()), "the viewer still runs"
    print(f"the viewer left {time.time() - end - 12:.2f} s after its grace")
    drained.desktop.wait_window("SPICE console closed")
    assert kept.connections() == before and kept.shows()


def test_drained_viewer_without_a_grace_goes_on(unasked, viewers):
    drained, _ = viewers
    mine = drained.connections()
    end = windowed(unasked, on_end="drain", warn=[])
    clock(unasked, end)
    time.sleep(2)
    assert drained.connections() == mine and drained.shows()
