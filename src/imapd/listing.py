"""Which names LIST and LSUB tell of, and with which attributes. RFC 5258 3, RFC 9051 6.3.9 and 7.3.1,
RFC 3348.

A name may stand for a mailbox that exists, for one that is only subscribed to, or for a level above
others. A level is told as ``\\Noselect`` to those who ask as RFC 3501 has it (Courier), and as
``\\NonExistent`` to those who ask as RFC 5258 has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from courier.maildir import subscriptions
from courier.maildir.acl import Acl
from imapd import names
from imapd.list_request import ListRequest
from imapd.mailboxes import Mailbox, Mailboxes
from imapd.pattern import ELSEWHERE, Patterns, levels_of
from imapd.special_uses import Uses


class Entry(NamedTuple):
    """One name that is told of."""

    name: str
    attributes: tuple[str, ...]
    mailbox: Mailbox | None  # None: there is none of this name
    is_selected: bool = True  # by the options; False: told because of names below it
    has_selected_below: bool = False  # told with RECURSIVEMATCH alone


@dataclass(frozen=True, slots=True)
class Names:
    """What there is, for one command."""

    existing: dict[str, Mailbox]  # and groups of accounts, which are levels
    subscribed: frozenset[str]
    levels: Collection[str]  # above mailboxes that exist
    uses: Mapping[str, Uses]  # special ones, where they are asked for


def plain(
    mailboxes: Mailboxes,
    candidates: Collection[Mailbox],
    wanted: Patterns,
    uses: Mapping[str, Uses] = MappingProxyType({}),
) -> Iterator[Entry]:
    """Give an entry for each candidate that matches, and for each level above one that does.

    The order is Courier's; candidates may be mailboxes that don't exist (LSUB).

    Args:
        uses: special ones, where they are told.
    """
    levels = levels_of(one.name for one in candidates)
    for one in candidates:
        if wanted.matches(one.name):
            entry = described(mailboxes, one, levels)
            if one.name in uses:
                entry = entry._replace(attributes=entry.attributes + uses[one.name])
            yield entry
    children = _children(mailboxes, has=True)
    for level in sorted(levels.difference(one.name for one in candidates)):
        if wanted.matches(level):
            yield Entry(level, ("\\Noselect", *children), None)


def described(mailboxes: Mailboxes, one: Mailbox, levels: Collection[str]) -> Entry:
    """Give the entry of one mailbox as a plain LIST has it.

    Args:
        levels: names that others are below.
    """
    has_children = one.is_level or one.name in levels  # a group of accounts is one
    attributes = _selectability(mailboxes, one) + _children(mailboxes, has=has_children)
    return Entry(one.name, attributes, one)


def announced(mailboxes: Mailboxes, one: Mailbox, *, has_below: bool) -> Entry:
    """Give the entry of a mailbox without what takes a look at its messages."""
    children = _children(mailboxes, has=has_below)
    return Entry(one.name, children if one.exists else ("\\NonExistent", *children), one)


def extended(
    mailboxes: Mailboxes, there: Names, wanted: Patterns, request: ListRequest
) -> Iterator[Entry]:
    """Give the entries that RFC 5258 wants, each name once."""
    recursive = "RECURSIVEMATCH" in request.selection
    is_restricted = not request.selection.isdisjoint(("SUBSCRIBED", "SPECIAL-USE"))
    selected: Collection[str] = there.existing
    if "SUBSCRIBED" in request.selection:
        selected = there.subscribed
    if "SPECIAL-USE" in request.selection:
        selected = [one for one in selected if one in there.uses]
    above = levels_of(selected) if recursive else set()
    # RFC 5258 3.5: a name that is not selected itself is told of for the sake of those below it
    # that are, and that are not told of themselves.
    above_others = (
        levels_of(one for one in selected if not wanted.matches(one)) if recursive else set()
    )
    others = there.levels if not is_restricted else above_others
    selected = frozenset(selected)
    for name in _in_order(there, selected.union(others)):
        if not wanted.matches(name):
            continue
        one = there.existing.get(name)
        attributes = _attributes(mailboxes, there, name, one, request)
        yield Entry(name, attributes, one, name in selected, name in above)


def unselectable(entry: Entry) -> Entry:
    """Give the entry of a name that turned out to stand for no mailbox that can be selected."""
    kept = (one for one in entry.attributes if one not in ("\\Marked", "\\Unmarked"))
    return entry._replace(attributes=("\\Noselect", *kept))


def subscribed(
    mailboxes: Mailboxes,
    maildir: str,
    *,
    elsewhere: bool,
    there: Mapping[str, Mailbox] = MappingProxyType({}),
) -> list[Mailbox]:
    """Give the mailboxes subscribed to, whether they exist or not.

    Args:
        elsewhere: those of other accounts, or all others.
        there: mailboxes that this command has found already.

    Raises: OSError.
    """
    known: dict[str, Acl] = {}
    found = []
    for name in dict.fromkeys(subscriptions.read(maildir)):
        if name.startswith(ELSEWHERE) == elsewhere:
            one = there.get(name) or mailboxes.find_among(name, None if elsewhere else known)
            if one is not None and one.farm is None:
                found.append(one)
    return found if elsewhere else [*found, *mailboxes.farms()]


def _attributes(
    mailboxes: Mailboxes, there: Names, name: str, one: Mailbox | None, request: ListRequest
) -> tuple[str, ...]:
    if one is None:
        attributes: tuple[str, ...] = ("\\NonExistent",)
    elif request.status and not one.is_level and not one.may("r"):
        attributes = ("\\Noselect",)  # RFC 5819 2: there is no STATUS of it
    else:
        attributes = _selectability(mailboxes, one)
    has_children = name in there.levels or (one is not None and one.is_level)
    attributes += ("\\HasChildren",) if has_children else ("\\HasNoChildren",)
    if name in there.subscribed and "SUBSCRIBED" in request.returns:
        attributes += ("\\Subscribed",)
    if name in there.uses and "SPECIAL-USE" in request.returns:
        attributes += there.uses[name]
    return attributes


def _selectability(mailboxes: Mailboxes, one: Mailbox) -> tuple[str, ...]:
    if one.is_level:  # a group of accounts
        return ("\\Noselect",)
    checked = mailboxes.settings.check_all_folders or one.name == names.INBOX
    # Whether there is something unseen is for those to know who may look.
    if checked and one.exists and one.may("r"):
        return ("\\Marked",) if mailboxes.has_unseen(one) else ("\\Unmarked",)
    return ()


def _children(mailboxes: Mailboxes, *, has: bool) -> tuple[str, ...]:
    if mailboxes.settings.obsolete_client:
        return () if has else ("\\Noinferiors",)
    return ("\\HasChildren",) if has else ("\\HasNoChildren",)


def _in_order(there: Names, wanted: frozenset[str]) -> Iterator[str]:
    """Give names as a plain LIST does: what exists first, then the rest by name."""
    yield from (name for name in there.existing if name in wanted)
    yield from sorted(wanted.difference(there.existing))
