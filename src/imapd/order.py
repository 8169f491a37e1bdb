"""The order that SORT asks for (RFC 5256 3 SORT, RFC 5957)."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from imapd.wire.parser import Parser

KEYS = frozenset(
    ("ARRIVAL", "CC", "DATE", "DISPLAYFROM", "DISPLAYTO", "FROM", "SIZE", "SUBJECT", "TO")
)
#: Messages that are sorted at once: nothing else runs meanwhile.
_RUN = 20_000

T = TypeVar("T")
#: Values of any kind that has an order, but of one kind.
Column = Sequence[Any]


@dataclass(frozen=True, slots=True)
class SortKey:
    """A sort criterion."""

    name: str
    is_reversed: bool = False


def read(arguments: Parser) -> list[SortKey]:
    """Read ``sort-criteria``.

    A key that has stood before decides nothing and is left out. Courier: REVERSE may be said twice,
    and is then not said.

    Raises:
        ParseError: a key that is not known, or REVERSE without one.
    """
    words = arguments.parenthesised(arguments.word)
    found: dict[str, SortKey] = {}
    is_reversed = False
    for word in words:
        if word == "REVERSE":
            is_reversed = not is_reversed
        elif word in KEYS:
            found.setdefault(word, SortKey(word, is_reversed))
            is_reversed = False
        else:
            raise arguments.fail("sort-key")
    if words[-1] == "REVERSE":
        raise arguments.fail("sort-criterion")
    return list(found.values())


def sort(keys: Sequence[SortKey], columns: Mapping[str, Column], count: int) -> list[int]:
    """Give the numbers from 0 to ``count - 1`` in the order of their values.

    Where all keys are equal they stay as they are, also if one is reversed (RFC 5256 3, SORT).
    """
    numbers = list(range(count))
    for key in reversed(keys):
        numbers = _sorted(numbers, columns[key.name], key.is_reversed)
    return numbers


def _sorted(numbers: list[int], column: Column, is_reversed: bool) -> list[int]:
    value = column.__getitem__
    if len(numbers) <= _RUN:
        numbers.sort(key=value, reverse=is_reversed)
        return numbers
    runs = [sorted(run, key=value, reverse=is_reversed) for run in _runs(numbers)]
    return list(heapq.merge(*runs, key=value, reverse=is_reversed))


def ranks(values: Sequence[bytes]) -> array[int]:
    """Give for each value its place among all that differ."""
    distinct = list(dict.fromkeys(values))  # in steps: others may run in between
    if len(distinct) <= _RUN:
        distinct.sort()
    else:
        distinct = list(heapq.merge(*map(sorted, _runs(distinct))))
    rank_of = {value: rank for rank, value in enumerate(distinct)}
    return array("I", [rank_of[value] for value in values])


def _runs(values: list[T]) -> Iterator[list[T]]:
    return (values[start : start + _RUN] for start in range(0, len(values), _RUN))
