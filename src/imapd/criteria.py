"""Search criteria: reading them (RFC 9051 6.4.4, RFC 3501 6.4.4, RFC 5032, RFC 5182)."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence

from courier.maildir.filename import Flag
from courier.maildir.numberset import NumberSet
from courier.message import charset, text
from courier.message import date as message_date
from courier.message.collation import Needle
from imapd.completion import Bad, CommandFailed, No
from imapd.matching import (
    EVERYTHING,
    NOTHING,
    All,
    Bounds,
    Candidate,
    Cost,
    Criterion,
    Either,
    Leaf,
    Negated,
    Rows,
    by_column,
    by_message,
)
from imapd.wire.parser import Parser, SequenceSet

#: Courier: 1,000 nodes. Deeper nesting than this no client needs, and the parser recurses.
MAX_NODES = 1_000
MAX_DEPTH = 200
#: Seconds since 1970 that no file's time reaches.
_NEVER = 1 << 62


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
    return _keys(arguments, encoding)


def read_with_charset(arguments: Parser, *, utf8: bool) -> Criterion:
    """Read ``charset 1*(SP search-key)`` to the command's end, as SORT and THREAD have it.

    Raises: as `read`.
    """
    name = arguments.astring()
    if utf8 and name.upper() != b"UTF-8":  # RFC 6855 3
        text = "Only UTF-8 charset is valid after enabling RFC 6855 support"
        raise CommandFailed(Bad(text, "BADCHARSET"))
    encoding = _codec(name)
    arguments.sp()
    return _keys(arguments, encoding)


def _codec(name: bytes) -> str:
    codec = charset.codec(name.decode("ascii", "replace"))
    if codec is None:
        refusal = No("The requested character set is not supported.", "BADCHARSET")
        raise CommandFailed(refusal)
    return codec


def _keys(arguments: Parser, encoding: str) -> Criterion:
    reader = _Reader(arguments, encoding)
    keys = [reader.key(0)]
    while not arguments.at_end():
        arguments.sp()
        keys.append(reader.key(0))
    arguments.end()
    return _all(keys)


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
            return Negated(self.key(depth + 1))
        if word == "OR":
            self._arguments.sp()
            first = self.key(depth + 1)
            self._arguments.sp()
            return Either(first, self.key(depth + 1))
        return self._leaf(word)

    def _leaf(self, word: str) -> Criterion:
        if word in _FLAGS:
            return _flag(*_FLAGS[word])
        if word in _SIMPLE:
            return _SIMPLE[word]
        self._arguments.sp()
        if word in ("KEYWORD", "UNKEYWORD"):
            key = _keyword(self._arguments.atom().decode("ascii"))
            return key if word == "KEYWORD" else Negated(key)
        if word == "UID":
            return _uids(self._arguments.sequence_set())
        if word in _DATES:
            return _arrived(*_DATES[word](self._arguments.date()))
        if word in _SENT_DATES:
            return _sent(*_SENT_DATES[word](self._arguments.date()))
        if word in ("OLDER", "YOUNGER"):  # RFC 5032
            then = int(time.time()) - self._arguments.nz_number()
            return _arrived(-_NEVER, then + 1) if word == "OLDER" else _arrived(then, _NEVER)
        if word == "LARGER":
            return _sized(self._arguments.number() + 1, _NEVER)
        if word == "SMALLER":
            return _sized(0, self._arguments.number())
        return self._text(word)

    def _text(self, word: str) -> Criterion:
        if word == "HEADER":
            field = self._arguments.astring()
            self._arguments.sp()
            return _field(field, self._needle())
        if word in _FIELDS:
            return _field(_FIELDS[word], self._needle())
        if word == "BODY":
            return _body(self._needle())
        if word == "TEXT":
            return _anywhere(self._needle())
        raise self._arguments.fail("search-key")

    def _needle(self) -> Needle | None:
        """A string to search for; None if its octets are none in its character set."""
        octets = self._arguments.astring()
        try:
            return Needle(octets.decode(self._encoding))
        except UnicodeError:
            return None


def _all(keys: Sequence[Criterion]) -> Criterion:
    return keys[0] if len(keys) == 1 else All(keys)


# -- what columns tell -------------------------------------------------------------------------


def _flag(wanted: Flag, is_set: bool) -> Leaf:
    table = bytes(bool(flags & wanted) == is_set for flags in range(256))
    return by_column(lambda rows: rows.exactly(rows.mask(_flags(rows).translate(table))))


def _flags(rows: Rows) -> bytes:
    return rows.view.flags[rows.first : rows.end]


def _keyword(word: str) -> Leaf:
    wanted = word.lower()

    def column(rows: Rows) -> Bounds:
        sets = rows.view.folder.keyword_sets
        having = {n for n, words in enumerate(sets) if wanted in map(str.lower, words)}
        if not having:
            return rows.exactly(0)
        return rows.where(map(having.__contains__, rows.view.keywords[rows.first : rows.end]))

    return by_column(column)


def _uids(which: SequenceSet) -> Leaf:
    def column(rows: Rows) -> Bounds:
        uids = rows.view.uids
        if which.is_saved:
            return rows.slices(rows.view.saved.slices(uids))
        last = uids[-1] if uids else 0
        ranges = ((low or last, high or last) for low, high in which.ranges)
        return rows.slices(NumberSet(pair for pair in ranges if pair != (0, 0)).slices(uids))

    return by_column(column)


def _numbers(which: SequenceSet) -> Leaf:
    if which.is_saved:
        return _uids(which)

    def column(rows: Rows) -> Bounds:
        last = len(rows.view.uids)
        pairs = [sorted((low or last, high or last)) for low, high in which.ranges]
        return rows.slices((low - 1, high) for low, high in pairs)

    return by_column(column)


def _recent(rows: Rows) -> Bounds:
    view = rows.view
    bounds = rows.slices(view.recent.slices(view.uids))
    if not view.read_only:
        return bounds
    waiting = NumberSet.of(view.folder.unclaimed)
    return rows.exactly(bounds[0] | rows.slices(waiting.slices(view.uids))[0])


_RECENT = by_column(_recent)


# -- what has to be read -----------------------------------------------------------------------


def _arrived(since: int, until: int) -> Leaf:
    return by_message(Cost.FILE_TIMES, lambda c: since <= c.arrival < until)


def _sent(since: int, until: int) -> Leaf:
    """The day in ``Date:`` as written, whatever its zone; the day of arrival if it has none.

    Args:
        since, until: ordinals of days.
    """
    return by_message(Cost.HEADER, lambda c: since <= _day_sent(c).toordinal() < until)


def _day_sent(candidate: Candidate) -> datetime.date:
    value = candidate.message.fields.get(b"date")
    sent = None if value is None else message_date.parse(value)
    if sent is not None:
        return sent.day
    try:
        return datetime.datetime.fromtimestamp(candidate.arrival).date()
    except (ValueError, OverflowError):  # a time that no calendar has
        return datetime.date(1970, 1, 1)


def _sized(least: int, below: int) -> Leaf:
    return by_message(Cost.BODY, lambda c: least <= c.message.size < below)


def _field(name: bytes, needle: Needle | None) -> Leaf:
    if needle is None:
        return NOTHING
    return by_message(Cost.HEADER, lambda c: text.field_contains(c.message, name, needle))


def _body(needle: Needle | None) -> Leaf:
    if needle is None:
        return NOTHING
    return by_message(Cost.BODY, lambda c: text.body_contains(c.message, needle))


def _anywhere(needle: Needle | None) -> Leaf:
    if needle is None:
        return NOTHING
    return by_message(Cost.BODY, lambda c: text.message_contains(c.message, needle))


_DAY = datetime.timedelta(days=1)


def _begin(day: datetime.date) -> int:
    """Give the first second of a day in the server's zone."""
    try:
        return int(datetime.datetime(day.year, day.month, day.day).timestamp())
    except (ValueError, OverflowError):
        return -_NEVER if day.year < 1970 else _NEVER


def _next(day: datetime.date) -> datetime.date:
    return day + _DAY if day < datetime.date.max else day


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
_SIMPLE: dict[str, Criterion] = {
    "ALL": EVERYTHING,
    "RECENT": _RECENT,
    "OLD": Negated(_RECENT),
    "NEW": All([_flag(Flag.SEEN, False), _RECENT]),
}
_FIELDS = {"BCC": b"bcc", "CC": b"cc", "FROM": b"from", "SUBJECT": b"subject", "TO": b"to"}
_DATES: dict[str, Callable[[datetime.date], tuple[int, int]]] = {
    "BEFORE": lambda day: (-_NEVER, _begin(day)),
    "ON": lambda day: (_begin(day), _begin(_next(day))),
    "SINCE": lambda day: (_begin(day), _NEVER),
}
_SENT_DATES: dict[str, Callable[[datetime.date], tuple[int, int]]] = {
    "SENTBEFORE": lambda day: (-_NEVER, day.toordinal()),
    "SENTON": lambda day: (day.toordinal(), day.toordinal() + 1),
    "SENTSINCE": lambda day: (day.toordinal(), _NEVER),
}
