"""The tables, in Markdown: the goals and what became of them, then all medians of each folder's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.imap import rows
from bench.imap.contender import SERVERS
from bench.imap.figures import Cell, Figures, Rows
from bench.imap.goals import GOALS, MB, Goal, judge

_METHOD = """\
Every server has a maildir of its own with the same messages (hard links) and is measured with the same client,
which takes the time from sending a command until its completion was read and counts what came. The servers take
turns, another one first in each round; the figures are medians of the rounds. All rows but those called cold are
warm: directories and files are in the kernel's cache. Unless a section says otherwise, a session is one process
with a pair of sockets as its standard input and output, already authenticated, as it is shipped; it has selected
INBOX, and nothing changed in the last seconds before. Processor time is the server's own, which other work on the
machine disturbs less. Over TCP, Courier's answers end up to 40 ms late: it leaves Nagle's algorithm on."""


def report(sizes: Mapping[int, Figures], heads: Mapping[int, str], chart: str) -> str:
    """Write the whole page."""
    parts = ["# Our imapd beside Courier's and Dovecot's\n", f"{_METHOD}\n", f"![times]({chart})\n"]
    parts.append(goal_table(sizes))
    for size in sorted(sizes):
        parts.append(f"## {size:,} messages\n\n{heads[size]}\n")
        parts += [section(name, found) for name, found in sizes[size].sections.items()]
    return "\n".join(parts)


def goal_table(sizes: Mapping[int, Figures]) -> str:
    lines = []
    obstacles: dict[str, list[str]] = {}
    for goal in GOALS:
        verdict = judge(goal, sizes)
        if verdict.text == "missed" and goal.obstacle:
            obstacles.setdefault(goal.obstacle, []).append(goal.row)
        by_number = isinstance(goal, Goal) and not isinstance(goal.unit, str)
        ratio = "" if verdict.ratio is None else f"{verdict.ratio:.3g}"
        ours = "" if verdict.ours is None else _figure(goal.section, verdict.ours)
        cells = [
            goal.row,
            rows.SHORT[goal.section],
            f"{goal.size:,}",
            ours,
            "" if by_number else ratio,
        ]
        lines.append(table_line([*cells, goal.wanted, verdict.text]))
    title = "## Goals\n"
    columns = ["row", "section", "messages", "ours, ms or MB", "ratio", "goal", "met or missed"]
    notes = [f"- {' and '.join(dict.fromkeys(of))}: {text}." for text, of in obstacles.items()]
    if notes:
        notes = ["What stands in the way of those missed:\n", *notes, ""]
    return "\n".join([title, *table_head(columns), *lines, "", *notes])


def section(name: str, found: Rows) -> str:
    """Write the table of one way of measuring."""
    memory = name == rows.MEMORY
    servers = [one for one in SERVERS if any(one in cells for cells in found.values())]
    others = [one for one in servers if one != "ours"] if "ours" in servers else []
    has_processor = any(cell.processor for cells in found.values() for cell in cells.values())
    columns = ["" if memory else "median, ms", *servers, *(f"ours / {one}" for one in others)]
    if has_processor:
        columns += [f"{one}, processor ms" for one in servers]
    lines = []
    for row, cells in found.items():
        line = [row, *(_cell(name, cells.get(one)) for one in servers)]
        line += [_ratio(cells.get("ours"), cells.get(one)) for one in others]
        if has_processor:
            line += [_processor(cells.get(one)) for one in servers]
        lines.append(table_line(line))
    return "\n".join([f"### {name}\n", *table_head(columns), *lines, ""])


def _cell(section: str, cell: Cell | None) -> str:
    if cell is None:
        return ""
    median = cell.median
    if median is None:
        return cell.outcome
    return " ".join(filter(None, (_figure(section, median), cell.outcome)))


def _figure(section: str, value: float) -> str:
    return f"{value / MB:.1f}" if section == rows.MEMORY else milliseconds(value)


def milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _ratio(ours: Cell | None, other: Cell | None) -> str:
    if ours is None or other is None or ours.median is None or not other.median:
        return ""
    return f"{ours.median / other.median:.3g}"


def _processor(cell: Cell | None) -> str:
    median = cell.median_processor if cell else None
    return "" if median is None else milliseconds(median)


def table_head(columns: Sequence[str]) -> list[str]:
    return [table_line(columns), "|" + "---|" * len(columns)]


def table_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
