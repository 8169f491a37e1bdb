"""What we want to reach, as data: a row, against whom, and the ratio or figure that it may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.imap import rows
from bench.imap.figures import Figures

_USUAL = 20_000
_LARGE = 200_000
_HUGE = 1_000_000
MB = 1e6


@dataclass(frozen=True)
class Goal:
    """Our median divided by ``unit`` may be ``limit`` at most; the unit is another's median, or a number."""

    section: str
    row: str
    limit: float
    unit: str | float = "dovecot"  # a server, or seconds or octets
    size: int = _USUAL
    obstacle: str = ""  # what stands in the way, as long as it is missed

    @property
    def wanted(self) -> str:
        if isinstance(self.unit, str):
            return f"<= {self.limit:g} x {self.unit}"
        return f"<= {self.limit:g} {'ms' if self.unit < 1 else 'MB'}"


@dataclass(frozen=True)
class Growth:
    """One row of ours may take ``limit`` times as long as another one."""

    section: str
    row: str
    limit: float
    base_row: str
    size: int
    base_size: int
    obstacle: str = ""

    @property
    def wanted(self) -> str:
        if self.base_size != self.size:
            return f"<= {self.limit:g} x ours of {self.base_size:,} messages"
        return f"<= {self.limit:g} x {self.base_row}"


@dataclass(frozen=True)
class Verdict:
    goal: Goal | Growth
    ours: float | None
    ratio: float | None  # None where something was not measured
    note: str = ""

    @property
    def text(self) -> str:
        if self.ratio is None:
            return self.note or "not measured"
        return "met" if self.ratio <= self.goal.limit else "missed"


# Where Courier opens every message file, and where it answers from what it has in memory.
_COURIER_READS = (
    "FETCH RFC822.SIZE",
    "FETCH ENVELOPE",
    "FETCH BODYSTRUCTURE",
    "FETCH header fields of Thunderbird",
    "SORT (DATE)",
    "SORT (SUBJECT)",
    "SORT (FROM)",
    "THREAD REFERENCES",
    "SEARCH SUBJECT",
    "SEARCH FROM",
    "SEARCH BODY",
)
_SELECT_OBSTACLE = (
    "a process that has just begun runs a thousand functions of Python for the first time, a millisecond, "
    "however many messages there are; a worker of the daemon, which is warm, takes as long as Dovecot's process"
)
_HUGE_OBSTACLE = "as with 20,000, and less than a millisecond to map 65 MB and copy the flags of 1,000,000 messages"
_STORE_OBSTACLE = (
    "the rename of a file alone takes 13 us, of some 19 that Dovecot and Courier need in all; finding, "
    "naming and logging a message takes ours 10 us more, of Python, and a part of a new index"
)
_SEARCH_OBSTACLE = (
    "without a full-text index each message is read (a third of the time), taken apart (a third), decoded and "
    "searched; opening, reading and closing the files alone takes half of what the goal allows. "
    "IMAP_FULLTEXT=1 is what makes it faster"
)
_OBSTACLES = {rows.STORE: _STORE_OBSTACLE, rows.SEARCH_BODY: _SEARCH_OBSTACLE}
_CHANGES = (rows.APPEND, rows.COPY, rows.STORE, rows.EXPUNGE)

GOALS: tuple[Goal | Growth, ...] = (
    Goal(rows.SECOND, rows.SELECT, 1.0, obstacle=_SELECT_OBSTACLE),
    Goal(rows.SECOND, "UID FETCH FLAGS", 0.7),
    Goal(rows.SECOND, "FETCH RFC822.SIZE", 0.7),
    Goal(rows.SECOND, "FETCH INTERNALDATE", 0.7),
    Goal(rows.SECOND, "FETCH ENVELOPE", 0.5),
    Goal(rows.SECOND, "FETCH BODYSTRUCTURE", 1.0),
    Goal(rows.SECOND, "FETCH header fields of Thunderbird", 0.7),
    Goal(rows.SECOND, "SORT (DATE)", 1.0),
    Goal(rows.SECOND, "SORT (SUBJECT)", 1.0),
    Goal(rows.SECOND, "SORT (FROM)", 1.0),
    Goal(rows.SECOND, "THREAD REFERENCES", 1.5),
    Goal(rows.SECOND, "SEARCH SUBJECT", 0.7),
    Goal(rows.SECOND, "SEARCH FROM", 0.7),
    Goal(rows.SECOND, "SEARCH BODY", 1.0),
    Goal(rows.FULLTEXT, "SEARCH BODY", 0.05),
    Goal(rows.FIRST, rows.BUILD, 2.5),
    *(Goal(rows.CHANGED, row, 1.0, obstacle=_OBSTACLES.get(row, "")) for row in _CHANGES),
    *(Goal(rows.UNSYNCED, row, 1.0, obstacle=_OBSTACLES.get(row, "")) for row in _CHANGES),
    *(
        Goal(rows.SECOND, row, 0.1, "courier", obstacle=_OBSTACLES.get(row, ""))
        for row in _COURIER_READS
    ),
    Goal(rows.SECOND, "UID FETCH FLAGS", 1.5, "courier"),
    Goal(rows.FULLTEXT, "SEARCH BODY", 0.1, "courier"),
    Goal(rows.SECOND, rows.STATUS, 1.5, "courier"),
    Goal(rows.UNSYNCED, rows.STORE, 1.5, "courier", obstacle=_STORE_OBSTACLE),
    Goal(rows.SECOND, rows.SELECT, 1.5, size=_HUGE, obstacle=_HUGE_OBSTACLE),
    Goal(rows.SINCE, rows.AFTER_OWN, 0.1, size=_HUGE),
    Goal(rows.SINCE, rows.NOOP_OWN, 20, 0.001, _HUGE),
    Goal(rows.SINCE, rows.NOOP_FOREIGN, 2000, 0.001, _HUGE),
    Goal(rows.MEMORY, rows.PRIVATE, 60, MB, _HUGE),
    # "Stays linear": ten times the messages in at most so many times the time; a square would be a hundred.
    Growth(rows.FIRST, rows.THREAD_ONCE, 15, rows.THREAD_ONCE, _LARGE, _USUAL),
    Growth(rows.GROWTH, "thousand 10", 1.3, "thousand 1", 100_000, 100_000),
)


def judge(
    goal: Goal | Growth, sizes: Mapping[int, Figures], *, by_processor: bool = False
) -> Verdict:
    """Compare medians, of the time that passed or of the processor's."""

    def median(size: int, row: str, server: str) -> tuple[float | None, str]:
        figures = sizes.get(size)
        cell = figures.find(goal.section, row, server) if figures else None
        if cell is None:
            return None, ""
        return cell.median_processor if by_processor else cell.median, cell.outcome

    ours, note = median(goal.size, goal.row, "ours")
    if isinstance(goal, Growth):
        base, base_note = median(goal.base_size, goal.base_row, "ours")
    elif isinstance(goal.unit, str):
        base, base_note = median(goal.size, goal.row, goal.unit)
    else:
        base, base_note = goal.unit, ""
    if ours is None:
        return Verdict(goal, None, None, f"ours: {note}" if note else "")
    if base is None:
        return Verdict(goal, ours, None, f"the other: {base_note}" if base_note else "")
    return Verdict(goal, ours, ours / base)
