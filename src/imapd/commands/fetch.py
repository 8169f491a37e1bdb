"""FETCH and UID FETCH. RFC 9051 6.4.5, RFC 3501 6.4.5 and 7.4.2, RFC 7162 3.1.4 and 3.2.6, RFC 3516,
RFC 9394, RFC 9738."""

from __future__ import annotations

import enum
import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir.filename import Flag
from courier.maildir.folder import MessageGone
from courier.maildir.items import Damaged, Table
from courier.maildir.numberset import NumberSet
from courier.message.message import Message
from courier.message.parted import PartedMessage
from courier.process.request import Unfinished, Work
from imapd import batch, binary, known, large, mailbox, message_items, modseqs, updates
from imapd.commands.store import mark_seen
from imapd.completion import Completion, Farewell, No, Ok
from imapd.message_items import NO_MESSAGE, OF_SECTIONS
from imapd.request import Handling, Step
from imapd.wire.fetch_att import FetchItem, fetch_items
from imapd.wire.parser import Parser, PartialRange

if TYPE_CHECKING:
    from imapd.session import Session

#: Octets of a response that are collected before they are sent on.
_PIECE = 262_144
_UNICODE_ALERT = (
    "* OK [ALERT] Message {} appears to be a Unicode message and your E-mail reader did not enable "
    "Unicode support. Please use an E-mail reader that supports IMAP with UTF-8 "
    "(see https://datatracker.ietf.org/doc/html/rfc6855)\r\n"
)
#: Items that need no more than what the file system says.
_OF_FILES = frozenset(("UID", "FLAGS", "INTERNALDATE", "SAVEDATE", "PREVIEW LAZY"))
#: Items that say something else once a message is seen.
_OF_FLAGS = frozenset(("FLAGS", "MODSEQ"))
_CHANGED = "[ALERT] A message file was changed while it was sent."
_UNKNOWN_CTE = No("Unknown Content-Transfer-Encoding.", "UNKNOWN-CTE")


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a FETCH asks for, decided once for all its messages."""

    items: tuple[FetchItem, ...]
    first: tuple[FetchItem, ...]  # those of them that do not change when the message is seen
    needs_date: bool
    sets_seen: bool
    needs_message: bool
    is_sections: bool  # nothing of the message but sections of it
    decoded: tuple[FetchItem, ...]  # of which an encoding has to be known


def fetch(session: Session, arguments: Parser) -> Handling:
    return _fetch(session, arguments, by_uid=False)


def uid_fetch(session: Session, arguments: Parser) -> Handling:
    return _fetch(session, arguments, by_uid=True)


def _fetch(session: Session, arguments: Parser, *, by_uid: bool) -> Handling:
    arguments.sp()
    which = arguments.sequence_set()
    arguments.sp()
    items = fetch_items(arguments)
    modifiers = _modifiers(session, arguments, by_uid=by_uid)
    arguments.end()

    if not modifiers.vanished:  # which is told before any FETCH response (RFC 7162 3.2.6)
        yield from session.changes.tell_known()
    view = session.selected
    if modifiers.partial is not None:
        session.message_limit.check_page(modifiers.partial)
    since = modifiers.since
    if since is not None and all(item.name != "MODSEQ" for item in items):
        items.append(FetchItem("MODSEQ"))
    if any(item.name == "MODSEQ" for item in items):
        yield session.changes.need_modseqs()
    may_see = not view.read_only and "s" in session.rights
    form = session.changes.form
    plan = _plan(items, with_uid=by_uid and not form.uid_only, may_see=may_see)
    wanted = mailbox.messages(view, which, by_uid=by_uid)
    if modifiers.partial is not None:
        wanted = wanted.places(*modifiers.partial.places(len(wanted)))
    if since is not None:
        if modifiers.vanished:
            among = modseqs.uids(view, which)
            yield from modseqs.earlier((yield Work(partial(modseqs.vanished, view, among, since))))
        wanted = yield Work(partial(modseqs.changed, view, wanted, since))
    wanted = session.message_limit.newest(view, wanted)
    planned = None
    if not plan.sets_seen:
        planned = batch.batch(
            plan.items,
            utf8=session.utf8,
            uid_only=form.uid_only,
            backwards=session.message_limit.is_exceeded,
        )
    if planned is None:
        missed = yield from _from_files(session, plan, session.message_limit.in_order(wanted))
    else:
        missed = yield from _from_known(session, plan, planned, wanted)
    if missed & _Missed.UNDECODABLE:
        return _UNKNOWN_CTE
    done: Completion = Ok("FETCH completed.", "EXPUNGEISSUED" if missed & _Missed.GONE else "")
    return done


def unasked(
    session: Session, items: Sequence[FetchItem], wanted: NumberSet
) -> Generator[Step, Any, None]:
    """Tell of messages what NOTIFY or UPDATE has asked for in advance, without setting ``\\Seen``."""
    form = session.changes.form
    if not session.selected.folder.keeps_modseqs:
        items = [item for item in items if item.name != "MODSEQ"]
    elif form.modseqs and all(item.name != "MODSEQ" for item in items):
        items = [*items, FetchItem("MODSEQ")]
    with_uid = (form.modseqs or form.rev2) and not form.uid_only
    plan = _plan(items, with_uid=with_uid, may_see=False)
    if not plan.items:
        return
    planned = batch.batch(plan.items, utf8=session.utf8, uid_only=form.uid_only)
    if planned is None:
        yield from _from_files(session, plan, mailbox.sequence_numbers(wanted))
    else:
        yield from _from_known(session, plan, planned, wanted)


class _Missed(enum.Flag):
    """What could not be told of some message."""

    NOTHING = 0
    GONE = enum.auto()
    UNDECODABLE = enum.auto()


@dataclass(frozen=True, slots=True)
class _Modifiers:
    """fetch-modifiers (RFC 4466 2.4)."""

    since: int | None = None  # CHANGEDSINCE: a MODSEQ
    vanished: bool = False  # tell of removed messages, too
    partial: PartialRange | None = None  # RFC 9394 3.3


def _modifiers(session: Session, arguments: Parser, *, by_uid: bool) -> _Modifiers:
    """Read ``[SP "(" fetch-modifier *(SP fetch-modifier) ")"]``.

    Raises:
        ParseError: not one of ours, or where it must not be (RFC 7162 3.2.6, RFC 9394 3.3).
    """
    if arguments.at_end():
        return _Modifiers()
    arguments.sp()
    found: dict[str, Any] = {}

    def modifier() -> None:
        word = arguments.word()
        if word in found:
            raise arguments.fail("fetch-modifier")
        found[word] = True
        if word == "CHANGEDSINCE":
            arguments.sp()
            found[word] = arguments.mod_sequence()
        elif word == "PARTIAL" and by_uid:
            arguments.sp()
            found[word] = arguments.partial_range()
        elif not (word == "VANISHED" and by_uid and session.changes.enabled.vanished):
            raise arguments.fail("fetch-modifier")

    arguments.parenthesised(modifier)
    if "VANISHED" in found and "CHANGEDSINCE" not in found:
        raise arguments.fail("fetch-modifier")
    return _Modifiers(found.get("CHANGEDSINCE"), "VANISHED" in found, found.get("PARTIAL"))


def _from_known(
    session: Session, plan: _Plan, planned: batch.Batch, wanted: NumberSet
) -> Generator[Step, Any, _Missed]:
    """Answer from columns and what is known."""
    view = session.selected
    table: Table | None = None
    # A date alone is not worth reading a message.
    unread = wanted if plan.needs_message else NumberSet()
    if planned.needs_table:
        ready = known.enriched if planned.needs_more else known.ready
        table = yield from ready(view, unread)
    missed = _Missed.NOTHING
    is_renewed = False
    for start, stop in planned.slices(table, wanted):
        while start < stop:
            try:
                end = planned.end_of_run(table, start, stop)
                if end > start:
                    text, headers = planned.write(batch.Rows(view, table, start, end))
            except Damaged:
                assert table is not None
                known.renew(view, table)
                end = start
                if not is_renewed:
                    is_renewed = True
                    table = yield from ready(view, unread)
                    continue
            if end > start:
                session.counts.headers += headers
                yield text
                start = end
            else:
                end = planned.end_of_gap(table, start, stop)
                missed |= yield from _from_files(session, plan, range(start + 1, end + 1))
                start = end
    return missed


def _from_files(
    session: Session, plan: _Plan, seqs: Iterable[int]
) -> Generator[Step, Any, _Missed]:
    """Answer with the help of message files."""
    view = session.selected
    missed = _Missed.NOTHING
    for seq in seqs:
        try:
            message, found = _open(session, view.uids[seq - 1], plan)
        except MessageGone:
            missed |= _Missed.GONE
            continue
        except OSError as error:
            path = os.fsdecode(error.filename or "")
            log.fetch_failed(error.strerror or "error", os.getuid(), path, plan.items[0].name)
            yield f"* NO [ALERT] Cannot open message {_name(session, seq)}\r\n".encode()
            continue
        if not all(binary.is_decodable(message, item) for item in plan.decoded):
            missed |= _Missed.UNDECODABLE
            continue
        yield from _pieces(session, plan, seq, message, found)
    return missed


def _plan(items: Sequence[FetchItem], *, with_uid: bool, may_see: bool) -> _Plan:
    if with_uid and all(item.name != "UID" for item in items):
        items = [FetchItem("UID"), *items]
    sets_seen = may_see and any(_sets_seen(item) for item in items)
    return _Plan(
        items=tuple(items),
        first=tuple(item for item in items if item.name not in _OF_FLAGS),
        needs_date=any(item.name == "INTERNALDATE" for item in items),
        sets_seen=sets_seen,
        needs_message=any(item.name not in _OF_FILES for item in items),
        is_sections=all(item.name in OF_SECTIONS for item in items),
        decoded=tuple(item for item in items if item.name in binary.ITEMS),
    )


def _sets_seen(item: FetchItem) -> bool:
    if item.name in ("BODY[]", "BINARY[]"):
        return not item.peek
    return item.name in ("RFC822", "RFC822.TEXT")


def _open(
    session: Session, uid: int, plan: _Plan
) -> tuple[Message | PartedMessage, os.stat_result]:
    """Read a message, unless it is the one read last: clients fetch big ones in pieces."""
    folder = session.selected.folder
    if not plan.needs_message:
        return NO_MESSAGE, folder.stat(uid)
    kept = session.opened
    if (
        kept is not None
        and kept.uid == uid
        and kept.uidvalidity == folder.uidvalidity
        and (plan.is_sections or isinstance(kept.message, Message))
    ):
        return kept.message, folder.stat(uid) if plan.needs_date else kept.found
    if plan.is_sections and (opened := large.opened(session.selected, uid)) is not None:
        session.keep(uid, *opened)
        return opened
    data, found = folder.read(uid)
    message = Message(data)
    session.keep(uid, message, found)
    return message, found


def _pieces(
    session: Session,
    plan: _Plan,
    seq: int,
    message: Message | PartedMessage,
    found: os.stat_result,
) -> Generator[Step, Any, None]:
    """Write one response; a large one in pieces, for a client may ask for a message 100 times.

    The message is seen once all of it has been written; flags that change by that are told at the end.

    Raises:
        OSError: the message can't be read, and nothing has been written, or not be marked as seen.
        Farewell: something has been written, and it can be ended in no other way.
    """
    view = session.selected
    is_unseen = plan.sets_seen and not view.flags[seq - 1] & Flag.SEEN
    written = [updates.fetch(view, seq, session.changes.form)]
    size = 0
    is_begun = False
    try:
        for index, item in enumerate(plan.first if is_unseen else plan.items):
            if index:
                written.append(b" ")
            for piece in (yield from message_items.written(session, item, seq, message, found)):
                written.append(piece)
                size += len(piece)
                if size > _PIECE:
                    is_begun = True
                    yield Unfinished(b"".join(written))
                    written, size = [], 0
    except OSError as error:
        if not is_begun:
            raise
        log.error("cannot read message", session.selected.folder.path, error)
        raise Farewell(_CHANGED) from error
    if not is_unseen:
        yield b"".join(written) + b")\r\n"
        return
    is_news, failure = False, None
    try:
        is_news = bool((yield Work(partial(mark_seen, view, [view.uids[seq - 1]]))))
    except OSError as error:
        failure = error  # the response has to be ended first
    yield b"".join(written) + _flags(session, plan, seq, is_news=is_news) + b")\r\n"
    if failure:
        raise failure
    if is_news and not session.utf8 and not message.octets(0, message.body_start).isascii():
        yield _UNICODE_ALERT.format(_name(session, seq)).encode()


def _flags(session: Session, plan: _Plan, seq: int, *, is_news: bool) -> bytes:
    """Write the end of a response to what sets ``\\Seen``: flags, if they changed or are asked for."""
    view, form = session.selected, session.changes.form
    asked = {item.name for item in plan.items}
    told = b""
    if is_news and form.tells_uid and "UID" not in asked:
        told += b" UID %d" % view.uids[seq - 1]
    if is_news or "FLAGS" in asked:
        told += b" FLAGS " + updates.flag_list(view, seq)
    if (is_news and form.modseqs) or "MODSEQ" in asked:
        told += b" MODSEQ (%d)" % view.modseq(seq)
    return told


def _name(session: Session, seq: int) -> int:
    """Give the number by which the client knows a message."""
    return session.selected.uids[seq - 1] if session.changes.form.uid_only else seq
