"""INTERNALDATE of many messages: ``date-time`` in the server's zone (RFC 9051 9), a day looked up once."""

from __future__ import annotations

import time
from collections.abc import Sequence

from imapd.wire import writer

_DAY = 86400
# What calendars can say: others' dates are the writer's business.
_FIRST_DAY, _LAST_DAY = -719_161, 2_932_895
_MINUTES = tuple(b"%02d:%02d:" % divmod(minute, 60) for minute in range(1440))


def date_times(seconds: Sequence[int]) -> list[bytes]:
    """Write moments, as `writer.date_time` does each."""
    zones = _Zones()
    dates = _Dates()
    texts = []
    for moment in seconds:
        zone = zones[moment // _DAY]
        if zone is None:
            texts.append(writer.date_time(moment))
            continue
        local = moment + zone[0]
        clock = local % _DAY
        texts.append(dates[local // _DAY] + _MINUTES[clock // 60] + zone[1][local % 60])
    return texts


_Zone = tuple[int, tuple[bytes, ...]]  # seconds east of Greenwich; what stands behind the minute


class _Zones(dict[int, _Zone | None]):
    """By day, counted from 1970 in UTC: the zone of all of that day; None if it has several."""

    def __missing__(self, day: int) -> _Zone | None:
        if not _FIRST_DAY < day < _LAST_DAY:
            return None
        try:
            offsets = {time.localtime(moment).tm_gmtoff for moment in _hours(day)}
        except (ValueError, OverflowError, OSError):
            offsets = set()
        offset = offsets.pop() if len(offsets) == 1 else 1
        found = self[day] = None if offset % 60 else (offset, _endings(offset))
        return found


class _Dates(dict[int, bytes]):
    """By day, counted from 1970 in the local zone: what stands before the hour."""

    def __missing__(self, day: int) -> bytes:
        text = self[day] = writer.date(day * _DAY)
        return text


def _hours(day: int) -> range:
    return range(day * _DAY, (day + 1) * _DAY + 1, 3600)


_known_endings: dict[int, tuple[bytes, ...]] = {}


def _endings(offset: int) -> tuple[bytes, ...]:
    """Write seconds and zone for each second of a minute."""
    endings = _known_endings.get(offset)
    if endings is None:
        sign = "-" if offset < 0 else "+"
        hours, minutes = divmod(abs(offset) // 60, 60)
        zone = f'{sign}{hours:02}{minutes:02}"'
        endings = tuple(f"{second:02} {zone}".encode() for second in range(60))
        _known_endings[offset] = endings
    return endings
