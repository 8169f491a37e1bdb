"""Sorting by several keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imapd import order
from imapd.order import SortKey
from imapd.wire.parser import ParseError, Parser

NAMES = sorted(order.KEYS)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("(DATE)", [SortKey("DATE")]),
        ("(reverse date)", [SortKey("DATE", True)]),
        ("(REVERSE REVERSE DATE)", [SortKey("DATE")]),
        ("(SUBJECT REVERSE SIZE)", [SortKey("SUBJECT"), SortKey("SIZE", True)]),
        ("(SUBJECT SIZE REVERSE SUBJECT)", [SortKey("SUBJECT"), SortKey("SIZE")]),
        ("(" + "CC " * 999 + "TO)", [SortKey("CC"), SortKey("TO")]),
    ],
)
def test_read(text: str, keys: list[SortKey]) -> None:
    """REVERSE belongs to the key behind it; a key said twice counts once."""
    assert order.read(Parser(text.encode())) == keys


@pytest.mark.parametrize(
    "text",
    ["", "()", "DATE", "(REVERSE)", "(DATE REVERSE)", "(X)", "(DATE", "(" + "CC " * 1001 + "TO)"],
)
def test_not_read(text: str) -> None:
    with pytest.raises(ParseError):
        order.read(Parser(text.encode()))


programs = st.lists(
    st.builds(SortKey, st.sampled_from(NAMES), st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda key: key.name,
)


@given(programs, st.data())
def test_sort(program: list[SortKey], data: st.DataObject) -> None:
    """Every number once; in the order of the first key that differs; else as they were."""
    count = data.draw(st.integers(0, 30))
    column = st.lists(st.integers(0, 3), min_size=count, max_size=count)
    columns = {key.name: data.draw(column) for key in program}

    found = order.sort(program, columns, count)

    def place(number: int) -> tuple[int, ...]:
        signs = ((columns[key.name][number], key.is_reversed) for key in program)
        return (*(-value if is_reversed else value for value, is_reversed in signs), number)

    assert found == sorted(range(count), key=place)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_sort_in_runs(monkeypatch: pytest.MonkeyPatch, is_reversed: bool) -> None:
    """A large folder is sorted in runs, and comes out the same."""
    values = [number * 7919 % 13 for number in range(1000)]
    program = [SortKey("SIZE", is_reversed)]
    whole = order.sort(program, {"SIZE": values}, 1000)
    monkeypatch.setattr(order, "_RUN", 64)

    assert order.sort(program, {"SIZE": values}, 1000) == whole
