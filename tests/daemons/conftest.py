"""An installation for each test, with its daemons stopped and its files removed behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon, Site


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
