"""What we want to reach: a throughput of 1.0 and more of another's is a time of 1.0 and less."""

from __future__ import annotations

from bench.imap.goals import Goal
from bench.pop3 import rows

GOALS = (
    Goal(rows.TCP, rows.TOTAL, 0.7),
    Goal(rows.WARM, rows.LISTING, 0.7),
    *(
        Goal(rows.FETCHING, row, 1.0, server)
        for row in (rows.RETR, rows.RETR_LARGE)
        for server in ("dovecot", "courier")
    ),
)
