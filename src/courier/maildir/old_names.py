"""Folder names as Courier wrote them before 5.0: modified UTF-7 (RFC 3501 5.1.3), level by level.

Names are UTF-8 on disk since; whoever upgraded without converting has both.
"""

from __future__ import annotations

import binascii
import re

_RUN = re.compile("[^\x20-\x7f]+|&")
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")


class NotOld(ValueError):
    """It is no name in modified UTF-7."""


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
