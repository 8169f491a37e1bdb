"""Large messages, of which FETCH wants a part: only that is read, at the places that are known."""

from __future__ import annotations

import os

from courier.maildir.view import View
from courier.message.parted import LARGE, PartedMessage
from imapd import known


def opened(view: View, uid: int) -> tuple[PartedMessage, os.stat_result] | None:
    """Open a message of which parts can be read alone; None if it is small, or its parts not known.

    Raises as `Folder.read`.
    """
    folder, seq = view.folder, view.seq(uid)
    if seq is None or folder.stat(uid).st_size < LARGE:
        return None
    parts = known.parts(view, seq)
    if not parts:
        return None
    file = _File(folder.open(uid))
    found = os.fstat(file.fd)
    message = PartedMessage(parts, file.read)
    return (message, found) if message.size_on_disk == found.st_size else None


class _File:
    """An open file, which is closed with the message that is read from it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)

    def read(self, start: int, count: int) -> bytes:
        """Give octets; fewer only at the end of the file."""
        data = os.pread(self.fd, count, start)
        while len(data) < count and (
            more := os.pread(self.fd, count - len(data), start + len(data))
        ):
            data += more
        return data
