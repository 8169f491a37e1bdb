"""The values that SORT and THREAD compare, for the messages that a search found.

They are kept with what else is known of messages (`courier.maildir.items`); what can't be kept, as in a
large folder of another user, is read for each command. A message whose file is gone or can't be read
has none: numbers are 0, texts empty. For a folder of some size the order of its texts, and its
threads, are kept as memos: later sessions look at no text at all.
"""

from __future__ import annotations

import errno
import time
from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import compress
from typing import Any, NamedTuple, TypeVar

from courier import log
from courier.maildir.folder import MessageGone
from courier.maildir.items import Damaged, Table
from courier.maildir.memo import Memos
from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from courier.message import ordering
from courier.message.facts import Flag
from courier.message.message import Message
from courier.process.request import Work
from imapd import known, order, threads
from imapd.matching import set_ranges, set_rows
from imapd.order import Column
from imapd.request import Step
from imapd.threads import Forest, Messages

T = TypeVar("T")

#: Times that damaged files are thrown away before the disk is taken to be at fault.
_TRIES = 3
#: Messages of a folder from which on memos are worth their files.
_WORTH = 1_000
#: Seconds for which messages are read before others get their turn.
_TURN_S = 0.004
#: Rows that are read at once: nothing else runs meanwhile.
_RUN = 16_384
_NUMBERS = {"ARRIVAL": "internal_date", "DATE": "sent", "SIZE": "size"}
_PIECES = {
    "CC": "cc_key",
    "DISPLAYFROM": "from_name",
    "DISPLAYTO": "to_name",
    "FROM": "from_key",
    "SUBJECT": "base_subject",
    "TO": "to_key",
}


class _Message(NamedTuple):
    """What is known of a message that was read for one command."""

    arrival: int  # seconds since 1970
    size: int
    keys: ordering.Keys

    def number(self, name: str) -> int:
        """Give what `Table.numbers` would."""
        if name == "size":
            return self.size
        if name == "flags":
            return Flag.REPLY if self.keys.is_reply else 0
        if name == "sent" and self.keys.sent is not None:
            return self.keys.sent
        return self.arrival

    def text(self, piece: str) -> bytes:
        """Give what `Table.pieces` would."""
        keys = self.keys
        if piece == "ids":
            return b"\n".join([keys.message_id, *keys.references])
        text = {
            "base_subject": keys.subject,
            "cc_key": keys.cc_mailbox,
            "from_key": keys.from_mailbox,
            "from_name": keys.from_display,
            "to_key": keys.to_mailbox,
            "to_name": keys.to_display,
        }[piece]
        return text.encode("utf-8", "surrogatepass")


#: Messages of which nothing is kept, by row.
Unkept = dict[int, _Message]


def columns(
    view: View, found: bytes, names: Sequence[str]
) -> Generator[Step, Any, dict[str, Column]]:
    """Give the values of the messages found for the sort keys of these names.

    Args:
        found: an octet for each message, 1 if it was.
    """
    memos = view.folder.memos

    def pick(table: Table, more: Unkept) -> dict[str, Column]:
        return {name: _column(memos, table, more, found, name) for name in names}

    return (yield from _read(view, found, pick))


def threading(
    view: View, found: bytes, name: str, algorithm: Callable[[Messages], Forest]
) -> Generator[Step, Any, tuple[bytes, Sequence[int]]]:
    """Thread the messages found: give a template and what fills it, as `threads.template` does.

    Args:
        name: of the algorithm.
    """
    memos = view.folder.memos

    def pick(table: Table, more: Unkept) -> tuple[bytes, Sequence[int]]:
        return _template(memos, table, more, found, name, algorithm)

    return (yield from _read(view, found, pick))


def _read(view: View, found: bytes, pick: Callable[[Table, Unkept], T]) -> Generator[Step, Any, T]:
    """Read what is not known yet of the messages found, then pick from what is known.

    Raises:
        OSError: what was kept is damaged again and again.
    """
    for _ in range(_TRIES):
        wanted = yield Work(partial(_wanted, view, found))
        table = yield from known.ready(view, wanted)
        more = yield from _unkept(view, table, found)
        picked: T | None = yield Work(partial(_unless_damaged, partial(pick, table, more)))
        if picked is not None:
            return picked
        known.renew(view, table)
    raise OSError(errno.EIO, "index damaged", view.folder.path)


def _wanted(view: View, found: bytes) -> NumberSet | None:
    """Give the sequence numbers of the messages found, or None if all are known."""
    if known.current(view).is_complete():
        return None
    return NumberSet((begin + 1, end) for begin, end in set_ranges(found))


