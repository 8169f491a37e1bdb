"""What one search key asks: bounds from columns, or a look at a message (RFC 9051 6.4.4)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from courier.maildir.folder import Folder
from courier.maildir.items import Damaged, Table
from courier.maildir.memo import Memos
from courier.maildir.numberset import NumberSet
from courier.message import date as message_date
from courier.message import facts, header, objectid, text
from courier.message.collation import Needle
from imapd import folded, saved
from imapd.criterion import (
    EVERYTHING,
    NOTHING,
    Bounds,
    Candidate,
    Cost,
    Leaf,
    Rows,
    by_column,
    by_message,
    by_modseq,
    by_number,
    by_uid,
)
from imapd.wire.grammar import MAX_NUMBER
from imapd.wire.parser import SequenceSet

if TYPE_CHECKING:
    from courier.maildir.fulltext import Candidates

# -- what the view has ---------------------------------------------------------------------------


def changed(modseq: int) -> Leaf:
    """Messages with this MODSEQ or a higher one (RFC 7162 3.1.5)."""
    return by_modseq(
        lambda rows: rows.where(at >= modseq for at in rows.view.modseqs[rows.first : rows.end])
    )


def flag(wanted: int, *, is_set: bool) -> Leaf:
    table = bytes(bool(flags & wanted) == is_set for flags in range(256))
    return by_column(
        lambda rows: rows.exactly(
            rows.mask(bytes(rows.view.flags[rows.first : rows.end]).translate(table))
        )
    )


def keyword(word: str) -> Leaf:
    wanted = word.lower()

    def column(rows: Rows) -> Bounds:
        sets = rows.view.folder.keyword_sets
        having = {n for n, words in enumerate(sets) if wanted in map(str.lower, words)}
        if not having:
            return rows.exactly(0)
        return rows.where(map(having.__contains__, rows.view.keywords[rows.first : rows.end]))

    return by_column(column)


def uids(which: SequenceSet) -> Leaf:
    def column(rows: Rows) -> Bounds:
        uids = rows.view.uids
        if which.is_saved:
            return rows.slices(rows.view.saved.slices(uids))
        last = uids[-1] if len(uids) else 0
        ranges = ((low or last, high or last) for low, high in which.ranges)
        return rows.slices(NumberSet(pair for pair in ranges if pair != (0, 0)).slices(uids))

    return by_uid(column)


def among(uids: NumberSet) -> Leaf:
    """Messages with these UIDs."""
    return by_uid(lambda rows: rows.slices(uids.slices(rows.view.uids)))


def after(uid: int) -> Leaf:
    """Messages with higher UIDs (RFC 9738 3.2)."""
    return among(NumberSet([(uid + 1, MAX_NUMBER)]) if uid < MAX_NUMBER else NumberSet())


def before(uid: int) -> Leaf:
    """Messages with lower UIDs (RFC 9738 3.2)."""
    return among(NumberSet([(1, uid - 1)]) if uid > 1 else NumberSet())


def numbers(which: SequenceSet) -> Leaf:
    if which.is_saved:
        return uids(which)

    return by_number(lambda view_rows: view_rows.slices(rows(which, len(view_rows.view.uids))))


def rows(which: SequenceSet, count: int) -> Iterator[tuple[int, int]]:
    """Give the half-open ranges of rows that sequence numbers name among so many messages."""
    pairs = (sorted((low or count, high or count)) for low, high in which.ranges)
    return ((max(low - 1, 0), high) for low, high in pairs)


def _recent(rows: Rows) -> Bounds:
    view = rows.view
    return rows.slices(view.shown_recent().slices(view.uids))


RECENT = by_column(_recent)

# -- what is kept of messages --------------------------------------------------------------------


def arrived(since: int, until: int) -> Leaf:
    """INTERNALDATE in seconds since 1970, from ``since`` and before ``until``."""

    def column(rows: Rows) -> Bounds:
        if rows.table is None:
            return rows.unknown
        dates = rows.table.numbers("internal_date", rows.first, rows.end)
        mask, _ = rows.where([since <= date < until for date in dates])
        return rows.kept(mask, wanted=False)

    return Leaf(Cost.FILE_TIMES, column, lambda c: since <= c.arrival < until)


def saved_between(since: int, until: int) -> Leaf:
    """The save date in seconds since 1970, from ``since`` and before ``until`` (RFC 8514 4.3)."""

    def column(rows: Rows) -> Bounds:
        dates = saved.stated(rows.view, rows.first, rows.end)
        low = rows.mask(bytes(date is not None and since <= date < until for date in dates))
        return low, low | rows.mask(bytes(date is None for date in dates))

    return Leaf(Cost.FILE_TIMES, column, lambda c: since <= c.arrival < until)


def of_email(text: bytes) -> Leaf:
    """EMAILID: only messages of its internal date need be looked at (RFC 8474 6)."""
    wanted = objectid.read_email_id(text)
    if wanted is None:
        return NOTHING
    content, date = wanted

    def column(rows: Rows) -> Bounds:
        if rows.table is None:
            return rows.unknown
        dates = rows.table.numbers("internal_date", rows.first, rows.end)
        mask = rows.mask(bytes(one == date for one in dates))
        return 0, mask | rows.missing

    def look(candidate: Candidate) -> bool:
        return candidate.arrival == date and objectid.digest(candidate.message.data) == content

    return Leaf(Cost.BODY, column, look)


def of_thread(wanted: bytes) -> Leaf:
    """THREADID (RFC 8474 6)."""

    def column(rows: Rows) -> Bounds:
        if rows.table is None:
            return rows.kept(0)
        names = objectid.THREAD_PIECES
        pieces = [rows.table.pieces(name, rows.first, rows.end) for name in names]
        return rows.kept(rows.mask(bytes(one == wanted for one in objectid.thread_ids(pieces))))

    def look(candidate: Candidate) -> bool:
        return facts.thread_id(candidate.message.data) == wanted

    return Leaf(Cost.HEADER, column, look)


def sent(since: int, until: int) -> Leaf:
    """The day in ``Date:`` as written, in days since 1970; a message without one matches nothing."""

    def column(rows: Rows) -> Bounds:
        if rows.table is None:
            return rows.kept(0)
        days = rows.table.numbers("sent_day", rows.first, rows.end)
        flags = rows.table.numbers("flags", rows.first, rows.end)
        mask, _ = rows.where([since <= day < until for day in days])
        undated, _ = rows.where([flag & facts.Flag.NO_DATE != 0 for flag in flags])
        return rows.kept(mask & (undated ^ rows.every))

    return Leaf(Cost.HEADER, column, lambda c: _was_sent(c, since, until))


def _was_sent(candidate: Candidate, since: int, until: int) -> bool:
    value = candidate.message.fields.get(b"date")
    sent = None if value is None else message_date.parse(value)
    return sent is not None and since <= sent.day.toordinal() - message_date.EPOCH < until


def sized(least: int, below: int) -> Leaf:
    """RFC822.SIZE, from ``least`` and under ``below``."""

    def column(rows: Rows) -> Bounds:
        if rows.table is None:
            return rows.kept(0)
        sizes = rows.table.numbers("size", rows.first, rows.end)
        mask, _ = rows.where([least <= size < below for size in sizes])
        return rows.kept(mask)

    return Leaf(Cost.HEADER, column, lambda c: least <= c.message.size < below)


#: Fields whose values are kept as they are searched.
_FOLDED = frozenset((b"subject", b"from", b"to", b"cc", b"bcc"))


def field(name: bytes, needle: Needle | None) -> Leaf:
    """The message's own fields of this name."""
    if needle is None:
        return NOTHING
    name = name.lower()
    number = facts.NUMBER.get(name)
    if number is None:
        return by_message(Cost.HEADER, lambda c: text.field_contains(c.message, name, needle))
    octets = needle.text.encode("utf-8", "surrogatepass")

    @functools.cache  # one search looks at one table, or at a second one
    def whole(memos: Memos, table: Table) -> folded.Texts | None:
        return folded.of_folder(memos, table, name.decode())

    def column(rows: Rows) -> Bounds:
        table = rows.table
        if table is None:
            return rows.kept(0)
        flags = table.numbers("flags", rows.first, rows.end)
        untold, _ = rows.where([flag & facts.Flag.TEXT_IN_FILE != 0 for flag in flags])
        if not octets or name not in _FOLDED:
            fields = table.numbers("fields", rows.first, rows.end)
            mask, _ = rows.where([bits >> number & 1 == 1 for bits in fields])
            return rows.kept(mask, untold=untold | mask if octets else untold)
        texts = whole(rows.view.folder.memos, table)
        if texts is not None:
            hits = texts.hits(octets, rows.first, rows.end)
        else:
            some = folded.of_messages(table, name.decode(), rows.first, rows.end)
            hits = some.hits(octets, 0, rows.end - rows.first)
        return rows.kept(rows.mask(hits), untold=untold)

    return Leaf(Cost.HEADER, column, lambda c: _has_field(c, name, needle))


