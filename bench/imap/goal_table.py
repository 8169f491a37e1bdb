"""The table of goals judged twice, by the clock and by processor time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.imap.figures import Figures
from bench.imap.goals import Goal, judge
from bench.imap.report import milliseconds, table_head, table_line


def goal_table(figures: Figures, goals: Sequence[Goal], short: Mapping[str, str]) -> str:
    """Write what became of goals. ``short``: names of sections, as they fit into a cell."""
    columns = ["row", "section", "ours, ms", "ratio", "goal", "met or missed"]
    columns += ["ratio of processor time", "met or missed by it"]
    lines = [_line(goal, figures, short) for goal in goals]
    return "\n".join(["## Goals\n", *table_head(columns), *lines, ""])


def _line(goal: Goal, figures: Figures, short: Mapping[str, str]) -> str:
    by_time = judge(goal, {goal.size: figures})
    by_processor = judge(goal, {goal.size: figures}, by_processor=True)
    ours = "" if by_time.ours is None else milliseconds(by_time.ours)
    cells = [goal.row, short[goal.section], ours, _ratio(by_time.ratio), goal.wanted]
    cells += [by_time.text, _ratio(by_processor.ratio), by_processor.text]
    return table_line(cells)


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3g}"
