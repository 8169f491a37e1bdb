"""Keeping what is known of a folder true: when its directories are read, under which locks, and when the index
vouches for them (doc/store.md, "Locks" and "Synchronising").

Whether anything has changed since the last reading, `state` tells by the directories' times and by what was watched;
what a reading does is in `sweep`.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from courier import log
from courier.maildir import delivery, filesystem, scan, uiddb
from courier.maildir.columns import Columns
from courier.maildir.locate import Locator
from courier.maildir.lock import DEADLINE_S, FolderLock
from courier.maildir.state import State
from courier.maildir.sweep import Sweep
from courier.maildir.uiddb import UidDb

_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
_PURGE_EVERY_S = 3600.0
#: How long a change waits for courier.lock, where it can do without.
_PATIENCE_S = 10.0
#: How long a closing session waits for the file system's clock to go on.
_TICK_S = 0.02


class Synchroniser:
    """The state of one folder, with its locks. Whoever changes the state holds ``mutex``."""

    def __init__(self, state: State) -> None:
        """Nothing is read before the first `synchronise`."""
        self.state = state
        self.mutex = threading.RLock()
        self.files = Locator(state)
        self.is_writable = True  # as far as the last reading showed
        self._is_hindered = False  # it is not, or the disk is full: that passes unseen
        self._purged = float("-inf")
        self._stuck: set[bytes] = set()  # names in new/ that could not be moved

    # -- reading what has changed ----------------------------------------------------------

    def synchronise(self, take_new: bool) -> Sequence[int]:
        """Do what `Folder.synchronise` says."""
        with self.mutex:
            recent = self._synchronise(take_new)
            self.state.is_told = True
            return recent

    def synchronise_at_once(self, take_new: bool) -> bool:
        """Do what `Folder.synchronise_at_once` says."""
        if not self.mutex.acquire(blocking=False):
            return False
        try:
            if not self.state.is_at_hand() or not self._is_current(take_new):
                return False
            self._pay()
            self.state.is_told = True
            return True
        except OSError:
            return False  # whoever tries again is told
        finally:
            self.mutex.release()

    def claim_at_once(self) -> Sequence[int]:
        """Do what `Folder.claim_at_once` says."""
        if not self.state.unclaimed or not self.mutex.acquire(blocking=False):
            return ()
        try:
            return self.state.claim()
        finally:
            self.mutex.release()

    def _synchronise(self, take_new: bool) -> Sequence[int]:
        if self._is_current(take_new):
            self._pay()
            return self.state.claim() if take_new else ()
        try:
            with self.locked():
                self.is_writable = True
                if self._is_current(take_new):
                    return self.state.claim() if take_new else ()
                return self._read(take_new)
        except OSError as error:
            if error.errno not in (*_NO_RIGHT, *filesystem.NO_ROOM):
                raise
            refusal = error
        self.is_writable = refusal.errno in filesystem.NO_ROOM
        self._is_hindered = refusal.errno in filesystem.UNWRITABLE
        if self._is_hindered:
            log.recurring("cannot write", self.state.path, refusal)
        if self.state.look_up(scan.stamp(self.state.path)):
            return ()
        return self._read(False, refusal)

    def _is_current(self, take_new: bool) -> bool:
        """Tell whether nothing need be read; also see to it that the index says so."""
        state = self.state
        state.load()
        now = state.look()
        if not state.is_begun or (take_new and state.columns.in_new) or self._wants_writing():
            return False
        if not state.current(now).all:
            return False
        self.files.forget()
        if state.stamp is None or not state.stamp.vouches_for(now):
            state.vouch(now)
        return True

    def _wants_writing(self) -> bool:
        """Tell whether there is something to write down that may be possible by now."""
        state = self.state
        may = self.is_writable or self._is_hindered
        return may and (state.numbering.wants_writing or bool(state.lacks_messages))

    def _read(self, take_new: bool, refusal: OSError | None = None) -> Sequence[int]:
        """Read the directories under both locks, or as far as ``refusal`` lets us."""
        if refusal is None:
            self._purge_tmp()
        return self._sweep(take_new=take_new, refusal=refusal)

    def _sweep(self, *, take_new: bool, refusal: OSError | None = None) -> Sequence[int]:
        self.files.forget()
        return Sweep(self.state, self._stuck, take_new=take_new, refusal=refusal).run()

    def _purge_tmp(self) -> None:
        path = self.state.path
        if time.monotonic() - self._purged > _PURGE_EVERY_S:
            self._purged = time.monotonic()
            try:
                delivery.purge_tmp(path, time.time())
            except OSError as error:
                log.error("cannot purge", os.path.join(path, "tmp"), error)

    # -- under courier.lock ----------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold courier.lock, knowing what other processes wrote to the index before."""
        with self._lock():
            self._catch_up()
            self.state.begin_watching()  # what is done now is to be accounted for
            yield

    @contextmanager
    def locked_if_possible(self) -> Iterator[bool]:
        """Hold courier.lock, unless somebody else keeps it or we may not take it."""
        lock = self._lock(_PATIENCE_S)
        try:
            lock.acquire()
        except OSError:
            yield False
            return
        try:
            self._catch_up()
            self.state.begin_watching()
            yield True
        finally:
            lock.release()

    def _lock(self, deadline_s: float = DEADLINE_S) -> FolderLock:
        use_locks = self.state.options.use_locks
        return FolderLock(self.state.path, enabled=use_locks, deadline_s=deadline_s)

    def _catch_up(self) -> None:
        """Take over what other processes wrote to the index. The caller holds courier.lock.

        Who looks at the columns never sees them fall back: if the index does not say what is there,
        the directories are read at once.
        """
        state = self.state
        state.load()
        state.catch_up()
        if state.is_replaced:
            state.is_replaced = False
            if not state.current(state.look()).all:
                self._sweep(take_new=False)

    def know_uids(self) -> None:
        """Read the folder if it was not, or if courierimapuiddb is another now. The caller holds both locks."""
        stamp = self.state.numbering.stamp
        is_known = self.state.is_begun and stamp is not None
        if not is_known or stamp != uiddb.stamp(self.state.path):
            self._read(False)

    def start_anew(self) -> None:
        """Give the folder another UIDVALIDITY, as its UIDs are used up. The caller holds both locks."""
        Sweep(self.state, self._stuck, take_new=False, refusal=None).start_anew()

    # -- without reading -------------------------------------------------------------------

    def known(self) -> tuple[Columns, bool] | None:
        """Do what `Folder.known` says."""
        with self.mutex:
            state = self.state
            state.load()
            state.witness.judge()
            current = state.current(scan.stamp(state.path)) if state.is_begun else None
            if current is None or not current.cur or not current.uiddb or state.is_void:
                return None
            return None if state.lacks_messages else (state.columns, current.new)

    def begin(self) -> UidDb:
        """Do what `Folder.begin` says."""
        with self.mutex:
            try:
                return self._begin()
            except OSError as error:
                if error.errno not in filesystem.UNWRITABLE:
                    raise
                log.recurring("cannot write", self.state.path, error)
            numbering = self.state.numbering
            numbering.give_for_now(0)
            return UidDb(numbering.uidvalidity, numbering.uidnext, array("I"), [])

    def _begin(self) -> UidDb:
        path, numbering = self.state.path, self.state.numbering
        with self._lock():  # and no watch: nothing happens to messages
            self._catch_up()
            database = numbering.load(path, uiddb.stamp(path))
            if database is None:
                bare = numbering.give(0)
                numbering.write(path, self.state.listed, bare, (), sync=False)
                database = uiddb.read(path)
            assert database is not None
            return database

    # -- having the index vouch ------------------------------------------------------------

    def _pay(self) -> None:
        """Have the index vouch for what is known, if it does not yet and that takes no waiting."""
        stamp = self.state.stamp
        if self.state.is_due() and stamp is not None and stamp.messages_settled:
            try:
                with self._lock(0.0):
                    self._catch_up()
                    self.state.write_stamp()
            except OSError:
                return  # another time

    def settle(self, at_once: bool) -> None:
        """Do what `Folder.settle` says."""
        state = self.state
        if not state.is_due() or not self.mutex.acquire(blocking=not at_once):
            return
        try:
            if not state.is_due():
                return
            try:
                self._wait_for_a_tick()
                with self._lock(0.1):
                    self._catch_up()
                    state.write_stamp()
            except OSError:
                return  # the next one reads it
        finally:
            self.mutex.release()

    def _wait_for_a_tick(self) -> None:
        """Wait until the times of the directories are over, so that a later change shows in them."""
        now = scan.stamp(self.state.path)
        give_up = time.monotonic() + _TICK_S
        youngest = max(*now.new[:2], *now.cur[:2])
        while filesystem.clock_ns() <= youngest and time.monotonic() < give_up:
            time.sleep(0.001)
