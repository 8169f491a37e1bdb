"""The values that SORT and THREAD compare, for the messages that a search found.

They are kept with what else is known of messages (`courier.maildir.items`). A message whose file is
gone or can't be read has none: numbers are 0, texts empty.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import compress
from typing import Any, TypeVar

from courier.maildir.items import Damaged, Table
from courier.maildir.numberset import NumberSet, runs
from courier.maildir.view import View
from courier.message.facts import Flag
from courier.process.request import Work
from imapd import known
from imapd.order import Column
from imapd.request import Step
from imapd.threads import Messages

T = TypeVar("T")

#: Times that damaged files are thrown away before the disk is taken to be at fault.
_TRIES = 3
_NUMBERS = {"ARRIVAL": "internal_date", "DATE": "sent", "SIZE": "size"}
_PIECES = {
    "CC": "cc_key",
    "DISPLAYFROM": "from_name",
    "DISPLAYTO": "to_name",
    "FROM": "from_key",
    "SUBJECT": "base_subject",
    "TO": "to_key",
}


def columns(
    view: View, found: bytes, names: Sequence[str]
) -> Generator[Step, Any, dict[str, Column]]:
    """Give the values of the messages found for the sort keys of these names."""
    return (yield from _read(view, found, lambda table: _columns(table, found, names)))


def _columns(table: Table, found: bytes, names: Sequence[str]) -> dict[str, Column]:
    return {
        name: _numbers(table, found, _NUMBERS[name])
        if name in _NUMBERS
        else _texts(table, found, _PIECES[name])
        for name in names
    }


def threading(view: View, found: bytes, *, by_subject: bool) -> Generator[Step, Any, Messages]:
    """Give what threading the messages found goes by; dates and subjects alone if ``by_subject``."""
    return (yield from _read(view, found, lambda table: _threading(table, found, by_subject)))


def _threading(table: Table, found: bytes, by_subject: bool) -> Messages:
    sent = _numbers(table, found, "sent")
    subjects = _texts(table, found, "base_subject")
    if by_subject:
        return Messages(sent, subjects)
    ids = [piece.split(b"\n") for piece in _texts(table, found, "ids")]
    return Messages(
        sent=sent,
        subjects=subjects,
        replies=[flags & Flag.REPLY for flags in _numbers(table, found, "flags")],
        ids=[one[0] for one in ids],
        references=[one[1:] for one in ids],
    )


def _numbers(table: Table, found: bytes, name: str) -> list[int]:
    return _found(table.numbers(name), found)


def _texts(table: Table, found: bytes, name: str) -> list[bytes]:
    return _found(table.pieces(name), found)


def _found(column: list[T], found: bytes) -> list[T]:
    return column if found.count(1) == len(found) else list(compress(column, found))


def _read(view: View, found: bytes, pick: Callable[[Table], T]) -> Generator[Step, Any, T]:
    """Read what is not known yet of the messages found, then pick from what is known.

    Raises:
        OSError: what was kept is damaged again and again.
    """
    for _ in range(_TRIES):
        table = yield from known.ready(view, _seqs(found))
        picked: T | None = yield Work(partial(_unless_damaged, pick, table))
        if picked is not None:
            return picked
        known.renew(view, table)
    raise OSError(errno.EIO, "index damaged", view.folder.path)


def _unless_damaged(pick: Callable[[Table], T], table: Table) -> T | None:
    """Pick, or give None: only what a session knows of may be raised by `Work`."""
    try:
        return pick(table)
    except Damaged:
        return None


def _seqs(found: bytes) -> NumberSet:
    return NumberSet(runs(compress(range(1, len(found) + 1), found)))
