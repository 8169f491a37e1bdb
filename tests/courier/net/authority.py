"""Certificates for tests: an authority of the test's own, what it signs, and PEM files of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

KeyKind = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Signed:
    """A certificate, its key, and who signed it."""

    certificate: x509.Certificate
    key: KeyKind
    issuer: Signed | None = None

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def encrypted_key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def combined(self, path: Path) -> Path:
        """Write key and certificate into one file, as mkimapdcert does."""
        path.write_bytes(self.key_pem + self.certificate_pem)
        return path

    def sign(
        self,
        name: str,
        *,
        fields: Sequence[tuple[x509.ObjectIdentifier, str]] = (),
        is_authority: bool = False,
        key: KeyKind | None = None,
        days: tuple[int, int] = (-1, 30),
    ) -> Signed:
        """Sign a certificate for ``name`` that is valid from and until ``days`` from now."""
        return _sign(self, name, fields, is_authority, key, days)


def authority(name: str = "Test Authority") -> Signed:
    return _sign(None, name, (), True, None, (-1, 30))


def _sign(
    issuer: Signed | None,
    name: str,
    fields: Sequence[tuple[x509.ObjectIdentifier, str]],
    is_authority: bool,
    key: KeyKind | None,
    days: tuple[int, int],
) -> Signed:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            *(x509.NameAttribute(oid, value) for oid, value in fields),
        ]
    )
    now = datetime.now(UTC)
    signing = key if issuer is None else issuer.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    )
    if not is_authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
    digest = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Signed(builder.sign(signing, digest), key, issuer)
