"""The parser: one whole command in, values out, without I/O (RFC 3501 9).

Every method is named after the rule it reads. Nothing is altered but the position, and what
does not fit raises `ParseError`; whoever asked decides what the client is told.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from imapd.wire import grammar

T = TypeVar("T")

#: Parts that a parenthesised list may have: no client comes near, and lists stay cheap.
_MAX_LIST = 1_000
#: Seconds since 1970 between which any file system can hold a file's time.
_EARLIEST, _LATEST = -(1 << 31), 1 << 33


class ParseError(Exception):
    """The command does not fit the grammar; the argument names the rule that failed."""


class NotUtf8(ParseError):
    """A quoted string is in some other character set."""


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """A sequence-set as written: pairs of numbers, ``None`` standing for ``*``."""

    ranges: tuple[tuple[int | None, int | None], ...]
    is_saved: bool = False  # ``$``: what the last search saved (RFC 5182)


@dataclass(frozen=True, slots=True)
class PartialRange:
    """A partial-range (RFC 9394 4): places among results, from 1, negative ones from the end."""

    first: int
    last: int  # as written: either may be the smaller one

    def of(self, results: Sequence[T]) -> Sequence[T]:
        """Give those of the results that there are, in their order."""
        first, last = self.places(len(results))
        return results[first - 1 : last]

    def places(self, count: int) -> tuple[int, int]:
        """Give the first and the last place among so many results; a last of 0: there are none."""
        low, high = sorted((self.first, self.last))
        if low > 0:
            return low, high
        return max(count + low + 1, 1), max(count + high + 1, 0)

    def __str__(self) -> str:
        return f"{self.first}:{self.last}"


class Parser:
    """Reads the arguments of one command, from left to right."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    def copy(self) -> Parser:
        """Give another parser at the same place."""
        return Parser(self._data, self._at)

    def resumed(self, data: bytes) -> Parser:
        """Give another parser at the same place of a command of which more is there."""
        return Parser(data, self._at)

    def mentions(self, word: bytes) -> bool:
        """Tell whether a word in capitals is somewhere in what is left, whatever it means there."""
        return word in self._data[self._at :].upper()

    def at_announced_literal(self) -> bool:
        """Tell whether all that is left announces a literal that has not been read."""
        return grammar.LITERAL_AT_END.match(self._data, self._at) is not None

    def rest(self) -> bytes:
        """Give all that is left."""
        return self._data[self._at :]

    def fail(self, rule: str) -> ParseError:
        return ParseError(rule)

    def match(self, pattern: re.Pattern[bytes], rule: str) -> re.Match[bytes]:
        """Read a terminal symbol."""
        match = pattern.match(self._data, self._at)
        if match is None:
            raise self.fail(rule)
        self._at = match.end()
        return match

    def optional(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Read a terminal symbol, if it is there."""
        match = pattern.match(self._data, self._at)
        if match is not None:
            self._at = match.end()
        return match

    def optional_byte(self, byte: bytes) -> bool:
        if self._data.startswith(byte, self._at):
            self._at += len(byte)
            return True
        return False

    # -- structure -------------------------------------------------------------------------

    def sp(self) -> None:
        """``SP`` between arguments."""
        self.match(grammar.SP, "SP")

    def end(self) -> None:
        """The end of the command: nothing but its line end is left."""
        self.match(grammar.END, "CRLF")

    def at_end(self) -> bool:
        return grammar.END.match(self._data, self._at) is not None

    def at(self, byte: bytes) -> bool:
        """Tell whether the next octets are ``byte``."""
        return self._data.startswith(byte, self._at)

    def byte(self, byte: bytes) -> None:
        """Read exactly ``byte``."""
        if not self.optional_byte(byte):
            raise self.fail(byte.decode("ascii"))

    def one_of(self, *choices: bytes) -> bytes:
        """Read the first of ``choices`` that fits; empty if none does."""
        return next((choice for choice in choices if self.optional_byte(choice)), b"")

    def peek_word(self) -> str:
        """Give the next word in upper case without reading it; empty if there is none."""
        match = grammar.KEYWORD.match(self._data, self._at)
        return "" if match is None else match[0].decode("ascii").upper()

    def word(self) -> str:
        """Read a keyword of the grammar, in upper case."""
        return self.match(grammar.KEYWORD, "keyword")[0].decode("ascii").upper()

    def parenthesised(self, item: Callable[[], T], *, empty: bool = False) -> list[T]:
        """``"(" item *(SP item) ")"``, or ``"()"`` where ``empty`` allows it."""
        if not self.optional_byte(b"("):
            raise self.fail("(")
        self.optional(grammar.SP)
        items: list[T] = []
        if empty and self.optional_byte(b")"):
            return items
        while True:
            items.append(item())
            if len(items) > _MAX_LIST:
                raise self.fail("list too long")
            spaced = self.optional(grammar.SP)
            if self.optional_byte(b")"):
                return items
            if not spaced:
                raise self.fail("SP")

    # -- strings ---------------------------------------------------------------------------

    def atom(self) -> bytes:
        return self.match(grammar.ATOM, "atom")[0]

    def quoted(self) -> bytes:
        """``quoted``; text beyond ASCII must be UTF-8."""
        text = self.match(grammar.QUOTED, "quoted")[1]
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError as error:
                raise NotUtf8("quoted") from error
        return grammar.QUOTED_PAIR.sub(rb"\1", text) if b"\\" in text else text

    def literal(self) -> bytes:
        """``literal``: any octets but NUL."""
        match = self.match(grammar.LITERAL, "literal")
        data = self._data[self._at : self._at + int(match[2])]
        if len(data) != int(match[2]) or (b"\0" in data and not match[1]):
            raise self.fail("literal")
        self._at += len(data)
        return data

    def string(self) -> bytes:
        if self.at(b'"'):
            return self.quoted()
        return self.literal()

    def astring(self) -> bytes:
        if self.at(b'"') or self.at(b"{") or self.at(b"~{"):
            return self.string()
        return self.match(grammar.ASTRING, "astring")[0]

    def login_word(self) -> bytes:
        """An astring of LOGIN, where clients leave passwords without the quotes they need."""
        if self.at(b'"') or self.at(b"{"):
            return self.string()
        return self.match(grammar.LOGIN_WORD, "astring")[0]

    def nstring(self) -> bytes | None:
        if self.peek_word() == "NIL" and not self.at(b'"'):
            self.word()
            return None
        return self.string()

    def list_mailbox(self) -> bytes:
        """``list-mailbox``: an astring that may hold wildcards."""
        if self.at(b'"') or self.at(b"{"):
            return self.string()
        return self.match(grammar.LIST_MAILBOX, "list-mailbox")[0]

    # -- numbers ---------------------------------------------------------------------------

    def number(self) -> int:
        """``number``: 0 to 4294967295 (RFC 3501 9)."""
        value = int(self.match(grammar.NUMBER, "number")[0])
        if value > grammar.MAX_NUMBER:
            raise self.fail("number")
        return value

    def number64(self) -> int:
        """``number64``: 0 to 2^63-1 (RFC 9051 9)."""
        value = int(self.match(grammar.NUMBER64, "number64")[0])
        if value > grammar.MAX_NUMBER64:
            raise self.fail("number64")
        return value

    def nz_number(self) -> int:
        """``nz-number``: 1 to 4294967295 (RFC 3501 9)."""
        value = int(self.match(grammar.NZ_NUMBER, "nz-number")[0])
        if value > grammar.MAX_NUMBER:
            raise self.fail("nz-number")
        return value

    def mod_sequence(self) -> int:
        """``mod-sequence-valzer``: 0 to 2^63-1 (RFC 7162 7)."""
        value = int(self.match(grammar.MOD_SEQUENCE, "mod-sequence-valzer")[0])
        if value > grammar.MAX_MOD_SEQUENCE:
            raise self.fail("mod-sequence-valzer")
        return value

    def partial_range(self) -> PartialRange:
        """``partial-range``: both numbers count from the same end (RFC 9394 4)."""
        match = self.match(grammar.PARTIAL_RANGE, "partial-range")
        first, last = int(match[1]), int(match[3])
        if max(abs(first), abs(last)) > grammar.MAX_NUMBER:
            raise self.fail("nz-number")
        return PartialRange(first, last)

    def sequence_set(self) -> SequenceSet:
        """``sequence-set``. Cost follows its length, whatever numbers it names."""
        if self.optional_byte(b"$"):
            return SequenceSet((), is_saved=True)
        text = self.match(grammar.SEQUENCE_SET, "sequence-set")[0]
        ranges = []
        for part in text.split(b","):
            match = grammar.SEQ_RANGE.fullmatch(part)
            if match is None:
                raise self.fail("seq-range")
            low = self._seq_number(match[1])
            ranges.append((low, low if match[2] is None else self._seq_number(match[2])))
        return SequenceSet(tuple(ranges))

    def _seq_number(self, text: bytes) -> int | None:
        if text == b"*":
            return None
        value = int(text)
        if value > grammar.MAX_NUMBER:
            raise self.fail("nz-number")
        return value

    # -- flags and dates -------------------------------------------------------------------

    def flag(self) -> str:
        """``flag``: a system flag with its backslash, or a keyword."""
        return self.match(grammar.FLAG, "flag")[0].decode("ascii")

    def flag_list(self) -> list[str]:
        return self.parenthesised(self.flag, empty=True)

    def flags(self) -> list[str]:
        """``flag *(SP flag)``, of STORE alone."""
        found = [self.flag()]
        while not self.at_end():
            self.sp()
            found.append(self.flag())
            if len(found) > _MAX_LIST:
                raise self.fail("list too long")
        return found

    def date(self) -> datetime.date:
        """``date``: with or without quotes."""
        quoted = self.optional_byte(b'"')
        match = self.match(grammar.DATE, "date")
        if quoted and not self.optional_byte(b'"'):
            raise self.fail("date")
        month = grammar.MONTHS.get(match[2].lower())
        try:
            return datetime.date(int(match[3]), month or 0, int(match[1]))
        except ValueError as error:
            raise self.fail("date") from error

    def date_time(self) -> int:
        """``date-time``, as seconds since 1970."""
        match = self.match(grammar.DATE_TIME, "date-time")
        month = grammar.MONTHS.get(match[2].lower())
        offset_s = (int(match[8]) * 60 + int(match[9])) * (-60 if match[7] == b"-" else 60)
        try:
            local = datetime.datetime(
                int(match[3]),
                month or 0,
                int(match[1]),
                int(match[4]),
                int(match[5]),
                min(int(match[6]), 59),  # a leap second
                tzinfo=datetime.timezone(datetime.timedelta(seconds=offset_s)),
            )
            seconds = int(local.timestamp())
        except (ValueError, OverflowError) as error:
            raise self.fail("date-time") from error
        if not _EARLIEST <= seconds < _LATEST:
            raise self.fail("date-time")
        return seconds

    def objectid(self) -> bytes:
        """``objectid`` (RFC 8474 7)."""
        return self.match(grammar.OBJECTID, "objectid")[0]


def command(text: bytes) -> tuple[bytes, str, Parser]:
    """``tag SP command-name``: give both and a parser for the arguments.

    ``UID FETCH`` and its kin come as one name.

    Raises:
        ParseError: there is no such beginning.
    """
    parser = Parser(text)
    parser.optional(grammar.SP)
    tag = parser.match(grammar.TAG, "tag")[0]
    parser.sp()
    name = parser.word()
    if name == "UID" and not parser.at_end():
        parser.sp()
        name = "UID " + parser.word()
    return tag, name, parser
