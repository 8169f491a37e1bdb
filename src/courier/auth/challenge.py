"""What authdaemond is asked about SCRAM, and what it says: an addition to Courier's protocol.

    AUTH … scram-sha-256        USERID   NONCE of the client
    AUTH … scram-sha-256-proof  USERID   MESSAGES: client's first, without its header; ours; its final

The first is answered by `SASL=r=NONCE,s=SALT,i=ITERATIONS`, whoever it is: what nobody stored is made
of a key, and always the same. The second by the account and `SASL=v=SIGNATURE`, or by FAIL. Courier's
authdaemond says FAIL to both.

The nonce holds the time, random octets and a keyed hash of both, of the userid and of what the client
was told. So a proof counts for a minute and a little, and only in the conversation it was made in;
authdaemond need not remember it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import time
from dataclasses import dataclass

from courier.auth import base64, scram
from courier.auth.base64 import NoBase64
from courier.auth.request import Authenticate

#: Ends the authtype of the second question.
PROOF = b"-proof"
#: Seconds for which a challenge may be answered: a log-in has 60, all in all.
_LIFE_S = 90
_SALT_SIZE = 16
_TIME_SIZE, _RANDOM_SIZE, _MAC_SIZE = 8, 14, 14

_SERVER_FIRST = re.compile(rb"r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,7})")
_MESSAGES = re.compile(
    rb"n=[^,]+,r=(?P<client>[!-+\--~]+)(?:,[A-Za-z]=[^,]*)*,"
    rb"r=(?P<nonce>[!-+\--~]+),s=(?P<salt>[A-Za-z0-9+/=]+),i=(?P<iterations>[1-9][0-9]{0,7}),"
    rb"c=[A-Za-z0-9+/=]+,r=(?P<again>[!-+\--~]+)(?:,[A-Za-z]=[^,]*)*,p=(?P<proof>[A-Za-z0-9+/=]+)"
)


@dataclass(frozen=True, slots=True)
class Messages:
    """A conversation as its second question tells it."""

    client_nonce: bytes
    nonce: bytes
    salt: bytes
    iterations: int
    proof: bytes
    signed: bytes  # all but the proof


def mechanism_of(authtype: bytes) -> bytes | None:
    """Give the mechanism of an authtype, as `scram.HASHES` has it; None: it isn't about SCRAM."""
    name = authtype.upper().removesuffix(PROOF.upper())
    return name if name in scram.HASHES else None


def is_proof(request: Authenticate) -> bool:
    return request.authtype.endswith(PROOF)


def nonce_of(server_first: bytes) -> bytes:
    """Give the nonce of what the client was told. Raises ValueError."""
    match = _SERVER_FIRST.fullmatch(server_first)
    if match is None:
        raise ValueError("no challenge of SCRAM's")
    return match[1]


def messages(request: Authenticate) -> Messages | None:
    """Take the second question apart; None: it makes no sense."""
    text = request.second.reveal()
    match = _MESSAGES.fullmatch(text)
    if match is None or match["again"] != match["nonce"]:
        return None
    try:
        salt, proof = base64.decode(match["salt"]), base64.decode(match["proof"])
    except NoBase64:
        return None
    signed = text[: match.start("proof") - len(b",p=")]
    return Messages(match["client"], match["nonce"], salt, int(match["iterations"]), proof, signed)


class Challenges:
    """Makes challenges, and knows them again.

    ``key`` is this machine's, or that of all machines that know the same accounts: salts that are
    made of it must be the same everywhere and for ever, or they tell who does not exist.
    """

    def __init__(self, key: bytes, iterations: int = scram.ITERATIONS) -> None:
        self._salts = hmac.digest(key, b"salt", "sha256")
        self._nonces = hmac.digest(key, b"nonce", "sha256")
        self._iterations = iterations

    def first(self, request: Authenticate, known: bytes) -> bytes:
        """Answer the first question.

        Args:
            known: `parameters` of a stored secret; empty for a stored password, and for nobody.
        """
        if known:
            count, _, salt = known.partition(b",")
            iterations = int(count)
        else:
            salt = base64.encode(self._salt(request))
            iterations = self._iterations
        client_nonce = request.second.reveal()
        told = b"%d,%b" % (iterations, salt)
        mark = int(time.time()).to_bytes(_TIME_SIZE, "big") + os.urandom(_RANDOM_SIZE)
        ours = base64.encode(mark + self._mac(request, client_nonce, told, mark))
        return b"r=%b%b,s=%b,i=%d" % (client_nonce, ours, salt, iterations)

    def is_ours(self, request: Authenticate) -> bool:
        """Whether the second question answers a challenge that we gave a moment ago."""
        found = messages(request)
        if found is None or not found.nonce.startswith(found.client_nonce):
            return False
        try:
            ours = base64.decode(found.nonce[len(found.client_nonce) :])
        except NoBase64:
            return False
        mark, mac = ours[: _TIME_SIZE + _RANDOM_SIZE], ours[_TIME_SIZE + _RANDOM_SIZE :]
        told = b"%d,%b" % (found.iterations, base64.encode(found.salt))
        if not hmac.compare_digest(mac, self._mac(request, found.client_nonce, told, mark)):
            return False
        age_s = int(time.time()) - int.from_bytes(mark[:_TIME_SIZE], "big")
        return abs(age_s) <= _LIFE_S  # the clock may be set back a little

    def _salt(self, request: Authenticate) -> bytes:
        mechanism = mechanism_of(request.authtype) or b""
        digest = hmac.digest(self._salts, mechanism + b"\0" + request.first, "sha256")
        return digest[:_SALT_SIZE]

    def _mac(self, request: Authenticate, client_nonce: bytes, told: bytes, mark: bytes) -> bytes:
        mechanism = mechanism_of(request.authtype) or b""
        fields = (mechanism, request.service, request.first, client_nonce, told, mark)
        digest = hashlib.blake2b(key=self._nonces, digest_size=_MAC_SIZE)
        for field in fields:
            digest.update(b"%d:" % len(field) + field)
        return digest.digest()


def parameters(keys: scram.Keys) -> bytes:
    """What the first question is answered from."""
    return b"%d,%b" % (keys.iterations, base64.encode(keys.salt))
