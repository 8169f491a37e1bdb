"""What SASL mechanisms are made of: steps, questions, credentials, and how they fail.

A mechanism is a generator. It yields challenges and is sent the client's responses, both in
base64 and without what the protocol puts around them, and returns credentials. It may also yield a
`Question` for authdaemond, and is sent what authdaemond says: octets, or None for a rejection.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass

from courier.auth import base64
from courier.auth.account import Secret
from courier.auth.base64 import NoBase64
from courier.auth.request import Authenticate

#: What has a control character is nobody's userid and nobody's password.
CONTROL = re.compile(rb"[\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client has said of itself; `request` is how authdaemond is asked about it."""

    authtype: bytes
    first: bytes
    second: Secret

    def request(self, service: bytes, remote_ip: bytes = b"") -> Authenticate:
        return Authenticate(service, self.authtype, self.first, self.second, remote_ip)


#: The client has been proved to be who it says by the last question of its exchange.
PROVEN = Credentials(b"PROVEN", b"", Secret(b""))


@dataclass(frozen=True, slots=True)
class Question:
    """What authdaemond is asked in the middle of an exchange."""

    authtype: bytes
    first: bytes
    second: Secret


@dataclass(frozen=True, slots=True)
class Refusal:
    """A last challenge, in base64: why the exchange has failed. What the client answers is nothing."""

    challenge: bytes


Steps = Generator["bytes | Question | Refusal", "bytes | None", Credentials]


class Failed(Exception):
    """The exchange ends without credentials."""


class Cancelled(Failed):
    """The client sent `*`."""


class Malformed(Failed):
    """The client sent what is no base64, or not the mechanism's form. Courier: as if cancelled."""


class Refused(Failed):
    """The form is right, and no account can have it: that counts as a failed attempt."""


class Told(Refused):
    """Refused, and the client was told by a challenge: the attempt has been logged before that."""


class UnknownMechanism(Failed):
    """Counts as a failed attempt too."""


def initial(response: bytes) -> bytes:
    """RFC 4959 3: `=` is an initial response of no octets."""
    return b"" if response == b"=" else response


def decoded(response: bytes | None) -> bytes:
    """Decode what the client sent.

    Raises:
        Cancelled, Malformed: it is none.
    """
    if response is None or response.startswith(b"*"):
        raise Cancelled
    try:
        return base64.decode(response)
    except NoBase64:
        raise Malformed from None
