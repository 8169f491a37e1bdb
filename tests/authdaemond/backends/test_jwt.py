"""Signed tokens, made by PyJWT: what is believed, and what must not be."""

from __future__ import annotations

import base64
import functools
import hmac
import itertools
import json
from typing import Any

import pytest

from authdaemond.backends import jwt
from authdaemond.backends.jwt import Bad
from tests.support import oidc

key = functools.cache(oidc.private_key)
other_key = functools.cache(oidc.private_key)


def keys_of(*found: dict[str, Any]) -> tuple[jwt.Key, ...]:
    return jwt.read_keys(json.dumps({"keys": found}).encode())


def is_believed(token: str, keys: tuple[jwt.Key, ...]) -> bool:
    try:
        jwt.verify(jwt.parse(token.encode()), keys)
    except Bad:
        return False
    return True


RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
EACH = [*(("RSA", name) for name in RSA), ("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512"),
        ("Ed25519", "EdDSA")]  # fmt: skip


@pytest.mark.parametrize(("kind", "algorithm"), EACH)
def test_each_algorithm(kind: str, algorithm: str) -> None:
    """The key's own; another key of the kind has not signed it, and no octet may change."""
    keys = keys_of(oidc.public_jwk(key(kind), "k1"))
    token = oidc.signed(key(kind), algorithm)

    assert is_believed(token, keys)
    assert jwt.parse(token.encode()).claims["email"] == "u@example.com"
    assert not is_believed(oidc.signed(other_key(kind), algorithm), keys)
    head, body, signature = token.split(".")
    assert not is_believed(f"{head}.{body[:-2]}.{signature}", keys)
    assert not is_believed(f"{head}.{body}.{signature[:-8]}", keys)
    assert not is_believed(f"{head}.{body}.", keys)


def test_choice_of_the_key() -> None:
    """By its name; a token without one is tried with all."""
    other = other_key("RSA")
    keys = keys_of(oidc.public_jwk(other, "k0"), oidc.public_jwk(key("RSA"), "k1"))

    assert is_believed(oidc.signed(key("RSA"), "RS256", "k1"), keys)
    assert is_believed(oidc.signed(key("RSA"), "RS256", None), keys)
    assert not is_believed(oidc.signed(key("RSA"), "RS256", "k0"), keys)
    assert not is_believed(oidc.signed(key("RSA"), "RS256", "k2"), keys)
    assert jwt.names_unknown_key(jwt.parse(oidc.signed(key("RSA"), "RS256", "k2").encode()), keys)


def unsigned(header: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(oidc.claims()).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("name", ["none", "None", "NONE", "", "HS256", "RS1", "ES256K"])
def test_algorithm_that_is_none_or_unknown(name: str) -> None:
    keys = keys_of(oidc.public_jwk(key("RSA"), "k1"))
    assert not is_believed(unsigned({"alg": name, "kid": "k1"}), keys)
    assert not is_believed(unsigned({"alg": name}), keys)


def test_public_key_taken_for_a_secret() -> None:
    """Whoever knows the public key could sign with it, were HMAC accepted."""
    from cryptography.hazmat.primitives import serialization

    public = oidc.public_jwk(key("RSA"), "k1")
    pem = (
        key("RSA")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for secret in (pem, json.dumps(public).encode(), base64.urlsafe_b64decode(public["n"] + "==")):
        start = unsigned({"alg": "HS256", "kid": "k1"}).rpartition(".")[0]
        made = hmac.digest(secret, start.encode(), "sha256")
        token = start + "." + base64.urlsafe_b64encode(made).rstrip(b"=").decode()
        assert not is_believed(token, keys_of(public))
    symmetric = {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}
    with pytest.raises(Bad):
        keys_of(symmetric)
    assert len(keys_of(symmetric, public)) == 1


def test_key_for_one_algorithm_alone() -> None:
    """`alg` of the key, the curve, and `use` bind it."""
    keys = keys_of(oidc.public_jwk(key("RSA"), "k1", alg="PS256"))
    assert is_believed(oidc.signed(key("RSA"), "PS256"), keys)
    assert not is_believed(oidc.signed(key("RSA"), "RS256"), keys)
    assert not is_believed(
        oidc.signed(key("P-384"), "ES256"), keys_of(oidc.public_jwk(key("P-384"), "k1"))
    )
    for more in ({"use": "enc"}, {"key_ops": ["sign"]}, {"alg": "RS1"}, {"key_ops": "verify"}):
        with pytest.raises(Bad):
            keys_of(oidc.public_jwk(key("RSA"), "k1", **more))


@pytest.mark.parametrize(
    "changed",
    [
        {"n": "AQAB"}, {"n": "!"}, {"e": 3}, {"n": ""}, {"kty": "EC"}, {"kty": None}, {"e": "AA"},
    ],
)  # fmt: skip
def test_key_that_is_none(changed: dict[str, Any]) -> None:
    with pytest.raises(Bad):
        keys_of(oidc.public_jwk(key("RSA"), "k1", **changed))


def test_short_key_and_a_point_off_the_curve() -> None:
    with pytest.raises(Bad):
        keys_of(oidc.public_jwk(oidc.private_key("short RSA"), "k1"))
    point = oidc.public_jwk(key("P-256"), "k1")
    with pytest.raises(Bad):
        keys_of({**point, "y": point["x"]})


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "RS256", "crit": ["exp"]}, {"alg": "RS256", "typ": "logout+jwt"},
        {"alg": "RS256", "typ": 1}, {"alg": 1}, {}, {"alg": "RS256", "kid": 7},
    ],
)  # fmt: skip
def test_header_that_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(Bad):
        jwt.parse(unsigned(header).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"", b"..", b"a.b", b"a.b.c.d", b"!.!.!", b"e30.e30", b"W10.e30.", b"e30.W10.", b"\xff.\xff.\xff",
        base64.urlsafe_b64encode(b"[" * 5000).rstrip(b"=") + b".e30.", b"e30=.e30=.",
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_what_is_no_token(text: bytes) -> None:
    with pytest.raises(Bad):
        jwt.parse(text)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [1]}', b"[" * 100_000],
    ids=itertools.count(),
)
def test_what_is_no_set_of_keys(text: bytes) -> None:
    with pytest.raises(Bad):
        jwt.read_keys(text)


def test_too_many_keys() -> None:
    with pytest.raises(Bad):
        keys_of(*[oidc.public_jwk(key("P-256"), str(number)) for number in range(101)])
