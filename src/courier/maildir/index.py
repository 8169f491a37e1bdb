"""A folder's index on disk: pycourier-index and pycourier-log (doc/index.md).

The snapshot, and the log of what changed since, say which messages there are, so that a folder is opened
without a look at its directories. Both may be deleted at any moment; what is missing, damaged, of
another version or another user is logged once and made anew from the maildir.

Only the folder's owner writes, holding courier.lock, and only on file systems that no other host
writes to. Snapshot G+1 is put in place by rename and holds all of snapshot G and its log; then
a new log takes the old one's place. A log that does not name the snapshot's generation counts as
empty, so a crash in between loses nothing. Who reads without the lock may find a log that is being
written: it ends at the last whole record, and the stamp in it tells whether that is all.

What a snapshot holds is checked once, by whoever first maps it after it was put there by others than us, or after
the machine was started: what a power failure does to a file is over by then. That it was checked, or
written by us, is marked in the fraction of its modification time, which says for which generation and since which
start; whoever writes into the file leaves another time. So opening a folder costs no work per message.
"""

from __future__ import annotations

import functools
import os
import random
import stat
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from courier import log
from courier.maildir import delivery, filesystem, journal, snapshot
from courier.maildir.journal import Change
from courier.maildir.snapshot import Snapshot, Unusable

