"""Bringing messages from one folder to another: prepared in its ``tmp/``, landed all at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from courier.maildir.delivery import TemporaryFile
from courier.maildir.folder import Folder, MessageGone, Prepared
from courier.maildir.view import View
from imapd import acl_letters


def prepare(
    view: View, uids: Sequence[int], target: Folder, files: ExitStack, rights: str
) -> dict[int, Prepared]:
    """Copy messages into the target's ``tmp/``, by UID; those that are gone are left out.

    Content, date, flags and keywords are the message's, as far as these rights on the target
    permit (RFC 4314 4). What does not land is removed when ``files`` is closed.

    Raises:
        OSError: a message can't be read, or its copy not written.
    """
    prepared = {}
    for uid in uids:
        try:
            data, found = view.folder.read(uid)
        except MessageGone:
            continue
        file = files.enter_context(TemporaryFile(target.path, sync=target.options.fsync))
        file.write(data)
        file.close(int(found.st_mtime))
        flags, number = view.folder.current(uid) or (0, 0)
        keywords = view.folder.keyword_sets[number]
        prepared[uid] = Prepared(file, *acl_letters.settable(rights, flags, keywords))
    return prepared
