"""What a server's processes take: memory and processor time, from proc(5)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def pids(roots: Sequence[int]) -> list[int]:
    """The processes, and all that they started and that still run."""
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except FileNotFoundError:
            continue
        found.append(pid)
        waiting += map(int, children.split())
    return found


def is_running(pid: int) -> bool:
    """Tell whether a process has not ended yet; one that nobody has waited for has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def pss(roots: Sequence[int]) -> dict[int, int]:
    """Proportional set size of each process of the tree, in octets."""
    sizes = {}
    for pid in pids(roots):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended
        sizes[pid] = sum(
            int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")
        )
    return sizes


def processor_s(roots: Sequence[int]) -> float:
    """Processor seconds of the tree so far; children that ended count with their parents."""
    ticks = 0
    for pid in pids(roots):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS_PER_S


def running_s(pid: int) -> float:
    """Seconds that a process with its threads and children has run so far, to the nanosecond.

    What children ran that have ended counts too, to the tick; what threads ran that ended does not.
    """
    total = 0
    for one in pids([pid]):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended
            for task in os.listdir(f"/proc/{one}/task"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    text = Path(f"/proc/{one}/task/{task}/schedstat").read_text()
                    total += int(text.split()[0])
    stat = Path(f"/proc/{pid}/stat").read_text()
    ended = sum(map(int, stat.rpartition(")")[2].split()[13:15]))
    return total / 1e9 + ended / _TICKS_PER_S


def memory(pid: int) -> tuple[int, int]:
    """Private memory that a process has written to, and the most that it ever had in memory, octets."""
    private = _kilobytes(f"/proc/{pid}/smaps_rollup", "Private_Dirty:")
    return private, _kilobytes(f"/proc/{pid}/status", "VmHWM:")


def _kilobytes(path: str, name: str) -> int:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{path} has no {name}")
