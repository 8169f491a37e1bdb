"""The page: the goals and what became of them, then all medians."""

from __future__ import annotations

from collections.abc import Sequence

from bench.imap.contender import Contender
from bench.imap.figures import Figures
from bench.imap.goal_table import goal_table
from bench.imap.report import section
from bench.pop3 import rows
from bench.pop3.goals import GOALS

_METHOD = """\
Every server has a maildir of its own with the same messages (hard links) and is measured with the same client.
The servers take turns, another one first in each round; the figures are medians of the rounds, and ratios are
of these. Directories and files are in the kernel's cache. Unless a section says otherwise, a session is one
process with a pair of sockets as its standard input and output, already authenticated; its log-in ends when it
answers its first command.

For every such session ours starts Python, and Dovecot's reads its settings by doveconf, which the figures of an empty
maildir show; the daemons, over TCP, do neither. A message that was fetched gets the flag
of one that was seen, at once or with a later command: RETR is also given with what follows.
Processor time is the server's own, of all its processes, which other work on the machine disturbs less."""


def report(figures: Figures, head: str, contenders: Sequence[Contender]) -> str:
    versions = [f"- {one.name}: {one.version}" for one in contenders]
    parts = ["# Our pop3d beside Courier's and Dovecot's\n", f"{_METHOD}\n", head, *versions, ""]
    parts.append(goal_table(figures, GOALS, rows.SHORT))
    parts += [section(name, found) for name, found in figures.sections.items()]
    return "\n".join(parts)
