"""Validation of text from pillar before it enters rules, files and command lines.

Everything here is an allow list. A value that passes can be written into nft, sudoers, a .vv and a .desktop file
without changing their structure; the writers escape all the same.
"""

from __future__ import annotations

import base64
import ipaddress
import re

_OBJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,62}")
_MINION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,252}")
_ACCOUNT = re.compile(r"[A-Za-z_](?:[A-Za-z0-9_@-]|\.(?!\.)){0,62}")
# sudoers reads such a word as the name of an alias, ALL among them.
_SUDOERS_WORD = re.compile(r"[A-Z][A-Z0-9_]*")
_SUDOERS_KEYWORDS = ("Defaults", "Cmd_Alias", "Cmnd_Alias", "Host_Alias", "Runas_Alias", "User_Alias", "sudoedit")
_SUDO_SUBJECT = re.compile(r"ALL|%?#[0-9]{1,10}|(?:%:?|\+)?" + _ACCOUNT.pattern)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
# The resolver takes what ends so for an address in an old spelling: 192.168.2 is 192.168.0.2 to it.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_PATH = re.compile(r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._+-]+)+")
# As the kernel has it; a pattern may be longer.
_INTERFACE = re.compile(r"(?!\.{1,2}$)[!-.0-9;-~]{1,64}")
# PEM: RFC 7468. Whatever is between one block and the next is none of anybody's business.
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_MARK = re.compile(r"-----(?:BEGIN|END)\b")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})")
_PLAIN = ("CERTIFICATE", "X509 CERTIFICATE")
# As it is written, and as the viewer reads it.
_LINE, _LONGEST = 64, 76
# Kinds of SSH keys, and of how many fields such a key consists: RFC 8709, 4253 and 5656.
_SSH_KINDS = {"ssh-ed25519": 2, "ssh-rsa": 3, **{f"ecdsa-sha2-nistp{size}": 3 for size in (256, 384, 521)}}
# In base64; RSA keys of 8192 bits have 1396.
_SHORTEST_KEY, _LONGEST_KEY = 60, 1500


def object_name(text: str) -> str | None:
    """Say what is wrong with the name of a server, vm, schedule, grant or desk; ``None`` if nothing is."""
    if _OBJECT.fullmatch(text):
        return None
    return (
        "is not a usable name: 1 to 63 letters, digits, '.', '_' or '-', "
        "the first a letter or digit, no two dots in a row"
    )


def grant_name(text: str) -> str | None:
    """Say what is wrong with the name of a grant; ``None`` if nothing is.

    One of several vms is as many grants, each called by its vm as well: ``NAME/VM``.
    """
    return next(filter(None, map(object_name, text.split("/", 1))), None)


def minion_id(text: str) -> str | None:
    """Say what is wrong with the id of a minion, which may be a host's full name; ``None`` if nothing is."""
    if _MINION.fullmatch(text):
        return None
    return (
        "is not a usable id of a minion: 1 to 253 letters, digits, '.', '_' or '-', "
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


def sudo_subject(text: str) -> str | None:
    """Say what is wrong with the subject of a sudo rule, as sudoers(5) spells it; ``None`` if nothing is."""
    if _SUDO_SUBJECT.fullmatch(text):
        return None
    return "is nobody whom a sudo rule could be about, as anne, %sudo, #1021, %#27, +netgroup or ALL"


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
    """Tell whether an address can be that of one machine: not unspecified, not multicast."""
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


def ssh_key(text: str) -> str | None:
    """Say what is wrong with the public key of an SSH client or server, without a comment; ``None`` if nothing is.

    The kind of the key is the first field of the key as well (RFC 4253, section 6.6). So one that was cut off, or put
    together of two, is noticed here, and not by an SSH server that knows nobody.
    """
    kind, _, key = text.partition(" ")
    fields = _ssh_fields(key)
    if len(fields) == _SSH_KINDS.get(kind) and fields[0] == kind.encode():
        return None
    return "is no public key of SSH: its kind, a blank and the whole key in base64, without a comment"


def _ssh_fields(key: str) -> list[bytes]:
    """Return the fields of a key in base64, each behind its length (RFC 4251, section 5); none if it is no such key.

    Of several spellings only one counts: by it two keys are told apart.
    """
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY or not _BASE64.fullmatch(key):
        return []
    rest = base64.b64decode(key)
    fields: list[bytes] = []
    if base64.b64encode(rest).decode() != key:
        return []
    while rest:
        end = 4 + int.from_bytes(rest[:4], "big")
        if end > len(rest):
            return []
        fields.append(rest[4:end])
        rest = rest[end:]
    return fields


def password(text: str) -> str | None:
    """Say what is wrong with the password of a console; ``None`` if nothing is. Never quotes it."""
    if text.isprintable() and text == text.strip() and 0 < len(text.encode()) <= 60:
        return None
    return "is no usable password: one line of 1 to 60 printable characters, without blanks around it"


def certificates(text: str) -> tuple[str, str | None]:
    """Return all PEM certificates of a text in one spelling, and what is wrong with the text, if anything is.

    Text and other blocks between them, line ends and the length of lines do not matter. A block that is cut off, a
    damaged or TRUSTED certificate, and a text without any certificate are wrong.
    """
    found, rest = [], 0
    for block in _BLOCK.finditer(text):
        complaint = _cut_off(text, rest, block.start()) or _unusable(text, block)
        if complaint:
            return "", complaint
        if block[1] in _PLAIN:
            found.append(_spelled(block[2].split()))
        rest = block.end()
    complaint = _cut_off(text, rest, len(text))
    if complaint is None and not found:
        complaint = "holds no PEM certificate"
        if text[:1] == "0" and not text[:64].isprintable():
            complaint += "; it looks like DER, of which 'openssl x509 -inform der' makes one"
    return "" if complaint else "".join(found), complaint


def _spelled(lines: list[str]) -> str:
    body = "".join(lines)
    if max(map(len, lines)) > _LONGEST:
        lines = [body[start : start + _LINE] for start in range(0, len(body), _LINE)]
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""))


def _cut_off(text: str, start: int, end: int) -> str | None:
    mark = _MARK.search(text, start, end)
    return f"is cut off, in line {_line_of(text, mark.start())}" if mark else None


def _unusable(text: str, block: re.Match) -> str | None:
    line = _line_of(text, block.start())
    if block[1] == "TRUSTED CERTIFICATE":
        return f"has a TRUSTED CERTIFICATE in line {line}, of which 'openssl x509' makes a plain one"
    if block[1] in _PLAIN and not _BASE64.fullmatch("".join(block[2].split())):
        return f"has a damaged certificate in line {line}"
    return None


def _line_of(text: str, at: int) -> int:
    return len((text[:at] + "x").splitlines())


def line(text: str) -> str | None:
    """Say what is wrong with a line of free text; ``None`` if nothing is."""
    if len(text) <= 256 and text == text.strip() and text.isprintable() and text:
        return None
    return "must be one line of 1 to 256 printable characters, without blanks around it"