def _has_field(candidate: Candidate, name: bytes, needle: Needle) -> bool:
    """Look into the header lines that are kept, or into the message if they are not."""
    values = _kept_values(candidate, name)
    if values is None:
        return text.field_contains(candidate.message, name, needle)
    return any(needle.is_in(text.value(name, value)) for value in values)


def _kept_values(candidate: Candidate, name: bytes) -> list[bytes] | None:
    """Give the raw values of a field from the lines that are kept; None if they are not."""
    table, row = candidate.rows.table, candidate.row
    if table is None or not table.rows[row]:
        return None
    if table.numbers("flags", row, row + 1)[0] & facts.Flag.HEADER_IN_FILE:
        return None
    try:
        (piece,) = table.pieces("header", row, row + 1)
    except Damaged:
        return None
    named, *lines = piece.split(b"\0")  # see facts.header_piece
    wanted = facts.NUMBER[name] + 1
    return [
        header.after_colon(name, line)
        for found, line in zip(named, lines, strict=False)
        if found == wanted
    ]


# -- what stands in messages ---------------------------------------------------------------------


def body(needle: Needle | None) -> Leaf:
    """The text of the bodies; an empty string is in every body, also in one without text."""
    if needle is None:
        return NOTHING
    if not needle.text:
        return EVERYTHING
    column = _by_full_text(needle, in_head=False)
    return Leaf(Cost.BODY, column, lambda c: any(map(needle.is_in, c.bodies)))


def anywhere(needle: Needle | None) -> Leaf:
    """The text of header and bodies."""
    if needle is None:
        return NOTHING
    column = _by_full_text(needle, in_head=True)
    return Leaf(Cost.BODY, column, lambda c: _is_anywhere(c, needle))


def _is_anywhere(candidate: Candidate, needle: Needle) -> bool:
    if text.header_contains(candidate.message, needle):
        return True
    return any(map(needle.is_in, candidate.bodies))


def _by_full_text(needle: Needle, *, in_head: bool) -> Callable[[Rows], Bounds]:
    """Leave those messages out in which a text can't be, as far as the full-text index tells."""

    @functools.cache  # one search asks once, whatever others add meanwhile
    def candidates(folder: Folder) -> Candidates | None:
        index = folder.fulltext
        if index is None:
            return None
        return index.candidates(folder.uidvalidity, folder.columns, needle.text, in_head=in_head)

    def column(rows: Rows) -> Bounds:
        found = candidates(rows.view.folder)
        if found is None:
            return rows.unknown
        uids = rows.view.uids
        known, _ = rows.slices(found.known.slices(uids))
        may_have, _ = rows.slices(found.may_have.slices(uids))
        return 0, (known ^ rows.every) | may_have

    return column
