"""SCRAM-SHA-1, SCRAM-SHA-256 and their -PLUS, the server's side (RFC 5802, RFC 7677).

The log-in process holds the conversation and checks what is the connection's: the channel binding,
the nonce, what the client believes to be offered. authdaemond makes the nonce and the challenge, and
checks the proof; no stored key leaves it, and a proof is good for its own conversation alone. What
authdaemond is asked and says is in `courier.auth.challenge`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable

from courier.auth import base64, challenge, saslprep
from courier.auth.account import Secret
from courier.auth.base64 import NoBase64
from courier.auth.domain import DefaultDomain
from courier.auth.exchange import (
    CONTROL,
    PROVEN,
    Credentials,
    Malformed,
    Question,
    Refused,
    Steps,
    decoded,
    initial,
)
from courier.auth.saslprep import Unprepared

NAMES = ("SCRAM-SHA-1", "SCRAM-SHA-256")
PLUS = "-PLUS"

#: RFC 5802 7: the flag of channel binding, who the client wants to be, and a comma behind each.
_HEADER = re.compile(rb"(?P<flag>n|y|p=(?P<binding>[A-Za-z0-9.-]+)),(?:a=(?P<authzid>[^,]+))?,")
_BARE = re.compile(rb"n=(?P<name>[^,]+),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-z]=[^,]*)*")
_FINAL = re.compile(
    rb"c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-z]=[^,]*)*,p=[A-Za-z0-9+/=]+"
)
_QUOTED = re.compile(rb"=(2C|3D)?")

Binding = Callable[[str], "bytes | None"]


def scram(
    name: str,
    start: bytes | None,
    domain: DefaultDomain,
    *,
    is_plus: bool,
    offers_plus: bool,
    binding: Binding | None,
) -> Steps:
    """Prove to each other that both know the password.

    Args:
        offers_plus: this client was offered channel binding.
        binding: gives the octets of a channel binding; None: the connection is not encrypted.
    """
    first = decoded((yield b"") if start is None else initial(start))
    header = _HEADER.match(first)
    bare = _BARE.fullmatch(first, header.end()) if header else None
    if header is None or bare is None or CONTROL.search(first):
        raise Malformed  # extensions that have to be understood (m=), too
    bound = _bound(header, is_plus=is_plus, offers_plus=offers_plus, binding=binding)
    userid = _userid(bare["name"], header["authzid"], domain)

    authtype = name.lower().encode()
    asked = yield Question(authtype, userid, Secret(bare["nonce"]))
    if asked is None:
        raise Refused
    final = decoded((yield base64.encode(asked)))
    found = _FINAL.fullmatch(final)
    if found is None:
        raise Malformed
    try:
        nonce = challenge.nonce_of(asked)
    except ValueError:
        raise Refused from None
    _check(found, header[0] + bound, nonce)

    message = b",".join((bare[0], asked, final))
    signature = yield Question(authtype + challenge.PROOF, userid, Secret(message))
    if signature is None:
        raise Refused
    return (yield from _take_leave(signature))


def _bound(
    header: re.Match[bytes], *, is_plus: bool, offers_plus: bool, binding: Binding | None
) -> bytes:
    """Give the octets that the client must have bound its proof to.

    Raises:
        Refused: it binds where that is not asked for, or does not where it is; it took us for a
            server that can't, so somebody has changed what we offered (RFC 5802 6).
    """
    flag = header["flag"]
    if is_plus != (header["binding"] is not None) or (flag == b"y" and offers_plus):
        raise Refused
    if not is_plus:
        return b""
    octets = binding(header["binding"].decode("ascii")) if binding is not None else None
    if octets is None:
        raise Refused
    return octets


def _userid(quoted: bytes, authzid: bytes | None, domain: DefaultDomain) -> bytes:
    """Raises Malformed, or Refused for whom nobody is or the client may not act for."""
    try:
        name = saslprep.prepared(unquoted(quoted))
        wanted = name if authzid is None else saslprep.prepared(unquoted(authzid))
    except Unprepared:
        raise Refused from None
    if not name or wanted != name:
        raise Refused
    return domain.complete(name)


def unquoted(saslname: bytes) -> bytes:
    """RFC 5802 5.1: the comma is `=2C`, and the equals sign `=3D`. Raises Malformed."""

    def character(found: re.Match[bytes]) -> bytes:
        if found[1] is None:
            raise Malformed
        return b"," if found[1] == b"2C" else b"="

    return _QUOTED.sub(character, saslname)


def _check(final: re.Match[bytes], bound: bytes, nonce: bytes) -> None:
    """Raises Malformed or Refused: another's conversation, or another's connection."""
    try:
        binding = base64.decode(final["binding"])
    except NoBase64:
        raise Malformed from None
    if not hmac.compare_digest(binding, bound) or not hmac.compare_digest(final["nonce"], nonce):
        raise Refused


def _take_leave(signature: bytes) -> Steps:
    """Prove ourselves; a client that does not believe it cancels.

    Neither IMAP nor POP3 has a place for it in its completion, so there is an empty response.
    """
    if decoded((yield base64.encode(signature))):
        raise Malformed
    credentials: Credentials = PROVEN
    return credentials
