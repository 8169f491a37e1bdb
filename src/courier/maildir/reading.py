"""Reading messages whose items are not known yet: which, in what order, a slice at a time.

On a cold disk a folder read in the order of its UIDs costs a seek per message; in the order of inode
numbers it is read nearly in one sweep. Many messages are read by `helper` processes, one for each
processor that there is; the process that serves sessions only waits for them.
"""

from __future__ import annotations

import contextlib
import os
import threading
from array import array
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
#: How long a step waits while another session reads the same folder.
_WAIT_S = 0.05
#: Messages read before they are written to the index: what a crash may cost.
_KEEP_AFTER = 1000


class Reading:
    """The messages of one folder that have to be read. Each call of `step` is a slice of the work."""

    def __init__(self, folder: Folder, uids: Sequence[int]) -> None:
        self._folder = folder
        self._uidvalidity = folder.uidvalidity
        self._left = array("I", uids)  # to be read from the end on
        self._total = len(uids)
        self._told = 0
        self._found: list[Stored] = []
        self._helpers: Helpers | None = None
        self._mutex = threading.Lock()
        self._is_begun = self._is_alone = False

    def step(self) -> bool:
        """Read some messages; tell whether more are left. What is read is kept at the end at last.

        A message that is gone or can't be read is passed over: whoever asks for it will find out.
        """
        with self._mutex:
            if self._folder.is_void:
                return False
            if not self._is_begun:
                self._begin()
            elif self._helpers is not None:
                self._wait(self._helpers)
            else:
                self._read()
            self._log()
            is_more = bool(self._left) or self._helpers is not None
            if not is_more:
                self._release()
            return is_more

    @property
    def done(self) -> int:
        """How many messages have been read, or passed over."""
        return self._total - len(self._left)

    def close(self) -> None:
        """Stop, wherever it is: what was read and written stays known."""
        with self._mutex:
            if self._helpers is not None:
                self._helpers.close()
            self._left, self._helpers = array("I"), None
            self._release()

    def _release(self) -> None:
        if self._is_alone:
            self._is_alone = False
            self._folder.items.being_read.release()

    def _begin(self) -> None:
        """Put the messages in order, and start helpers where they are worth it."""
        if self._total < _MANY:
            self._is_begun = True
            self._left.reverse()
            self._read()
            return
        # Two sessions that ask for a large folder: one of them reads it.
        self._is_alone = self._folder.items.being_read.acquire(timeout=_WAIT_S)
        if not self._is_alone:
            return
        self._is_begun = True
        self._left = self._still_missing(self._left)
        messages = _InOrder(self._folder, self._left)
        self._left = messages.uids()
        self._left.reverse()
        count = len(os.sched_getaffinity(0))
        if (
            len(messages) >= _HELPED
            and count > 1
            and self._folder.items.is_shared(self._uidvalidity)
        ):
            self._helpers = Helpers(self._folder, self._uidvalidity, messages, count)

    def _still_missing(self, uids: Sequence[int]) -> array[int]:
        columns = self._folder.columns
        table = self._folder.items.table(self._uidvalidity, columns.uids, columns)
        return array("I", sorted(set(table.missing()).intersection(uids)))

    def _wait(self, helpers: Helpers) -> None:
        asked = self._left
        left = helpers.wait()
        if helpers.is_busy:
            self._left = asked[
                : max(left, 1)
            ]  # as a measure; what is missing is found out at the end
            return
        helpers.close()
        self._helpers = None
        self._left = self._still_missing(helpers.messages.uids())
        if not self._left:
            self._folder.items.tidy(self._uidvalidity, self._folder.columns.uids)

    def _read(self) -> None:
        octets = 0
        for _ in range(min(_SLICE_MESSAGES, len(self._left))):
            uid = self._left.pop()
            try:
                data, found = self._folder.read(uid)
            except MessageGone:
                continue
            except OSError as error:
                log.recurring("cannot read message", error.filename, error)
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
        if self._is_begun and self._total >= _LOGGED and tenth > self._told:
            self._told = tenth
            log.index_progress(self._folder.path, done, self._total)


class _InOrder:
    """Messages in the order in which their files lie on the disk, as far as the directory tells.

    Numbers alone are kept: a folder may have a million messages.
    """

    def __init__(self, folder: Folder, uids: Sequence[int]) -> None:
        self._columns = columns = folder.columns
        rows = array("I", [row for uid in uids if (row := columns.row(uid)) is not None])
        # By hash: who forges names that have the same changes the order, nothing else.
        row_of = {hash(filename.base(columns.names[row])): row for row in rows}
        inodes = dict.fromkeys(rows, 0)
        with contextlib.suppress(OSError), os.scandir(_cur(folder)) as entries:
            for entry in entries:
                row = row_of.get(hash(filename.base(entry.name)))
                if row is not None:
                    inodes[row] = entry.inode()
        self._rows = array("I", sorted(rows, key=inodes.__getitem__))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: slice) -> list[tuple[int, bytes]]:
        """Give UIDs and file names."""
        columns = self._columns
        return [(columns.uids[row], columns.names[row]) for row in self._rows[which]]

    def uids(self) -> array[int]:
        return array("I", map(self._columns.uids.__getitem__, self._rows))


def _cur(folder: Folder) -> bytes:
    return os.path.join(os.fsencode(folder.path), b"cur")
