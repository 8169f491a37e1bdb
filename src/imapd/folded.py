"""The texts of header fields that SEARCH looks through: those of a folder as one text.

Put together from what is kept of each message (`courier.maildir.items`). For a folder of some size the
whole is kept as a memo, so that a later session looks through one text and at no message.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from courier.maildir.items import Table
from courier.maildir.memo import Memos

#: Messages of a folder from which on a memo is worth its file.
_WORTH = 1_000
#: Messages that are read at once: nothing else runs meanwhile.
_RUN = 16_384


@dataclass(frozen=True, slots=True)
class Texts:
    """Message n has ``text[starts[n] : starts[n + 1] - 1]``; an octet 0 stands behind each."""

    text: bytes
    starts: Sequence[int]

    def hits(self, octets: bytes, first: int, end: int) -> bytearray:
        """Tell for messages ``first`` to ``end`` whether something is in their text, 1 if it is."""
        hits = bytearray(end - first)
        if b"\0" in octets:  # there is none in a field
            return hits
        text, starts, stop = self.text, self.starts, self.starts[end]
        at = text.find(octets, starts[first], stop)
        while at >= 0:
            message = bisect_right(starts, at) - 1
            hits[message - first] = 1
            at = text.find(octets, starts[message + 1], stop)
        return hits


def of_messages(table: Table, piece: str, first: int, end: int) -> Texts:
    """Give the texts of some messages, numbered from 0. Raises as ``table.pieces``."""
    text, starts = table.texts(piece, first, end)
    return Texts(text, starts)


def of_folder(memos: Memos, table: Table, piece: str) -> Texts | None:
    """Give the texts of all messages; None if it is not worth it, or not all are known.

    Raises: as ``table.pieces``.
    """
    stamp = table.stamp() if len(table) >= _WORTH else None
    if stamp is None:
        return None
    name = f"text-{piece}"
    body = memos.load(name, stamp)
    if body is not None and (kept := _unpacked(body, len(table))) is not None:
        return kept
    parts: list[bytes] = []
    starts = array("Q", [0])
    for first in range(0, len(table), _RUN):
        some = table.texts(piece, first, min(first + _RUN, len(table)))
        starts.extend([starts[-1] + start for start in some.starts[1:]])
        parts.append(some.text)
    texts = Texts(b"".join(parts), starts)
    memos.save(name, stamp, starts.tobytes() + texts.text)
    return texts


def _unpacked(body: bytes, count: int) -> Texts | None:
    size = 8 * (count + 1)
    if len(body) < size:
        return None
    starts = array("Q", body[:size])
    return Texts(body[size:], starts) if starts[-1] == len(body) - size else None
