"""SUBSCRIBE and UNSUBSCRIBE. RFC 9051 6.3.7 and 6.3.8, RFC 3501 6.3.6 and 6.3.7."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from courier.maildir import subscriptions
from courier.process.request import Work
from imapd import mailbox, names
from imapd.completion import Ok
from imapd.mailboxes import Space
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

#: What a line of the file can't hold. Other odd names may be there, from other programs.
_NO_LINE = re.compile("[\x00-\x1f\x7f]")


def subscribe(session: Session, arguments: Parser) -> Handling:
    name = _name(session, arguments)
    if name.endswith("."):
        return Ok("Folder directory subscribe punted.")
    if not names.is_creatable(name):
        raise names.InvalidName
    yield Work(partial(subscriptions.add, session.tree.path, name))
    return Ok("Folder subscribed.")


def unsubscribe(session: Session, arguments: Parser) -> Handling:
    name = _name(session, arguments)
    if name.endswith("."):
        return Ok("Folder directory unsubscribe punted.")
    yield Work(partial(subscriptions.remove, session.tree.path, name))
    return Ok("Folder unsubscribed.")


def _name(session: Session, arguments: Parser) -> str:
    """Read a name that may be subscribed to, whether there is such a mailbox or not."""
    name = mailbox.argument(session, arguments)
    arguments.end()
    plain = name.removesuffix(".")
    found = session.mailboxes.find(plain)
    if found is None or found.space is Space.SHARED or plain == "#shared":
        raise names.InvalidName
    if _NO_LINE.search(name) or len(name.encode()) > subscriptions.LONGEST_NAME:
        raise names.InvalidName
    return name
