"""A KVM host to test with: its pillar, and domains as libvirt prints them."""

import base64
from xml.sax.saxutils import escape, quoteattr

from spicegrants.hypervisor import domains
from spicegrants.policy import pillar
from unit.build import article, changed


def key(letter):
    """Return the public key of an SSH client or server, another for each letter."""
    words = (b"ssh-ed25519", letter.encode() * 32)
    return "ssh-ed25519 " + base64.b64encode(b"".join(len(word).to_bytes(4, "big") + word for word in words)).decode()


DESKS = {
    "desk-1": {"addresses": ["192.168.2.22", "2001:db8::22"], "key": key("a")},
    "desk-2": {"addresses": ["192.168.2.23"], "key": key("b")},
}


def hosted(**changes):
    """Return the article's pillar with tickets by minion ``kvm1``, and some places changed."""
    tickets = {"servers__mysrv__minion": "kvm1", "servers__mysrv__host_key": key("h"), "desks": DESKS}
    return changed(changed(article(), **tickets), **changes)


def policy(**changes):
    """Return the policy of :func:`hosted`."""
    return pillar.parse_policy(hosted(**changes))


SHUT = {"defaultMode": "secure", "passwd": "x", "passwdValidTo": domains.ENDED}


def graphics(tls_port=None, within="", kind="spice", **attributes):
    """Spell a console in XML."""
    found = {"type": kind, "tlsPort": None if tls_port is None else str(tls_port), "autoport": "no", **attributes}
    words = " ".join(f"{name}={quoteattr(value)}" for name, value in found.items() if value is not None)
    return f"<graphics {words}>{within}</graphics>"


def domain(name, *consoles, uuid=None, more=""):
    """Spell a domain in XML; its UUID follows from its name."""
    uuid = uuid or f"of {name}"
    head = f"<name>{escape(name)}</name><uuid>{escape(uuid)}</uuid>{more}"
    return f"<domain type='qemu'>{head}<devices><emulator>/qemu</emulator>{''.join(consoles)}</devices></domain>"
