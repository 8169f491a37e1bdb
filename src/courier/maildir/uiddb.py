"""courierimapuiddb: which message has which UID. The only truth about UIDs, for Courier and for us.

    1 UIDVALIDITY UIDNEXT LF
    UID BASE LF                 ascending by UID; BASE is the file name without ":info"

Whoever reads it to assign UIDs holds courier.lock from read to write.

In a big folder, writing all lines for each new message would cost too much. There the header
states a UIDNEXT some way ahead, and messages are added by appending their lines: Courier reads
such a file as it stands. A first line `MARK`, which Courier passes over as it does with all that are
no entries, says that UIDNEXT really follows the last line's UID. Courier writes the file without it,
and the header counts from then on: a gap in the UIDs, which is legal.
"""

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from courier.maildir import delivery, filename

NAME = "courierimapuiddb"
MAX_UID = 0xFFFFFFFF
EPOCH = 1_000_000_000
"""Courier counts UIDVALIDITY's seconds from here since 2011, and from 1970 before."""

MARK = b"pycourier"
"""First line of a file whose header is ahead of UIDNEXT."""

_WHITE = b"\t\n\v\f\r "
_NOT_WHITE = bytes(byte for byte in range(256) if byte not in _WHITE)
_DIGITS = 20


@dataclass(frozen=True, slots=True)
class UidDb:
    """A folder's UIDs. ``uids`` ascends; ``bases`` are the messages' in the same order."""

    uidvalidity: int
    uidnext: int
    uids: "array[int]"
    bases: list[bytes]
    ceiling: int = 0
    """UIDNEXT as the header states it, if that is ahead: up to there lines may be appended."""
    is_clean: bool = field(default=True, compare=False)
    """Whether the file is just as we would write it, to its last octet."""


def read(folder: str) -> UidDb | None:
    """Read the folder's database, repaired where it is damaged.

    Lines that are no entries, torn at the end or out of range are skipped; of two UIDs for a base
    the lower stays; a UID given to two messages is taken from both, so that no client finds another
    message under a UID it knows; UIDNEXT is raised above every UID that was ever listed.

    Returns:
        None if there is no file or none with a usable header: a new UIDVALIDITY is needed.

    Raises:
        OSError: the file may well be good, so don't replace it.
    """
    try:
        data, _ = delivery.read_regular(os.path.join(folder, NAME))
    except FileNotFoundError:
        return None
    return parse(data)


def parse(data: bytes) -> UidDb | None:
    """Read a database's text; see read."""
    header, newline, entries = data.partition(b"\n")
    numbers = _header(header) if newline else None
    if numbers is None:
        return None
    uidvalidity, uidnext = numbers
    mark, newline, rest = entries.partition(b"\n") if entries.startswith(MARK) else (b"", b"", b"")
    is_marked = bool(newline) and mark == MARK
    regular = _parse_regular(rest if is_marked else entries)
    if regular is not None:
        uids, bases = regular
        highest = uids[-1] if uids else 0
    else:
        uids, bases, highest = _parse_damaged(entries)
    ceiling = uidnext if is_marked and regular is not None and 0 < highest < uidnext else 0
    if ceiling:
        uidnext = highest + 1
    is_clean = regular is not None and highest < uidnext and header == _head(*numbers)
    return UidDb(uidvalidity, max(uidnext, highest + 1), uids, bases, ceiling, is_clean)


def format(db: UidDb) -> bytes:
    """Return the text of ``db``."""
    entries = map(b"%d %b\n".__mod__, zip(db.uids, db.bases, strict=True))
    mark = MARK + b"\n" if db.ceiling else b""
    header = _head(db.uidvalidity, db.ceiling or db.uidnext) + b"\n"
    return header + mark + b"".join(entries)


def _head(uidvalidity: int, uidnext: int) -> bytes:
    return b"1 %d %d" % (uidvalidity, uidnext)


