"""Fixtures that every test may use; and what `make check-fast` leaves out, which runs part of the tests.

A test belongs to that part unless it is marked:

- `slow`: it takes over a quarter of a second when the machine does nothing else. All of tests/daemons is slow by
  its conftest.py, but for one test of each subject there, marked `fast`.
- `courier`, `client`, `root`: it needs real Courier, a mail client, root's rights.

There property tests try 25 examples in place of 100. `make check` runs every test, with all examples. Tests
that took over half a second of processor time and have none of these marks are listed at the end of a run.
"""

from __future__ import annotations

import gc
import itertools
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.support import clock
from tests.support.maildirs import make_maildir
from tests.support.servers import (
    BYTECODE,
    COURIER,
    OURS,
    REAL,
    Implementation,
    Server,
    start_gam_server,
)

# How long an example takes depends on what else the machine does. No test names a target, so there is
# nothing to climb towards: every example is a new one.
settings.register_profile(
    "tests", deadline=None, phases=[phase for phase in Phase if phase is not Phase.target]
)
settings.register_profile("fast", settings.get_profile("tests"), max_examples=25)
settings.load_profile("tests")

# Dates in tests are written with it, wherever the machine is.
os.environ["TZ"] = "UTC"
time.tzset()

sys.pycache_prefix = str(BYTECODE)
sys.dont_write_bytecode = False

Start = Callable[..., Server]

MUST_HAVE_TOOLS = os.environ.get("CI") == "true"


_NOT_LISTED = {"slow", "fast", "courier", "client", "root"}
_LONG_S = 0.5
_long: list[tuple[float, str]] = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note a test that takes long, with the processes that it waits for."""
    before = sum(os.times()[:4])
    yield
    spent = sum(os.times()[:4]) - before
    if spent > _LONG_S and _NOT_LISTED.isdisjoint(mark.name for mark in item.iter_markers()):
        _long.append((spent, item.nodeid))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _long:
        terminalreporter.section("not marked as slow, by seconds of processor time")
        for spent, name in sorted(_long, reverse=True):
            terminalreporter.write_line(f"{spent:.2f} {name}")


def pytest_collection_finish() -> None:
    """Let the garbage collector look at what tests make alone, not at nine thousand tests."""
    gc.collect()
    gc.freeze()


def missing(what: str) -> None:
    """Skip, naming what is missing; on the CI machine that is a failure."""
    if MUST_HAVE_TOOLS:
        pytest.fail(f"missing: {what}")
    pytest.skip(f"missing: {what}")


NewDirectory = Callable[[str], Path]


@pytest.fixture(scope="session")
def new_directory(tmp_path_factory: pytest.TempPathFactory) -> NewDirectory:
    """Make empty directories; pytest, to number one, reads all that there are."""
    numbers = itertools.count()
    return lambda name: tmp_path_factory.mktemp(f"{name}-{next(numbers)}", numbered=False)


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, new_directory: NewDirectory) -> Path:
    """An empty directory."""
    return new_directory(re.sub(r"\W", "_", request.node.name)[:20])


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """An empty maildir."""
    return make_maildir(tmp_path / "Maildir")


@pytest.fixture
def seconds_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every time on disk be old enough to be believed."""
    monkeypatch.setattr(time, "time_ns", clock.seconds_later)


@pytest.fixture(scope="session")
def courier() -> Iterator[Implementation]:
    """Debian's real Courier, with the file watcher it needs."""
    if not (COURIER / "usr/bin/imapd").exists():
        missing("Debian's courier-imap, see `make tools`")
    watcher = start_gam_server()
    yield REAL
    watcher.kill()
    watcher.wait()


@pytest.fixture(params=["ours", pytest.param("courier", marks=pytest.mark.courier)])
def implementation(request: pytest.FixtureRequest) -> Implementation:
    """Our server and real Courier in turn."""
    if request.param == "ours":
        return OURS
    real: Implementation = request.getfixturevalue("courier")
    return real


@pytest.fixture
def start(maildir: Path) -> Iterator[Start]:
    """Start servers on the test's maildir; all are stopped when the test ends.

    Our server must never have written a traceback.
    """
    servers: list[Server] = []

    def start_server(
        implementation: Implementation = OURS,
        settings: Mapping[str, str] | None = None,
        path: Path | None = None,
        unset: Collection[str] = (),
    ) -> Server:
        server = Server(implementation, path or maildir, settings, unset)
        servers.append(server)
        if implementation.is_imap:  # others' greeting is what they say of log-in
            greeting = server.client.response()
            assert greeting.text.startswith("* PREAUTH"), greeting
        return server

    yield start_server
    for server in servers:
        server.stop()
    for server in servers:
        assert "Traceback" not in server.log, server.log
