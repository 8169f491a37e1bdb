"""courierpop3dsizelist: what is read of good, old and damaged ones, and what is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pop3d import sizelist
from pop3d.sizelist import Entry, SizeList

NOW = 1_800_000_000
TODAYS = b"/3 7 1700000000\n50.b:2, 24 1:1700000000:0\n60.c d:2,S 20 2:1600000000:1\n"


def test_todays_version() -> None:
    made = sizelist.parse(TODAYS, NOW)

    assert made == SizeList(
        7,
        1_700_000_000,
        [
            Entry(b"50.b:2,", 24, 1, 1_700_000_000, False),
            Entry(b"60.c d:2,S", 20, 2, 1_600_000_000, True),
        ],
    )
    assert sizelist.format(made) == TODAYS


@pytest.mark.parametrize(
    ("data", "nextuid", "uidv", "uids"),
    [
        (b"", 1, NOW, []),
        (b"nonsense\n1.a 5 1:1:0\n", 1, NOW, []),
        (b"/2 7 5\n1.a 5 3:0\n", 7, 5, [3]),
        (b"/3 2 5\n1.a 5 9:5:0\n", 10, 5, [9]),  # no number is given twice
        (b"/1 7\n1.a 5 3\n", 7, NOW, []),
        (b"/4 7 5\n1.a 5 3:5:0\n", 7, 5, []),
        (b"/3 7 5\n1.a 5 3:5:0\n2.b 5 4:5", 7, 5, [3]),  # torn
        (b"/3 7 5\nbroken\n1.a 5 3:5:0\n2.b x 4:5:0\n", 7, 5, [3]),
        (b"/3 7 5\n1.a 99999999999999999999999 3:5:0\n", 7, 5, []),
        (b"\0\0\0\n\0", 1, NOW, []),
    ],
)
def test_others(data: bytes, nextuid: int, uidv: int, uids: list[int]) -> None:
    made = sizelist.parse(data, NOW)

    assert (made.nextuid, made.uidv, [entry.uid for entry in made.entries]) == (
        nextuid,
        uidv,
        uids,
    )
    assert not made.is_current or data.startswith(b"/3")


@pytest.mark.parametrize(
    ("entry", "uidl"),
    [
        (Entry(b"1.a:2,S", 5, 3, 1_700_000_000, False), b"UID3-1700000000"),
        (Entry(b"1.a:2,S", 5, 3, 0, False), b"UID3"),
        (Entry(b"1 \"a'+\xff.x:2,S", 5, 0, 5, False), b"1+20+22a+27+2B+FF.x"),
    ],
)
def test_uidl(entry: Entry, uidl: bytes) -> None:
    assert entry.uidl() == uidl


def test_new_and_gone_messages() -> None:
    """Flags in a name don't matter; new messages get the next numbers in the order given."""
    known = sizelist.parse(TODAYS, NOW)

    made = sizelist.numbered(
        known,
        [b"10.new:2,", b"50.b:2,FS", b"99.later:2,"],
        {b"10.new:2,": (5, False), b"99.later:2,": (6, True)},
    )

    assert [(entry.name, entry.uid) for entry in made.entries] == [
        (b"10.new:2,", 7),
        (b"50.b:2,FS", 1),
        (b"99.later:2,", 8),
    ]
    assert made.nextuid == 9


ENTRIES = st.builds(
    Entry,
    st.binary(min_size=1, max_size=20).filter(lambda name: b"\n" not in name),
    st.integers(0, 10**12),
    st.integers(0, 10**9),
    st.integers(0, 10**10),
    st.booleans(),
)


@given(st.lists(ENTRIES, max_size=5))
def test_what_is_written_is_read(entries: list[Entry]) -> None:
    highest = max((entry.uid for entry in entries), default=0)
    made = SizeList(highest + 1, 5, entries)

    assert sizelist.parse(sizelist.format(made), NOW) == made


def test_failure_to_write(tmp_path: Path) -> None:
    """The old list stays."""
    (tmp_path / sizelist.NAME).write_bytes(TODAYS)

    with pytest.raises(OSError, match="tmp"):
        sizelist.write(str(tmp_path), SizeList(1, 1, ()), sync=False)

    assert (tmp_path / sizelist.NAME).read_bytes() == TODAYS
