"""Bringing messages from one folder to another: prepared in its ``tmp/``, landed all at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from courier.maildir.delivery import TemporaryFile
from courier.maildir.folder import Folder, MessageGone, Prepared
from courier.maildir.linked_folder import landing_directory
from courier.maildir.second_link import SecondLink, may_share
from courier.maildir.view import View
from imapd import acl_letters


def prepare(
    view: View, uids: Sequence[int], target: Folder, files: ExitStack, rights: str
) -> dict[int, Prepared]:
    """Make messages ready to land in the target, by UID; those that are gone are left out.

    Content, date, flags and keywords are the message's, as far as these rights on the target
    permit (RFC 4314 4). Nothing is read or written where another link to the message file will do;
    Courier always writes a file of its own. What does not land is removed when ``files`` is closed.

    Raises:
        OSError: a message can't be read, or its copy not written.
    """
    prepared = {}
    directory = os.stat(os.path.join(landing_directory(target), "cur"))
    for uid in uids:
        try:
            file = _second(view.folder, target, uid, directory)
        except MessageGone:
            continue
        files.enter_context(file)
        flags, number = view.folder.current(uid) or (0, 0)
        keywords = view.folder.keyword_sets[number]
        prepared[uid] = Prepared(file, *acl_letters.settable(rights, flags, keywords))
    return prepared


def _copied(folder: Folder, target: Folder, uid: int) -> TemporaryFile:
    data, found = folder.read(uid)
    with ExitStack() as stack:
        file = stack.enter_context(
            TemporaryFile(landing_directory(target), sync=target.options.fsync)
        )
        file.write(data)
        file.close(int(found.st_mtime))
        stack.pop_all()
    return file


def _second(
    folder: Folder, target: Folder, uid: int, directory: os.stat_result
) -> TemporaryFile | SecondLink:
    found = folder.stat(uid)
    copied = partial(_copied, folder, target, uid)
    if not may_share(found, directory):
        return copied()
    return SecondLink(landing_directory(target), found, partial(folder.link, uid), copied)
