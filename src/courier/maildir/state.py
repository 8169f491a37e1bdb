"""What this process knows of a folder, and how it is shared with others through the index.

`State.columns` is what was last read or done; it is replaced as a whole, never altered. Whoever
changes anything holds the folder's mutex; whoever writes to the index holds courier.lock, and has
taken over before what other processes wrote (`catch_up`).

Whether the directories still are what the columns say is known in two ways: by their times, if
these were settled (`scan.Stamp`), and by having watched them since (`witness`).
"""

from __future__ import annotations

import time
import weakref
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from courier.maildir import filename, filesystem, scan, witness
from courier.maildir.changelog import ChangeLog
from courier.maildir.columns import EMPTY, Columns, Row
from courier.maildir.index import Index, Loaded
from courier.maildir.journal import Change
from courier.maildir.keyword_table import KeywordTable
from courier.maildir.numbering import Numbering
from courier.maildir.numberset import NumberSet
from courier.maildir.scan import Stamp
from courier.maildir.snapshot import Snapshot
from courier.maildir.witness import Witness


@dataclass(frozen=True, slots=True)
class Options:
    """How this server works on maildirs: settings that stay the same for a process."""

    use_locks: bool = True  # IMAP_USELOCKS
    keywords: bool = True  # IMAP_KEYWORDS
    fsync: bool = True  # IMAP_FSYNC: what was answered OK survives a power failure
    index_dir: str | None = None  # IMAP_INDEX_DIR
    follow_links: bool = False  # MAILDIR_SKIP_SYMLINK_CHECKS: messages may be symbolic links
    fulltext: bool = False  # IMAP_FULLTEXT


@dataclass(slots=True)
class Current:
    """Which of the things that a folder is read from are still as they were read."""

    new: bool
    cur: bool
    uiddb: bool
    keywords: bool

    @property
    def all(self) -> bool:
        return self.messages and self.keywords

    @property
    def messages(self) -> bool:
        return self.new and self.cur and self.uiddb


