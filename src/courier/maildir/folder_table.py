"""pycourier-folders: what was found of a maildir's folders, for the next process.

    numbers of records, octets of the texts                    (see `_HEAD`)
    a record for each name in the maildir                      (see `_ENTRY`)
    a record for each folder whose messages were counted       (see `_COUNT`)
    the names, and the access control lists, of which few differ; both with NUL behind each

The file is a memo (`memo`): written by the maildir's owner alone, checked as a whole, and thrown away when
anything is odd. What it says is believed only by the times that stand beside it (`roster`, `tally`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from courier.maildir import acl, tally
from courier.maildir.acl import Acl
from courier.maildir.state import Options
from courier.maildir.status import Status
from courier.maildir.tally import NEEDS, Found, Moment

#: Of the memo.
NAME = "folders"
_VERSION = 1

_HEAD = struct.Struct("=IIQQ")
_ENTRY = struct.Struct("=QQqQqII")  # `Times`, kind, number of the list
#: Number of the entry, what the count covers, octets of the next; `Moment.more` and `times`; `Found`.
_COUNT = struct.Struct("=IBB32sQQqQqQq7QQQB25s")
_EXISTS, _ANNOTATED, _LISTED = 1, 2, 4
_TIMES = len(tally.Times._fields)
_NO_SIZE = (1 << 64) - 1


class Times(NamedTuple):
    """When a directory and the list in it were last changed, and which they were."""

    device: int
    inode: int
    changed_ns: int
    list_inode: int  # 0: it has no list
    list_changed_ns: int


class Entry(NamedTuple):
    """What was found under one name in the maildir."""

    folder: str
    exists: bool
    own: Acl | None  # its own list
    is_annotated: bool


@dataclass(frozen=True, slots=True)
class FolderTable:
    """What the file says, by names in the maildir."""

    entries: dict[str, Entry] = field(default_factory=dict)
    times: dict[str, Times] = field(default_factory=dict)
    counts: dict[str, tuple[Moment, Found]] = field(default_factory=dict)


def stamp(options: Options) -> bytes:
    """Give the stamp of the memo: its version, and the settings by which numbers were counted."""
    settings = options.use_locks | options.keywords << 1 | options.follow_links << 2
    return b"maildir folder" + bytes((_VERSION, settings))


def pack(table: FolderTable) -> bytes:
    """Write entries that have times, and counts of these."""
    lists: dict[Acl, int] = {}
    places: dict[str, int] = {}
    entries, counts = [], []
    for name, times in table.times.items():
        entry = table.entries[name]
        kind = entry.exists * _EXISTS | entry.is_annotated * _ANNOTATED
        number = 0
        if entry.own is not None:
            kind |= _LISTED
            number = lists.setdefault(entry.own, len(lists))
        places[name] = len(places)
        entries.append(_ENTRY.pack(*times, kind, number))
    for name, (moment, found) in table.counts.items():
        if name in places:
            counts.append(_packed(places[name], moment, found))
    names = b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in places)
    texts = b"".join(acl.write(one) + b"\0" for one in lists)
    head = _HEAD.pack(len(entries), len(counts), len(names), len(texts))
    return b"".join((head, *entries, *counts, names, texts))


def _packed(place: int, moment: Moment, found: Found) -> bytes:
    covers = sum(1 << bit for bit, need in enumerate(NEEDS) if need in moment.needs)
    size = _NO_SIZE if found.size is None else found.size
    return _COUNT.pack(
        *(place, covers, len(moment.more), moment.more, *moment.times),
        *(*found.numbers, found.highest, size),
        *(len(found.identifier), found.identifier.encode("ascii")),
    )


def unpack(data: bytes) -> FolderTable:
    """Read what `pack` wrote.

    Raises:
        ValueError, struct.error: it is something else.
    """
    of_entries, of_counts, of_names, of_texts = _HEAD.unpack_from(data)
    at = _HEAD.size
    ends = (
        at + of_entries * _ENTRY.size,
        at + of_entries * _ENTRY.size + of_counts * _COUNT.size,
        len(data) - of_texts,
    )
    if ends[1] + of_names != ends[2]:
        raise ValueError("lengths do not agree")
    view = memoryview(data)
    names = data[ends[1] : ends[2]].decode("utf-8", "surrogateescape").split("\0")
    lists = [acl.parse(text) for text in data[ends[2] :].split(b"\0")]
    if len(names) != of_entries + 1:
        raise ValueError("names are missing")
    table = FolderTable()
    for name, record in zip(names, _ENTRY.iter_unpack(view[at : ends[0]]), strict=False):
        *times, kind, number = record
        own = lists[number] if kind & _LISTED else None
        table.entries[name] = Entry(
            "" if name == "." else name[1:], bool(kind & _EXISTS), own, bool(kind & _ANNOTATED)
        )
        table.times[name] = Times._make(times)
    for record in _COUNT.iter_unpack(view[ends[0] : ends[1]]):
        place, covers, of_more, more, *numbers, highest, size, length, text = record
        needs = _NEEDS_BY_BITS[covers]
        moment = Moment(tally.Times._make(numbers[:_TIMES]), more[:of_more], needs)
        found = Found(
            Status._make(numbers[_TIMES:]),
            highest,
            None if size == _NO_SIZE else size,
            text[:length].decode("ascii"),
        )
        table.counts[names[place]] = moment, found
    return table


_NEEDS_BY_BITS: Mapping[int, frozenset[str]] = {
    bits: frozenset(need for bit, need in enumerate(NEEDS) if bits & 1 << bit)
    for bits in range(1 << len(NEEDS))
}
