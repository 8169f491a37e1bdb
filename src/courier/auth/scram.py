"""SCRAM: its arithmetic, its stored secrets and its messages' parts (RFC 5802, RFC 7677).

A stored secret lets a server check a proof, and nobody who reads it log in:

    {SCRAM-SHA-256}4096,SALT,STOREDKEY,SERVERKEY

The three are base64, 4096 is the number of iterations. RFC 5803's form is read as well:
`SCRAM-SHA-256$4096:SALT$STOREDKEY:SERVERKEY`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from courier.auth import base64, saslprep
from courier.auth.base64 import NoBase64

#: The hash functions, by the mechanism's name.
HASHES: Mapping[bytes, str] = {b"SCRAM-SHA-1": "sha1", b"SCRAM-SHA-256": "sha256"}
#: RFC 5802 5.1, RFC 7677 4: at least this many.
ITERATIONS = 4096
#: More would cost seconds for each password that is typed.
MOST_ITERATIONS = 10_000_000
_SALT_SIZE = 16

_BASE64 = rb"[A-Za-z0-9+/]+={0,2}"
_COUNT = rb"[1-9][0-9]{0,7}"
_FORMS = (
    re.compile(rb"\{(SCRAM-SHA-[0-9]+)\}(%b),(%b),(%b),(%b)" % (_COUNT, *[_BASE64] * 3), re.I),
    re.compile(rb"(SCRAM-SHA-[0-9]+)\$(%b):(%b)\$(%b):(%b)" % (_COUNT, *[_BASE64] * 3), re.I),
)


@dataclass(frozen=True, slots=True)
class Keys:
    """A stored secret; ``mechanism`` as in `HASHES`."""

    mechanism: bytes
    iterations: int
    salt: bytes
    stored: bytes
    server: bytes

    def __repr__(self) -> str:
        return f"Keys({self.mechanism!r}, '***')"


def read(stored: bytes) -> Keys | None:
    """Read a stored secret; None: it is none, or of a mechanism not known."""
    match = next(filter(None, (form.fullmatch(stored) for form in _FORMS)), None)
    if match is None:
        return None
    mechanism, iterations = match[1].upper(), int(match[2])
    if mechanism not in HASHES or iterations > MOST_ITERATIONS:
        return None
    try:
        salt, stored_key, server_key = map(base64.decode, match.groups()[2:])
    except NoBase64:
        return None
    size = hashlib.new(HASHES[mechanism]).digest_size
    if len(stored_key) != size or len(server_key) != size:
        return None
    return Keys(mechanism, iterations, salt, stored_key, server_key)


def write(keys: Keys) -> bytes:
    """Write a stored secret."""
    fields = (b"%d" % keys.iterations, *map(base64.encode, (keys.salt, keys.stored, keys.server)))
    return b"{%b}%b" % (keys.mechanism, b",".join(fields))


def derived(mechanism: bytes, password: bytes, salt: bytes, iterations: int) -> Keys:
    """Make the secret of a password: the work that ``iterations`` are the measure of."""
    function = HASHES[mechanism]
    salted = hashlib.pbkdf2_hmac(function, saslprep.password(password), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", function)
    stored = hashlib.new(function, client_key).digest()
    return Keys(mechanism, iterations, salt, stored, hmac.digest(salted, b"Server Key", function))


def made(mechanism: bytes, password: bytes, iterations: int = ITERATIONS) -> Keys:
    """Make a secret with a new salt."""
    return derived(mechanism, password, os.urandom(_SALT_SIZE), iterations)


def fits(password: bytes, keys: Keys) -> bool:
    """Whether ``keys`` were made of ``password``."""
    again = derived(keys.mechanism, password, keys.salt, keys.iterations)
    return hmac.compare_digest(again.stored, keys.stored)


def signature(keys: Keys, message: bytes, proof: bytes) -> bytes | None:
    """Check a client's proof over the messages exchanged (AuthMessage, RFC 5802 3).

    Returns: the server's own proof; None if the client doesn't know the password.
    """
    function = HASHES[keys.mechanism]
    client_signature = hmac.digest(keys.stored, message, function)
    if len(proof) != len(client_signature):
        return None
    client_key = bytes(one ^ other for one, other in zip(proof, client_signature, strict=True))
    if not hmac.compare_digest(hashlib.new(function, client_key).digest(), keys.stored):
        return None
    return hmac.digest(keys.server, message, function)
