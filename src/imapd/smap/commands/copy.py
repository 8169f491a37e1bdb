"""COPY and MOVE: bring messages into another folder."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir import filename
from courier.maildir.folder import Folder
from imapd import mailbox, transfer
from imapd.mailbox import sequence_numbers
from imapd.mailboxes import Mailbox
from imapd.smap import paths
from imapd.smap.refusal import AccessDenied, SyntaxRefused, failed, missing
from imapd.smap.words import InvalidSet, Words, quoted, within

if TYPE_CHECKING:
    from imapd.smap.session import Session

_FAILED = "Cannot copy messages"


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
    try:
        target = mailbox.opened(session, to)
        yield from session.refresh()  # the copies bear the flags that the messages have now
        uids = [view.uids[seq - 1] for seq in wanted]
        # To SMAP the outbox is a folder as any other: it has a way of its own to send.
        copied = yield from transfer.copy(session, uids, to, target, move=move, sends=False)
    except OSError as error:
        log.error("cannot copy messages", to.directory, error)
        raise failed(_FAILED, error) from error
    yield b"".join(_told(session, target, copied))
    if move:
        yield from transfer.remove(session, list(copied))
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
            raise missing()
    except OSError as error:
        raise failed(_FAILED, error) from error
    paths.require(found, "i")
    if not found.exists:
        raise failed(_FAILED, missing())
    return found


def _told(session: Session, target: Folder, copied: Mapping[int, int]) -> Iterator[bytes]:
    columns = target.columns
    for uid, new in copied.items():
        row = columns.row(new)
        name = b"" if row is None else filename.base(columns.names[row])
        told = quoted("NEWUID=" + name.decode("utf-8", "surrogateescape"))
        yield b"* COPY %d %b\n" % (session.selected.seq(uid) or 0, told)
