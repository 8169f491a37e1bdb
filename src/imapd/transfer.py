"""Bringing messages from one mailbox to another: prepared in its ``tmp/``, landed all at once."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from courier.maildir.delivery import TemporaryFile
from courier.maildir.folder import Folder, MessageGone, Prepared
from courier.maildir.linked_folder import landing_directory
from courier.maildir.quota import NOTHING
from courier.maildir.second_link import SecondLink, may_share
from courier.maildir.view import View
from courier.process.request import Steps, Work
from imapd import acl_letters, outbox
from imapd.mailboxes import Mailbox
from imapd.request import Progress, Step

if TYPE_CHECKING:
    from imapd.account_session import AccountSession


#: Messages copied before others get their turn.
_SLICE = 20


def copy(
    session: AccountSession,
    uids: Sequence[int],
    to: Mailbox,
    target: Folder,
    *,
    move: bool,
    sends: bool = True,
    whole: bool = False,
    view: View | None = None,
) -> Generator[Step, Any, dict[int, int]]:
    """Copy messages of the selected mailbox, or of another; give the UIDs there by those here, of those that were left.

    Args:
        target: the folder of ``to``, on which the right to insert is held.
        move: they will be removed here: they need room only where that is another account's.
        sends: what is copied to the outbox is sent.
        whole: nothing is copied if one of them is gone.
        view: of another mailbox than the selected one.

    Raises:
        OverQuota, NotSent, OSError: nothing has been copied; MessageGone: because of ``whole``.
    """
    view = view or session.selected
    source, payer = session.charged(view.folder), session.charged(target)
    with ExitStack() as files:  # whatever does not land is removed
        prepared: dict[int, Prepared] = {}
        for at in range(0, len(uids), _SLICE):
            batch = uids[at : at + _SLICE]
            prepared |= yield Work(partial(prepare, view, batch, target, files, to.rights))
            if whole and len(prepared) < at + len(batch):
                raise MessageGone
            yield Progress(at + len(batch), len(uids))
        freed = NOTHING
        if move and source.shares_quota(payer):
            freed = source.weigh(source.counted(prepared))
        landing = list(prepared.values())
        contents = [partial(outbox.of_folder, view.folder, uid) for uid in prepared]
        send = outbox.sending(session, to, contents) if sends else None
        given = yield Work(partial(payer.deliver, landing, freed=freed, before=send))
    session.copied |= {(view.folder.uidvalidity, uid) for uid in prepared}
    return dict(zip(prepared, given, strict=True))


def remove(session: AccountSession, uids: Sequence[int]) -> Steps:
    """Remove what was moved: the copies are on disk, so a crash here leaves two, never none.

    Raises:
        OSError: a message could not be removed, and is in both.
    """
    source = session.charged(session.selected.folder)
    yield Work(partial(source.remove, uids, only_deleted=False))


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
