"""UNAUTHENTICATE: leave the account, keep the connection. RFC 8437 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imapd import upkeep
from imapd.completion import Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def unauthenticate(session: Session, arguments: Parser) -> Handling:
    """End what LOGOUT ends; all state goes with the session, which gives its client back."""
    arguments.end()
    yield from upkeep.end(session)
    return Ok("UNAUTHENTICATE completed")
