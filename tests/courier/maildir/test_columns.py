"""courier.maildir.columns: one row per message, shared and never altered."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir import columns
from courier.maildir.columns import EMPTY, Names, row_of


def _without_line_ends(name: bytes) -> bytes:
    return name.replace(b"\n", b"?")


NAMES = st.lists(st.binary(min_size=1, max_size=6).map(_without_line_ends))


@given(NAMES, st.lists(st.dictionaries(st.integers(0, 9), st.binary(max_size=3)), max_size=5))
def test_names_behave_like_a_list(names: list[bytes], changes: list[dict[int, bytes]]) -> None:
    """Whatever rows are changed, and however often; earlier objects keep their names."""
    packed, expected = Names(names), list(names)
    history = [(packed, list(expected))]
    for change in changes:
        fitting = {
            row: _without_line_ends(name) for row, name in change.items() if row < len(names)
        }
        packed = packed.with_names(fitting)
        for row, name in fitting.items():
            expected[row] = name
        history.append((packed, list(expected)))

    for other, text in history:
        assert len(other) == len(text)
        assert list(other) == text
        assert [other[row] for row in range(len(text))] == text
        assert other.whole().parts() == Names(text).parts()
        for start in range(len(text)):
            assert other.between(start, start + 1) == text[start : start + 1]
            assert other.between(start, len(text)) == text[start:]


def test_many_renamed_files_are_packed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes about renamed rows don't pile up, and nothing changes by their removal."""
    monkeypatch.setattr(columns, "_REPACK_AFTER", 3)
    names = Names([b"a", b"b", b"c", b"d"])

    for row, name in enumerate((b"A", b"B", b"C", b"D")):
        names = names.with_names({row: name})
        assert len(names._renamed) <= 3

    assert list(names) == [b"A", b"B", b"C", b"D"]


@given(st.sets(st.integers(1, 50)).map(sorted), st.integers(0, 51))
def test_row_of(uids: list[int], uid: int) -> None:
    """The row of a UID that is there, None for all others."""
    assert row_of(array("I", uids), uid) == (uids.index(uid) if uid in uids else None)


def test_empty_folder() -> None:
    """No row, no name, and every UID unknown."""
    assert len(EMPTY) == 0
    assert list(EMPTY.names) == []
    assert EMPTY.row(1) is None
