"""`make bench`: our pop3d beside Courier's and Dovecot's.

DESCRIPTION
    ``python3 -m bench.pop3 [--messages N] [--rounds N] [--servers NAME,NAME…] [--write]``

    Log-in, LIST and UIDL of 20,000 messages, of the first session and of later ones; RETR of 1,000 messages, and
    of one of 50 MB. Takes a few minutes. As root it runs the servers as nobody, and measures over TCP too.

    Figures go to standard output, and with all three servers, or ``--write``, to bench/results/pop3.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench import installation
from bench.imap import maildirs
from bench.imap.contender import (
    ACCOUNT,
    NOBODY,
    POP3,
    SERVERS,
    Contender,
    contender,
    maildir,
    owner,
)
from bench.imap.mail import MEAN_SIZE
from bench.imap.results import RESULTS
from bench.imap.run import say
from bench.installation import Account
from bench.pop3 import measure, rows
from bench.pop3.measure import Run
from bench.pop3.report import report
from tests.support.servers import ROOT

_MESSAGES, _ROUNDS = 20_000, 7
_ROUNDS_FIRST = 3
_LIMIT_S = 120.0


def main() -> int:
    chosen = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # what was made is removed
    names = chosen.servers.split(",")
    if chosen.messages < (chosen.rounds + 1) * rows.FETCHED:
        sys.exit(f"each of {chosen.rounds} rounds and a warm-up needs {rows.FETCHED} messages")
    with prepared(chosen.messages, names) as (run, work):
        head = _head(chosen.messages, chosen.rounds)
        first = min(chosen.rounds, _ROUNDS_FIRST)
        _rounds("first", first, run, lambda number: measure.first(run, number))
        _rounds("later", chosen.rounds, run, lambda number: measure.later(run, number))
        if os.geteuid() == 0:
            accounts = [Account(ACCOUNT, NOBODY)]
            with installation.running(names, work, accounts, installation.POP3) as servers:
                _rounds(
                    "TCP", chosen.rounds, run, lambda number: measure.over_tcp(run, number, servers)
                )
        measure.add_large(run, work)
        _rounds("messages", chosen.rounds, run, lambda number: measure.fetching(run, number))
        measure.compare(run.figures)
        page = report(run.figures, head, run.contenders)
    print(page)
    if chosen.write or set(names) == set(SERVERS):
        (RESULTS / "pop3.md").write_text(page)
        say(f"written to {(RESULTS / 'pop3.md').relative_to(ROOT)}")
    return 0


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description="our pop3d beside Courier's and Dovecot's")
    options.add_argument("--messages", type=int, default=_MESSAGES)
    options.add_argument("--rounds", type=int, default=_ROUNDS)
    options.add_argument("--servers", default=",".join(SERVERS))
    options.add_argument(
        "--write", action="store_true", help="keep the results of some servers too"
    )
    return options.parse_args()


@contextlib.contextmanager
def prepared(size: int, names: Sequence[str]) -> Iterator[tuple[Run, Path]]:
    """Make the messages, the maildirs and the copies of the servers; remove everything in the end."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as directory:
        work = Path(directory)
        nothing = work / "empty"
        nothing.mkdir()
        for place in (work, nothing):
            place.chmod(0o755)
            maildirs.spread(place)
        pool = maildirs.make_pool(work / "messages", min(size, maildirs.DISTINCT), owner())
        contenders: list[Contender] = []
        empty: dict[str, Contender] = {}
        for name in (one for one in SERVERS if one in names):
            maildirs.fill(maildir(name, work), pool, size, owner())
            maildirs.fill(maildir(name, nothing), pool, 0, owner())
            contenders.append(contender(name, work, POP3))
            # One watcher serves all of a uid's sessions.
            watcher = contenders[-1].watcher
            empty[name] = replace(contender(name, nothing, POP3), watcher=watcher)
        try:
            yield Run(contenders, empty, pool.files, _LIMIT_S), work
        finally:
            for one in contenders:
                if one.watcher:
                    one.watcher.stop()


def _rounds(part: str, rounds: int, run: Run, step: Callable[[int], None]) -> None:
    """Do a step so many times, and once before that as a warm-up."""
    for number in range(rounds + 1):
        began = time.monotonic()
        run.counts = number > 0
        step(number)
        say(f"{part}, round {number}: {time.monotonic() - began:.1f} s")


def _head(size: int, rounds: int) -> str:
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} processors, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load average before {os.getloadavg()[0]:.1f}. "
        f"{size:,} messages of {MEAN_SIZE:,} octets on average. {rounds} rounds, of first sessions "
        f"{min(rounds, _ROUNDS_FIRST)}.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
