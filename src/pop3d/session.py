"""The session: from log-in to QUIT (RFC 1939 5, 6). One generator, like imapd's.

STANDARDS: RFC 1939, RFC 2449 (CAPA), RFC 6856 (UTF8, LANG).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from courier import log
from courier.log import End, Peer
from courier.maildir.folder import FolderGone
from courier.process.request import (
    ClientGone,
    Receive,
    Request,
    ShuttingDown,
    Steps,
    Unfinished,
    Wake,
    Work,
)
from pop3d import capability, transmission, unicode, wire
from pop3d.listing import Lines
from pop3d.maildrop import Maildrop
from pop3d.settings import Settings
from pop3d.wire import Line, Reader, number

#: Octets that are read of a message at once.
_PIECE = 256 << 10
#: Lines of a listing that are put together before others get their turn.
_SLICE = 5000
#: Messages that were fetched are marked as seen together, when so many are waiting or the client is
#: silent for so long: noting changes of a large folder costs the same for one and for many.
_SEEN_AT_ONCE = 500
_SEEN_AFTER_S = 0.2

INVALID = b"-ERR Invalid command.\r\n"
_NO_SUCH_MESSAGE = b"-ERR Invalid message number.\r\n"
_GONE = b"-ERR Can't open the message file - it's gone!\r\n"
_NOT_ALL_REMOVED = b"-ERR some deleted messages not removed\r\n"

Reply = Generator[Request, Any, None]


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end."""

    user: str
    peer: Peer
    tls: bool = False
    utf8: bool = True  # it said UTF8, or nobody asked: a session from a shell


class _MessageFailed(Exception):
    """A message's file can't be read on, amid the response."""


class _EndOfInput(Exception):
    """The client closed its side."""


