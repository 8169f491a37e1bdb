"""courier.maildir.numberset: sets of message numbers as ranges."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from courier.maildir.numberset import NumberSet, runs

NUMBERS = st.integers(1, 40)
RANGES = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8)


def spelled_out(ranges: list[tuple[int, int]]) -> set[int]:
    return {n for pair in ranges for n in range(min(pair), max(pair) + 1)}


@given(RANGES, RANGES)
def test_behaves_like_a_set(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    """Membership, size, equality and union are those of the numbers spelled out."""
    one, other = NumberSet(first), NumberSet(second)
    numbers, more = spelled_out(first), spelled_out(second)

    assert {n for n in range(42) if n in one} == numbers
    assert len(one) == len(numbers)
    assert bool(one) == bool(numbers)
    assert one == NumberSet.of(numbers)
    assert hash(one) == hash(NumberSet.of(numbers))
    assert (one == other) == (numbers == more)
    assert one | other == NumberSet.of(numbers | more)


@given(RANGES)
def test_ranges_are_disjoint_and_ascending(ranges: list[tuple[int, int]]) -> None:
    """Neighbours are joined: between two ranges at least one number is missing."""
    found = list(NumberSet(ranges).ranges())

    assert all(low <= high for low, high in found)
    assert all(end + 1 < begin for (_, end), (begin, _) in pairwise(found))


@given(RANGES, st.sets(st.integers(1, 60)).map(sorted))
def test_slices(ranges: list[tuple[int, int]], column: list[int]) -> None:
    """The slices hold exactly the column's values that are in the set, in order."""
    wanted = NumberSet(ranges)

    slices = list(wanted.slices(column))

    assert all(begin < end for begin, end in slices)
    assert [n for begin, end in slices for n in column[begin:end]] == [
        n for n in column if n in wanted
    ]


def test_cost_follows_ranges_not_numbers() -> None:
    """All UIDs there can be are one range."""
    everything = NumberSet([(4_294_967_295, 1)])

    assert len(everything) == 4_294_967_295
    assert 1 in everything and 4_294_967_295 in everything
    assert 0 not in everything and 4_294_967_296 not in everything
    assert list(everything.slices([7, 9])) == [(0, 2)]


def test_not_equal_to_other_things() -> None:
    assert NumberSet([(1, 2)]) != {1, 2}


def test_written_as_sequence_set() -> None:
    """In the form of RFC 9051's sequence-set; an empty set is empty text."""
    assert str(NumberSet([(5, 7), (1, 1), (3, 3), (6, 9)])) == "1,3,5:9"
    assert str(NumberSet()) == ""
    assert repr(NumberSet([(2, 3)])) == "NumberSet(2:3)"


@given(st.lists(NUMBERS))
def test_runs_keep_order(numbers: list[int]) -> None:
    """Spelled out again, the runs give the numbers as they came; no two runs could be joined."""
    found = list(runs(numbers))

    assert [n for low, high in found for n in range(low, high + 1)] == numbers
    assert all(high + 1 != low for (_, high), (low, _) in pairwise(found))


def test_places_and_above() -> None:
    numbers = NumberSet([(3, 5), (8, 8), (10, 20)])

    assert [str(numbers.places(*pair)) for pair in ((1, 1), (2, 5), (4, 99), (16, 17), (1, 0))] == [
        "3",
        "4:5,8,10",
        "8,10:20",
        "",
        "",
    ]
    assert [str(numbers.above(number)) for number in (0, 3, 5, 9, 20)] == [
        "3:5,8,10:20",
        "4:5,8,10:20",
        "8,10:20",
        "10:20",
        "",
    ]
