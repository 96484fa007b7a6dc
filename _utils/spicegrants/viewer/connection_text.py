"""Connection files, in the key file format that remote-viewer(1) reads. Pure."""

from __future__ import annotations

from spicegrants.policy.compiler import DesiredState


def connection_text(desired: DesiredState, name: str) -> str:
    """Return the connection file of a vm, in the key file format that remote-viewer(1) reads.

    It pins host, port and, if declared, certificate authority and subject. It holds a password in the confined form
    only: otherwise the user's own plug-ins could read it.
    """
    vm = desired.policy.vms[name]
    server = desired.policy.servers[vm.server]
    fields = {
        "type": "spice",
        "host": server.host,
        "tls-port": str(vm.tls_port),
        "title": name,
        "secure-channels": "all",
        "ca": desired.inventory.authorities.get(server.name),
        "host-subject": vm.host_subject,
        "password": (vm.password or desired.inventory.passwords.get(name)) if desired.confined else None,
    }
    lines = [f"{key}={_key_file_value(value)}" for key, value in fields.items() if value]
    return "\n".join(("[virt-viewer]", *lines, ""))


def with_ticket(text: bytes, ticket: str) -> bytes:
    """Return a connection file with the password for one launch."""
    return text + f"password={_key_file_value(ticket)}\n".encode()


def _key_file_value(value: str) -> str:
    """Escape a value for a GLib key file."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
