"""Results of long computations over a folder, kept beside its index, since most sessions ask once.

A memo, ``pycourier-NAME``, is a file of any octets under a stamp that names what it was computed from. It is written by the
folder's owner alone, and replaced as a whole; who finds none, or one that is damaged or of another
stamp, computes anew. It may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from zlib import crc32

from courier import log
from courier.maildir import delivery, own_file
from courier.maildir.index import Index
from courier.maildir.snapshot import Unusable

#: Of what memos there are: orders of messages, threads, texts of fields, what POP3 lists; and of a maildir's
#: folders, beside INBOX's.
_PREFIXES = (
    *("pycourier-order-", "pycourier-text-", "pycourier-threads-", "pycourier-pop3"),
    "pycourier-folders",
)
#: Octets of a stamp.
STAMP = 16
_MAGIC = int.from_bytes(b"PCmo", "big")  # in the order of this machine's bytes
_VERSION = 1
_HEAD = struct.Struct(f"=II{STAMP}sI")  # magic, version, stamp, checksum of what follows


class Memos:
    """The memos of one folder."""

    def __init__(self, folder: str, index_dir: str | None = None) -> None:
        self._folder = folder
        self._index_dir = index_dir
        self._complained = False

    def drop(self) -> None:
        """Remove all memos. Raises OSError."""
        place = Index(self._folder, self._index_dir).path
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(place):
                if name.startswith(_PREFIXES):
                    os.unlink(os.path.join(place, name))

    def load(self, name: str, stamp: bytes) -> bytes | None:
        """Give the memo of this name, if it was computed from what ``stamp`` says."""
        index = Index(self._folder, self._index_dir)
        with contextlib.suppress(OSError):
            data = _read(os.path.join(index.path, f"pycourier-{name}"))
            if len(data) >= _HEAD.size:
                magic, version, of, checksum = _HEAD.unpack_from(data)
                body = data[_HEAD.size :]
                if (magic, version, of) == (_MAGIC, _VERSION, stamp) and crc32(body) == checksum:
                    return body
        return None

    def save(self, name: str, stamp: bytes, body: bytes) -> None:
        """Keep a memo, if this process may. Others see the old one or this one."""
        index = Index(self._folder, self._index_dir)
        if not index.may_write():
            return
        head = _HEAD.pack(_MAGIC, _VERSION, stamp, crc32(body))
        temporary = os.path.join(self._folder, "tmp") if self._index_dir is None else None
        try:
            index.make_directory()
            os.close(own_file.replace(index.path, f"pycourier-{name}", [head, body], temporary))
        except (OSError, Unusable) as error:
            if not self._complained:
                self._complained = True
                log.index_unusable(self._folder, error)


def _read(path: str) -> bytes:
    """Read a file that this user alone can have written; give nothing if it is another."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o022:
            return b""
        if found.st_size > delivery.MAX_FILE:
            return b""
        return file.read() if found.st_uid == os.geteuid() else b""
