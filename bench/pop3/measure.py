"""The steps of a round: a first session, a later one, and one that fetches messages."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.connection import Sample, on_port
from bench.imap.contender import ACCOUNT, Contender
from bench.imap.figures import Figures
from bench.imap.maildirs import forget
from bench.imap.run import settle
from bench.installation import Installation
from bench.pop3 import rows
from bench.pop3.session import Session

#: How far the octets of servers may differ: their own words, and UIDLs of another length.
_TOLERANCE = 0.01
_LARGE_NAME = "1900000000.M1P1.bench,S={}:2,S"


class Unequal(Exception):
    """The servers did not send the same."""


@dataclass
class Run:
    """What the steps share. ``empty`` has a server for each one that has no messages."""

    contenders: Sequence[Contender]
    empty: Mapping[str, Contender]
    files: list[Path]  # of the messages, in their order; all maildirs have links to them
    limit_s: float
    figures: Figures = field(default_factory=Figures)
    counts: bool = True  # the round that is going on is no warm-up

    def in_turn(self, number: int) -> list[Contender]:
        """The servers, another one first in each round."""
        shift = number % len(self.contenders)
        return [*self.contenders[shift:], *self.contenders[:shift]]

    def add(self, section: str, row: str, contender: Contender, sample: Sample) -> None:
        if self.counts:
            self.figures.add(section, row, contender.name, sample)


def first(run: Run, number: int) -> None:
    """Log-in, LIST and UIDL after everything kept was removed."""
    for contender in run.in_turn(number):
        forget(contender.maildir)
    settle()
    for contender in run.in_turn(number):
        _list(run, contender, rows.FIRST, _begun(run, contender))


def later(run: Run, number: int) -> None:
    """The same in a new process, and of an empty maildir, whose time is not the listing's."""
    settle()
    for contender in run.in_turn(number):
        session, start = _begun(run, run.empty[contender.name])
        session.quit(run.limit_s)
        run.add(rows.START, rows.LOGIN, contender, start)
        _list(run, contender, rows.WARM, _begun(run, contender))


def fetching(run: Run, number: int) -> None:
    """Messages that no round before has fetched, and a large one, in one session."""
    at = number * rows.FETCHED
    commands = [f"RETR {at + n + 1}" for n in range(rows.FETCHED)]
    for path in (*run.files[at : at + rows.FETCHED], run.files[-1]):
        path.read_bytes()  # into the kernel's cache, which may have given them up
    for contender in run.in_turn(number):
        session, _ = _begun(run, contender)
        try:
            fetched = session.timed(commands, run.limit_s)
            listed = session.timed(["LIST"], run.limit_s)
            large = listed.end.splitlines()[-2].split()[0].decode()
            of_large = session.timed([f"RETR {large}"], run.limit_s)
            left = session.quit(run.limit_s)
        except BaseException:
            session.kill()
            raise
        run.add(rows.FETCHING, rows.RETR, contender, fetched)
        run.add(rows.FETCHING, rows.RETR_LARGE, contender, of_large)
        run.add(rows.FETCHING, rows.QUIT, contender, left)
        run.add(rows.FETCHING, rows.KEPT, contender, _sum(fetched, listed, left))


def over_tcp(run: Run, number: int, servers: Mapping[str, Installation]) -> None:
    """The later session with the daemons, from the connection on."""
    settle()
    for contender in run.in_turn(number):
        server = servers[contender.name]
        began = time.perf_counter()
        session = Session(on_port(server.port, server.roots))
        connected = time.perf_counter() - began
        try:
            login = session.log_in(ACCOUNT, run.limit_s)
        except BaseException:
            session.kill()
            raise
        login = replace(login, seconds=login.seconds + connected)
        _list(run, contender, rows.TCP, (session, login))


def add_large(run: Run, work: Path) -> None:
    """Give every maildir the large message, behind all others; open it once for that."""
    line = b"A" * 76 + b"\n"
    data = b"Subject: large\n\n" + line * (rows.LARGE_SIZE // len(line))
    path = work / "large"
    path.write_bytes(data)
    run.files.append(path)
    for contender in run.contenders:
        contender.owner.give(path)
        os.link(path, contender.maildir / "cur" / _LARGE_NAME.format(len(data)))
    settle()
    for contender in run.contenders:
        session, _ = _begun(run, contender)
        session.timed(["LIST", "UIDL"], run.limit_s)
        session.quit(run.limit_s)
    settle()


def compare(figures: Figures) -> None:
    """Raise Unequal unless all servers sent as much, but for their own words."""
    for section, row in ((rows.FETCHING, rows.RETR), (rows.FETCHING, rows.RETR_LARGE)):
        octets = {
            name: cell.octets
            for name, cell in figures.sections.get(section, {}).get(row, {}).items()
        }
        if octets and max(octets.values()) > min(octets.values()) * (1 + _TOLERANCE):
            raise Unequal(f"{row}: {octets}")


def _begun(run: Run, contender: Contender) -> tuple[Session, Sample]:
    """Start a session; return what it took up to the end of its log-in, start of its process included."""
    contender.see_to_watcher()
    began = time.perf_counter()
    session = Session(contender.start(), greets=contender.name != "dovecot")
    try:
        session.begin(run.limit_s)
        took = time.perf_counter() - began
        return session, Sample(took, session.running_s(), 0, b"")
    except BaseException:
        session.kill()
        raise


def _list(run: Run, contender: Contender, section: str, begun: tuple[Session, Sample]) -> None:
    """LIST and UIDL in a session that has begun."""
    session, login = begun
    try:
        samples = {row: session.timed([row], run.limit_s) for row in (rows.LIST, rows.UIDL)}
    except BaseException:
        session.kill()
        raise
    session.quit(run.limit_s)
    listing = _sum(*samples.values())
    total = _sum(login, listing)
    samples = {rows.LOGIN: login, **samples, rows.LISTING: listing, rows.TOTAL: total}
    for row, sample in samples.items():
        run.add(section, row, contender, sample)


def _sum(*samples: Sample) -> Sample:
    processor_s = sum(one.processor_s or 0.0 for one in samples)
    octets = sum(one.octets for one in samples)
    return Sample(sum(one.seconds for one in samples), processor_s, octets, b"")
