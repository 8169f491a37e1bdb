"""Where a search over several mailboxes looks: source options (RFC 7377 2.2, RFC 5465 6)."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imapd import listing, mailbox, names
from imapd.completion import CommandFailed, No
from imapd.mailboxes import Mailbox
from imapd.pattern import SEPARATOR, Patterns
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


class Kind(enum.Enum):
    SELECTED = "SELECTED"
    INBOXES = "INBOXES"  # mail may be delivered to any folder: the same as PERSONAL (RFC 5465 6.3)
    PERSONAL = "PERSONAL"
    SUBSCRIBED = "SUBSCRIBED"
    SUBTREE = "SUBTREE"
    SUBTREE_ONE = "SUBTREE-ONE"
    MAILBOXES = "MAILBOXES"


#: Mailboxes of which those below are searched, too, in one command: each costs a look at all there are.
_MAX_TREES = 100
_NAMED = (Kind.SUBTREE, Kind.SUBTREE_ONE, Kind.MAILBOXES)


@dataclass(frozen=True, slots=True)
class Source:
    """A filter-mailboxes, with the names that belong to it."""

    kind: Kind
    names: tuple[str, ...] = ()


#: What is searched if nothing is said.
SELECTED = (Source(Kind.SELECTED),)


def read(session: Session, arguments: Parser) -> tuple[Source, ...] | None:
    """Read ``["IN" SP "(" filter-mailboxes *(SP filter-mailboxes) ")" SP]``; None: nothing is said.

    Raises:
        ParseError: not one of these, or a scope option, of which none are defined.
        InvalidName: a name can't be decoded.
        CommandFailed: too many names.
    """
    if arguments.peek_word() != "IN":
        return None
    arguments.word()
    arguments.sp()
    found = dict.fromkeys(arguments.parenthesised(lambda: _source(session, arguments)))
    arguments.sp()
    trees = [name for one in found if one.kind is not Kind.MAILBOXES for name in one.names]
    if len(trees) > _MAX_TREES:
        raise CommandFailed(No("Too many mailboxes.", "LIMIT"))
    return tuple(found)


def _source(session: Session, arguments: Parser) -> Source:
    try:
        kind = Kind(arguments.word())
    except ValueError as error:
        raise arguments.fail("filter-mailboxes") from error
    if kind not in _NAMED:
        return Source(kind)
    arguments.sp()

    def name() -> str:
        decoded = names.decode(arguments.astring(), utf8=session.utf8)
        return names.with_inbox_in_capitals(mailbox.settled(session, decoded))

    if arguments.at(b"("):
        return Source(kind, tuple(arguments.parenthesised(name)))
    return Source(kind, (name(),))


def mailboxes(session: Session, sources: tuple[Source, ...]) -> list[Mailbox]:
    """Give the mailboxes meant that may be searched, each once; not those that are ``SELECTED``.

    Where a right is missing it is as if there were no mailbox (RFC 7377 2.2): the right to read, and for
    those that are not named the right to know of them.

    Raises: OSError.
    """
    found: dict[str, Mailbox] = {}
    for source in sources:
        for one in _meant(session, source):
            if one.exists and not one.is_level and one.may("r"):
                found.setdefault(one.name, one)
    return list(found.values())


def _meant(session: Session, source: Source) -> Iterator[Mailbox]:
    """Give the mailboxes of one source. Those that are not named are ones that the user may know of."""
    for name in source.names:
        one = session.mailboxes.find(name)
        if one is not None:
            yield one
        if source.kind is not Kind.MAILBOXES:
            top = name + SEPARATOR
            for below in session.mailboxes.listed(Patterns([top + "*"])):
                is_child = SEPARATOR not in below.name[len(top) :]
                if below.name.startswith(top) and (is_child or source.kind is Kind.SUBTREE):
                    yield below
    if source.kind in (Kind.PERSONAL, Kind.INBOXES):
        yield from session.mailboxes.listed(Patterns(["INBOX", "INBOX.*"]))
    if source.kind is Kind.SUBSCRIBED:
        for elsewhere in (False, True):
            for one in listing.subscribed(
                session.mailboxes, session.tree.path, elsewhere=elsewhere
            ):
                if one.is_visible:
                    yield one
