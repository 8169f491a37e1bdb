"""The Date field: the day as written and the moment meant (RFC 5322 3.3, RFC 5322 4.3).

Read leniently, without the locale: comments and the day's name are skipped, the year may have two digits,
the seconds may be missing, and so may the zone, which is then UTC.
"""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple

_MONTHS = {
    name: number
    for number, name in enumerate(
        b"jan feb mar apr may jun jul aug sep oct nov dec".split(),
        start=1,
    )
}
_ZONES = {
    b"ut": 0,
    b"gmt": 0,
    b"z": 0,
    b"est": -300,
    b"edt": -240,
    b"cst": -360,
    b"cdt": -300,
    b"mst": -420,
    b"mdt": -360,
    b"pst": -480,
    b"pdt": -420,
}
_COMMENT = re.compile(rb"\([^()]*\)")
_DATE = re.compile(
    rb"(?:^|[\s,])(\d{1,2})[\s-]+([A-Za-z]{3})[a-z]*\.?[\s,-]+(\d{2,4})(?!\d)"
    rb"(?:[\s,]+(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:\.\d+)?)?\s*(?:([+-])(\d{2}):?(\d{2})|([A-Za-z]+))?)?"
)
_ASCTIME = re.compile(rb"([A-Za-z]{3})\s+(\d{1,2})\s+(\d{1,2}:\d{2}(?::\d{2})?)\s+(\d{4})\b(.*)")
_LONGEST = 256
#: The ordinal of 1970-01-01, day 0.
EPOCH = datetime.date(1970, 1, 1).toordinal()


class SentDate(NamedTuple):
    """What a Date field says."""

    day: datetime.date  # as written, in the sender's zone, as SENTSINCE wants it (RFC 9051 6.4.4)
    timestamp: int  # seconds since 1970, UTC, as SORT wants it (RFC 5256 2.2)


def parse(value: bytes) -> SentDate | None:
    """Read a Date field, folded or not; None if it is no date."""
    value = value[:_LONGEST]
    if 0x28 in value:  # (
        value = _COMMENT.sub(b" ", value)
    match = _DATE.search(value)
    if match is None:
        match = _DATE.search(_ASCTIME.sub(rb"\2 \1 \4 \3 \5", value))
        if match is None:
            return None

    day, month, year, hour, minute, second, sign, zone_hour, zone_minute, zone = match.groups()
    try:
        date = datetime.date(_year(year), _MONTHS[month.lower()], int(day))
    except (KeyError, ValueError):
        return None
    hour, minute = int(hour or 0), int(minute or 0)
    if hour > 24 or minute > 59:
        return None
    offset = _ZONES.get(zone.lower(), 0) if zone else 0
    if sign:
        offset = int(zone_hour) * 60 + int(zone_minute)
        offset = -offset if sign == b"-" else offset
    # A leap second is the second after it.
    seconds = (hour * 60 + minute - offset) * 60 + min(int(second or 0), 60)
    return SentDate(date, (date.toordinal() - EPOCH) * 86400 + seconds)


def _year(digits: bytes) -> int:
    """Return the year that one of two or three digits means (RFC 5322 4.3)."""
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year
