"""What one session has told its client of a folder, and the difference still to tell.

Sequence number n is ``view.uids[n - 1]``. A view changes only in `View.update`: messages that
others removed stay numbered, with the flags last told, until the client may hear of it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from courier.maildir.changelog import Changes
from courier.maildir.columns import EMPTY, Column, Columns, copied, joined, octets, row_of
from courier.maildir.folder import Folder
from courier.maildir.numberset import NumberSet


class FolderReset(Exception):
    """The folder's UIDVALIDITY changed while it was open: no number told so far is valid."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a client has to be told, in this order (RFC 9051 7.4.1, 7.5.1)."""

    expunged: tuple[int, ...] = ()  # sequence numbers, each as it is after those before it
    vanished: tuple[int, ...] = ()  # the same messages by UID, ascending
    new_keywords: bool = False  # FLAGS and PERMANENTFLAGS have to be said again
    exists: int | None = None  # None: no message came
    recent: bool = False  # messages that were told already have become ``\\Recent``
    withholds: bool = False  # messages are gone that keep their numbers for now
    flags: tuple[int, ...] = ()  # sequence numbers whose flags or keywords differ, ascending


class View:
    """One session's picture of a folder."""

    def __init__(self, folder: Folder, *, read_only: bool) -> None:
        """Start empty: the first `refresh` and `update` are the opening of the mailbox."""
        self.folder = folder
        self.read_only = read_only
        self.columns = EMPTY  # the folder as it was last told: names of what is gone by now
        self.uids: Column = array("I")
        self.flags = b""
        self.keywords: Column = array("I")
        self.modseqs: Column = array("Q")  # as they were at the last update; see `modseq`
        self.recent = NumberSet()  # UIDs
        self.tells_recent = True  # of which the client knows: not one of IMAP4rev2
        self.saved = NumberSet()  # UIDs: what the last search with SAVE found (RFC 5182)
        self._modseq = -1
        self._untold: int | None = None  # the MODSEQ before the first change that is never told
        self._claimed: list[int] = []  # UIDs that were told before they became ``\\Recent``
        self._notes_told = False
        self._told: set[int] = set()
        self._keywords_told: frozenset[str] = frozenset()

    @property
    def highest(self) -> int:
        """The MODSEQ up to which everything has been told (RFC 7162 3.1.2.1)."""
        return self._modseq if self._untold is None else self._untold

    @property
    def uidnext(self) -> int:
        """A UID that no message has of which the client knows, and below those of all it will be told of."""
        uids = self.folder.columns.uids
        row = bisect_right(uids, self.uids[-1] if self.uids else 0)
        return uids[row] if row < len(uids) else self.folder.uidnext

    def refresh(self) -> None:
        """Read the folder if it changed; claim what is new as ``\\Recent``. Raises as the folder."""
        self._claim(self.folder.synchronise(take_new=not self.read_only))

    def refresh_at_once(self) -> bool:
        """Do what `refresh` does if that needs no thread; tell whether it is done."""
        if not self.folder.synchronise_at_once(take_new=not self.read_only):
            return False
        if not self.read_only:
            self._claim(self.folder.claim_at_once())
        return True

    def _claim(self, fresh: Sequence[int]) -> None:
        if fresh:
            self.recent |= NumberSet.of(fresh)
            self._claimed += (uid for uid in fresh if self.seq(uid) is not None)

    def restore(self, uids: Column, flags: bytes, keywords: Column) -> None:
        """Take what a client knows from an earlier session; an `update` gives what it has missed."""
        self.uids, self.flags, self.keywords = uids, flags, keywords
        self.modseqs = array("Q", bytes(8 * len(uids)))

    def shown_recent(self) -> NumberSet:
        """UIDs that are ``\\Recent`` here; EXAMINE shows those that it leaves to another session."""
        return self.recent | self.folder.unclaimed if self.read_only else self.recent

    def is_recent(self, uid: int) -> bool:
        return uid in self.recent or (self.read_only and self.folder.is_unclaimed(uid))

    def recents(self) -> int:
        """Count the messages that are ``\\Recent`` in this session."""
        return sum(end - begin for begin, end in self.shown_recent().slices(self.uids))

    def seq(self, uid: int) -> int | None:
        """Give the sequence number of ``uid``; None when the client knows no such message."""
        row = row_of(self.uids, uid)
        return None if row is None else row + 1

    def keyword_words(self, seq: int) -> tuple[str, ...]:
        return self.folder.keyword_sets[self.keywords[seq - 1]]

    def is_gone(self, uid: int) -> bool:
        """Tell whether the folder no longer has a message that the client still numbers."""
        return self.folder.columns.row(uid) is None

    def told(self, flags: Mapping[int, int], keywords: Mapping[int, int]) -> None:
        """Take flags and keyword numbers, by UID, as known to the client (STORE, FETCH)."""
        if self._notes_told:
            self._told.update(flags, keywords)
        if flags:
            changed = bytearray(self.flags)
            for uid, value in flags.items():
                row = row_of(self.uids, uid)
                if row is not None:
                    changed[row] = value
            self.flags = bytes(changed)
        if keywords:
            column = copied("I", self.keywords)
            for uid, number in keywords.items():
                row = row_of(self.uids, uid)
                if row is not None:
                    column[row] = number
            self.keywords = column

    def note_told(self, *, wanted: bool) -> None:
        """Keep the UIDs that `told` is called with, or no longer."""
        self._notes_told = wanted
        self._told.clear()

    def take_told(self) -> set[int]:
        """Give the UIDs that `told` was called with since the last time."""
        told, self._told = self._told, set()
        return told

    def modseq(self, seq: int) -> int:
        """Give the MODSEQ of a message as it was told, the changes just made among that.

        Another session's change that came in between has one of its own, to be told with it.
        """
        columns = self.folder.columns
        now = columns.row(self.uids[seq - 1])
        if now is not None and (columns.flags[now], columns.keywords[now]) == self._values(seq):
            return columns.modseqs[now]
        return self.modseqs[seq - 1]

    def update(self, *, expunge: bool, flags: bool = True) -> Update:
        """Give what differs from the folder, and take it as told.

        Args:
            expunge: the client may be told of removed messages now. If not, they keep their
                numbers, and only what came and what changed is given.
            flags: the client wants to be told of changed flags. If not, it is no longer in step.

        Raises:
            FolderReset: another program has renumbered the folder.
        """
        if self.folder.is_void:
            raise FolderReset(self.folder.path)
        columns = self.folder.columns  # another thread may replace them meanwhile
        changes = self.folder.log.since(self._modseq, until=columns.highest)
        if changes is not None and not (changes.changed or changes.vanished or self._claimed):
            return Update()
        self.columns = columns
        if changes is None:
            changes = self._compare(columns)
        gone = sorted(seq for seq in map(self.seq, changes.vanished) if seq is not None)
        highest = self.uids[-1] if self.uids else 0
        told = {uid: self._values(seq) for uid in changes.changed if (seq := self.seq(uid))}

        vanished = tuple(self.uids[seq - 1] for seq in gone)
        came = len(columns.uids) - bisect_right(columns.uids, highest)
        self._take(columns, highest, {self.uids[seq - 1] for seq in gone}, expunge=expunge)
        seqs = ((self.seq(uid), values) for uid, values in told.items())
        different = {seq for seq, values in seqs if seq and self._values(seq) != values}
        claimed = {seq for uid in self._claimed if self.tells_recent and (seq := self.seq(uid))}
        self._claimed.clear()
        if different and not flags and self._untold is None:
            self._untold = self._modseq
        if expunge or not gone:
            self._modseq = columns.highest
        return Update(
            expunged=tuple(seq - index for index, seq in enumerate(gone)) if expunge else (),
            vanished=vanished if expunge else (),
            withholds=bool(gone) and not expunge,
            new_keywords=self.learn_keywords(),
            exists=len(self.uids) if came else None,
            recent=bool(claimed) and flags,
            flags=tuple(sorted(different | claimed)) if flags else (),
        )

    def _compare(self, columns: Columns) -> Changes:
        """Find what differs, where the log does not reach back to what was told."""
        if not self.uids:
            return Changes(frozenset(), frozenset())
        if octets(self.uids) != octets(columns.uids):
            return Changes(frozenset(self.uids), frozenset(self.uids).difference(columns.uids))
        told = zip(self.uids, zip(self.flags, self.keywords, strict=True), strict=True)
        now = zip(columns.flags, columns.keywords, strict=True)
        changed = (uid for (uid, old), new in zip(told, now, strict=True) if old != new)
        return Changes(frozenset(changed), frozenset())

    def _values(self, seq: int) -> tuple[int, int]:
        return self.flags[seq - 1], self.keywords[seq - 1]

    def _take(self, columns: Columns, highest: int, gone: set[int], *, expunge: bool) -> None:
        """Make the folder's columns this view's, but for what the client can't be told yet."""
        known = bisect_right(columns.uids, highest)
        if known == len(self.uids) - len(gone) and (expunge or not gone):
            self.uids, self.flags, self.keywords = columns.uids, columns.flags, columns.keywords
            self.modseqs = columns.modseqs
            return
        # A UID that appears below the highest one told (another program gave it back) can be
        # told to no client, because new messages come at the end: it stays out of this view.
        kept = [uid for uid in self.uids if not expunge or uid not in gone]
        values = []
        for uid in kept:
            row = columns.row(uid)
            if row is None:
                seq = self.seq(uid)
                assert seq is not None
                values.append((*self._values(seq), self.modseqs[seq - 1]))
            else:
                values.append((columns.flags[row], columns.keywords[row], columns.modseqs[row]))
        self.uids = joined("I", kept, columns.uids[known:])
        self.flags = bytes(flags for flags, _, _ in values) + columns.flags[known:]
        self.keywords = joined("I", (number for _, number, _ in values), columns.keywords[known:])
        self.modseqs = joined("Q", (modseq for _, _, modseq in values), columns.modseqs[known:])

    def learn_keywords(self) -> bool:
        """Note the keywords in use if one is new to the client, who has to be told all of them."""
        words = frozenset(word.lower() for word in self.folder.keywords_in_use())
        if words <= self._keywords_told:
            return False
        self._keywords_told = words
        return True
