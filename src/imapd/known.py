"""What is known of a mailbox's messages, for handlers: `ready` reads first what is not known yet."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

from courier.maildir.enriching import Enriching
from courier.maildir.items import Damaged, Table
from courier.maildir.numberset import NumberSet
from courier.maildir.reading import Reading
from courier.maildir.view import View
from courier.process.request import Work
from imapd.request import Progress, Step

#: Rows that are looked at at once.
_RUN = 16_384


def ready(view: View, wanted: NumberSet | None = None) -> Generator[Step, Any, Table]:
    """Give what is known of all messages of a view, after reading the unknown ones among ``wanted``.

    Message ``seq`` is row ``seq - 1`` of the table. One that is gone, or whose file can't be read, still
    is unknown at the end.
    """
    folder = view.folder
    at_hand = folder.items.known_table(folder.uidvalidity, view.uids)
    if at_hand is not None:
        return at_hand
    table: Table = yield Work(partial(current, view))
    unknown = missing(table, wanted)
    if unknown:
        reading = Reading(view.folder, unknown)
        try:
            while (yield Work(reading.step)):
                yield Progress(reading.done, len(unknown))
        finally:
            reading.close()
        table = yield Work(partial(current, view))
    return table


def enriched(view: View, wanted: NumberSet) -> Generator[Step, Any, Table]:
    """Give what is known of all messages of a view, previews and digests of the ``wanted`` among it.

    What can't be read is still unknown at the end, as with `ready`.
    """
    lacking = yield Work(partial(_lacking, view, wanted))
    if lacking:
        enriching = Enriching(view.folder, lacking)
        while (yield Work(enriching.step)):
            yield b""
    table: Table = yield Work(partial(current, view))
    return table


def _lacking(view: View, wanted: NumberSet) -> list[int]:
    """List the UIDs of messages of which more ought to be known."""
    uids: list[int] = []
    table = current(view)
    for low, high in wanted.ranges():
        for start in range(low - 1, high, _RUN):
            stop = min(start + _RUN, high)
            try:
                digests = table.views("digest", start, stop)
                uids += [view.uids[start + at] for at, known in enumerate(digests) if not known]
            except Damaged:
                renew(view, table)
                return [uid for low, high in wanted.ranges() for uid in view.uids[low - 1 : high]]
    return uids


def current(view: View) -> Table:
    """Give what is known of a view's messages now."""
    folder = view.folder
    return folder.items.table(folder.uidvalidity, view.uids, folder.columns)


def missing(table: Table, wanted: NumberSet | None) -> list[int]:
    """List the UIDs that are not known among the ``wanted`` sequence numbers (None: all)."""
    if wanted is None or table.is_complete():
        return table.missing()
    return [
        table.uids[row]
        for low, high in wanted.ranges()
        for row, known in enumerate(table.rows[low - 1 : high], low - 1)
        if not known
    ]


def parts(view: View, seq: int) -> bytes:
    """Give the places of a large message's parts (`courier.message.parted`), if they are known."""
    table = current(view)
    try:
        return table.pieces("parts", seq - 1, seq)[0]
    except Damaged:
        renew(view, table)
        return b""


def renew(view: View, table: Table) -> None:
    """Throw away what turned out to be damaged (`Damaged`)."""
    view.folder.items.give_up(table)
