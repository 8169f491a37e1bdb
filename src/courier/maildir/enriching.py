"""Finding what few clients ask for: previews and digests, which cost more than all the rest.

It is kept with what else is known of a message (`courier.maildir.items`), and found when it is first
asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from courier import log
from courier.maildir.folder import Folder, MessageGone
from courier.maildir.items import Stored
from courier.message import facts

#: Of one slice: messages, and octets of message files, as a measure of the time that it takes.
_SLICE_MESSAGES = 64
_SLICE_OCTETS = 512 << 10


class Enriching:
    """The messages of one folder of which more is to be known. Each call of `step` is a slice."""

    def __init__(self, folder: Folder, uids: Sequence[int]) -> None:
        self._folder = folder
        self._uidvalidity = folder.uidvalidity
        self._left = array("I", reversed(uids))

    def step(self) -> bool:
        """Read some messages, and keep what is found; tell whether more are left.

        One that is gone or can't be read is passed over: whoever asks for it will find out.
        """
        if self._folder.is_void:
            return False
        found: list[Stored] = []
        octets = 0
        while self._left and len(found) < _SLICE_MESSAGES and octets < _SLICE_OCTETS:
            uid = self._left.pop()
            try:
                data, stat = self._folder.read(uid)
            except MessageGone:
                continue
            except OSError as error:
                log.recurring("cannot read message", error.filename, error)
                continue
            row = self._folder.columns.row(uid)
            name = b"" if row is None else self._folder.columns.names[row]
            what = facts.describe(data, more=True)
            found.append(Stored(uid, name, len(data), int(stat.st_mtime), what))
            octets += len(data)
        items = self._folder.items
        if found:
            items.replace(self._uidvalidity, found)
        if not self._left:
            items.tidy(self._uidvalidity, self._folder.columns.uids)
        return bool(self._left)
