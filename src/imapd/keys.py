"""The values that SORT and THREAD compare, for the messages that a search found."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from courier import log
from courier.maildir.folder import MessageGone
from courier.maildir.view import View
from courier.message import ordering
from courier.message.message import Message
from courier.process.request import Work
from imapd.order import Column
from imapd.request import Step
from imapd.threads import Messages

#: Seconds for which messages are read before others get their turn.
_TURN_S = 0.004


class Known(NamedTuple):
    """What is known of one message."""

    arrival: int = 0  # seconds since 1970
    size: int = 0
    header: ordering.Keys = ordering.keys(Message(b""))

    @property
    def sent(self) -> int:
        """Seconds since 1970: the date of arrival counts if there is no other (RFC 5256 2.2)."""
        return self.arrival if self.header.sent is None else self.header.sent


_VALUES = {
    "ARRIVAL": lambda known: known.arrival,
    "CC": lambda known: known.header.cc_mailbox,
    "DATE": lambda known: known.sent,
    "DISPLAYFROM": lambda known: known.header.from_display,
    "DISPLAYTO": lambda known: known.header.to_display,
    "FROM": lambda known: known.header.from_mailbox,
    "SIZE": lambda known: known.size,
    "SUBJECT": lambda known: known.header.subject,
    "TO": lambda known: known.header.to_mailbox,
}


def columns(
    view: View, uids: Sequence[int], names: Sequence[str]
) -> Generator[Step, Any, dict[str, Column]]:
    """Give the values of messages for the sort keys of these names."""
    known = yield from _known(view, uids, needs_file=any(name != "ARRIVAL" for name in names))
    return {name: list(map(_VALUES[name], known)) for name in names}


def threading(view: View, uids: Sequence[int]) -> Generator[Step, Any, Messages]:
    """Give what threading goes by."""
    known = yield from _known(view, uids, needs_file=True)
    return Messages(
        sent=[one.sent for one in known],
        subjects=[one.header.subject for one in known],
        replies=[one.header.is_reply for one in known],
        ids=[one.header.message_id for one in known],
        references=[one.header.references for one in known],
    )


def _known(
    view: View, uids: Sequence[int], *, needs_file: bool
) -> Generator[Step, Any, list[Known]]:
    known: list[Known] = []
    rest = iter(uids)
    while (yield Work(partial(_look, view, rest, known, needs_file))):
        yield b""
    return known


def _look(view: View, uids: Iterator[int], known: list[Known], needs_file: bool) -> bool:
    """Look at messages for a while; tell whether some may be left."""
    until = time.monotonic() + _TURN_S
    for uid in uids:
        known.append(_know(view, uid, needs_file))
        if time.monotonic() > until:
            return True
    return False


def _know(view: View, uid: int, needs_file: bool) -> Known:
    try:
        if not needs_file:
            return Known(int(view.folder.stat(uid).st_mtime))
        data, found = view.folder.read(uid)
    except MessageGone:
        return Known()
    except OSError as error:
        log.error("cannot sort message", view.folder.path, error)
        return Known()
    message = Message(data)
    return Known(int(found.st_mtime), message.size, ordering.keys(message))
