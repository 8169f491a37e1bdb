"""What we want to reach."""

from __future__ import annotations

from bench.folders import rows
from bench.imap.goals import Goal

_UNCHANGED = (rows.NEW, rows.AGAIN, rows.TCP)

GOALS = (
    *(Goal(section, rows.LIST, 3.0) for section in _UNCHANGED),
    *(Goal(section, rows.STATUS, 1.0) for section in _UNCHANGED),
    Goal(rows.FIRST, rows.STATUS, 1.0),
    Goal(rows.FIRST, rows.SIZE, 1.5),
)
