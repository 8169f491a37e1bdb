"""The page: the goals and what became of them, then all medians."""

from __future__ import annotations

from collections.abc import Sequence

from bench.folders import rows
from bench.folders.goals import GOALS
from bench.imap.contender import Contender
from bench.imap.figures import Figures
from bench.imap.goal_table import goal_table
from bench.imap.report import section

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
    parts = [title, f"{_METHOD}\n", head, *versions, "", goal_table(figures, GOALS, rows.SHORT)]
    parts += [section(name, found) for name, found in figures.sections.items()]
    return "\n".join(parts)
