"""A folder whose changes are counted in its account's quota: see `quota` for what counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from courier.maildir import counting, filename
from courier.maildir.filename import Flag
from courier.maildir.folder import FlagChange, Folder, Prepared
from courier.maildir.quota import NOTHING, Quota, Usage


class Charged:
    """Changes of one folder; each call is the folder's own, with the lines that it needs."""

    def __init__(self, folder: Folder, account: Quota, name: str) -> None:
        """``name``: what the folder is called in the maildir whose quota ``account`` is."""
        self._folder = folder
        self._quota = account
        self._name = name

    def deliver(
        self,
        messages: Sequence[Prepared],
        *,
        freed: Usage = NOTHING,
        whatever: bool = False,
        before: Callable[[], None] | None = None,
    ) -> list[int]:
        """Land messages, all or none; see `Folder.deliver`.

        One line for all of them comes before the first is visible, and another takes it back if
        they can't be landed; a crash in between leaves the sum too high until all is counted.

        Args:
            freed: what the same command is going to remove elsewhere.
            whatever: no limit refuses them.
            before: is called once there is room, and before any message is visible; what it raises
                is passed on, and nothing has changed.

        Raises:
            OverQuota: nothing has changed.
            OSError: as `Folder.deliver`.
        """
        size = self._size(messages)
        if not whatever:
            with self._quota.charged(size, freed=freed):
                if before is not None:
                    before()
                return self._folder.deliver(messages)
        uids = self._folder.deliver(messages)
        self._quota.note(size)
        return uids

    def check(self, messages: Sequence[Prepared]) -> None:
        """See whether messages could be landed, of which there may be more to come.

        Raises:
            OverQuota: `deliver` would refuse these, too.
        """
        self._quota.check(self._size(messages))

    def _size(self, messages: Sequence[Prepared]) -> Usage:
        counted = [one for one in messages if self._quota.counts(self._name, one.flags)]
        return Usage(sum(one.file.size for one in counted), len(counted))

    def change_flags(self, uids: Sequence[int], change: FlagChange) -> dict[int, int]:
        """Change flags; see `Folder.change_flags`. ``\\Deleted`` frees room, its removal takes it.

        What is taken is counted before, what is freed after the renames. One line each for all.

        Raises:
            OverQuota: there is no room for all of them; no flag has changed.
            OSError: as `Folder.change_flags`.
        """
        if not (change.add | change.remove) & Flag.DELETED or not self._minds_deletion():
            return self._folder.change_flags(uids, change)
        taken = self.weigh(uid for uid in uids if self._comes_back(uid, change))
        self._quota.add(taken)
        actual = -taken

        def renamed(path: bytes, new_path: bytes) -> None:
            nonlocal actual
            before, after = (bool(self._counted(one)) for one in (path, new_path))
            if before != after:
                size = Usage(counting.octets_of(new_path) or 0, 1)
                actual += size if after else -size

        try:
            return self._folder.change_flags(uids, replace(change, renamed=renamed))
        finally:
            self._quota.note(actual)

    def remove(self, uids: Iterable[int], *, only_deleted: bool) -> list[bytes]:
        """Unlink messages; see `Folder.remove`. The line that frees their room comes last."""
        wanted = list(uids)
        is_free = only_deleted and not self._quota.counts(self._name, Flag.DELETED)
        sizes = {} if is_free else self._unstated(wanted)
        removed = self._folder.remove(wanted, only_deleted=only_deleted)
        self._quota.note(-counting.weight(filter(self._counted, removed), sizes))
        return removed

    def shares_quota(self, other: Charged) -> bool:
        return self._quota.maildir == other._quota.maildir

    def weigh(self, uids: Iterable[int]) -> Usage:
        """Say what messages count for if they are counted at all."""
        wanted = list(uids)
        names = [name for uid in wanted if (name := self._file_name(uid))]
        return counting.weight(names, self._unstated(wanted))

    def counted(self, uids: Iterable[int]) -> list[int]:
        """Pick the messages that are counted with the flags they have."""
        return [uid for uid in uids if (name := self._file_name(uid)) and self._counted(name)]

    def _minds_deletion(self) -> bool:
        return self._quota.counts(self._name, 0) != self._quota.counts(self._name, Flag.DELETED)

    def _comes_back(self, uid: int, change: FlagChange) -> bool:
        flags, _ = self._folder.current(uid) or (0, 0)
        return bool(flags & Flag.DELETED) and not change.apply(flags) & Flag.DELETED

    def _counted(self, path: bytes) -> bool:
        return self._quota.counts(self._name, filename.flags(os.path.basename(path)))

    def _file_name(self, uid: int) -> bytes | None:
        columns = self._folder.columns
        row = columns.row(uid)
        return None if row is None else columns.names[row]

    def _unstated(self, uids: Iterable[int]) -> dict[bytes, int]:
        """Give the sizes, by base name, of messages whose names don't state them."""
        sizes = {}
        for uid in uids:
            name = self._file_name(uid)
            if name is not None and filename.stated_size(filename.base(name)) is None:
                try:
                    sizes[filename.base(name)] = self._folder.stat(uid).st_size
                except OSError:
                    continue
        return sizes
