"""mkimapdcert and mkpop3dcert: a certificate to begin with."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from courier import paths
from courier.net import certificate
from tools import mkimapdcert, mkpop3dcert
from tools.certificate_request import CertificateRequest, RequestError, parse

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("imapd.cnf", "pop3d.cnf"):
        (tmp_path / name).write_bytes((CONF / name).read_bytes())
    monkeypatch.setattr(paths, "SYSCONFDIR", tmp_path)
    monkeypatch.setattr(mkimapdcert.socket, "getfqdn", lambda: "mx.example.com")
    monkeypatch.setattr(mkimapdcert.socket, "gethostname", lambda: "mx")
    monkeypatch.setenv("BITS", "2048")
    return tmp_path


def names(found: x509.Certificate) -> list[str]:
    extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return extension.value.get_values_for_type(x509.DNSName)


def test_make(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Key and certificate in one file, as the server reads it, for this machine's names."""
    assert mkimapdcert.main([]) == 0

    identity = certificate.load_identity(etc / "imapd.pem")
    assert identity is not None
    assert names(identity.certificate) == ["mx.example.com", "mx"]
    assert "CN=mx.example.com" in identity.certificate.subject.rfc4514_string()
    assert "IMAP SSL key" in identity.certificate.subject.rfc4514_string()
    assert identity.key.key_size == 2048  # type: ignore[union-attr]
    assert stat.S_IMODE((etc / "imapd.pem").stat().st_mode) == 0o600
    assert capsys.readouterr().out.startswith(f"{etc}/imapd.pem: ")


def test_key_comes_first(etc: Path) -> None:
    mkpop3dcert.main([])

    pem = (etc / "pop3d.pem").read_bytes()
    load_pem_private_key(pem, None)
    assert pem.startswith(b"-----BEGIN RSA PRIVATE KEY-----\n")
    assert b"POP3 SSL key" in x509.load_pem_x509_certificate(pem).subject.public_bytes()


@pytest.mark.slow
def test_valid_for_a_year(etc: Path) -> None:
    mkimapdcert.main([])

    found = x509.load_pem_x509_certificate((etc / "imapd.pem").read_bytes())
    begins, ends = certificate._validity(found)
    assert (ends - begins).days == 365
    assert found.serial_number > 1  # one of its own, or clients refuse the second certificate


@pytest.mark.parametrize("make", [
    lambda path: path.write_text("mine"),
    lambda path: path.symlink_to("nowhere"),
    lambda path: path.mkdir(),
])  # fmt: skip
def test_never_overwrites(etc: Path, capsys: pytest.CaptureFixture[str], make: object) -> None:
    """Whatever is there stays."""
    assert callable(make)
    make(etc / "imapd.pem")
    before = (etc / "imapd.pem").lstat()

    assert mkimapdcert.main([]) == 1

    assert capsys.readouterr() == (f"{etc}/imapd.pem already exists.\n", "")
    assert (etc / "imapd.pem").lstat() == before


def test_file_that_comes_meanwhile(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run that is faster is not overwritten either."""
    fetched = mkimapdcert.make

    def slow(*arguments: object) -> object:
        (etc / "imapd.pem").write_text("theirs")
        return fetched(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(mkimapdcert, "make", slow)

    assert mkimapdcert.main([]) == 1

    assert (etc / "imapd.pem").read_text() == "theirs"
    assert sorted(os.listdir(etc)) == ["imapd.cnf", "imapd.pem", "pop3d.cnf"]


@pytest.mark.slow
def test_failure_leaves_nothing(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing half-made keeps the next run from making it."""

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device", "imapd.pem")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        assert mkimapdcert.main([]) == 1

    assert sorted(os.listdir(etc)) == ["imapd.cnf", "pop3d.cnf"]
    assert mkimapdcert.main([]) == 0


def test_target_as_argument(etc: Path) -> None:
    """Debian's way: without .pem."""
    assert mkpop3dcert.main([str(etc / "alt.example")]) == 0

    assert (etc / "alt.example.pem").exists()


@pytest.mark.parametrize("bits", ["512", "many", "99999", "low"])
def test_bad_size(
    etc: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bits: str
) -> None:
    monkeypatch.setenv("BITS", bits)

    assert mkimapdcert.main([]) == 1

    assert "expected medium, high, ultra or 2048 to 16384 bits" in capsys.readouterr().err


def test_sizes() -> None:
    assert [mkimapdcert.size(text, 4096) for text in ("", "high", "medium", "2432")] == [
        4096, 3072, 2048, 2432,
    ]  # fmt: skip


def test_no_cnf_file(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (etc / "imapd.cnf").unlink()

    assert mkimapdcert.main([]) == 1

    assert capsys.readouterr().err == (f"mkimapdcert: {etc}/imapd.cnf: No such file or directory\n")


# --- What the certificate shall say ---------------------------------------------------------------


def test_template_of_certtool() -> None:
    assert parse((CONF / "imapd.cnf").read_text()) == CertificateRequest(
        subject={
            "O": "Courier Mail Server",
            "OU": "Automatically-generated IMAP SSL key",
            "L": "New York",
            "ST": "NY",
            "C": "US",
            "CN": "localhost",
            "emailAddress": "postmaster@example.com",
        },
        days=365,
    )


def test_request_of_openssl() -> None:
    """Courier's file where it is built with OpenSSL."""
    text = """
RANDFILE = /usr/lib/courier-imap/share/imapd.rand

[ req ]
default_bits = 4096
encrypt_key = yes
distinguished_name = req_dn
prompt = no

[ req_dn ]
C=DE
O=Beispiel # GmbH
0.OU=Post
CN = mail.example.com ; the name

[ cert_type ]
nsCertType = server
"""

    assert parse(text) == CertificateRequest(
        subject={"C": "DE", "O": "Beispiel", "OU": "Post", "CN": "mail.example.com"}, bits=4096
    )


def test_bad_number() -> None:
    with pytest.raises(RequestError, match="line 1: expiration_days: expected a number, found 'x'"):
        parse("expiration_days = x")


@pytest.mark.parametrize(
    ("cn", "dns", "hosts", "expected"),
    [
        ("localhost", [], ["mx.example.com", "mx"], ["mx.example.com", "mx"]),
        ("Mail.example.com", [], ["mx.example.com"], ["mail.example.com", "mx.example.com"]),
        ("localhost", ["*.example.com"], ["mx"], ["*.example.com", "mx"]),
        ("localhost", [], ["localhost", "localhost"], ["localhost"]),
        ("localhost", ["localhost", "x"], ["mx", "localhost"], ["localhost", "x", "mx"]),
        ("Our mail server", [], ["mx"], ["mx"]),
        ("b\u00fccher.example", [], [], ["xn--bcher-kva.example"]),
        ("", [], ["a" * 64 + ".example"], ["localhost"]),
    ],
)
def test_dns_names(cn: str, dns: list[str], hosts: list[str], expected: list[str]) -> None:
    request = CertificateRequest(subject={"CN": cn}, dns_names=dns)

    assert mkimapdcert.dns_names(request, hosts) == expected


def test_name_too_long_for_a_subject() -> None:
    """It stands in subjectAltName alone."""
    name = "a" * 60 + ".example.com"

    found, _ = mkimapdcert.make(CertificateRequest(subject={"CN": name}), 2048, ())

    assert names(found) == [name]
    assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME) == []
