"""FETCH responses for many messages at once, from what is known of them, with no work per message in Python.

Each item gives a format and a list of values for a slice of messages; the responses of the slice are one
format, repeated, filled in by one operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter

from courier.maildir.items import Damaged, Table
from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from courier.message.facts import NUMBER, Flag
from courier.message.objectid import THREAD_PIECES, email_id, thread_ids
from imapd import dates, saved, section, updates
from imapd.wire.fetch_att import FetchItem
from imapd.wire.section import Section, SectionText
from imapd.wire.writer import string

#: Messages in one slice: some hundred microseconds of work.
SLICE = 500
#: Octets that the texts of a slice may have together, unless it is one message.
_MAX_OCTETS = 4 << 20

Values = Sequence[int] | Sequence[bytes] | Sequence[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Rows:
    """Messages with neighbouring sequence numbers, and what is known of them."""

    view: View
    table: Table | None  # None: only UID and FLAGS are asked for
    start: int  # of the first; its sequence number is one more
    stop: int

    def numbers(self, name: str) -> list[int]:
        assert self.table is not None
        return self.table.numbers(name, self.start, self.stop)

    def pieces(self, name: str) -> list[bytes]:
        assert self.table is not None
        return self.table.pieces(name, self.start, self.stop)

    def views(self, name: str) -> list[bytes | memoryview]:
        assert self.table is not None
        return [*self.table.views(name, self.start, self.stop)]


@dataclass(frozen=True, slots=True)
class Writer:
    """How one item is written: a format with a place for each list of values."""

    format: bytes
    values: Callable[[Rows], Sequence[Values]]


@dataclass(frozen=True, slots=True)
class Batch:
    """How a list of items is written for many messages."""

    writers: tuple[Writer, ...]
    needs_table: bool
    excluded: int  # facts.Flag of messages for which it can't be
    needs_more: bool  # of each message a digest has to be known: see `known.enriched`
    sections: tuple[int, ...]  # writers that give header lines, which are counted
    uid_only: bool = False  # RFC 9586
    backwards: bool = False  # from the highest sequence number down (RFC 9738)

    def slices(self, table: Table | None, wanted: NumberSet) -> Iterator[tuple[int, int]]:
        """Cut messages into slices, as `slices` does, in the order in which they are to be written.

        Backwards one that can't be written whole is cut into messages.
        """
        if not self.backwards:
            yield from slices(table, wanted)
            return
        for start, stop in reversed([*slices(table, wanted)]):
            if self._is_whole(table, start, stop):
                yield start, stop
            else:
                yield from ((row, row + 1) for row in reversed(range(start, stop)))

    def _is_whole(self, table: Table | None, start: int, stop: int) -> bool:
        try:
            return self.end_of_run(table, start, stop) == stop
        except Damaged:
            return False

    def end_of_run(self, table: Table | None, start: int, stop: int) -> int:
        """Tell how far from ``start`` on messages can be written from what is known."""
        if table is None:
            return stop
        if self.needs_more:
            known = [bool(digest) for digest in table.views("digest", start, stop)]
            stop = start + known.index(False) if False in known else stop
        flags = table.numbers("flags", start, stop)
        if table.is_complete(start, stop) and not any(map(self.excluded.__and__, flags)):
            return stop
        rows = table.rows[start:stop]
        for place, (row, flag) in enumerate(zip(rows, flags, strict=True)):
            if not row or flag & self.excluded:
                return start + place
        return stop

    def end_of_gap(self, table: Table | None, start: int, stop: int) -> int:
        """Tell how far after ``start``, which can't be written so, the same holds of others."""
        if table is None:
            return stop
        flags = table.unchecked_flags(start + 1, stop)
        for place, (row, flag) in enumerate(zip(table.rows[start + 1 : stop], flags, strict=True)):
            if row and not flag & self.excluded:
                return start + 1 + place
        return stop

    def write(self, rows: Rows) -> tuple[bytes, int]:
        """Write the responses; return them and the octets of header lines in them."""
        values = [writer.values(rows) for writer in self.writers]
        line = b" ".join([writer.format for writer in self.writers])
        numbers: Sequence[int] = range(rows.start + 1, rows.stop + 1)
        if self.uid_only:
            numbers = rows.view.uids[rows.start : rows.stop]
        lines: Iterable[tuple[object, ...]] = zip(*chain((numbers,), *values), strict=True)
        if self.backwards:
            lines = reversed([*lines])
        headers = sum(int(size) for place in self.sections for size in values[place][0])
        count = rows.stop - rows.start
        name = b"UIDFETCH" if self.uid_only else b"FETCH"
        text = (b"* %d " + name + b" (" + line + b")\r\n") * count
        return text % tuple(chain.from_iterable(lines)), headers


