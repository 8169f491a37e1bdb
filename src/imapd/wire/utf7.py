"""Modified UTF-7, the encoding of mailbox names (RFC 3501 5.1.3)."""

import binascii
import re

_RUN = re.compile("[^\x20-\x7e]+|&")
_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")


def encode(name: str) -> bytes:
    """Encode a mailbox name.

    Raises:
        UnicodeEncodeError: it holds lone surrogates (a directory whose name is not UTF-8).
    """
    return _RUN.sub(_shift, name).encode("ascii")


def _shift(run: re.Match[str]) -> str:
    if run[0] == "&":
        return "&-"
    packed = binascii.b2a_base64(run[0].encode("utf-16-be"), newline=False)
    return "&" + packed.rstrip(b"=").replace(b"/", b",").decode("ascii") + "-"


def decode(name: bytes) -> str:
    """Decode a mailbox name. Courier: what need not be encoded may be, too.

    Raises:
        ValueError: it is not modified UTF-7.
    """
    parts = []
    at = 0
    for shifted in _SHIFTED.finditer(name):
        parts.append(_plain(name[at : shifted.start()]))
        parts.append(_unshift(shifted[1]))
        at = shifted.end()
    parts.append(_plain(name[at:]))
    return "".join(parts)


def _plain(text: bytes) -> str:
    if b"&" in text:
        raise ValueError("unterminated shift sequence")
    return text.decode("ascii")


def _unshift(packed: bytes) -> str:
    if not packed:
        return "&"
    padded = packed.replace(b",", b"/") + b"=" * (-len(packed) % 4)
    octets = binascii.a2b_base64(padded, strict_mode=True)
    if binascii.b2a_base64(octets, newline=False).rstrip(b"=") != padded.rstrip(b"="):
        raise ValueError("stray bits behind the last character")
    return octets.decode("utf-16-be")