def _unless_damaged(pick: Callable[[], T]) -> T | None:
    """Pick, or give None: only what a session knows of may be raised by `Work`."""
    try:
        return pick()
    except Damaged:
        return None


# -- what is not kept ----------------------------------------------------------------------------


def _unkept(view: View, table: Table, found: bytes) -> Generator[Step, Any, Unkept]:
    """Read messages of which nothing could be kept."""
    more: Unkept = {}
    if not table.is_complete():
        rows = (row for row in set_rows(found) if not table.rows[row])
        while (yield Work(partial(_look, view, rows, more))):
            yield b""
    return more


def _look(view: View, rows: Iterator[int], more: Unkept) -> bool:
    """Look at messages for a while; tell whether some may be left."""
    until = time.monotonic() + _TURN_S
    for row in rows:
        try:
            data, found = view.folder.read(view.uids[row])
        except MessageGone:
            continue
        except OSError as error:
            log.error("cannot sort message", view.folder.path, error)
            continue
        message = Message(data)
        more[row] = _Message(int(found.st_mtime), message.size, ordering.keys(message))
        if time.monotonic() > until:
            return True
    return False


# -- columns -------------------------------------------------------------------------------------


def _column(memos: Memos, table: Table, more: Unkept, found: bytes, name: str) -> Column:
    if name in _NUMBERS:
        return _found(_numbers(table, more, _NUMBERS[name]), found)
    piece = _PIECES[name]
    if not more and found.count(1) * 8 < len(found):
        return [table.pieces(piece, row, row + 1)[0] for row in set_rows(found)]
    return _found(_ranks(memos, table, more, piece), found)


def _ranks(memos: Memos, table: Table, more: Unkept, piece: str) -> Sequence[int]:
    """Give the places of all messages in the order of a text."""
    stamp = table.stamp() if len(table) >= _WORTH else None
    name = f"order-{piece.replace('_', '-')}"
    if stamp is not None:
        body = memos.load(name, stamp)
        if body is not None and len(body) == 4 * len(table):
            return array("I", body)
    ranks = order.ranks(_texts(table, more, piece))
    if stamp is not None:
        memos.save(name, stamp, ranks.tobytes())
    return ranks


def _numbers(table: Table, more: Unkept, name: str) -> list[int]:
    numbers = [n for start, end in _runs(table) for n in table.numbers(name, start, end)]
    for row, message in more.items():
        numbers[row] = message.number(name)
    return numbers


def _texts(table: Table, more: Unkept, piece: str) -> list[bytes]:
    texts = [text for start, end in _runs(table) for text in table.pieces(piece, start, end)]
    for row, message in more.items():
        texts[row] = message.text(piece)
    return texts


def _runs(table: Table) -> Iterator[tuple[int, int]]:
    return ((start, min(start + _RUN, len(table))) for start in range(0, len(table), _RUN))


def _found(column: Sequence[T], found: bytes) -> Sequence[T]:
    return column if 0 not in found else list(compress(column, found))


# -- threads -------------------------------------------------------------------------------------


def _template(
    memos: Memos,
    table: Table,
    more: Unkept,
    found: bytes,
    name: str,
    algorithm: Callable[[Messages], Forest],
) -> tuple[bytes, Sequence[int]]:
    stamp = table.stamp() if len(found) >= _WORTH and 0 not in found else None
    name = f"threads-{name.lower()}"
    if stamp is not None:
        body = memos.load(name, stamp)
        if body is not None and body.count(b"%", 4 * len(found)) == len(found):
            return body[4 * len(found) :], array("I", body[: 4 * len(found)])
    by_subject = algorithm is threads.ordered_subject
    template, places = threads.template(algorithm(_messages(table, more, found, by_subject)))
    if stamp is not None:
        memos.save(name, stamp, array("I", places).tobytes() + template)
    return template, places


def _messages(table: Table, more: Unkept, found: bytes, by_subject: bool) -> Messages:
    """Give what threading goes by; dates and subjects alone if ``by_subject``."""
    sent = _found(_numbers(table, more, "sent"), found)
    subjects = _found(_texts(table, more, "base_subject"), found)
    if by_subject:
        return Messages(sent, subjects)
    ids = _found(_texts(table, more, "ids"), found)
    return Messages(
        sent=sent,
        subjects=subjects,
        replies=[flags & Flag.REPLY for flags in _found(_numbers(table, more, "flags"), found)],
        ids=[one.partition(b"\n")[0] for one in ids],
        references=_References(ids),
    )


class _References:
    """References, cut out of the pieces when they are looked at: kept, they would be a million lists."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[list[bytes]]:
        for piece in self._pieces:
            yield piece.split(b"\n")[1:]
