from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.imapd.conftest import Log, logged
from tests.imapd.smap.driver import DrivenSmap
from tests.support.maildirs import deliver, folder_path

__all__ = ["logged"]

Drive = Callable[..., DrivenSmap]
Fill = Callable[..., list[str]]


@pytest.fixture
def drive(maildir: Path, logged: Log) -> Drive:
    """Start SMAP sessions on the test's maildir, in memory."""

    def start(**settings: str | None) -> DrivenSmap:
        return DrivenSmap(maildir, settings)

    return start


@pytest.fixture
def fill(maildir: Path) -> Fill:
    """Deliver messages; give their names without flags."""
    numbers = itertools.count(1)

    def filled(
        count: int = 1,
        flags: str | None = "",
        content: bytes = b"Subject: x\n\ny\n",
        folder: str = "INBOX",
    ) -> list[str]:
        path = folder_path(maildir, folder)
        return [deliver(path, content, number=next(numbers), flags=flags) for _ in range(count)]

    return filled
