"""Base64 as SASL has it on one line (RFC 4648 4)."""

from __future__ import annotations

import base64
import binascii
import re

_TEXT = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


class NoBase64(ValueError):
    """Other characters, or a group that is incomplete."""


def encode(data: bytes) -> bytes:
    return base64.b64encode(data)


def decode(text: bytes) -> bytes:
    """Read base64 with its padding; nothing in it is blank.

    Raises:
        NoBase64: it is something else.
    """
    if len(text) % 4 or not _TEXT.fullmatch(text):
        raise NoBase64
    try:
        return base64.b64decode(text)
    except binascii.Error:
        raise NoBase64 from None
