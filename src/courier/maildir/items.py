"""What is known of a folder's messages without opening them: numbers and wire-ready texts by UID.

`Items` is the folder's store of them, `Table` the part that concerns a list of UIDs, as columns that
align with that list. A message is immutable once it is delivered (Maildir's rule), so what was found
once holds as long as its UID; flags, names and MODSEQ are none of our business here.

How to use it: let the messages in `Table.missing` be described (`courier.message.facts`) and added,
then read from `Items.table`. A message whose file can't be read has no row and stays missing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from array import array
from collections.abc import Iterable, Sequence

from courier import log
from courier.maildir import itemrow
from courier.maildir.alignment import align
from courier.maildir.columns import EMPTY, Columns
from courier.maildir.index import Index
from courier.maildir.itemfile import CACHE, ITEMS, Content, ItemFile, Writing
from courier.maildir.itemrow import NUMBERS, Stored
from courier.maildir.itemtable import Damaged, Table, Texts, Verified
from courier.maildir.snapshot import Unusable
from courier.message.facts import PIECES

__all__ = ["NUMBERS", "PIECES", "Damaged", "Items", "Stored", "Table", "Texts"]

#: Tables kept beside the last one: sessions that see a folder differently take turns.
_KEPT = 3
#: Times that other processes may replace the files while we want to append.
_TRIES = 20
#: Octets of the cache from which texts of messages that are gone are left out when they are half of it.
_COMPACT_LEAST = 1 << 20
#: Octets that items may take in memory where no file can hold them; then they start anew.
_MAX_PRIVATE = 64 << 20
#: Rows behind the sorted ones, as a part of them and at least, from which all are sorted again.
_UNSORTED_PART = 8
_UNSORTED_LEAST = 64


class Items:
    """What is known of one folder's messages, in files that all its processes share.

    Safe to call from several threads. Files that can't be used (damaged, of another owner, on a full
    disk) are replaced or done without: that costs time, and a line in the log once.
    """

    def __init__(self, path: str | None, index_dir: str | None = None) -> None:
        """Nothing is read before it is asked for.

        Args:
            path: of the folder; None: keep everything in memory.
            index_dir: see `Index`.
        """
        self.path = path
        self.index_dir = index_dir
        self.uidvalidity = 0
        self.measured: dict[bytes, int] = {}  # sizes of messages not known otherwise, by base name
        self.being_read = threading.Lock()  # held by who reads many messages
        self._mutex = threading.RLock()
        self._file: ItemFile | None = None
        self._verified = Verified()
        self._tables: list[Table] = []
        self._complained = False

    def is_shared(self, uidvalidity: int) -> bool:
        """Tell whether what is added is kept in files, for other processes too."""
        with self._mutex:
            return not self._open(uidvalidity).is_private

    def exists(self) -> bool:
        """Tell whether anything may be known; nothing is made for that."""
        with self._mutex:
            if self._file is not None:
                return True
            directory = None if self.path is None else Index(self.path, self.index_dir).path
            return directory is not None and os.path.exists(os.path.join(directory, ITEMS))

    def known_table(self, uidvalidity: int, uids: Sequence[int]) -> Table | None:
        """Give a table of these messages if there is one that is complete; never waits."""
        if not self._mutex.acquire(blocking=False):
            return None
        try:
            if self.uidvalidity != uidvalidity:
                return None
            found = (table for table in self._tables if table.uids is uids)
            return next((table for table in found if table.is_complete()), None)
        finally:
            self._mutex.release()

    def table(self, uidvalidity: int, uids: Sequence[int], columns: Columns = EMPTY) -> Table:
        """Give what is known of these messages (``uids`` ascend and are never altered).

        Args:
            columns: the folder's. Messages that are not in them are gone.
        """
        with self._mutex:
            file = self._open(uidvalidity)
            found = next((table for table in self._tables if table.uids is uids), None)
            if found is not None and found.is_complete():
                return found
            file = self._refreshed(file)
            if found is None or found.content is not file.content:
                self._verified.grow(file.content.end)
                self._tables = [table for table in self._tables if table is not found][:_KEPT]
                found = Table(uids, file.content, self._verified, columns)
                self._tables.insert(0, found)
            return found

    def add(self, uidvalidity: int, stored: Sequence[Stored]) -> None:
        """Add messages, but for those that another process has added meanwhile.

        Others see either all of them or none; so does a crash leave it.
        """
        with self._mutex:
            try:
                self._append(uidvalidity, stored)
            except OSError as error:
                self._complain(error)
                self._use(ItemFile.create(None, uidvalidity))
                self._append(uidvalidity, stored)

    def replace(self, uidvalidity: int, stored: Sequence[Stored]) -> None:
        """Add messages of which something else was known. Others see that or this, as with `add`."""
        with self._mutex:
            self.add(uidvalidity, stored)
            self._tables = []  # those in use stay as they are

    def tidy(self, uidvalidity: int, present: Sequence[int]) -> None:
        """Sort the rows if many are not in order, and leave out messages that are gone.

        If more than half of the texts are of such messages, they are left out too.

        Args:
            present: the UIDs in the folder, ascending. A row too many taken away is found anew.

        Others see the old rows or the new ones; so does a crash leave it.
        """
        with self._mutex:
            file = self._refreshed(self._open(uidvalidity))
            if not _wants_sorting(file.content, len(present)):
                return
            try:
                with file.locked() as writing:
                    content, temporary = file.content, self._place()[1]
                    order = array("I", filter(None, align(present, content)))
                    lengths = content.column(itemrow.LENGTH)
                    texts = sum(map(lengths.__getitem__, order))
                    if len(content.cache) > _COMPACT_LEAST + 2 * texts:
                        rows = itemrow.moved_rows(content, order)
                        fresh = file.remade(
                            uidvalidity, rows, itemrow.texts(content, order), temporary
                        )
                    else:
                        fresh = writing.rewrite(
                            uidvalidity, itemrow.rows(content, order), temporary
                        )
            except Unusable:  # somebody else has just done it
                return
            except OSError as error:
                self._complain(error)
                return
            self._use(fresh)

    def give_up(self, table: Table) -> None:
        """Throw away what is damaged: what belongs to other messages now, or else all of it."""
        with self._mutex:
            if self._file is None or not any(table is one for one in self._tables):
                return
            if table.foreign:
                self._verified.foreign |= table.foreign
                self._tables = []
            else:
                self._complain(Unusable("texts damaged"))
                self._use(self._create(self.uidvalidity))

    def drop(self) -> None:
        """Remove the files. Raises OSError."""
        with self._mutex:
            self._file, self._tables = None, []
            directory, _ = self._place()
            if directory is None:
                return
            for name in (ITEMS, CACHE):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(directory, name))

    # -- under the mutex -------------------------------------------------------------------

    def _place(self) -> tuple[str | None, str | None]:
        """Give the directory of the files, and one for files being written; None: memory only.

        Raises: Unusable, OSError.
        """
        if self.path is None:
            return None, None
        index = Index(self.path, self.index_dir)
        if not index.may_keep():
            return None, None
        index.make_directory()
        temporary = os.path.join(self.path, "tmp") if self.index_dir is None else None
        return index.path, temporary

    def _open(self, uidvalidity: int) -> ItemFile:
        if self._file is not None and self.uidvalidity == uidvalidity:
            return self._file
        self.uidvalidity = uidvalidity
        try:
            directory, _ = self._place()
            if directory is not None:
                return self._use(ItemFile.open(directory, uidvalidity))
        except Unusable as fault:
            if str(fault):
                self._complain(fault)
        except OSError as error:  # too many open files, no memory: they may be good all the same
            self._complain(error)
            return self._use(ItemFile.create(None, uidvalidity))
        return self._use(self._create(uidvalidity))

    def _create(self, uidvalidity: int) -> ItemFile:
        try:
            directory, temporary = self._place()
            if directory is not None:
                return ItemFile.create(directory, uidvalidity, temporary)
        except (OSError, Unusable) as error:
            self._complain(error)
        return ItemFile.create(None, uidvalidity)

    def _use(self, file: ItemFile) -> ItemFile:
        self._file, self._tables, self._verified = file, [], Verified()
        return file

    def _refreshed(self, file: ItemFile) -> ItemFile:
        """Take up what others did: more rows, or other files under the names."""
        try:
            file.refresh()
        except (OSError, Unusable):
            self._file = None
            return self._open(self.uidvalidity)
        return file

    def _append(self, uidvalidity: int, stored: Sequence[Stored]) -> None:
        file = self._open(uidvalidity)
        if file.is_private and len(file.content.cache) > _MAX_PRIVATE:
            file = self._use(ItemFile.create(None, uidvalidity))
        before = file.content.end
        for _ in range(_TRIES):
            try:
                with file.locked() as writing:
                    _append_new(file, writing, stored, before)
                    return
            except Unusable:  # others have replaced the files
                self._file = None
                file, before = self._open(uidvalidity), 1
        raise OSError(errno.EBUSY, "index replaced again and again", self.path)

    def _complain(self, error: Exception) -> None:
        """Log that the files are of no use, once."""
        if not self._complained and self.path is not None:
            self._complained = True
            log.index_unusable(self.path, error)


def _append_new(file: ItemFile, writing: Writing, stored: Iterable[Stored], before: int) -> None:
    """Append what is not in the rows from ``before`` on."""
    known = set(file.content.column(0)[before : file.content.end].tolist())
    at = writing.cache_end()
    rows, texts = [], []
    for each in stored:
        if each.uid not in known:
            row, text = itemrow.pack(each, at)
            rows.append(row)
            texts.append(text)
            at += len(text)
    if rows:
        writing.append(rows, b"".join(texts))


def _wants_sorting(content: Content, present: int) -> bool:
    """Tell whether many rows are out of order, or of messages that are gone."""
    rows = content.end - 1
    odd = max(rows - content.sorted_rows, rows - present)
    return odd > max(_UNSORTED_LEAST, present // _UNSORTED_PART)
