"""From a command's argument to a mailbox that its user may use so, and the numbers in a sequence set to messages."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from courier.maildir.folder import Folder
from courier.maildir.linked_folder import LinkedFolder
from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from imapd import names
from imapd.completion import Bad, CommandFailed, InvalidArgument, No
from imapd.mailboxes import Mailbox
from imapd.wire import utf7
from imapd.wire.parser import ParseError, Parser, SequenceSet

if TYPE_CHECKING:
    from imapd.account_session import AccountSession
    from imapd.session import Session


def argument(session: Session, arguments: Parser) -> str:
    """Read a mailbox name, and give the name by which the mailbox goes. Raises as `supplied`."""
    return settled(session, supplied(session, arguments))


def supplied(session: Session, arguments: Parser) -> str:
    """Read a mailbox name as the client spells it.

    Raises:
        InvalidArgument: there is none. Courier: ``BAD Invalid command``.
        InvalidName: it can't be decoded.
    """
    return names.decode(_octets(arguments), utf8=session.utf8)


def supplied_new(session: Session, arguments: Parser) -> str:
    """Read a name that a mailbox shall get. Raises as `supplied`.

    RFC 3501 5.1.3: one that modified UTF-7 has otherwise is none. It would be kept, and told, in another form.
    """
    octets = _octets(arguments)
    name = names.decode(octets, utf8=session.utf8)
    if not session.utf8 and utf7.encode(name) != octets:
        raise names.InvalidName
    return name


def _octets(arguments: Parser) -> bytes:
    try:
        arguments.sp()
        return arguments.astring()
    except ParseError as error:
        raise InvalidArgument from error


def settled(session: Session, name: str) -> str:
    """Give the name by which a mailbox goes: in Unicode's normalization form C (RFC 9051 5.1).

    Whoever speaks modified UTF-7 means what he says, as with Courier; and what there is on disk under
    exactly this name is meant by it.
    """
    if not session.utf8 or unicodedata.is_normalized("NFC", name):
        return name
    found = session.mailboxes.find(name)
    return name if found is not None and found.exists else unicodedata.normalize("NFC", name)


def existing(session: Session, name: str, command: str, rights: str) -> Mailbox:
    """Give a mailbox that exists, and on which one of these rights is held.

    Raises:
        NotFound: it does not exist, or its user may not know of it (RFC 4314 6).
        AccessDenied: he may know of it, and has none of these rights.
    """
    found = session.mailboxes.find(name)
    if found is None or not found.exists:
        raise names.NotFound
    require(session, found, command, rights)
    return found


def destination(session: Session, name: str, command: str, refusal: str) -> Mailbox:
    """Give the mailbox that messages are to be added to.

    Raises:
        InvalidName: there can't be such a mailbox.
        AccessDenied: no messages may be added by this user, or to such a mailbox by anybody.
        CommandFailed: there is none yet, as far as he may know; he may try to create it.
    """
    found = session.mailboxes.find(name)
    if found is None:
        raise names.InvalidName
    if found.is_level or (found.farm and not found.exists):
        raise AccessDenied(session, command, found, "i")
    if not found.exists or not found.may("li"):
        raise CommandFailed(No(refusal, "TRYCREATE"))
    require(session, found, command, "i")
    return found


def require(session: Session, found: Mailbox, command: str, rights: str) -> None:
    """See to it that one of these rights is held on a mailbox.

    Raises: as `existing`.
    """
    if found.may(rights):
        return
    if not found.is_visible:
        raise names.NotFound
    raise AccessDenied(session, command, found, rights[-1])


def opened(session: AccountSession, found: Mailbox, *, subscribe: bool = False) -> Folder:
    """Give a mailbox's folder, as all sessions of this process share it.

    Args:
        subscribe: to a folder that permissions share. Courier: any look at one does that.

    Raises:
        OSError: it can't be opened.
    """
    farm = found.farm
    if farm is None:
        return session.store.open(found.directory)
    if subscribe:
        farm.make()
    folder = session.store.open(
        farm.look(), lambda path, options: LinkedFolder(path, farm.source, options)
    )
    assert isinstance(folder, LinkedFolder)
    folder.update_links()
    return folder


class AccessDenied(CommandFailed):
    """A right is missing, on a mailbox of which the client may know."""

    def __init__(self, session: Session, command: str, found: Mailbox, right: str) -> None:
        told = quoted(session, found.name)[1:-1]
        text = f'Access denied for {command} on {told} (ACL "{right}" required)'
        super().__init__(No(text, "NOPERM"))


def quoted(session: Session, name: str) -> str:
    """Give a name as a client may be told it, in quotes."""
    return (names.encode(name, utf8=session.utf8) or b'""').decode()


def messages(view: View, which: SequenceSet, *, by_uid: bool) -> NumberSet:
    """Resolve a set to sequence numbers of messages that are in the mailbox.

    UIDs that nobody has are passed over (RFC 9051 6.4.9).

    Raises:
        CommandFailed: a sequence number is above the last message's.
    """
    if which.is_saved:  # RFC 5182 2.1
        return NumberSet((begin + 1, end) for begin, end in view.saved.slices(view.uids))
    exists = len(view.uids)
    last = (view.uids[-1] if exists else 0) if by_uid else exists
    ranges = []
    for low, high in which.ranges:
        if not by_uid:
            # RFC 9051 9, seq-number. That "n:*" has the last message even if n is above it is true of UIDs.
            for number in (low or 0, high or 0):
                if number > exists:
                    raise CommandFailed(Bad(f"Invalid message sequence number: {number}"))
            if not exists:
                raise CommandFailed(Bad("Invalid message sequence number: *"))
        pair = (last if low is None else low, last if high is None else high)
        if pair != (0, 0):
            ranges.append(pair)
    wanted = NumberSet(ranges)
    if not by_uid:
        return wanted
    return NumberSet((begin + 1, end) for begin, end in wanted.slices(view.uids))


def sequence_numbers(wanted: NumberSet) -> Iterator[int]:
    """Give the numbers of a set of messages, ascending."""
    for low, high in wanted.ranges():
        yield from range(low, high + 1)
