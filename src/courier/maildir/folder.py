"""One folder of a maildir, as all sessions of this process share it: what each call promises.

`Folder.columns` is what was last read from disk; it is replaced as a whole, never altered, so
a session may read it while another one synchronises. How the promises are kept: `synchronising` (when the
directories are read, and under which locks), `landing` (messages that are added), `changing` (flags, keywords,
removal), `locate` (files that others rename). What is known, and shared with other processes, is in `state`. The
order of locks stands in doc/store.md.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from courier.maildir import changing, delivery, landing
from courier.maildir.change import FlagChange, KeywordChange
from courier.maildir.changelog import ChangeLog
from courier.maildir.columns import EMPTY, Column, Columns
from courier.maildir.landing import Prepared
from courier.maildir.locate import MessageGone
from courier.maildir.memo import Memos
from courier.maildir.numberset import NumberSet
from courier.maildir.scan import FolderGone
from courier.maildir.state import Options, State
from courier.maildir.synchronising import Synchroniser
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

#: Messages of a folder that costs little memory.
_LIGHT = 1000
_making = threading.Lock()


class Folder:
    """A folder directory: ``new/``, ``cur/``, ``tmp/`` and Courier's files beside them."""

    def __init__(self, path: str, options: Options | None = None) -> None:
        """Nothing is read before the first `synchronise`."""
        self.options = options or Options()
        self._items: Items | None = None
        self.memos = Memos(path, self.options.index_dir)
        self._fulltext: FullText | None = None
        self._state = State(path, self.options)
        self._synchroniser = Synchroniser(self._state)
        self._files = self._synchroniser.files
        self._in_use: tuple[Column, list[str]] = (EMPTY.keywords, [])  # keywords, as last asked

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
    def is_writable(self) -> bool:
        """Whether this process may write to it, as far as the last reading showed."""
        return self._synchroniser.is_writable

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
        return self._synchroniser.synchronise(take_new)

    def synchronise_at_once(self, *, take_new: bool) -> bool:
        """Do what `synchronise` does, if that means neither waiting nor much reading; tell whether.

        What is ``\\Recent`` is left to `claim_at_once`. Handing a call to a thread costs more than
        to find that nothing has changed.
        """
        return self._synchroniser.synchronise_at_once(take_new)

    def claim_at_once(self) -> Sequence[int]:
        """Give what `synchronise` would, with ``take_new``, of a folder that is current; nothing if
        that means waiting: it is the next one's then.
        """
        return self._synchroniser.claim_at_once()

    def known(self) -> tuple[Columns, bool] | None:
        """Give the messages, if that is known without listing ``cur/``.

        Returns: with them, whether they also say what is in ``new/``; None if ``cur/`` has changed.

        Raises: FolderGone, OSError.
        """
        return self._synchroniser.known()

    def begin(self) -> UidDb:
        """Give a folder that was never opened its UIDVALIDITY; its messages get no UIDs yet.

        Others see no courierimapuiddb or one without entries; on a full disk there is none.

        Raises: as `synchronise`.
        """
        return self._synchroniser.begin()

    @property
    def keeps_modseqs(self) -> bool:
        """Whether MODSEQs outlive this process, and agree with other processes' ones."""
        return self._state.is_ours

    @property
    def is_light(self) -> bool:
        """Whether it is worth being kept, of few messages: no watches, and the index vouches for it; or
        else it knows what is ``\\Recent``, which would be lost.
        """
        state = self._state
        if not state.is_begun or len(state.columns) > _LIGHT:
            return False
        is_cheap = state.is_ours and self.is_settled and not state.witness.is_armed
        return is_cheap or self.knows_recent

    @property
    def is_settled(self) -> bool:
        """Whether `settle` has nothing to do."""
        return not self._state.is_due()

    def settle(self, *, at_once: bool = False) -> None:
        """Have the index vouch for what is known, so that who opens the folder next need not read it.

        Called when a session leaves the folder. Waits for a tick of the clock, at most, and unless
        ``at_once`` for other sessions that work on the folder.
        """
        self._synchroniser.settle(at_once)

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
        return landing.land(self._synchroniser, messages)

    # -- messages --------------------------------------------------------------------------

    def read(self, uid: int) -> tuple[bytes, os.stat_result]:
        """Read a message file whole; ``st_mtime`` is the INTERNALDATE.

        Raises:
            MessageGone: there is no such message any more.
            OSError: it cannot be read, or is no regular file (links are only followed if
                `Options.follow_links` says so: who can make one in somebody's maildir could else
                read any file of that user).
        """
        return self._files.call(
            uid,
            partial(
                delivery.read_regular,
                follow=self.options.follow_links,
                most=delivery.MAX_MESSAGE,
            ),
        )

    def open(self, uid: int) -> int:
        """Open a message file to be read; return its descriptor. Raises as `read`."""
        opened = partial(delivery.open_regular, follow=self.options.follow_links)
        return self._files.call(uid, opened)[0]

    def link(self, uid: int, target: str) -> None:
        """Make ``target`` a second name of a message file. Raises as `read`.

        A symbolic link that may be followed is on another file system (EXDEV), for all we know.
        """
        if self.options.follow_links and stat.S_ISLNK(self._files.call(uid, os.lstat).st_mode):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), target)
        self._files.call(uid, lambda path: os.link(path, target, follow_symlinks=False))

    def stat(self, uid: int) -> os.stat_result:
        """Look at a message file: ``st_mtime`` is the INTERNALDATE. Raises as `read`."""
        return self._files.call(uid, os.stat if self.options.follow_links else os.lstat)

    def set_time(self, uid: int, moment: int) -> None:
        """Give a message file another time; see `redating.set_date`. Raises as `read`."""
        follow = self.options.follow_links
        self._files.call(uid, lambda path: os.utime(path, (moment, moment), follow_symlinks=follow))

    def current(self, uid: int) -> tuple[int, int] | None:
        """Give a message's flags and the number of its keyword set, as last read."""
        row = None if self.is_void else self.columns.row(uid)
        return None if row is None else (self.columns.flags[row], self.columns.keywords[row])

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
        return changing.change_flags(self._synchroniser, uids, change)

    def change_keywords(self, uids: Iterable[int], change: KeywordChange) -> dict[int, int]:
        """Change the keywords of messages; return each one's number in `keyword_sets`, by UID.

        Works on the sets that the disk has now. Others see each message's new set when its
        update file appears in courierimapkeywords/; a crash leaves the ones before it done.

        Raises: as `synchronise`.
        """
        return changing.change_keywords(self._synchroniser, uids, change)

    def remove(self, uids: Iterable[int], *, only_deleted: bool) -> list[bytes]:
        """Unlink message files and return the names they had.

        Args:
            only_deleted: leave messages whose file does not bear ``T`` at this moment,
                whatever was read before (EXPUNGE); otherwise remove each (MOVE).

        A crash leaves the ones before it removed. courier.lock is held as by `change_flags`.

        Raises:
            OSError: a file cannot be removed; the ones before it are.
        """
        return changing.remove(self._synchroniser, uids, only_deleted=only_deleted)
