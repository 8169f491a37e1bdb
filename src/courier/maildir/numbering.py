"""Which UIDs a folder's messages have: courierimapuiddb, as it was last read or written.

The file is the truth. What a folder knew before counts only where the file says nothing: it is
missing, unusable or torn, or has a lower UIDNEXT than a client was told. Then it is put right under
its old UIDVALIDITY, which changes only if none is known or no UID is left.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Sequence

from courier.maildir import uiddb
from courier.maildir.scan import Times
from courier.maildir.snapshot import Numbers
from courier.maildir.uiddb import MAX_UID, UidDb

#: Lines from which on messages are added to the file by appending.
APPENDED_FROM = 1000
#: UIDs that the header is ahead by then: this part of the lines, within limits.
_PART = 16
_LEAST_AHEAD = 256
_MOST_AHEAD = 65_536

#: Gives UIDs and base names of the messages that are to be listed, ascending.
Listed = Callable[[], Iterable[tuple[int, bytes]]]


class UidsUsedUp(Exception):
    """There are not enough UIDs left under this UIDVALIDITY."""


class Numbering:
    """One folder's UIDs on disk. Only who holds courier.lock may write."""

    def __init__(self) -> None:
        self.stamp: Times | None = None  # of the file; None if there is none that can be used
        self.uidvalidity = 0  # as long as none was given
        self.uidnext = 1
        self._ceiling = 0
        self._lines = 0
        self.dead = 0
        """Lines of messages that are gone."""
        self.is_wrong = False
        """The file lacks messages, or has lines that can't stay: write it anew."""
        self.is_passing = False
        """No file says what was given, because there was no room for one: this process alone knows it."""

    @property
    def numbers(self) -> Numbers:
        """What is known, for the index."""
        return Numbers(self.uidvalidity, self.uidnext, self._ceiling, self._lines, self.dead)

    def adopt(self, numbers: Numbers, stamp: Times | None) -> None:
        """Take what another process of ours knew when the file had ``stamp``."""
        self.uidvalidity, self.uidnext = numbers.uidvalidity, max(numbers.uidnext, self.uidnext)
        self._ceiling, self._lines, self.dead = numbers.ceiling, numbers.lines, numbers.dead
        self.stamp, self.is_wrong = stamp, False
        self.is_passing = False

    def load(self, path: str, stamp: Times | None) -> UidDb | None:
        """Read the file if ``stamp`` shows that it is another one.

        Returns: what it says, or None if nothing new.

        Raises:
            OSError: it can't be read, though it may well be good.
        """
        if stamp is not None and stamp == self.stamp:
            return None
        read = uiddb.read(path)
        self.stamp = None if read is None else stamp
        if read is None:
            self._lines = self.dead = self._ceiling = 0
            self.is_wrong = True
            return None
        if read.uidvalidity != self.uidvalidity:
            self.uidnext = 1
        self.uidvalidity, self._lines = read.uidvalidity, len(read.uids)
        self._ceiling, self.dead = read.ceiling, 0
        self.is_passing = False
        self.is_wrong = not read.is_clean or read.uidnext < self.uidnext
        self.uidnext = max(self.uidnext, read.uidnext)
        return read

    @property
    def wants_writing(self) -> bool:
        """Tell whether the file should be written although nothing came."""
        if self.stamp is None or self.is_wrong:
            return True
        if self._lines < APPENDED_FROM:
            return self.dead > 0
        return self.dead > self._lines // 4

    def give(self, count: int) -> range:
        """Give UIDs for ``count`` messages, which `write` then puts into the file.

        Raises:
            UidsUsedUp: there are not so many left.
        """
        if self.uidnext + count > MAX_UID:
            raise UidsUsedUp
        return range(self.uidnext, self.uidnext + count)

    def give_for_now(self, count: int) -> range:
        """Give UIDs that no file can state, so that a full disk can be read all the same.

        Only where there is no UIDVALIDITY that a file states: they are void with this one, which the
        next process doesn't know, unless this one can `write` before it ends.
        """
        assert self.is_passing or not self.uidvalidity
        self.uidvalidity = self.uidvalidity or uiddb.new_uidvalidity(time.time())
        self.is_passing = True
        given = self.give(count)
        self.uidnext = given.stop
        return given

    def write(
        self, path: str, listed: Listed, given: range, bases: Sequence[bytes], *, sync: bool
    ) -> None:
        """Have the file list the messages ``bases`` with the UIDs ``given``, after those ``listed``.

        Raises:
            OSError: the file stays as it was, and nothing is given.
        """
        if not given and not self.wants_writing:
            return
        uidnext = given.stop if given else self.uidnext
        lines = self._lines + len(bases)
        if (
            given
            and lines >= APPENDED_FROM
            and given.stop <= self._ceiling
            and not self.wants_writing
        ):
            uiddb.append(path, given.start, bases, sync)
        else:
            lines = self._write_anew(path, listed, given, bases, sync)
        self.uidnext, self._lines = uidnext, lines
        self.stamp = uiddb.stamp(path)

    def _write_anew(
        self, path: str, listed: Listed, given: range, bases: Sequence[bytes], sync: bool
    ) -> int:
        known = list(listed())
        uids = array("I", [uid for uid, _ in known])
        uids.extend(given)
        names = [base for _, base in known]
        names.extend(bases)
        uidvalidity = self.uidvalidity or uiddb.new_uidvalidity(time.time())
        uidnext = given.stop if given else self.uidnext
        ceiling = 0
        if given and len(uids) >= APPENDED_FROM:
            ahead = min(max(len(uids) // _PART, _LEAST_AHEAD), _MOST_AHEAD)
            ceiling = uidnext + ahead if uidnext + ahead <= MAX_UID else 0
        uiddb.write(path, UidDb(uidvalidity, uidnext, uids, names, ceiling), sync=sync)
        self.uidvalidity, self._ceiling = uidvalidity, ceiling
        self.dead, self.is_wrong, self.is_passing = 0, False, False
        return len(uids)

    def renumber(self) -> None:
        """Begin again under a higher UIDVALIDITY; all messages get new UIDs."""
        self.uidvalidity = uiddb.new_uidvalidity(time.time(), above=self.uidvalidity)
        self.uidnext, self.is_wrong = 1, True
