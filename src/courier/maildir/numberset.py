"""Sets of message numbers (UIDs or sequence numbers) as sorted, disjoint ranges.

What costs is the number of ranges, never the numbers in them: `1:4294967295` is one range.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence


class NumberSet:
    """An immutable set of positive numbers, kept as ranges with both ends included."""

    __slots__ = ("_highs", "_lows")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """Take ``ranges`` in any order, overlapping or not; an end may precede its beginning."""
        self._lows: list[int] = []
        self._highs: list[int] = []
        for low, high in sorted((min(pair), max(pair)) for pair in ranges):
            if self._highs and low <= self._highs[-1] + 1:
                self._highs[-1] = max(self._highs[-1], high)
            else:
                self._lows.append(low)
                self._highs.append(high)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> NumberSet:
        """Make the set of exactly ``numbers``, in any order."""
        return cls(runs(sorted(numbers)))

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Give the ranges, ascending."""
        return zip(self._lows, self._highs, strict=True)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._lows, number) - 1
        return at >= 0 and number <= self._highs[at]

    def __bool__(self) -> bool:
        return bool(self._lows)

    def __len__(self) -> int:
        return sum(self._highs) - sum(self._lows) + len(self._lows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NumberSet):
            return NotImplemented
        return self._lows == other._lows and self._highs == other._highs

    def __hash__(self) -> int:
        return hash((tuple(self._lows), tuple(self._highs)))

    def __or__(self, other: NumberSet) -> NumberSet:
        return NumberSet([*self.ranges(), *other.ranges()])

    def __str__(self) -> str:
        return ",".join(f"{low}:{high}" if low != high else f"{low}" for low, high in self.ranges())

    def __repr__(self) -> str:
        return f"NumberSet({self})"

    def places(self, first: int, last: int) -> NumberSet:
        """Give the numbers from the ``first`` place to the ``last``, counted from 1, that there are."""
        found = []
        before = 0
        for low, high in self.ranges():
            begin = max(low, low + first - 1 - before)
            end = min(high, low + last - 1 - before)
            if begin <= end:
                found.append((begin, end))
            before += high - low + 1
        return NumberSet(found)

    def above(self, number: int) -> NumberSet:
        """Give the numbers that are higher than ``number``."""
        pairs = ((max(low, number + 1), high) for low, high in self.ranges() if high > number)
        return NumberSet(pairs)

    def slices(self, ascending: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Give the half-open index ranges of ``ascending`` whose values are in the set."""
        for low, high in self.ranges():
            begin = bisect_right(ascending, low - 1)
            end = bisect_right(ascending, high)
            if begin < end:
                yield begin, end


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Join neighbours that follow each other by one into ranges, in the order given."""
    first = last = None
    for number in numbers:
        if last is not None and number == last + 1:
            last = number
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = number
    if first is not None and last is not None:
        yield first, last
