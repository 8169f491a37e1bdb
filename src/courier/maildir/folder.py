"""One folder of a maildir, as all sessions of this process share it.

`Folder.columns` is what was last read from disk; it is replaced as a whole, never altered, so
a session may read it while another one synchronises. What is known and how it is shared with other
processes is in `state`, how directories are read in `sweep`, and what may be believed of them in
`scan` and `witness`; the order of locks and what the calls promise stand in doc/store.md.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from courier import log
from courier.maildir import delivery, filename, filesystem, keywords, scan, uiddb
from courier.maildir.change import FlagChange, KeywordChange, rename_flags, unlink
from courier.maildir.changelog import ChangeLog
from courier.maildir.columns import EMPTY, Column, Columns, Row
from courier.maildir.locate import Locator, MessageGone
from courier.maildir.lock import FolderLock
from courier.maildir.memo import Memos
from courier.maildir.numbering import UidsUsedUp
from courier.maildir.numberset import NumberSet
from courier.maildir.scan import FolderGone
from courier.maildir.second_link import SecondLink
from courier.maildir.state import Options, State
from courier.maildir.sweep import Sweep
from courier.maildir.uiddb import UidDb

if TYPE_CHECKING:
    from courier.maildir.fulltext import FullText
    from courier.maildir.items import Items

__all__ = [
    "FlagChange",
    "Folder",
    "FolderGone",
    "KeywordChange",
    "MessageGone",
    "Options",
    "Prepared",
]

T = TypeVar("T")

_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
_PURGE_EVERY_S = 3600.0
#: How long a flag change waits for courier.lock, which it can do without.
_PATIENCE_S = 10.0
#: How long a closing session waits for the file system's clock to go on.
_TICK_S = 0.02
#: Messages of a folder that costs little memory.
_LIGHT = 1000
_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message waiting in ``tmp/`` or in another folder, with what it shall bear once it has landed."""

    file: delivery.TemporaryFile | SecondLink
    flags: int = 0
    keywords: tuple[str, ...] = ()


