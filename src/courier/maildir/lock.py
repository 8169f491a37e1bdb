"""courier.lock: one process at a time reads and rewrites a folder's databases.

The lock is the file F/tmp/courier.lock with "pid:host" in it, made by link(2) from a file that has
that content already, so it is whole when it appears, and safe on NFS. It is stale, and may be removed, if
its process is dead, or - where that can't be known, on another host - after 120 seconds. Courier's
processes and ours follow the same rules and exclude each other.

Inside a process a mutex per folder comes first, for two reasons: a lock with our own pid must then
be left over from an earlier process with that number (Courier removes it as well), and
threads can wait for each other without looking at the disk. Order: mutex, then file. Never hold
the locks of two folders, and none while waiting for a client.

Removing a stale lock is the dangerous moment: between judging it and removing it somebody else may
have removed it and made a new, good one. Courier hopes that sleeping 5 seconds before taking the
lock keeps that from happening. We let only one breaker at a time come near a stale lock (flock on
the file itself), move it to a private name, look whether it is the one we judged, and put it back
if not. While the flock is held no process of ours removes that file and link(2) replaces none, so the
name keeps meaning that file; what is left is the instant between a look and a rename, with Courier breaking
the same lock in it.

Two hosts or containers that share a maildir must have different host names: each would take the
other's locks for those of a dead process. That is so with Courier as well.
"""

import errno
import fcntl
import os
import random
import socket
import threading
import time
import weakref
from types import TracebackType
from typing import Self

from courier import log
from courier.maildir import delivery

FOREIGN_LIFETIME_S = 120
#: How long the lock is waited for, unless somebody says otherwise.
DEADLINE_S = 120.0
_BREAKER_PAUSE_S = 0.1  # Courier unlinks a stale lock twice: keep ours out from between
_UNSURE_BREAKER_PAUSE_S = 5.0  # Courier's own pause, where breakers can't exclude each other
_CONTENT_OCTETS = 511
_FIRST_WAIT_S = 0.001
_LONGEST_WAIT_S = 0.05


class LockTimeout(OSError):
    """Somebody else kept the folder locked for too long."""


