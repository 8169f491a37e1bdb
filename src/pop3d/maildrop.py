"""The maildrop: an INBOX as one POP3 session sees it (RFC 1939 4, 5).

Its messages are those that were there at log-in, numbered from 1. What others deliver later comes in the
next session; what others remove keeps its number and can't be had any more. Nothing is locked: IMAP
and POP3 sessions work on one maildir at the same time. Order, sizes and unique-ids are Courier's, kept
in courierpop3dsizelist.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from functools import partial

from courier import log
from courier.maildir import filename
from courier.maildir.change import FlagChange
from courier.maildir.charged import Charged
from courier.maildir.columns import Columns
from courier.maildir.filename import Flag
from courier.maildir.folder import Folder, MessageGone
from courier.maildir.lock import FolderLock
from courier.maildir.quota import Limits, Quota
from courier.process.request import Steps, Work
from pop3d import listing, sizelist, transmission, unicode
from pop3d.listing import Listing
from pop3d.sizelist import Entry, SizeList

#: Messages described before others get their turn.
_SLICE = 50
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class Maildrop:
    """``folder`` is the maildir itself; ``user`` is for the log."""

    def __init__(
        self, folder: Folder, user: str, *, limits: str = "", trash_quota: bool = False
    ) -> None:
        """Nothing is read before `open`.

        Args:
            limits: the account's quota, as authentication gave it.
        """
        self.listing = Listing()
        self._folder = folder
        self._user = user
        self._charged = Charged(
            folder,
            Quota(folder.path, account=Limits.parse(limits), counts_trash=trash_quota),
            "",
        )
        self._emergency: bytes | None = None  # unique-id of the only message that can be shown

    # -- opening -----------------------------------------------------------------------------

    def open(self) -> Steps:
        """Take new mail, and know each message's size and unique-id.

        Raises:
            FolderGone, OSError: it can't be read.
        """
        yield Work(partial(self._folder.synchronise, take_new=True))
        columns = self._folder.columns
        known = yield Work(partial(self._known, columns))
        if isinstance(known, Listing):
            self.listing = known
            return
        uid_of = dict(zip(columns.names, columns.uids, strict=True))
        names = sorted(uid_of, key=filename.arrival)
        listed = {filename.base(entry.name) for entry in known.entries}
        new = [name for name in names if filename.base(name) not in listed]
        described: dict[bytes, tuple[int, bool]] = {}
        for at in range(0, len(new), _SLICE):
            described |= yield Work(partial(self._describe, new[at : at + _SLICE], uid_of))
        made = yield Work(partial(self._number, names, described, uid_of))
        self.listing = yield Work(partial(self._listed, made, uid_of))

    def _known(self, columns: Columns) -> Listing | SizeList:
        """Give the listing if the list names just the messages there are; otherwise what it says."""
        text = sizelist.read_text(self._folder.path) or b""
        kept = listing.load(self._folder, columns, text)
        if kept is not None:
            return kept
        known = sizelist.parse(text, int(time.time()))
        if not known.is_current or len(known.entries) != len(columns):
            return known
        uid_of = dict(zip(columns.names, columns.uids, strict=True))
        uids = [uid_of.get(name, 0) for name in map(sizelist.NAME_OF, known.entries)]
        if set(uids) != set(uid_of.values()):
            return known
        made = listing.made(known.entries, uids)
        listing.keep(self._folder, columns, text, made)
        return made

    def _listed(self, made: SizeList, uid_of: dict[bytes, int]) -> Listing:
        entries = [entry for entry in made.entries if entry.name in uid_of]
        uids = [uid_of[entry.name] for entry in entries]
        return listing.made(entries, uids, self._emergency)

    def _describe(
        self, names: Sequence[bytes], uid_of: dict[bytes, int]
    ) -> dict[bytes, tuple[int, bool]]:
        """Read messages for their size and whether they need UTF-8; gone ones are left out."""
        found = {}
        for name in names:
            try:
                data, _ = self._folder.read(uid_of[name])
            except MessageGone:
                continue
            except OSError as error:
                log.recurring("cannot read message", error.filename, error)
                continue
            found[name] = transmission.sent_size(data), unicode.needs_utf8(data)
        return found

    def _number(
        self,
        names: Sequence[bytes],
        described: dict[bytes, tuple[int, bool]],
        uid_of: dict[bytes, int],
    ) -> SizeList:
        """Give new messages their unique-ids and keep them.

        Two log-ins at once would give one number to two messages: ours take the folder's lock, which
        Courier's does not. On a full disk, or where nothing may be written, only messages that were
        known can be shown, or the first one, so that its client can make room.
        """
        path = self._folder.path
        try:
            with FolderLock(path, enabled=self._folder.options.use_locks):
                known = sizelist.read(path, int(time.time()))
                made = sizelist.numbered(known, names, described)
                sizelist.write(path, made, sync=self._folder.options.fsync)
                return made
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            log.pop3_list_not_saved(self._user)
        known = sizelist.read(path, int(time.time()))
        only_known = sizelist.numbered(known, names, {})
        if only_known.entries or not described:
            return only_known
        first = next(iter(described))
        size, utf8 = described[first]
        self._emergency = self._emergency_uidl(uid_of[first])
        return SizeList(1, 0, [Entry(first, size, 0, 0, utf8)])

    def _emergency_uidl(self, uid: int) -> bytes:
        found = self._folder.stat(uid)
        return b"ENOMEM-%016X-%016X-%016X" % (int(found.st_mtime), found.st_dev, found.st_ino)

    # -- settling ----------------------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        """Whether `settle` has nothing to do."""
        return self._folder.is_settled

    def settle(self, *, at_once: bool = False) -> None:
        """Leave the folder's index as the next session wants to find it; see `Folder.settle`."""
        self._folder.settle(at_once=at_once)

    # -- messages ----------------------------------------------------------------------------

    def name(self, index: int) -> bytes:
        """Give the name of a message's file, as last seen; nothing if it is gone."""
        row = self._folder.columns.message(self.listing.uids[index])
        return row.name if row else b""

    def open_message(self, index: int) -> int:
        """Open a message's file, and return a descriptor that the caller closes.

        Raises:
            MessageGone: another session removed it.
            OSError: it can't be opened.
        """
        return self._folder.open(self.listing.uids[index])

    def is_seen(self, index: int) -> bool:
        flags, _ = self._folder.current(self.listing.uids[index]) or (Flag.SEEN, 0)
        return bool(flags & Flag.SEEN)

    def mark_seen(self, indices: Sequence[int]) -> None:
        """Set ``\\Seen``, one rename each. Raises OSError."""
        uids = [self.listing.uids[index] for index in indices]
        self._folder.change_flags(uids, FlagChange(add=Flag.SEEN))

    def remove(self, indices: Sequence[int]) -> list[bytes]:
        """Unlink messages, and return the file names of those that were still there.

        A crash leaves the ones before it removed.

        Raises:
            OSError: one can't be removed; the ones before it are.
        """
        wanted = [self.listing.uids[index] for index in indices]
        return self._charged.remove(wanted, only_deleted=False)
