"""Reading messages whose items are not known yet: which, in what order, a slice at a time.

On a cold disk a folder read in the order of its UIDs costs a seek per message; in the order of inode
numbers it is read nearly in one sweep. Many messages are read by `helper` processes, one for each
processor that there is; the process that serves sessions only waits for them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from courier import log
from courier.maildir import filename
from courier.maildir.folder import Folder, MessageGone
from courier.maildir.helper import Helpers
from courier.maildir.items import Stored
from courier.message import facts

#: From so many messages on the order of inodes is worth a reading of the directory.
_MANY = 256
#: From so many on helpers are worth their start, which takes as long as reading some hundred messages.
_HELPED = 2000
#: From so many on the log tells how far it is.
_LOGGED = 50_000
#: Of one slice: messages, and octets of message files, as a measure of the time that it takes.
_SLICE_MESSAGES = 64
_SLICE_OCTETS = 512 << 10
#: Messages read before they are written to the index: what a crash may cost.
_KEEP_AFTER = 1000


class Reading:
    """The messages of one folder that have to be read. Each call of `step` is a slice of the work."""

    def __init__(self, folder: Folder, uids: Sequence[int]) -> None:
        self._folder = folder
        self._uidvalidity = folder.uidvalidity
        self._left = list(uids)
        self._total = len(uids)
        self._told = 0
        self._found: list[Stored] = []
        self._helpers: Helpers | None = None
        self._mutex = threading.Lock()
        self._is_begun = False

    def step(self) -> bool:
        """Read some messages; tell whether more are left. What is read is kept at the end at last.

        A message that is gone or can't be read is passed over: whoever asks for it will find out.
        """
        with self._mutex:
            if not self._is_begun:
                self._begin()
            elif self._helpers is not None:
                self._wait(self._helpers)
            else:
                self._read()
            self._log()
            return bool(self._left) or self._helpers is not None

    def close(self) -> None:
        """Stop, wherever it is: what was read and written stays known."""
        with self._mutex:
            if self._helpers is not None:
                self._helpers.close()
            self._left, self._helpers = [], None

    def _begin(self) -> None:
        """Put the messages in order, and start helpers where they are worth it."""
        self._is_begun = True
        if self._total < _MANY:
            self._left.reverse()
            self._read()
            return
        names = _by_inode(self._folder, self._left)
        self._left = [uid for uid, _ in reversed(names)]
        count = len(os.sched_getaffinity(0))
        if self._total >= _HELPED and count > 1 and self._folder.items.is_shared(self._uidvalidity):
            self._helpers = Helpers(self._folder, self._uidvalidity, names, count)

    def _wait(self, helpers: Helpers) -> None:
        left = helpers.wait()
        del self._left[left:]  # as a measure: what is missing at the end is found out by itself
        if not helpers.is_busy:
            helpers.close()
            self._helpers = None
            asked = {uid for uid, _ in helpers.names}
            items, columns = self._folder.items, self._folder.columns
            table = items.table(self._uidvalidity, columns.uids, columns)
            self._left = [uid for uid in table.missing() if uid in asked]
            if not self._left:
                items.tidy(self._uidvalidity, columns.uids)

    def _read(self) -> None:
        octets = 0
        for _ in range(min(_SLICE_MESSAGES, len(self._left))):
            uid = self._left.pop()
            try:
                data, found = self._folder.read(uid)
            except MessageGone:
                continue
            except OSError as error:
                log.error("cannot read message", error.filename, error)
                continue
            what = facts.describe(data)
            row = self._folder.columns.row(uid)
            name = b"" if row is None else self._folder.columns.names[row]
            self._found.append(Stored(uid, name, len(data), int(found.st_mtime), what))
            octets += len(data)
            if octets >= _SLICE_OCTETS:
                break
        if not self._left or len(self._found) >= _KEEP_AFTER:
            self._keep()

    def _keep(self) -> None:
        found, self._found = self._found, []
        items = self._folder.items
        if found:
            items.add(self._uidvalidity, found)
        if not self._left:
            items.tidy(self._uidvalidity, self._folder.columns.uids)

    def _log(self) -> None:
        done = self._total - len(self._left)
        tenth = 10 * done // self._total
        if self._total >= _LOGGED and tenth > self._told:
            self._told = tenth
            log.index_progress(self._folder.path, done, self._total)


def _by_inode(folder: Folder, uids: Sequence[int]) -> list[tuple[int, bytes]]:
    """Order messages as their files lie on the disk, as far as the directory tells; give their names."""
    try:
        with os.scandir(os.path.join(os.fsencode(folder.path), b"cur")) as entries:
            inodes = {filename.base(entry.name): entry.inode() for entry in entries}
    except OSError:
        inodes = {}
    columns = folder.columns
    names = {}
    for uid in uids:
        row = columns.row(uid)
        if row is not None:
            names[uid] = columns.names[row]
    places = {uid: inodes.get(filename.base(name), 0) for uid, name in names.items()}
    return [(uid, names[uid]) for uid in sorted(places, key=places.__getitem__)]
