"""One folder of a maildir, as all sessions of this process share it.

`Folder.columns` is what was last read from disk; it is replaced as a whole, never altered, so
a session may read it while another one synchronises. How reading works and what may be
believed is written in `scan`; the order of locks, what the calls promise and how UIDs are
given stand in doc/store.md.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from courier import log
from courier.maildir import delivery, filename, keywords, scan, uiddb
from courier.maildir.change import FlagChange, KeywordChange, rename_flags, unlink
from courier.maildir.changelog import ChangeLog
from courier.maildir.columns import EMPTY, Columns, Names
from courier.maildir.items import Items
from courier.maildir.lock import FolderLock
from courier.maildir.numbering import Entry, Numbering
from courier.maildir.scan import FolderGone
from courier.maildir.uiddb import UidDb

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
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_PURGE_EVERY_S = 3600.0
#: Times one message file may escape a call by being renamed by others before it counts as gone.
_RENAME_RACES = 20


class MessageGone(FileNotFoundError):
    """The message is no longer in the folder: another session or program removed it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How this server works on maildirs: settings that stay the same for a process."""

    use_locks: bool = True  # IMAP_USELOCKS
    keywords: bool = True  # IMAP_KEYWORDS
    fsync: bool = True  # IMAP_FSYNC: what was answered OK survives a power failure


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message waiting in ``tmp/``, with what it shall bear once it has landed."""

    file: delivery.TemporaryFile
    flags: int = 0
    keywords: tuple[str, ...] = ()


@dataclass(slots=True)
class _Found:
    """What one reading of the directories came to."""

    names: dict[int, Entry] = field(default_factory=dict)  # by UID
    unknown: list[Entry] = field(default_factory=list)  # in the order of arrival
    taken: list[int] = field(default_factory=list)  # had a UID, and were moved to cur/ just now
    is_complete: bool = True  # False: something could not be read or written, so try again


