"""The steps of a round: first commands, those of later processes and of open sessions, new messages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.connection import NoAnswer, Sample
from bench.folders import rows
from bench.folders.maildirs import Deliveries, forget
from bench.imap.contender import ACCOUNT, Contender
from bench.imap.figures import Figures
from bench.imap.run import settle
from bench.imap.session import Session, on_port
from bench.installation import Installation


class Unequal(Exception):
    """A server has not told of all mailboxes."""


@dataclass
class Run:
    """What the steps share."""

    contenders: Sequence[Contender]
    names: Sequence[str]  # of folders
    deliveries: Mapping[str, Deliveries]  # by server
    limit_s: float
    figures: Figures = field(default_factory=Figures)
    counts: bool = True  # the round that is going on is no warm-up

    def in_turn(self, number: int) -> list[Contender]:
        """The servers, another one first in each round."""
        shift = number % len(self.contenders)
        return [*self.contenders[shift:], *self.contenders[:shift]]

    def take(self, section: str, row: str, name: str, measure: Callable[[], Sample]) -> None:
        """Measure a row, unless the server has refused it."""
        self.figures.cell(section, row, name)
        if self.figures.is_given_up(section, row, name):
            return
        try:
            sample = measure()
        except NoAnswer:
            self.figures.give_up(section, row, name, "no answer")
            return
        if self.counts:
            self.figures.add(section, row, name, sample)

    def command(self, section: str, row: str, contender: Contender, session: Session) -> None:
        if row == rows.EACH:
            commands = [f'STATUS "INBOX.{name}" {rows.NUMBERS}' for name in self.names]
        else:
            commands = [rows.COMMANDS[row]]
        self.take(section, row, contender.name, lambda: session.timed_all(commands, self.limit_s))


@contextlib.contextmanager
def ending(session: Session) -> Iterator[Session]:
    """See to it that a session ends, by LOGOUT unless something went wrong."""
    with session:
        yield session
        session.close()


def first(run: Run, number: int) -> None:
    """Each row in a new process after everything kept was removed."""
    for row in rows.OF_FIRST:
        for contender in run.in_turn(number):
            forget(contender.maildir)
        settle()
        for contender in run.in_turn(number):
            with ending(contender.open()) as session:
                run.command(rows.FIRST, row, contender, session)


def later(run: Run, number: int) -> None:
    """Each row as the first command of a new process, and again in the same session."""
    settle()
    for row in rows.ALL:
        for contender in run.in_turn(number):
            with ending(contender.open()) as session:
                run.command(rows.NEW, row, contender, session)
                run.command(rows.AGAIN, row, contender, session)


def changed(run: Run, number: int) -> None:
    """STATUS after some folders got a new message: by a session that has asked before, and by another."""
    status = rows.COMMANDS[rows.STATUS]
    for contender in run.in_turn(number):
        if run.figures.is_given_up(rows.NEW, rows.STATUS, contender.name):
            continue
        settle()
        with ending(contender.open()) as session:
            session.timed(status, run.limit_s)
            run.deliveries[contender.name].deliver(number)
            run.take(
                rows.CHANGED,
                rows.STATUS_OPEN,
                contender.name,
                lambda: session.timed(status, run.limit_s),
            )
        settle()
        with ending(contender.open()) as session:
            session.timed(status, run.limit_s)
        run.deliveries[contender.name].deliver(1000 + number)
        settle()
        with ending(contender.open()) as session:
            run.take(
                rows.CHANGED,
                rows.STATUS_NEW,
                contender.name,
                lambda: session.timed(status, run.limit_s),
            )


def over_tcp(run: Run, number: int, servers: Mapping[str, Installation]) -> None:
    """Each row in a new connection to the daemons."""
    settle()
    for row in rows.ALL:
        for contender in run.in_turn(number):
            server = servers[contender.name]
            session, login_s = on_port(server.port, ACCOUNT, server.roots)
            with ending(session):
                login = Sample(login_s, None, 0, b"")
                run.take(rows.TCP, rows.LOGIN, contender.name, lambda: login)  # noqa: B023
                run.command(rows.TCP, row, contender, session)


def compare(figures: Figures, names: Sequence[str]) -> None:
    """Raise Unequal unless each server has told of so much that all mailboxes can be in it."""
    least = sum(map(len, names))
    for section, found in figures.sections.items():
        for row in set(found) & set(rows.OF_ALL):
            for server, cell in found[row].items():
                if cell.values and cell.octets < least:
                    raise Unequal(f"{server}: {row}, {section}: {cell.octets} octets")
