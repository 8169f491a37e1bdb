"""Stored passwords, by what Courier accepts and rejects for the password `secret`."""

from __future__ import annotations

import base64
import hashlib

import pytest

from courier.auth import libcrypt, passwords

ACCEPTED = [
    "abNANd1rDfiNc",
    "{CRYPT}abNANd1rDfiNc",
    "{crypt}abNANd1rDfiNc",
    "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
    "{CRYPT}$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
    "{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
    "{md5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
    "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69",
    "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    "{SSHA}+RFhsab2AfzZ0VfEdyknXtUT06RhYmNk",
    "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
    "{SHA512}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg==",
]
REJECTED = [
    "{MD5}$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
    "{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ",
    "{MD5}5ebe2294ecd0e0f08eab7690d2a6ee69",
    "{MD5RAW}5EBE2294ECD0E0F08EAB7690D2A6EE69",
    "{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    "{SSHA}!",
    "{SSHA}",
    "{SMD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==",
    "{SHA1}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    "{PLAIN}secret",
    "{CLEAR}secret",
    "{CRYPT}",
    "{}secret",
    "secret",
    "*",
    "*0",
    "!$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
    "",
    "$9$unknown$x",
]


@pytest.mark.parametrize("stored", ACCEPTED)
def test_fits(stored: str) -> None:
    assert passwords.fits(b"secret", stored.encode())
    assert not passwords.fits(b"Secret", stored.encode())
    assert not passwords.fits(b"", stored.encode())


@pytest.mark.parametrize("stored", REJECTED)
def test_fits_not(stored: str) -> None:
    assert not passwords.fits(b"secret", stored.encode())


@pytest.mark.parametrize("method", [b"$1$", b"$5$", b"$6$", b"$2b$", b"$y$"])
def test_methods_of_the_system(method: bytes) -> None:
    cost = 5 if method in (b"$2b$", b"$y$") else 0
    stored = libcrypt.crypt(b"secret", libcrypt.setting(method, 1 if method == b"$y$" else cost))

    assert stored.startswith(method)
    assert passwords.fits(b"secret", stored)
    assert passwords.fits(b"secret", b"{CRYPT}" + stored)
    assert not passwords.fits(b"secreT", stored)


@pytest.mark.parametrize("salt", [b"1", b"12345678", b"0123456789abcdef"])
def test_ssha_with_any_salt(salt: bytes) -> None:
    """OpenLDAP's are longer than the four octets that Courier takes."""
    stored = b"{SSHA}" + base64.b64encode(hashlib.sha1(b"secret" + salt).digest() + salt)

    assert passwords.fits(b"secret", stored)


@pytest.mark.parametrize("password", [b"a\0b", b"a\0"])
def test_nul_is_no_end(password: bytes) -> None:
    """C's crypt would take `a\\0b` for `a`."""
    assert not passwords.fits(password, libcrypt.crypt(b"a", b"$1$abcdefgh"))


def test_md5_and_des_as_userdbpw_makes_them() -> None:
    md5, des = passwords.md5_crypt(b"secret"), passwords.des_crypt(b"secret")

    assert md5.startswith(b"$1$") and md5.index(b"$", 3) == 11 and len(des) == 13
    assert passwords.fits(b"secret", md5) and passwords.fits(b"secret", des)
    assert passwords.md5_crypt(b"secret") != md5


@pytest.mark.parametrize(
    ("stored", "begins"),
    [
        (b"$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", b"$1$"),
        (b"$5$x$y", b"$5$"),
        (b"$6$x$y", b"$6$"),
        (b"$2b$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", b"$2b$"),
        (b"{crypt}$6$x$y", b"{crypt}$6$"),
        (b"{md5}x", b"{MD5}"),
        (b"{Md5Raw}x", b"{MD5RAW}"),
        (b"{SHA}x", b"{SHA}"),
        (b"{sha256}x", b"{SHA256}"),
        (b"{SHA512}x", b"{SHA512}"),
        (b"{SSHA}x", b"{SSHA}"),
        (b"abNANd1rDfiNc", b"$y$"),
        (b"", b"$y$"),
    ],
)
def test_like_keeps_the_kind(stored: bytes, begins: bytes) -> None:
    """A change of the password doesn't weaken how it is stored."""
    made = passwords.like(b"new password", stored)

    assert made.startswith(begins)
    assert passwords.fits(b"new password", made)


def test_unknown_setting_is_an_error() -> None:
    with pytest.raises(libcrypt.CryptError):
        libcrypt.crypt(b"secret", b"*")
    with pytest.raises(libcrypt.CryptError):
        libcrypt.setting(b"$nonsense$")


ARGON2 = (
    "$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHRzYWx0$6rdTkPT4cFcS4MfIh5mNfjUcWjT9dJPOaJWz0V1wGEE"
)


@pytest.mark.slow
def test_argon2() -> None:
    """By argon2-cffi, which is Debian's python3-argon2; whoever has not got it lets nobody in."""
    low_level = pytest.importorskip("argon2.low_level")
    made = low_level.hash_secret(b"secret", b"saltsaltsalt", 1, 1024, 1, 32, low_level.Type.ID)

    for stored in (made, b"{CRYPT}" + made):
        assert passwords.fits(b"secret", stored)
        assert not passwords.fits(b"Secret", stored)
    assert not passwords.fits(b"secret", made[:-4])
    assert not passwords.fits(b"secret", ARGON2.encode())
    assert passwords.like(b"new", made).startswith(b"$y$")
