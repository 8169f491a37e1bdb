"""Stored passwords: whether one fits, and making new ones.

Courier's own forms are a prefix in braces and base64; anything else is crypt(3)'s. The result of
each is compared as text, in constant time. `$argon2id$` and its kin, which libcrypt does not know, are
left to argon2-cffi where that is installed. SCRAM's secrets (`scram`) fit the password they were made of.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import importlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from courier.auth import libcrypt, scram

_PREFIX = re.compile(rb"\{([A-Za-z0-9]+)\}")
_SALT_SIZE = 4
_SHA1_SIZE = 20

#: What a salt of crypt(3) is made of.
_SALT_ALPHABET = b"./0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def fits(password: bytes, stored: bytes) -> bool:
    """Whether ``password`` is the one that ``stored`` was made of."""
    if (keys := scram.read(stored)) is not None:
        return scram.fits(password, keys)
    prefix = _PREFIX.match(stored)
    kind = prefix[1].upper() if prefix else b""
    value = stored[prefix.end() :] if prefix else stored
    if value.startswith(b"$argon2"):
        return _fits_argon2(password, value)
    if kind == b"SSHA":
        made = _ssha(password, _salt_of(value))
    elif kind in _DIGESTS:
        made = _DIGESTS[kind](password)
    elif kind == b"CRYPT" or not prefix:
        made = _crypted(password, value)
    else:
        return False
    return made is not None and bool(value) and hmac.compare_digest(made, value)


def _fits_argon2(password: bytes, stored: bytes) -> bool:
    try:
        low_level: Any = importlib.import_module("argon2.low_level")
        errors: Any = importlib.import_module("argon2.exceptions")
    except ImportError:
        return False
    for name, kind in (("argon2id", "ID"), ("argon2i", "I"), ("argon2d", "D")):
        if stored.startswith(f"${name}$".encode()):
            try:
                low_level.verify_secret(stored, password, getattr(low_level.Type, kind))
            except (errors.Argon2Error, errors.InvalidHash):
                return False
            return True
    return False


def _crypted(password: bytes, stored: bytes) -> bytes | None:
    try:
        return libcrypt.crypt(password, stored)
    except libcrypt.CryptError:
        return None


def _base64_of(name: str) -> Callable[[bytes], bytes]:
    return lambda password: base64.b64encode(hashlib.new(name, password).digest())


_DIGESTS: dict[bytes, Callable[[bytes], bytes]] = {
    b"MD5": _base64_of("md5"),
    b"MD5RAW": lambda password: hashlib.md5(password).hexdigest().encode(),
    b"SHA": _base64_of("sha1"),
    b"SHA256": _base64_of("sha256"),
    b"SHA512": _base64_of("sha512"),
}


def _ssha(password: bytes, salt: bytes | None) -> bytes | None:
    if not salt:
        return None
    return base64.b64encode(hashlib.sha1(password + salt).digest() + salt)


def _salt_of(value: bytes) -> bytes | None:
    # Courier takes salts of four octets alone; OpenLDAP makes longer ones.
    try:
        return base64.b64decode(value, validate=True)[_SHA1_SIZE:]
    except binascii.Error:
        return None


def nobodys(stored: bytes) -> bytes:
    """Return what takes as long to compare a password with as ``stored``, and that none fits.

    Empty for what is no stored password, such as that of a locked account. A salt may stay in it.
    """
    if (keys := scram.read(stored)) is not None:
        empty = bytes(len(keys.stored))
        return scram.write(replace(keys, stored=empty, server=empty))
    prefix = _PREFIX.match(stored)
    kind = prefix[1].upper() if prefix else b""
    value = stored[prefix.end() :] if prefix else stored
    if kind == b"SSHA":
        return b"{SSHA}" + base64.b64encode(bytes(_SHA1_SIZE + _SALT_SIZE))
    if kind in _DIGESTS:
        return b"{" + kind + b"}-"
    if prefix and kind != b"CRYPT":
        return b""
    if value.startswith(b"$argon2"):
        start, _, digest = value.rpartition(b"$")
        return start + b"$" + b"A" * len(digest)
    return next((found[0] for form in _SETTINGS if (found := form.match(value))), b"")


#: Settings of crypt(3), without the hash behind them: bcrypt's, those with dollars, DES.
_SETTINGS = (
    re.compile(rb"\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{22}"),
    re.compile(rb"\$(?!2)[0-9a-z]+\$.*\$"),
    re.compile(rb"[./0-9A-Za-z]{2}(?=[./0-9A-Za-z]{11})|_[./0-9A-Za-z]{8}"),
)


# --- Making ---------------------------------------------------------------------------------------


def md5_crypt(password: bytes) -> bytes:
    """`$1$` and a salt of eight characters."""
    return libcrypt.crypt(password, b"$1$" + _random_salt(8))


def des_crypt(password: bytes) -> bytes:
    """crypt(3)'s oldest form, with its salt of two characters."""
    return libcrypt.crypt(password, _random_salt(2))


def of_kind(password: bytes, kind: bytes) -> bytes:
    """Store ``password`` as `{KIND}`; one that is not known is `{SSHA}`, as Courier has it."""
    if kind.upper() in _DIGESTS:
        return like(password, b"{" + kind + b"}")
    return like(password, b"{SSHA}")


def like(password: bytes, stored: bytes) -> bytes:
    """Store ``password`` in the manner of ``stored``, the hash of the password before it.

    Courier makes `$1$` or `{SSHA}` of what it doesn't know. That would weaken a bcrypt hash, so
    here crypt(3)'s methods stay what they are, and the oldest, DES, becomes the system's best.
    """
    if (keys := scram.read(stored)) is not None:
        return scram.write(scram.made(keys.mechanism, password, keys.iterations))
    prefix = _PREFIX.match(stored)
    kind = prefix[1].upper() if prefix else b""
    if stored.startswith(b"$argon2"):
        return libcrypt.crypt(password, libcrypt.setting())
    if kind in _DIGESTS:
        return b"{" + kind + b"}" + _DIGESTS[kind](password)
    if kind == b"SSHA":
        salted = _ssha(password, os.urandom(_SALT_SIZE))
        assert salted is not None
        return b"{SSHA}" + salted
    method = re.match(rb"(?:\{CRYPT\})?(\$[0-9a-z]+\$)", stored, re.IGNORECASE)
    lead = stored[: prefix.end()] if prefix and kind == b"CRYPT" else b""
    return lead + libcrypt.crypt(password, _setting(method[1] if method else b""))


def _setting(method: bytes) -> bytes:
    try:
        return libcrypt.setting(method)
    except libcrypt.CryptError:
        return libcrypt.setting()


def _random_salt(size: int) -> bytes:
    return bytes(_SALT_ALPHABET[octet % 64] for octet in os.urandom(size))
