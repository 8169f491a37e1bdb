"""The same commands over TCP, answered by the daemons with their log-in."""

from __future__ import annotations

from pathlib import Path

from bench import installation
from bench.connection import Sample
from bench.imap import opening, rows
from bench.imap.contender import ACCOUNT, NOBODY, Contender
from bench.imap.run import Run
from bench.imap.session import Session, on_port
from bench.installation import Account

LOGIN = "connect, LOGIN"


def measure(run: Run, work: Path, rounds: int) -> None:
    """Start all daemons on the maildirs that are there; a warm-up and then the rounds."""
    names = [one.name for one in run.contenders]
    with installation.running(names, work, [Account(ACCOUNT, NOBODY)]) as servers:

        def open_session(contender: Contender) -> Session:
            session, seconds = on_port(servers[contender.name].port, ACCOUNT)
            if run.counts:
                sample = Sample(seconds, None, 0, b"")
                run.figures.add(rows.TCP, LOGIN, contender.name, sample)
            return session

        for number in range(rounds + 1):
            run.counts = number > 0
            opening.second(run, number, rows.TCP, open_session)
