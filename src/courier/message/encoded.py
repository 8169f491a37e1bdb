"""Encoded words: text of any charset in header fields (RFC 2047, RFC 2231 5)."""

from __future__ import annotations

import re
from binascii import a2b_base64, a2b_qp, b2a_base64

from courier.message import charset

_WORD = re.compile(rb"=\?([^\s?*]{1,64})(?:\*[^\s?]{0,64})?\?([BbQq])\?([^?\s]*)\?=")
_BLANK = re.compile(rb"[ \t\r\n]*").fullmatch
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)
_BLANKS = re.compile(rb"([ \t]+)")
_ROOM = 45  # octets of UTF-8 in a word: 75 characters at most (RFC 2047 2)


def base64(data: bytes) -> bytes:
    """Decode base64, leaving out what is none of its characters, and a last incomplete octet."""
    data = base64_characters(data)
    if len(data) % 4 == 1:
        data = data[:-1]
    return a2b_base64(data + b"=" * (-len(data) % 4))


def base64_characters(data: bytes) -> bytes:
    """Give what of ``data`` is base64, its padding left out."""
    return data.translate(None, _NOT_BASE64)


def decode(value: bytes) -> str:
    """Return an unfolded field value as text: words decoded, 8-bit bytes guessed.

    White space between two encoded words goes (RFC 2047 6.2). Neighbours of one charset are decoded
    together, since some senders cut a character in two.
    """
    if b"=?" not in value:
        return charset.guess(value)

    text: list[str] = []
    pending: list[bytes] = []
    pending_charset = b""
    end = 0
    for word in _WORD.finditer(value):
        between = value[end : word.start()]
        name = word[1].lower()
        if not pending or name != pending_charset or not _BLANK(between):
            if pending:
                text.append(charset.decode(b"".join(pending), pending_charset.decode("latin-1")))
            if not pending or not _BLANK(between):
                text.append(charset.guess(between))
            pending = []
        pending.append(base64(word[3]) if word[2] in b"Bb" else a2b_qp(word[3], header=True))
        pending_charset = name
        end = word.end()
    if pending:
        text.append(charset.decode(b"".join(pending), pending_charset.decode("latin-1")))
    text.append(charset.guess(value[end:]))
    return "".join(text)


def encode(value: bytes) -> bytes:
    """Return a value as ASCII: the words that hold 8-bit bytes as encoded words of UTF-8.

    Everything else stays as it is, encoded words of the source too.
    """
    if value.isascii():
        return value
    words = _BLANKS.split(value)  # word, blank, word, blank, … word
    done: list[bytes] = []
    at = 0
    while at < len(words):
        if words[at].isascii():
            done.append(words[at])
            at += 1
            continue
        stop = at + 1
        while stop + 1 < len(words) and not words[stop + 1].isascii():
            stop += 2
        raw = b"".join(words[at:stop])
        if at >= 2 and words[at - 2].endswith(b"?="):
            raw = words[at - 1] + raw  # a blank between two encoded words would be lost
        done.append(_words(charset.guess(raw)))
        if stop + 1 < len(words) and words[stop + 1].startswith(b"=?"):
            done[-1] = _words(charset.guess(raw + words[stop]))
        at = stop
    return b"".join(done)


def _words(text: str) -> bytes:
    """Write text as encoded words, no character cut in two (RFC 2047 5)."""
    data = text.encode("utf-8")
    words: list[bytes] = []
    start = 0
    while start < len(data):
        stop = min(start + _ROOM, len(data))
        while stop < len(data) and data[stop] & 0xC0 == 0x80:
            stop -= 1
        words.append(b"=?utf-8?B?" + b2a_base64(data[start:stop], newline=False) + b"?=")
        start = stop
    return b" ".join(words)
