"""Save dates: when messages came to the mailbox that they are in (RFC 8514).

A message file's name begins with the time at which it was made, whoever made it; it stays when flags
change, and COPY and MOVE give a new one. Where a name begins with no time, the internal date stands in.
"""

from __future__ import annotations

from courier.maildir import filename
from courier.maildir.view import View


def stated(view: View, start: int, stop: int) -> list[int | None]:
    """Give what names say of the messages in these rows, in seconds since 1970; None: nothing."""
    columns = view.folder.columns
    if columns.uids is view.uids:
        return filename.saved_of(columns.names.between(start, stop)) if start < stop else []
    rows = (columns.row(view.uids[place]) for place in range(start, stop))
    return [None if row is None else filename.saved_of([columns.names[row]])[0] for row in rows]


def dates(view: View, start: int, stop: int) -> list[int | None]:
    """Give the save dates; None of messages that are gone."""
    found = stated(view, start, stop)
    for place, date in enumerate(found):
        if date is None:
            try:
                found[place] = int(view.folder.stat(view.uids[start + place]).st_mtime)
            except OSError:
                continue
    return found
