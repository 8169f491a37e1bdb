"""OAUTHBEARER (RFC 7628) and XOAUTH2, as Google and Microsoft describe it: log-ins by a token.

A token is as good as a password, so these are for encrypted connections (RFC 7628 3). authdaemond says
whose the token is; a client may name the account it wants, and gets that one or none. `host` and `port` are
not compared: behind a forwarded port or another name they are not what a server knows of itself.
"""

from __future__ import annotations

import re

from courier.auth import base64
from courier.auth.account import Secret
from courier.auth.domain import DefaultDomain
from courier.auth.exchange import (
    CONTROL,
    PROVEN,
    Malformed,
    Question,
    Refusal,
    Refused,
    Steps,
    decoded,
    initial,
)
from courier.auth.sasl_scram import unquoted

BEARER = "OAUTHBEARER"
XOAUTH2 = "XOAUTH2"
NAMES = (BEARER, XOAUTH2)

#: RFC 6750 2.1, and 7628 3.1: any key may come along.
_TOKEN = rb"(?i:bearer) +(?P<token>[A-Za-z0-9._~+/-]+=*) *"
_BEARER = re.compile(
    rb"(?P<flag>n|y|p=[A-Za-z0-9.-]+),(?:a=(?P<user>[^,\x01]+))?,\x01(?P<pairs>(?:[A-Za-z]+=[^\x01\x00]*\x01)*)\x01"
)
_XOAUTH2 = re.compile(
    rb"user=(?P<user>[^\x01\x00]+)\x01(?P<pairs>(?:[A-Za-z]+=[^\x01\x00]*\x01)+)\x01"
)
_AUTH = re.compile(rb"(?:^|\x01)auth=" + _TOKEN + rb"\x01", re.I)

#: What a client hears where authdaemond has no words of its own.
_REFUSAL = {BEARER: b'{"status":"invalid_token"}', XOAUTH2: b'{"status":"401","schemes":"bearer"}'}


def token(name: str, start: bytes | None, domain: DefaultDomain) -> Steps:
    """Take a token. One that is refused is answered by a reason and a client's empty response."""
    message = decoded((yield b"") if start is None else initial(start))
    found = (_BEARER if name == BEARER else _XOAUTH2).fullmatch(message)
    if found is None:
        raise Malformed
    authorization = _AUTH.search(found["pairs"])
    refusal: bytes | None = None
    if authorization is not None and not (name == BEARER and found["flag"].startswith(b"p")):
        user = unquoted(found["user"]) if name == BEARER and found["user"] else found["user"] or b""
        if CONTROL.search(user):
            raise Refused
        wanted = b"a=" + (domain.complete(user) if user else b"")
        refusal = yield Question(name.lower().encode(), wanted, Secret(authorization["token"]))
        if refusal == b"":
            return PROVEN
    # RFC 7628 3.2.3: %x01 or a cancellation; for XOAUTH2 nothing. Whatever it is, the exchange has failed.
    yield Refusal(base64.encode(refusal or _REFUSAL[name]))
    raise Refused
