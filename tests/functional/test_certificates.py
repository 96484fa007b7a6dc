"""What verify says of the certificates that consoles show."""

import datetime
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from scene import need, tls
from scenes import ADDRESS, HOST, PKI, article

need("openssl")


def prepare(office):
    """Consoles speak TLS here."""
    office.listener.stop()


# What a console shows: for which name, whether it has expired, and whether the authority is another; the subject that
# is declared; and what verify says.
SHOWN = {
    "its own": ({}, None, None),
    "for another name": ({"host": "other.example"}, None, "Hostname mismatch, certificate is not valid for"),
    "expired": ({"expired": True}, None, "certificate has expired"),
    "of another authority": ({"other": True}, None, "unable to get local issuer certificate"),
    "of the declared subject": ({"host": "other.example"}, "O=Scene, CN=other.example", None),
    "of another subject": ({}, "O=Scene,CN=other.example", f"its subject is O=Scene,CN={HOST}, not"),
}


def _expire(directory):
    """Have the server's certificate be one that ended yesterday: openssl makes none such in every release."""
    key = serialization.load_pem_private_key((directory / "ca-key.pem").read_bytes(), None)
    old = x509.load_pem_x509_certificate((directory / "server-cert.pem").read_bytes())
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), old.serial_number)
    made = made.not_valid_before(now - datetime.timedelta(2)).not_valid_after(now - datetime.timedelta(1))
    for extension in old.extensions:
        made = made.add_extension(extension.value, extension.critical)
    text = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (directory / "server-cert.pem").write_bytes(text)


@pytest.mark.turns(2)
@pytest.mark.parametrize("what", SHOWN)
def test_what_a_console_shows(shared, what):
    """A certificate that every viewer refuses is a difference, for each console that shows it."""
    shown, subject, reason = SHOWN[what]
    directory = shared.server.path(PKI)
    tls.create(directory, shown.get("host", HOST))
    if shown.get("expired"):
        _expire(directory)
    data = article()
    data["spice"]["servers"]["mysrv"]["ca"] = (directory / "ca-cert.pem").read_text(encoding="utf-8")
    if shown.get("other"):
        tls.create(directory, HOST)
    if subject:
        data["spice"]["vms"]["debianx"]["host_subject"] = subject
    shared.applied(data)
    files = ["-cert", f"{PKI}/server-cert.pem", "-key", f"{PKI}/server-key.pem"]
    command = ["openssl", "s_server", "-accept", f"{ADDRESS}:20002", *files]
    console = shared.server.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert "ACCEPT\n" in iter(console.stdout.readline, "")
        answer = shared.verify(vm="debianx")
    finally:
        console.kill_tree()
    if reason is None:
        assert (answer["ok"], answer["differences"], answer["unproven"]) == (True, [], [])
    else:
        (found,) = answer["differences"]
        assert found.startswith(f"debianx: {ADDRESS}: viewers refuse its certificate: {reason}")
