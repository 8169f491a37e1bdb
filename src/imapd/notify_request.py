"""What NOTIFY asks for: which events of which mailboxes. RFC 5465 3.1, 6 and 8."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imapd import mailbox, names
from imapd.completion import Bad, CommandFailed, No
from imapd.pattern import levels_above
from imapd.wire.fetch_att import FetchItem, fetch_items
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

#: Mailbox names of one command, and event groups.
_MAX_NAMES = 500
_MAX_GROUPS = 100
#: Names of other people's mailboxes, below which all others are looked for.
_MAX_ELSEWHERE = 20


class Event(enum.Enum):
    """The events that there are here; of AnnotationChange there are none (RFC 5257)."""

    NEW = "MessageNew"
    EXPUNGE = "MessageExpunge"
    FLAGS = "FlagChange"
    NAME = "MailboxName"
    SUBSCRIPTION = "SubscriptionChange"
    ANNOTATIONS = "MailboxMetadataChange"
    SERVER = "ServerMetadataChange"


OF_MESSAGES = frozenset((Event.NEW, Event.EXPUNGE, Event.FLAGS))
_EVENTS = {event.value.upper(): event for event in Event}
UNSUPPORTED = No("There are no such events.", f"BADEVENT ({' '.join(e.value for e in Event)})")


class Filter(enum.Enum):
    """Which mailboxes an event group is of."""

    SELECTED = "SELECTED"
    DELAYED = "SELECTED-DELAYED"
    INBOXES = "INBOXES"  # mail is delivered to any folder: the same as PERSONAL (RFC 5465 6.3)
    PERSONAL = "PERSONAL"
    SUBSCRIBED = "SUBSCRIBED"
    SUBTREE = "SUBTREE"
    MAILBOXES = "MAILBOXES"


@dataclass(frozen=True, slots=True)
class Selected:
    """What is told of the selected mailbox."""

    events: frozenset[Event] = OF_MESSAGES
    items: tuple[FetchItem, ...] = ()  # of each new message
    is_immediate: bool = False  # also between commands
    tells_expunge: bool = False  # even that messages are gone


#: Until a client has used NOTIFY.
DEFAULT = Selected()
NOTHING = Selected(frozenset())


@dataclass(frozen=True, slots=True)
class Group:
    """An event group that is not of the selected mailbox alone."""

    filter: Filter
    names: frozenset[str]
    events: frozenset[Event]

    def covers(self, name: str, subscribed: frozenset[str]) -> bool:
        """Tell whether a mailbox of this name, if there is one, is meant."""
        if self.filter is Filter.SUBSCRIBED:
            return name in subscribed
        if self.filter is Filter.MAILBOXES:
            return name in self.names
        if self.filter is Filter.SUBTREE:
            return name in self.names or not self.names.isdisjoint(levels_above(name))
        return is_own(name)


@dataclass(frozen=True, slots=True)
class NotifyRequest:
    """NOTIFY SET."""

    selected: Selected
    groups: tuple[Group, ...]
    status: bool = False

    @property
    def tells_server(self) -> bool:
        """Whether server annotations are to be told of, whatever mailboxes the group is of."""
        return any(Event.SERVER in group.events for group in self.groups)

    @property
    def concerns_others(self) -> bool:
        """Whether mailboxes may be meant that are not the account's own."""
        return any(
            group.filter is Filter.SUBSCRIBED or not all(map(is_own, group.names))
            for group in self.groups
        )

    def wants(self, *events: Event) -> bool:
        """Tell whether one of these events of some mailbox is wanted."""
        return any(not group.events.isdisjoint(events) for group in self.groups)

    def events(self, name: str, subscribed: frozenset[str]) -> frozenset[Event]:
        """Give the events of a mailbox of this name."""
        of_groups = (group.events for group in self.groups if group.covers(name, subscribed))
        return frozenset[Event]().union(*of_groups)


#: NOTIFY NONE.
NONE = NotifyRequest(NOTHING, ())


def is_own(name: str) -> bool:
    """Tell whether a mailbox of this name lies in the personal name space."""
    return name == "INBOX" or name.startswith("INBOX.")


