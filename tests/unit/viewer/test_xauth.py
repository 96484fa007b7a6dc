"""Displays and cookies: what is taken from a user's file, which may hold anything."""

import ctypes
import os
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spicegrants.viewer import xauth

LOCAL, WILD, INTERNET = 256, 65535, 0
NAME = b"MIT-MAGIC-COOKIE-1"
COOKIES = [bytes([number]) * 16 for number in range(8)]


def record(family, address, display, data, name=NAME):
    parts = (address, display, name, data)
    return struct.pack(">H", family) + b"".join(struct.pack(">H", len(part)) + part for part in parts)


def chosen(content, number="0"):
    return xauth.cookie(content, number, "client")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (":0", "0"),
        (":10.0", "10"),
        ("unix:7", "7"),
        ("unix/:7", "7"),
        ("unix/client:7.1", "7"),
        (":65535", "65535"),
        (":0.12", "0"),
        (":07", "7"),
    ],
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
        "tcp/:0",
        "unix/x/y:0",
        "/.X11-unix/X0",
    ],
)
def test_anything_else_is_none(text):
    assert xauth.display_number(text) is None


def test_the_first_record_that_is_for_this_machine_and_display():
    one, two, three, four = COOKIES[:4]
    shared_home = record(LOCAL, b"other", b"0", one) + record(LOCAL, b"client", b"1", two)
    assert chosen(shared_home) is None
    assert chosen(shared_home, "1") == two
    content = shared_home + record(WILD, b"", b"", three) + record(LOCAL, b"client", b"0", four)
    assert chosen(content) == three
    assert chosen(content, "2") == three
    assert chosen(record(LOCAL, b"client", b"", one) + content, "2") == one


class Xauth(ctypes.Structure):
    _fields_ = [
        ("family", ctypes.c_ushort),
        ("address_length", ctypes.c_ushort),
        ("address", ctypes.c_void_p),
        ("number_length", ctypes.c_ushort),
        ("number", ctypes.c_void_p),
        ("name_length", ctypes.c_ushort),
        ("name", ctypes.c_void_p),
        ("data_length", ctypes.c_ushort),
        ("data", ctypes.c_void_p),
    ]


def of_libxau(path, number):
    """The cookie that programs of the user would present to a display of this machine, by the library that they use."""
    library = ctypes.CDLL("libXau.so.6")
    library.XauGetBestAuthByAddr.restype = ctypes.POINTER(Xauth)
    names, lengths = (ctypes.c_char_p * 1)(NAME), (ctypes.c_int * 1)(len(NAME))
    os.environ["XAUTHORITY"] = str(path)
    found = library.XauGetBestAuthByAddr(LOCAL, 6, b"client", len(number), number.encode(), 1, names, lengths)
    if not found:
        return None
    data = ctypes.string_at(found.contents.data, found.contents.data_length)
    library.XauDisposeAuth(found)
    return data


RECORDS = st.lists(
    st.builds(
        record,
        st.sampled_from([LOCAL, WILD, INTERNET]),
        st.sampled_from([b"client", b"other", b""]),
        st.sampled_from([b"0", b"1", b""]),
        st.sampled_from(COOKIES),
        st.sampled_from([NAME, b"XDM-AUTHORIZATION-1"]),
    ),
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS, st.sampled_from(["0", "1", "7"]), st.binary(max_size=20))
def test_the_cookie_is_that_of_libxau(tmp_path, monkeypatch, records, number, rest):
    content = b"".join(records) + rest
    monkeypatch.setenv("XAUTHORITY", "")
    (tmp_path / "cookies").write_bytes(content)
    assert chosen(content, number) == of_libxau(tmp_path / "cookies", number)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        record(LOCAL, b"other", b"0", COOKIES[1]),
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
    assert len(chosen(content) or bytes(16)) == 16
    assert chosen(record(LOCAL, b"client", b"0", COOKIES[3]) + content) == COOKIES[3]


def test_the_viewers_file_has_the_cookie_alone_for_any_display():
    assert xauth.file_of(COOKIES[1]) == record(WILD, b"", b"", COOKIES[1])
    with pytest.raises(ValueError, match="15 bytes"):
        xauth.file_of(bytes(15))
