"""SASL mechanisms, the server's side: from what a client sends to what authdaemond is asked.

A mechanism is a generator. It yields challenges and is sent the client's responses, both in
base64 and without what the protocol puts around them, and returns credentials. Passwords are
checked elsewhere.

STANDARDS: RFC 4422 (and EXTERNAL), RFC 4616 (PLAIN), RFC 2195 (CRAM-MD5); LOGIN has none.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Protocol

from courier.auth import base64
from courier.auth.account import Secret
from courier.auth.base64 import NoBase64
from courier.auth.domain import DefaultDomain
from courier.auth.request import Authenticate

EXTERNAL = "EXTERNAL"

Steps = Generator[bytes, bytes, "Credentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client has said of itself; `request` is how authdaemond is asked about it."""

    authtype: bytes
    first: bytes
    second: Secret

    def request(self, service: bytes, remote_ip: bytes = b"") -> Authenticate:
        return Authenticate(service, self.authtype, self.first, self.second, remote_ip)


class Failed(Exception):
    """The exchange ends without credentials."""


class Cancelled(Failed):
    """The client sent `*`."""


class Malformed(Failed):
    """The client sent what is no base64, or not the mechanism's form. Courier: as if cancelled."""


class Refused(Failed):
    """The form is right, and no account can have it: that counts as a failed attempt."""


class UnknownMechanism(Failed):
    """Counts as a failed attempt too."""


def start(name: str, initial: bytes | None, domain: DefaultDomain, identity: bytes = b"") -> Steps:
    """Begin the exchange of a mechanism; ``initial`` is the initial response (RFC 4959), if any.

    ``identity``: whom the client's certificate names, which EXTERNAL is about.
    The generator raises `Cancelled`, `Malformed` or `Refused`.

    Raises:
        UnknownMechanism: there is none of this name.
    """
    if name.upper() == EXTERNAL and identity:
        return _external(initial, identity)
    mechanism = MECHANISMS.get(name.upper())
    if mechanism is None:
        raise UnknownMechanism(name)
    return mechanism(initial, domain)


def password(userid: bytes, password: bytes, domain: DefaultDomain) -> Credentials:
    """Return the credentials of LOGIN and of USER and PASS, which need no mechanism.

    Raises:
        Refused: something is empty or has a control character.
    """
    for text in (userid, password):
        if not text or _CONTROL.search(text):
            raise Refused
    return Credentials(b"login", domain.complete(userid), Secret(password))


_CONTROL = re.compile(rb"[\x00-\x1f]")


def external_identity(subject: Mapping[str, str], field: str | None) -> bytes:
    """Return whom a verified certificate names in the subject's field that TLS_EXTERNAL says.

    Empty if it names nobody: then there is no EXTERNAL, neither offered nor accepted.
    """
    identity = subject.get(field.upper(), "").encode() if field else b""
    return b"" if _CONTROL.search(identity) else identity


def _external(initial: bytes | None, identity: bytes) -> Steps:
    """RFC 4422 appendix A. The client may say its own name or none; never another's.

    Courier: an empty initial response counts as none.
    """
    response = initial if initial is not None else b""
    if not _initial(response):
        response = yield b""
    if _decoded(response) not in (b"", identity):
        raise Refused
    return Credentials(EXTERNAL.encode(), identity, Secret(b""))


def _plain(initial: bytes | None, domain: DefaultDomain) -> Steps:
    """RFC 4616. Who asks to act for somebody else (``authzid``) is refused; Courier ignores it."""
    message = _decoded((yield b"") if initial is None else _initial(initial))
    fields = message.split(b"\0")
    if len(fields) != 3:
        raise Malformed
    authzid, authcid, typed = fields
    if authzid not in (b"", authcid):
        raise Refused
    return password(authcid, typed, domain)


def _login(initial: bytes | None, domain: DefaultDomain) -> Steps:
    userid = (yield base64.encode(b"Username:")) if initial is None else _initial(initial)
    typed = _decoded(userid)
    return password(typed, _decoded((yield base64.encode(b"Password:"))), domain)


def _cram(hash_name: bytes, initial: bytes | None, domain: DefaultDomain) -> Steps:
    """The digest covers the challenge alone, so the userid may still get its domain."""
    if initial is not None and _initial(initial):
        raise Malformed
    sent = base64.encode(_challenge())
    userid, blank, digest = _decoded((yield sent)).partition(b" ")
    if not blank:
        raise Malformed
    if not userid or _CONTROL.search(userid):
        raise Refused
    response = base64.encode(domain.complete(userid) + b" " + digest)
    return Credentials(b"cram-" + hash_name, sent, Secret(response))


def _cram_md5(initial: bytes | None, domain: DefaultDomain) -> Steps:
    return _cram(b"md5", initial, domain)


def _cram_sha1(initial: bytes | None, domain: DefaultDomain) -> Steps:
    return _cram(b"sha1", initial, domain)


def _cram_sha256(initial: bytes | None, domain: DefaultDomain) -> Steps:
    return _cram(b"sha256", initial, domain)


def _challenge() -> bytes:
    return f"<{os.urandom(16).hex().upper()}@{socket.gethostname()}>".encode()


def _initial(response: bytes) -> bytes:
    """RFC 4959 3: `=` is an initial response of no octets."""
    return b"" if response == b"=" else response


def _decoded(response: bytes) -> bytes:
    if response.startswith(b"*"):
        raise Cancelled
    try:
        return base64.decode(response)
    except NoBase64:
        raise Malformed from None


class Mechanism(Protocol):
    def __call__(self, initial: bytes | None, domain: DefaultDomain, /) -> Steps: ...


MECHANISMS: Mapping[str, Mechanism] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram_md5,
    "CRAM-SHA1": _cram_sha1,
    "CRAM-SHA256": _cram_sha256,
}
