"""courier.maildir.alignment: the rows of UIDs, by runs or by a dictionary, are the same."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir import alignment
from courier.maildir.alignment import align
from courier.maildir.itemfile import ROW, Content


def content(ordered: list[int], tail: list[int]) -> Content:
    """Rows of these UIDs behind a header, the first ones sorted; 0 is the head of a batch."""
    rows = b"".join(array("I", [uid]).tobytes().ljust(ROW, b"\0") for uid in [7, *ordered, *tail])
    return Content(memoryview(rows), len(ordered), 1 + len(ordered) + len(tail), memoryview(b""))


def expected(uids: list[int], rows: Content, excluded: frozenset[int]) -> list[int]:
    column = rows.column(0).tolist()
    last = {uid: row for row, uid in enumerate(column) if row and uid}
    return [0 if last.get(uid) in excluded else last.get(uid, 0) for uid in uids]


_numbers = st.sets(st.integers(1, 400), max_size=300).map(sorted)
_excluded = st.frozensets(st.integers(1, 20), max_size=3)


@pytest.mark.parametrize("runs", [1000, 2, 0])
@given(_numbers, _numbers, st.lists(st.integers(0, 400), max_size=20), _excluded)
def test_align(
    runs: int, uids: list[int], ordered: list[int], tail: list[int], excluded: frozenset[int]
) -> None:
    before, alignment._MAX_RUNS = alignment._MAX_RUNS, runs
    rows = content(ordered, tail)
    excluded = frozenset(row for row in excluded if row < rows.end)

    found = align(array("I", uids), rows, excluded)
    alignment._MAX_RUNS = before

    right = expected(uids, rows, excluded)
    assert list(found) == right and len(found) == len(right)
    assert (0 in found) == (0 in right)
    for start in range(0, len(right) + 1, 7):
        assert list(found[start : start + 9]) == right[start : start + 9]
        assert list(found[start:]) == right[start:]
    assert [found[place] for place in range(0, len(right), 5)] == right[::5]


def test_align_neighbours() -> None:
    """They are a range: nothing is kept per message."""
    uids = [*range(10, 500), *range(700, 900)]

    assert align(uids, content(uids, [])) == range(1, len(uids) + 1)
    assert align(uids[5:90], content(uids, [])) == range(6, 91)
    assert align([], content(uids, [])) == array("I")
