"""The README's picture is what its description draws."""

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
