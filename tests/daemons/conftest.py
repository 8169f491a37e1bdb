"""An installation for each test, with its daemons stopped and its files removed behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, Site


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark all here as slow, as daemons take a third of a second to start, but what is marked as fast."""
    for item in items:
        if item.path.parent == Path(__file__).parent and not item.get_closest_marker("fast"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@pytest.fixture
def imapd(site: Site) -> Daemon:
    return site.start()


@pytest.fixture
def imapd_ssl(site: Site) -> Daemon:
    return site.start("imapd-ssl")