class Folder:
    """A folder directory: ``new/``, ``cur/``, ``tmp/`` and Courier's files beside them."""

    def __init__(self, path: str, options: Options | None = None) -> None:
        """Nothing is read before the first `synchronise`."""
        self.options = options or Options()
        self.is_writable = True  # as far as the last reading showed
        self._items: Items | None = None
        self.memos = Memos(path, self.options.index_dir)
        self._fulltext: FullText | None = None
        self._state = State(path, self.options)
        self._mutex = threading.RLock()
        self._locator = Locator()
        self._purged = float("-inf")
        self._in_use: tuple[Column, list[str]] = (EMPTY.keywords, [])  # keywords, as last asked
        self._stuck: set[bytes] = set()  # names in new/ that could not be moved

    @property
    def path(self) -> str:
        return self._state.path

    @path.setter
    def path(self, path: str) -> None:
        if path == self._state.path:
            return
        self._state.move(path)
        if self._items is not None:
            self._items.path = path
        self.memos = Memos(path, self.options.index_dir)
        self._fulltext = None

    @property
    def items(self) -> Items:
        """What is known of the messages."""
        if self._items is None:
            from courier.maildir.items import Items  # which loads all that reads messages

            with _making:
                self._items = self._items or Items(self.path, self.options.index_dir)
        return self._items

    @property
    def fulltext(self) -> FullText | None:
        """The full-text index, if there is to be one."""
        if self._fulltext is None and self.options.fulltext:
            from courier.maildir.fulltext import FullText  # which loads SQLite: few want it

            self._fulltext = FullText(self.path, self.options.index_dir)
        return self._fulltext

    @property
    def columns(self) -> Columns:
        """The messages, as last read."""
        return self._state.columns

    @property
    def uidvalidity(self) -> int:
        """0 as long as none was given."""
        return self._state.numbering.uidvalidity

    @property
    def uidnext(self) -> int:
        return self._state.numbering.uidnext

    @property
    def is_sticky(self) -> bool:
        """Whether the UIDs outlive this process: there was room to write them down."""
        return not self._state.numbering.is_passing

    @property
    def hides_messages(self) -> bool:
        """Whether there are new messages that could not be given UIDs yet."""
        return bool(self._state.lacks_messages)

    @property
    def is_void(self) -> bool:
        """The UIDs were told under another UIDVALIDITY: open the folder anew."""
        return self._state.is_void

    @property
    def log(self) -> ChangeLog:
        return self._state.log

    @property
    def keyword_sets(self) -> list[tuple[str, ...]]:
        """Keyword sets by number; the list only grows."""
        return self._state.table.sets

    # -- reading ---------------------------------------------------------------------------

    def synchronise(self, *, take_new: bool) -> Sequence[int]:
        """Bring `columns` up to date with the disk.

        Args:
            take_new: move what lies in ``new/`` to ``cur/``; False for EXAMINE.

        Returns: with ``take_new`` the UIDs of messages that are ``\\Recent`` for this caller,
        ascending: those that it is the first to take, also if they had their UID already.

        A folder that this process may not write, or that is on a full disk, is read as it is:
        new messages stay unseen until somebody who can has given them UIDs. One on a full disk that
        never had any is given some that pass (`is_sticky`).

        Raises:
            FolderGone: the folder is not there any more.
            OSError: it cannot be read, locked, or (when it has no UIDs yet) written.
        """
        with self._mutex:
            recent = self._synchronise(take_new)
            self._state.is_told = True
            return recent

    def synchronise_at_once(self, *, take_new: bool) -> bool:
        """Do what `synchronise` does, if that means neither waiting nor much reading; tell whether.

        What is ``\\Recent`` is left to `claim_at_once`. Handing a call to a thread costs more than to find that nothing has changed.
        """
        if not self._mutex.acquire(blocking=False):
            return False
        try:
            if not self._state.is_at_hand() or not self._is_current(take_new):
                return False
            self._pay()
            self._state.is_told = True
            return True
        except OSError:
            return False  # whoever tries again is told
        finally:
            self._mutex.release()

    def claim_at_once(self) -> Sequence[int]:
        """Give what `synchronise` would, with ``take_new``, of a folder that is current; nothing if
        that means waiting: it is the next one's then.
        """
        if not self._state.unclaimed or not self._mutex.acquire(blocking=False):
            return ()
        try:
            return self._state.claim()
        finally:
            self._mutex.release()

    def _synchronise(self, take_new: bool) -> Sequence[int]:
        if self._is_current(take_new):
            self._pay()
            return self._state.claim() if take_new else ()
        try:
            with self._locked():
                self.is_writable = True
                if self._is_current(take_new):
                    return self._state.claim() if take_new else ()
                return self._read(take_new)
        except OSError as error:
            if error.errno not in (*_NO_RIGHT, *filesystem.NO_ROOM):
                raise
            refusal = error
        self.is_writable = refusal.errno in filesystem.NO_ROOM
        if self.is_writable:
            log.recurring("cannot write", self.path, refusal)
        if self._state.look_up(scan.stamp(self.path)):
            return ()
        return self._read(False, refusal)

    def _is_current(self, take_new: bool) -> bool:
        """Tell whether nothing need be read; also see to it that the index says so."""
        state = self._state
        state.load()
        now = state.look()
        if not state.is_begun or (take_new and self.columns.in_new) or self._wants_writing():
            return False
        if not state.current(now).all or not state.check_names():
            return False
        self._locator.forget()
        if state.stamp is None or not state.stamp.vouches_for(now):
            state.vouch(now)
        return True

    def _wants_writing(self) -> bool:
        state = self._state
        return self.is_writable and (state.numbering.wants_writing or bool(state.lacks_messages))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold courier.lock, knowing what other processes wrote to the index before."""
        with FolderLock(self.path, enabled=self.options.use_locks):
            self._catch_up()
            self._state.begin_watching()  # what is done now is to be accounted for
            yield

    def _catch_up(self) -> None:
        """Take over what other processes wrote to the index. The caller holds courier.lock.

        Who looks at the columns never sees them fall back: if the index does not say what is there,
        the directories are read at once.
        """
        state = self._state
        state.load()
        state.catch_up()
        if state.is_replaced:
            state.is_replaced = False
            if not state.current(state.look()).all:
                self._sweep(take_new=False)

    def _sweep(self, *, take_new: bool, refusal: OSError | None = None) -> Sequence[int]:
        self._locator.forget()
        return Sweep(self._state, self._stuck, take_new=take_new, refusal=refusal).run()

    def _read(self, take_new: bool, refusal: OSError | None = None) -> Sequence[int]:
        """Read the directories under both locks, or as far as ``refusal`` lets us."""
        if refusal is None:
            self._purge_tmp()
        self._state.check_names()
        return self._sweep(take_new=take_new, refusal=refusal)

    def known(self) -> tuple[Columns, bool] | None:
        """Give the messages, if that is known without listing ``cur/``.

        Returns: with them, whether they also say what is in ``new/``; None if ``cur/`` has changed.

        Raises: FolderGone, OSError.
        """
        with self._mutex:
            state = self._state
            state.load()
            state.witness.judge()
            current = state.current(scan.stamp(self.path)) if state.is_begun else None
            if current is None or not current.cur or not current.uiddb or state.is_void:
                return None
            return None if state.lacks_messages else (state.columns, current.new)

    def begin(self) -> UidDb:
        """Give a folder that was never opened its UIDVALIDITY; its messages get no UIDs yet.

        Others see no courierimapuiddb or one without entries; on a full disk there is none.

        Raises: as `synchronise`.
        """
        with self._mutex:
            try:
                return self._begin()
            except OSError as error:
                if error.errno not in filesystem.NO_ROOM:
                    raise
                log.recurring("cannot write", self.path, error)
            numbering = self._state.numbering
            numbering.give_for_now(0)
            return UidDb(numbering.uidvalidity, numbering.uidnext, array("I"), [])

    def _begin(self) -> UidDb:
        numbering = self._state.numbering
        with self._locked():
            database = numbering.load(self.path, uiddb.stamp(self.path))
            if database is None:
                bare = numbering.give(0)
                numbering.write(self.path, self._state.listed, bare, (), sync=False)
                database = uiddb.read(self.path)
            assert database is not None
            return database

    def _pay(self) -> None:
        """Have the index vouch for what is known, if it does not yet and that takes no waiting."""
        if (
            self._state.is_due()
            and self._state.stamp is not None
            and self._state.stamp.messages_settled
        ):
            try:
                with FolderLock(self.path, enabled=self.options.use_locks, deadline_s=0.0):
                    self._catch_up()
                    self._state.write_stamp()
            except OSError:
                return  # another time

    @property
    def keeps_modseqs(self) -> bool:
        """Whether MODSEQs outlive this process, and agree with other processes' ones."""
        return self._state.is_ours

    @property
    def is_light(self) -> bool:
        """Whether it costs little to be kept: few messages, no watches, and the index vouches for it."""
        state = self._state
        is_small = state.is_begun and len(state.columns) <= _LIGHT
        return is_small and state.is_ours and self.is_settled and not state.witness.is_armed

    @property
    def is_settled(self) -> bool:
        """Whether `settle` has nothing to do."""
        return not self._state.is_due()

    def settle(self, *, at_once: bool = False) -> None:
        """Have the index vouch for what is known, so that who opens the folder next need not read it.

        Called when a session leaves the folder. Waits for a tick of the clock, at most, and unless
        ``at_once`` for other sessions that work on the folder.
        """
        if not self._state.is_due() or not self._mutex.acquire(blocking=not at_once):
            return
        try:
            state = self._state
            if not state.is_due():
                return
            try:
                now = scan.stamp(self.path)
                give_up = time.monotonic() + _TICK_S
                youngest = max(*now.new[:2], *now.cur[:2])
                while filesystem.clock_ns() <= youngest and time.monotonic() < give_up:
                    time.sleep(0.001)
                with FolderLock(self.path, enabled=self.options.use_locks, deadline_s=0.1):
                    self._catch_up()
                    state.write_stamp()
            except OSError:
                return  # the next one reads it
        finally:
            self._mutex.release()

    def _purge_tmp(self) -> None:
        if time.monotonic() - self._purged > _PURGE_EVERY_S:
            self._purged = time.monotonic()
            try:
                delivery.purge_tmp(self.path, time.time())
            except OSError as error:
                log.error("cannot purge", os.path.join(self.path, "tmp"), error)

    @property
    def unclaimed(self) -> NumberSet:
        """UIDs of messages that would be ``\\Recent`` for the next caller with ``take_new``; some
        may be gone by now.
        """
        in_new, in_cur = self.columns.in_new, self._state.unclaimed
        return NumberSet.of(in_new) | in_cur if in_new else in_cur

    @property
    def knows_recent(self) -> bool:
        """Whether some are ``\\Recent`` of which no directory says so: this process alone knows it."""
        return bool(self._state.unclaimed)

    def is_unclaimed(self, uid: int) -> bool:
        return uid in self.columns.in_new or uid in self._state.unclaimed

    def keyword_number(self, words: Iterable[str]) -> int:
        """Give the number of a keyword set in `keyword_sets`, adding it if it is new."""
        return self._state.table.number(words)

    def keywords_in_use(self) -> list[str]:
        """List the keywords that some message bears, sorted, in the first spelling met."""
        if len(self.keyword_sets) == 1:
            return []
        column, words = self._in_use
        if column is not self.columns.keywords:
            column = self.columns.keywords
            words = self._state.table.words(set(column))
            self._in_use = column, words
        return list(words)

    # -- adding messages -------------------------------------------------------------------

    def deliver(self, messages: Sequence[Prepared]) -> list[int]:
        """Land prepared messages in ``cur/`` and return their UIDs, in the same order.

        They are ``\\Recent`` for the first who takes what is new in this process. Others see
        the messages one by one, without an entry in courierimapuiddb until that
        file lists them. A crash leaves some of them landed: the next reading gives them UIDs.
        An error leaves none of them.

        Raises: as `synchronise`.
        """
        with self._mutex, self._locked():
            self.is_writable = True
            numbering = self._state.numbering
            known = self._state.is_begun and numbering.stamp is not None
            if not known or numbering.stamp != uiddb.stamp(self.path):
                self._read(False)
            landed: list[bytes] = []
            try:
                for message in messages:
                    landed.append(message.file.land("cur", message.flags))
                    self._publish_keywords(landed[-1], message)
                if landed and self.options.fsync:
                    delivery.sync_directory(os.path.join(self.path, "cur"))
                given = self._number(landed)
            except BaseException:
                for name in landed:
                    _unlink_quietly(os.path.join(os.fsencode(self.path), b"cur", name))
                self._state.witness.forget()
                raise
            rows = [
                Row(uid, name, False, message.flags, self._keywords_of(message))
                for uid, name, message in zip(given, landed, messages, strict=True)
            ]
            self._state.note(rows, (), self._state.stamp, landed=given)
            self._state.is_told = True
            # RFC 3501 6.3.11, 6.4.7: who is told of them first has them as \\Recent.
            self._state.unclaimed |= NumberSet.of(given)
            return list(given)

    def _number(self, landed: Sequence[bytes]) -> range:
        numbering, bases = self._state.numbering, [filename.base(name) for name in landed]
        try:
            given = numbering.give(len(landed))
        except UidsUsedUp:
            Sweep(self._state, self._stuck, take_new=False, refusal=None).start_anew()
            given = numbering.give(len(landed))
        sync = self.options.fsync and bool(landed)
        numbering.write(self.path, self._state.listed, given, bases, sync=sync)
        return given

    def _publish_keywords(self, name: bytes, message: Prepared) -> None:
        """Put a landed message's keywords right behind it: an update file that lies there before its
        message can be thrown away by a real Courier that reads the folder in between.
        """
        if message.keywords and self.options.keywords:
            keywords.publish(
                self.path, filename.base(name), message.keywords, sync=self.options.fsync
            )

    def _keywords_of(self, message: Prepared) -> int:
        return self.keyword_number(message.keywords) if self.options.keywords else 0

    # -- messages --------------------------------------------------------------------------

    def read(self, uid: int) -> tuple[bytes, os.stat_result]:
        """Read a message file whole; ``st_mtime`` is the INTERNALDATE.

        Raises:
            MessageGone: there is no such message any more.
            OSError: it cannot be read, or is no regular file (links are only followed if
                `Options.follow_links` says so: who can make one in somebody's maildir could else
                read any file of that user).
        """
        return self._with_file(
            uid, partial(delivery.read_regular, follow=self.options.follow_links)
        )

    def open(self, uid: int) -> int:
        """Open a message file to be read; return its descriptor. Raises as `read`."""
        opened = partial(delivery.open_regular, follow=self.options.follow_links)
        return self._with_file(uid, opened)[0]

    def link(self, uid: int, target: str) -> None:
        """Make ``target`` a second name of a message file. Raises as `read`.

        A symbolic link that may be followed is on another file system (EXDEV), for all we know.
        """
        if self.options.follow_links and stat.S_ISLNK(self._with_file(uid, os.lstat).st_mode):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), target)
        self._with_file(uid, lambda path: os.link(path, target, follow_symlinks=False))

    def stat(self, uid: int) -> os.stat_result:
        """Look at a message file: ``st_mtime`` is the INTERNALDATE. Raises as `read`."""
        return self._with_file(uid, os.stat if self.options.follow_links else os.lstat)

    def set_time(self, uid: int, moment: int) -> None:
        """Give a message file another time; see `redating.set_date`. Raises as `read`."""
        follow = self.options.follow_links
        self._with_file(uid, lambda path: os.utime(path, (moment, moment), follow_symlinks=follow))

    def current(self, uid: int) -> tuple[int, int] | None:
        """Give a message's flags and the number of its keyword set, as last read."""
        row = None if self.is_void else self.columns.row(uid)
        return None if row is None else (self.columns.flags[row], self.columns.keywords[row])

    def _with_file(self, uid: int, call: Callable[[bytes], T]) -> T:
        """Call with the message file's path; look for it again while the path is not there.

        Raises:
            MessageGone: no file of this message is left.
        """
        if self.is_void:
            raise MessageGone(2, "no such message", f"UID {uid}")
        return self._locator.call(self.path, self.columns, uid, call)

    def change_flags(self, uids: Iterable[int], change: FlagChange) -> dict[int, int]:
        """Change the flags of messages and return what each has now, by UID.

        Each change is one rename. If another program renamed the file first, that fails, and
        the change is applied to the flags found on disk. A crash leaves the old name or the
        new one. Messages that are gone are left out.

        courier.lock is held so that the change log is in order, and so that of two who change
        what nobody has changed (``until``) one comes too late; if it can't be had, the changes
        are made all the same, and found by the next reading.

        Raises:
            OSError: a file cannot be renamed; the ones before it are.
        """
        renamed: dict[int, bytes] = {}
        with self._mutex, self._locked_if_possible() as is_locked:
            try:
                for uid in uids:
                    if self._has_changed(uid, change.until):
                        continue
                    try:
                        renamed[uid] = self._with_file(uid, partial(rename_flags, change))
                    except MessageGone:
                        continue
            finally:
                if is_locked:
                    self._note_renamed(renamed)
        return {uid: filename.flags(name) for uid, name in renamed.items()}

    def _has_changed(self, uid: int, until: int | None) -> bool:
        """Tell whether a message is known to have changed after a MODSEQ."""
        if until is None:
            return False
        columns = self._state.columns
        row = columns.row(uid)
        return row is not None and columns.modseqs[row] > until

    @contextmanager
    def _locked_if_possible(self) -> Iterator[bool]:
        """Hold courier.lock, unless somebody else keeps it or we may not take it."""
        lock = FolderLock(self.path, enabled=self.options.use_locks, deadline_s=_PATIENCE_S)
        try:
            lock.acquire()
        except OSError:
            yield False
            return
        try:
            self._catch_up()
            if not self._state.check_names():
                self._sweep(take_new=False)
            self._state.begin_watching()
            yield True
        finally:
            lock.release()

    def _note_renamed(self, renamed: Mapping[int, bytes]) -> None:
        state = self._state
        rows = []
        for uid, name in renamed.items():
            old = state.columns.message(uid)
            assert old is not None  # it was found by this very column, under the mutex
            rows.append(old._replace(name=name, in_new=False, flags=filename.flags(name)))
        state.unclaimed |= NumberSet.of(state.columns.in_new & renamed.keys())
        if rows:
            state.note(rows, (), state.stamp)

    def change_keywords(self, uids: Iterable[int], change: KeywordChange) -> dict[int, int]:
        """Change the keywords of messages; return each one's number in `keyword_sets`, by UID.

        Works on the sets that the disk has now. Others see each message's new set when its
        update file appears in courierimapkeywords/; a crash leaves the ones before it done.

        Raises: as `synchronise`.
        """
        done: dict[int, int] = {}
        with self._mutex, self._locked():
            state = self._state
            wanted = () if self.is_void else uids
            wanted = [uid for uid in wanted if not self._has_changed(uid, change.until)]
            rows = [row for uid in wanted if (row := state.columns.message(uid)) is not None]
            bases = {row.uid: filename.base(row.name) for row in rows}
            # Merging is left to the next reading: it has to know every message there is.
            known = frozenset(bases.values())
            stored = keywords.load_and_merge(self.path, known, write=False, now=time.time())
            for uid, base in bases.items():
                words = change.apply(stored.get(base, ()))
                done[uid] = self.keyword_number(words)
                if done[uid] != self.keyword_number(stored.get(base, ())):
                    keywords.publish(self.path, base, words, sync=self.options.fsync)
            if rows:
                state.note([row._replace(keywords=done[row.uid]) for row in rows], (), state.stamp)
        return done

    def remove(self, uids: Iterable[int], *, only_deleted: bool) -> list[bytes]:
        """Unlink message files and return the names they had.

        Args:
            only_deleted: leave messages whose file does not bear ``T`` at this moment,
                whatever was read before (EXPUNGE); otherwise remove each (MOVE).

        A crash leaves the ones before it removed. courier.lock is held as by `change_flags`.

        Raises:
            OSError: a file cannot be removed; the ones before it are.
        """
        removed: dict[int, bytes] = {}
        with self._mutex, self._locked_if_possible() as is_locked:
            try:
                for uid in uids:
                    try:
                        name = self._with_file(uid, partial(unlink, only_deleted=only_deleted))
                    except MessageGone:
                        continue
                    if name is not None:
                        removed[uid] = name
            finally:
                if is_locked and removed:
                    self._note_removed(removed)
        return list(removed.values())

    def _note_removed(self, removed: Mapping[int, bytes]) -> None:
        state = self._state
        rows = []
        for uid, name in removed.items():
            old = state.columns.message(uid)
            assert old is not None  # as above
            if old.name != name:  # renamed by others before
                rows.append(old._replace(name=name, in_new=False, flags=filename.flags(name)))
        state.numbering.dead += len(removed)
        state.note((), list(removed), state.stamp)
        if rows:
            state.witness.forget()


def _unlink_quietly(path: bytes) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        log.error("cannot remove", os.fsdecode(path), error)