class FolderLock:
    """The lock of one folder; a context manager, used again as often as needed, not re-entrant.

    With ``enabled`` false (IMAP_USELOCKS=0) only the sessions of this process exclude each other.

    A crash leaves courier.lock behind; the next process that wants it finds our pid dead.
    """

    def __init__(
        self, folder: str, *, enabled: bool = True, deadline_s: float = DEADLINE_S
    ) -> None:
        self._folder = folder
        self._enabled = enabled
        self._deadline_s = deadline_s
        self._path = os.path.join(folder, "tmp", "courier.lock")
        self._mutex: _Mutex | None = None
        self._fd = -1  # of the file that is our lock: keeps its inode number from being used again
        self._pid = 0

    def acquire(self) -> None:
        """Wait for the lock and take it.

        Raises:
            LockTimeout: it was not free for ``deadline_s`` seconds.
            OSError: tmp/ is missing or not writable, or the file system has no hard links.
        """
        if self._mutex is not None:
            raise RuntimeError(f"{self._folder} is locked by this lock already")
        give_up = time.monotonic() + self._deadline_s
        mutex = _mutex_of(self._folder)
        if not mutex.lock.acquire(timeout=self._deadline_s):
            raise self._timeout()
        try:
            if self._enabled:
                self._fd = self._take(give_up)
        except BaseException:
            mutex.lock.release()
            raise
        self._mutex = mutex
        self._pid = os.getpid()

    def release(self) -> None:
        """Give the lock up. A lock that is no longer ours (broken by another host) is left alone.

        Never raises: what was done under the lock is done. A lock file that can't be removed
        is logged, and bears our pid, so that this process can still take it.
        """
        mutex, self._mutex = self._mutex, None
        if mutex is None:
            return
        fd, self._fd = self._fd, -1
        try:
            if fd >= 0:
                self._remove_ours(fd, is_ours=self._pid == os.getpid())
        finally:
            mutex.lock.release()

    def is_held(self) -> bool:
        """Whether we hold the lock and nobody has broken it meanwhile."""
        return self._mutex is not None and (self._fd < 0 or _is_same(self._path, self._fd))

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _take(self, give_up: float) -> int:
        """Make the lock file and return a descriptor of it."""
        fd, temporary = delivery.create_temporary(self._folder, "courierlock")
        try:
            delivery.write_all(fd, b"%d:%b" % (os.getpid(), _host()))
            wait_s = _FIRST_WAIT_S
            while not self._link(fd, temporary):
                pause_s = self._break_if_stale()
                if time.monotonic() >= give_up:
                    raise self._timeout()
                time.sleep(pause_s or wait_s * random.uniform(0.5, 1.0))
                wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S)
        except BaseException:
            self._remove_ours(fd, is_ours=True)
            raise
        finally:
            delivery.unlink_quietly(temporary)
        return fd

    def _remove_ours(self, fd: int, *, is_ours: bool) -> None:
        """Remove the lock file if it is the one that ``fd`` is; close ``fd`` whatever happens."""
        try:
            if is_ours:
                _unlink_if_same(self._path, fd)
        except OSError as error:
            log.error("cannot remove lock", self._path, error)
        try:
            os.close(fd)
        except OSError as error:
            log.error("cannot close lock", self._path, error)

    def _link(self, fd: int, temporary: str) -> bool:
        os.utime(fd)  # other hosts count the lock's age from here, not from when we began to wait
        refusal: OSError | None = None
        try:
            os.link(temporary, self._path)
        except OSError as error:
            refusal = error
        # The count of names is the truth where NFS repeats a link whose answer was lost. It is 3
        # while a breaker that took ours by mistake is putting it back.
        if os.fstat(fd).st_nlink > 1:
            return True
        if refusal is not None and not isinstance(refusal, FileExistsError):
            raise refusal
        return False

    def _break_if_stale(self) -> float:
        """Remove the lock if it is stale; return the seconds to keep off it then, else 0."""
        try:
            fd = _open(self._path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESTALE):
                return 0  # released meanwhile
            raise
        try:
            if not _is_stale(fd):
                return 0
            pause_s = _BREAKER_PAUSE_S
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return _BREAKER_PAUSE_S  # another breaker is at it
            except OSError:
                pause_s = _UNSURE_BREAKER_PAUSE_S
            if _is_same(self._path, fd):
                self._remove(fd)
            return pause_s
        finally:
            os.close(fd)

    def _remove(self, fd: int) -> None:
        private = os.path.join(self._folder, "tmp", delivery.unique_name("courierlock"))
        try:
            os.rename(self._path, private)
        except FileNotFoundError:
            return
        try:
            if not _is_same(private, fd):
                os.link(private, self._path)
        except FileExistsError:
            pass  # and a third one has taken it in between
        finally:
            delivery.unlink_quietly(private)

    def _timeout(self) -> LockTimeout:
        return LockTimeout(errno.ETIMEDOUT, "Locked by another process", self._path)


class _Mutex:
    """A lock that a weak dictionary can hold."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()


_mutexes: "weakref.WeakValueDictionary[tuple[int, int], _Mutex]" = weakref.WeakValueDictionary()
_mutexes_guard = threading.Lock()


def _mutex_of(folder: str) -> _Mutex:
    found = os.stat(folder)
    with _mutexes_guard:
        return _mutexes.setdefault((found.st_dev, found.st_ino), _Mutex())


def _forget_after_fork() -> None:
    """A child holds none of its parent's locks."""
    global _mutexes, _mutexes_guard  # noqa: PLW0603 (what is there may be locked for ever)
    _mutexes = weakref.WeakValueDictionary()
    _mutexes_guard = threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)


def _host() -> bytes:
    return os.fsencode(socket.gethostname())


def _open(path: str) -> int:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | flags)
    except PermissionError:
        return os.open(path, os.O_PATH | flags)  # another user's: its age is all we can know


def _is_stale(fd: int) -> bool:
    try:
        pid, _, host = os.read(fd, _CONTENT_OCTETS).partition(b":")
    except OSError:
        pid = host = b""
    if host == _host() and pid.isdigit() and 0 < int(pid) < 1 << 31:
        return int(pid) == os.getpid() or not _is_alive(int(pid))
    return time.time() - os.fstat(fd).st_mtime > FOREIGN_LIFETIME_S


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_same(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _unlink_if_same(path: str, fd: int) -> None:
    if _is_same(path, fd):
        os.unlink(path)
