"""Words: what SMAP's lines are made of, read and written without I/O.

    line   = *( *ws word ) *ws LF
    ws     = SP / HT / VT / FF / CR
    word   = quoted / plain
    quoted = DQUOTE *( any octet but DQUOTE and LF / DQUOTE DQUOTE ) [DQUOTE]
    plain  = octets up to the next ws, the first one no DQUOTE

An empty word ends a list of words, and so does the line: behind its end every further word is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from courier.maildir.numberset import NumberSet

_WORD = re.compile(rb'[ \t\v\f\r\n]*(?:"((?:[^"\n]|"")*)"?|([^ \t\v\f\r\n]+))')
_NUMBERS = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
_TELLABLE = re.compile(r"[\n\r\0]")


class InvalidSet(ValueError):
    """Numbers of messages that do not ascend, or are none."""


class Words:
    """The words of one line, taken one after the other."""

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._at = 0

    def take(self) -> str:
        """Give the next word; empty if there is none. Octets that are no UTF-8 become surrogates."""
        found = _WORD.match(self._line, self._at)
        if found is None:
            self._at = len(self._line)
            return ""
        self._at = found.end()
        word = found[2] if found[1] is None else found[1].replace(b'""', b'"')
        return word.decode("utf-8", "surrogateescape")

    def peek(self) -> str:
        """Give the next word without taking it."""
        at = self._at
        word = self.take()
        self._at = at
        return word

    def is_at_end(self) -> bool:
        """Tell whether nothing but white space is left."""
        return _WORD.match(self._line, self._at) is None

    def list(self) -> tuple[str, ...]:
        """Take words up to an empty one, which is taken too: a folder's path."""
        return tuple(iter(self.take, ""))

    def rest(self) -> Iterator[str]:
        """Take all words that are left, empty ones too."""
        while not self.is_at_end():
            yield self.take()

    def message_set(self) -> NumberSet:
        """Take the numbers of messages: words up to one that does not begin with a digit.

        Courier: what stands behind a number in a word is passed over.

        Raises:
            InvalidSet: they don't ascend; the words are not all taken.
        """
        ranges = []
        last = 0
        while (word := self.peek())[:1] in _DIGITS and word:
            found = _NUMBERS.match(word)
            assert found is not None
            low = int(found[1])
            high = low if found[2] is None else int(found[2])
            if low <= last or high < low or (found[2] is None and word[found.end() :][:1] == "-"):
                raise InvalidSet(word)
            self.take()
            ranges.append((low, high))
            last = high
        return NumberSet(ranges)


_DIGITS = "0123456789"


def quoted(text: str) -> bytes:
    """Write a word in quotes. What no word can hold becomes a question mark."""
    safe = _TELLABLE.sub("?", text).replace('"', '""')
    return b'"' + safe.encode("utf-8", "surrogateescape") + b'"'


def ranges(numbers: Iterable[tuple[int, int]]) -> bytes:
    """Write ranges of numbers: ``1-10 20``."""
    return b" ".join(
        b"%d" % low if low == high else b"%d-%d" % (low, high) for low, high in numbers
    )


def within(which: NumberSet, count: int) -> NumberSet:
    """Leave out of a set what is above the last message's number."""
    return NumberSet((low, min(high, count)) for low, high in which.ranges() if low <= count)
