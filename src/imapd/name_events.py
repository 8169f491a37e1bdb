"""MailboxName and SubscriptionChange: LIST responses about names that came, went, or changed (RFC 5465 5.4,
5.5, 5.9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imapd import listing
from imapd.commands.list import line, old_name
from imapd.listing import Entry
from imapd.mailboxes import Mailbox
from imapd.notify_request import Event, NotifyRequest
from imapd.observed import Observed, Picture
from imapd.pattern import Patterns, levels_above

if TYPE_CHECKING:
    from imapd.session import Session


@dataclass(slots=True)
class Own:
    """What the client has done itself, of which it is not told."""

    names: set[str] = field(default_factory=set)
    renames: set[tuple[str, str]] = field(default_factory=set)

    def has_moved(self, old: str, new: str) -> bool:
        return _has_moved(self.renames, old, new)

    def covers(self, name: str) -> bool:
        moved = {one for pair in self.renames for one in pair}
        return name in self.names or any(name == one or name.startswith(one + ".") for one in moved)


def no_access(session: Session, one: Mailbox) -> bytes:
    """Tell that events were asked for that the client may not have (RFC 5465 3.1)."""
    return line(session, Entry(one.name, ("\\NoAccess",), one))


def told(
    session: Session, request: NotifyRequest, before: Picture, now: Picture, own: Own
) -> bytes:
    """Give the responses about all that is different; in a thread."""
    writer = _Writer(session, request, before, now, own)
    return b"".join((*writer.names(), *writer.subscriptions()))


class _Writer:
    def __init__(
        self, session: Session, request: NotifyRequest, before: Picture, now: Picture, own: Own
    ) -> None:
        self._session = session
        self._request = request
        self._before = before
        self._now = now
        self._own = own
        self._levels: frozenset[str] | None = None

    def names(self) -> Iterator[bytes]:
        """Tell of mailboxes that came, went, or have another name."""
        gone = _without(self._before.mailboxes, self._now.mailboxes)
        came = _without(self._now.mailboxes, self._before.mailboxes)
        parents: dict[str, None] = {}
        moved: set[tuple[str, str]] = set()
        by_identity = {one.identity: name for name, one in gone.items()}
        for name, one in sorted(came.items()):
            is_known = one.identity is not None and one.identity[-1] != 0
            old = by_identity.get(one.identity) if is_known else None
            if old is not None:
                del gone[old]
                # RFC 5465 5.4: those below it are renamed, too, and nothing is said of them.
                if _has_moved(moved, old, name) or self._own.has_moved(old, name):
                    continue
                moved.add((old, name))
            if not self._is_told(name, one):
                continue
            yield self._line(name, old)
            if old is None:
                parents[name.rpartition(".")[0]] = None
        for name, one in sorted(gone.items()):
            if self._own.covers(name):
                continue
            if Event.NAME in one.events:
                yield self._line(name)
                parents[name.rpartition(".")[0]] = None
            elif one.watches_messages:  # RFC 5465 5.9
                found = self._session.mailboxes.find(name)
                if found is not None and found.exists:
                    yield no_access(self._session, one.mailbox)
        # RFC 5465 5.4: the direct parent is affected, too, whether there is a mailbox or not.
        for parent in parents:
            events = self._request.events(parent, self._now.subscribed)
            if Event.NAME in events and parent not in came and parent not in gone:
                yield self._line(parent)
        for name, one in self._now.mailboxes.items():
            known = self._before.mailboxes.get(name)
            if known is not None and known.is_refused and not one.is_refused:
                yield self._line(name)

    def _is_told(self, name: str, one: Observed) -> bool:
        return Event.NAME in one.events and not self._own.covers(name)

    def subscriptions(self) -> Iterator[bytes]:
        """Tell what was subscribed to, and what is no more."""
        before, now = self._before.subscribed, self._now.subscribed
        for name in sorted(before ^ now):
            events = self._request.events(name, before | now)
            if Event.SUBSCRIPTION in events and name not in self._own.names:
                yield self._line(name)

    def _line(self, name: str, old: str | None = None) -> bytes:
        found = self._session.mailboxes.find(name)
        if found is None:
            return b""
        if not found.is_visible:  # what a client may not see is not there
            found = found._replace(exists=False)
        entry = listing.announced(
            self._session.mailboxes, found, has_below=name in self._all_levels(found)
        )
        if name in self._now.subscribed:
            entry = entry._replace(attributes=("\\Subscribed", *entry.attributes))
        return line(self._session, entry, b"" if old is None else old_name(self._session, old))

    def _all_levels(self, of: Mailbox) -> frozenset[str]:
        """Give the names above mailboxes: looked for once, however many names are told."""
        if not of.name.startswith("INBOX"):
            return frozenset((of.name,) if self._session.mailboxes.has_below(of) else ())
        if self._levels is None:
            listed = self._session.mailboxes.listed(Patterns(["INBOX", "INBOX.*"]))
            self._levels = frozenset(level for one in listed for level in levels_above(one.name))
        return self._levels


def _without(names: dict[str, Observed], others: Iterable[str]) -> dict[str, Observed]:
    there = set(others)
    return {name: one for name, one in names.items() if name not in there}


def _has_moved(renames: Iterable[tuple[str, str]], old: str, new: str) -> bool:
    """Tell whether a rename is one of these, or of a mailbox below one of them."""
    return any(
        (old == one and new == other)
        or (old.startswith(one + ".") and new == other + old[len(one) :])
        for one, other in renames
    )
