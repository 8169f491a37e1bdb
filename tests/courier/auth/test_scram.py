"""SCRAM's arithmetic and stored secrets, by the examples of RFC 5802 and RFC 7677."""

from __future__ import annotations

import base64
import hashlib

import pytest

from courier.auth import passwords, scram
from tests.support import scram as client

SHA1 = b"SCRAM-SHA-1"
SHA256 = b"SCRAM-SHA-256"


@pytest.mark.parametrize(
    ("mechanism", "salt", "message", "proof", "signature"),
    [
        (
            SHA1,
            "QSXCR+Q6sek8bf92",
            b"n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
            b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
            b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            SHA256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ],
)
def test_examples(mechanism: bytes, salt: str, message: bytes, proof: str, signature: str) -> None:
    """RFC 5802 5, RFC 7677 3: the server's proof follows from the client's, and from no other."""
    keys = scram.derived(mechanism, b"pencil", base64.b64decode(salt), 4096)
    right = base64.b64decode(proof)

    assert scram.signature(keys, message, right) == base64.b64decode(signature)
    assert scram.signature(keys, message + b" ", right) is None
    assert scram.signature(keys, message, right[:-1] + b"x") is None
    assert scram.signature(keys, message, right[:-1]) is None
    assert scram.signature(keys, message, b"") is None


@pytest.mark.parametrize("mechanism", scram.HASHES)
def test_secret_is_read_as_it_was_written(mechanism: bytes) -> None:
    keys = scram.made(mechanism, b"secret", 4097)

    assert scram.read(scram.write(keys)) == keys
    assert scram.read(scram.write(keys).replace(b"SCRAM-SHA", b"scram-Sha")) == keys
    assert scram.write(keys).startswith(b"{" + mechanism + b"}4097,")
    assert scram.made(mechanism, b"secret").salt != keys.salt
    assert repr(keys) == f"Keys({mechanism!r}, '***')"


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_secret_by_another_s_arithmetic(name: str) -> None:
    """A password fits it; RFC 5803's form says the same."""
    stored = client.secret(name, b"secret", b"salt" * 4, 5000).encode()
    mechanism, _, rest = stored[1:].partition(b"}")
    iterations, salt, key, server = rest.split(b",")
    of_rfc5803 = b"%b$%b:%b$%b:%b" % (mechanism, iterations, salt, key, server)

    for form in (stored, of_rfc5803):
        assert passwords.fits(b"secret", form)
        assert not passwords.fits(b"Secret", form)
        assert not passwords.fits(b"", form)


GOOD = client.secret("sha256", b"secret", b"salt", 4096).encode()


@pytest.mark.parametrize(
    "stored",
    [
        b"", GOOD + b" ", GOOD + b",x", GOOD[:-1], GOOD.replace(b"4096", b"0"),
        GOOD.replace(b"4096", b"-1"), GOOD.replace(b"4096", b"10000001"),
        GOOD.replace(b"4096", b"99999999999999999999"), GOOD.replace(b"256", b"1"),
        GOOD.replace(b"256", b"512"), GOOD.replace(b",", b":"), b"{SCRAM-SHA-256}4096,,,",
        GOOD.replace(b"}4096", b"}"), GOOD + b"\n", b"{SCRAM-SHA-256}" + b"4096,AA,AA,AA",
    ],
)  # fmt: skip
def test_what_is_no_secret(stored: bytes) -> None:
    assert scram.read(stored) is None
    assert not passwords.fits(b"secret", stored)


def test_password_is_prepared() -> None:
    """One that is typed in another form is the same (RFC 5802 2.2); what has no form, itself."""
    keys = scram.made(SHA256, "I\u00adX\u2168".encode())
    assert scram.fits(b"IXIX", keys)
    assert scram.fits(b"\xff\xfe", scram.made(SHA256, b"\xff\xfe"))


def test_password_that_replaces_one() -> None:
    """It is stored in the same manner, with as many iterations."""
    new = passwords.like(b"new", GOOD.replace(b"4096", b"5000"))

    assert new.startswith(b"{SCRAM-SHA-256}5000,")
    assert passwords.fits(b"new", new)


def test_work_is_one_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    real = hashlib.pbkdf2_hmac

    def counted(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
        counts.append(iterations)
        return real(name, password, salt, iterations)

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", counted)
    passwords.fits(b"secret", GOOD)
    passwords.fits(b"wrong", GOOD)
    assert counts == [4096, 4096]