class Folder:
    """A folder directory: ``new/``, ``cur/``, ``tmp/`` and Courier's files beside them."""

    def __init__(self, path: str, options: Options | None = None) -> None:
        """Nothing is read before the first `synchronise`."""
        self.path = path
        self.options = options or Options()
        self.columns: Columns = EMPTY
        self.uidvalidity = 0
        self.uidnext = 1
        self.is_writable = True  # as far as the last reading showed
        self.is_void = False  # its UIDs were told under another UIDVALIDITY: open it anew
        self.log = ChangeLog()
        self.items = Items(path)
        self.keyword_sets: list[tuple[str, ...]] = [()]  # only grows
        self._keyword_numbers: dict[tuple[str, ...], int] = {(): 0}
        self._mutex = threading.RLock()
        self._stamp: scan.Stamp | None = None
        self._numbering = Numbering()
        self._purged = float("-inf")
        self._unclaimed: frozenset[int] = frozenset()  # in cur/, and recent for no session yet
        self._stuck: set[bytes] = set()  # names in new/ that could not be moved
        self._sightings: Mapping[bytes, bytes] = {}  # base: path, when a file was last missed
        self._absent: Set[bytes] = frozenset()  # bases of messages that were gone by then

    # -- reading ---------------------------------------------------------------------------

    def synchronise(self, *, take_new: bool) -> Sequence[int]:
        """Bring `columns` up to date with the disk.

        Args:
            take_new: move what lies in ``new/`` to ``cur/``; False for EXAMINE.

        Returns: with ``take_new`` the UIDs of messages that are ``\\Recent`` for this caller,
        ascending: those that it is the first to take, also if they had their UID already.

        A folder that this process may not write, or that is on a full disk, is read as it is:
        new messages stay unseen until somebody who can has given them UIDs.

        Raises:
            FolderGone: the folder is not there any more.
            OSError: it cannot be read, locked, or (when it has no UIDs yet) written.
        """
        with self._mutex:
            now = scan.stamp(self.path)
            waiting = take_new and self.unclaimed
            if self._stamp is not None and self._stamp.vouches_for(now) and not waiting:
                return ()
            try:
                with FolderLock(self.path, enabled=self.options.use_locks):
                    self.is_writable = True
                    return self._read(take_new)[0]
            except OSError as error:
                if error.errno not in (*_NO_RIGHT, *_NO_ROOM):
                    raise
                refusal = error
            self.is_writable = refusal.errno in _NO_ROOM
            return self._read(False, refusal=refusal)[0]

    def begin(self) -> UidDb:
        """Give a folder that was never opened its UIDVALIDITY; its messages get no UIDs yet.

        Others see no courierimapuiddb or one without entries.

        Raises: as `synchronise`.
        """
        with self._mutex, FolderLock(self.path, enabled=self.options.use_locks):
            self._numbering.load(self.path, uiddb.stamp(self.path))
            return self._numbering.restore(self.path)

    def deliver(self, messages: Sequence[Prepared]) -> list[int]:
        """Land prepared messages in ``cur/`` and return their UIDs, in the same order.

        Others see the messages one by one, without an entry in courierimapuiddb until that
        file is replaced. A crash leaves some of them landed: the next reading gives them UIDs.
        An error leaves none of them.

        Raises: as `synchronise`.
        """
        with self._mutex, FolderLock(self.path, enabled=self.options.use_locks):
            self.is_writable = True
            return self._read(False, messages)[1]

    def _read(
        self,
        take_new: bool,
        landing: Sequence[Prepared] = (),
        refusal: OSError | None = None,
    ) -> tuple[Sequence[int], list[int]]:
        """Read the directories under both locks; see `synchronise` and `deliver`.

        Args:
            refusal: why nothing can be written, and courier.lock is not held.
        """
        if refusal is None:
            self._purge_tmp()
        stamp = scan.stamp(self.path)
        self._numbering.load(self.path, stamp.uiddb)
        landed: list[bytes] = []
        try:
            for message in landing:
                landed.append(message.file.land("cur", message.flags))
                self._publish_keywords(landed[-1], message)
            if landed and self.options.fsync:
                delivery.sync_directory(os.path.join(self.path, "cur"))
            found = self._find(landed, take_new)
            given = self._number(found, landed, refusal)
        except BaseException:
            for name in landed:
                _unlink_quietly(os.path.join(os.fsencode(self.path), b"cur", name))
            raise
        self._replace_columns(found, merge=refusal is None)
        # Taken before anything was read: what others change meanwhile shows against it.
        settled = stamp.settled and found.is_complete
        self._stamp = replace(stamp, uiddb=self._numbering.stamp, settled=settled)
        return self._claim(found) if take_new else (), given

    def _claim(self, found: _Found) -> list[int]:
        """Give the UIDs that are ``\\Recent`` for this caller, and for no later one."""
        claimed, self._unclaimed = {*found.taken, *self._unclaimed}, frozenset()
        return sorted(claimed & found.names.keys())

    def _purge_tmp(self) -> None:
        if time.monotonic() - self._purged > _PURGE_EVERY_S:
            self._purged = time.monotonic()
            try:
                delivery.purge_tmp(self.path, time.time())
            except OSError as error:
                log.error("cannot purge", os.path.join(self.path, "tmp"), error)

    def _publish_keywords(self, name: bytes, message: Prepared) -> None:
        """Put a landed message's keywords right behind it: an update file that lies there before its
        message can be thrown away by a real Courier that reads the folder in between.
        """
        if message.keywords and self.options.keywords:
            keywords.publish(
                self.path, filename.base(name), message.keywords, sync=self.options.fsync
            )

    def _find(self, landed: Sequence[bytes], take_new: bool) -> _Found:
        """Match the files there are with the UIDs that are given."""
        uid_of = self._numbering.uid_of()
        found = _Found()
        if take_new:
            taken = scan.take_new(self.path)
            self._complain(taken.stuck)
            found.taken = [uid_of[base] for base in taken.moved if base in uid_of]
            waiting = {filename.base(name): name for name, _ in taken.stuck}
        else:
            waiting = {filename.base(name): name for name in scan.listing(self.path, "new")}
        known = self.columns.names if take_new else None
        there = scan.present(self.path, uid_of.keys() - waiting.keys(), known=known)
        skip = {filename.base(name) for name in landed}
        for base, name in there.items():
            uid = uid_of.get(base)
            if uid is not None:
                found.names[uid] = (name, False)
            elif base not in skip:
                found.unknown.append((name, False))
        for base, name in waiting.items():
            if base in there:
                continue
            uid = uid_of.get(base)
            if uid is not None:
                found.names[uid] = (name, True)
            else:
                found.unknown.append((name, True))
        found.unknown.sort(key=lambda entry: filename.arrival(entry[0]))
        return found

    def _complain(self, stuck: Sequence[tuple[bytes, OSError]]) -> None:
        """Log files that can't be moved out of ``new/``, each once."""
        for name, error in stuck:
            if name not in self._stuck:
                path = os.path.join(self.path, "new", os.fsdecode(name))
                log.error("cannot move new mail to cur/", path, error)
        self._stuck = {name for name, _ in stuck}

    def _number(self, found: _Found, landed: Sequence[bytes], refusal: OSError | None) -> list[int]:
        """Give UIDs to landed and unknown messages and return those of the landed ones.

        When that can't be put on disk, messages that only happened to be there stay unknown.
        """
        new = [*((name, False) for name in landed), *found.unknown]
        try:
            if refusal is not None:
                raise refusal
            sync = self.options.fsync and bool(landed)
            found.names = self._numbering.number(self.path, found.names, new, sync=sync)
        except OSError as error:
            if landed or not self._numbering.uidvalidity:
                raise
            if error is not refusal:
                log.error("cannot write courierimapuiddb", self.path, error)
                found.is_complete = False
            return []
        given = sorted(found.names)[len(found.names) - len(new) :]
        self._unclaimed |= {uid for uid in given[len(landed) :] if not found.names[uid][1]}
        return given[: len(landed)]

    def _replace_columns(self, found: _Found, *, merge: bool) -> None:
        old = self.columns
        uids = array("I", sorted(found.names))
        names = [found.names[uid][0] for uid in uids]
        in_new = frozenset(uid for uid, (_, waits) in found.names.items() if waits)
        flags = bytes(map(filename.flags, names))
        numbers = self._load_keywords(found, uids, names, merge=merge)
        if uids == old.uids:
            uids = old.uids
            flags = old.flags if flags == old.flags else flags
            numbers = old.keywords if numbers == old.keywords else numbers
        changed, vanished = _differences(old, uids, flags, numbers)
        modseqs = old.modseqs
        if changed or vanished:
            modseq = self.log.record(changed, vanished)
            before = dict(zip(old.uids, old.modseqs, strict=True))
            modseqs = array("Q", (modseq if uid in changed else before[uid] for uid in uids))
        self.columns = Columns(
            uids, Names(names), flags, numbers, modseqs, in_new, self.log.highest
        )
        self._sightings, self._absent = {}, frozenset()
        self.is_void = self.is_void or self.uidvalidity not in (0, self._numbering.uidvalidity)
        self.uidvalidity, self.uidnext = self._numbering.uidvalidity, self._numbering.uidnext

    def _load_keywords(
        self, found: _Found, uids: array[int], names: Sequence[bytes], *, merge: bool
    ) -> array[int]:
        """Give the column of keyword sets; if the files can't be read, what was known."""
        numbers = array("I", bytes(4 * len(names)))
        if not self.options.keywords or keywords.stamp(self.path) is None:
            return numbers
        row_of = {filename.base(name): row for row, name in enumerate(names)}
        try:
            loaded = keywords.load_and_merge(
                self.path,
                row_of,
                write=merge,
                now=time.time(),
                sync=self.options.fsync,
            )
        except OSError as error:
            log.error("cannot read keywords", self.path, error)
            found.is_complete = False
            known = dict(zip(self.columns.uids, self.columns.keywords, strict=True))
            return array("I", (known.get(uid, 0) for uid in uids))
        for base, words in loaded.items():
            row = row_of.get(base)
            if row is not None:
                numbers[row] = self.keyword_number(words)
        return numbers

    @property
    def unclaimed(self) -> frozenset[int]:
        """UIDs of messages that would be ``\\Recent`` for the next caller with ``take_new``."""
        return self.columns.in_new | self._unclaimed

    def keyword_number(self, words: Iterable[str]) -> int:
        """Give the number of a keyword set in `keyword_sets`, adding it if it is new."""
        key = tuple(sorted(words, key=str.lower))
        with self._mutex:
            number = self._keyword_numbers.setdefault(key, len(self.keyword_sets))
            if number == len(self.keyword_sets):
                self.keyword_sets.append(key)
        return number

    def keywords_in_use(self) -> list[str]:
        """List the keywords that some message bears, sorted, in the first spelling met."""
        spelling: dict[str, str] = {}
        for number in set(self.columns.keywords):
            for word in self.keyword_sets[number]:
                spelling.setdefault(word.lower(), word)
        return [spelling[word] for word in sorted(spelling)]

    # -- messages --------------------------------------------------------------------------

    def read(self, uid: int) -> tuple[bytes, os.stat_result]:
        """Read a message file whole; ``st_mtime`` is the INTERNALDATE.

        Raises:
            MessageGone: there is no such message any more.
            OSError: it cannot be read, or is no regular file (links are not followed).
        """
        return self._with_file(uid, delivery.read_regular)

    def link(self, uid: int, target: str) -> None:
        """Make ``target`` a second name of a message file. Raises as `read`."""
        self._with_file(uid, lambda path: os.link(path, target, follow_symlinks=False))

    def stat(self, uid: int) -> os.stat_result:
        """Look at a message file: ``st_mtime`` is the INTERNALDATE. Raises as `read`."""
        return self._with_file(uid, os.lstat)

    def current(self, uid: int) -> tuple[int, int] | None:
        """Give a message's flags and the number of its keyword set, as last read."""
        row = None if self.is_void else self.columns.row(uid)
        return None if row is None else (self.columns.flags[row], self.columns.keywords[row])

    def change_flags(self, uids: Iterable[int], change: FlagChange) -> dict[int, int]:
        """Change the flags of messages and return what each has now, by UID.

        Each change is one rename. If another program renamed the file first, that fails, and
        the change is applied to the flags found on disk. A crash leaves the old name or the
        new one. Messages that are gone are left out.

        Raises:
            OSError: a file cannot be renamed; the ones before it are.
        """
        renamed: dict[int, bytes] = {}
        with self._mutex:
            try:
                for uid in uids:
                    try:
                        renamed[uid] = self._with_file(uid, partial(rename_flags, change))
                    except MessageGone:
                        continue
            finally:
                self._note_renamed(renamed)
        return {uid: filename.flags(name) for uid, name in renamed.items()}

    def _note_renamed(self, renamed: Mapping[int, bytes]) -> None:
        columns = self.columns
        names, flags = {}, bytearray(columns.flags)
        changed = []
        for uid, name in renamed.items():
            row = columns.row(uid)
            assert row is not None  # it was found by this very column, under the mutex
            names[row] = name
            if flags[row] != filename.flags(name):
                flags[row] = filename.flags(name)
                changed.append(uid)
        modseqs = self._record(changed) if changed else columns.modseqs
        self._unclaimed |= columns.in_new & renamed.keys()
        self.columns = replace(
            columns,
            names=columns.names.with_names(names),
            flags=bytes(flags),
            modseqs=modseqs,
            in_new=columns.in_new - renamed.keys(),
            highest=self.log.highest,
        )

    def _record(self, changed: Sequence[int]) -> array[int]:
        """Note changed rows in the log and give the MODSEQ column that follows."""
        modseqs = self.columns.modseqs[:]
        modseq = self.log.record(changed, ())
        for uid in changed:
            modseqs[bisect_left(self.columns.uids, uid)] = modseq
        return modseqs

    def change_keywords(self, uids: Iterable[int], change: KeywordChange) -> dict[int, int]:
        """Change the keywords of messages; return each one's number in `keyword_sets`, by UID.

        Works on the sets that the disk has now. Others see each message's new set when its
        update file appears in courierimapkeywords/; a crash leaves the ones before it done.

        Raises: as `synchronise`.
        """
        done: dict[int, int] = {}
        with self._mutex, FolderLock(self.path, enabled=self.options.use_locks):
            columns = self.columns
            wanted = () if self.is_void else uids
            rows = {uid: row for uid in wanted if (row := columns.row(uid)) is not None}
            bases = {uid: filename.base(columns.names[row]) for uid, row in rows.items()}
            # Merging is left to the next reading: it has to know every message there is.
            known = frozenset(bases.values())
            stored = keywords.load_and_merge(self.path, known, write=False, now=time.time())
            for uid, base in bases.items():
                words = change.apply(stored.get(base, ()))
                done[uid] = self.keyword_number(words)
                if done[uid] != self.keyword_number(stored.get(base, ())):
                    keywords.publish(self.path, base, words, sync=self.options.fsync)
            self._note_keywords(done)
        return done

    def _note_keywords(self, numbers: Mapping[int, int]) -> None:
        column = self.columns.keywords[:]
        changed = []
        for uid, number in numbers.items():
            row = bisect_left(self.columns.uids, uid)
            if column[row] != number:
                column[row] = number
                changed.append(uid)
        if changed:
            modseqs = self._record(changed)
            self.columns = replace(
                self.columns, keywords=column, modseqs=modseqs, highest=self.log.highest
            )

    def remove(self, uids: Iterable[int], *, only_deleted: bool) -> list[bytes]:
        """Unlink message files and return the names they had; read again to see them gone.

        Args:
            only_deleted: leave messages whose file does not bear ``T`` at this moment,
                whatever was read before (EXPUNGE); otherwise remove each (MOVE).

        A crash leaves the ones before it removed.

        Raises:
            OSError: a file cannot be removed; the ones before it are.
        """
        removed = []
        with self._mutex:
            for uid in uids:
                try:
                    name = self._with_file(uid, partial(unlink, only_deleted=only_deleted))
                except MessageGone:
                    continue
                if name is not None:
                    removed.append(name)
        return removed

    def _with_file(self, uid: int, call: Callable[[bytes], T]) -> T:
        """Call with the message file's path; look for it again while the path is not there.

        Raises:
            MessageGone: no file of this message is left.
        """
        columns = self.columns
        row = None if self.is_void else columns.row(uid)
        if row is None:
            raise MessageGone(2, "no such message", f"UID {uid}")
        directory = b"new" if uid in columns.in_new else b"cur"
        name = columns.names[row]
        path = os.path.join(os.fsencode(self.path), directory, name)
        for _ in range(_RENAME_RACES):
            try:
                return call(path)
            except FileNotFoundError:
                path = self._look_again(filename.base(name), path)
        raise MessageGone(2, "renamed again and again", os.fsdecode(path))

    def _look_again(self, base: bytes, missing: bytes) -> bytes:
        """Give the path under which a message lies, knowing that it was not ``missing``.

        One look serves all the messages that were renamed or removed before it.
        """
        path = self._sightings.get(base)
        if path == missing or (path is None and base not in self._absent):
            self._sight()
            path = self._sightings.get(base)
        if path is None:
            raise MessageGone(2, "message file is gone", os.fsdecode(missing))
        return path

    def _sight(self) -> None:
        """Note where every message lies now, and which are gone."""
        new = os.path.join(os.fsencode(self.path), b"new")
        cur = os.path.join(os.fsencode(self.path), b"cur")
        waiting = {filename.base(name): name for name in scan.listing(self.path, "new")}
        expected = set(map(filename.base, self.columns.names)) - waiting.keys()
        there = scan.present(self.path, expected)
        paths = {base: os.path.join(new, name) for base, name in waiting.items()}
        paths |= {base: os.path.join(cur, name) for base, name in there.items()}
        self._sightings, self._absent = paths, expected - there.keys()


def _unlink_quietly(path: bytes) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        log.error("cannot remove", os.fsdecode(path), error)


def _differences(
    old: Columns, uids: array[int], flags: bytes, numbers: array[int]
) -> tuple[Collection[int], Collection[int]]:
    """Compare columns: UIDs that are new or differ in flags or keywords, and those gone."""
    if uids is old.uids and flags is old.flags and numbers is old.keywords:
        return (), ()
    before = dict(zip(old.uids, zip(old.flags, old.keywords, strict=True), strict=True))
    changed = {
        uid
        for uid, values in zip(uids, zip(flags, numbers, strict=True), strict=True)
        if before.pop(uid, None) != values
    }
    return changed, before.keys()
