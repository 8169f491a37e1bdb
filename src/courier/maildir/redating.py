"""Giving a message another INTERNALDATE. SMAP does that; to IMAP's clients a date never changes."""

from __future__ import annotations

from courier.maildir.folder import Folder, MessageGone
from courier.maildir.items import Stored
from courier.message import facts


def set_date(folder: Folder, uid: int, moment: int) -> None:
    """Set a message's date, in seconds since 1970; one that is gone has none.

    Others see the old date or the new one. What is known of the message is found anew, so that later sessions
    don't go on with the old date; a crash in between leaves them with it.

    Raises:
        OSError: the date is as it was, or the message can't be read.
    """
    try:
        folder.set_time(uid, moment)
        data, found = folder.read(uid)
    except MessageGone:
        return
    row = folder.columns.row(uid)
    if row is not None:
        name = folder.columns.names[row]
        known = Stored(uid, name, len(data), int(found.st_mtime), facts.describe(data))
        folder.items.replace(folder.uidvalidity, [known])
