"""Try a console as a SPICE client does, from an address of this machine, and no further than to see who is let in."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable

from spicegrants.hypervisor import spice_link

# Encrypts a ticket by a console's key, which is DER.
Encryption = Callable[[bytes, str], bytes]
REFUSED = "refused"
# Seconds that a console may take to answer.
_PATIENCE = 10.0


def attempt(source: str, address: str, port: int, ticket: str, encrypted: Encryption) -> str:
    """Try a ticket; return ``open``, ``denied``, ``refused`` if nothing is let through, or what happened in words."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Whose console it is, is no question here: it is asked for by this machine's own port.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with contextlib.ExitStack() as stack:
            plain = socket.create_connection((address, port), _PATIENCE, (source, 0))
            stack.callback(plain.close)
            connection = stack.enter_context(context.wrap_socket(plain))
            connection.sendall(spice_link.hello())
            reply = _exactly(connection, spice_link.length(_exactly(connection, spice_link.HEADER)))
            connection.sendall(spice_link.ticket(encrypted(spice_link.public_key(reply), ticket)))
            return spice_link.outcome(_exactly(connection, 4))
    except ConnectionRefusedError:
        return REFUSED
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__


def _exactly(connection: ssl.SSLSocket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise ConnectionAbortedError("it hung up")
        found += more
    return found
