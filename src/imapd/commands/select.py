"""SELECT and EXAMINE: open a mailbox. RFC 9051 6.3.2 and 6.3.3, RFC 3501 6.3.1 and 6.3.2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from courier import log
from courier.maildir.filename import Flag
from courier.maildir.view import View
from courier.process.request import Work
from imapd import mailbox, updates
from imapd.completion import No, Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

_UNSEEN = re.compile(b"[" + re.escape(bytes(f for f in range(32) if not f & Flag.SEEN)) + b"]")


def select(session: Session, arguments: Parser) -> Handling:
    return _open(session, arguments, read_only=False)


def examine(session: Session, arguments: Parser) -> Handling:
    return _open(session, arguments, read_only=True)


def _open(session: Session, arguments: Parser, *, read_only: bool) -> Handling:
    name = mailbox.argument(session, arguments)
    arguments.end()

    yield from session.leave()  # also if the other one can't be opened
    found = mailbox.existing(session, name, "SELECT/EXAMINE", "r")
    directory = found.directory
    read_only = read_only or not found.may("ieswt")
    try:
        view = View(mailbox.opened(session, found, subscribe=True), read_only=read_only)
        if not view.refresh_at_once():
            yield Work(view.refresh)
        if view.folder.is_void:  # renumbered since it was last open: this client was told nothing
            view = View(mailbox.opened(session, found, subscribe=True), read_only=read_only)
            yield Work(view.refresh)
    except OSError as error:
        log.error("cannot open folder", directory, error)
        return No("Unable to open this mailbox.")
    view.read_only = read_only or not view.folder.is_writable
    view.update(expunge=True)
    session.select(found, view)

    yield updates.flags(view, session.settings, found.rights)
    yield b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(view.uids), view.recents())
    yield b"* OK [UIDVALIDITY %d] Ok\r\n" % view.folder.uidvalidity
    # Courier sends neither of these; RFC 3501 6.3.1 requires them.
    yield b"* OK [UIDNEXT %d] Ok\r\n" % view.folder.uidnext
    unseen = _UNSEEN.search(view.flags)
    if unseen is not None:
        yield b"* OK [UNSEEN %d] Ok\r\n" % (unseen.start() + 1)
    yield updates.rights(found.rights)
    return Ok("Ok", "READ-ONLY" if view.read_only else "READ-WRITE")
