"""SEARCH: which messages match one criterion."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from courier.maildir import filename
from courier.maildir.filename import Flag
from courier.maildir.numberset import runs
from courier.message.collation import Needle
from imapd import criteria, leaves, matching
from imapd.criterion import (
    EVERYTHING,
    NOTHING,
    All,
    Bounds,
    Candidate,
    Cost,
    Criterion,
    Leaf,
    Negated,
    Rows,
)
from imapd.smap.refusal import failed
from imapd.smap.words import Words, ranges
from imapd.wire.parser import ParseError, Parser, SequenceSet

if TYPE_CHECKING:
    from imapd.smap.session import Session

_FAILED = "SEARCH failed"
#: Ranges of numbers in one line.
_IN_A_LINE = 101
_RANGE = re.compile(r"([1-9][0-9]{0,17})(?:[-:]([1-9][0-9]{0,17}))?")
_NUMBER = re.compile(r"[0-9]{1,18}")
_NEVER = 1 << 62


def search(session: Session, words: Words) -> Generator[Any, Any, str]:
    among = _among(words.take())
    word = words.take()
    is_negated = word.upper() == "NOT"
    if is_negated:
        word = words.take()
    criterion = _criterion(word.upper(), words)
    wanted = All([among, Negated(criterion) if is_negated else criterion])
    found = yield from matching.find(wanted, session.selected)
    numbers = runs(row + 1 for row in matching.set_rows(found))
    while some := list(islice(numbers, _IN_A_LINE)):
        yield b"* SEARCH " + ranges(some) + b"\n"
    return "Search completed."


def _among(word: str) -> Criterion:
    """Read which messages are looked at.

    Raises:
        Refused: it is no set.
    """
    if word.upper() in _ALL:
        return _ALL[word.upper()]
    pairs = []
    for part in word.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            raise failed(_FAILED)
        low = int(found[1])
        pairs.append((low, int(found[2] or low)))
    return leaves.numbers(SequenceSet(tuple((low, high) for low, high in pairs if low <= high)))


_ALL: Mapping[str, Criterion] = {
    "ALL": EVERYTHING,
    "MARKED": leaves.flag(Flag.FLAGGED, is_set=True),
    "UNMARKED": leaves.flag(Flag.FLAGGED, is_set=False),
}
_FLAGS: Mapping[str, Criterion] = {
    "REPLIED": leaves.flag(Flag.ANSWERED, is_set=True),
    "DELETED": leaves.flag(Flag.DELETED, is_set=True),
    "DRAFT": leaves.flag(Flag.DRAFT, is_set=True),
    "SEEN": leaves.flag(Flag.SEEN, is_set=True),
}


def _criterion(word: str, words: Words) -> Criterion:
    """Read a criterion, whose name has been read, and its arguments.

    Raises:
        Refused: there is none of this name.
    """
    if word in _FLAGS:
        return _FLAGS[word]
    if word == "KEYWORD":
        return leaves.keyword(words.take())
    if word == "HEADER":
        name = words.take()
        return leaves.field(name.encode("utf-8", "surrogateescape"), _needle(words.take()))
    if word in criteria.FIELDS:
        return leaves.field(criteria.FIELDS[word], _needle(words.take()))
    if word == "BODY":
        return leaves.body(_needle(words.take()))
    if word == "TEXT":
        return leaves.anywhere(_needle(words.take()))
    if word in criteria.DATES or word in criteria.SENT_DATES:
        return _by_date(word, words.take())
    if word in ("SMALLER", "LARGER"):
        return _by_size(word, words.take())
    raise failed(_FAILED)


def _needle(text: str) -> Needle | None:
    """Give what to search for; None for octets that are no text."""
    return None if any("\ud800" <= char <= "\udfff" for char in text) else Needle(text)


def _by_date(word: str, text: str) -> Criterion:
    """Read a date as IMAP has it. Courier: what is none matches nothing."""
    try:
        parser = Parser(text.encode("utf-8", "surrogateescape"))
        day = parser.date()
        parser.end()
    except ParseError:
        return NOTHING
    if word in criteria.DATES:
        return leaves.arrived(*criteria.DATES[word](day))
    return leaves.sent(*criteria.SENT_DATES[word](day))


def _by_size(word: str, text: str) -> Criterion:
    if not _NUMBER.fullmatch(text):
        return NOTHING
    limit = int(text)
    least, below = (0, limit) if word == "SMALLER" else (limit + 1, _NEVER)
    return Leaf(Cost.FILE_TIMES, _sizes(least, below), _is_of_size(least, below))


def _sizes(least: int, below: int) -> Callable[[Rows], Bounds]:
    """Tell of the sizes of files that their names state."""

    def column(rows: Rows) -> Bounds:
        columns = rows.view.folder.columns
        low, high = bytearray(rows.end - rows.first), bytearray(rows.end - rows.first)
        for place, uid in enumerate(rows.view.uids[rows.first : rows.end]):
            row = columns.row(uid)
            size = None if row is None else filename.stated_size(filename.base(columns.names[row]))
            low[place] = size is not None and least <= size < below
            high[place] = low[place] or (size is None and row is not None)
        return rows.mask(low), rows.mask(high)

    return column


def _is_of_size(least: int, below: int) -> Callable[[Candidate], bool]:
    return lambda candidate: least <= candidate.rows.view.folder.stat(candidate.uid).st_size < below
