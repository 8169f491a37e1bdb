"""COPY and MOVE: bring messages into another folder."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir import filename
from courier.maildir.folder import Folder, Prepared
from courier.maildir.quota import NOTHING
from courier.process.request import Work
from imapd import mailbox, transfer
from imapd.mailbox import sequence_numbers
from imapd.mailboxes import Mailbox
from imapd.smap import paths
from imapd.smap.refusal import MISSING, AccessDenied, SyntaxRefused, failed
from imapd.smap.words import InvalidSet, Words, quoted, within

if TYPE_CHECKING:
    from imapd.smap.session import Session

_FAILED = "Cannot copy messages"
#: Messages copied before others get their turn.
_SLICE = 20


def copy(session: Session, words: Words) -> Generator[Any, Any, str]:
    return (yield from _copy(session, words, move=False))


def move(session: Session, words: Words) -> Generator[Any, Any, str]:
    return (yield from _copy(session, words, move=True))


def _copy(session: Session, words: Words, *, move: bool) -> Generator[Any, Any, str]:
    view = session.selected
    wanted = _numbers(session, words)
    to = _target(session, words)
    if move:  # Courier asks for no right here
        for right in "te":
            if right not in session.rights:
                raise AccessDenied(right)
    uids = [view.uids[seq - 1] for seq in wanted]
    try:
        target = mailbox.opened(session, to)
        yield from session.refresh()  # the copies bear the flags that the messages have now
        with ExitStack() as files:  # whatever does not land is removed
            prepared: dict[int, Prepared] = {}
            for at in range(0, len(uids), _SLICE):
                some = uids[at : at + _SLICE]
                prepared |= yield Work(
                    partial(transfer.prepare, view, some, target, files, to.rights)
                )
            source, payer = session.charged(view.folder), session.charged(target)
            freed = NOTHING
            if move and source.shares_quota(payer):
                freed = source.weigh(source.counted(prepared))
            given = yield Work(partial(payer.deliver, list(prepared.values()), freed=freed))
    except OSError as error:
        log.error("cannot copy messages", to.directory, error)
        raise failed(_FAILED, error) from error
    session.copied |= {(view.folder.uidvalidity, uid) for uid in prepared}
    yield b"".join(_told(session, target, list(prepared), given))
    if move:
        # The copies are on disk, so a crash here leaves two, never none.
        yield Work(partial(source.remove, list(prepared), only_deleted=False))
        yield from session.report()
    return "Messages copied."


def _numbers(session: Session, words: Words) -> list[int]:
    """Take the numbers, and the empty word behind them."""
    try:
        which = words.message_set()
    except InvalidSet as error:
        raise SyntaxRefused from error
    if not which or words.take():
        raise SyntaxRefused
    return list(sequence_numbers(within(which, len(session.selected.uids))))


def _target(session: Session, words: Words) -> Mailbox:
    try:
        found = paths.find(session, words.list())
        if found.is_level:
            raise MISSING
    except OSError as error:
        raise failed(_FAILED, error) from error
    paths.require(found, "i")
    if not found.exists:
        raise failed(_FAILED, MISSING)
    return found


def _told(
    session: Session, target: Folder, uids: Sequence[int], given: Sequence[int]
) -> Iterator[bytes]:
    columns = target.columns
    for uid, new in zip(uids, given, strict=True):
        row = columns.row(new)
        name = b"" if row is None else filename.base(columns.names[row])
        told = quoted("NEWUID=" + name.decode("utf-8", "surrogateescape"))
        yield b"* COPY %d %b\n" % (session.selected.seq(uid) or 0, told)
