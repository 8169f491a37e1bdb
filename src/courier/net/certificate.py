"""Certificates from PEM files: one with its private key and chain, and trusted ones.

Courier's combined file holds the private key, the certificate with its chain, and perhaps DH
parameters, in any order and with any text between them (certtool writes a dump before each). The
server's own certificate is the one that the key belongs to.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.dsa import DSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

PrivateKey: TypeAlias = (
    RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey | DSAPrivateKey
)

_BLOCK = re.compile(
    rb"-----BEGIN (?P<label>[A-Z0-9. ]+)-----[^-]*(?:-(?!----)[^-]*)*-----END (?P=label)-----"
)

# A subject's fields under OpenSSL's short names in upper case, as Courier has them in TLS_SUBJECT_*.
_SUBJECT_FIELDS: Mapping[x509.ObjectIdentifier, str] = {
    NameOID.COMMON_NAME: "CN",
    NameOID.COUNTRY_NAME: "C",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.LOCALITY_NAME: "L",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.EMAIL_ADDRESS: "EMAILADDRESS",
    NameOID.USER_ID: "UID",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.SERIAL_NUMBER: "SERIALNUMBER",
    NameOID.SURNAME: "SN",
    NameOID.GIVEN_NAME: "GN",
    NameOID.TITLE: "TITLE",
    NameOID.STREET_ADDRESS: "STREET",
}


class TlsError(Exception):
    """Settings or files that TLS can't be served with: names the file and what was expected."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What one host shows of itself."""

    file: Path
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey
    dh_file: Path | None

    def warning(self, now: datetime) -> str | None:
        """Say that the certificate is out of date. It is served even so, as Courier does."""
        begins, ends = _validity(self.certificate)
        if now < begins:
            return f"{self.file}: the certificate is not valid before {begins:%Y-%m-%d %H:%M} UTC"
        if now > ends:
            return f"{self.file}: the certificate expired on {ends:%Y-%m-%d %H:%M} UTC"
        return None

    def end_point(self) -> bytes | None:
        """Return the channel binding `tls-server-end-point` (RFC 5929 4.1).

        None where it is not defined: the certificate's signature has no hash, or more than one.
        """
        try:
            signed_with = self.certificate.signature_hash_algorithm
        except UnsupportedAlgorithm:
            return None
        if signed_with is None:
            return None
        if isinstance(signed_with, hashes.MD5 | hashes.SHA1):
            signed_with = hashes.SHA256()
        return self.certificate.fingerprint(signed_with)


def load_identity(
    file: Path, private_key: Path | None = None, chain: Path | None = None
) -> Identity | None:
    """Load a certificate. Without ``private_key`` the key stands in the same file.

    Returns:
        None if the file holds nothing in PEM at all.

    Raises:
        TlsError: a file can't be read, or lacks what it should hold.
    """
    blocks = _blocks(file)
    if not blocks:
        return None
    certificates = _certificates(file, blocks)
    if not certificates:
        raise TlsError(f"{file}: expected a certificate (BEGIN CERTIFICATE), found none")

    key_file = private_key or file
    key = _private_key(key_file, _blocks(key_file))
    public = _public_octets(key)
    own = next((one for one in certificates if _public_octets(one) == public), None)
    if own is None:
        raise TlsError(
            f"{key_file}: expected the private key of the certificate in {file}, found another key"
        )

    rest = [one for one in certificates if one is not own]
    if chain is not None:
        rest += _some_certificates(chain)
    return Identity(
        file,
        own,
        tuple(one for one in dict.fromkeys(rest) if one != own),
        key,
        file if has_dh_parameters(blocks) else None,
    )


def has_private_key(file: Path) -> bool:
    return bool(_private_keys(_blocks(file)))


def load_trusted(path: Path) -> tuple[x509.Certificate, ...]:
    """Load certificates of authorities: one file, or every file of a folder.

    OpenSSL would read a folder's files when a client's certificate comes; a chrooted process can't.

    Raises:
        TlsError: nothing can be read, or there is no certificate at all.
    """
    if not path.is_dir():
        return _some_certificates(path)
    found = [
        certificate
        for file in trusted_files(path)
        for certificate in _certificates(file, _blocks(file))
    ]
    if not found:
        raise TlsError(f"{path}: expected files with certificates in this folder, found none")
    return tuple(dict.fromkeys(found))  # a folder often has each under its name and its hash


