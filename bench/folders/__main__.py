"""`make bench`: our imapd beside Courier's and Dovecot's on an account of many folders.

DESCRIPTION
    ``python3 -m bench.folders [--folders N] [--messages N] [--rounds N] [--only PART,PART…]
    [--servers NAME,NAME…] [--write]``

    LIST, LSUB, LIST with STATUS and NOTIFY of 1,000 folders of 10 messages each: of the first session, of later
    ones, after new messages, over TCP. Takes some minutes. As root it runs the servers as nobody, and
    measures over TCP too. The parts: first, later, changed, tcp.

    Figures go to standard output, and with all servers and parts, or ``--write``, to bench/results/folders.md.
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
from pathlib import Path

from bench import installation
from bench.folders import maildirs, measure
from bench.folders.measure import Run
from bench.folders.report import report
from bench.imap.contender import ACCOUNT, NOBODY, SERVERS, Contender, contender, maildir, owner
from bench.imap.maildirs import make_pool, spread
from bench.imap.results import RESULTS
from bench.imap.run import say
from bench.installation import Account
from tests.support.servers import ROOT

PARTS = ("first", "later", "changed", "tcp")
_FOLDERS, _MESSAGES, _ROUNDS = 1000, 10, 7
_ROUNDS_SLOW = 3  # of the first part, of new messages
_DISTINCT = 2000  # message files; folders have several links to each
_DELIVERED = 50  # folders that get a new message
_LIMIT_S = 120.0


def main() -> int:
    chosen = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # what was made is removed
    names, parts = chosen.servers.split(","), chosen.only.split(",")
    with prepared(chosen.folders, chosen.messages, names) as (run, work):
        head = _head(chosen)
        slow = min(chosen.rounds, _ROUNDS_SLOW)
        if "first" in parts:
            _rounds("first", slow, run, lambda number: measure.first(run, number))
        if "later" in parts:
            _rounds("later", chosen.rounds, run, lambda number: measure.later(run, number))
        if "changed" in parts:
            _rounds("changed", slow, run, lambda number: measure.changed(run, number))
        if "tcp" in parts and os.geteuid() == 0:
            _over_tcp(run, work, names, chosen.rounds)
        measure.compare(run.figures, run.names)
        page = report(run.figures, head, run.contenders)
    print(page)
    if chosen.write or (set(names) == set(SERVERS) and set(parts) == set(PARTS)):
        (RESULTS / "folders.md").write_text(page)
        say(f"written to {(RESULTS / 'folders.md').relative_to(ROOT)}")
    return 0


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description="our imapd beside Courier's and Dovecot's")
    options.add_argument("--folders", type=int, default=_FOLDERS)
    options.add_argument("--messages", type=int, default=_MESSAGES, help="in each folder")
    options.add_argument("--rounds", type=int, default=_ROUNDS)
    options.add_argument("--only", default=",".join(PARTS))
    options.add_argument("--servers", default=",".join(SERVERS))
    options.add_argument("--write", action="store_true", help="keep the results of a part too")
    return options.parse_args()


@contextlib.contextmanager
def prepared(folders: int, messages: int, names: Sequence[str]) -> Iterator[tuple[Run, Path]]:
    """Make the messages, the maildirs and the copies of the servers; remove everything in the end."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as directory:
        work = Path(directory)
        work.chmod(0o755)
        spread(work)
        pool = make_pool(work / "messages", min(folders * messages, _DISTINCT), owner())
        contenders: list[Contender] = []
        deliveries = {}
        every = max(folders // _DELIVERED, 1)
        for name in (one for one in SERVERS if one in names):
            maildirs.fill(maildir(name, work), pool, folders, messages, owner())
            contenders.append(contender(name, work))
            place = contenders[-1].maildir
            deliveries[name] = maildirs.Deliveries(place, pool, folders, every)
        try:
            yield Run(contenders, maildirs.names(folders), deliveries, _LIMIT_S), work
        finally:
            for one in contenders:
                if one.watcher:
                    one.watcher.stop()


def _over_tcp(run: Run, work: Path, names: Sequence[str], rounds: int) -> None:
    with installation.running(names, work, [Account(ACCOUNT, NOBODY)]) as servers:
        _rounds("TCP", rounds, run, lambda number: measure.over_tcp(run, number, servers))


def _rounds(part: str, rounds: int, run: Run, step: Callable[[int], None]) -> None:
    """Do a step so many times, and once before that as a warm-up."""
    for number in range(rounds + 1):
        began = time.monotonic()
        run.counts = number > 0
        step(number)
        say(f"{part}, round {number}: {time.monotonic() - began:.1f} s")


def _head(chosen: argparse.Namespace) -> str:
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} processors, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load average before {os.getloadavg()[0]:.1f}. "
        f"INBOX and {chosen.folders:,} folders of {chosen.messages} messages each. {chosen.rounds} rounds, "
        f"of the first sessions and after new messages {min(chosen.rounds, _ROUNDS_SLOW)}.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
