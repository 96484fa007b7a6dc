"""Text from pillar that is allowed into rules, files and command lines.

Everything here is an allow list. A value that passes can be written into nft, sudoers, a .vv and a .desktop file
without changing their structure; the writers escape all the same.
"""

from __future__ import annotations

import ipaddress
import re

_OBJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,62}")
_ACCOUNT = re.compile(r"[A-Za-z_](?:[A-Za-z0-9_@-]|\.(?!\.)){0,62}")
# sudoers reads such a word as the name of an alias, ALL among them.
_SUDOERS_WORD = re.compile(r"[A-Z][A-Z0-9_]*")
_SUDOERS_KEYWORDS = ("Defaults", "Cmd_Alias", "Cmnd_Alias", "Host_Alias", "Runas_Alias", "User_Alias", "sudoedit")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
# The resolver takes what ends so for an address in an old spelling: 192.168.2 is 192.168.0.2 to it.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_PATH = re.compile(r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._+-]+)+")
# As the kernel has it; a pattern may be longer.
_INTERFACE = re.compile(r"(?!\.{1,2}$)[!-.0-9;-~]{1,64}")
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+-----END CERTIFICATE-----\n", re.ASCII
)


def object_name(text: str) -> str | None:
    """Say what is wrong with the name of a server, vm, schedule or grant; ``None`` if nothing is."""
    if _OBJECT.fullmatch(text):
        return None
    return (
        "is not a usable name: 1 to 63 letters, digits, '.', '_' or '-', "
        "the first a letter or digit, no two dots in a row"
    )


def account_name(text: str) -> str | None:
    """Say what is wrong with the name of a user or group; ``None`` if nothing is.

    A name that reads as a number is refused: nft, sudo and chown would take it for an ID. One of capital letters
    only is refused as well: sudoers(5) would take it for an alias.
    """
    if _SUDOERS_WORD.fullmatch(text):
        return "reads as an alias in sudoers: names of capital letters only cannot be granted anything"
    if text in _SUDOERS_KEYWORDS:
        return "is a word of sudoers: an account of this name cannot be granted anything"
    if _ACCOUNT.fullmatch(text):
        return None
    return (
        "is not a usable account name: 1 to 63 letters, digits, '.', '_', '@' or '-', "
        "the first a letter or '_', no two dots in a row"
    )


def host_name(text: str) -> str | None:
    """Say what is wrong with a host name or address literal; ``None`` if nothing is."""
    if address(text) is not None:
        return None
    labels = text.split(".")
    if len(text) <= 253 and all(map(_LABEL.fullmatch, labels)) and not _NUMBER.fullmatch(labels[-1]):
        return None
    return "is neither a host name nor an IP address"


def address(text: str) -> str | None:
    """Return an IPv4 or IPv6 address in its one canonical spelling; ``None`` if it is none.

    IPv4-mapped IPv6 addresses become the IPv4 address that the kernel sends to; zone indices are refused.
    """
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    if parsed.version == 6:
        if "%" in text:
            return None
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
    return str(parsed)


def usable_address(text: str) -> bool:
    """Tell whether an address can be that of one server: not unspecified, not multicast."""
    parsed = ipaddress.ip_address(text)
    return not (parsed.is_unspecified or parsed.is_multicast)


def path(text: str) -> str | None:
    """Say what is wrong with an absolute path; ``None`` if nothing is."""
    if _PATH.fullmatch(text):
        return None
    return "is not a usable path: absolute, of letters, digits, '.', '_', '+', '-' and '/', without '.' or '..' parts"


def interface(text: str) -> str | None:
    """Say what is wrong with the name, or pattern of names, of a network interface; ``None`` if nothing is."""
    if _INTERFACE.fullmatch(text):
        return None
    return "is no name of an interface, or pattern of names: printable characters without '/' and ':'"


def password(text: str) -> str | None:
    """Say what is wrong with the password of a console; ``None`` if nothing is. Never says what it is."""
    if text.isprintable() and text == text.strip() and 0 < len(text.encode()) <= 60:
        return None
    return "is no usable password: one line of 1 to 60 printable characters, without blanks around it"


def pem(text: str) -> str | None:
    """Return the PEM certificates in a text with plain line ends and nothing else; ``None`` if there are none."""
    plain = "".join(f"{line.strip()}\n" for line in text.splitlines())
    return "".join(_CERTIFICATE.findall(plain)) or None


def line(text: str) -> str | None:
    """Say what is wrong with a line of free text; ``None`` if nothing is."""
    if len(text) <= 256 and text == text.strip() and text.isprintable() and text:
        return None
    return "must be one line of 1 to 256 printable characters, without blanks around it"
