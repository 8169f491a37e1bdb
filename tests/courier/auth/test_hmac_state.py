"""Stored HMAC states: Courier's vectors, RFC 2195's example, and Python's own hmac."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.auth import hmac_state
from courier.auth.hmac_state import HASHES

SECRET = b"secret"
LONG = b"0123456789" * 7

# Printed by Courier's userdbpw.
VECTORS = [
    ("md5", SECRET, "cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56"),
    ("sha1", SECRET, "091e0f4c6cb5277ee2beb639a60d0831b5c8adcdaee172433df3e96ba4f00fb1b6a490c3929d2034"),
    ("sha256", SECRET, "5a84072aab37d22275b139adf7a92564c7f674be98e77d991f6f689d29e0524572804f31b0420168"
     "04d3dea2f4e991a21b1c8906be161594b202fb74afc8ceb3"),
    ("md5", LONG, "8b1bc35b306097d1c4c7e7dd6f8526d4d28c031cf20e817116d646a2fa93c0da"),
    ("sha1", LONG, "a26604ed62f08b57b2cc8331f4898dd300b3da479042208ae091d5c881b8d86c7b3f6d90a0f0be4e"),
    ("sha256", LONG, "57bd49a57363a1dfce70bc23316aaa59f81aad4789aa1d5605d80cdc4b5f9d942b8842692619113c"
     "bc282085e890314bf36403e6576bcc48127c17e2f4caab5d"),
    ("md5", b"", "00747cf2ffaf11c5ea4a64979c3901fc1d20dee13f480bb598f7d8575b23e61b"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "password", "stored"), VECTORS)
def test_secret(name: str, password: bytes, stored: str) -> None:
    assert hmac_state.secret(HASHES[name], password).decode() == stored


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("md5", b"01236d2ce6449b8aafd9cfcd7749d09e"),
        ("sha1", b"b47bc6a9336eafd4ff610d7c3a7b9483809c8e01"),
        ("sha256", b"e5fa57c4b145c826afe788176a41c35bd42008a54caa104dc66d8fab9f75baea"),
    ],
)
def test_fits(name: str, digest: bytes) -> None:
    """Upper case too, as Courier; no octet more or less, and no other challenge."""
    function, challenge = HASHES[name], b"<1234.5678@host>"
    stored = hmac_state.secret(function, SECRET)

    assert hmac_state.fits(function, stored, challenge, digest)
    assert hmac_state.fits(function, stored.upper(), challenge, digest.upper())
    assert not hmac_state.fits(function, stored, challenge + b" ", digest)
    assert not hmac_state.fits(function, stored, challenge, digest[:-1])
    assert not hmac_state.fits(function, stored, challenge, digest + b"0")
    assert not hmac_state.fits(function, stored, challenge, b"+" + digest[1:])
    assert not hmac_state.fits(function, stored[:-2], challenge, digest)
    assert not hmac_state.fits(function, b"", challenge, digest)


def test_rfc_2195_example() -> None:
    stored = hmac_state.secret(hmac_state.MD5, b"tanstaaftanstaaf")
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"

    assert hmac_state.fits(hmac_state.MD5, stored, challenge, b"b913a602c7eda7a495b4e6e7334d3890")


@given(
    name=st.sampled_from(sorted(HASHES)),
    password=st.binary(max_size=150),
    challenge=st.binary(max_size=300),
)
def test_equals_pythons_hmac(name: str, password: bytes, challenge: bytes) -> None:
    """For passwords and challenges on both sides of a block's length."""
    stored = hmac_state.secret(HASHES[name], password)
    digest = hmac.new(password, challenge, name).hexdigest().encode()

    assert hmac_state.fits(HASHES[name], stored, challenge, digest)
