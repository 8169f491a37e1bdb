"""courierpop3dsizelist: which message has which UIDL, and how many octets RETR sends of it.

    /3 NEXTUID UIDV LF
    NAME SP SIZE SP UID ":" UIDV ":" UTF8 LF

NAME is the file name as it was when the line was written; messages are known by it up to the colon. UIDV
is the time at which the list began; an entry keeps the one under which it got its UID. UTF8 is 1 if a
header field has octets above 127. The file is Courier's, byte for byte: a client that finds other UIDLs
fetches all mail once more, so it is replaced as a whole or not at all.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import NamedTuple

from courier.maildir import delivery, memory

NAME = "courierpop3dsizelist"
_MAX = 2**63 - 1
_HEADER = re.compile(rb"/([0-9]{1,18})(?: ([0-9]{1,18}))?(?: ([0-9]{1,18}))?")
_VERSION_2, _VERSION_3 = 2, 3
# Names may hold blanks: fields are taken from the right.
_ENTRY = re.compile(rb"^(.+) ([0-9]{1,18}) ([0-9]{1,18}):([0-9]{1,18})(?::([01]))?$", re.MULTILINE)
_SAFE_IN_UIDL = frozenset(range(0x21, 0x7F)) - frozenset(b"'\"+")
_TRIES = 3


class Entry(NamedTuple):
    """A message of the list. Of a maildrop there may be many thousand."""

    name: bytes  # in cur/
    size: int  # octets that RETR sends, without stuffing and the final line
    uid: int
    uidv: int
    utf8: bool

    def uidl(self) -> bytes:
        """Give the unique-id (RFC 1939 7), in the manner in which it was given first."""
        if not self.uid:
            base = self.name.partition(b":")[0]
            return b"".join(
                b"%c" % octet if octet in _SAFE_IN_UIDL else b"+%02X" % octet for octet in base
            )
        return b"UID%d-%d" % (self.uid, self.uidv) if self.uidv else b"UID%d" % self.uid


#: Fields of an entry, for columns of them.
NAME_OF, SIZE, UID, UIDV = map(itemgetter, range(4))


@dataclass(frozen=True, slots=True)
class SizeList:
    nextuid: int
    uidv: int
    entries: Sequence[Entry]
    #: Whether the file says all this in the version that is written today.
    is_current: bool = True


def parse(data: bytes, now: int) -> SizeList:
    """Read a list's text; ``now`` is the UIDV of one that has none.

    Of versions that are not known, and of damaged lines, nothing is taken but NEXTUID and UIDV of the
    first line, so that no UIDL is given twice.
    """
    first, _, rest = data.partition(b"\n")
    header = _HEADER.fullmatch(first.rstrip(b" \r"))
    if header is None:
        return SizeList(1, now, (), is_current=False)
    version = int(header[1])
    nextuid, uidv = (int(field) if field else 0 for field in header.groups()[1:])
    if version not in (_VERSION_2, _VERSION_3) or header[3] is None:
        return SizeList(nextuid or 1, uidv or now, (), is_current=False)
    rest = rest[: rest.rfind(b"\n") + 1]  # a torn line at the end is none
    with memory.without_collector():
        entries = _entries(_ENTRY.findall(rest))
    highest = max(map(UID, entries), default=0)
    is_whole = len(entries) == rest.count(b"\n")
    return SizeList(max(nextuid, highest + 1), uidv, entries, version == _VERSION_3 and is_whole)


def _entries(found: Sequence[tuple[bytes, ...]]) -> list[Entry]:
    """Make entries of the fields of all lines: by columns, which takes a third of the time."""
    if not found:
        return []
    names, sizes, uids, uidvs, utf8 = zip(*found, strict=True)
    fields = zip(
        names,
        map(int, sizes),
        map(int, uids),
        map(int, uidvs),
        map(b"1".__eq__, utf8),
        strict=True,
    )
    return list(map(tuple.__new__, repeat(Entry), fields))


def format(made: SizeList) -> bytes:
    """Return the text of a list."""
    lines = [b"/3 %d %d\n" % (made.nextuid, made.uidv)]
    lines += [b"%b %d %d:%d:%d\n" % entry for entry in made.entries]
    return b"".join(lines)


def read(maildir: str, now: int) -> SizeList:
    """Read a maildir's list; a new one that begins ``now`` if there is none.

    Raises:
        OSError: it can't be read, though it may well be good.
    """
    text = read_text(maildir)
    return SizeList(1, now, (), is_current=False) if text is None else parse(text, now)


def read_text(maildir: str) -> bytes | None:
    """Read a maildir's list as it stands there; None if there is none. Raises as `read`."""
    path = os.path.join(maildir, NAME)
    for is_last in (False,) * (_TRIES - 1) + (True,):
        try:
            return delivery.read_regular(path)[0]
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ESTALE or is_last:
                raise
    raise AssertionError("not reached")


def write(maildir: str, made: SizeList, *, sync: bool) -> None:
    """Replace a maildir's list. Others see the old one or the new one, also after a crash.

    Raises:
        OSError: the old one stays.
    """
    delivery.write_atomically(maildir, NAME, format(made), "pop3", sync=sync)


def numbered(
    known: SizeList, names: Iterable[bytes], described: dict[bytes, tuple[int, bool]]
) -> SizeList:
    """Give the list for the messages there are.

    Args:
        names: their file names, in order.
        described: of those that ``known`` lacks: size and whether they need UTF-8, by file name.
            Names that are in neither are left out.
    """
    by_base = {entry.name.partition(b":")[0]: entry for entry in known.entries}
    entries: list[Entry] = []
    nextuid = known.nextuid
    for name in names:
        entry = by_base.pop(name.partition(b":")[0], None)
        if entry is not None:
            entries.append(entry._replace(name=name))
        elif (what := described.get(name)) is not None:
            entries.append(Entry(name, what[0], nextuid, known.uidv, what[1]))
            nextuid += 1
    return SizeList(nextuid, known.uidv, entries)