def trusted_files(folder: Path) -> list[Path]:
    """Return a folder's regular files; names that begin with a dot don't count, as with GnuTLS."""
    try:
        return sorted(one for one in folder.iterdir() if one.name[0] != "." and one.is_file())
    except OSError as error:
        raise _unreadable(folder, error) from error


def dh_file(path: Path) -> Path:
    """Return ``path`` if there are DH parameters in it.

    Raises:
        TlsError: there are none.
    """
    if not has_dh_parameters(_blocks(path)):
        raise TlsError(f"{path}: expected DH parameters (BEGIN DH PARAMETERS), found none")
    return path


def subject(certificate: x509.Certificate) -> dict[str, str]:
    """Return the subject's fields; the last of a repeated one wins, as in Courier.

    A value with control characters is left out: it must not become a userid or a log line.
    """
    return {
        _SUBJECT_FIELDS[field.oid]: str(field.value)
        for field in certificate.subject
        if field.oid in _SUBJECT_FIELDS and str(field.value).isprintable()
    }


# --- PEM ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    label: str
    octets: bytes


def has_dh_parameters(blocks: Sequence[_Block]) -> bool:
    return any(block.label in {"DH PARAMETERS", "X9.42 DH PARAMETERS"} for block in blocks)


def _blocks(file: Path) -> list[_Block]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from error
    return [_Block(match["label"].decode(), match[0]) for match in _BLOCK.finditer(data)]


def _unreadable(path: Path, error: OSError) -> TlsError:
    return TlsError(f"{path}: can't be read: {error.strerror or error}")


def _some_certificates(file: Path) -> tuple[x509.Certificate, ...]:
    found = _certificates(file, _blocks(file))
    if not found:
        raise TlsError(f"{file}: expected certificates (BEGIN CERTIFICATE), found none")
    return tuple(found)


def _certificates(file: Path, blocks: Sequence[_Block]) -> list[x509.Certificate]:
    return list(_each_certificate(file, blocks))


def _each_certificate(file: Path, blocks: Sequence[_Block]) -> Iterator[x509.Certificate]:
    for block in blocks:
        if block.label in {"CERTIFICATE", "X509 CERTIFICATE"}:
            octets = block.octets.replace(b" X509 CERTIFICATE", b" CERTIFICATE")
            try:
                yield x509.load_pem_x509_certificate(octets)
            except ValueError as error:
                raise TlsError(f"{file}: a damaged certificate: {error}") from error


def _private_keys(blocks: Sequence[_Block]) -> list[_Block]:
    return [block for block in blocks if block.label.endswith("PRIVATE KEY")]


def _private_key(file: Path, blocks: Sequence[_Block]) -> PrivateKey:
    keys = _private_keys(blocks)
    if len(keys) != 1:
        raise TlsError(f"{file}: expected one private key (BEGIN PRIVATE KEY), found {len(keys)}")
    if keys[0].label == "ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in keys[0].octets:
        raise TlsError(f"{file}: expected a private key without a passphrase")
    try:
        key = load_pem_private_key(keys[0].octets, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TlsError(f"{file}: a private key that can't be used: {error}") from error
    if not isinstance(key, PrivateKey):
        raise TlsError(f"{file}: expected a private key to sign with (RSA, EC, Ed25519)")
    return key


def _public_octets(owner: x509.Certificate | PrivateKey) -> bytes:
    try:
        return owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return b""  # a certificate with a kind of key that we can't load either


def _validity(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    if hasattr(certificate, "not_valid_after_utc"):  # cryptography 42
        utc: Any = certificate  # Debian 12's types don't know of it
        return utc.not_valid_before_utc, utc.not_valid_after_utc
    return (
        certificate.not_valid_before.replace(tzinfo=UTC),
        certificate.not_valid_after.replace(tzinfo=UTC),
    )
