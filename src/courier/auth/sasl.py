"""SASL mechanisms, the server's side: from what a client sends to what authdaemond is asked.

Passwords are checked elsewhere. What a mechanism is made of: `courier.auth.exchange`. Courier's own are
accepted whatever the capability list says, as Courier does; the others are for who is offered them.

STANDARDS: RFC 4422 (and EXTERNAL), RFC 4616 (PLAIN), RFC 2195 (CRAM-MD5); LOGIN has none. Others are in
`sasl_scram` and `sasl_oauth`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from courier.auth import base64, sasl_oauth, sasl_scram
from courier.auth.account import Secret
from courier.auth.domain import DefaultDomain
from courier.auth.exchange import (
    CONTROL,
    Cancelled,
    Credentials,
    Failed,
    Malformed,
    Question,
    Refusal,
    Refused,
    Steps,
    Told,
    UnknownMechanism,
    decoded,
    initial,
)

__all__ = [
    "Cancelled",
    "Credentials",
    "Failed",
    "Malformed",
    "Offer",
    "Question",
    "Refusal",
    "Refused",
    "Steps",
    "Told",
    "UnknownMechanism",
]

EXTERNAL = "EXTERNAL"

#: Mechanisms that are there where an administrator says so; each SCRAM has a form with -PLUS, too.
OPTIONAL = (*sasl_scram.NAMES, *sasl_oauth.NAMES)


@dataclass(frozen=True, slots=True)
class Offer:
    """The mechanisms of `OPTIONAL` that a connection is offered, with their -PLUS.

    ``binding`` gives the octets of a channel binding by its name (RFC 5056); None: not encrypted.
    """

    names: frozenset[str] = frozenset()
    binding: Callable[[str], bytes | None] | None = None


NOTHING = Offer()


def start(
    name: str,
    response: bytes | None,
    domain: DefaultDomain,
    identity: bytes = b"",
    offer: Offer = NOTHING,
) -> Steps:
    """Begin the exchange of a mechanism; ``response`` is the initial one (RFC 4959), if any.

    ``identity``: whom the client's certificate names, which EXTERNAL is about.
    The generator raises `Cancelled`, `Malformed` or `Refused`.

    Raises:
        UnknownMechanism: there is none of this name.
    """
    name = name.upper()
    if name == EXTERNAL and identity:
        return _external(response, identity)
    if name in MECHANISMS:
        return MECHANISMS[name](response, domain)
    if name in sasl_oauth.NAMES and name in offer.names:
        return sasl_oauth.token(name, response, domain)
    plain = name.removesuffix(sasl_scram.PLUS)
    if plain in sasl_scram.NAMES and plain in offer.names:
        is_plus = name != plain
        return sasl_scram.scram(
            plain,
            response,
            domain,
            is_plus=is_plus,
            offers_plus=plain + sasl_scram.PLUS in offer.names,
            binding=offer.binding,
        )
    raise UnknownMechanism(name)


def offered(names: Iterable[str], binding: Callable[[str], bytes | None] | None) -> Offer:
    """Say what a connection is offered of the mechanisms that an administrator has chosen.

    -PLUS is offered where there is the binding that clients choose by themselves, `tls-exporter`
    (RFC 9266 3). Elsewhere, before TLS 1.3, it is taken, but a client that was led to it might know
    no binding but `tls-unique`, which is not sound there. Tokens are for encrypted connections.
    """
    chosen = {name.upper().removesuffix(sasl_scram.PLUS) for name in names} & set(OPTIONAL)
    if binding is None:
        chosen -= set(sasl_oauth.NAMES)
    elif binding("tls-exporter") is not None:
        chosen |= {name + sasl_scram.PLUS for name in chosen if name in sasl_scram.NAMES}
    return Offer(frozenset(chosen), binding)


def is_optional(name: str) -> bool:
    """Whether a connection has this mechanism only if it is offered."""
    return name.upper().removesuffix(sasl_scram.PLUS) in OPTIONAL


def password(userid: bytes, password: bytes, domain: DefaultDomain) -> Credentials:
    """Return the credentials of LOGIN and of USER and PASS, which need no mechanism.

    Raises:
        Refused: something is empty or has a control character.
    """
    for text in (userid, password):
        if not text or CONTROL.search(text):
            raise Refused
    return Credentials(b"login", domain.complete(userid), Secret(password))


def external_identity(subject: Mapping[str, str], field: str | None) -> bytes:
    """Return whom a verified certificate names in the subject's field that TLS_EXTERNAL says.

    Empty if it names nobody: then there is no EXTERNAL, neither offered nor accepted.
    """
    identity = subject.get(field.upper(), "").encode() if field else b""
    return b"" if CONTROL.search(identity) else identity


def _external(start: bytes | None, identity: bytes) -> Steps:
    """RFC 4422 appendix A. The client may say its own name or none; never another's.

    Courier: an empty initial response counts as none.
    """
    response: bytes | None = start if start is not None else b""
    if not initial(response or b""):
        response = yield b""
    if decoded(response) not in (b"", identity):
        raise Refused
    return Credentials(EXTERNAL.encode(), identity, Secret(b""))


def _plain(start: bytes | None, domain: DefaultDomain) -> Steps:
    """RFC 4616. Who asks to act for somebody else (``authzid``) is refused; Courier ignores it."""
    message = decoded((yield b"") if start is None else initial(start))
    fields = message.split(b"\0")
    if len(fields) != 3:
        raise Malformed
    authzid, authcid, typed = fields
    if authzid not in (b"", authcid):
        raise Refused
    return password(authcid, typed, domain)


def _login(start: bytes | None, domain: DefaultDomain) -> Steps:
    userid = (yield base64.encode(b"Username:")) if start is None else initial(start)
    typed = decoded(userid)
    return password(typed, decoded((yield base64.encode(b"Password:"))), domain)


def _cram(hash_name: bytes, start: bytes | None, domain: DefaultDomain) -> Steps:
    """The digest covers the challenge alone, so the userid may still get its domain."""
    if start is not None and initial(start):
        raise Malformed
    sent = base64.encode(_challenge())
    userid, blank, digest = decoded((yield sent)).partition(b" ")
    if not blank:
        raise Malformed
    if not userid or CONTROL.search(userid):
        raise Refused
    response = base64.encode(domain.complete(userid) + b" " + digest)
    return Credentials(b"cram-" + hash_name, sent, Secret(response))


def _cram_md5(start: bytes | None, domain: DefaultDomain) -> Steps:
    return _cram(b"md5", start, domain)


def _cram_sha1(start: bytes | None, domain: DefaultDomain) -> Steps:
    return _cram(b"sha1", start, domain)


def _cram_sha256(start: bytes | None, domain: DefaultDomain) -> Steps:
    return _cram(b"sha256", start, domain)


def _challenge() -> bytes:
    return f"<{os.urandom(16).hex().upper()}@{socket.gethostname()}>".encode()


class Mechanism(Protocol):
    def __call__(self, start: bytes | None, domain: DefaultDomain, /) -> Steps: ...


MECHANISMS: Mapping[str, Mechanism] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram_md5,
    "CRAM-SHA1": _cram_sha1,
    "CRAM-SHA256": _cram_sha256,
}
