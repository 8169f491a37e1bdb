"""UIDBATCHES: ranges of UIDs that hold equally many messages. RFC 10022.

A batch has as many messages as the client asks for, also where a limit (RFC 9738) allows commands fewer: whoever reckons
how many batches there are, would else miss the oldest messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from courier.maildir.columns import Column
from imapd import result
from imapd.completion import Bad, CommandFailed, No, Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

#: Messages in a batch: fewer are refused, so that no answer has a range for every few messages.
_LEAST = 500


def uidbatches(session: Session, arguments: Parser) -> Handling:
    arguments.sp()
    size = arguments.nz_number()
    first, last = 1, None
    if not arguments.at_end():
        arguments.sp()
        first = arguments.nz_number()
        arguments.byte(b":")
        last = arguments.nz_number()
    arguments.end()

    if last is not None and last < first:
        raise CommandFailed(Bad("The first batch comes behind the last.", "CLIENTBUG"))
    if size < _LEAST:
        return No(f"A batch has {_LEAST} messages at least.", "TOOFEW")
    yield from result.pieces(_told(session.tag, session.selected.uids, size, first, last))
    return Ok("UIDBATCHES completed.")


def _told(tag: bytes, uids: Column, size: int, first: int, last: int | None) -> Iterator[bytes]:
    yield b'* UIDBATCHES (TAG "%b")' % tag
    separator = b" "
    for high, low in _batches(uids, size, first, last):
        yield separator + b"%d:%d" % (high, low)
        separator = b","
    yield b"\r\n"


def _batches(uids: Column, size: int, first: int, last: int | None) -> Iterator[tuple[int, int]]:
    """Give the highest and the lowest UID of each batch, the newest messages first.

    Together they leave no UID out, from the last message's down to 1: a batch begins right below the
    one before it, and the last one holds what is left.
    """
    end = len(uids) - (first - 1) * size  # messages in this batch and below
    number = first
    while end > 0 and (last is None or number <= last):
        begin = max(end - size, 0)
        high = uids[end] - 1 if end < len(uids) else uids[-1]
        yield high, uids[begin] if begin else 1
        end, number = begin, number + 1