def read(session: Session, arguments: Parser) -> NotifyRequest:
    """Read the arguments of NOTIFY.

    Raises:
        ParseError: they are malformed.
        CommandFailed: events that can't go together (BAD), or that there are not (NO).
    """
    arguments.sp()
    word = arguments.word()
    if word == "NONE":
        arguments.end()
        return NONE
    if word != "SET":
        raise arguments.fail("SET or NONE")
    arguments.sp()
    status = arguments.peek_word() == "STATUS"
    if status:
        arguments.word()
        arguments.sp()
    reader = _Reader(session, arguments)
    reader.group()
    while not arguments.at_end():
        arguments.sp()
        reader.group()
    arguments.end()
    return reader.request(status=status)


class _Reader:
    """Reads event-groups."""

    def __init__(self, session: Session, arguments: Parser) -> None:
        self._session = session
        self._arguments = arguments
        self._selected: Selected | None = None
        self._groups: list[Group] = []
        self._names = 0
        self._elsewhere = 0
        self._is_unsupported = False

    def request(self, *, status: bool) -> NotifyRequest:
        """Raises CommandFailed: there was an event that there is not here."""
        if self._is_unsupported:
            raise CommandFailed(UNSUPPORTED)
        return NotifyRequest(self._selected or NOTHING, tuple(self._groups), status)

    def group(self) -> None:
        """``event-group``."""
        arguments = self._arguments
        arguments.byte(b"(")
        try:
            which = Filter(arguments.word())
        except ValueError:
            raise arguments.fail("filter-mailboxes") from None
        names: frozenset[str] = frozenset()
        if which in (Filter.SUBTREE, Filter.MAILBOXES):
            arguments.sp()
            names = self._mailboxes()
            if which is Filter.SUBTREE:
                self._elsewhere += sum(not is_own(name) for name in names)
        arguments.sp()
        events, items = self._events()
        arguments.byte(b")")
        if which in (Filter.SELECTED, Filter.DELAYED):
            self._select(which, events, items)
        elif items is not None:
            raise CommandFailed(Bad("Only of the selected mailbox there are items."))
        else:
            self._groups.append(Group(which, names, events))
        are_many = self._names > _MAX_NAMES or self._elsewhere > _MAX_ELSEWHERE
        if len(self._groups) > _MAX_GROUPS or are_many:
            raise CommandFailed(No("Too many mailboxes.", "NOTIFICATIONOVERFLOW"))

    def _select(
        self, which: Filter, events: frozenset[Event], items: tuple[FetchItem, ...] | None
    ) -> None:
        if self._selected is not None:  # RFC 5465 6.1
            raise CommandFailed(Bad("The selected mailbox is named twice."))
        if not events <= OF_MESSAGES:
            raise CommandFailed(Bad("Only messages of the selected mailbox have events."))
        self._selected = Selected(events, items or (), True, which is Filter.SELECTED)

    def _mailboxes(self) -> frozenset[str]:
        """``one-or-more-mailbox``."""
        arguments = self._arguments
        found = arguments.parenthesised(self._mailbox) if arguments.at(b"(") else [self._mailbox()]
        self._names += len(found)
        return frozenset(found)

    def _mailbox(self) -> str:
        session = self._session
        name = names.decode(self._arguments.astring(), utf8=session.utf8)
        return names.with_inbox_in_capitals(mailbox.settled(session, name))

    def _events(self) -> tuple[frozenset[Event], tuple[FetchItem, ...] | None]:
        """``events``; and what of new messages is wanted."""
        arguments = self._arguments
        if not arguments.at(b"("):
            if arguments.word() != "NONE":
                raise arguments.fail("events")
            return frozenset(), None
        wanted: list[tuple[FetchItem, ...]] = []
        words = arguments.parenthesised(lambda: self._event(wanted))
        events = frozenset(_EVENTS[word] for word in words if word in _EVENTS)
        self._is_unsupported |= not _EVENTS.keys() >= set(words)
        self._check(words)
        return events, wanted[-1] if wanted else None

    def _event(self, wanted: list[tuple[FetchItem, ...]]) -> str:
        """``event``; ``fetch-att``s behind MessageNew go into ``wanted``."""
        arguments = self._arguments
        word = arguments.word()
        if word == "MESSAGENEW" and arguments.at(b" ("):
            arguments.sp()
            wanted.append(tuple(fetch_items(arguments)))
        return word

    def _check(self, words: Iterable[str]) -> None:
        """See to it that what depends on each other is together (RFC 5465 5)."""
        has = {"MESSAGENEW", "MESSAGEEXPUNGE"}.intersection(words)
        if len(has) == 1 or (not has and {"FLAGCHANGE", "ANNOTATIONCHANGE"}.intersection(words)):
            raise CommandFailed(Bad("MessageNew and MessageExpunge go together, and are needed."))
