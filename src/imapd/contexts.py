"""Contexts: what SEARCH and SORT found, kept true while their mailbox is selected (RFC 5267 4.3).

A context holds the UIDs that match. Where messages come, change or go, it looks at these alone; an
order is found anew, of the messages that match.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import compress
from typing import Any

from courier.maildir.columns import Column, row_of
from courier.maildir.numberset import NumberSet, runs
from courier.maildir.view import Update, View
from courier.process.request import Work
from imapd import keys, leaves, matching, order, result
from imapd.criterion import All, Criterion
from imapd.order import SortKey
from imapd.request import Step
from imapd.wire.fetch_att import FetchItem

#: Contexts of one mailbox, and messages whose order one may keep.
_MOST = 16
_MOST_SORTED = 50_000

#: UIDs to numbers as the client sees them; one that it does not know any more has none.
_Numbers = Callable[[Iterable[int]], list[int]]


class Context:
    """The results of one searching command."""

    def __init__(
        self,
        tag: bytes,
        criterion: Criterion,
        uids: Sequence[int],
        program: Sequence[SortKey] | None = None,
        *,
        by_uid: bool,
        correlator: bytes | None = None,
        items: tuple[FetchItem, ...] = (),
    ) -> None:
        """
        Args:
            uids: in the order of ``program``; None: in the mailbox's.
            correlator: by which the client knows the command; None: by its tag.
            items: what is told of new messages that match (RFC 5465 7).
        """
        self.tag = tag
        self._correlator = correlator or result.correlator(tag)
        self._criterion = criterion
        self._program = program
        self._by_uid = by_uid
        self.items = items
        self.came: Sequence[int] = ()  # UIDs that the last change has brought
        self._found = NumberSet.of(uids)
        self._sorted = list(uids) if program is not None else []

    @property
    def is_large(self) -> bool:
        """Tell whether its order would cost too much to keep."""
        return len(self._sorted) > _MOST_SORTED

    def refusal(self, why: str) -> bytes:
        """Say that there are no updates, or no more (RFC 5267 4.3.1)."""
        return b'* NO [NOUPDATE "%b"] %b\r\n' % (self.tag, why.encode("ascii"))

    def without(self, vanished: Sequence[int], numbers: _Numbers) -> bytes:
        """Take removed messages out, and tell so: before the client is told that they are gone."""
        gone = [uid for uid in vanished if uid in self._found]
        return self._removed(gone, numbers)

    def changed(self, view: View, touched: NumberSet) -> Generator[Step, Any, bytes]:
        """Look at messages that came or changed, and tell what that means for the results."""
        criterion = All([leaves.among(touched), self._criterion])
        found = yield from matching.find(criterion, view)
        gone, came = yield Work(partial(self._differences, view, touched, found))
        self.came = came

        def numbers(uids: Iterable[int]) -> list[int]:
            return [seq for uid in uids if (seq := view.seq(uid))]

        told: bytes = yield Work(partial(self._removed, gone, numbers))
        if came and self._program is not None:
            yield from self._sort(view, self._program)
        told += yield Work(partial(self._added, came, numbers))
        return told

    def _differences(
        self, view: View, touched: NumberSet, found: bytes
    ) -> tuple[list[int], list[int]]:
        """Give the UIDs of messages that match no longer, and of those that now do."""
        match = NumberSet(_uids(view, matching.set_ranges(found)))
        gone = [uid for uid in _among(view, touched) if uid in self._found and uid not in match]
        came = [uid for uid in _among(view, match) if uid not in self._found]
        self._found |= NumberSet.of(came)
        return gone, came

    def _added(self, came: Sequence[int], numbers: _Numbers) -> bytes:
        if not came:
            return b""
        places: Iterable[tuple[int, Sequence[int]]] = [(0, came)]
        if self._program is not None:
            places = _positions(self._sorted, frozenset(came))
        return self._told(b"ADDTO", places, numbers)

    def _removed(self, gone: Sequence[int], numbers: _Numbers) -> bytes:
        if not gone:
            return b""
        out = frozenset(gone)
        places: Iterable[tuple[int, Sequence[int]]] = [(0, gone)]
        if self._program is not None:
            # From the end: what is removed then moves nothing that is still to be.
            places = reversed(list(_positions(self._sorted, out)))
            self._sorted = [uid for uid in self._sorted if uid not in out]
        self._found = NumberSet(_ranges_without(self._found, out))
        return self._told(b"REMOVEFROM", places, numbers)

    def _sort(self, view: View, program: Sequence[SortKey]) -> Generator[Step, Any, None]:
        found = bytearray(len(view.uids))
        for begin, end in self._found.slices(view.uids):
            found[begin:end] = b"\1" * (end - begin)
        columns = yield from keys.columns(view, bytes(found), [key.name for key in program])

        def in_order() -> list[int]:
            uids = list(compress(view.uids, found))
            return [uids[place] for place in order.sort(program, columns, len(uids))]

        self._sorted = yield Work(in_order)

    def _told(
        self, name: bytes, places: Iterable[tuple[int, Sequence[int]]], numbers: _Numbers
    ) -> bytes:
        pairs = (
            b"%d %b" % (position, result.sequence_set(uids if self._by_uid else numbers(uids)))
            for position, uids in places
        )
        uid = b" UID" if self._by_uid else b""
        return b"* ESEARCH (%b)%b %b (%b)\r\n" % (self._correlator, uid, name, b" ".join(pairs))


class Contexts:
    """The contexts of the selected mailbox."""

    def __init__(self) -> None:
        self._contexts: dict[bytes, Context] = {}

    def __bool__(self) -> bool:
        return bool(self._contexts)

    def __contains__(self, tag: bytes) -> bool:
        return tag in self._contexts

    @property
    def wants_items(self) -> bool:
        """Whether FETCH responses of new messages are wanted."""
        return any(one.items for one in self._contexts.values())

    def items(self, uid: int) -> Iterator[FetchItem]:
        """Give what is to be told of a message that the last change has brought."""
        for one in self._contexts.values():
            if one.items and uid in one.came:
                yield from one.items

    def clear(self) -> None:
        self._contexts.clear()

    def give_up(self) -> bytes:
        """Forget them all, and tell so: what their clients know would be wrong from here on."""
        told = b"".join(one.refusal("No more updates.") for one in self._contexts.values())
        self._contexts.clear()
        return told

    def add(self, context: Context) -> bool:
        """Keep one more, if there is room."""
        if len(self._contexts) >= _MOST or context.is_large:
            return False
        self._contexts[context.tag] = context
        return True

    def cancel(self, tag: bytes) -> None:
        """Raises KeyError: there is no such context."""
        del self._contexts[tag]

    def removed(self, before: Column, update: Update) -> bytes:
        """Tell what the removal of messages means, before the client hears of it.

        Args:
            before: the view's UIDs before the update.
        """

        def numbers(uids: Iterable[int]) -> list[int]:
            return [row + 1 for uid in uids if (row := row_of(before, uid)) is not None]

        if not update.vanished:
            return b""
        told = [one.without(update.vanished, numbers) for one in self._contexts.values()]
        return b"".join(told)

    def changed(self, view: View, before: Column, update: Update) -> Generator[Step, Any, bytes]:
        """Tell what changes and new messages mean, after the client was told of them."""
        highest = before[-1] if before else 0
        touched = NumberSet(
            [
                *runs(sorted(view.take_told())),
                *runs(view.uids[seq - 1] for seq in update.flags),
                *([(highest + 1, view.uids[-1])] if update.exists is not None else ()),
            ]
        )
        told = b""
        for context in self._contexts.values():
            context.came = ()
        if touched:
            for context in list(self._contexts.values()):
                told += yield from context.changed(view, touched)
        return told


def _uids(view: View, rows: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Give the first and the last UID of each half-open range of rows."""
    return ((view.uids[begin], view.uids[end - 1]) for begin, end in rows)


def _among(view: View, uids: NumberSet) -> Iterator[int]:
    """Give the UIDs among these that the view's messages have."""
    return (uid for begin, end in uids.slices(view.uids) for uid in view.uids[begin:end])


def _ranges_without(numbers: NumberSet, out: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Give the ranges of a set without some of its numbers."""
    left = sorted(out)
    at = 0
    for low, high in numbers.ranges():
        while at < len(left) and left[at] <= high:
            if low < left[at]:
                yield low, left[at] - 1
            low = left[at] + 1
            at += 1
        if low <= high:
            yield low, high


def _positions(uids: Sequence[int], wanted: frozenset[int]) -> Iterator[tuple[int, Sequence[int]]]:
    """Give the wanted ones in their order, neighbours together with the place of the first."""
    run: list[int] = []
    for place, uid in enumerate(uids, 1):
        if uid in wanted:
            run.append(uid)
        elif run:
            yield place - len(run), run
            run = []
    if run:
        yield len(uids) + 1 - len(run), run
