"""ACL STORE, ACL SET, ACL DELETE: Courier's own commands on access control lists (ACL2=UNION).

They take several mailboxes at once, identifiers as they stand in the file, and answer for each mailbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.maildir import acl as lists
from courier.maildir.acl import Acl, InvalidAcl
from courier.process.request import Work
from imapd import acl_letters, mailbox, names
from imapd.commands import acl
from imapd.commands.list import described
from imapd.completion import No, Ok
from imapd.mailboxes import Mailbox
from imapd.pattern import Patterns
from imapd.request import Handling
from imapd.wire.parser import ParseError, Parser

if TYPE_CHECKING:
    from imapd.session import Session

_MINIMUM = {lists.OWNER: "al c e i p r s t w x", lists.ADMINISTRATORS: "aceilrstwx"}


def acl2(session: Session, arguments: Parser) -> Handling:
    try:
        arguments.sp()
        command = arguments.word()
        arguments.sp()
        wanted = _mailboxes(session, arguments)
        how = _CHANGES[command](arguments)
        arguments.end()
    except (ParseError, KeyError):
        # Courier: the same as a tagged line without OK, NO or BAD.
        return No("ACL FAILED: Invalid argument")

    for found in wanted:
        if not found.may("a"):
            if found.is_visible:
                denied = mailbox.AccessDenied(session, f"ACL {command}", found, "a").completion.text
                yield _failed(session, found, f"NO {denied}")
            continue
        try:
            yield Work(partial(acl.change, session, found, how))
        except InvalidAcl as error:
            yield from _invalid(session, found, error)
            if command == "SET":
                continue
        except OSError as error:
            log.error("cannot write access control list", found.directory, error)
            yield _failed(session, found, "ACLs may not be modified for special mailbox")
            continue
        acl.recheck(session, found.name)
        yield from described(session, found, frozenset(("ACL",)))
    return Ok(f"ACL {command} completed.")


def _mailboxes(session: Session, arguments: Parser) -> list[Mailbox]:
    """Read one name, or patterns in parentheses; what does not exist is passed over."""
    if not arguments.at(b"("):
        found = session.mailboxes.find(_decoded(session, arguments.astring()))
        return [found] if found is not None and found.exists else []
    wanted = []
    for text in arguments.parenthesised(arguments.list_mailbox):
        full = Patterns([_decoded(session, text)])
        for one in session.mailboxes.listed(full):
            if one.exists and full.matches(one.name):
                wanted.append(one)
    return list({one.name: one for one in wanted}.values())


def _decoded(session: Session, text: bytes) -> str:
    return names.decode(text, utf8=session.utf8)


def _store(arguments: Parser) -> lists.Change:
    identifier, rights = _text(arguments), _rights(arguments)

    def change(found: Acl) -> Acl:
        return found.with_rights(identifier, lists.changed(found.get(identifier) or "", rights))

    return change


def _set(arguments: Parser) -> lists.Change:
    found = Acl()
    while not arguments.at_end():
        identifier = _text(arguments)
        found = found.with_rights(identifier, lists.changed("", _rights(arguments)))
    return lambda _: found


def _delete(arguments: Parser) -> lists.Change:
    identifier = _text(arguments)
    return lambda found: found.without(identifier)


_CHANGES: dict[str, Callable[[Parser], lists.Change]] = {
    "STORE": _store,
    "SET": _set,
    "DELETE": _delete,
}


def _text(arguments: Parser) -> str:
    arguments.sp()
    return arguments.astring().decode("utf-8", "surrogateescape")


def _rights(arguments: Parser) -> str:
    return acl_letters.given(_text(arguments), extended=False)


def _failed(session: Session, found: Mailbox, text: str) -> bytes:
    return f"* ACLFAILED {mailbox.quoted(session, found.name)} {text}\r\n".encode()


def _invalid(session: Session, found: Mailbox, error: InvalidAcl) -> Iterator[bytes]:
    if error.subject not in _MINIMUM:  # a malformed identifier
        yield _failed(session, found, "ACLs may not be modified for special mailbox")
        return
    told = mailbox.quoted(session, found.name)
    yield f'* RIGHTS-INFO {told} "{error.subject}" {_MINIMUM[error.subject]}\r\n'.encode()
