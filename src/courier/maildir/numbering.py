"""Which UIDs a folder's messages have: courierimapuiddb, and what this process remembers of it.

The file is the truth. What was read before counts only where the file says nothing: it is missing,
unusable or torn, or has a lower UIDNEXT than a client was told. Then it is put right under its old
UIDVALIDITY, which changes only if none is known or no UID is left.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping, Sequence

from courier.maildir import filename, uiddb
from courier.maildir.uiddb import MAX_UID, UidDb

#: A message file's name, and whether it lies in new/.
Entry = tuple[bytes, bool]


class Numbering:
    """One folder's UIDs, as last read or written. Only who holds courier.lock may write."""

    def __init__(self) -> None:
        self.stamp: object = None  # of the file; None if there is none that can be used
        self._database = UidDb(0, 1, array("I"), [])
        self._lost: Mapping[bytes, int] = {}  # base: UID, what the file should have
        self._least = 1  # UIDNEXT is not below

    @property
    def uidvalidity(self) -> int:
        """0 as long as none was given."""
        return self._database.uidvalidity

    @property
    def uidnext(self) -> int:
        return max(self._database.uidnext, self._least)

    def load(self, path: str, stamp: object) -> None:
        """Read the file if ``stamp`` shows that it is another one.

        Raises:
            OSError: it can't be read, though it may well be good.
        """
        if stamp is not None and stamp == self.stamp:
            return
        read = uiddb.read(path)
        self.stamp = None if read is None else stamp
        if read is None:
            return
        known, self._database = self._database, read
        if known.uidvalidity != read.uidvalidity:
            self._lost, self._least = {}, 1
            return
        remembered = {**dict(zip(known.bases, known.uids, strict=True)), **self._lost}
        bases, uids = frozenset(read.bases), frozenset(read.uids)
        self._lost = {
            base: uid for base, uid in remembered.items() if base not in bases and uid not in uids
        }
        self._least = max(self._least, known.uidnext)

    def uid_of(self) -> dict[bytes, int]:
        """Give the UIDs by base name; some may be of messages that are gone."""
        return {**self._lost, **dict(zip(self._database.bases, self._database.uids, strict=True))}

    def restore(self, path: str) -> UidDb:
        """Write the file if there is none that can be used, and give its content."""
        if self.stamp is None:
            database = self._database
            entries = zip(database.uids, ((base, False) for base in database.bases), strict=True)
            self.number(path, dict(entries), (), sync=False)
        return self._database

    def number(
        self, path: str, known: Mapping[int, Entry], new: Sequence[Entry], *, sync: bool
    ) -> dict[int, Entry]:
        """Give UIDs to ``new`` messages in the order given, and have the file say so.

        Returns: all messages by UID. The new ones have the highest; all of them have others
        than before, under another `uidvalidity`, if there are not enough UIDs left.

        Raises:
            OSError: the file stays as it was and no UID is given.
        """
        uidvalidity = self.uidvalidity or uiddb.new_uidvalidity(time.time())
        uidnext = max(self.uidnext, max(known, default=0) + 1)
        if uidnext + len(new) > MAX_UID:
            uidvalidity = uiddb.new_uidvalidity(time.time(), above=uidvalidity)
            known = dict(enumerate((known[uid] for uid in sorted(known)), 1))
            uidnext = len(known) + 1
        numbered = {**known, **dict(enumerate(new, uidnext))}
        uidnext += len(new)
        uids = array("I", sorted(numbered))
        before = self._database
        if (
            self.stamp is None
            or (uidvalidity, uidnext) != (before.uidvalidity, before.uidnext)
            or uids != before.uids
        ):
            bases = [filename.base(numbered[uid][0]) for uid in uids]
            database = UidDb(uidvalidity, uidnext, uids, bases)
            uiddb.write(path, database, sync=sync)
            self._database, self.stamp = database, uiddb.stamp(path)
            self._lost, self._least = {}, 1
        return numbered
