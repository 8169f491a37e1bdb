"""LIST and LSUB: which mailboxes there are. RFC 9051 6.3.9, RFC 3501 6.3.8 and 6.3.9, RFC 3348."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from courier.maildir import status, subscriptions
from imapd import names, pattern
from imapd.completion import CommandFailed, InvalidArgument, No, Ok
from imapd.request import Handling
from imapd.wire.parser import ParseError, Parser

if TYPE_CHECKING:
    from imapd.session import Session

_MAX_WILDCARDS = 10


def list_(session: Session, arguments: Parser) -> Handling:
    reference, wanted = _arguments(session, arguments)
    if not wanted:
        # RFC 9051 6.3.9: the root of the reference's name space.
        root = "#shared." if reference.startswith("#shared") else ""
        yield b'* LIST (\\Noselect) "." "%b"\r\n' % root.encode()
        return Ok("LIST completed")
    full = _combined(reference, wanted)
    if full is not None:
        existing = [names.mailbox(folder) for folder in session.tree.folders()]
        yield from _lines(session, "LIST", full, existing)
    return Ok("LIST completed")


def lsub(session: Session, arguments: Parser) -> Handling:
    reference, wanted = _arguments(session, arguments)
    if not wanted:
        yield b'* LSUB (\\Noselect) "." ""\r\n'
        return Ok("LSUB completed")
    full = _combined(reference, wanted)
    if full is not None:
        shared = full.startswith("#")
        subscribed = [
            names.with_inbox_in_capitals(name)
            for name in subscriptions.read(session.tree.path)
            if name.startswith("#") == shared
        ]
        yield from _lines(session, "LSUB", full, dict.fromkeys(subscribed))
    return Ok("LSUB completed")


def _arguments(session: Session, arguments: Parser) -> tuple[str, str]:
    try:
        arguments.sp()
        reference = arguments.astring()
        arguments.sp()
        wanted = arguments.list_mailbox()
    except ParseError as error:
        raise InvalidArgument from error
    arguments.end()
    return names.decode(reference, utf8=session.utf8), names.decode(wanted, utf8=session.utf8)


def _combined(reference: str, wanted: str) -> str | None:
    """Put reference and pattern together as Courier does; None if they match nothing.

    Raises:
        CommandFailed: there are more wildcards than Courier takes.
    """
    base = reference.removesuffix(".")
    if base and names.folder(base) is None and not names.is_shared(base):
        return None
    full = f"{base}.{wanted}" if base else wanted
    full = full.removesuffix(".")
    if full.count("*") + full.count("%") > _MAX_WILDCARDS:
        raise CommandFailed(No("Invalid argument"))
    return full


def _lines(
    session: Session, command: str, wanted: str, candidates: Collection[str]
) -> Iterator[bytes]:
    """Give a line for each candidate that matches, and for each level above one that does."""
    above = {level for name in candidates for level in _levels_above(name)}
    for name in candidates:
        if pattern.matches(wanted, name):
            yield _line(session, command, name, _attributes(session, name, above))
    for level in sorted(above.difference(candidates)):
        if pattern.matches(wanted, level):
            yield _line(session, command, level, ["\\Noselect", _children(session, has=True)])


def _levels_above(name: str) -> Iterator[str]:
    at = name.rfind(pattern.SEPARATOR)
    while at > 0:
        yield name[:at]
        at = name.rfind(pattern.SEPARATOR, 0, at)


def _attributes(session: Session, name: str, above: set[str]) -> list[str]:
    attributes = []
    folder = names.folder(name)
    checked = folder == "" or session.settings.check_all_folders
    if folder is not None and checked and session.tree.exists(folder):
        unseen = status.has_unseen(session.tree.directory(folder))
        attributes.append("\\Marked" if unseen else "\\Unmarked")
    attributes.append(_children(session, has=name in above))
    return attributes


def _children(session: Session, *, has: bool) -> str:
    if session.settings.obsolete_client:
        return "" if has else "\\Noinferiors"
    return "\\HasChildren" if has else "\\HasNoChildren"


def _line(session: Session, command: str, name: str, attributes: list[str]) -> bytes:
    encoded = names.encode(name, utf8=session.utf8)
    if encoded is None:
        return b""  # a directory whose name is no text: no client can be told of it
    flags = " ".join(filter(None, attributes))
    return f'* {command} ({flags}) "." '.encode() + encoded + b"\r\n"
