"""Folder names as Courier wrote them before 5.0: modified UTF-7 (RFC 3501 5.1.3), level by level.

Names are UTF-8 on disk since; whoever upgraded without converting has both. A maildir whose names
have been converted (`conversion`) says so in the file `pycourier-utf8`; there nothing is an old name,
whatever it looks like.
"""

from __future__ import annotations

import binascii
import os
import re

from courier.maildir import delivery

STATE = "pycourier-utf8"
CONVERTED = b"converted\n"
_RUN = re.compile("[^\x20-\x7f]+|&")
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")


class NotOld(ValueError):
    """It is no name in modified UTF-7."""


def is_converted(maildir: str) -> bool:
    """Tell whether the maildir has no old names."""
    try:
        with open(os.path.join(maildir, STATE), "rb") as file:
            return file.read(len(CONVERTED)) == CONVERTED
    except OSError:
        return False


def note_converted(maildir: str) -> None:
    """Note that the maildir has no old names, from now on. Others see the old state or this one."""
    delivery.write_atomically(maildir, STATE, CONVERTED, mode=0o600, sync=True)


def looks_old(name: str) -> bool:
    """Tell whether a directory of this name could be one with an old name."""
    try:
        return decode(name) != name
    except NotOld:
        return False


def encode(name: str) -> str:
    """Give the name that Courier had for ``name`` before 5.0.

    Raises:
        NotOld: it had none: the name is no text, or has a character above U+FFFF.
    """
    if any(char > "\uffff" or "\ud800" <= char <= "\udfff" for char in name):
        raise NotOld(name)
    return _RUN.sub(_shift, name)


def _shift(run: re.Match[str]) -> str:
    if run[0] == "&":
        return "&-"
    packed = binascii.b2a_base64(run[0].encode("utf-16-be"), newline=False)
    return "&" + packed.rstrip(b"=").replace(b"/", b",").decode() + "-"


def decode(name: str) -> str:
    """Give the name that an old one stands for; it is the same if nothing in it is encoded.

    Raises:
        NotOld: it is none, or hides a dot or a slash.
    """
    if not name.isascii():
        raise NotOld(name)
    try:
        decoded = _SHIFTED.sub(_unshift, name)
    except ValueError as error:
        raise NotOld(name) from error
    if encode(decoded) != name or re.search("[./\0]", "".join(_hidden(name))):
        raise NotOld(name)
    return decoded


def _unshift(shifted: re.Match[str]) -> str:
    if not shifted[1]:
        return "&"
    padded = shifted[1].replace(",", "/") + "=" * (-len(shifted[1]) % 4)
    return binascii.a2b_base64(padded, strict_mode=True).decode("utf-16-be")


def _hidden(name: str) -> list[str]:
    return [_unshift(shifted) for shifted in _SHIFTED.finditer(name)]
