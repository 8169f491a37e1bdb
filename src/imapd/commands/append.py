"""APPEND: add a message. RFC 9051 6.3.12, RFC 3501 6.3.11, RFC 4315 3 (APPENDUID), RFC 6855 4."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.maildir.delivery import TemporaryFile
from courier.maildir.folder import Prepared
from courier.maildir.linked_folder import landing_directory
from courier.maildir.quota import OverQuota
from courier.process.request import Work
from imapd import acl_letters as rights
from imapd import mailbox, outbox
from imapd.commands import store
from imapd.completion import No, Ok, Violation
from imapd.outbox import NotSent
from imapd.request import Ask, Handling
from imapd.wire.parser import ParseError, Parser
from imapd.wire.reader import Line

if TYPE_CHECKING:
    from imapd.session import Session

_NO_ROOM = "Cannot create message - no write permission or out of disk space."
_READ_ONLY = "Current box is selected READ-ONLY."
_UNICODE_ALERT = (
    b"* OK [ALERT] Your IMAP client does not appear to correctly implement Unicode messages, "
    b"see https://datatracker.ietf.org/doc/html/rfc6855\r\n"
)
#: Octets of a message that are looked at for 8-bit text in its header.
_HEADER_LOOK = 65_536
_END_OF_HEADER = re.compile(rb"\n\r?\n")


@dataclass(frozen=True, slots=True)
class _Message:
    """What stands before the literal."""

    flags: int
    keywords: tuple[str, ...]
    mtime: int | None
    utf8: bool  # UTF8 (~{n}…)


def streams(arguments: Parser) -> bool:
    """Tell whether the literal announced at the end is the message, not the mailbox's name.

    Whatever else is wrong, the handler says so before the client has sent anything.
    """
    try:
        arguments.sp()
    except ParseError:
        return True
    return not arguments.at_announced_literal()


def append(session: Session, arguments: Parser) -> Handling:
    name = mailbox.argument(session, arguments)
    arguments.sp()
    message = _message(arguments)
    if message.utf8 and not session.utf8:
        raise Violation

    target = mailbox.destination(session, name, "APPEND", "Must create mailbox before append")
    if session.is_selected(target):
        session.changes.recheck_rights()
        if session.selected.read_only:
            return No(_READ_ONLY)
    announced = session.connection.announced
    limit = session.settings.max_append
    if announced is not None and limit and announced.size > limit:
        return No("Message is too large.", "TOOBIG")
    try:
        opened = mailbox.opened(session, target)
        file = TemporaryFile(landing_directory(opened), sync=session.settings.fsync)
    except OSError as error:
        log.error("cannot create message", target.directory, error)
        return No(_NO_ROOM)

    with file:
        try:
            start = yield from _receive(file)
        except OSError as error:
            log.error("cannot write message", opened.path, error)
            return No(_NO_ROOM)
        rest = yield Ask.REST
        closing = b")" if message.utf8 else b""
        if not isinstance(rest, Line) or rest.text.strip() != closing:
            raise Violation
        try:
            yield Work(partial(file.close, message.mtime))
            prepared = Prepared(
                file, *rights.settable(target.rights, message.flags, message.keywords)
            )
            send = outbox.sending(session, target, [partial(outbox.of_file, file.path)])
            uids = yield Work(partial(session.charged(opened).deliver, [prepared], before=send))
        except OverQuota:
            return session.over_quota()
        except NotSent:
            return No("Unable to send E-mail message.", "ALERT")
        except OSError as error:
            log.error("cannot store message", opened.path, error)
            return No(_NO_ROOM, "ALERT")
    if session.is_selected(target):
        session.changes.look_again()
    if _has_unicode_header(start) and not message.utf8:
        yield _UNICODE_ALERT
    return Ok("APPEND Ok.", f"APPENDUID {opened.uidvalidity} {uids[0]}")


def _message(arguments: Parser) -> _Message:
    flags, keywords = store.flags(())
    if arguments.at(b"("):
        flags, keywords = store.flags(arguments.flag_list())
        arguments.sp()
    elif arguments.peek_word() == "NIL":  # Courier: in place of an absent list or date
        arguments.word()
        arguments.sp()
    mtime = None
    if arguments.at(b'"'):
        mtime = arguments.date_time()
        arguments.sp()
    elif arguments.peek_word() == "NIL":
        arguments.word()
        arguments.sp()
    utf8 = False
    if arguments.peek_word() == "UTF8":
        arguments.word()
        arguments.sp()
        arguments.byte(b"(")
        utf8 = True
    if not arguments.at_announced_literal() or arguments.at(b"~") != utf8:
        raise arguments.fail("literal")
    return _Message(flags, keywords, mtime, utf8)


def _receive(file: TemporaryFile) -> Generator[Ask, bytes, bytes]:
    """Write the literal to the file as it comes, and give its beginning."""
    start = bytearray()
    last = b""
    while True:
        chunk = yield Ask.CHUNK
        if not chunk:
            break
        if len(start) < _HEADER_LOOK:
            start += chunk
        # Courier: CRs are not stored, lone ones neither.
        stored = chunk.replace(b"\r", b"")
        last = stored or last
        file.write(stored)
    if not last.endswith(b"\n"):
        file.write(b"\n")
    return bytes(start)


def _has_unicode_header(start: bytes) -> bool:
    end = _END_OF_HEADER.search(start)
    return not start[: end.start() if end else len(start)].isascii()
