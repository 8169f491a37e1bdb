"""What a self-signed certificate shall say: `imapd.cnf` and `pop3d.cnf`.

Courier's packages have them in two forms, by the TLS library they are built with:

    certtool's template     cn = "mail.example.com"
    OpenSSL's request       [ req_dn ] CN=mail.example.com

Both are read here. `#` and, with OpenSSL, `;` begin a comment.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# OpenSSL has 0.OU=, 1.OU= for several.
_LINE = re.compile(
    r"\s*(?:[0-9]+\.)?([A-Za-z_]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^#]*?))\s*(?:[#;].*)?\Z"
)
_SECTION = re.compile(r"\s*\[\s*(\w+)\s*\]")

# OpenSSL's short and long names of a subject's fields, and certtool's.
_FIELDS: Mapping[str, str] = {
    "country": "C",
    "countryName": "C",
    "state": "ST",
    "stateOrProvinceName": "ST",
    "locality": "L",
    "localityName": "L",
    "organization": "O",
    "organizationName": "O",
    "unit": "OU",
    "organizationalUnitName": "OU",
    "cn": "CN",
    "commonName": "CN",
    "email": "emailAddress",
    **{name: name for name in ("C", "ST", "L", "O", "OU", "CN", "emailAddress")},
}


@dataclass(slots=True)
class CertificateRequest:
    """A subject, by OpenSSL's names of the fields, and the rest."""

    subject: dict[str, str] = field(default_factory=dict)
    dns_names: list[str] = field(default_factory=list)
    days: int = 365
    bits: int | None = None


class RequestError(Exception):
    """A line that can't be meant; says which."""


def parse(text: str) -> CertificateRequest:
    """Read either form; lines about other things are passed over.

    Raises:
        RequestError: a number is none.
    """
    request = CertificateRequest()
    for number, line in enumerate(text.splitlines(), 1):
        if _SECTION.match(line) or not (match := _LINE.match(line)):
            continue
        name, value = match[1], match[2] or match[3] or match[4] or ""
        if not value:
            continue
        if name in _FIELDS:
            request.subject[_FIELDS[name]] = value
        elif name == "dns_name":
            request.dns_names.append(value)
        elif name in ("expiration_days", "default_days"):
            request.days = _number(value, number, name)
        elif name == "default_bits":
            request.bits = _number(value, number, name)
    return request


def _number(value: str, line: int, name: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", value):
        raise RequestError(f"line {line}: {name}: expected a number, found {value!r}")
    return int(value)
