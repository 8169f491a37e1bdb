"""MessageNew, MessageExpunge and FlagChange in mailboxes that are not selected: STATUS responses (RFC 5465
3.1, 5.1 to 5.3)."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from courier.maildir.tally import Found
from courier.process.request import Work
from imapd import status_items
from imapd.notify_request import Event
from imapd.observed import Observed
from imapd.request import Step

if TYPE_CHECKING:
    from imapd.session import Session

#: Mailboxes that are looked at before others get their turn.
_SLICE = 50
_OF_MESSAGES = ("MESSAGES", "UIDNEXT", "UIDVALIDITY")
_HIGHEST = "HIGHESTMODSEQ"


def first(
    session: Session, mailboxes: Iterable[Observed], *, tells: bool, came: Iterable[str] = ()
) -> Generator[Step, None, None]:
    """Learn the numbers to compare with later.

    Args:
        tells: the client wants to be told of them.
        came: mailboxes that have come to be; if they have messages already, these are told.
    """
    fresh = frozenset(came)
    rest = (one for one in mailboxes if one.watches_messages)
    while slice_ := list(islice(rest, _SLICE)):
        counted = [one for one in slice_ if not session.is_selected(one.mailbox)]
        has_modseqs = session.changes.enabled.modseqs or (
            tells and any(_HIGHEST in _first_items(session, one) for one in counted)
        )
        yield from _read(session, [one for one in counted if one.found is None], has_modseqs)
        lines = []
        for one in counted:
            if one.found is None:
                continue
            if tells:
                lines.append(_response(session, one, _first_items(session, one)))
            elif one.mailbox.name in fresh and one.found.numbers.messages:
                lines.append(_response(session, one, _items_of_messages(session)))
        yield b"".join(lines)


def changed(
    session: Session, mailboxes: Iterable[Observed], own: Mapping[str, int]
) -> Generator[Step, None, None]:
    """Look at mailboxes, and tell what others did there.

    Args:
        own: how many messages this client has put into mailboxes meanwhile, by their names.
    """
    rest = (one for one in mailboxes if one.watches_messages)
    while slice_ := list(islice(rest, _SLICE)):
        counted = [one for one in slice_ if not session.is_selected(one.mailbox)]
        old = [one.found for one in counted]
        yield from _read(session, counted, session.changes.enabled.modseqs)
        lines = []
        for one, before in zip(counted, old, strict=True):
            items = _news(session, one, before, own.get(one.mailbox.name, 0))
            if items:
                lines.append(_response(session, one, items))
        yield b"".join(lines)


def _read(
    session: Session, mailboxes: Sequence[Observed], has_modseqs: bool
) -> Generator[Step, dict[str, Found], None]:
    if not mailboxes:
        return
    # A MODSEQ is one of what has been read: where none is needed, numbers are all that is looked for.
    needs = has_modseqs and any(Event.NEW in one.events for one in mailboxes)
    wanted = (_HIGHEST,) if needs else ()
    names = [one.mailbox for one in mailboxes]
    found = yield Work(partial(status_items.read_several, session, names, wanted))
    for one in mailboxes:
        one.found = found.get(one.mailbox.name)


def _news(session: Session, one: Observed, before: Found | None, added: int) -> list[str]:
    """Give the items that have to be told of a mailbox that was looked at."""
    if one.found is None:
        return []
    now = one.found.numbers
    if before is None or before.numbers.uidvalidity != now.uidvalidity:
        return _items_of_messages(session)
    old = before.numbers
    items: set[str] = set()
    if (now.messages, now.uidnext) == (old.messages + added, old.uidnext + added):
        if added:
            return []  # this client's own; what others changed beside comes with their next change
    elif Event.NEW in one.events:
        items.update(_items_of_messages(session))
    if Event.FLAGS in one.events:
        if now.unseen != old.unseen:
            items.update(("UNSEEN", "UIDVALIDITY"))
        if session.changes.enabled.modseqs and one.found.highest != before.highest:
            items.update((_HIGHEST, "UIDVALIDITY"))
    return sorted(items)


def _items_of_messages(session: Session) -> list[str]:
    more = [_HIGHEST] if session.changes.enabled.modseqs else []
    return [*_OF_MESSAGES, *more]


def _first_items(session: Session, one: Observed) -> list[str]:
    """Give what NOTIFY SET STATUS tells (RFC 5465 3.1)."""
    if Event.FLAGS not in one.events:
        return list(_OF_MESSAGES)
    more = [_HIGHEST] if session.settings.extensions else []
    return [*_OF_MESSAGES, "UNSEEN", *more]


def _response(session: Session, one: Observed, items: Sequence[str]) -> bytes:
    assert one.found is not None
    return status_items.response(session, one.mailbox.name, one.found, items)
