"""Signed tokens (JWT) and the keys that they are signed with (RFC 7515, RFC 7517, RFC 7518).

Only signatures by private keys count. A token that isn't signed, or is signed with a secret that both
sides have, is none: whoever knows the public key could make one of the latter. What a key may do is
said by the key, not by the token.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_LEAST_RSA_BITS = 2048
_MOST_KEYS = 100
_HASHES: Mapping[str, type[hashes.HashAlgorithm]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}
_CURVES: Mapping[str, tuple[str, type[ec.EllipticCurve], int]] = {
    "P-256": ("ES256", ec.SECP256R1, 32),
    "P-384": ("ES384", ec.SECP384R1, 48),
    "P-521": ("ES512", ec.SECP521R1, 66),
}
#: Headers' `typ`; others are tokens for something else (RFC 8725 3.11).
_TYPES = ("jwt", "at+jwt", "application/at+jwt")

Claims = Mapping[str, Any]


class Bad(Exception):
    """No token, no key, or a token that counts for nothing. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key: its name, and for each algorithm it may be used with, how."""

    kid: str | None
    verify: Mapping[str, Callable[[bytes, bytes], None]]


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was taken apart and not yet believed."""

    algorithm: str
    kid: str | None
    claims: Claims
    signed: bytes
    signature: bytes


def looks_like_one(text: bytes) -> bool:
    return text.count(b".") == 2


def parse(text: bytes) -> Token:
    """Take a token apart. Raises Bad."""
    parts = text.decode("ascii", "replace").split(".")
    if len(parts) != 3:
        raise Bad("no signed token")
    header, claims = _object(_decoded(parts[0])), _object(_decoded(parts[1]))
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not (kid is None or isinstance(kid, str)):
        raise Bad("a header without algorithm")
    if "crit" in header:  # RFC 7515 4.1.11: none of it is understood
        raise Bad("a header that has to be understood")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Bad(f"a token of another type: {kind!r}")
    signed = text[: text.rindex(b".")]
    return Token(algorithm, kid, claims, signed, _decoded(parts[2]))


def verify(token: Token, keys: tuple[Key, ...]) -> None:
    """Check a token's signature with the key that it names, or with any that fits.

    Raises:
        Bad: none of them has made it.
    """
    for key in keys:
        check = key.verify.get(token.algorithm)
        if check is None or (token.kid is not None and key.kid != token.kid):
            continue
        try:
            check(token.signature, token.signed)
        except InvalidSignature:
            continue
        return
    raise Bad(f"no key's signature: algorithm {token.algorithm!r}, key {token.kid!r}")


def names_unknown_key(token: Token, keys: tuple[Key, ...]) -> bool:
    """Whether newer keys might have the one that a token names."""
    return all(key.kid != token.kid for key in keys)


def read_keys(text: bytes) -> tuple[Key, ...]:
    """Read a set of keys (RFC 7517 5); those for something else, or of unknown kinds, are left out.

    Raises:
        Bad: it is no set, or nothing is left of it.
    """
    listed = _object(text).get("keys")
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise Bad("no set of keys")
    keys = tuple(key for one in listed if (key := _key(one)) is not None)
    if not keys:
        raise Bad("a set without a key for signatures")
    return keys


def _key(found: object) -> Key | None:
    if not isinstance(found, dict) or found.get("use", "sig") != "sig":
        return None
    operations = found.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        checks = _checks(found)
    except (Bad, KeyError, TypeError, ValueError):
        return None
    if "alg" in found:  # RFC 7517 4.4: meant for this one
        checks = {name: check for name, check in checks.items() if name == found["alg"]}
    kid = found.get("kid")
    return Key(kid if isinstance(kid, str) else None, checks) if checks else None


def _checks(found: Mapping[str, Any]) -> dict[str, Callable[[bytes, bytes], None]]:
    """Raises Bad, KeyError, TypeError or ValueError for what is no key."""
    match found.get("kty"):
        case "RSA":
            key = rsa.RSAPublicNumbers(_number(found["e"]), _number(found["n"])).public_key()
            if key.key_size < _LEAST_RSA_BITS:
                raise Bad("a short key")
            return _rsa(key)
        case "EC":
            algorithm, curve, size = _CURVES[found["crv"]]
            numbers = ec.EllipticCurvePublicNumbers(
                _number(found["x"]), _number(found["y"]), curve()
            )
            return {algorithm: _elliptic(numbers.public_key(), algorithm, size)}
        case "OKP" if found["crv"] == "Ed25519":
            return {
                "EdDSA": ed25519.Ed25519PublicKey.from_public_bytes(_decoded(found["x"])).verify
            }
    return {}


def _rsa(key: rsa.RSAPublicKey) -> dict[str, Callable[[bytes, bytes], None]]:
    def pkcs1(function: hashes.HashAlgorithm) -> Callable[[bytes, bytes], None]:
        return lambda signature, data: key.verify(signature, data, padding.PKCS1v15(), function)

    def pss(function: hashes.HashAlgorithm) -> Callable[[bytes, bytes], None]:
        scheme = padding.PSS(padding.MGF1(function), function.digest_size)
        return lambda signature, data: key.verify(signature, data, scheme, function)

    found = {f"RS{size}": pkcs1(function()) for size, function in _HASHES.items()}
    return found | {f"PS{size}": pss(function()) for size, function in _HASHES.items()}


def _elliptic(
    key: ec.EllipticCurvePublicKey, algorithm: str, size: int
) -> Callable[[bytes, bytes], None]:
    function = _HASHES[algorithm[2:]]()

    def check(signature: bytes, data: bytes) -> None:
        if len(signature) != 2 * size:
            raise InvalidSignature
        numbers = (signature[:size], signature[size:])
        encoded = encode_dss_signature(*(int.from_bytes(one, "big") for one in numbers))
        key.verify(encoded, data, ec.ECDSA(function))

    return check


def _number(text: object) -> int:
    return int.from_bytes(_decoded(text), "big")


def _decoded(text: object) -> bytes:
    """Raises Bad."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        raise Bad("no base64url")
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise Bad("no base64url") from None


def _object(text: bytes) -> dict[str, Any]:
    """Raises Bad."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Bad("no JSON") from None
    if not isinstance(found, dict):
        raise Bad("no JSON object")
    return found
