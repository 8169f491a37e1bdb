"""A folder whose messages are another's: read and changed through the links of a `link_farm`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from courier.maildir import change, delivery, filename, link_farm
from courier.maildir.change import FlagChange, KeywordChange
from courier.maildir.filename import Flag
from courier.maildir.folder import Folder, MessageGone, Options, Prepared

T = TypeVar("T")


class LinkedFolder(Folder):
    """A farm as a folder. UIDs, flags and keywords are its own, as in every folder."""

    def __init__(self, path: str, source: str, options: Options | None = None) -> None:
        super().__init__(path, options)
        self.source = source

    def synchronise(self, *, take_new: bool) -> Sequence[int]:
        self.update_links()
        return super().synchronise(take_new=take_new)

    def synchronise_at_once(self, *, take_new: bool) -> bool:
        """Refuse if the source has changed: then there may be much to do."""
        try:
            if not link_farm.is_current(self.path, self.source):
                return False
        except OSError:
            return False  # whoever tries again is told
        return super().synchronise_at_once(take_new=take_new)

    def update_links(self) -> None:
        """Bring the links up to date. Raises as `link_farm.synchronise`."""
        link_farm.synchronise(self.path, self.source, use_locks=self.options.use_locks)

    def read(self, uid: int) -> tuple[bytes, os.stat_result]:
        return self._with_message(uid, delivery.read_regular)

    def open(self, uid: int) -> int:
        return self._with_message(uid, delivery.open_regular)[0]

    def stat(self, uid: int) -> os.stat_result:
        return self._with_message(uid, os.lstat)

    def link(self, uid: int, target: str) -> None:
        """Refuse: messages of others are copied."""
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), target)

    def deliver(self, messages: Sequence[Prepared]) -> list[int]:
        """Put messages, prepared in the source's ``tmp/``, into the source; return their UIDs here.

        Others see them one by one. An error leaves none of them.
        """
        landed: list[bytes] = []
        try:
            for message in messages:
                landed.append(message.file.land("cur", message.flags))
                link_farm.add(self.path, self.source, landed[-1], message.flags)
            if self.options.fsync:
                delivery.sync_directory(os.path.join(self.source, "cur"))
            self.synchronise(take_new=False)
            uids = self._uids_of(landed)
        except BaseException:
            for name in landed:
                delivery.unlink_quietly(os.path.join(self.source, "cur", os.fsdecode(name)))
            raise
        for uid, message in zip(uids, messages, strict=True):
            if message.keywords and self.options.keywords:
                self.change_keywords([uid], KeywordChange(add=message.keywords))
        return uids

    def _uids_of(self, landed: Sequence[bytes]) -> list[int]:
        columns = self.columns
        wanted = {filename.base(name) for name in landed}
        found = {}
        for row in range(len(columns.uids)):
            base = filename.base(columns.names[row])
            if base in wanted:
                found[base] = columns.uids[row]
        if len(found) < len(wanted):
            raise OSError(errno.EIO, "No UID for a new message", self.path)
        return [found[filename.base(name)] for name in landed]

    def remove(self, uids: Iterable[int], *, only_deleted: bool) -> list[bytes]:
        """Remove messages from the source, and then their links.

        Only what the system lets this user remove: others' messages stay, without ``\\Deleted``.
        """
        gone, kept = [], []
        for uid in uids:
            try:
                if self._files.call(uid, partial(self._remove, only_deleted=only_deleted)):
                    gone.append(uid)
            except MessageGone:
                gone.append(uid)
            except PermissionError:
                kept.append(uid)
        if kept:
            self.change_flags(kept, FlagChange(remove=Flag.DELETED))
        return super().remove(gone, only_deleted=False)

    def _remove(self, link: bytes, *, only_deleted: bool) -> bool:
        if only_deleted and not filename.flags(os.path.basename(link)) & Flag.DELETED:
            os.lstat(link)
            return False
        try:
            path = link_farm.follow(link, self.source)
        except FileNotFoundError:
            os.lstat(link)  # only what it leads to is gone
            return True
        return change.unlink(path, only_deleted=False) is not None

    def _with_message(self, uid: int, call: Callable[[bytes], T]) -> T:
        def followed(link: bytes) -> T | MessageGone:
            try:
                return call(link_farm.follow(link, self.source))
            except FileNotFoundError:
                os.lstat(link)  # if it is gone, it has to be looked for; else what it leads to is
                return MessageGone(2, "message file is gone", os.fsdecode(link))

        found = self._files.call(uid, followed)
        if isinstance(found, MessageGone):
            raise found
        return found


def landing_directory(folder: Folder) -> str:
    """Give the directory in whose ``tmp/`` messages for a folder are prepared."""
    return folder.source if isinstance(folder, LinkedFolder) else folder.path
