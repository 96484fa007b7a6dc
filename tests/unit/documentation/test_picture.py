"""The README's picture is what its description draws."""

import re
import xml.etree.ElementTree as etree

import picture

SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_is_what_the_tool_draws():
    assert picture.PICTURE.read_text(encoding="utf-8") == picture.render(), "run make picture"


def test_all_that_is_described_is_in_it():
    root = etree.fromstring(picture.render())  # noqa: S314 - our own text
    shown = {element.text for element in root.iter(f"{SVG}text")}
    assert shown == {word for box in picture.BOXES for word in (box.title, *box.lines)} | {
        arrow.text for arrow in picture.ARROWS
    }


def test_each_layer_is_in_it():
    titles = {box.title for box in picture.BOXES}
    assert {"firewall", "routing", "sudo", "viewer", "expiry"} <= titles


def test_the_way_is_drawn_for_a_terminal():
    """What is granted passes all layers; the rest ends before the firewall."""
    edge, names, _, words, granted, more, stopped = picture.as_text().splitlines()
    assert re.findall(r"\w+", names) == ["desk", "sudo", "viewer", "firewall", "routing", "server"]
    assert max(map(len, picture.as_text().splitlines())) < 80
    assert (words.strip(), more.strip()) == tuple(arrow.text for arrow in picture.ARROWS)
    assert names.index("| server") == granted.index(">") + 1 and granted.index("=") == names.index("|   | sudo") + 1
    assert names.index("| firewall") == stopped.index("X") + 1 and len(edge) == len(names)
