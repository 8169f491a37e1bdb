"""CATENATE: messages made of parts of other messages (RFC 4469)."""

from __future__ import annotations

import re
import socket
from collections.abc import Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir.folder import Folder, MessageGone
from courier.message.message import Message
from courier.process.request import Work
from imapd import mailbox, section
from imapd.completion import CommandFailed, No
from imapd.names import with_inbox_in_capitals
from imapd.request import Step
from imapd.wire import url
from imapd.wire.url import BadUrl, MessageUrl

if TYPE_CHECKING:
    from imapd.session import Session

#: Octets of a message up to which it is kept for the next URL, while the client sends what is between.
_KEPT = 16 << 20
#: What a URL names: its size on the wire, and its octets bit by bit.
Read = tuple[int, Iterator[bytes]]
_UNTELLABLE = re.compile(r"[^\x20-\x5b\x5e-\x7e]")


class Sources:
    """What the URLs of one command name. The message read last is kept: its parts come together."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folders: dict[str, Folder] = {}
        self._last: tuple[Folder, int, Message] | None = None

    def content(self, text: bytes) -> Generator[Step, Any, Read]:
        """Give what a URL names as it is in the file, and its size on the wire before it.

        Nothing is marked as seen (RFC 4469 3).

        Raises:
            CommandFailed: it can't be had, or not by this user: BADURL.
        """
        try:
            wanted = url.parse(text)
            folder = yield from self._folder(wanted)
            read: Read | None = yield Work(partial(self._read, folder, wanted))
            if read is None:
                raise BadUrl
        except (BadUrl, CommandFailed, OSError) as error:
            if isinstance(error, OSError) and not isinstance(error, MessageGone):
                log.error("cannot read message", error.filename or "", error)
            raise CommandFailed(No("Cannot read a part of the message.", _code(text))) from error
        return read

    def _folder(self, wanted: MessageUrl) -> Generator[Step, Any, Folder]:
        """Find the folder, which is brought up to date once in a command."""
        session = self._session
        if wanted.server is not None and not self._is_here(wanted.server):
            raise BadUrl
        name = wanted.mailbox
        if not name:
            if session.mailbox is None:
                raise BadUrl
            name = session.mailbox.name
        name = with_inbox_in_capitals(name)
        folder = self._folders.get(name)
        if folder is None:
            found = mailbox.existing(session, name, "FETCH", "r")
            folder = mailbox.opened(session, found)
            yield Work(partial(folder.synchronise, take_new=False))
            self._folders[name] = folder
        if wanted.uidvalidity not in (None, folder.uidvalidity):
            raise BadUrl
        return folder

    def _is_here(self, server: url.Server) -> bool:
        """Tell whether an absolute URL means this server, and the account of this session."""
        is_own = server.user is None or server.user == self._session.client.user
        return is_own and server.host == socket.gethostname().lower()

    def _read(self, folder: Folder, wanted: MessageUrl) -> Read | None:
        """Read the octets and give their size in wire form, too; None if there is no such part.

        Called in a thread. Raises OSError: as `Folder.read`.
        """
        message = self._message(folder, wanted.uid)
        if wanted.partial is None:
            return section.pieces(message, wanted.section)
        start, count = wanted.partial
        length = (1 << 62) if count is None else count
        data = section.extract_slice(message, wanted.section, start, length)
        return None if data is None else (len(data), section.blocks(data, 0, len(data)))

    def _message(self, folder: Folder, uid: int) -> Message:
        if self._last is not None and self._last[:2] == (folder, uid):
            return self._last[2]
        self._last = None
        message = Message(folder.read(uid)[0])
        if len(message.data) <= _KEPT:
            self._last = (folder, uid, message)
        return message


def _code(text: bytes) -> str:
    """Give the response code (RFC 4469 4.1), with what can't stand in one percent-encoded."""
    told = _UNTELLABLE.sub(
        lambda found: "".join(f"%{octet:02X}" for octet in found[0].encode("latin-1")),
        text.decode("latin-1"),
    )
    return f"BADURL {told}" if told.strip() else 'BADURL ""'
