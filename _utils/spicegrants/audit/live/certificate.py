"""Check of a console's certificate as a viewer makes it: by authority, time, and server's name or subject."""

from __future__ import annotations

import re
import socket
import ssl
from typing import Any

# Seconds.
_PATIENCE = 5.0
# What a subject's parts are called in short, as `host-subject` has them.
_SHORT = {
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "commonName": "CN",
    "emailAddress": "emailAddress",
    "domainComponent": "DC",
}


def attempt(place: tuple[str, int], host: str, authority: str, subject: str | None) -> dict[str, list[str]]:
    """Return why a viewer would refuse a console, and what could not be checked: ``wrong`` and ``unknown``.

    place
        Address and port.

    host, subject
        The name that must be in the certificate; where a subject is declared, that must be its subject instead.

    authority
        The certificates by which it must be signed, as PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = subject is None
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT")
    try:
        context.load_verify_locations(cadata=authority)
        with (
            socket.create_connection(place, _PATIENCE) as connection,
            context.wrap_socket(connection, server_hostname=host) as console,
        ):
            # Each key has a type of its own.
            details: dict[str, Any] = console.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return _answer(wrong=f"viewers refuse its certificate: {error.verify_message}")
    except (OSError, ValueError) as error:
        return _answer(unknown=f"its certificate could not be looked at: {error}")
    if subject is None:
        return _answer()
    actual = [(_SHORT.get(key), value) for part in details["subject"] for key, value in part]
    if actual == parts(subject):
        return _answer()
    if any(key is None for key, _ in actual):
        return _answer(unknown="nobody can tell whether its certificate has the declared subject")
    # Whoever answers there may have any certificate.
    actual_text = ",".join(f"{key}={value if value.isprintable() else ascii(value)}" for key, value in actual)[:200]
    return _answer(wrong=f"viewers refuse its certificate: its subject is {actual_text}, not {subject}")


def parts(subject: str) -> list[tuple[str, str]]:
    r"""Return keys and values of a subject as ``host-subject`` spells it: ``C=DE,O=Office\, Ltd,CN=mysrv``."""
    found = []
    for part in re.split(r"(?<!\\),", subject):
        key, _, value = part.strip().partition("=")
        found.append((key, re.sub(r"\\(.)", r"\1", value)))
    return found


def _answer(wrong: str | None = None, unknown: str | None = None) -> dict[str, list[str]]:
    return {"wrong": [wrong] if wrong else [], "unknown": [unknown] if unknown else []}
