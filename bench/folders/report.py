"""The page: the goals and what became of them, then all medians."""

from __future__ import annotations

from collections.abc import Sequence

from bench.folders import rows
from bench.folders.goals import GOALS
from bench.imap.contender import Contender
from bench.imap.figures import Figures
from bench.imap.goals import Goal, judge
from bench.imap.report import milliseconds, section, table_head, table_line

_METHOD = """\
Every server has a maildir of its own with the same messages (hard links) and is measured with the same client.
The servers take turns, another one first in each round; the figures are medians of the rounds, and ratios are
of these. Directories and files are in the kernel's cache. Unless a section says otherwise, a session is one
process with a pair of sockets as its standard input and output, already authenticated. Courier has neither LIST with
RETURN nor NOTIFY: "no answer". Over TCP its answers end up to 40 ms late: it leaves Nagle's algorithm on.
Processor time is the server's own, of all its processes, which other work on the machine disturbs less."""


def report(figures: Figures, head: str, contenders: Sequence[Contender]) -> str:
    versions = [f"- {one.name}: {one.version}" for one in contenders]
    title = "# Our imapd beside Courier's and Dovecot's: an account of many folders\n"
    parts = [title, f"{_METHOD}\n", head, *versions, "", _goals(figures)]
    parts += [section(name, found) for name, found in figures.sections.items()]
    return "\n".join(parts)


def _goals(figures: Figures) -> str:
    columns = ["row", "section", "ours, ms", "ratio", "goal", "met or missed"]
    columns += ["ratio of processor time", "met or missed by it"]
    lines = [_goal(goal, figures) for goal in GOALS]
    return "\n".join(["## Goals\n", *table_head(columns), *lines, ""])


def _goal(goal: Goal, figures: Figures) -> str:
    by_time = judge(goal, {goal.size: figures})
    by_processor = judge(goal, {goal.size: figures}, by_processor=True)
    ours = "" if by_time.ours is None else milliseconds(by_time.ours)
    cells = [goal.row, rows.SHORT[goal.section], ours, _ratio(by_time.ratio), goal.wanted]
    cells += [by_time.text, _ratio(by_processor.ratio), by_processor.text]
    return table_line(cells)


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3g}"
