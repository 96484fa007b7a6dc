"""Text goes by the clipboard from the user's desktop into the guest, and back."""

import subprocess

import pytest
from article.conftest import asking_nobody

from scene import agent
from scene.consoles import Console
from scene.desktop import Desktop
from scene.requirements import need

CLIP = ["xclip", "-selection", "clipboard"]
USERS, GUESTS = "the user's \N{SNOWMAN}\nin two lines", "the guest's \N{SNOWMAN}"


@pytest.fixture
def guest():
    """The agent of a guest whose console a user has open by a confined viewer, and the user's desktop."""
    need("bwrap", "xclip")
    with asking_nobody(viewer={"confine": True}) as office:
        office.consoles["debianx"].stop()
        with (
            Console(office.server, "debianx", 20002, "/etc/pki/spice", agent=True) as console,
            Desktop(office.client, "myself") as desktop,
        ):
            office.consoles["debianx"] = console
            viewer = desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            assert desktop.shows(console.rgb)
            console.agent.hear(agent.ANNOUNCE)
            yield console.agent, desktop
            viewer.kill_tree()


def test_text_there_and_back(guest):
    """Each asks for what the other has announced."""
    spoken, desktop = guest
    owner = desktop.popen([*CLIP, "-in", "-quiet"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    owner.stdin.write(USERS.encode())
    owner.stdin.close()
    assert spoken.hear(agent.GRAB).startswith(agent.TEXT)
    spoken.say(agent.REQUEST, agent.TEXT)
    assert spoken.hear(agent.CLIPBOARD) == agent.TEXT + USERS.encode()
    spoken.say(agent.GRAB, agent.TEXT)
    # Who loses the clipboard ends.
    owner.wait(60)
    asking = desktop.popen([*CLIP, "-out"], stdout=subprocess.PIPE, text=True)
    assert spoken.hear(agent.REQUEST) == agent.TEXT
    spoken.say(agent.CLIPBOARD, agent.TEXT + GUESTS.encode())
    assert asking.communicate(timeout=60)[0] == GUESTS
