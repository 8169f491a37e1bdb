"""The files ``pycourier-items`` and ``pycourier-cache``: rows of numbers, and the texts they point to.

The formats, who may write when, and what others see half-way are described in doc/items.md. Here are
the bytes: reading what is there, appending to it, replacing it. What is read is checked by owner, lengths
and checksums; what does not pass is as good as absent, and replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple
from zlib import crc32

from courier.maildir import filesystem, own_file
from courier.maildir.snapshot import Unusable

ITEMS = "pycourier-items"
CACHE = "pycourier-cache"

ROW = 144  # octets; also of the header and of a batch's head, so that everything has a row number
WORDS = ROW // 4

_MAGIC = int.from_bytes(
    b"PCit", "big"
)  # read in the order of this machine's bytes: others' don't pass
_BATCH = int.from_bytes(b"PCib", "big")
_CACHE_MAGIC = int.from_bytes(b"PCca", "big")
VERSION = 7
# magic, version, row size, UIDVALIDITY, sorted rows, their checksum, generation, checksum of these
_HEADER = struct.Struct("=IIIIIIQI")
_HEADER_OCTETS = _HEADER.size - 4
# 0 (where a row has its UID), magic, its own row number, rows, their checksum, generation, checksum
_HEAD = struct.Struct("=IIIIIQI")
_HEAD_OCTETS = _HEAD.size - 4
_CACHE_HEADER = struct.Struct("=IIQ")  # magic, version, generation
CACHE_START = _CACHE_HEADER.size


Kind = Literal["I", "i", "Q", "q"]


@dataclass(frozen=True, slots=True)
class Content:
    """What is in the files: a picture that stays true, since what is in it is never altered."""

    rows: memoryview  # octets of all rows with header and heads: row n begins at n * ROW
    sorted_rows: int  # rows 1 to this ascend by UID
    end: int  # rows that are whole and checked, the header counted
    cache: memoryview  # octets

    def column(self, word: int, kind: Kind = "I") -> memoryview:
        """Give one number of all rows, by its place in words of four octets."""
        size = 8 if kind == "Q" or kind == "q" else 4
        return self.rows.cast(kind)[word * 4 // size :: ROW // size]


class _Files(NamedTuple):
    """Descriptors of the two files."""

    items: int
    cache: int


class ItemFile:
    """The pair of files of one folder, or a pair in memory where files can't serve.

    No descriptor is kept between calls: a process has many folders open.
    """

    def __init__(self, files: _Files, generation: int, path: str | None) -> None:
        """Look at open files, which stay the caller's if they lie in a directory (``path``)."""
        self._generation = generation
        self._path = path
        self._private = None if path is not None else files
        self._identity = _identity(files)
        self.content = self._map(files)

    def __del__(self) -> None:
        # Folders come and go with the sessions that look at them, and none says when it goes.
        if getattr(self, "_private", None) is not None:
            _close(self._private)

    @property
    def is_private(self) -> bool:
        return self._private is not None

    # -- opening ---------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str, uidvalidity: int) -> ItemFile:
        """Open the files in directory ``path``.

        Raises:
            Unusable: they are absent, damaged, of another version, owner or UIDVALIDITY.
            OSError: they can't be opened.
        """
        with _opened(path) as files:
            generation = _read_header(files.items, uidvalidity)
            header = _CACHE_HEADER.pack(_CACHE_MAGIC, VERSION, generation)
            if os.pread(files.cache, CACHE_START, 0) != header:
                raise Unusable("cache of other items")
            return cls(files, generation, path)

    @classmethod
    def create(cls, path: str | None, uidvalidity: int, temporary: str | None = None) -> ItemFile:
        """Make empty files in place of what is there; in memory if ``path`` is None.

        Others see the old pair, then an old file beside a new one, which don't belong together
        and are as good as absent, then the new pair.

        Args:
            temporary: a directory on the same file system for files that are being written.

        Raises: OSError.
        """
        return cls.make(path, uidvalidity, _new_generation(), (), (), temporary)

    @classmethod
    def make(
        cls,
        path: str | None,
        uidvalidity: int,
        generation: int,
        rows: Iterable[bytes],
        texts: Iterable[bytes | memoryview],
        temporary: str | None,
    ) -> ItemFile:
        """Make files of these rows, which ascend by UID, and texts; see `create`."""

        def write_cache(fd: int) -> None:
            header = _CACHE_HEADER.pack(_CACHE_MAGIC, VERSION, generation)
            at = own_file.write_at(fd, header, 0)
            for text in texts:
                at = own_file.write_at(fd, text, at)

        write_items = partial(_write_items, uidvalidity, generation, rows)
        cache_fd = items_fd = -1
        try:
            cache_fd = own_file.made(path, CACHE, write_cache, temporary)
            items_fd = own_file.made(path, ITEMS, write_items, temporary)
            files = _Files(items_fd, cache_fd)
            made = cls(files, generation, path)
            if path is None:
                cache_fd = items_fd = -1  # its own now
            return made
        finally:
            _close(_Files(items_fd, cache_fd))

    # -- reading ---------------------------------------------------------------------------

    def is_current(self) -> bool:
        """Tell whether these are still the files that lie under the names."""
        return self._sizes() is not None

    def refresh(self) -> None:
        """Take up what others have appended, perhaps over rows that were torn before.

        Raises:
            Unusable: the files lie under the names no more.
            OSError: they can't be opened.
        """
        sizes = self._sizes()
        if (
            sizes is None
            or sizes[0] != len(self.content.rows)
            or sizes[0] != self.content.end * ROW
        ):
            with self._files() as files:
                self.content = self._map(files, self.content)

    def _sizes(self) -> tuple[int, int] | None:
        """Give the sizes of the files, None if other ones lie under the names."""
        try:
            if self._path is None:
                assert self._private is not None
                found = [os.fstat(fd) for fd in self._private]
            else:
                found = [
                    os.stat(os.path.join(self._path, name), follow_symlinks=False)
                    for name in (ITEMS, CACHE)
                ]
        except OSError:
            return None
        identity = [(one.st_dev, one.st_ino) for one in found]
        return (found[0].st_size, found[1].st_size) if identity == self._identity else None

    @contextlib.contextmanager
    def _files(self) -> Iterator[_Files]:
        """Open the files again. Raises Unusable (they lie under the names no more), OSError."""
        if self._path is None:
            assert self._private is not None
            yield self._private
            return
        with _opened(self._path) as files:
            if _identity(files) != self._identity:
                raise Unusable("")
            yield files

    def _map(self, files: _Files, before: Content | None = None) -> Content:
        rows = filesystem.map_file(files.items)
        size = len(rows)
        if size < ROW:
            raise Unusable("truncated")
        cache = filesystem.map_file(files.cache)
        if before is not None:
            end = before.end
            sorted_rows = before.sorted_rows
        else:
            _, _, _, _, sorted_rows, checksum, _, _ = _HEADER.unpack_from(rows)
            end = 1 + sorted_rows
            if end * ROW > size or crc32(rows[ROW : end * ROW]) != checksum:
                raise Unusable("rows damaged")
        while (end + 1) * ROW <= size:
            count = self._batch_at(rows, end)
            if not count:
                break
            end += 1 + count
        return Content(rows[: size // ROW * ROW], sorted_rows, end, cache)

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
    def locked(self) -> Iterator[Writing]:
        """Be the only one that appends to these files or replaces them (flock).

        Raises:
            Unusable: other files lie under the names now.
            OSError: they can't be opened or locked.
        """
        with self._files() as files:
            fcntl.flock(files.items, fcntl.LOCK_EX)
            try:
                if not self.is_current():
                    raise Unusable("")
                self.content = self._map(files, self.content)
                yield Writing(self, files)
            finally:
                fcntl.flock(files.items, fcntl.LOCK_UN)

    def remade(
        self,
        uidvalidity: int,
        rows: Iterable[bytes],
        texts: Iterable[bytes | memoryview],
        temporary: str | None,
    ) -> ItemFile:
        """Make new files, of these rows and texts, in place of these. Under the lock."""
        generation = _new_generation()
        return self.make(self._path, uidvalidity, generation, rows, texts, temporary)


class Writing:
    """The right to change a pair of files; what others appended before is taken up."""

    def __init__(self, file: ItemFile, files: _Files) -> None:
        self._file = file
        self._files = files

    def cache_end(self) -> int:
        """Give the offset at which the next text will lie."""
        return os.fstat(self._files.cache).st_size + 7 & ~7

    def append(self, rows: Sequence[bytes], texts: bytes) -> None:
        """Append texts at `cache_end` and rows behind the last whole batch.

        Others see texts that no row points to, then rows whose head does not pass its checksum
        until they are whole. A crash leaves either; the next batch is written over such rows.

        Raises: OSError: nothing was appended that counts.
        """
        own_file.write(self._files.cache, texts, self.cache_end())
        body = b"".join(rows)
        file = self._file
        place = file.content.end
        fields = (0, _BATCH, place, len(rows), crc32(body), file._generation)
        head = _HEAD.pack(*fields, crc32(_HEAD.pack(*fields, 0)[:_HEAD_OCTETS]))
        own_file.write(self._files.items, head.ljust(ROW, b"\0") + body, place * ROW)
        file.content = file._map(self._files, file.content)

    def rewrite(self, uidvalidity: int, rows: Iterable[bytes], temporary: str | None) -> ItemFile:
        """Replace the items by these rows, which ascend by UID; the cache stays.

        Others see the old items or the new ones. Whoever has the old ones open reads on in them, and
        finds out before it appends.

        Raises: OSError: the old items are still there.
        """
        file = self._file
        write = partial(_write_items, uidvalidity, file._generation, rows)
        items_fd = own_file.made(file._path, ITEMS, write, temporary)
        if file._path is None:
            return ItemFile(_Files(items_fd, os.dup(self._files.cache)), file._generation, None)
        try:
            return ItemFile(_Files(items_fd, self._files.cache), file._generation, file._path)
        finally:
            os.close(items_fd)


def _identity(files: _Files) -> list[tuple[int, int]]:
    return [(found.st_dev, found.st_ino) for found in map(os.fstat, files)]


def _close(files: _Files | None) -> None:
    for fd in files or ():
        if fd >= 0:
            with contextlib.suppress(OSError):  # it is closed whatever close says
                os.close(fd)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[_Files]:
    """Open the files in a directory. Raises Unusable, OSError."""
    items_fd = own_file.opened(os.path.join(path, ITEMS))
    try:
        cache_fd = own_file.opened(os.path.join(path, CACHE))
    except BaseException:
        os.close(items_fd)
        raise
    try:
        yield _Files(items_fd, cache_fd)
    finally:
        _close(_Files(items_fd, cache_fd))


def _new_generation() -> int:
    return int.from_bytes(os.urandom(8), "big")


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


def _write_items(uidvalidity: int, generation: int, rows: Iterable[bytes], fd: int) -> None:
    """Write a file of items; ``rows`` gives any number of rows at a time."""
    at, checksum = ROW, 0
    for some in rows:
        checksum = crc32(some, checksum)
        at = own_file.write_at(fd, some, at)
    own_file.write_at(fd, _header(uidvalidity, generation, at // ROW - 1, checksum), 0)
