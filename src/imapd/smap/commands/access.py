"""ACL, GETACL, SETACL, DELETEACL: rights on a folder, identifiers as they stand in its file."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir import acl as lists
from courier.maildir.acl import Acl, InvalidAcl
from courier.process.request import Work
from imapd.commands import acl as imap_acl
from imapd.mailboxes import Mailbox
from imapd.smap import paths
from imapd.smap.refusal import AccessDenied, Refused, failed, missing
from imapd.smap.words import Words, quoted

if TYPE_CHECKING:
    from imapd.smap.session import Session

#: Who has one of these may know the rights on a folder.
_MAY_KNOW = "lricxea"
_MINIMUM = b"* ACLMINIMUM owner al c e i p r s t w x\n"
#: Pairs of identifier and rights in one line.
_IN_A_LINE = 6


def acl(session: Session, words: Words) -> Generator[Any, Any, str]:
    found = _found(session, words, _MAY_KNOW)
    yield b"* ACL %b\n" % quoted(found.rights)
    return "ACLs retrieved"


def getacl(session: Session, words: Words) -> Generator[Any, Any, str]:
    found = _found(session, words, "a")
    yield from _told(session, found)
    return "ACLs retrieved"


def setacl(session: Session, words: Words) -> Generator[Any, Any, str]:
    found = _found(session, words, "a")
    rest = list(words.rest())
    changes = list(zip(rest[::2], [*rest[1::2], ""][: len(rest[::2])], strict=True))

    def change(list_: Acl) -> Acl:
        for identifier, wanted in changes:
            rights = lists.changed(list_.get(identifier) or "", wanted)
            list_ = list_.with_rights(identifier, rights) if rights else list_.without(identifier)
        return list_

    return (yield from _change(session, found, change, [one for one, _ in changes]))


def deleteacl(session: Session, words: Words) -> Generator[Any, Any, str]:
    found = _found(session, words, "a")
    identifiers = list(words.rest())

    def change(list_: Acl) -> Acl:
        for identifier in identifiers:
            list_ = list_.without(identifier)
        return list_

    return (yield from _change(session, found, change, []))


def _found(session: Session, words: Words, rights: str) -> Mailbox:
    try:
        found = paths.find(session, words.list())
    except OSError as error:
        raise failed("Invalid folder", error) from error
    return paths.require(found, rights)


def _change(
    session: Session, found: Mailbox, change: lists.Change, named: list[str]
) -> Generator[Any, Any, str]:
    if not all(map(lists.is_identifier, named)):
        raise failed("Error")
    if not found.exists and not session.mailboxes.has_below(found):
        # Courier takes a list for what is not there; here it would be in force for nothing.
        raise failed("Invalid folder", missing())
    try:
        yield Work(partial(imap_acl.change, session, found, change))
    except InvalidAcl as error:
        if error.subject == lists.OWNER:
            yield _MINIMUM
        raise Refused("ACL update failed") from error
    except OSError as error:
        log.error("cannot write access control list", found.directory, error)
        raise Refused("ACL update failed") from error
    try:
        session.recheck_rights()
    except AccessDenied:
        pass  # the next command that reads the open folder will hear of that
    yield from _told(session, found)
    return "Updated ACLs"


def _told(session: Session, found: Mailbox) -> Iterator[bytes]:
    files = session.mailboxes.lists(found)
    entries = files.read(found.folder).entries if files else ()
    for at in range(0, len(entries), _IN_A_LINE):
        pairs = (
            b" %b %b" % (quoted(identifier), quoted(rights))
            for identifier, rights in entries[at : at + _IN_A_LINE]
        )
        yield b"* GETACL" + b"".join(pairs) + b"\n"
