"""Reading messages whose items are not known yet: which, in what order, a slice at a time.

On a cold disk a folder read in the order of its UIDs costs a seek per message; in the order of inode
numbers it is read nearly in one sweep.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from courier import log
from courier.maildir import filename
from courier.maildir.folder import Folder, MessageGone
from courier.maildir.items import Stored
from courier.message import facts

#: From so many messages on the order of inodes is worth a reading of the directory.
_MANY = 256
#: Octets of message files read in one slice, as a measure of the time that it takes.
SLICE_OCTETS = 512 << 10
SLICE_MESSAGES = 64


class Reading:
    """The messages of one folder that have to be read. Each call is a slice of the work."""

    def __init__(self, folder: Folder, uids: Sequence[int]) -> None:
        self._folder = folder
        self._uidvalidity = folder.uidvalidity
        self._left = list(uids)
        self._found: list[Stored] = []
        self._mutex = threading.Lock()
        if len(self._left) >= _MANY:
            self._left = _by_inode(folder, self._left)
        self._left.reverse()

    def __len__(self) -> int:
        """Count the messages still to read."""
        return len(self._left)

    def step(self) -> bool:
        """Read some messages; tell whether more are left. What is read is kept at the end at last.

        A message that is gone or can't be read is passed over: whoever asks for it will find out.
        """
        octets = 0
        with self._mutex:
            for _ in range(min(SLICE_MESSAGES, len(self._left))):
                uid = self._left.pop()
                try:
                    data, found = self._folder.read(uid)
                except MessageGone:
                    continue
                except OSError as error:
                    log.error("cannot read message", error.filename, error)
                    continue
                what = facts.describe(data)
                self._found.append(Stored(uid, len(data), int(found.st_mtime), what))
                octets += len(data)
                if octets >= SLICE_OCTETS:
                    break
            if not self._left or len(self._found) >= _KEEP_AFTER:
                self._keep()
            return bool(self._left)

    def _keep(self) -> None:
        found, self._found = self._found, []
        items = self._folder.items
        if found:
            items.add(self._uidvalidity, found)
        if not self._left:
            items.tidy(self._uidvalidity, self._folder.columns.uids)


#: Messages read before they are written to the index: what a crash may cost.
_KEEP_AFTER = 1000


def _by_inode(folder: Folder, uids: Sequence[int]) -> list[int]:
    """Order messages as their files lie on the disk, as far as the directory tells."""
    try:
        with os.scandir(os.path.join(os.fsencode(folder.path), b"cur")) as entries:
            inodes = {filename.base(entry.name): entry.inode() for entry in entries}
    except OSError:
        return list(uids)
    columns = folder.columns
    row_of = dict(zip(columns.uids, range(len(columns.uids)), strict=True))
    names = columns.names
    places = {
        uid: inodes.get(filename.base(names[row_of[uid]]), 0) for uid in uids if uid in row_of
    }
    return sorted(places, key=places.__getitem__)
