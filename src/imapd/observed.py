"""Which mailboxes NOTIFY is about at a moment, and what is known of them (RFC 5465 3.1, 5.9, 6).

Only those that the client may LIST are among them, whatever he has named.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from courier.maildir.annotations import Annotations
from courier.maildir.tally import Found
from imapd import annotation, listing, names, special_uses
from imapd.mailboxes import Mailbox
from imapd.notify_request import OF_MESSAGES, Event, Filter, NotifyRequest, is_own
from imapd.pattern import Patterns

if TYPE_CHECKING:
    from imapd.session import Session

#: Mailboxes that one client is told of.
MOST = 20_000


#: Of a folder's directory; it stays when the mailbox is renamed: device, inode, and, since an inode number is
#: soon given to another directory, when its file `maildirfolder` was made (0: there is none).
Identity = tuple[int, int, int]


class TooMany(OSError):
    """There are more mailboxes than a client can be told of."""


@dataclass(slots=True)
class Observed:
    """A mailbox that there is, and what the client has been told of it."""

    mailbox: Mailbox
    events: frozenset[Event]
    identity: Identity | None
    found: Found | None = None  # numbers; None: they have to be told whatever they are
    annotations: dict[str, int] = field(default_factory=dict)  # hashes of values by entry

    @property
    def watches_messages(self) -> bool:
        """Whether its messages are looked at: it has events, and may be read (RFC 5465 5)."""
        return not self.events.isdisjoint(OF_MESSAGES) and self.mailbox.may("r")

    @property
    def is_refused(self) -> bool:
        """Whether the client has asked for events for which he lacks a right."""
        return not self.events.isdisjoint(OF_MESSAGES) and not self.mailbox.may("r")

    @property
    def watches_annotations(self) -> bool:
        return Event.ANNOTATIONS in self.events and annotation.is_readable(self.mailbox)

    @property
    def directory(self) -> str:
        """Where its messages change."""
        farm = self.mailbox.farm
        return self.mailbox.directory if farm is None else farm.source


@dataclass(frozen=True, slots=True)
class Picture:
    """All that there is."""

    mailboxes: dict[str, Observed]
    subscribed: frozenset[str]
    tops: frozenset[str]  # maildirs whose folders come and go


def look(session: Session, request: NotifyRequest) -> Picture:
    """Find the mailboxes; in a thread.

    Raises:
        TooMany: so many that they are not observed.
        OSError: the account's own maildir can't be read.
    """
    subscribed: dict[str, Mailbox] = {}
    if request.wants(Event.SUBSCRIPTION) or any(
        group.filter is Filter.SUBSCRIBED for group in request.groups
    ):
        for elsewhere in (False, True):
            found = listing.subscribed(session.mailboxes, session.tree.path, elsewhere=elsewhere)
            subscribed.update((one.name, one) for one in found)
    subscriptions = frozenset(subscribed)
    tops = {session.tree.path}
    mailboxes: dict[str, Observed] = {}
    for one in _candidates(session, request, subscribed.values()):
        if one.tree is not None:
            tops.add(one.tree.path)
        if not (one.is_visible and one.exists) or one.name in mailboxes:
            continue
        if names.encode(one.name, utf8=session.utf8) is None:
            continue  # no client can be told of it
        events = request.events(one.name, subscriptions)
        if events and not one.is_level:
            mailboxes[one.name] = Observed(one, events, _identity(one))
            if len(mailboxes) > MOST:
                raise TooMany
    return Picture(mailboxes, subscriptions, frozenset(tops))


def _candidates(
    session: Session, request: NotifyRequest, subscribed: Iterable[Mailbox]
) -> Iterator[Mailbox]:
    """Give mailboxes that may be meant, and others; own ones are listed once, whatever is asked for."""
    lists_own = False
    below: set[str] = set()
    for group in request.groups:
        if group.filter is Filter.SUBSCRIBED:
            yield from subscribed
        elif group.filter in (Filter.MAILBOXES, Filter.SUBTREE):
            for name in group.names:
                found = session.mailboxes.find(name)
                if found is not None:
                    yield found
            if group.filter is Filter.SUBTREE:
                lists_own |= any(map(is_own, group.names))
                below.update(name for name in group.names if not is_own(name))
        else:
            lists_own = True
    if lists_own:
        yield from session.mailboxes.listed(Patterns(["INBOX", "INBOX.*"]))
    for name in below:
        # Wildcards in the name find too much, of which no event is wanted.
        yield from session.mailboxes.listed(Patterns([f"{name}.*"]))


def _identity(one: Mailbox) -> Identity | None:
    try:
        found = os.stat(one.directory)
    except OSError:
        return None
    try:
        made_ns = os.stat(os.path.join(one.directory, "maildirfolder")).st_ctime_ns
    except OSError:
        made_ns = 0
    return found.st_dev, found.st_ino, made_ns


UsesByName = Mapping[str, special_uses.Uses]


def uses(session: Session) -> UsesByName:
    """Give the special uses of the account's own mailboxes, by name; in a thread."""
    used = special_uses.of_all(session.settings, session.tree, session.mailboxes.look())
    return {names.mailbox(folder): words for folder, words in used.items()}


def annotated(
    session: Session, of: Iterable[Observed], used: UsesByName
) -> dict[str, dict[str, int]]:
    """Give the hashes of all annotations' values by mailbox and entry; in a thread."""
    values = annotation.of_several(session, [one.mailbox for one in of], used)
    return {name: hashes(found) for name, found in values}


def hashes(found: Annotations) -> dict[str, int]:
    return {entry: hash(value) for entry, value in found.items()}


def changed(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """Give the entries that came, went or have other values."""
    return sorted(
        entry for entry in before.keys() | after.keys() if before.get(entry) != after.get(entry)
    )
