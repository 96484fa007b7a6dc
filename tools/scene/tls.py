"""A throw-away certificate authority and a server certificate, made with the openssl program."""

import pathlib
import subprocess

from scene.machine import SceneError, program

ORGANISATION = "Scene"
DAYS = "30"


def create(directory, host):
    """Write ca-cert.pem, ca-key.pem, server-cert.pem and server-key.pem for a host name into a directory.

    The directory may be one of a machine: ``create(machine.path("/etc/pki/spice"), "server.example")``.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    authority = ["-subj", f"/O={ORGANISATION}/CN=Scene CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    files = ["-keyout", "ca-key.pem", "-out", "ca-cert.pem"]
    _openssl(directory, "req", "-x509", "-days", DAYS, *key, *authority, *files)
    request = ["-subj", f"/O={ORGANISATION}/CN={host}", "-keyout", "server-key.pem", "-out", "server.csr"]
    _openssl(directory, "req", *key, *request)
    (directory / "server.ext").write_text(
        f"subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n", encoding="utf-8"
    )
    signer = ["-CA", "ca-cert.pem", "-CAkey", "ca-key.pem", "-set_serial", "2", "-days", DAYS]
    files = ["-in", "server.csr", "-extfile", "server.ext", "-out", "server-cert.pem"]
    _openssl(directory, "x509", "-req", *signer, *files)
    for name in ("server.csr", "server.ext"):
        (directory / name).unlink()
    return directory


def host_subject(directory):
    """Return the server certificate's subject in the form of remote-viewer's ``host-subject=``.

    For example ``O=Scene,CN=server``.
    """
    options = ["-in", "server-cert.pem", "-noout", "-subject", "-nameopt", "sep_comma_plus,sname"]
    text = _openssl(pathlib.Path(directory), "x509", *options)
    return text.strip().partition("subject=")[2].strip()


def _openssl(directory, *args):
    done = subprocess.run(
        [program("openssl"), *args], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise SceneError(f"openssl {args[0]} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout
