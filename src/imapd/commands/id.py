"""ID: who talks to whom. RFC 2971."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from courier import log, version
from imapd.completion import Ok, Violation
from imapd.request import Handling
from imapd.wire import writer
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

_MAX_FIELDS = 30
_MAX_NAME = 30
_MAX_VALUE = 1024
_VERSION, _OS, _OS_VERSION = 1, 2, 4  # bits of IMAP_ID_FIELDS


def id(session: Session, arguments: Parser) -> Handling:
    shown = session.settings.id_fields
    if shown is None:  # Courier: without the setting there is no such command
        raise Violation
    log.client_id(session.client.user, session.client.peer, fields(arguments))
    yield response(shown)
    return Ok("ID completed")


def fields(arguments: Parser) -> list[tuple[str, str | None]]:
    """Read what a client says of itself.

    Raises:
        ParseError, Violation: it is not the form, or too much.
    """
    arguments.sp()
    found: list[tuple[str, str | None]] = []
    if arguments.at(b"("):
        found = arguments.parenthesised(lambda: _field(arguments), empty=True)
    elif arguments.nstring() is not None:
        raise Violation
    arguments.end()
    if len(found) > _MAX_FIELDS:
        raise Violation
    return found


def response(shown: int) -> bytes:
    """Say what the server is; ``shown`` is IMAP_ID_FIELDS."""
    return b"* ID (" + b" ".join(writer.quoted(text.encode()) for text in _own(shown)) + b")\r\n"


def _field(arguments: Parser) -> tuple[str, str | None]:
    name = arguments.string()
    arguments.sp()
    value = arguments.nstring()
    if len(name) > _MAX_NAME or len(value or b"") > _MAX_VALUE:
        raise Violation
    return name.decode("utf-8", "replace"), (
        None if value is None else value.decode("utf-8", "replace")
    )


def _own(shown: int) -> list[str]:
    fields = ["name", "Courier-IMAP"]
    if shown & _VERSION:
        fields += ["version", version.VERSION]
    if shown & _OS:
        fields += ["os", os.uname().sysname]
    if shown & _OS_VERSION:
        fields += ["os-version", os.uname().release]
    return [*fields, "vendor", "pycourier"]
