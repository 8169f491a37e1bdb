"""Processes without a file descriptor to spare (EMFILE)."""

from __future__ import annotations

import os
import re
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.daemon import descriptors, status


@contextmanager
def exhausted(pid: int) -> Iterator[None]:
    """Let a process open nothing more."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    found = re.search(r"^Max open files +([0-9]+)", limits, re.M)
    assert found
    _allow(pid, _lowest_free(pid))
    try:
        yield
    finally:
        _allow(pid, int(found[1]))


@contextmanager
def exhausted_here() -> Iterator[None]:
    """Let this process open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_lowest_free(os.getpid()), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _lowest_free(pid: int) -> int:
    taken = descriptors(pid)
    return next(number for number in range(len(taken) + 1) if number not in taken)


def _allow(pid: int, number: int) -> None:
    """Set a process's limit, as its own user: not every root may do that to others."""
    ids = status(pid)
    subprocess.run(
        ["prlimit", f"--pid={pid}", f"--nofile={number}:"],
        user=int(ids["Uid"].split()[0]),
        group=int(ids["Gid"].split()[0]),
        extra_groups=[],
        check=True,
    )
