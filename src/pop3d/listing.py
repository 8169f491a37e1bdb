"""What LIST and UIDL say of a maildrop, and the memo in which that is kept for the next session.

Most sessions look for new mail and find none. They need not take courierpop3dsizelist apart again: the memo was made
of that file's very text and of the folder's UIDs, so whoever writes another list, or adds or removes a message, makes
it void. Flags don't count, as messages are known by their names up to the colon.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import chain, pairwise

from courier.maildir.columns import Columns, octets
from courier.maildir.folder import Folder
from courier.maildir.memo import STAMP
from pop3d import sizelist
from pop3d.sizelist import Entry

_MEMO = "pop3"
#: Messages from which on a memo is worth its file.
_MANY = 1000
_HEAD = struct.Struct("=QQQ")  # messages, octets of LIST's lines and of UIDL's


@dataclass(frozen=True)
class Lines:
    """Lines of a response, one for each message, its number first."""

    text: bytes

    @cached_property
    def _each(self) -> list[bytes]:
        return self.text.splitlines(keepends=True)

    def of(self, indices: Iterable[int]) -> bytes:
        return b"".join(map(self._each.__getitem__, indices))


@dataclass(frozen=True)
class Listing:
    """Messages in the order of their numbers."""

    uids: Sequence[int] = ()  # the folder's
    sizes: Sequence[int] = ()  # octets that RETR sends
    utf8: bytes = b""  # 1 for a message that needs UTF-8
    size_lines: Lines = Lines(b"")
    uidl_lines: Lines = Lines(b"")


def made(entries: Sequence[Entry], uids: Sequence[int], uidl: bytes | None = None) -> Listing:
    """Make the listing of messages.

    Args:
        uids: the folder's, one for each.
        uidl: the unique-id of the only message, if it has none of the list's.
    """
    sizes, numbers, uidvs = (
        list(map(field, entries)) for field in (sizelist.SIZE, sizelist.UID, sizelist.UIDV)
    )
    if uidl is not None:
        uidls = _lines(b"%d %b\r\n", [uidl])
    elif all(numbers) and all(uidvs):
        uidls = _lines(b"%d UID%d-%d\r\n", numbers, uidvs)
    else:
        uidls = _lines(b"%d %b\r\n", [entry.uidl() for entry in entries])
    utf8 = bytes(entry.utf8 for entry in entries)
    return Listing(uids, sizes, utf8, Lines(_lines(b"%d %d\r\n", sizes)), Lines(uidls))


def _lines(pattern: bytes, *columns: Sequence[object]) -> bytes:
    """Fill in the pattern for all messages in one operation, as there may be many."""
    count = len(columns[0])
    fields = chain.from_iterable(zip(range(1, count + 1), *columns, strict=True))
    return pattern * count % tuple(fields)


def load(folder: Folder, columns: Columns, text: bytes) -> Listing | None:
    """Give what was kept of a list with this text; None if there is nothing that fits."""
    if len(columns) < _MANY:
        return None
    body = folder.memos.load(_MEMO, _stamp(folder, columns, text))
    if body is None or len(body) < _HEAD.size:
        return None
    count, in_sizes, in_uidls = _HEAD.unpack_from(body)
    ends = [_HEAD.size]
    for size in (8 * count, 4 * count, count, in_sizes, in_uidls):
        ends.append(ends[-1] + size)
    if ends[-1] != len(body):
        return None
    sizes, uids, utf8, size_lines, uidl_lines = (body[start:end] for start, end in pairwise(ends))
    return Listing(array("I", uids), array("Q", sizes), utf8, Lines(size_lines), Lines(uidl_lines))


def keep(folder: Folder, columns: Columns, text: bytes, listing: Listing) -> None:
    """Keep the listing of a list with this text, if this process may."""
    if len(columns) < _MANY:
        return
    head = _HEAD.pack(
        len(listing.sizes), len(listing.size_lines.text), len(listing.uidl_lines.text)
    )
    packed = [array("Q", listing.sizes).tobytes(), array("I", listing.uids).tobytes()]
    texts = [listing.utf8, listing.size_lines.text, listing.uidl_lines.text]
    folder.memos.save(_MEMO, _stamp(folder, columns, text), b"".join([head, *packed, *texts]))


def _stamp(folder: Folder, columns: Columns, text: bytes) -> bytes:
    stamp = blake2b(b"%d\n" % folder.uidvalidity, digest_size=STAMP)
    stamp.update(octets(columns.uids))
    stamp.update(text)
    return stamp.digest()
