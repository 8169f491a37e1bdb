"""The files ``pycourier-items`` and ``pycourier-cache``: rows of numbers, and the texts they point to.

The formats, who may write when, and what others see half-way are described in doc/items.md. Here are
the bytes: reading what is there, appending to it, replacing it. What is read is checked by owner, lengths
and checksums; what does not pass is as good as absent, and replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import stat
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

ITEMS = "pycourier-items"
CACHE = "pycourier-cache"

ROW = 144  # octets; also of the header and of a batch's head, so that everything has a row number
WORDS = ROW // 4

_MAGIC = int.from_bytes(
    b"PCit", "big"
)  # read in the order of this machine's bytes: others' don't pass
_BATCH = int.from_bytes(b"PCib", "big")
_CACHE_MAGIC = int.from_bytes(b"PCca", "big")
VERSION = 1
# magic, version, row size, UIDVALIDITY, sorted rows, their checksum, generation, checksum of these
_HEADER = struct.Struct("=IIIIIIQI")
_HEADER_OCTETS = _HEADER.size - 4
# 0 (where a row has its UID), magic, its own row number, rows, their checksum, generation, checksum
_HEAD = struct.Struct("=IIIIIQI")
_HEAD_OCTETS = _HEAD.size - 4
_CACHE_HEADER = struct.Struct("=IIQ")  # magic, version, generation
CACHE_START = _CACHE_HEADER.size


Kind = Literal["I", "i", "Q", "q"]


class Unusable(Exception):
    """The files can't be used; the text says why, and is empty if there are none."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is in the files: a picture that stays true, since what is in it is never altered."""

    rows: memoryview  # octets of all rows with header and heads: row n begins at n * ROW
    sorted_rows: int  # rows 1 to this ascend by UID
    end: int  # rows that are whole and checked, the header counted
    cache: mmap.mmap

    def column(self, word: int, kind: Kind = "I") -> memoryview:
        """Give one number of all rows, by its place in words of four octets."""
        size = 8 if kind == "Q" or kind == "q" else 4
        return self.rows.cast(kind)[word * 4 // size :: ROW // size]


class ItemFile:
    """The open pair of files of one folder, or of memory where files can't serve."""

    def __init__(self, items_fd: int, cache_fd: int, generation: int, path: str | None) -> None:
        self._items_fd = items_fd
        self._cache_fd = cache_fd
        self._generation = generation
        self._path = path  # of the directory; None: in memory
        self.content = self._map()

    def close(self) -> None:
        """Close the descriptors; contents given out stay readable."""
        fds, self._items_fd, self._cache_fd = (self._items_fd, self._cache_fd), -1, -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def __del__(self) -> None:
        # Folders come and go with the sessions that look at them, and none says when it goes.
        self.close()

    @property
    def is_private(self) -> bool:
        return self._path is None

    # -- opening ---------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str, uidvalidity: int) -> ItemFile:
        """Open the files in directory ``path``.

        Raises:
            Unusable: they are absent, damaged, of another version, owner or UIDVALIDITY.
            OSError: they can't be opened.
        """
        with contextlib.ExitStack() as stack:
            items_fd = _open(os.path.join(path, ITEMS))
            stack.callback(os.close, items_fd)
            generation = _read_header(items_fd, uidvalidity)
            cache_fd = _open(os.path.join(path, CACHE))
            stack.callback(os.close, cache_fd)
            header = _CACHE_HEADER.pack(_CACHE_MAGIC, VERSION, generation)
            if os.pread(cache_fd, CACHE_START, 0) != header:
                raise Unusable("cache of other items")
            stack.pop_all()
        return cls(items_fd, cache_fd, generation, path)

    @classmethod
    def create(cls, path: str | None, uidvalidity: int) -> ItemFile:
        """Make empty files in place of what is there; in memory if ``path`` is None.

        Others see the old pair, then new items with an old cache, which don't belong together
        and are as good as absent, then the new pair.

        Raises: OSError.
        """
        generation = int.from_bytes(os.urandom(8), "big")
        header = _header(uidvalidity, generation, 0, 0)
        cache_header = _CACHE_HEADER.pack(_CACHE_MAGIC, VERSION, generation)
        if path is None:
            items_fd, cache_fd = os.memfd_create(ITEMS), os.memfd_create(CACHE)
            _write(items_fd, header, 0)
            _write(cache_fd, cache_header, 0)
        else:
            cache_fd = replace(path, CACHE, [cache_header])
            try:
                items_fd = replace(path, ITEMS, [header])
            except OSError:
                os.close(cache_fd)
                raise
        return cls(items_fd, cache_fd, generation, path)

    # -- reading ---------------------------------------------------------------------------

    def is_current(self) -> bool:
        """Tell whether these are still the files that lie under the names."""
        if self._path is None:
            return True
        return _is_same(self._items_fd, os.path.join(self._path, ITEMS)) and _is_same(
            self._cache_fd, os.path.join(self._path, CACHE)
        )

    def refresh(self) -> None:
        """Take up what others have appended, perhaps over rows that were torn before."""
        size = os.fstat(self._items_fd).st_size
        if size != len(self.content.rows) or size != self.content.end * ROW:
            self.content = self._map(self.content)

    def _map(self, before: Content | None = None) -> Content:
        size = os.fstat(self._items_fd).st_size // ROW * ROW
        if size < ROW:
            raise Unusable("truncated")
        rows = memoryview(mmap.mmap(self._items_fd, size, prot=mmap.PROT_READ))
        cache_size = os.fstat(self._cache_fd).st_size
        if cache_size < CACHE_START:
            raise Unusable("truncated cache")
        cache = mmap.mmap(self._cache_fd, cache_size, prot=mmap.PROT_READ)
        if before is not None:
            end = before.end
            sorted_rows = before.sorted_rows
        else:
            _, _, _, _, sorted_rows, checksum, _, _ = _HEADER.unpack_from(rows)
            end = 1 + sorted_rows
            if end * ROW > size or crc32(rows[ROW : end * ROW]) != checksum:
                raise Unusable("rows damaged")
        while end * ROW < size:
            count = self._batch_at(rows, end)
            if not count:
                break
            end += 1 + count
        return Content(rows, sorted_rows, end, cache)

    def _batch_at(self, rows: memoryview, place: int) -> int:
        """Give the number of rows of the batch with its head at this row; 0 if there is none."""
        zero, magic, own, count, checksum, generation, check = _HEAD.unpack_from(rows, place * ROW)
        start, stop = (place + 1) * ROW, (place + 1 + count) * ROW
        is_head = (zero, magic, own, generation) == (0, _BATCH, place, self._generation)
        if not is_head or crc32(rows[place * ROW : place * ROW + _HEAD_OCTETS]) != check:
            return 0
        return count if stop <= len(rows) and crc32(rows[start:stop]) == checksum else 0

    # -- writing ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one that appends to these files or replaces them (flock)."""
        fcntl.flock(self._items_fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._items_fd, fcntl.LOCK_UN)

    def cache_end(self) -> int:
        """Give the offset at which the next text will lie. Under the lock."""
        return os.fstat(self._cache_fd).st_size + 7 & ~7

    def append(self, rows: Sequence[bytes], texts: bytes) -> None:
        """Append texts at `cache_end` and rows behind the last whole batch. Under the lock.

        Others see texts that no row points to, then rows whose head does not pass its checksum
        until they are whole. A crash leaves either; the next batch is written over such rows.

        Raises: OSError: nothing was appended that counts.
        """
        _write(self._cache_fd, texts, self.cache_end())
        body = b"".join(rows)
        place = self.content.end
        fields = (0, _BATCH, place, len(rows), crc32(body), self._generation)
        head = _HEAD.pack(*fields, crc32(_HEAD.pack(*fields, 0)[:_HEAD_OCTETS]))
        _write(self._items_fd, head.ljust(ROW, b"\0") + body, place * ROW)
        self.content = self._map(self.content)

    def rewrite(self, uidvalidity: int, rows: Sequence[bytes]) -> None:
        """Replace the items by these rows, which ascend by UID; the cache stays. Under the lock.

        Others see the old items or the new ones. Whoever has the old ones open reads on in them, and
        finds out before it appends.

        Raises: OSError: the old items are still there.
        """
        body = b"".join(rows)
        header = _header(uidvalidity, self._generation, len(rows), crc32(body))
        if self._path is None:
            items_fd = os.memfd_create(ITEMS)
            _write(items_fd, header + body, 0)
        else:
            items_fd = replace(self._path, ITEMS, [header, body])
        old, self._items_fd = self._items_fd, items_fd
        self.content = self._map()
        os.close(old)  # gives up the lock, which is on a file without a name now


def _header(uidvalidity: int, generation: int, count: int, checksum: int) -> bytes:
    fields = (_MAGIC, VERSION, ROW, uidvalidity, count, checksum, generation)
    check = crc32(_HEADER.pack(*fields, 0)[:_HEADER_OCTETS])
    return _HEADER.pack(*fields, check).ljust(ROW, b"\0")


def _read_header(fd: int, uidvalidity: int) -> int:
    """Check the header of items and give their generation. Raises Unusable, OSError."""
    header = os.pread(fd, ROW, 0)
    if len(header) < ROW:
        raise Unusable("truncated")
    magic, version, row, validity, _, _, generation, check = _HEADER.unpack_from(header)
    if magic != _MAGIC or version != VERSION or row != ROW:
        raise Unusable("another format or version")
    if crc32(header[:_HEADER_OCTETS]) != check:
        raise Unusable("header damaged")
    if validity != uidvalidity:
        raise Unusable("")  # no fault: the folder was numbered anew
    return int(generation)


def _open(path: str) -> int:
    """Open one of the files, if it is a file of ours.

    Raises:
        Unusable: it is absent, no regular file, or others than this user may have written it.
        OSError: it can't be opened.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Unusable("") from None
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        reason = "no regular file"
    elif found.st_uid != os.geteuid():
        reason = "belongs to another user"
    elif found.st_mode & 0o022:
        reason = "others may write it"
    else:
        return fd
    os.close(fd)
    raise Unusable(reason)


def replace(path: str, name: str, content: Sequence[bytes]) -> int:
    """Put a file under its name in directory ``path`` and give its open descriptor.

    Others see the old file or the new one; a crash may leave ``NAME.something`` behind.

    Raises: OSError.
    """
    fd, temporary = tempfile.mkstemp(prefix=f"{name}.", dir=path)
    try:
        at = 0
        for part in content:
            _write(fd, part, at)
            at += len(part)
        os.rename(temporary, os.path.join(path, name))
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return fd


def _write(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


def _is_same(fd: int, path: str) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return os.path.samestat(os.fstat(fd), found)