INDEX = "pycourier-index"
LOG = "pycourier-log"
#: Records are folded into a new snapshot when they concern more messages than this, and
#: more than this part of the folder's.
_LEAST_ROWS = 512
_PART = 16
_LONGEST_LOG = 32 << 20
_RETRY_S = 60.0
_PIECE = 1 << 16  # octets that are read at once
_SMALL = 1 << 21  # octets of a snapshot: some 30,000 messages, checked in a millisecond if need be
_SHORT = 1 << 15  # octets of a log: some hundred records
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the index says: a snapshot, and the changes since."""

    snapshot: Snapshot | None  # None: there is none any more, and changes may be missing
    changes: list[Change]
    is_whole: bool  # False: changes may be missing, of which MODSEQs were told


class Index:
    """The index of one folder, for one `Folder` object."""

    def __init__(self, folder: str, directory: str | None) -> None:
        """``directory`` is where all indexes are kept (IMAP_INDEX_DIR); by default the folder."""
        self.folder = folder
        self._directory = directory
        self._generation: int | None = None  # of what is held in memory; None: write anew
        self._end = 0  # of the log that was read
        self._rows = 0  # messages that its records concern
        self._is_stale = False  # what is in memory is not all on disk
        self._not_before = float("-inf")  # monotonic: a full disk is not filled again and again
        self._is_torn = False  # the log is missing, or ends in what is no record
        self._complained = False

    @property
    def path(self) -> str:
        """The directory of this folder's index files."""
        if self._directory is None:
            return self.folder
        owner = self._owner()
        place = os.path.realpath(self.folder).lstrip("/")
        return os.path.join(self._directory, str(owner), place)

    def may_write(self) -> bool:
        """Tell whether this process is the one to keep the index."""
        if not self.may_keep():
            return False
        return self._directory is None or filesystem.is_local(self.folder)

    def may_keep(self) -> bool:
        """Tell whether this process may keep files beside the index, about messages that don't change.

        The folder itself may lie on a file system that other hosts write to.
        """
        try:
            owner = self._owner()
        except OSError:
            return False
        return owner == os.geteuid() and filesystem.is_local(self._directory or self.folder)

    def is_small(self) -> bool:
        """Tell whether there is an index, and it is read in a millisecond or two."""
        path = self.path
        try:
            if os.stat(os.path.join(path, INDEX)).st_size > _SMALL:
                return False
            return os.stat(os.path.join(path, LOG)).st_size <= _SHORT
        except OSError:
            return False

    def load(self, *, check: bool = False) -> Loaded | None:
        """Read the index; None if there is none that can be used. No lock is needed.

        Args:
            check: all of it, whether that was done before or not.
        """
        self._generation, self._is_stale = None, False
        try:
            owner = self._owner()
            found = self._map(owner, check=check)
        except (FileNotFoundError, PermissionError):  # none, or none that we may read
            return None
        except (OSError, Unusable) as error:
            self.complain(error)
            return None
        self._generation = found.generation
        self._end, self._rows = journal.HEAD_SIZE, 0
        changes = self._read_log(owner)
        return Loaded(found, changes, not self._is_torn)

    def _owner(self) -> int:
        return os.stat(os.path.join(self.folder, "cur")).st_uid

    def _map(self, owner: int, *, check: bool = False) -> Snapshot:
        fd, stated = self._open(INDEX, owner)
        try:
            own = owner == os.geteuid()
            if not own and stated.st_size > delivery.MAX_FILE:
                raise Unusable(f"{INDEX} is too large")
            # Somebody else's file may be cut while we look at it.
            data = filesystem.map_file(fd) if own else memoryview(_read_from(fd, 0))
            generation = snapshot.generation_of(bytes(data[: snapshot.HEAD_SIZE]))
            is_checked = own and stated.st_mtime_ns % _SECOND == _mark(generation)
            found = snapshot.unpack(data, generation, check=check or not is_checked)
            if own and not is_checked:
                _set_mark(fd, generation)
            return found
        finally:
            os.close(fd)

    def _open(self, name: str, owner: int) -> tuple[int, os.stat_result]:
        """Open a file of the index for reading; also tell what it is.

        Raises:
            Unusable: it is nobody's that we believe.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(os.path.join(self.path, name), flags)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != owner or found.st_mode & 0o022:
                raise Unusable(f"{name} is not a file of the folder's owner alone")
            return fd, found
        except BaseException:
            os.close(fd)
            raise

    def _read_log(self, owner: int) -> list[Change]:
        """Read what was added to the log."""
        assert self._generation is not None
        self._is_torn = True
        try:
            fd, stated = self._open(LOG, owner)
        except (OSError, Unusable):
            return []
        try:
            if not journal.check_head(os.pread(fd, journal.HEAD_SIZE, 0), self._generation):
                return []
            if stated.st_size > delivery.MAX_FILE:
                raise Unusable(f"{LOG} is too large")
            data = _read_from(fd, self._end) if stated.st_size > self._end else b""
            changes = []
            total = self._end + len(data)
            for change, end in journal.records(data, self._generation, self._end):
                changes.append(change)
                self._end, self._rows = end, self._rows + len(change.rows) + len(change.gone)
            self._is_torn = self._end != total
            return changes
        except (OSError, Unusable) as error:
            self.complain(error)
            return []
        finally:
            os.close(fd)

    def catch_up(self) -> list[Change] | Loaded | None:
        """Read what other processes added. The caller holds courier.lock.

        Returns: changes since; or all anew, if what is on disk is not what is in memory; or None,
        if there is nothing, and what is in memory has to be written with `replace`.
        """
        if self._generation is None:
            return self.load()
        owner = self._owner()
        generation = self._generation_on_disk(owner)
        if generation not in (None, self._generation):
            return self.load()
        changes = self._read_log(owner)
        if generation is None or self._is_torn:
            self._is_stale = True
        # What was read before is still known; what was in the torn part is not.
        return Loaded(None, changes, False) if self._is_torn else changes

    def _generation_on_disk(self, owner: int) -> int | None:
        """Give the generation of the snapshot that lies there; None if it can't be used."""
        try:
            fd, _ = self._open(INDEX, owner)
            try:
                return snapshot.generation_of(os.pread(fd, snapshot.HEAD_SIZE, 0))
            finally:
                os.close(fd)
        except FileNotFoundError:
            return None
        except (OSError, Unusable) as error:
            self.complain(error)
            return None

    @property
    def is_lost(self) -> bool:
        """Whether what is on disk has to be written anew."""
        return self._generation is None or self._is_stale

    def is_short(self, messages: int, more: int) -> bool:
        """Tell whether ``more`` messages' records are better appended than folded in."""
        if self.is_lost or self._end > _LONGEST_LOG:
            return False
        return self._rows + more <= max(_LEAST_ROWS, messages // _PART)

    def append(self, change: Change) -> bool:
        """Add a record, of what is done; False if the index has to be written anew.

        The caller holds courier.lock and has caught up. Others see the record when it is whole; a
        crash leaves a part of it, which is nobody's record and is cut off by the next `append`.
        """
        assert self._generation is not None
        try:
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(os.path.join(self.path, LOG), flags)
            try:
                if not journal.check_head(os.pread(fd, journal.HEAD_SIZE, 0), self._generation):
                    raise Unusable("the log was replaced")
                if os.fstat(fd).st_size != self._end:
                    os.ftruncate(fd, self._end)
                data = journal.pack(change, self._generation, self._end)
                if os.pwrite(fd, data, self._end) != len(data):
                    raise OSError(28, os.strerror(28))
            finally:
                os.close(fd)
        except FileNotFoundError:
            self.forget()
            return False
        except (OSError, Unusable) as error:
            self.complain(error)
            self.forget()
            return False
        self._end += len(data)
        self._rows += len(change.rows) + len(change.gone)
        return True

    def replace(self, found: Snapshot) -> Snapshot | None:
        """Write all anew and give it as a map of the new file; None if that failed, now or just before.

        The caller holds courier.lock and has caught up. Others see the old pair of files, then
        the new snapshot (the old log no longer counts), then the new pair.
        """
        self._is_stale = True
        if time.monotonic() < self._not_before:
            return None
        generation = random.SystemRandom().getrandbits(63) | 1
        try:
            self.make_directory()
            pieces = snapshot.pack(found, generation)
            self._put(INDEX, pieces, generation)
            self._put(LOG, [journal.head(generation)])
            mapped = self._map(self._owner())
        except (OSError, Unusable) as error:
            self.complain(error)
            self._not_before = time.monotonic() + _RETRY_S
            return None
        self._generation, self._end, self._rows = generation, journal.HEAD_SIZE, 0
        self._is_torn = self._is_stale = False
        return mapped

    def _put(
        self, name: str, pieces: Iterable[bytes | memoryview], generation: int | None = None
    ) -> None:
        """Put a file in place at once. A crash leaves a temporary file, removed in time."""
        where = self.folder if self._directory is None else None
        if where is not None:
            fd, temporary = delivery.create_temporary(where, "index", self._mode())
        else:
            temporary = os.path.join(self.path, f".{name}")
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(temporary, flags, self._mode())
        try:
            try:
                for piece in pieces:
                    delivery.write_all(fd, piece)
                if generation is not None:
                    _set_mark(fd, generation)
            finally:
                os.close(fd)
            os.rename(temporary, os.path.join(self.path, name))
        except BaseException:
            delivery.unlink_quietly(temporary)
            raise

    def make_directory(self) -> None:
        """Make the place for the files in IMAP_INDEX_DIR. What somebody else put there is not used."""
        if self._directory is None:
            return
        top = os.path.join(self._directory, str(os.geteuid()))
        try:
            os.mkdir(top, 0o700)
        except FileExistsError:
            pass
        found = os.lstat(top)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise Unusable(f"{top} is not a directory of the folder's owner alone")
        os.makedirs(self.path, mode=0o700, exist_ok=True)

    def _mode(self) -> int:
        """Who may list the messages may read the index."""
        return 0o600 | os.stat(os.path.join(self.folder, "cur")).st_mode & 0o044

    def forget(self) -> None:
        """Take what is on disk to lack something: the next change writes it anew."""
        self._is_stale = True

    def drop(self) -> None:
        """Remove the files. Raises OSError."""
        self._generation = None
        for name in (INDEX, LOG):
            try:
                os.unlink(os.path.join(self.path, name))
            except FileNotFoundError:
                pass

    def complain(self, error: Exception) -> None:
        """Log what is wrong with the files, once."""
        if not self._complained:
            self._complained = True
            log.index_unusable(self.path, error)


@functools.cache
def _start() -> bytes:
    """Name the time since the machine was started; empty if that can't be told."""
    try:
        fd = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, _PIECE)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _mark(generation: int) -> int | None:
    """Give the fraction of a second that marks a snapshot as checked; None if there is no telling."""
    start = _start()
    return zlib.crc32(b"%d %b" % (generation, start)) % _SECOND if start else None


def _set_mark(fd: int, generation: int) -> None:
    mark = _mark(generation)
    if mark is not None:
        at = time.time_ns() // _SECOND * _SECOND + mark
        try:
            os.utime(fd, ns=(at, at))
        except OSError:
            return  # the next one checks it again


def _read_from(fd: int, at: int) -> bytes:
    """Read a file from an offset to its end, which is near in most cases: no large buffer for that."""
    pieces = []
    while piece := os.pread(fd, _PIECE, at):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)
