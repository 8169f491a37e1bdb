from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from courier import log
from imapd import notifier
from tests.imapd.driver import Driven

Drive = Callable[..., Driven]


class Log:
    """The lines logged during a test."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def lines(self) -> list[str]:
        return self._path.read_text().splitlines()


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Log]:
    """Keep what is logged; a traceback in it fails the test, unless it took the lines away."""
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log.use(descriptor)
    yield Log(path)
    Driven.end_all()
    log.use(2)
    os.close(descriptor)
    assert "Traceback" not in path.read_text(), path.read_text()


@pytest.fixture
def drive(maildir: Path, logged: Log) -> Drive:
    """Start sessions on the test's maildir, in memory."""

    def start(**settings: str | None) -> Driven:
        return Driven(maildir, settings)

    return start


@pytest.fixture
def driven(drive: Drive) -> Driven:
    """One session on an empty maildir."""
    return drive()


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long NOTIFY's look takes on a busy machine, its next is not put off."""
    monkeypatch.setattr(notifier, "_LONG_S", float("inf"))
