"""What is stored of folders is read as it was written."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir import acl, folder_table, tally
from courier.maildir.acl import Acl
from courier.maildir.folder_table import Entry, FolderTable, Times
from courier.maildir.status import Status
from courier.maildir.tally import NEEDS, Found, Moment

#: As a directory lists them: octets that are no UTF-8 are surrogates (PEP 383).
NAMES = st.binary(min_size=1, max_size=20).map(
    lambda name: "." + os.fsdecode(name.translate(None, b"/\0")) + "x"
)
IDENTIFIERS = st.sampled_from(("owner", "anyone", "user=ä", "-user=bob", "-administrators"))
LISTS = st.dictionaries(IDENTIFIERS, st.sampled_from(("", "lr", acl.ALL))).map(
    lambda entries: acl.parse(acl.write(Acl(tuple(entries.items()))))
)
NUMBERS = st.integers(0, (1 << 63) - 1)
TIMES = st.builds(Times, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
MOMENTS = st.builds(
    Moment,
    st.builds(tally.Times, *[NUMBERS] * 7),
    st.one_of(st.just(b""), st.binary(min_size=32, max_size=32)),
    st.frozensets(st.sampled_from(NEEDS)),
)
FOUND = st.builds(
    Found,
    st.builds(Status, *[NUMBERS] * 7),
    NUMBERS,
    st.one_of(st.none(), NUMBERS),
    st.sampled_from(("", "F0123456789abcdef01234567")),
)


@st.composite
def tables(draw: st.DrawFn) -> FolderTable:
    names = draw(st.lists(NAMES, unique=True, max_size=8))
    table = FolderTable()
    for name in [".", *names]:
        own = draw(st.one_of(st.none(), LISTS))
        folder = "" if name == "." else name[1:]
        table.entries[name] = Entry(folder, draw(st.booleans()), own, draw(st.booleans()))
        table.times[name] = draw(TIMES)
        if draw(st.booleans()):
            table.counts[name] = draw(MOMENTS), draw(FOUND)
    return table


@given(tables())
def test_round_trip(table: FolderTable) -> None:
    assert folder_table.unpack(folder_table.pack(table)) == table


@given(tables())
def test_what_is_not_believed_is_not_stored(table: FolderTable) -> None:
    """An entry without times, and what was counted in its folder."""
    del table.times["."]

    found = folder_table.unpack(folder_table.pack(table))

    assert "." not in {**found.entries, **found.times, **found.counts}
    assert found.times == table.times


@given(st.binary(max_size=300))
def test_anything_else(data: bytes) -> None:
    """Is refused, or is a table: nothing else is raised."""
    try:
        folder_table.unpack(data)
    except (ValueError, LookupError, struct.error):
        pass


@pytest.mark.parametrize("cut", [1, 8, 24, 100])
def test_cut_short(cut: int) -> None:
    table = FolderTable({".": Entry("", True, acl.DEFAULT, False)}, {".": Times(1, 2, 3, 4, 5)})
    data = folder_table.pack(table)

    with pytest.raises((ValueError, LookupError, struct.error)):
        folder_table.unpack(data[:-cut])
