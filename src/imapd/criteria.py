"""Search criteria: reading them, and testing messages against them. RFC 9051 6.4.4, RFC 3501 6.4.4.

A criterion is a node with a cost; what costs least is tested first, so that a message file is
read only if nothing cheaper has decided. A message that is gone matches nothing.
"""

from __future__ import annotations

import datetime
import enum
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from courier.maildir.filename import Flag
from courier.maildir.folder import MessageGone
from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from courier.message import charset, text
from courier.message import date as message_date
from courier.message.collation import Needle
from courier.message.message import Message
from imapd.completion import Bad, CommandFailed, No
from imapd.wire.parser import Parser, SequenceSet

#: Courier: 1,000 nodes. Deeper nesting than this no client needs, and the parser recurses.
MAX_NODES = 1_000
MAX_DEPTH = 200


class Cost(enum.IntEnum):
    """What has to be looked at."""

    COLUMNS = 0
    FILE_TIMES = 1
    HEADER = 2
    BODY = 3


class Candidate:
    """One message under test. The file is looked at, and read, at most once."""

    __slots__ = ("_found", "_message", "seq", "uid", "view")

    def __init__(self, view: View, seq: int) -> None:
        self.view = view
        self.seq = seq
        self.uid = view.uids[seq - 1]
        self._message: Message | None = None
        self._found: os.stat_result | None = None

    @property
    def flags(self) -> int:
        return self.view.flags[self.seq - 1]

    @property
    def message(self) -> Message:
        """Raises MessageGone, OSError."""
        if self._message is None:
            data, self._found = self.view.folder.read(self.uid)
            self._message = Message(data)
        return self._message

    @property
    def date(self) -> datetime.date:
        """INTERNALDATE's day in the server's zone. Raises as `message`."""
        if self._found is None:
            self._found = self.view.folder.stat(self.uid)
        try:
            return datetime.datetime.fromtimestamp(self._found.st_mtime).date()
        except (ValueError, OverflowError):  # a time that no calendar has
            return datetime.date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Criterion:
    """A test and what it costs."""

    cost: Cost
    test: Callable[[Candidate], bool]


def matches(criterion: Criterion, view: View, seq: int) -> bool:
    """Test one message of a view.

    Raises:
        OSError: it can't be read, though it is there.
    """
    try:
        return criterion.test(Candidate(view, seq))
    except MessageGone:
        return False


def read(arguments: Parser, *, utf8: bool) -> Criterion:
    """Read ``[CHARSET astring] search-key *(SP search-key)`` to the command's end.

    Raises:
        ParseError: the grammar, or one of the limits above.
        CommandFailed: the character set is not known, or may not be named.
    """
    encoding = "utf-8"
    if arguments.peek_word() == "CHARSET":
        if utf8:  # RFC 6855 3
            raise CommandFailed(Bad("CHARSET is not valid in UTF8 mode as per RFC 6855"))
        arguments.word()
        arguments.sp()
        encoding = _codec(arguments.astring())
        arguments.sp()
    reader = _Reader(arguments, encoding)
    keys = [reader.key(0)]
    while not arguments.at_end():
        arguments.sp()
        keys.append(reader.key(0))
    arguments.end()
    return _all(keys)


def _codec(name: bytes) -> str:
    codec = charset.codec(name.decode("ascii", "replace"))
    if codec is None:
        refusal = No("The requested character set is not supported.", "BADCHARSET")
        raise CommandFailed(refusal)
    return codec


class _Reader:
    """Reads search-keys."""

    def __init__(self, arguments: Parser, encoding: str) -> None:
        self._arguments = arguments
        self._encoding = encoding
        self._nodes = 0

    def key(self, depth: int) -> Criterion:
        """``search-key``."""
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise self._arguments.fail("too many criteria")
        if self._arguments.at(b"("):
            return _all(self._arguments.parenthesised(lambda: self.key(depth + 1)))
        word = self._arguments.peek_word()
        if not word:
            return _numbers(self._arguments.sequence_set())
        self._arguments.word()
        if word == "NOT":
            self._arguments.sp()
            return _negated(self.key(depth + 1))
        if word == "OR":
            self._arguments.sp()
            first = self.key(depth + 1)
            self._arguments.sp()
            return _either(first, self.key(depth + 1))
        return self._leaf(word)

    def _leaf(self, word: str) -> Criterion:
        if word in _FLAGS:
            wanted, present = _FLAGS[word]
            return Criterion(Cost.COLUMNS, lambda c: bool(c.flags & wanted) == present)
        if word in _SIMPLE:
            return Criterion(Cost.COLUMNS, _SIMPLE[word])
        self._arguments.sp()
        if word in ("KEYWORD", "UNKEYWORD"):
            return _keyword(self._arguments.atom().decode("ascii"), present=word == "KEYWORD")
        if word == "UID":
            return _uids(self._arguments.sequence_set())
        if word in _DATES:
            return Criterion(Cost.FILE_TIMES, _DATES[word](self._arguments.date()))
        if word in _SENT_DATES:
            return Criterion(Cost.HEADER, _SENT_DATES[word](self._arguments.date()))
        if word == "LARGER":
            size = self._arguments.number()
            return Criterion(Cost.BODY, lambda c: c.message.size > size)
        if word == "SMALLER":
            size = self._arguments.number()
            return Criterion(Cost.BODY, lambda c: c.message.size < size)
        return self._text(word)

    def _text(self, word: str) -> Criterion:
        if word == "HEADER":
            field = self._arguments.astring()
            self._arguments.sp()
            needle = self._needle()
            return Criterion(Cost.HEADER, lambda c: text.field_contains(c.message, field, needle))
        if word in _FIELDS:
            field, needle = _FIELDS[word], self._needle()
            return Criterion(Cost.HEADER, lambda c: text.field_contains(c.message, field, needle))
        if word == "BODY":
            needle = self._needle()
            return Criterion(Cost.BODY, lambda c: text.body_contains(c.message, needle))
        if word == "TEXT":
            needle = self._needle()
            return Criterion(Cost.BODY, lambda c: text.message_contains(c.message, needle))
        raise self._arguments.fail("search-key")

    def _needle(self) -> Needle:
        """A string to search for."""
        return Needle(self._arguments.astring().decode(self._encoding, "replace"))


