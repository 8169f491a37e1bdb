"""i;unicode-casemap: how texts are compared, whatever their case (RFC 5051, RFC 5255 4.2).

A text is mapped letter by letter to title case, then taken apart by every decomposition that Unicode
knows: ``ä`` is an ``A`` and a diaeresis, however it was written. Code points compare as the octets of
UTF-8 do.
"""

from __future__ import annotations

import re
from unicodedata import normalize

_BLANKS = re.compile("[ \t\r\n]+")
#: Letters that are taken apart at once: to bring a run of diacritics in order takes the square of its
#: length.
_BLOCK = 512


def casemap(text: str) -> str:
    """Return text as it is ordered: two texts are equal if these are."""
    if text.isascii():
        return text.upper()
    return _decomposed("".join(map(_title, text)))


def _title(letter: str) -> str:
    """Map a letter to title case if that is one letter, too: ``ß`` stays."""
    title = letter.title()
    return title if len(title) == 1 else letter


def _decomposed(text: str) -> str:
    if len(text) <= _BLOCK:
        return normalize("NFKD", text)
    starts = range(0, len(text), _BLOCK)
    return "".join([normalize("NFKD", text[start : start + _BLOCK]) for start in starts])


def fold(text: str) -> str:
    """Return text for SEARCH: lower case, runs of blanks one space, none at the ends.

    What `casemap` makes equal is equal, but for some letters of old Cyrillic print and the Greek iota
    subscript alone. Courier: runs of blanks count as one.
    """
    text = lower(text)
    if (
        "  " in text or "\t" in text or "\r" in text or "\n" in text
    ):  # ten times as fast as the pattern
        text = _BLANKS.sub(" ", text)
    return text.strip(" ")


def lower(text: str) -> str:
    """Return text as `fold` does, its blanks left alone."""
    if text.isascii():
        return text.lower()
    # Sigma has one small form only, or where a word ends would matter.
    text = _decomposed(text).replace("\u03a3", "\u03c3").replace("\u03c2", "\u03c3")
    return text.replace("\u0131", "i").lower()


class Needle:
    """What SEARCH looks for, in texts that are not folded yet."""

    __slots__ = ("_longest", "text")

    def __init__(self, text: str) -> None:
        self.text = fold(text)
        self._longest = max(self.text.split(" "), key=len)

    def may_be_in(self, text: str) -> bool:
        """Tell whether its longest word is in a text: if not, it is in no part of it."""
        return self._longest in lower(text)

    def is_in(self, text: str) -> bool:
        """Tell whether it is in a text. Folding blanks takes most of the time: done if need be."""
        lowered = lower(text)
        if self._longest not in lowered:
            return False
        return self._longest == self.text or self.text in _BLANKS.sub(" ", lowered)
