"""courier.maildir.filename: names of message files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir import filename
from courier.maildir.filename import Flag

NAMES = st.binary(min_size=1, max_size=60).filter(lambda name: b"/" not in name)
FLAGS = st.integers(0, filename.ALL_FLAGS)


@pytest.mark.parametrize(
    ("name", "base", "flags"),
    [
        (b"1.h", b"1.h", 0),
        (b"1.h:2,", b"1.h", 0),
        (b"1.h:2,DFRST", b"1.h", filename.ALL_FLAGS),
        (b"1.h:2,TS", b"1.h", Flag.DELETED | Flag.SEEN),
        (b"1.h:2,aSbP", b"1.h", Flag.SEEN),
        (b"1.h:1,S", b"1.h", 0),
        (b"1.h:", b"1.h", 0),
        (b"1.h,S=3:2,S", b"1.h,S=3", Flag.SEEN),
        (b"x:2,S:2,F", b"x", Flag.FLAGGED),
        (b"D2,S", b"D2,S", 0),
    ],
)
def test_name_in_parts(name: bytes, base: bytes, flags: int) -> None:
    """The base ends at the first colon; flags follow the last one and ``2,``, in any order."""
    assert filename.base(name) == base
    assert filename.flags(name) == flags


@pytest.mark.parametrize(
    ("name", "flags", "renamed"),
    [
        (b"1.h", Flag.SEEN, b"1.h:2,S"),
        (b"1.h:2,SF", Flag.SEEN | Flag.FLAGGED, b"1.h:2,FS"),
        (b"1.h:2,S", 0, b"1.h:2,"),
        (b"1.h:1,x", Flag.DRAFT, b"1.h:2,D"),
        (b"1.h:2,bSaP", Flag.DELETED, b"1.h:2,PTab"),
        (b"1.h:2,S,x=1", Flag.SEEN, b"1.h:2,Sx"),
    ],
)
def test_with_flags(name: bytes, flags: int, renamed: bytes) -> None:
    """Our letters are replaced, foreign ones stay, all in ASCII order."""
    assert filename.with_flags(name, flags) == renamed


@given(NAMES, FLAGS)
def test_with_flags_reads_back(name: bytes, flags: int) -> None:
    """What is written is read; writing again changes nothing; the base never changes."""
    renamed = filename.with_flags(name, flags)

    assert filename.flags(renamed) == flags
    assert filename.base(renamed) == filename.base(name)
    assert filename.with_flags(renamed, flags) == renamed


@pytest.mark.parametrize(
    ("base", "size"),
    [
        (b"1.h", None),
        (b"1.h,S=20", 20),
        (b"1.h,S=20,W=21", 20),
        (b"1.h,S=1,S=2", 2),
        (b"1.h,S=,S=x", None),
        (b"1.hS=5", None),
        (b"1.h,S=" + b"9" * 200, int("9" * 200)),
    ],
)
def test_stated_size(base: bytes, size: int | None) -> None:
    assert filename.stated_size(base) == size


def test_arrival_beyond_32_bits() -> None:
    """Numbers that wrap in Courier's comparison keep their order; without one counts as 0."""
    names = [b"4294967297.i", b"x", b"1.h:2,S", b"2200000000.a", b"1.g", b"-3.a"]

    assert sorted(names, key=filename.arrival) == [
        b"-3.a",
        b"x",
        b"1.g",
        b"1.h:2,S",
        b"2200000000.a",
        b"4294967297.i",
    ]


def test_arrival_ignores_flags() -> None:
    assert filename.arrival(b"7.x:2,FS") == filename.arrival(b"7.x")


@pytest.mark.parametrize("name", [b"", b".", b".x", b":2,S", b"a\nb", b"a:2,S\n", b"\n"])
def test_unacceptable_names(name: bytes) -> None:
    assert not filename.acceptable(name)


@pytest.mark.parametrize("name", [b"1", b"1.h:2,S", b" ", b"a b", b"\xff\r"])
def test_acceptable_names(name: bytes) -> None:
    assert filename.acceptable(name)
