"""What text may stand in rules, files and command lines."""

import base64

import pytest

from spicegrants.core import validation
from unit.build import DESK_KEY, HOST_KEY, PEM
from unit.strategies import ssh_key


@pytest.mark.parametrize("name", ["a", "0", "A.b-c_d", "debian-12.5", "a.", "x" * 63])
def test_names_of_objects(name):
    assert validation.object_name(name) is None


@pytest.mark.parametrize(
    "name",
    ["", ".a", "-a", "_a", "a..b", "a b", "a/b", "a\n", "\na", "ä", "a*", "a%", "x" * 64, "a\u0660", "a:b", "a\0"],
)
def test_no_names_of_objects(name):
    assert validation.object_name(name)


@pytest.mark.parametrize("name", ["kvm1", "kvm1.hosts.anraconc.de", "x" * 253])
def test_ids_of_minions(name):
    assert validation.minion_id(name) is None


@pytest.mark.parametrize("name", ["", ".a", "-a", "a..b", "a b", "a/b", "a\n", "a*", "x" * 254, 'a"', "a,b"])
def test_bad_ids_of_minions(name):
    assert "id of a minion" in validation.minion_id(name)


@pytest.mark.parametrize(
    "name", ["ann", "_apt", "j.boss@example.com", "Ann", "a1", "aDMIN", "_ADMIN", "x" * 63, "Defaults2"]
)
def test_names_of_accounts(name):
    assert validation.account_name(name) is None


@pytest.mark.parametrize(
    "name",
    ["", "1021", "1a", "-a", ".a", "@a", "+a", "%a", "#1", "!a", "a b", "a\n", "a,b", "a:b", "a=b", "a\\b", "a..b",
     "a$", "(a)", '"a"', "ä", "x" * 64, "A", "ALL", "ADMINS", "A1_", "a/b", "a*", "a?"],
)  # fmt: skip
def test_no_names_of_accounts(name):
    assert validation.account_name(name)


@pytest.mark.parametrize(
    "word", ["Defaults", "Cmd_Alias", "Cmnd_Alias", "Host_Alias", "Runas_Alias", "User_Alias", "sudoedit"]
)
def test_words_of_sudoers_are_no_accounts(word):
    """A rule that begins with such a word is something else to sudo, and the whole file may not parse."""
    assert "sudoers" in validation.account_name(word)


@pytest.mark.parametrize(
    "name",
    ["a", "mysrv", "MySrv.Example.COM", "a-b.c", "1a.b", "192.168.2.2", "2001:db8::1", "::ffff:10.0.0.1", "a.1b"],
)
def test_hosts(name):
    assert validation.host_name(name) is None


@pytest.mark.parametrize(
    "name",
    ["", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "a b", "a\n", "a/b", "a:1", "a?b", "[::1]", "fe80::1%eth0", "ä.de",
     "x" * 64, ".".join(["x" * 60] * 5), "192.168.2.300", "192.168.2", "1", "0x7f", "a.0x7F", "a.0x", "10.0.0.1.5"],
)  # fmt: skip
def test_no_hosts(name):
    assert validation.host_name(name)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.168.2.2", "192.168.2.2"),
        ("2001:DB8:0:0::0001", "2001:db8::1"),
        ("::FFFF:192.168.2.2", "192.168.2.2"),
        ("::ffff:c0a8:202", "192.168.2.2"),
        ("::1", "::1"),
    ],
)
def test_addresses_have_one_spelling(text, canonical):
    assert validation.address(text) == canonical
    assert validation.address(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "a", "192.168.2", "192.168.2.300", "192.168.2.2/32", " 192.168.2.2", "010.0.0.1", "fe80::1%1", "::g", "1"],
)
def test_no_addresses(text):
    assert validation.address(text) is None


@pytest.mark.parametrize("text", ["0.0.0.0", "::", "224.0.0.1", "239.255.255.255", "ff02::1"])  # noqa: S104
def test_addresses_of_no_one_server(text):
    assert not validation.usable_address(text)


@pytest.mark.parametrize("text", ["192.168.2.2", "127.0.0.1", "::1", "fe80::1", "2001:db8::1"])
def test_addresses_of_one_server(text):
    assert validation.usable_address(text)


@pytest.mark.parametrize("path", ["/a", "/usr/bin/remote-viewer", "/a.b/c_d/e+f", "/...", "/.a", "/a..b"])
def test_paths(path):
    assert validation.path(path) is None


@pytest.mark.parametrize(
    "path",
    ["", "/", "a", "./a", "/a/", "//a", "/a//b", "/./a", "/../a", "/a/.", "/a/..", "/a b", "/a\n", "/a*", "/a,b", "/ä"],
)
def test_no_paths(path):
    assert validation.path(path)


RSA = ssh_key("ssh-rsa", b"\1\0\1", b"\0" + b"x" * 1024)
ECDSA = [ssh_key(f"ecdsa-sha2-nistp{size}", f"nistp{size}".encode(), b"\4" * 65) for size in (256, 384, 521)]


@pytest.mark.parametrize("key", [HOST_KEY, RSA, *ECDSA], ids=lambda key: key.split()[0])
def test_keys_of_ssh(key):
    assert validation.ssh_key(key) is None


