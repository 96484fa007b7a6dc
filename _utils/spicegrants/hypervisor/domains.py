"""libvirt's domains and their SPICE consoles: read from the XML that libvirt prints, and as that XML must be. Pure.

The elements and their attributes: https://libvirt.org/formatdomain.html#graphical-framebuffers
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

from spicegrants.core.errors import LiveStateUnreadable

# With an end in the past nobody gets in, whatever the password. libvirt keeps it to the second.
ENDED = "1970-01-02T00:00:00"
# What the element of a console says of passwords, and of when they end.
_SECRET, _END = "passwd", "passwdValidTo"
_NUMBER = re.compile("[0-9]{1,5}")


class Graphics(NamedTuple):
    """One SPICE console of a domain.

    tls_port, port
        Its ports; ``None`` where there is none, or libvirt chooses it at the start.

    mode
        ``secure`` if all channels need TLS.

    ticketed
        Whether it asks for a password at all.

    until
        When its password ends, as libvirt spells it; ``None`` for never.

    listens
        Addresses on which it listens; empty for libvirt's default.

    local
        Whether it listens on a socket of this host, or nowhere: then it has no port.
    """

    tls_port: int | None
    port: int | None
    autoport: bool
    mode: str
    ticketed: bool
    until: str | None
    listens: tuple[str, ...] = ()
    local: bool = False


class Domain(NamedTuple):
    """A domain: its consoles as they are defined, and as they are now; ``None`` for what there is not.

    A domain that only runs has no definition, and one that is off nothing now.
    """

    name: str
    uuid: str
    defined: tuple[Graphics, ...] | None = None
    now: tuple[Graphics, ...] | None = None


# A mark that may stand between what two calls print.
NEXT = "next"


def parse(printed: str) -> list[ElementTree.Element]:
    """Return the domains in what ``virsh dumpxml`` printed, of one or of several calls, and marks between them.

    Comments and prefixes of names are kept: a domain's metadata is others', who may look for them.
    """
    builder = ElementTree.TreeBuilder(insert_comments=True, insert_pis=True)
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler, parser.CommentHandler = builder.data, builder.comment
    parser.ProcessingInstructionHandler = builder.pi
    try:
        # Within an element no document type can stand, which could make anything of what follows.
        parser.Parse(f"<domains>{printed}</domains>", True)
    except expat.ExpatError as error:
        raise LiveStateUnreadable(f"virsh dumpxml printed what is no XML: {error}") from error
    return [element for element in builder.close() if element.tag in ("domain", NEXT)]


def name_of(domain: ElementTree.Element) -> str:
    """Return a domain's name."""
    return domain.findtext("name", "")


def uuid_of(domain: ElementTree.Element) -> str:
    """Return a domain's UUID."""
    return domain.findtext("uuid", "")


def consoles(domain: ElementTree.Element) -> tuple[Graphics, ...]:
    """Return the SPICE consoles of a domain."""
    return tuple(_graphics(element) for element in _elements(domain))


def _elements(domain: ElementTree.Element) -> list[ElementTree.Element]:
    return [element for element in domain.findall("devices/graphics") if element.get("type") == "spice"]


def _graphics(element: ElementTree.Element) -> Graphics:
    listens = element.findall("listen")
    channels = (channel.get("mode", "any") for channel in element.findall("channel"))
    modes = [element.get("defaultMode", "any"), *channels]
    return Graphics(
        tls_port=_port(element.get("tlsPort")),
        port=_port(element.get("port")),
        autoport=element.get("autoport", "yes" if element.get("port") == "-1" else "no") == "yes",
        mode=next((mode for mode in modes if mode != "secure"), "secure"),
        ticketed=element.get(_SECRET) is not None,
        until=element.get(_END),
        listens=tuple(filter(None, (listen.get("address") for listen in listens))),
        local=any(listen.get("type") in ("none", "socket") for listen in listens),
    )


def _port(text: str | None) -> int | None:
    found = int(text) if text is not None and _NUMBER.fullmatch(text) else 0
    return found or None


def secret(domain: ElementTree.Element) -> str | None:
    """Return the password of a domain's console, if it has one, and libvirt printed it."""
    return next((element.get(_SECRET) for element in _elements(domain)), None)


def as_declared(graphics: Graphics, tls_port: int) -> bool:
    """Tell whether a console is defined as it must be: TLS alone, at its port, and shut until there is a ticket."""
    wanted = Graphics(tls_port, None, False, "secure", ticketed=True, until=ENDED, listens=graphics.listens)
    return graphics == wanted


def redefined(domain: ElementTree.Element, tls_port: int, secret: str) -> str:
    """Return the XML that defines a domain with its console as it must be, and all else as it is.

    secret
        The password that nobody knows, and that has ended. Without one libvirt would drop the end.
    """
    changed = copy.deepcopy(domain)
    (element,) = _elements(changed)
    for name in ("port", "connected"):
        element.attrib.pop(name, None)
    element.set("tlsPort", str(tls_port))
    element.set("autoport", "no")
    element.set("defaultMode", "secure")
    element.set(_SECRET, secret)
    element.set(_END, ENDED)
    for channel in element.findall("channel"):
        if channel.get("mode") != "secure":
            element.remove(channel)
    return ElementTree.tostring(changed, encoding="unicode")


def with_ticket(domain: ElementTree.Element, secret: str, until: str, connected: str) -> str:
    """Return the XML by which libvirt gives the console of a running domain another password.

    domain
        As it runs: all else of its console must be said as it is.

    until
        When the password ends, UTC, as :data:`ENDED`.

    connected
        What becomes of who is in: ``keep``, ``disconnect``, or ``fail``: then nothing is changed.
    """
    (element,) = _elements(copy.deepcopy(domain))
    element.set(_SECRET, secret)
    element.set(_END, until)
    element.set("connected", connected)
    return ElementTree.tostring(element, encoding="unicode")


def assembled(defined: Iterable[ElementTree.Element], running: Iterable[ElementTree.Element]) -> list[Domain]:
    """Return all domains, sorted by name, from their definitions and from what runs."""
    found: dict[str, Domain] = {}
    for element in defined:
        found[uuid_of(element)] = Domain(name_of(element), uuid_of(element), defined=consoles(element))
    for element in running:
        known = found.get(uuid_of(element), Domain(name_of(element), uuid_of(element)))
        found[known.uuid] = known._replace(now=consoles(element))
    return sorted(found.values())
