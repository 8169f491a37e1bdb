"""Messages that a client sends: what stands before each, and its content on its way to ``tmp/``.

``append-message`` of APPEND and REPLACE: RFC 9051 6.3.12, RFC 3501 6.3.11, RFC 3502 (several in one
command), RFC 3516 4.4 (literal8), RFC 4469 (CATENATE), RFC 6855 4 (UTF8).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir.delivery import TemporaryFile
from courier.maildir.folder import Folder, Prepared
from courier.maildir.linked_folder import landing_directory
from courier.maildir.quota import NOTHING, OverQuota, Usage
from courier.message import lines
from courier.message.storable import storable
from courier.process.request import Work
from imapd import acl_letters as rights
from imapd import mailbox, outbox
from imapd.catenate import Sources
from imapd.commands import store
from imapd.completion import CommandFailed, No, Violation
from imapd.mailboxes import Mailbox
from imapd.outbox import NotSent
from imapd.request import Ask, Step
from imapd.wire.parser import ParseError, Parser

if TYPE_CHECKING:
    from imapd.session import Session

_NO_ROOM = "Cannot create message - no write permission or out of disk space."
UNICODE_ALERT = (
    b"* OK [ALERT] Your IMAP client does not appear to correctly implement Unicode messages, "
    b"see https://datatracker.ietf.org/doc/html/rfc6855\r\n"
)
#: Octets of a message at most: RFC822.SIZE can't say more (RFC 3501 9, number).
MAX_MESSAGE = 0xFFFFFFFF
#: Octets of one that is sent as binary: it is looked at as a whole.
MAX_BINARY = 256 << 20
#: Octets of a message that are looked at for 8-bit text in its header.
_HEADER_LOOK = 65_536
_END_OF_HEADER = re.compile(rb"\n\r?\n")
_TOO_BIG = No("Message is too large.", "TOOBIG")
#: RFC 3502: it cancels the whole command. Courier stores an empty line.
_EMPTY = No("Message is empty, nothing is appended.")


class Form(enum.Enum):
    LITERAL = enum.auto()
    BINARY = enum.auto()  # ~{n}
    UTF8 = enum.auto()  # UTF8 (~{n}…)
    CATENATE = enum.auto()  # CATENATE (URL … TEXT {n}… …)


_PLAIN = (Form.LITERAL, Form.BINARY)


@dataclass(frozen=True, slots=True)
class Options:
    """What stands before a message's content."""

    flags: int
    keywords: tuple[str, ...]
    mtime: int | None
    form: Form


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that is whole, and what it is to bear."""

    file: TemporaryFile
    flags: int
    keywords: tuple[str, ...]
    has_undeclared_unicode: bool  # in its header, and was not sent as UTF8


def streams(arguments: Parser) -> bool:
    """Tell whether the literal announced at the end is the message, not the mailbox's name.

    Whatever else is wrong, the handler says so before the client has sent anything.
    """
    try:
        arguments.sp()
    except ParseError:
        return True
    return not arguments.at_announced_literal()


def limit(session: Session) -> int:
    """Give the octets that a message may have."""
    return min(session.settings.max_append or MAX_MESSAGE, MAX_MESSAGE)


def options(session: Session, arguments: Parser) -> Options:
    """Read ``[flag-list SP] [date-time SP]``, and the word before the content if there is one."""
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
    form = Form.LITERAL
    word = arguments.peek_word()
    if word in ("UTF8", "CATENATE"):
        arguments.word()
        arguments.sp()
        arguments.byte(b"(")
        form = Form[word]
    elif arguments.at(b"~"):
        form = Form.BINARY
    if form is not Form.CATENATE:
        _check_literal(session, arguments, is_utf8=form is Form.UTF8)
    return Options(flags, keywords, mtime, form)


def opened(session: Session, target: Mailbox) -> Folder:
    """Give the folder that messages are to come to."""
    try:
        return mailbox.opened(session, target)
    except OSError as error:
        log.error("cannot create message", target.directory, error)
        raise CommandFailed(session.not_stored(_NO_ROOM, error)) from error


def received(
    session: Session,
    before: Options,
    arguments: Parser,
    target: Mailbox,
    folder: Folder,
    files: ExitStack,
) -> Generator[Step, Any, tuple[Incoming, Parser]]:
    """Receive a message's content, and give the message with what follows it in the command.

    Its file is in ``tmp/``, complete and on the disk; what does not land is removed when ``files``
    is closed.

    Raises:
        CommandFailed: the command ends here, whatever follows.
    """
    try:
        content = _Content(folder, files, sync=session.settings.fsync)
        content.is_raw = before.form is Form.BINARY
        content.is_in_lines = before.form in (Form.LITERAL, Form.UTF8)
        if before.form is Form.CATENATE:
            rest = yield from _parts(session, arguments, content)
        else:
            if session.connection.announced and not session.connection.announced.size:
                raise CommandFailed(_EMPTY)
            rest = yield from _literal(session, content, is_utf8=before.form is Form.UTF8)
    except OSError as error:
        log.error("cannot write message", folder.path, error)
        raise CommandFailed(session.not_stored(_NO_ROOM, error)) from error
    if not content.size:
        raise CommandFailed(_EMPTY)
    try:
        file: TemporaryFile = yield Work(partial(content.complete, before.mtime))
    except OSError as error:
        log.error("cannot store message", folder.path, error)
        raise CommandFailed(session.not_stored(_NO_ROOM, error)) from error
    settable = rights.settable(target.rights, before.flags, before.keywords)
    is_undeclared = before.form in _PLAIN and content.has_unicode_header()
    return Incoming(file, *settable, is_undeclared), rest


def check_room(
    session: Session, folder: Folder, messages: Sequence[Incoming]
) -> Generator[Step, Any, None]:
    """See that there is room for what has come, before the client sends more of the same command.

    Raises:
        CommandFailed: `land` would refuse it, too.
    """
    try:
        yield Work(partial(session.charged(folder).check, _prepared(messages)))
    except OverQuota:
        raise CommandFailed(session.over_quota()) from None


def _prepared(messages: Sequence[Incoming]) -> list[Prepared]:
    return [Prepared(one.file, one.flags, one.keywords) for one in messages]


def land(
    session: Session,
    target: Mailbox,
    folder: Folder,
    messages: Sequence[Incoming],
    *,
    freed: Usage = NOTHING,
) -> Generator[Step, Any, list[int]]:
    """Bring messages into their mailbox, all or none (RFC 3502), and give their UIDs.

    A crash leaves those that have landed by then: see `Folder.deliver`.

    Raises:
        CommandFailed: there are none.
    """
    contents = [partial(outbox.of_file, one.file.path) for one in messages]
    send = outbox.sending(session, target, contents)
    payer = session.charged(folder)
    try:
        uids: list[int] = yield Work(
            partial(payer.deliver, _prepared(messages), freed=freed, before=send)
        )
    except OverQuota:
        raise CommandFailed(session.over_quota()) from None
    except NotSent:
        raise CommandFailed(No("Unable to send E-mail message.", "ALERT")) from None
    except OSError as error:
        log.error("cannot store message", folder.path, error)
        raise CommandFailed(session.not_stored(_NO_ROOM, error)) from error
    session.changes.added(target, uids)
    if session.is_selected(target):
        session.changes.look_again()
    return uids


def _check_literal(session: Session, arguments: Parser, *, is_utf8: bool) -> None:
    """See to it that a message, or a part of one, is announced."""
    if not arguments.at_announced_literal() or (is_utf8 and not arguments.at(b"~")):
        raise arguments.fail("literal")
    if is_utf8 and not session.utf8:
        raise Violation


def _literal(session: Session, content: _Content, *, is_utf8: bool) -> Generator[Step, Any, Parser]:
    """Take the announced literal, unless it is too large, and give what follows it."""
    assert session.connection.announced is not None
    most = min(limit(session), MAX_BINARY) if content.is_raw else limit(session)
    content.add(session.connection.announced.size, most)
    while chunk := (yield Ask.CHUNK):
        content.write(chunk)
    rest = Parser((yield Ask.REST))
    if is_utf8:
        rest.byte(b")")
    return rest


def _parts(session: Session, arguments: Parser, content: _Content) -> Generator[Step, Any, Parser]:
    """Take ``cat-part *(SP cat-part) ")"`` (RFC 4469 5), and give what follows."""
    sources = Sources(session)
    while True:
        word = arguments.word()
        arguments.sp()
        if word == "URL":
            if arguments.at_announced_literal():
                arguments = arguments.resumed((yield Ask.ARGUMENT))
            size, chunks = yield from sources.content(arguments.astring())
            content.add(size, limit(session))
            for chunk in chunks:
                content.write(chunk)
                yield b""
        else:
            is_utf8 = word == "UTF8"  # RFC 6855 4
            if is_utf8:
                arguments.byte(b"(")
            elif word != "TEXT" or arguments.at(b"~"):
                raise arguments.fail("cat-part")
            _check_literal(session, arguments, is_utf8=is_utf8)
            arguments = yield from _literal(session, content, is_utf8=is_utf8)
        if arguments.at(b")"):
            arguments.byte(b")")
            return arguments
        arguments.sp()


class _Content:
    """A message's file, written as octets come."""

    def __init__(self, folder: Folder, files: ExitStack, *, sync: bool) -> None:
        self._folder, self._files, self._sync = folder, files, sync
        self.is_raw = False
        """Stored as it comes, to be looked at when it is complete."""
        self.is_in_lines = False
        """Courier: CRs are not stored, lone ones neither, and the last line has an end."""
        self.size = 0
        """Octets on the wire."""
        self._file = self._new_file()
        self._start = bytearray()
        self._held = b""  # CRs that may belong to a line end
        self._last = b""

    def _new_file(self) -> TemporaryFile:
        file = TemporaryFile(landing_directory(self._folder), sync=self._sync)
        return self._files.enter_context(file)

    def add(self, size: int, limit: int) -> None:
        """Make ready for more octets.

        Raises:
            CommandFailed: the message would have more of them than it may.
        """
        self.size += size
        if self.size > limit:
            raise CommandFailed(_TOO_BIG)

    def write(self, chunk: bytes) -> None:
        if len(self._start) < _HEADER_LOOK:
            self._start += chunk
        if self.is_raw:
            self._file.write(chunk)
            return
        if self.is_in_lines:
            stored = chunk.replace(b"\r", b"")
            self._last = stored or self._last
            self._file.write(stored)
            return
        # RFC 4469 3: a message is what its parts are.
        data = self._held + chunk
        self._held = data[len(data.rstrip(b"\r")) :][-2:] if data.endswith(b"\r") else b""
        self._file.write(lines.stored(data[: len(data) - len(self._held)]))

    def complete(self, mtime: int | None) -> TemporaryFile:
        """Have the message on the disk; called in a thread."""
        if self.is_raw:
            self._make_storable()
        is_unended = self.is_in_lines and not self._last.endswith(b"\n")
        self._file.write(b"\n" if is_unended else self._held)
        self._file.close(mtime)
        return self._file

    def _make_storable(self) -> None:
        """Write another file: see `storable`. The memory needed is the message's size."""
        sent, self._file = self._file, self._new_file()
        with open(sent.path, "rb") as file:
            data = file.read()
        sent.discard()
        for chunk in storable(data):
            self._file.write(chunk)

    def has_unicode_header(self) -> bool:
        end = _END_OF_HEADER.search(self._start)
        return not self._start[: end.start() if end else len(self._start)].isascii()
