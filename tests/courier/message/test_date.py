"""Date fields in all their forms."""

from __future__ import annotations

import datetime
import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import date
from tests.courier.message.strategies import linear, rubbish


@pytest.mark.parametrize(
    ("value", "day", "moment"),
    [
        (b"Fri, 20 Nov 2026 10:11:12 +0100", "2026-11-20", "2026-11-20T09:11:12"),
        (b" Fri, 20 Nov 2026\n 10:11:12\t-0530 (somewhere)", "2026-11-20", "2026-11-20T15:41:12"),
        (b"20 nov 2026 00:30:00 +0200", "2026-11-20", "2026-11-19T22:30:00"),
        (b"1 Jan 26 10:11 GMT", "2026-01-01", "2026-01-01T10:11:00"),
        (b"1 Jan 70 00:00 UT", "1970-01-01", "1970-01-01T00:00:00"),
        (b"1 Jan 126 00:00 EST", "2026-01-01", "2026-01-01T05:00:00"),
        (b"1 January 2026 00:00 PDT", "2026-01-01", "2026-01-01T07:00:00"),
        (b"31 Dec 2016 23:59:60 +0000", "2016-12-31", "2017-01-01T00:00:00"),
        (b"Fri Nov 20 10:11:12 2026", "2026-11-20", "2026-11-20T10:11:12"),
        (b"Fri, 20-Nov-2026 10:11:12 XYZ", "2026-11-20", "2026-11-20T10:11:12"),
        (b"20 Nov 2026", "2026-11-20", "2026-11-20T00:00:00"),
        (b"20 Nov 2026 10.11.12 +01:00", "2026-11-20", "2026-11-20T09:11:12"),
        (b"(a) Fri (b), 20 Nov 2026 10:11:12 +0000", "2026-11-20", "2026-11-20T10:11:12"),
        (b"1 Jan 0001 00:00:00 +0000", "0001-01-01", "0001-01-01T00:00:00"),
    ],
)
def test_parse(value: bytes, day: str, moment: str) -> None:
    """The day as written, and the moment in UTC."""
    found = date.parse(value)

    assert found is not None
    assert found.day == datetime.date.fromisoformat(day)
    expected = datetime.datetime.fromisoformat(moment + "+00:00")
    assert (
        found.timestamp
        == (expected - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)).total_seconds()
    )


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"x", b"tomorrow", b"20 Nov", b"Nov 2026", b"31 Feb 2026 00:00:00 +0000"),
        *(b"20 Foo 2026", b"0 Jan 2026", b"1 Jan 0000", b"1 Jan 20266", b"1 Jan 2026 99:00"),
        b"((((1 Jan 2026",
    ],
)
def test_no_date(value: bytes) -> None:
    """What is no date is none."""
    assert date.parse(value) is None


@given(
    st.datetimes(datetime.datetime(1950, 1, 1), datetime.datetime(2049, 12, 31)),
    st.integers(-14 * 60, 14 * 60),
)
def test_as_the_standard_library(moment: datetime.datetime, offset: int) -> None:
    """What Python's email package writes is read as it was meant."""
    zone = datetime.timezone(datetime.timedelta(minutes=offset))
    moment = moment.replace(microsecond=0, tzinfo=zone)

    found = date.parse(email.utils.format_datetime(moment).encode())

    assert found == (moment.date(), int(moment.timestamp()))


@given(rubbish)
def test_any_bytes(value: bytes) -> None:
    """Nothing raises."""
    date.parse(value)
    date.parse(b"1 Jan 2026 " + value)


@pytest.mark.parametrize("piece", [b"(", b"1 ", b" ", b"1 Jan ", b"1 Jan 2026 1:", b","])
def test_floods(piece: bytes) -> None:
    """A long value is no work."""
    with linear():
        date.parse(piece * 1_000_000)
