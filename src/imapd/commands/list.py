"""LIST and LSUB: which mailboxes there are. RFC 9051 6.3.9, RFC 3501 6.3.8 and 6.3.9, RFC 3348."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from courier.maildir import status, subscriptions
from courier.maildir.acl import Acl
from imapd import acl_letters, names, pattern
from imapd.completion import CommandFailed, InvalidArgument, No, Ok
from imapd.mailboxes import Mailbox
from imapd.request import Handling
from imapd.wire import writer
from imapd.wire.parser import ParseError, Parser

if TYPE_CHECKING:
    from imapd.session import Session

_MAX_WILDCARDS = 10
_OPTIONS = frozenset(("ACL", "MYRIGHTS", "POSTADDRESS"))
#: Mailboxes looked at before others get their turn.
_SLICE = 50


def list_(session: Session, arguments: Parser) -> Handling:
    options = _options(arguments)
    reference, wanted = _arguments(session, arguments)
    if not wanted:
        # RFC 9051 6.3.9: the root of the reference's name space.
        root = "#shared." if reference.startswith("#shared") else ""
        yield b'* LIST (\\Noselect) "." "%b"\r\n' % root.encode()
        return Ok("LIST completed")
    full = _combined(session, reference, wanted)
    if full is not None:
        found: list[Mailbox] = []
        for one in session.mailboxes.listed(full):
            found.append(one)
            if not len(found) % _SLICE:
                yield b""
        yield from _lines(session, "LIST", full, found, options)
    return Ok("LIST completed")


def lsub(session: Session, arguments: Parser) -> Handling:
    reference, wanted = _arguments(session, arguments)
    if not wanted:
        yield b'* LSUB (\\Noselect) "." ""\r\n'
        return Ok("LSUB completed")
    full = _combined(session, reference, wanted)
    if full is not None:
        yield from _lines(session, "LSUB", full, _subscribed(session, full.startswith("#")))
    return Ok("LSUB completed")


def described(session: Session, one: Mailbox, options: frozenset[str]) -> Iterator[bytes]:
    """Give the line of one mailbox."""
    yield from _lines(session, "LIST", one.name, [one, *_below(session, one)], options)


def announced(session: Session, one: Mailbox, old_name: str | None = None) -> bytes:
    """Give the line of a mailbox that another command is about, of which it may say what costs nothing.

    Args:
        old_name: by which the client called it (RFC 9051 6.3.9.7).
    """
    attributes = [] if one.exists else ["\\NonExistent"]
    attributes.append(_children(session, has=session.mailboxes.has_below(one)))
    old = b""
    if old_name is not None:
        old = b' ("OLDNAME" (' + (names.encode(old_name, utf8=session.utf8) or b'""') + b"))"
    return _line(session, "LIST", one.name, attributes, old)


def renamed(session: Session, given: str, name: str) -> bytes:
    """Tell a client by which name goes what it called ``given`` (RFC 9051 6.3.9.7)."""
    one = session.mailboxes.find(name)
    if given == name or one is None or not session.rev2:
        return b""
    return announced(session, one, given)


def _below(session: Session, one: Mailbox) -> Iterator[Mailbox]:
    return (other for other in session.mailboxes.listed(one.name + ".*") if other.name != one.name)


def _options(arguments: Parser) -> frozenset[str]:
    """Read Courier's options of LIST (ACL2=UNION): what is to be told of each mailbox.

    Raises:
        InvalidArgument: there is no argument at all.
    """
    try:
        ahead = arguments.copy()
        ahead.sp()
        if not ahead.at(b"("):
            return frozenset()
        arguments.sp()
        options = frozenset(arguments.parenthesised(arguments.word, empty=True))
    except ParseError as error:
        raise InvalidArgument from error
    if not options <= _OPTIONS:  # Courier passes over them
        raise InvalidArgument
    return options


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


def _combined(session: Session, reference: str, wanted: str) -> str | None:
    """Put reference and pattern together as Courier does; None if they match nothing.

    Raises:
        CommandFailed: there are more wildcards than Courier takes.
    """
    base = reference.removesuffix(".")
    if base and session.mailboxes.find(base) is None:
        return None
    full = f"{base}.{wanted}" if base else wanted
    full = full.removesuffix(".")
    if full.count("*") + full.count("%") > _MAX_WILDCARDS:
        raise CommandFailed(No("Invalid argument"))
    return full


def _subscribed(session: Session, of_others: bool) -> list[Mailbox]:
    """Give the mailboxes subscribed to, whether they exist or not, that may be known of."""
    known: dict[str, Acl] = {}
    found = []
    for name in dict.fromkeys(subscriptions.read(session.tree.path)):
        if name.startswith("#") == of_others:
            one = session.mailboxes.find(name, None if of_others else known)
            if one is not None and one.is_visible and one.farm is None:
                found.append(one)
    return found if of_others else [*found, *session.mailboxes.farms()]


def _lines(
    session: Session,
    command: str,
    wanted: str,
    candidates: Collection[Mailbox],
    options: frozenset[str] = frozenset(),
) -> Iterator[bytes]:
    """Give a line for each candidate that matches, and for each level above one that does."""
    above = {level for one in candidates for level in _levels_above(one.name)}
    for one in candidates:
        if pattern.matches(wanted, one.name):
            attributes = _attributes(session, one, above)
            told = _extended(session, one, options) if options else b""
            yield _line(session, command, one.name, attributes, told)
    for level in sorted(above.difference(one.name for one in candidates)):
        if pattern.matches(wanted, level):
            found = session.mailboxes.find(level) if options else None
            told = b"" if found is None else _extended(session, found, options)
            attributes = ["\\Noselect", _children(session, has=True)]
            yield _line(session, command, level, attributes, told)


def _levels_above(name: str) -> Iterator[str]:
    at = name.rfind(pattern.SEPARATOR)
    while at > 0:
        yield name[:at]
        at = name.rfind(pattern.SEPARATOR, 0, at)


def _attributes(session: Session, one: Mailbox, above: set[str]) -> list[str]:
    if one.is_level:  # a group of accounts
        return ["\\Noselect", _children(session, has=True)]
    attributes = []
    checked = one.name == "INBOX" or session.settings.check_all_folders
    # Whether there is something unseen is for those to know who may look.
    if checked and one.exists and one.may("r"):
        unseen = status.has_unseen(one.directory)
        attributes.append("\\Marked" if unseen else "\\Unmarked")
    attributes.append(_children(session, has=one.name in above))
    return attributes


def _children(session: Session, *, has: bool) -> str:
    if session.settings.obsolete_client:
        return "" if has else "\\Noinferiors"
    return "\\HasChildren" if has else "\\HasNoChildren"


def _extended(session: Session, one: Mailbox, options: frozenset[str]) -> bytes:
    """Write what Courier's options ask for."""
    parts = []
    files = session.mailboxes.lists(one)
    if "ACL" in options and one.may("a") and files is not None:
        parts.append(b'("ACL" (' + b"".join(map(_entry, files.read(one.folder).entries)) + b"))")
    if "MYRIGHTS" in options and one.may("lrixcea"):
        parts.append(b'("MYRIGHTS" "' + acl_letters.short(one.rights).encode() + b'")')
    if "POSTADDRESS" in options:
        parts.append(b"(POSTADDRESS NIL)")
    return b" (" + b"".join(parts) + b")" if parts else b""


def _entry(entry: tuple[str, str]) -> bytes:
    identifier, rights = entry
    told = writer.string(identifier.encode("utf-8", "surrogateescape"))
    return b"(" + told + b' "' + acl_letters.short(rights).encode() + b'")'


def _line(
    session: Session, command: str, name: str, attributes: list[str], extended: bytes = b""
) -> bytes:
    encoded = names.encode(name, utf8=session.utf8)
    if encoded is None:
        return b""  # a directory whose name is no text: no client can be told of it
    flags = " ".join(filter(None, attributes))
    return f'* {command} ({flags}) "." '.encode() + encoded + extended + b"\r\n"