def batch(
    items: Sequence[FetchItem], *, utf8: bool, uid_only: bool = False, backwards: bool = False
) -> Batch | None:
    """Plan a FETCH of these items; None if one of them needs the message."""
    writers = [_writer(item, utf8) for item in items]
    known = [writer for writer in writers if writer is not None]
    if len(known) < len(items):
        return None
    excluded = 0
    sections = []
    for place, item in enumerate(items):
        if item.section is not None:
            excluded |= Flag.HEADER_IN_FILE
            sections.append(place)
        elif item.name in _PIECES:
            excluded |= Flag.TEXT_IN_FILE
    needs_table = any(item.name not in _OF_COLUMNS for item in items)
    needs_more = any(item.name in OF_DIGESTS for item in items)
    return Batch(
        tuple(known), needs_table, excluded, needs_more, tuple(sections), uid_only, backwards
    )


def slices(table: Table | None, wanted: NumberSet) -> Iterator[tuple[int, int]]:
    """Cut messages, given by sequence numbers, into slices of neighbours: rows from, and up to."""
    for low, high in wanted.ranges():
        start = low - 1
        while start < high:
            stop = min(start + SLICE, high)
            while table is not None and stop - start > 1:
                if table.octets(start, stop) <= _MAX_OCTETS:
                    break
                stop = start + (stop - start) // 2
            yield start, stop
            start = stop


#: Items for which a digest has to be known, or what is found with it.
OF_DIGESTS = ("EMAILID", "PREVIEW")
#: Items for which nothing need be known of what is in a message.
_OF_COLUMNS = ("UID", "FLAGS", "MODSEQ", "SAVEDATE")
_PIECES = {"ENVELOPE": "envelope", "BODY": "body", "BODYSTRUCTURE": "bodystructure"}


def _previews(rows: Rows) -> tuple[list[bytes]]:
    pairs = zip(rows.pieces("preview"), rows.pieces("digest"), strict=True)
    return ([string(preview) if digest else b"NIL" for preview, digest in pairs],)


def _save_dates(rows: Rows) -> tuple[list[bytes]]:
    found = saved.dates(rows.view, rows.start, rows.stop)
    texts = iter(dates.date_times([date for date in found if date is not None]))
    return ([b"NIL" if date is None else next(texts) for date in found],)


