from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from courier import log


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Callable[[], list[str]]]:
    """What is logged during a test."""
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log.use(descriptor)
    yield lambda: path.read_text().splitlines()
    log.use(2)
    os.close(descriptor)
