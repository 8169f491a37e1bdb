"""FETCH: contents of messages, then what else there is to say of them, a line for each."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir import filename
from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from courier.message.message import Message
from courier.process.request import Work
from imapd.commands.store import mark_seen
from imapd.mailbox import sequence_numbers
from imapd.smap import contents, reports
from imapd.smap.contents import Item, Sent
from imapd.smap.refusal import failed
from imapd.smap.words import InvalidSet, Words, quoted, within

if TYPE_CHECKING:
    from imapd.smap.session import Session

_DONE = "Message retrieved."
_ATTRIBUTES = frozenset(("FLAGS", "KEYWORDS", "UID", "SIZE", "INTERNALDATE"))
#: Messages whose lines are written together.
_SLICE = 200
#: Octets of a message from which on its contents are put together in a thread.
_LARGE = 65_536
#: What a word in quotes holds in another form, or not at all.
_QUOTED = re.compile(rb'["\n\r\0]')
#: What stands for a message that is gone and has kept its number.
_GONE = Message(
    b"From: System Administrator <root@localhost>\n"
    b"Subject: message unavailable\n"
    b"\n"
    b"This message is no longer available on the server.\n"
)


def fetch(session: Session, words: Words) -> Generator[Any, Any, str]:
    view = session.selected
    try:
        wanted = within(words.message_set(), len(view.uids))
    except InvalidSet:
        return _DONE  # Courier
    attributes: set[str] = set()
    items: list[Item] = []
    for word in words.rest():
        item = contents.item(word)
        if item is not None:
            items.append(item)
        elif word.upper() in _ATTRIBUTES:
            attributes.add(word.upper())
    for item in items:
        for seq in sequence_numbers(wanted):
            yield from _contents(session, item, seq)
    if not session.settings.keywords:
        attributes.discard("KEYWORDS")
        if not attributes:
            return _DONE
    if attributes:
        for start, stop in _slices(wanted):
            yield from _lines(view, start, stop, attributes)
    return _DONE


# -- contents ------------------------------------------------------------------------------------


def _contents(session: Session, item: Item, seq: int) -> Generator[Any, Any, None]:
    view = session.selected
    message = yield from _message(session, seq)
    sent = Sent()
    blocks = contents.write(message, item, seq, sent)
    if len(message.data) < _LARGE:
        yield b"".join(blocks)
    else:
        while (piece := (yield Work(partial(next, blocks, None)))) is not None:
            yield piece
    counts = session.connection.counts
    counts.headers, counts.body = counts.headers + sent.headers, counts.body + sent.body
    if not item.peeks and not view.read_only and "s" in session.rights:
        try:
            newly_seen = yield Work(partial(mark_seen, view, [view.uids[seq - 1]]))
        except OSError as error:
            log.error("cannot mark message", view.folder.path, error)
            return
        if newly_seen:
            session.note_change()
            yield b"* FETCH %d FLAGS=%b\n" % (seq, reports.FLAG_LISTS[view.flags[seq - 1]])


def _message(session: Session, seq: int) -> Generator[Any, Any, Message]:
    """Read a message, unless it is the one read last: clients ask for its parts one by one."""
    folder, uid = session.selected.folder, session.selected.uids[seq - 1]
    kept = session.opened
    if (
        kept is not None
        and kept.uid == uid
        and kept.uidvalidity == folder.uidvalidity
        and isinstance(kept.message, Message)
        and not session.selected.is_gone(uid)
    ):
        return kept.message

    def read() -> Any:
        data, found = folder.read(uid)
        message = Message(data)
        message.root  # noqa: B018  # of a large one that takes its time
        return message, found

    try:
        message, found = yield Work(read)
    except FileNotFoundError:  # also if all of the folder is
        return _GONE
    except OSError as error:
        raise failed(contents.FAILED, error) from error
    assert isinstance(message, Message)
    session.keep(uid, message, found)
    return message


# -- what else there is to say -------------------------------------------------------------------


def _slices(wanted: NumberSet) -> Iterator[tuple[int, int]]:
    """Cut sequence numbers into slices of neighbours, as rows from, and up to."""
    for low, high in wanted.ranges():
        for start in range(low - 1, high, _SLICE):
            yield start, min(start + _SLICE, high)


def _lines(view: View, start: int, stop: int, attributes: set[str]) -> Generator[Any, Any, None]:
    """Write the lines of some messages: one format, repeated, filled in by one operation."""
    formats = [b"* FETCH %d"]
    columns: list[Iterable[int] | Iterable[bytes]] = [range(start + 1, stop + 1)]
    if "FLAGS" in attributes:
        formats.append(b"FLAGS=%b")
        columns.append(map(reports.FLAG_LISTS.__getitem__, view.flags[start:stop]))
    if "KEYWORDS" in attributes:
        sets = view.folder.keyword_sets
        numbers = view.keywords[start:stop]
        texts = {number: reports.keyword_list(sets[number]) for number in set(numbers)}
        formats.append(b"%b")
        columns.append(map(texts.__getitem__, numbers))
    names = _names(view, start, stop)
    if "UID" in attributes:
        formats.append(b'"UID=%b"')
        columns.append(_tellable(names))
    if attributes & {"SIZE", "INTERNALDATE"}:
        sizes, dates = yield Work(
            partial(_of_files, view, start, names, with_dates="INTERNALDATE" in attributes)
        )
        if "SIZE" in attributes:
            formats.append(b"SIZE=%d")
            columns.append(sizes)
        if "INTERNALDATE" in attributes:
            formats.append(b'"INTERNALDATE=%b"')
            columns.append(map(_date, dates))
    values = chain.from_iterable(zip(*columns, strict=True))
    yield (b" ".join(formats) + b"\n") * (stop - start) % tuple(values)


def _tellable(names: list[bytes]) -> list[bytes]:
    """Give names as they stand in quotes."""
    if not _QUOTED.search(b"".join(names)):
        return names
    return [quoted(os.fsdecode(name))[1:-1] for name in names]


def _names(view: View, start: int, stop: int) -> list[bytes]:
    """Give the names by which clients know some messages."""
    if view.columns.uids is view.uids:
        return [filename.base(name) for name in view.columns.names.between(start, stop)]
    return [reports.uid(view, row + 1) for row in range(start, stop)]


def _of_files(
    view: View, start: int, names: list[bytes], *, with_dates: bool
) -> tuple[list[int], list[int]]:
    """Give sizes, and dates if they are wanted, of some messages."""
    sizes, dates = [], []
    for place, name in enumerate(names):
        size, date = filename.stated_size(name), 0
        if size is None or with_dates:
            try:
                found = view.folder.stat(view.uids[start + place])
                date = int(found.st_mtime)
                size = found.st_size if size is None else size
            except OSError:  # gone, and another stands for it
                size, date = len(_GONE.data), int(time.time())
        sizes.append(size)
        dates.append(date)
    return sizes, dates


def _date(seconds: int) -> bytes:
    """Write a moment in the server's zone: ``Tue, 04 Mar 2025 10:00:00 +0000``."""
    try:
        moment = time.localtime(seconds)
    except (ValueError, OverflowError, OSError):  # a time that no calendar has
        moment = time.localtime(0)
    offset = moment.tm_gmtoff // 60
    hours, minutes = divmod(abs(offset), 60)
    day, month = _DAYS[moment.tm_wday], _MONTHS[moment.tm_mon - 1]
    return (
        f"{day}, {moment.tm_mday:02} {month} {moment.tm_year:04} "
        f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02} "
        f"{'-' if offset < 0 else '+'}{hours:02}{minutes:02}"
    ).encode()


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
