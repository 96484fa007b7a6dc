"""A grant that is removed ends what the real viewer shows, and nobody else's."""

import time

import pytest
from article.viewers import PATIENCE, moving


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_viewer_loses_its_session_and_the_other_users_goes_on(unasked, viewers, artefacts, busy):
    """No input and a picture that does not change, or a mouse that never rests: it is over with the run.

    Its user is told why, the other one sees nothing of it.
    """
    revoked, kept = viewers
    before = kept.connections()
    assert revoked.connections() and before
    mouse = moving(revoked.desktop) if busy else None
    assert mouse is None or mouse.poll() is None
    del unasked.pillar["spice"]["grants"]["myself-debianx"]
    unasked.apply()
    assert revoked.ends(PATIENCE), "the viewer still runs"
    assert revoked.connections() == set()
    assert not revoked.shows() and not any("debianx" in title for title in revoked.desktop.windows())
    revoked.desktop.wait_window("SPICE console closed")
    revoked.desktop.screenshot(artefacts / f"session-ended-{'busy' if busy else 'idle'}.png")
    time.sleep(1)
    assert kept.process.poll() is None
    assert kept.connections() == before and kept.shows()
    assert not any("closed" in title for title in kept.desktop.windows())
    if mouse:
        mouse.kill_tree()


def test_viewers_go_on_through_a_run_that_takes_nothing_from_them(unasked, viewers):
    """A third user's grant comes and goes: the very same connections are open afterwards."""
    before = [viewer.connections() for viewer in viewers]
    unasked.pillar["spice"]["grants"]["visitor-debianx"] = {"user": "visitor", "vm": "debianx"}
    unasked.apply()
    del unasked.pillar["spice"]["grants"]["visitor-debianx"]
    unasked.apply()
    time.sleep(1)
    assert [viewer.connections() for viewer in viewers] == before
    assert all(viewer.shows() and viewer.process.poll() is None for viewer in viewers)
