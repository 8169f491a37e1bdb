"""COMPRESS. RFC 4978."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imapd.completion import Bad, CommandFailed, Completion, No, Ok
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def compress(session: Session, arguments: Parser) -> Completion:
    arguments.sp()
    algorithm = arguments.atom().upper()
    arguments.end()

    if algorithm != b"DEFLATE":
        raise CommandFailed(Bad("There is no such compression."))
    if not session.settings.compress:
        return No("This command is disabled by the system administrator.")
    if session.connection.is_compressed:
        return Bad("DEFLATE is active.", "COMPRESSIONACTIVE")
    session.connection.compress()
    return Ok("DEFLATE active.")