class State:
    """One folder, as known to this process."""

    def __init__(self, path: str, options: Options) -> None:
        """Nothing is read before `load`."""
        self.path = path
        self.options = options
        self.columns: Columns = EMPTY
        this = weakref.ref(self)  # no cycle: the watches and the map end with the last user
        self.log = ChangeLog(lambda: state.columns if (state := this()) is not None else EMPTY)
        self.numbering = Numbering()
        self.table = KeywordTable()
        self.witness = Witness()
        self.stamp: Stamp | None = None
        self.unclaimed = NumberSet()  # UIDs in cur/ that were recent for no session yet
        self.is_void = False  # its UIDs were told under another UIDVALIDITY: open it anew
        self.is_begun = False  # the columns are what was once there
        self.is_replaced = False  # by what the index says, which may not be all that is known
        self.is_told = False  # somebody knows UIDs from them
        #: Directories with messages that could not be given UIDs: they have to be read again.
        self.lacks_messages: frozenset[str] = frozenset()
        self.is_ours = False  # we keep the index
        self._index: Index | None = None
        self._is_changed = False  # by us, since the last stamp
        self._stamped: Stamp | None = None  # the last one that the index has

    def move(self, path: str) -> None:
        """Take the folder's directory for renamed."""
        self.path = path
        if self._index is not None:
            self._index.folder = path

    # -- the index -------------------------------------------------------------------------

    def load(self) -> None:
        """Take what the index says, once; without one, all is to be read."""
        if self._index is not None:
            return
        self._index = Index(self.path, self.options.index_dir)
        self.is_ours = self.options.use_locks and self._index.may_write()
        loaded = self._index.load()
        if loaded is not None and loaded.snapshot is not None:
            self._take(loaded, loaded.snapshot)

    def is_at_hand(self) -> bool:
        """Tell whether an index on a local file system is loaded, or quickly will be."""
        if self._index is None:
            if not Index(self.path, self.options.index_dir).is_small():
                return False
            self.load()
        return self.is_ours

    def look(self) -> Stamp:
        """Give the folder's times, the watches' events taken before.

        Setting and removing watches costs a short session more than all else that it does with a
        folder, so there are none as long as the times alone say that nothing has changed.
        """
        if not self.witness.is_armed:
            now = scan.stamp(self.path)
            if self.stamp is not None and self.stamp.vouches_for(now):
                return now
            self._watch()
        self.witness.judge()
        return scan.stamp(self.path)

    def begin_watching(self) -> None:
        """Account for changes from now on, where that can be trusted, if it was not done before."""
        if not self.witness.is_armed:
            self._watch()
            self.witness.judge()
            self.current(scan.stamp(self.path))

    def _watch(self) -> None:
        if self.is_ours:
            self.witness.arm(self.path)

    def catch_up(self) -> None:
        """Take over what other processes wrote to the index. The caller holds courier.lock."""
        if not self.is_ours or self._index is None:
            return
        found = self._index.catch_up()
        if isinstance(found, Loaded):
            if found.snapshot is not None:
                self._take(found, found.snapshot)
            else:
                self._apply(found.changes)
                self._forget_history()
            if not found.is_whole:
                self._index.forget()
        elif found is not None:
            self._apply(found)

    def look_up(self, now: Stamp) -> bool:
        """Take the index of another user, if it says what is there ``now``."""
        if self.is_ours or self._index is None or not self.is_begun:
            return False
        loaded = self._index.load()
        if loaded is None or loaded.snapshot is None:
            return False
        last = loaded.changes[-1].stamp if loaded.changes else loaded.snapshot.stamp
        if last is None or not last.vouches_for(now):
            return False
        self._take(loaded, loaded.snapshot)
        return True

    def _forget_history(self) -> None:
        """Own up to not knowing what happened up to now: lost changes had lower MODSEQs."""
        highest = self.log.highest
        floor = max(highest, time.time_ns() // 1000)
        self.log.restart(floor, highest, (array("I"), array("Q")))

    def _take(self, loaded: Loaded, found: Snapshot) -> None:
        """Make what was loaded this folder's state, in place of what was known."""
        numbers = self.table.numbers_of(found.keyword_sets)
        columns = found.columns
        if numbers != list(range(len(numbers))):
            columns = replace(
                columns, keywords=array("I", map(numbers.__getitem__, columns.keywords))
            )
        if self.numbering.uidvalidity not in (0, found.numbers.uidvalidity):
            self.is_void = self.is_void or self.is_told
        self.numbering.adopt(found.numbers, found.stamp.uiddb if found.stamp else None)
        highest = max(columns.highest, self.log.highest if self.is_begun else 0)
        self.log.restart(found.floor, highest, found.gone)
        self.is_replaced = self.is_begun
        self.columns, self.stamp, self.is_begun = columns, found.stamp, True
        self._stamped = found.stamp
        self.witness.forget()
        self._apply(loaded.changes)
        if not loaded.is_whole:
            self._forget_history()

    def _apply(self, changes: Sequence[Change]) -> None:
        """Make changes that other processes did, all at once: a million rows are copied but once."""
        rows: dict[int, Row] = {}
        gone: set[int] = set()
        modseqs: dict[int, int] = {}
        for change in changes:
            numbers = self.table.numbers_of(change.sets)
            fresh = [_renumbered(row, numbers) for row in change.rows]
            before = partial(self._before, rows, gone)
            self.witness.expect(_happenings(fresh, change.gone, change.landed, before))
            told = [row.uid for row in fresh if row.uid not in change.silent]
            if told or change.gone:
                self.log.record(told, change.gone, change.modseq)
            rows |= {row.uid: row for row in fresh}
            modseqs |= dict.fromkeys(told, change.modseq)
            gone -= rows.keys()
            for uid in change.gone:
                rows.pop(uid, None)
            gone |= set(change.gone)
            self.stamp = self._stamped = change.stamp
            self.numbering.adopt(change.numbers, change.stamp.uiddb if change.stamp else None)
        if changes:
            highest = changes[-1].modseq
            self.columns = self.columns.with_history(list(rows.values()), gone, modseqs, highest)

    def _before(self, newer: Mapping[int, Row], removed: Collection[int], uid: int) -> Row | None:
        """Give the row of ``uid`` as it is after changes since `columns`."""
        return newer.get(uid) or (None if uid in removed else self.columns.message(uid))

    def start_anew(self) -> None:
        """Take all UIDs for void: courierimapuiddb has another UIDVALIDITY."""
        self.is_void = self.is_void or self.is_told
        self._lose()
        self.columns, self.unclaimed = replace(EMPTY, highest=self.log.highest), NumberSet()

    def claim(self) -> Sequence[int]:
        """Give the UIDs that are ``\\Recent`` for this caller, ascending, and for no later one."""
        if not self.unclaimed:
            return ()
        claimed, self.unclaimed = self.unclaimed, NumberSet()
        uids = self.columns.uids
        return [uid for begin, end in claimed.slices(uids) for uid in uids[begin:end]]

    def _lose(self) -> None:
        """Know nothing; the index is written anew."""
        self.stamp, self.is_begun = None, False  # the columns stay for those who look at them
        self.witness.forget()
        if self._index is not None:
            self._index.forget()

    # -- changes ---------------------------------------------------------------------------

    def begin(self, columns: Columns, stamp: Stamp, *, may_write: bool) -> None:
        """Take a folder that was not known before as it was found."""
        modseq = self.log.next(_youngest_us(stamp))
        modseqs = array("Q", [modseq]) * len(columns)
        self.columns = replace(columns, modseqs=modseqs, highest=modseq)
        self.log.begin(modseq)
        self.stamp, self.is_begun = stamp, True
        if self.is_ours and self._index is not None and may_write:
            self._stamped = self._stated()
            self._write_anew()

    def note(
        self,
        rows: Sequence[Row],
        gone: Collection[int],
        stamp: Stamp | None,
        *,
        landed: Collection[int] = (),
        is_ours: bool = True,
        may_write: bool = True,
    ) -> None:
        """Take rows that were found or made on disk, and put them into the index.

        Args:
            gone: UIDs of messages that are not there any more.
            stamp: the times of what was read before the changes were made.
            landed: UIDs of rows that came by link(2) into cur/.
            is_ours: the directories' times are others now, because of what we did.
            may_write: courier.lock is held, and all that others wrote has been taken over.
        """
        old = self.columns
        before = {uid: old.message(uid) for uid in (*(row.uid for row in rows), *gone)}
        changed = [row for row in rows if before[row.uid] != row]
        silent = frozenset(row.uid for row in changed if _is_same(before[row.uid], row))
        told = [row.uid for row in changed if row.uid not in silent]
        self.stamp = stamp
        self._is_changed = self._is_changed or is_ours
        modseq = self.log.next() if told or gone else old.highest
        self.witness.expect(_happenings(changed, gone, landed, before.get))
        self.columns = old.with_changes(changed, gone, modseq, silent=silent)
        if told or gone:
            self.log.record(told, gone, modseq)
        if not may_write and self._index is not None:
            self._index.forget()
        elif changed or gone or (self._index is not None and self._index.is_lost):
            self._write(changed, gone, modseq, silent, landed)

    def _write(
        self,
        rows: Sequence[Row],
        gone: Collection[int],
        modseq: int,
        silent: frozenset[int],
        landed: Collection[int],
    ) -> None:
        """Put a change into the index; a failure is logged, and the index written anew later."""
        if not self.is_ours or self._index is None:
            return
        self._stamped = self._stated()
        if self._index.is_short(len(self.columns), len(rows) + len(gone)):
            numbers: dict[int, int] = {0: 0}
            for row in rows:
                numbers.setdefault(row.keywords, len(numbers))
            change = Change(
                modseq,
                self.numbering.numbers,
                self._stamped,
                tuple(_renumbered(row, numbers) for row in rows),
                tuple(self.table.sets[number] for number in numbers),
                tuple(gone),
                silent,
                frozenset(landed),
            )
            if self._index.append(change):
                return
        self._write_anew()

    def _stated(self) -> Stamp:
        """Give the stamp for the index, with courierimapuiddb as it was last read or written."""
        nothing = Stamp((0, 0, 0), (0, 0, 0), None, None, False, False, False)
        return replace(self.stamp or nothing, uiddb=self.numbering.stamp)

    def _write_anew(self) -> None:
        assert self._index is not None
        gone = self.log.vanished(self.log.floor)
        assert gone is not None
        self.columns = replace(self.columns, names=self.columns.names.whole())
        found = Snapshot(
            0,
            self.numbering.numbers,
            self.columns,
            list(self.table.sets),
            self.log.floor,
            gone,
            self._stated(),
        )
        mapped = self._index.replace(found)
        if mapped is not None:  # in place of arrays of our own
            self.columns = mapped.columns

    # -- what is known to be current -------------------------------------------------------

    def current(self, now: Stamp) -> Current:
        """Compare with the folder's times ``now``, taken after `Witness.judge`."""
        old = self.stamp
        if old is not None and old.vouches_for_new(now):
            self.witness.confirm("new")
        if old is not None and old.vouches_for_cur(now):
            self.witness.confirm("cur")
        return Current(
            self.witness.knows("new", now.new[2]) or (old is not None and old.vouches_for_new(now)),
            self.witness.knows("cur", now.cur[2]) or (old is not None and old.vouches_for_cur(now)),
            now.uiddb is not None and now.uiddb == self.numbering.stamp,
            old is not None and (old.vouches_for_keywords(now) or not self.options.keywords),
        )

    def is_due(self) -> bool:
        """Tell whether the index does not vouch for what is known."""
        if not self.is_ours or not self.is_begun:
            return False
        if self._is_changed or self.stamp is None or not self.stamp.messages_settled:
            return True
        return self.stamp != self._stamped

    def vouch(self, now: Stamp) -> bool:
        """Settle the times ``now``, at which the messages are `current`, if that can be done.

        Keywords are vouched for only as far as they were.

        Returns: False while the directories may change without their times showing it.
        """
        old = self.stamp
        if old is not None and not old.vouches_for_keywords(now):
            settled = old.keywords_settled
            now = replace(now, keywords=old.keywords, keywords_settled=settled)
        self.stamp = now
        directories = (*now.new[:2], *now.cur[:2])
        if now.new_settled and now.cur_settled:
            self._is_changed = False
            return True
        if not self.is_ours:
            return False
        if filesystem.clock_ns() <= max(directories) or not filesystem.is_fine(*directories):
            return False
        self.witness.barrier(self.path)
        if not (self.witness.knows("new", now.new[2]) and self.witness.knows("cur", now.cur[2])):
            return False
        self.stamp = replace(now, new_settled=True, cur_settled=True)
        self._is_changed = False
        return True

    def write_stamp(self) -> None:
        """Have the index say that it is current. The caller holds courier.lock, and caught up."""
        self.witness.judge()
        now = scan.stamp(self.path)
        if self.current(now).messages and self.vouch(now) and self.stamp != self._stamped:
            self._write((), (), self.columns.highest, frozenset(), ())

    def listed(self) -> Iterator[tuple[int, bytes]]:
        """Give UIDs and base names, for courierimapuiddb."""
        return zip(self.columns.uids, map(filename.base, self.columns.names.listed()), strict=True)


def _happenings(
    rows: Iterable[Row],
    gone: Iterable[int],
    landed: Collection[int],
    before: Callable[[int], Row | None],
) -> Iterator[witness.Happening]:
    """Give what happens in the directories by a change after which there are ``rows``.

    Args:
        before: gives the row that a UID had.
    """
    for row in rows:
        old = before(row.uid)
        if old is not None:
            yield from witness.renamed(old, row)
        elif row.uid in landed:
            yield from witness.landed(row)
        else:
            yield from witness.came(row)
    for uid in gone:
        old = before(uid)
        if old is not None:
            yield from witness.removed(old)


def _renumbered(row: Row, numbers: Mapping[int, int] | Sequence[int]) -> Row:
    """Give a row with the number that its keyword set has elsewhere."""
    number = numbers[row.keywords]
    return row if number == row.keywords else row._replace(keywords=number)


def _is_same(old: Row | None, new: Row) -> bool:
    """Tell whether a client would see no difference."""
    return old is not None and (old.flags, old.keywords) == (new.flags, new.keywords)


def _youngest_us(stamp: Stamp | None) -> int:
    """Give the latest time on the folder: a clock that was set back must not set MODSEQs back."""
    if stamp is None:
        return 0
    return max(*stamp.new[:2], *stamp.cur[:2], *(stamp.uiddb or (0,))[:1]) // 1000
