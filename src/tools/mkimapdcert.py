"""mkimapdcert, mkpop3dcert: make a self-signed certificate for the server, to begin with.

DESCRIPTION
    ``mkimapdcert`` makes imapd.pem, with a key and a certificate that says what imapd.cnf says;
    ``mkpop3dcert`` makes pop3d.pem by pop3d.cnf. With an argument it makes the file of that name
    with .pem. A file that is there already is never touched: that is exit code 1.

    The certificate is for the name ``cn`` in the .cnf file and for the names of this machine, in
    its subjectAltName, where clients look (RFC 6125). BITS in the environment is the size of the
    RSA key, or certtool's word for it: medium 2048, high 3072 (the default), ultra 8192.

SECURITY
    Runs as whoever may write the directory, usually root. The file belongs to the user courier, if
    there is one, with mode 0600.

STANDARDS
    RFC 5280 (X.509), RFC 7468 (PEM).

FILES
    /etc/courier/imapd.cnf, /etc/courier/imapd.pem; pop3d.cnf, pop3d.pem
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from courier import paths
from tools import new_file
from tools.certificate_request import CertificateRequest, RequestError, parse

SIZES: Mapping[str, int] = {"medium": 2048, "high": 3072, "ultra": 8192}

_SUBJECT = {
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(\*\.)?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")


def main(arguments: Sequence[str], server: str = "imapd") -> int:
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        sys.stderr.write(f"Usage: mk{server}cert [FILE, without .pem]\n")
        return 1
    base = Path(arguments[0]) if arguments else paths.SYSCONFDIR / server
    target = base.with_name(base.name + ".pem")
    if os.path.lexists(target):
        print(f"{target} already exists.")
        return 1
    source = paths.SYSCONFDIR / f"{server}.cnf"
    try:
        request = parse(source.read_text("utf-8"))
        bits = size(os.environ.get("BITS", ""), request.bits or SIZES["high"])
        certificate, pem = make(request, bits, (socket.getfqdn(), socket.gethostname()))
        new_file.create(target, pem)
    except FileExistsError:
        print(f"{target} already exists.")
        return 1
    except OSError as error:
        sys.stderr.write(f"mk{server}cert: {error.filename or target}: {error.strerror}\n")
        return 1
    except (RequestError, ValueError) as error:
        sys.stderr.write(f"mk{server}cert: {source}: {error}\n")
        return 1
    print(f"{target}: {certificate.subject.rfc4514_string()}")
    print("SHA256 fingerprint " + certificate.fingerprint(hashes.SHA256()).hex(":"))
    return 0


def size(text: str, default: int) -> int:
    """Read BITS: a number of bits, or certtool's word for one.

    Raises:
        RequestError: it is neither, or so small that today's clients refuse it.
    """
    if not text:
        return default
    bits = SIZES.get(text) or (int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0)
    if not 2048 <= bits <= 16384:
        raise RequestError(
            f"BITS: expected {', '.join(SIZES)} or 2048 to 16384 bits, found {text!r}"
        )
    return bits


def make(
    request: CertificateRequest, bits: int, host_names: Sequence[str]
) -> tuple[x509.Certificate, bytes]:
    """Make a key and a certificate for it; return the certificate, and both in PEM, key first."""
    names = dns_names(request, host_names)
    subject = dict(request.subject)
    if subject.get("CN") in (None, "", "localhost"):  # as shipped
        subject["CN"] = names[0]
    if len(subject["CN"]) > 64:  # RFC 5280 appendix A, ub-common-name
        del subject["CN"]
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    now = datetime.now(UTC).replace(microsecond=0)
    name = x509.Name(
        [
            x509.NameAttribute(oid, subject[field])
            for field, oid in _SUBJECT.items()
            if field in subject
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # for clients whose clock is late
        .not_valid_after(now + timedelta(days=request.days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(_SERVER_KEY, True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return certificate, private + certificate.public_bytes(Encoding.PEM)


_SERVER_KEY = x509.KeyUsage(
    digital_signature=True,
    key_encipherment=True,
    content_commitment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def dns_names(request: CertificateRequest, host_names: Sequence[str]) -> list[str]:
    """The names for subjectAltName: those asked for, else this machine's; never none."""
    wanted = [_ascii(name) for name in request.dns_names]
    found = [_ascii(name) for name in (request.subject.get("CN", ""), *host_names)]
    names = [*wanted, *(name for name in found if name != "localhost")]
    return [name for name in dict.fromkeys(names) if name] or ["localhost"]


def _ascii(name: str) -> str:
    """A host name as in the DNS; empty for anything else."""
    try:
        name = name.strip().rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""
    return name if _HOST_NAME.fullmatch(name) else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
