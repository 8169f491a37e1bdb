"""SUBSCRIBE and UNSUBSCRIBE. RFC 9051 6.3.7 and 6.3.8, RFC 3501 6.3.6 and 6.3.7."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.maildir import subscriptions
from courier.process.request import Work
from imapd import mailbox, names
from imapd.completion import No, Ok, code_of
from imapd.mailboxes import Mailbox, Space
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

#: What a line of the file can't hold. Other odd names may be there, from other programs.
_REFUSED = "Cannot subscribe to this folder."
#: Dots in shared.NICK.FOLDER, at least.
_LEVELS = 2
_NO_LINE = re.compile("[\x00-\x1f\x7f]")


def subscribe(session: Session, arguments: Parser) -> Handling:
    name, found = _argument(session, arguments)
    if name.endswith("."):
        return Ok("Folder directory subscribe punted.")
    if found.space is Space.SHARED:
        return (yield from _link(session, found))
    if not names.is_creatable(name):
        raise names.InvalidName
    yield Work(partial(subscriptions.add, session.tree.path, name, **_how(session)))
    session.notifier.made(found.name)
    return Ok("Folder subscribed.")


def unsubscribe(session: Session, arguments: Parser) -> Handling:
    name, found = _argument(session, arguments)
    if name.endswith("."):
        return Ok("Folder directory unsubscribe punted.")
    if found.space is Space.SHARED:
        return (yield from _unlink(session, found))
    yield Work(partial(subscriptions.remove, session.tree.path, name, **_how(session)))
    session.notifier.made(found.name)
    return Ok("Folder unsubscribed.")


def _how(session: Session) -> dict[str, bool]:
    return {"use_locks": session.settings.use_locks, "sync": session.settings.fsync}


def _argument(session: Session, arguments: Parser) -> tuple[str, Mailbox]:
    """Read a name that may be subscribed to, whether there is such a mailbox or not."""
    name = mailbox.argument(session, arguments)
    arguments.end()
    plain = name.removesuffix(".")
    found = session.mailboxes.find(plain)
    if found is None or plain == "#shared" or _NO_LINE.search(name):
        raise names.InvalidName
    if len(name.encode("utf-8", "surrogatepass")) > subscriptions.LONGEST_NAME:
        raise names.InvalidName
    return name, found


def _link(session: Session, found: Mailbox) -> Handling:
    """Subscribe to a folder that permissions share: have a place for its links."""
    farm = found.farm
    if farm is None:
        # Courier: levels always are; what lies below no level that is known can't be.
        if found.name.count(".") < _LEVELS:
            return Ok("Already subscribed.")
        return No(_REFUSED, "NONEXISTENT")
    if farm.exists():
        return Ok("Already subscribed.")
    if not found.exists:
        return No(_REFUSED, "NONEXISTENT")
    try:
        yield Work(farm.make)
    except OSError as error:
        log.error("cannot link shared folder", farm.directory, error)
        return No(_REFUSED, code_of(error))
    session.notifier.made(found.name)
    return Ok("SUBSCRIBE completed.")


def _unlink(session: Session, found: Mailbox) -> Handling:
    farm = found.farm
    if farm is None or not farm.exists():
        return Ok("Already unsubscribed.")
    if session.is_selected(found):
        return No(_REFUSED, "INUSE")  # its UIDs and flags would go with the links
    try:
        yield Work(farm.remove)
    except OSError as error:
        log.error("cannot unlink shared folder", farm.directory, error)
        return No(_REFUSED, code_of(error))
    session.notifier.made(found.name)
    return Ok("UNSUBSCRIBE completed.")
