"""One folder's size: the servers in turn, what each command took, sessions that end whatever happens."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.connection import NoAnswer, Sample, TooSlow
from bench.imap import rows
from bench.imap.contender import Contender
from bench.imap.figures import Figures
from bench.imap.maildirs import Foreigner, Pool, Yard
from bench.imap.session import Session

Opener = Callable[[Contender], Session]

# Longer than servers distrust the times of a directory that has just changed.
SETTLE_S = 2.5
_LARGE = 100_000
_HUGE = 500_000


@dataclass
class Run:
    """What the steps of measuring share."""

    size: int
    contenders: Sequence[Contender]
    pool: Pool
    yard: Yard
    limit_s: float
    figures: Figures = field(default_factory=Figures)
    rounds: int = 1
    counts: bool = True  # the round that is going on is no warm-up
    left_out: str = ""  # a server that takes no part in the round that is going on

    def __post_init__(self) -> None:
        self.foreigners = {
            one.name: Foreigner(one.maildir, self.pool, self.size) for one in self.contenders
        }

    def in_turn(self, number: int) -> list[Contender]:
        """The servers that take part, another one first in each round."""
        taking_part = [one for one in self.contenders if one.name != self.left_out]
        shift = number % len(taking_part)
        return [*taking_part[shift:], *taking_part[:shift]]

    @property
    def is_large(self) -> bool:
        """Whether one round of a server that opens messages takes minutes."""
        return self.size >= _LARGE

    @property
    def reading(self) -> list[str]:
        """The rows of the second opening."""
        return list(rows.READING) if self.size < _HUGE else rows.READ_HUGE

    def take(
        self,
        section: str,
        row: str,
        server: str,
        measure: Callable[[], Sample],
        patience: float = 1.0,
    ) -> Sample | None:
        """Measure a row unless the server was given up on; None means that there is no sample.

        Raises:
            TooSlow: the session can't be used any more.
        """
        self.figures.cell(section, row, server)  # rows stand in the order of measuring
        if self.figures.is_given_up(section, row, server):
            return None
        try:
            sample = measure()
        except NoAnswer:
            self.figures.give_up(section, row, server, "no answer")
            return None
        except TooSlow as error:
            self.figures.give_up(section, row, server, f"not within {self.limit_s * patience:g} s")
            raise TooSlow(f"{row}: {error}") from error
        if self.counts:
            self.figures.add(section, row, server, sample)
        return sample

    @contextlib.contextmanager
    def session(self, contender: Contender, opener: Opener = Contender.open) -> Iterator[Session]:
        """A session that is over in the end; a row that was too slow ends it early, and no more."""
        session = opener(contender)
        with self.surviving(contender, session):
            yield session
            session.close()

    @contextlib.contextmanager
    def surviving(self, contender: Contender, session: Session) -> Iterator[None]:
        """Kill a session whose server was too slow or refused what it should not, and go on."""
        try:
            yield
        except (TooSlow, NoAnswer) as error:
            say(f"{self.size}, {contender.name}: {error}")
            session.kill()
        except BaseException:
            session.kill()
            raise

    def command(
        self,
        section: str,
        row: str,
        contender: Contender,
        session: Session,
        command: str,
        patience: float = 1.0,
    ) -> Sample | None:
        """Take a row that is one command."""
        limit_s = self.limit_s * patience
        return self.take(
            section, row, contender.name, lambda: session.timed(command, limit_s), patience
        )

    def select(
        self, session: Session, contender: Contender, section: str, row: str = rows.SELECT
    ) -> bool:
        """Select INBOX as a row of its own; False if the server can't do it."""
        return bool(self.command(section, row, contender, session, rows.SELECT_COMMAND))

    def prepare(self, session: Session) -> None:
        """Select INBOX without taking its time."""
        session.timed(rows.SELECT_COMMAND, self.limit_s)


def settle() -> None:
    time.sleep(SETTLE_S)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