def write(folder: str, db: UidDb, sync: bool) -> None:
    """Replace the folder's database. The caller holds courier.lock since it read the old one.

    Others see the old one or the new one, also after a crash. On any error the old one stays:
    Courier deletes it then, and with it the folder's UIDs.

    Raises:
        ValueError: ``db`` would not be read back as it is (a base with LF, UIDNEXT too low).
    """
    data = format(db)
    last = db.uids[-1] if db.uids else 0
    if data.count(b"\n") != len(db.uids) + 1 + bool(db.ceiling) or db.uidnext <= last:
        raise ValueError("not a consistent UID database")
    if db.ceiling and not last + 1 == db.uidnext <= db.ceiling <= MAX_UID:
        raise ValueError("UIDNEXT can't be told from the last line")
    if not (0 < db.uidvalidity <= MAX_UID and 0 < db.uidnext <= MAX_UID):
        raise ValueError("UIDVALIDITY or UIDNEXT out of range")
    delivery.write_atomically(folder, NAME, data, sync=sync)


def append(folder: str, first: int, bases: Sequence[bytes], sync: bool) -> None:
    """Add the lines of messages with the UIDs from ``first`` on.

    The caller holds courier.lock, and knows the file as it is and its ceiling to be high enough. Others
    may see some of the lines, the last one torn; so may a crash leave it: Courier drops a torn
    line, we put the file right at the next writing, and no UID is given twice, because the header
    is ahead of all of them.

    Raises:
        OSError: what was added is cut off again, if that is possible.
    """
    lines = b"".join(b"%d %b\n" % pair for pair in enumerate(bases, first))
    if lines.count(b"\n") != len(bases):
        raise ValueError("not a base name")
    path = os.path.join(folder, NAME)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        try:
            delivery.write_all(fd, lines)
            if sync:
                os.fdatasync(fd)
        except OSError:
            os.ftruncate(fd, size)
            raise
    finally:
        os.close(fd)


def stamp(folder: str) -> tuple[int, int, int] | None:
    """Return what differs whenever the file was replaced, or None if there is none."""
    try:
        found = os.lstat(os.path.join(folder, NAME))
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def new_uidvalidity(mtime: float, above: int = 0) -> int:
    """Return a UIDVALIDITY for a folder that has none, or whose UIDs are used up.

    Like Courier's, it is the time at which the folder got it (``mtime`` of a file made in it just
    now). It is also greater than ``above``, the highest one that this mailbox name ever had, since
    clients may take a lower one for an old one: Courier's falls back from the 1970 epoch.
    """
    wanted = max(int(mtime) - EPOCH, above + 1, 1)
    return wanted if wanted <= MAX_UID else max(int(mtime) - EPOCH, 1) & MAX_UID


def _header(line: bytes) -> tuple[int, int] | None:
    # Courier ignores what stands after the third number.
    fields = line.split()[:3]
    if len(fields) < 3 or not all(field.isdigit() and len(field) <= _DIGITS for field in fields):
        return None
    version, uidvalidity, uidnext = map(int, fields)
    if version != 1 or not 0 < uidvalidity <= MAX_UID or uidnext > MAX_UID:
        return None
    return uidvalidity, uidnext


def _parse_regular(entries: bytes) -> tuple["array[int]", list[bytes]] | None:
    """Read entries that are exactly as they should be, without work per line; None if not."""
    lines, odd = divmod(len(white := entries.translate(None, _NOT_WHITE)), 2)
    fields = entries.split()
    if odd or white != b" \n" * lines or len(fields) != 2 * lines or b":" in entries:
        return None
    if not entries:
        return array("I"), []
    numbers, bases = fields[0::2], fields[1::2]
    if not entries.endswith(b"\n") or not b"".join(numbers).isdigit():
        return None
    try:
        uids = list(map(int, numbers))
    except ValueError:  # thousands of digits
        return None
    if uids[0] == 0 or uids[-1] >= MAX_UID or sorted(uids) != uids:
        return None
    if len(set(uids)) != lines or len(set(bases)) != lines:
        return None
    return array("I", uids), bases


def _parse_damaged(entries: bytes) -> tuple["array[int]", list[bytes], int]:
    """Read what can be saved; also return the highest UID seen, saved or not."""
    names: dict[int, bytes] = {}
    disputed: set[int] = set()
    for line in entries.split(b"\n")[:-1]:
        number, _, name = line.partition(b" ")
        if number.isdigit() and len(number) <= _DIGITS:
            uid, name = int(number), filename.base(name)
            # The highest UID would leave no UIDNEXT.
            if 0 < uid < MAX_UID and name and names.setdefault(uid, name) != name:
                disputed.add(uid)
    saved: dict[bytes, int] = {}
    for uid in sorted(names.keys() - disputed):
        saved.setdefault(names[uid], uid)
    return array("I", saved.values()), list(saved), max(names, default=0)
