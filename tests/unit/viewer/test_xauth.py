"""Displays and cookies: what is taken from a user's file, which may hold anything."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.viewer import xauth

LOCAL, WILD, INTERNET = 256, 65535, 0
NAME = b"MIT-MAGIC-COOKIE-1"
COOKIES = [bytes([number]) * 16 for number in range(8)]


def record(family, address, display, data, name=NAME):
    parts = (address, display, name, data)
    return struct.pack(">H", family) + b"".join(struct.pack(">H", len(part)) + part for part in parts)


def chosen(content, number="0"):
    """The cookie that is chosen, out of the file that is made of it."""
    made = xauth.cookie(content, number, "client")
    assert made is None or made == record(WILD, b"", b"", made[-16:])
    return None if made is None else made[-16:]


@pytest.mark.parametrize(
    ("text", "number"), [(":0", "0"), (":10.0", "10"), ("unix:7", "7"), (":65535", "65535"), (":0.12", "0")]
)
def test_displays_of_this_machine(text, number):
    assert xauth.display_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        *"0:",
        "",
        "host:0",
        "localhost:10.0",
        ":0 ",
        " :0",
        ":0\n",
        ":../x",
        ":0/../1",
        "::0",
        ":-1",
        ":123456",
        ":0.",
        ":٣",
    ],
)
def test_anything_else_is_none(text):
    assert xauth.display_number(text) is None


def test_the_record_for_this_machine_goes_first():
    one, two, three, four, five = COOKIES[:5]
    content = record(LOCAL, b"other", b"0", one) + record(LOCAL, b"client", b"1", two)
    content += record(LOCAL, b"client", b"0", three) + record(WILD, b"", b"", four) + record(LOCAL, b"x", b"0", five)
    assert chosen(content) == three
    assert chosen(content, "1") == two
    assert chosen(content, "2") == four
    assert chosen(record(LOCAL, b"other", b"0", one)) == one


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        record(INTERNET, b"\x7f\0\0\1", b"0", COOKIES[1]),
        record(LOCAL, b"client", b"0", COOKIES[1], b"XDM-AUTHORIZATION-1"),
        record(LOCAL, b"client", b"0", b"short"),
        record(LOCAL, b"client", b"0", COOKIES[1])[:-1],
        b"\xff" * 1000,
    ],
)
def test_what_holds_no_cookie_for_it(content):
    assert chosen(content) is None


@given(st.binary(max_size=300))
def test_whatever_is_in_the_file_nothing_but_one_cookie_comes_out(content):
    chosen(content)
    assert chosen(record(LOCAL, b"client", b"0", COOKIES[3]) + content) is not None