def _writer(item: FetchItem, utf8: bool) -> Writer | None:
    name = item.name
    if name == "UID":
        return Writer(b"UID %d", lambda rows: (rows.view.uids[rows.start : rows.stop],))
    if name == "FLAGS":
        return Writer(b"FLAGS %b", lambda rows: (flag_lists(rows.view, rows.start, rows.stop),))
    if name == "MODSEQ":
        return Writer(b"MODSEQ (%d)", lambda rows: (rows.view.modseqs[rows.start : rows.stop],))
    if name == "RFC822.SIZE":
        return Writer(b"RFC822.SIZE %d", lambda rows: (rows.numbers("size"),))
    if name == "INTERNALDATE":
        return Writer(
            b"INTERNALDATE %b", lambda rows: (dates.date_times(rows.numbers("internal_date")),)
        )
    if name == "SAVEDATE":
        return Writer(b"SAVEDATE %b", _save_dates)
    if name == "EMAILID":
        return Writer(
            b"EMAILID (%b)",
            lambda rows: (
                list(map(email_id, rows.pieces("digest"), rows.numbers("internal_date"))),
            ),
        )
    if name == "THREADID":
        return Writer(
            b"THREADID (%b)",
            lambda rows: (thread_ids([rows.pieces(piece) for piece in THREAD_PIECES]),),
        )
    if name in ("PREVIEW", "PREVIEW LAZY"):
        return Writer(b"PREVIEW %b", _previews)
    piece = _PIECES.get(name)
    if piece is not None:
        return Writer(name.encode() + b" %b", lambda rows: (_forms(rows, piece, utf8),))
    wanted = item.section
    if wanted is not None and item.partial is None and _is_known(wanted):
        return _header_writer(wanted)
    return None


def _forms(rows: Rows, piece: str, utf8: bool) -> list[bytes | memoryview]:
    """Give texts, in the form for this client where there are two."""
    texts = rows.views(piece)
    flags = rows.numbers("flags")
    if any(map(Flag.UTF8.__and__, flags)):
        for place, flag in enumerate(flags):
            if flag & Flag.UTF8:
                texts[place] = bytes(texts[place]).split(b"\0")[utf8]
    return texts


def _is_known(wanted: Section) -> bool:
    return (
        not wanted.part
        and wanted.text is SectionText.HEADER_FIELDS
        and all(name.lower() in NUMBER for name in wanted.fields)
    )


def _header_writer(wanted: Section) -> Writer:
    name = b"BODY[" + section.echo(wanted).replace(b"%", b"%%") + b"] {%d}\r\n%b"
    picks = _Picks(frozenset(NUMBER[field.lower()] + 1 for field in wanted.fields))
    join = b"".join

    def values(rows: Rows) -> Sequence[Values]:
        lines = [piece.split(b"\0") for piece in rows.pieces("header")]
        texts = [join(picks[each[0]](each)) for each in lines]
        return list(map(len, texts)), texts

    return Writer(name, values)


_Pick = Callable[[list[bytes]], tuple[bytes, ...]]


class _Picks(dict[bytes, _Pick]):
    """For a header with these fields: what takes the wanted ones out of `facts.header_piece`.

    A folder has few different headers, as far as the fields in them go.
    """

    _KEPT = 4096

    def __init__(self, wanted: frozenset[int]) -> None:
        super().__init__()
        self._wanted = wanted

    def __missing__(self, numbers: bytes) -> _Pick:
        if len(self) >= self._KEPT:
            self.clear()
        places = [place for place, number in enumerate(numbers, 1) if number in self._wanted]
        pick: _Pick = itemgetter(*places, -2, -1)
        self[numbers] = pick
        return pick


class _FlagLists(dict[tuple[int, int], bytes]):
    """The flag lists of a view: there are few different ones."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view

    def __missing__(self, key: tuple[int, int]) -> bytes:
        text = self[key] = updates.flag_text(self._view, *key)
        return text


def flag_lists(view: View, start: int, stop: int) -> list[bytes]:
    """Write the flags of messages as this client sees them."""
    texts = _FlagLists(view)
    keys = zip(view.flags[start:stop], view.keywords[start:stop], strict=True)
    lists = list(map(texts.__getitem__, keys))
    for place in recent_places(view, start, stop):
        lists[place - start] = updates.flag_list(view, place + 1)
    return lists


def recent_places(view: View, start: int, stop: int) -> list[int]:
    """List the rows among these whose messages are ``\\Recent`` for this client."""
    if not view.tells_recent:
        return []
    slices = view.shown_recent().slices(view.uids[start:stop])
    return [start + place for begin, end in slices for place in range(begin, end)]