def _all(keys: Sequence[Criterion]) -> Criterion:
    if len(keys) == 1:
        return keys[0]
    tests = [key.test for key in sorted(keys, key=lambda key: key.cost)]
    return Criterion(max(key.cost for key in keys), lambda c: all(test(c) for test in tests))


def _either(first: Criterion, second: Criterion) -> Criterion:
    if second.cost < first.cost:
        first, second = second, first
    one, other = first.test, second.test
    return Criterion(second.cost, lambda c: one(c) or other(c))


def _negated(key: Criterion) -> Criterion:
    test = key.test
    return Criterion(key.cost, lambda c: not test(c))


def _keyword(word: str, *, present: bool) -> Criterion:
    wanted = word.lower()
    return Criterion(
        Cost.COLUMNS,
        lambda c: any(other.lower() == wanted for other in c.view.keyword_words(c.seq)) == present,
    )


class _Resolved:
    """A set of numbers, resolved for the view it is first asked about: ``*`` is its last."""

    def __init__(self, which: SequenceSet, last: Callable[[View], int]) -> None:
        self._which = which
        self._last = last
        self._numbers: NumberSet | None = None

    def has(self, view: View, number: int) -> bool:
        if self._numbers is None:
            last = self._last(view)
            ranges = ((low or last, high or last) for low, high in self._which.ranges)
            self._numbers = NumberSet(pair for pair in ranges if pair != (0, 0))
        return number in self._numbers


def _numbers(which: SequenceSet) -> Criterion:
    resolved = _Resolved(which, lambda view: len(view.uids))
    return Criterion(Cost.COLUMNS, lambda c: resolved.has(c.view, c.seq))


def _uids(which: SequenceSet) -> Criterion:
    resolved = _Resolved(which, lambda view: view.uids[-1] if view.uids else 0)
    return Criterion(Cost.COLUMNS, lambda c: resolved.has(c.view, c.uid))


def _sent(candidate: Candidate) -> datetime.date:
    """The day in ``Date:`` as written, whatever its zone; the day of arrival if it has none."""
    value = candidate.message.fields.get(b"date")
    sent = None if value is None else message_date.parse(value)
    return candidate.date if sent is None else sent.day


def _is_recent(candidate: Candidate) -> bool:
    return candidate.view.is_recent(candidate.uid)


def _is_new(candidate: Candidate) -> bool:
    return not candidate.flags & Flag.SEEN and _is_recent(candidate)


_FLAGS = {
    "ANSWERED": (Flag.ANSWERED, True),
    "DELETED": (Flag.DELETED, True),
    "DRAFT": (Flag.DRAFT, True),
    "FLAGGED": (Flag.FLAGGED, True),
    "SEEN": (Flag.SEEN, True),
    "UNANSWERED": (Flag.ANSWERED, False),
    "UNDELETED": (Flag.DELETED, False),
    "UNDRAFT": (Flag.DRAFT, False),
    "UNFLAGGED": (Flag.FLAGGED, False),
    "UNSEEN": (Flag.SEEN, False),
}
_SIMPLE: dict[str, Callable[[Candidate], bool]] = {
    "ALL": lambda c: True,
    "RECENT": _is_recent,
    "OLD": lambda c: not _is_recent(c),
    "NEW": _is_new,
}
_FIELDS = {"BCC": b"bcc", "CC": b"cc", "FROM": b"from", "SUBJECT": b"subject", "TO": b"to"}
_Days = Callable[[datetime.date], Callable[[Candidate], bool]]
_DATES: dict[str, _Days] = {
    "BEFORE": lambda day: lambda c: c.date < day,
    "ON": lambda day: lambda c: c.date == day,
    "SINCE": lambda day: lambda c: c.date >= day,
}
_SENT_DATES: dict[str, _Days] = {
    "SENTBEFORE": lambda day: lambda c: _sent(c) < day,
    "SENTON": lambda day: lambda c: _sent(c) == day,
    "SENTSINCE": lambda day: lambda c: _sent(c) >= day,
}
