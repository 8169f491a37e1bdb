"""The same commands over TCP, answered by the daemons with their log-in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench import installation
from bench.connection import Sample
from bench.imap import opening, rows
from bench.imap.contender import ACCOUNT, NOBODY, Contender
from bench.imap.run import Run
from bench.imap.session import Session, on_port
from bench.installation import Account, Installation

LOGIN = "connect, LOGIN"


def measure(run: Run, work: Path, rounds: int) -> None:
    """Start all daemons on the maildirs that are there; a warm-up and then the rounds."""
    with _running(run, work) as servers:

        def open_session(contender: Contender) -> Session:
            session, seconds = on_port(servers[contender.name].port, ACCOUNT)
            if run.counts:
                sample = Sample(seconds, None, 0, b"")
                run.figures.add(rows.TCP, LOGIN, contender.name, sample)
            return session

        for number in range(rounds + 1):
            run.counts = number > 0
            opening.second(run, number, rows.TCP, open_session)


@contextlib.contextmanager
def _running(run: Run, work: Path) -> Iterator[dict[str, Installation]]:
    servers: dict[str, Installation] = {}
    try:
        for contender in run.contenders:
            name = contender.name
            account = Account(ACCOUNT, NOBODY)
            servers[name] = installation.start(name, work / name, [account])
        for server in servers.values():
            server.wait_until_it_serves()
        yield servers
    finally:
        for server in servers.values():
            server.stop()
