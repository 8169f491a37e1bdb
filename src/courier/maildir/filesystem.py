"""What a file system can be trusted with: maps, directory times, inotify.

On a file system that other hosts write to, neither inotify nor the time of a directory tells all,
and a mapped file may change its length under us. Only those known to be local are trusted.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import time
import weakref

#: statfs(2), f_type: ext2 to ext4, XFS, Btrfs, tmpfs, ZFS, F2FS, overlayfs, bcachefs, JFS, ReiserFS.
_LOCAL = frozenset(
    (
        0xEF53,
        0x58465342,
        0x9123683E,
        0x01021994,
        0x2FC12FC1,
        0xF2F52010,
        0x794C7630,
        0xCA451A4E,
        0x3153464A,
        0x52654973,
    )
)
#: Errors that say that nothing more can be stored, though what is there can be read and removed.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
#: Those that pass without anything having changed in a folder, or its rights.
UNWRITABLE = (*NO_ROOM, errno.EROFS)
_COARSE_CLOCK = 5  # CLOCK_REALTIME_COARSE: what file systems take their times from

_libc = ctypes.CDLL(None, use_errno=True)
_libc.renameat2.argtypes = (
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_uint,
)
_libc.statfs.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_libc.mmap.restype = ctypes.c_void_p
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
# linux/fcntl.h, linux/fs.h
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_FAILED = ctypes.c_void_p(-1).value


def rename_exclusively(source: bytes, target: bytes) -> None:
    """Rename a file to a name that nothing has.

    Where the file system can't see to that, it is looked at first.

    Raises:
        FileExistsError: something has.
        OSError: as `os.rename`.
    """
    if _libc.renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(number, os.strerror(number), source, None, target)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target)
    os.rename(source, target)


def is_local(path: str) -> bool:
    """Tell whether the file system of ``path`` is one that no other host writes to."""
    answer = (ctypes.c_long * 64)()
    if _libc.statfs(os.fsencode(path), answer) != 0:
        return False
    return answer[0] & 0xFFFFFFFF in _LOCAL


def clock_ns() -> int:
    """Give the time that a change made right now would leave on a directory, or an earlier one."""
    try:
        return time.clock_gettime_ns(_COARSE_CLOCK)
    except OSError:
        return time.time_ns() - 20_000_000


def is_fine(*times_ns: int) -> bool:
    """Tell whether times have a fraction of a second: some file systems keep whole ones."""
    return all(at % 1_000_000_000 for at in times_ns)


def map_file(fd: int) -> memoryview:
    """Map a whole file, to be read; the map ends with the last view of it.

    Python's own maps keep a descriptor each, and a process has many folders open.

    Raises:
        OSError: it can't be mapped, or is empty.
    """
    size = os.fstat(fd).st_size
    address = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    if address in (None, _FAILED):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    memory = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(memory, _libc.munmap, address, size).atexit = False
    return memoryview(memory).cast("B").toreadonly()
