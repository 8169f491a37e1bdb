"""SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS. RFC 4314 3, RFC 2086 4.

Clients write identifiers without a kind, files with one: a plain name is ``user=NAME``. Only for clients
of RFC 4314 (RIGHTS= is announced) groups have names here: ``group=NAME``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.maildir import acl as lists
from courier.maildir.acl import ADMINISTRATORS, ADMINISTRATORS_GROUP, Acl, InvalidAcl
from courier.process.request import Work
from imapd import acl_letters, mailbox
from imapd.completion import CommandFailed, InvalidArgument, No, Ok, code_of
from imapd.mailboxes import Mailbox, Space
from imapd.request import Handling
from imapd.wire import writer
from imapd.wire.parser import ParseError, Parser

if TYPE_CHECKING:
    from imapd.account_session import AccountSession
    from imapd.session import Session

#: Who has one of these may know the rights on a mailbox (RFC 4314 4).
_MAY_KNOW = "lrixcea"
_LITERAL = frozenset(("anyone", "anonymous", "authuser", "owner"))
_REFUSED = "Cannot modify ACLs on this mailbox."


def setacl(session: Session, arguments: Parser) -> Handling:
    name = mailbox.argument(session, arguments)
    identifier = _identifier(session, arguments)
    arguments.sp()
    try:
        wanted = acl_letters.given(
            arguments.astring().decode("utf-8", "surrogateescape"),
            extended=acl_letters.is_extended(session.settings),
        )
    except acl_letters.UnknownRight as error:
        raise arguments.fail("mod-rights") from error
    arguments.end()

    return (yield from _change(session, "SETACL", name, identifier, wanted))


def deleteacl(session: Session, arguments: Parser) -> Handling:
    name = mailbox.argument(session, arguments)
    identifier = _identifier(session, arguments)
    arguments.end()

    return (yield from _change(session, "DELETEACL", name, identifier, ""))


def _change(session: Session, command: str, name: str, identifier: str, wanted: str) -> Handling:
    found = mailbox.existing(session, name, command, "a")

    def with_change(list_: Acl) -> Acl:
        rights = lists.changed(list_.get(identifier) or "", wanted)
        return list_.with_rights(identifier, rights) if rights else list_.without(identifier)

    try:
        yield Work(partial(change, session, found, with_change))
    except InvalidAcl:
        return No(_REFUSED, "CANNOT")
    except OSError as error:
        log.error("cannot write access control list", found.directory, error)
        return No(_REFUSED, code_of(error))
    recheck(session, found.name)
    return Ok("ACLs updated.")


def change(session: AccountSession, found: Mailbox, how: lists.Change) -> None:
    """Change a mailbox's list. Raises as `AclFiles.change`."""
    files = session.mailboxes.lists(found)
    if files is None:
        raise InvalidAcl(found.name)
    owner = session.client.user if found.space is Space.PERSONAL else None
    files.change(found.folder, how, owner)


def recheck(session: Session, name: str) -> None:
    """See what the change means for the selected mailbox; the client is told with the completion."""
    session.notifier.made(name)
    try:
        session.changes.recheck_rights()
    except CommandFailed:
        pass  # it can't be read any more: the next command that reads it will hear of that


def getacl(session: Session, arguments: Parser) -> Handling:
    name = mailbox.argument(session, arguments)
    # Courier: what follows is passed over.
    found = mailbox.existing(session, name, "GETACL", "a")
    files = session.mailboxes.lists(found)
    entries = files.read(found.folder).entries if files else ()
    extended = acl_letters.is_extended(session.settings)
    told: dict[str, str] = {}
    for identifier, rights in entries:
        shown = _told(identifier, extended=extended)
        if shown is not None:
            told.setdefault(shown, acl_letters.told(rights, extended=extended))
    pairs = (b" " + _string(one) + b' "' + told[one].encode() + b'"' for one in told)
    yield b"* ACL " + mailbox.quoted(session, name).encode() + b"".join(pairs) + b"\r\n"
    return Ok("GETACL completed.")


def myrights(session: Session, arguments: Parser) -> Handling:
    name = mailbox.argument(session, arguments)
    found = mailbox.existing(session, name, "GETACL", _MAY_KNOW)
    yield rights_line(session, found, name)
    return Ok("MYRIGHTS completed.")


def rights_line(session: Session, found: Mailbox, name: str) -> bytes:
    """Write the response about a mailbox, called ``name`` in it; nothing if it may not be known."""
    if not found.may(_MAY_KNOW):
        return b""
    told = acl_letters.told(found.rights, extended=acl_letters.is_extended(session.settings))
    return f'* MYRIGHTS {mailbox.quoted(session, name)} "{told}"\r\n'.encode()


def listrights(session: Session, arguments: Parser) -> Handling:
    name = mailbox.argument(session, arguments)
    arguments.sp()
    shown = arguments.astring()
    identifier = _stored(session, shown.decode("utf-8", "surrogateescape"))
    mailbox.existing(session, name, "GETACL", _MAY_KNOW)

    always, rights = "", set("acdilprsw")
    if acl_letters.is_extended(session.settings):
        rights |= set("ektx")
    if identifier == lists.OWNER:
        always = "al"  # nobody can take them
    if identifier in (lists.OWNER, "-owner", "-anyone", "-anonymous"):
        rights -= set("al")
    yield (
        b"* LISTRIGHTS "
        + mailbox.quoted(session, name).encode()
        + b" "
        + _string(shown.decode("utf-8", "surrogateescape"))
        + f' "{always}" {" ".join(sorted(rights))}\r\n'.encode()
    )
    return Ok("LISTRIGHTS completed.")


# -- identifiers ---------------------------------------------------------------------------


def _identifier(session: Session, arguments: Parser) -> str:
    """Read an identifier as it stands in the file."""
    try:
        arguments.sp()
        text = arguments.astring()
    except ParseError as error:
        raise InvalidArgument from error
    identifier = _stored(session, text.decode("utf-8", "surrogateescape"))
    if not lists.is_identifier(identifier):
        raise CommandFailed(No(_REFUSED, "CANNOT"))
    return identifier


def _stored(session: Session, text: str) -> str:
    sign, name = ("-", text[1:]) if text[:1] == "-" else ("", text)
    if name in _LITERAL:
        return sign + name
    if name == ADMINISTRATORS:
        return sign + ADMINISTRATORS_GROUP
    if "=" in name:
        if name.startswith("group=") and acl_letters.is_extended(session.settings):
            return sign + name
        raise CommandFailed(No("Invalid ACL identifier.", "CANNOT"))
    return f"{sign}user={name}"


def _told(identifier: str, *, extended: bool) -> str | None:
    sign, name = ("-", identifier[1:]) if identifier[:1] == "-" else ("", identifier)
    if name == ADMINISTRATORS_GROUP:
        return sign + ADMINISTRATORS
    if name.startswith("user="):
        return sign + name[5:]
    # Courier: other kinds are not shown to clients of RFC 2086.
    return sign + name if extended or "=" not in name else None


def _string(text: str) -> bytes:
    return writer.string(text.encode("utf-8", "surrogateescape"))
