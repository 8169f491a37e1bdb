"""Address lists: the values of From, To and their like (RFC 5322 3.4, RFC 5322 4.4).

Any bytes give some list: comments may stay open, quotes too, and an address without ``@`` is a mailbox
without a host. Comments name an address that has no display name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from courier.message import header


class Address(NamedTuple):
    """An address, or a mark that begins or ends a group.

    A group begins with ``(None, name, None)`` and ends with ``(None, None, None)``, as in RFC 9051 7.5.2.
    An address has a mailbox (its quotes kept: see `unquoted`) and a host, either of which may be empty.
    """

    name: bytes | None
    mailbox: bytes | None
    host: bytes | None
    route: bytes | None = None  # ``@a,@b`` of ``<@a,@b:mailbox@host>`` (RFC 5322 4.4)


def unquoted(mailbox: bytes) -> bytes:
    """Give an addr-mailbox: a local-part without its quotes (RFC 9051 9). Courier keeps them."""
    if b'"' not in mailbox:
        return mailbox
    return _QUOTED.sub(
        lambda match: match[0] if match[1] is None else _ESCAPED.sub(rb"\1", match[1]), mailbox
    )


GROUP_END = Address(None, None, None)

# What nearly all addresses look like: ``words <mailbox@host>``, ``"words" <mailbox@host>``,
# ``mailbox@host``, then a comma or the end.
_ATEXT = rb'[^][()<>@,;:\\"\s]'
_SIMPLE = re.compile(
    rb'[ \t]*+(?:(?:"([^"\\]*)"[ \t]*|([^][()<>@,;:\\"]*))'
    rb"<(" + _ATEXT + rb"+)@(" + _ATEXT + rb"+)>"
    rb"|(" + _ATEXT + rb"+@" + _ATEXT + rb"+))[ \t]*(?:,|\Z)"
)
_TOKEN = re.compile(
    rb"(?P<blank>[ \t]+)"
    rb'|(?P<quoted>"[^"\\]*(?:\\.[^"\\]*)*")'
    rb"|(?P<literal>\[[^][]*\])"
    rb"|(?P<special>[<>@,;:])"
    rb"|(?P<comment>\()"
    rb'|(?P<atom>(?:[^][()<>@,;:\\" \t]|\\.)+)'
    rb"|(?P<stray>.)",
    re.DOTALL,
)
#: A quoted string, or an escaped character outside of one: so what a quote that stays open holds is
#: not looked through again from each escaped quote in it.
_QUOTED = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"|\\.', re.DOTALL)
_IN_COMMENT = re.compile(rb"[()]|\\.?", re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def parse(value: bytes) -> Sequence[Address]:
    """Return the addresses of an unfolded field value, and the marks of its groups."""
    return _just_parsed(value) if len(value) <= _SHORT else _parse(value)


def _parse(value: bytes) -> Sequence[Address]:
    if len(value) >= header.MAX_FIELD:
        value = value[
            : value.rfind(b",", 0, header.MAX_FIELD) + 1
        ]  # what is after it may be cut off

    addresses: list[Address] = []
    at = 0
    while at < len(value):
        match = _SIMPLE.match(value, at)
        if match is None:
            return addresses + _List(value, at).addresses
        at = match.end()
        quoted, phrase, mailbox, host, is_bare = match.groups()
        if is_bare is None:
            name = quoted if phrase is None else phrase.strip(b" \t")
            addresses.append(Address(name or None, mailbox, host))
        else:
            addresses.append(Address(None, *is_bare.split(b"@")))
    return addresses


# What describes a message looks at the same field several times.
_SHORT = 1000  # octets
_just_parsed = lru_cache(maxsize=32)(_parse)


class _Word(NamedTuple):
    """A piece of a phrase or an address: as written, what it says, and the blank before it."""

    raw: bytes
    text: bytes
    blank: bytes


class _List:
    """The general reader: one pass over the tokens, no recursion."""

    def __init__(self, value: bytes, at: int) -> None:
        self.addresses: list[Address] = []
        self._in_group = False
        self._is_unbalanced = False
        self._reset()
        self._read(value, at)
        self._finish()
        if self._in_group:
            self.addresses.append(GROUP_END)

    def _reset(self) -> None:
        self._words: list[_Word] = []  # outside the brackets
        self._has_at = False  # among them
        self._comments: list[bytes] = []
        self._bracketed: list[_Word] = []  # inside them
        self._has_brackets = False
        self._open = False

    def _read(self, value: bytes, at: int) -> None:
        blank = b""
        while at < len(value):
            token = _TOKEN.match(value, at)
            assert token is not None  # the pattern has an alternative for every byte
            at = token.end()
            kind = token.lastgroup
            if kind == "blank":
                blank = token[0]
                continue
            if kind == "comment" and (end := self._comment(value, at)):
                at, blank = end, b" "
                continue
            if kind != "special" or not self._special(token[0]):
                self._add(_Word(token[0], _text(token[0], kind), blank))
            blank = b""

    def _add(self, word: _Word) -> None:
        if self._open:
            self._bracketed.append(word)
            return
        words = self._words
        if (
            word.blank
            and not self._has_brackets
            and self._has_at
            and words[-1].raw not in (b"@", b".")
            and word.raw[0] not in b"@."
        ):
            self._finish()  # the comma was forgotten
        self._words.append(word)
        self._has_at = self._has_at or word.raw == b"@"

    def _comment(self, value: bytes, start: int) -> int:
        """Take a comment, nested ones with it; return the offset after it, 0 if it stays open."""
        depth, at = 1, start
        while depth and not self._is_unbalanced:
            found = _IN_COMMENT.search(value, at)
            if found is None:
                self._is_unbalanced = True  # once is enough: what follows is read as text
                break
            at = found.end()
            depth += {b"(": 1, b")": -1}.get(found[0], 0)
        if self._is_unbalanced:
            return 0
        self._comments.append(value[start : at - 1])
        return at

    def _special(self, special: bytes) -> bool:
        """Act on a delimiter; false means that it is part of an address."""
        if self._open:
            if special == b">":
                self._open = False
                return True
            return special == b"<"
        if special == b",":
            self._finish()
        elif special == b";":
            self._finish()
            if self._in_group:
                self.addresses.append(GROUP_END)
            self._in_group = False
        elif special == b":" and not self._in_group and not self._has_brackets:
            self.addresses.append(Address(None, _phrase(self._words), None))
            self._in_group = True
            self._reset()
        elif special == b"<":
            if self._has_brackets:
                self._finish()
            self._open = self._has_brackets = True
        else:
            return special != b"@"  # a stray > or : goes
        return True

    def _finish(self) -> None:
        """End the address that has been collected, if there is one."""
        words, comment = self._words, b" ".join(self._comments).strip()
        if self._has_brackets:
            where = _split(self._bracketed)
            self.addresses.append(Address(_phrase(words) or comment or None, *where))
        elif words:
            first = _first_of_address(words)
            where = _split(words[first:])
            self.addresses.append(Address(_phrase(words[:first]) or comment or None, *where))
        self._reset()


def _text(raw: bytes, kind: str | None) -> bytes:
    if kind != "quoted":
        return raw
    return _ESCAPED.sub(rb"\1", raw[1:-1])


def _phrase(words: list[_Word]) -> bytes:
    return b"".join([word.blank + word.text for word in words]).strip()


def _first_of_address(words: list[_Word]) -> int:
    """Return where, in words without brackets, the address starts: ``Jo Doe jo@example.com``."""
    at = next((at for at, word in enumerate(words) if word.raw == b"@"), 0)
    first = max(at - 1, 0)
    while first > 0 and (
        not words[first].blank
        or words[first].raw.startswith(b".")
        or words[first - 1].raw.endswith(b".")
    ):
        first -= 1
    return first


def _split(words: list[_Word]) -> tuple[bytes, bytes, bytes | None]:
    """Return mailbox, host and route (RFC 5322 4.4 obs-route) of an address."""
    raw = [word.raw for word in words]
    route = None
    if raw[:1] == [b"@"] and b":" in raw:
        end = len(raw) - raw[::-1].index(b":")
        route = b"".join(raw[: end - 1])
        words, raw = words[end:], raw[end:]
    if b"@" not in raw:
        return _joined(words), b"", route
    at = len(raw) - 1 - raw[::-1].index(b"@")
    return _joined(words[:at]), b"".join(raw[at + 1 :]), route


def _joined(words: list[_Word]) -> bytes:
    """Write a mailbox: blanks stay between words, and go around a dot."""
    mailbox: list[bytes] = []
    for word in words:
        if (
            word.blank
            and mailbox
            and mailbox[-1][-1:] not in b".@"
            and word.raw[:1] not in (b".", b"@")
        ):
            mailbox.append(b" ")
        mailbox.append(word.raw)
    return b"".join(mailbox)