@pytest.mark.parametrize(
    "key",
    [
        "",
        "x",
        " ",
        "ssh-ed25519",
        "ssh-ed25519 ",
        "ssh-ed25519 AAAA",
        f" {HOST_KEY}",
        f"{HOST_KEY} ",
        f"{HOST_KEY}\n",
        f"{HOST_KEY}\n{DESK_KEY}",
        f"{HOST_KEY} root@kvm1",
        f'"{HOST_KEY}"',
        f'{HOST_KEY[:-1]}"',
        f"{HOST_KEY[:-1]}\0",
        f"{HOST_KEY[:-1]}\x1b",
        f"{HOST_KEY[:-1]}\u0660",
        f"{HOST_KEY[:40]}\n{HOST_KEY[40:]}",
        f'command="id" {HOST_KEY}',
        f"kvm1 {HOST_KEY}",
        HOST_KEY.replace(" ", "  "),
        HOST_KEY.replace(" ", "\t"),
        HOST_KEY.replace(" ", "\u00a0"),
        HOST_KEY.upper(),
        f"\ud800 {HOST_KEY.split()[1]}",
        f"{HOST_KEY}=",
        HOST_KEY[:-1],
        HOST_KEY[:-4],
        HOST_KEY + DESK_KEY.split()[1],
        HOST_KEY + "AAAA" * 750,
        RSA[:200],
        "ssh-ed25519 " + "A" * 3000,
        "ssh-ed25519 " + "A" * 60,
        HOST_KEY.replace("ssh-ed25519", "ssh-rsa"),
        RSA.replace("ssh-rsa", "ssh-ed25519"),
        RSA.replace("ssh-rsa", "rsa-sha2-256"),
        ECDSA[0].replace("256 ", "384 "),
        ssh_key("ssh-dss", b"x" * 60),
        ssh_key("ssh-ed25519-cert-v01@openssh.com", b"x" * 60),
        ssh_key("ssh-ed25519", b"x" * 32, b""),
        ssh_key("ssh-rsa", b"\1\0\1", b"\0" + b"x" * 2048),
    ],
)  # fmt: skip
def test_no_keys_of_ssh(key):
    assert validation.ssh_key(key).startswith("is no public key of SSH")


def test_a_key_of_ssh_has_one_spelling():
    """By it two desks are told apart; base64 has bits that mean nothing."""
    key = ECDSA[0]
    assert validation.ssh_key(key) is None and key.endswith("Q=")
    other = f"{key[:-2]}R="
    assert base64.b64decode(other.split()[1]) == base64.b64decode(key.split()[1])
    assert validation.ssh_key(other)


def test_certificates_keep_nothing_else():
    noise = "subject=/CN=x\n-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n[virt-viewer]\n"
    for text, expected in (
        (PEM, PEM),
        (noise + PEM + noise + PEM, PEM + PEM),
        (PEM.replace("\n", "\r\n"), PEM),
        ("".join(f"    {line}\n" for line in PEM.splitlines()), PEM),
        (PEM.rstrip("\n"), PEM),
        # Joined by cat, where the first file has no line end.
        (PEM.rstrip("\n") + PEM, PEM + PEM),
        (PEM.replace("BEGIN CERT", "BEGIN X509 CERT").replace("END CERT", "END X509 CERT"), PEM),
    ):
        assert validation.certificates(text) == (expected, None)


def test_a_certificate_on_one_line_is_written_on_several():
    """As the viewer reads it."""
    body = "QUJD" * 40
    text, complaint = validation.certificates(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----")
    assert complaint is None and max(map(len, text.splitlines())) == 64
    assert "".join(text.splitlines()[1:-1]) == body


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no PEM certificate"),
        ("0\x82\x03\x01", "holds no PEM certificate; it looks like DER, of which"),
        ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "has a damaged certificate in line 1"),
        ("\n-----BEGIN CERTIFICATE-----\nQQ==\n", "is cut off, in line 2"),
        (PEM + "-----END CERTIFICATE-----\n", "is cut off, in line 5"),
        (PEM + PEM[:50], "is cut off, in line 5"),
        (PEM[:50] + "\n" + PEM, "has a damaged certificate in line 1"),
        (
            "-----BEGIN CERTIFICATE-----\nhost=evil\n\n-----END CERTIFICATE-----\n",
            "has a damaged certificate in line 1",
        ),
        (
            PEM + "-----BEGIN CERTIFICATE-----\nQQ\\n==\n-----END CERTIFICATE-----\n",
            "has a damaged certificate in line 5",
        ),
        (
            "-----BEGIN TRUSTED CERTIFICATE-----\nQUJD\n-----END TRUSTED CERTIFICATE-----",
            "has a TRUSTED CERTIFICATE in line 1",
        ),
        ("-----BEGIN PRIVATE KEY-----\nQQ==\n-----END PRIVATE KEY-----\n", "holds no PEM certificate"),
    ],
)
def test_no_certificates(text, message):
    """None is dropped or kept in silence."""
    result, complaint = validation.certificates(text)
    assert result == "" and complaint.startswith(message)


@pytest.mark.parametrize("text", ["a", "year-end", "C=DE,O=Müller\\, Söhne", "北京", "x" * 256, "a  b"])
def test_lines(text):
    assert validation.line(text) is None


@pytest.mark.parametrize(
    "text", ["", " ", " a", "a ", "a\nb", "a\tb", "a\0", "\x1b[2J", "a\u202eb", "a\u2028b", "x" * 257, "\ud800"]
)
def test_no_lines(text):
    assert validation.line(text)