class Session:
    """One client's session on one maildrop."""

    def __init__(self, settings: Settings, maildrop: Maildrop, client: Client) -> None:
        self._settings = settings
        self._maildrop = maildrop
        self._client = client
        self._utf8 = client.utf8
        self._reader = Reader()
        self._deleted: set[int] = set()  # indices, as all numbers here but those on the wire
        self._seen: list[int] = []  # to be marked
        self._began = time.monotonic()
        self._received = self._sent = self._top = self._retr = 0
        self._is_over = False

    # -- life ------------------------------------------------------------------------------

    def run(self, unread: bytes = b"") -> Steps:
        """Serve the client from the OK of its log-in to the end.

        Args:
            unread: what was received with the log-in and belongs to the session.
        """
        end: End | None = End.DISCONNECTED
        try:
            try:
                yield from self._maildrop.open()
                yield self._out(b"+OK logged in.\r\n")
                self._reader.feed(unread)
                while not self._is_over:
                    yield from self._command()
                end = End.LOGOUT
                yield from self._settle()
            except TimeoutError:
                end = End.TIMEOUT
            except ShuttingDown:
                end = End.SIGNAL
            except _MessageFailed:
                end = None
        except (ClientGone, ShuttingDown, _EndOfInput):
            pass
        except FolderGone:
            yield self._refusal("Maildir invalid (no 'cur' directory)", wire.SYS_PERM)
        except OSError as error:
            log.error("maildrop", error.filename, error)
            yield self._refusal("Temporary problem, please try again later", wire.SYS_TEMP)
        except Exception as error:
            log.bug(self._client.user, "session", error)
        finally:
            self._finish(end)

    def _refusal(self, text: str, code: str) -> bytes:
        return wire.refusal(text, code, with_code=self._settings.extensions)

    def _settle(self) -> Steps:
        """Let the next session find the maildrop without listing it; the client has its answer."""
        if not self._maildrop.is_settled:
            yield Work(self._maildrop.settle)

    def _finish(self, end: End | None) -> None:
        try:
            self._mark_seen()
        except OSError as error:
            log.error("cannot mark messages", error.filename, error)
        self._maildrop.settle(at_once=True)
        log.pop3_end(
            end,
            self._client.user,
            self._client.peer,
            self._top,
            self._retr,
            self._received,
            self._sent,
            int(time.monotonic() - self._began),
            self._client.tls,
        )

    def _out(self, data: bytes) -> bytes:
        """Count octets for the log; what is `Unfinished` stays so."""
        self._sent += len(data)
        return data

    def _command(self) -> Steps:
        line = yield from self._next()
        handler = COMMANDS.get(line.word)
        if handler is None:
            yield self._out(INVALID)
            return
        if line.word not in ("RETR", "DELE", "TOP"):
            yield from self._work_on_seen()
        yield from handler(self, line)

    def _next(self) -> Generator[Request, Any, Line]:
        """Wait for a command. What was fetched is marked as seen meanwhile, if it takes a moment."""
        until = time.monotonic() + self._settings.timeout_s
        while True:
            line = self._reader.next()
            if line is not None:
                return line
            left_s = until - time.monotonic()
            data = yield Receive(min(left_s, _SEEN_AFTER_S) if self._seen else left_s)
            if isinstance(data, Wake):
                if not self._seen:
                    raise TimeoutError
                yield from self._work_on_seen()
                continue
            if not data:
                yield from self._work_on_seen()
                raise _EndOfInput
            self._received += len(data)
            self._reader.feed(data)

    def _work_on_seen(self) -> Steps:
        if not self._seen:
            return
        try:
            yield Work(self._mark_seen)
        except OSError as error:
            log.error("cannot mark messages", error.filename, error)

    def _mark_seen(self) -> None:
        seen, self._seen = self._seen, []
        if seen:
            self._maildrop.mark_seen(seen)

    # -- commands --------------------------------------------------------------------------

    def _index(self, line: Line) -> int | None:
        """Give the message that a command's first argument names; None if there is none."""
        words = line.words()
        found = number(words[0]) if words else None
        if found is None or not 0 < found <= len(self._maildrop.listing.sizes):
            return None
        return None if found - 1 in self._deleted else found - 1

    def _left(self) -> Iterator[int]:
        return (n for n in range(len(self._maildrop.listing.sizes)) if n not in self._deleted)

    def stat(self, line: Line) -> Iterator[bytes]:
        sizes = [self._maildrop.listing.sizes[index] for index in self._left()]
        yield self._out(b"+OK %d %d\r\n" % (len(sizes), sum(sizes)))

    def list_(self, line: Line) -> Iterator[bytes]:
        # Courier: the words are a test of clients that take a reply's text for data.
        first = b"+OK POP3 clients that break here, they violate STD53.\r\n"
        return self._listing(line, first, self._maildrop.listing.size_lines)

    def uidl(self, line: Line) -> Iterator[bytes]:
        return self._listing(line, b"+OK\r\n", self._maildrop.listing.uidl_lines)

    def _listing(self, line: Line, first: bytes, lines: Lines) -> Iterator[bytes]:
        if line.words():
            index = self._index(line)
            yield self._out(_NO_SUCH_MESSAGE if index is None else b"+OK " + lines.of([index]))
            return
        yield self._out(Unfinished(first))
        left = self._left() if self._deleted else iter(())
        while part := list(islice(left, _SLICE)):
            yield self._out(Unfinished(lines.of(part)))
        for at in range(0, 0 if self._deleted else len(lines.text), _PIECE):
            yield self._out(Unfinished(lines.text[at : at + _PIECE]))
        yield self._out(transmission.END)

    def retr(self, line: Line) -> Iterator[Request]:
        index = self._index(line)
        if index is None:
            yield self._out(_NO_SUCH_MESSAGE)
            return
        before, behind = self._wrapping(index)
        wrapped = sum(map(transmission.sent_size, (before, behind))) if before else 0
        first = b"+OK %d octets follow.\r\n" % (self._maildrop.listing.sizes[index] + wrapped)
        counted = yield from self._send(index, first, before, behind, lambda pieces: pieces)
        if counted is None:
            return
        self._retr += counted
        if not self._maildrop.is_seen(index):
            self._seen.append(index)
        if len(self._seen) >= _SEEN_AT_ONCE:
            yield from self._work_on_seen()

    def top(self, line: Line) -> Iterator[Request]:
        words = line.words()
        if len(words) < 2:
            yield self._out(INVALID)
            return
        index = self._index(line)
        if index is None:
            yield self._out(_NO_SUCH_MESSAGE)
            return
        lines = number(words[1])
        if lines is None and words[1] != b"-1":  # Courier: all of them; some old clients say so
            yield self._out(INVALID)
            return
        before, behind = self._wrapping(index)
        cut = partial(transmission.top, lines=lines)
        counted = yield from self._send(index, b"+OK headers follow.\r\n", before, behind, cut)
        self._top += counted or 0

    def _send(
        self,
        index: int,
        first: bytes,
        before: bytes,
        behind: bytes,
        cut: Callable[[Iterator[bytes]], Iterator[bytes]],
    ) -> Generator[Request, Any, int | None]:
        """Send a message; return the octets taken of it, None if there is no file any more."""
        try:
            descriptor = self._maildrop.open_message(index)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                log.error("cannot open message", error.filename, error)
            yield self._out(_GONE)
            return None
        counted = 0

        def pieces() -> Iterator[bytes]:
            if before:
                yield before
            is_end = False
            while not is_end:
                piece = os.read(descriptor, _PIECE)
                is_end = len(piece) < _PIECE  # of a regular file that nobody adds to
                yield piece
            if behind:
                yield behind

        def counting(taken: Iterator[bytes]) -> Iterator[bytes]:
            nonlocal counted
            for piece in taken:
                counted += len(piece)
                yield piece

        try:
            yield self._out(Unfinished(first))
            for piece in transmission.stuffed(counting(cut(pieces()))):
                yield self._out(Unfinished(piece))
        except OSError as error:
            log.pop3_io_error(self._maildrop.name(index).decode("latin-1"), error)
            raise _MessageFailed from error
        finally:
            os.close(descriptor)
        yield b""
        return counted

    def _wrapping(self, index: int) -> tuple[bytes, bytes]:
        if self._utf8 or not self._maildrop.listing.utf8[index]:
            return b"", b""
        return unicode.wrapping(self._settings.unicode_message_type)

    def dele(self, line: Line) -> Iterator[bytes]:
        index = self._index(line)
        if index is None:
            yield self._out(_NO_SUCH_MESSAGE)
            return
        self._deleted.add(index)
        yield self._out(b"+OK Deleted.\r\n")

    def rset(self, line: Line) -> Iterator[bytes]:
        self._deleted.clear()
        yield self._out(b"+OK Resurrected.\r\n")

    def noop(self, line: Line) -> Iterator[bytes]:
        yield self._out(b"+OK Yup.\r\n")

    def capa(self, line: Line) -> Iterator[bytes]:
        yield self._out(capability.listing(self._settings, tls=self._client.tls, offers_tls=False))

    def lang(self, line: Line) -> Iterator[bytes]:
        yield self._out(capability.language(line))

    def utf8(self, line: Line) -> Iterator[bytes]:
        self._utf8 = True
        yield self._out(b"+OK UTF8 enabled\r\n")

    def quit(self, line: Line) -> Iterator[Request]:
        """Remove what was deleted, then say so (RFC 1939 6); Courier says it first."""
        reply = b"+OK Bye-bye.\r\n"
        self._is_over = True
        if self._deleted:
            try:
                yield Work(self._remove_deleted)
            except OSError as error:
                log.error("cannot remove messages", error.filename, error)
                reply = _NOT_ALL_REMOVED
        yield self._out(reply)

    def _remove_deleted(self) -> None:
        """Remove messages; those that another session removed are as gone as they should be."""
        removed = self._maildrop.remove(sorted(self._deleted))
        if self._settings.log_deletions:
            for name in removed:
                path = "cur/" + name.decode("utf-8", "surrogateescape")
                log.pop3_deleted(self._client.user, self._client.peer, path)


Handler = Callable[[Session, Line], Iterator[Request]]

COMMANDS: Mapping[str, Handler] = {
    "STAT": Session.stat,
    "LIST": Session.list_,
    "UIDL": Session.uidl,
    "RETR": Session.retr,
    "TOP": Session.top,
    "DELE": Session.dele,
    "RSET": Session.rset,
    "NOOP": Session.noop,
    "CAPA": Session.capa,
    "LANG": Session.lang,
    "UTF8": Session.utf8,
    "QUIT": Session.quit,
}
