"""`make bench`: our imapd beside Courier's and Dovecot's on folders of thousands to a million messages.

DESCRIPTION
    ``python3 -m bench.imap [--messages N,N…] [--only PART,PART…] [--servers NAME,NAME…] [--rounds N]``

    Without options: 1,000 and 20,000 messages, all parts, which takes about ten minutes. 200,000 and
    1,000,000 take longer, by far: ``--messages 200000,1000000``. As root it runs the servers as nobody,
    measures over TCP too and with cold caches; otherwise these parts are left out.

    first: what a server does when it has kept nothing yet. second: a new process afterwards. since: new
    process and NOOP after changes. changes: APPEND, COPY, STORE, EXPUNGE, synced and not. memory. fulltext:
    SEARCH BODY with our full-text index. tcp. cold. growth: many APPENDs of ours into a large folder.

    A command that takes longer than ``--limit`` seconds is reported so and left out of later rounds;
    one that a server refuses has "no answer".

    Figures go to standard output; when all parts and servers were measured also to
    bench/results/imap.json, imap.md and imap.svg, where they replace those of the same sizes.
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
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.imap import changing, maildirs, opening, results, rows, tcp
from bench.imap.contender import SERVERS, contender, maildir, owner
from bench.imap.figures import Figures
from bench.imap.report import report
from bench.imap.run import Run, say
from tests.support.servers import ROOT

PARTS = ("first", "second", "since", "changes", "memory", "fulltext", "tcp", "cold", "growth")
_GROWTH_SIZE = 100_000
_ROUNDS, _ROUNDS_LARGE = 5, 2
_ROUNDS_SLOW = 3  # after changes, over TCP
_ROUNDS_SLOWEST = 2  # of the first opening, of changes, of memory
_LIMIT_S = 60.0
_LIMIT_OF_EACH_S = 0.0001  # for each message of a large folder


def main() -> int:
    chosen = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # what was made is removed
    sizes: dict[int, Figures] = {}
    heads: dict[int, str] = {}
    parts = chosen.only.split(",")
    names = chosen.servers.split(",")
    for size in map(int, chosen.messages.split(",")):
        with _prepared(size, names, chosen.limit) as (run, work):
            run.rounds = chosen.rounds or (_ROUNDS_LARGE if run.is_large else _ROUNDS)
            heads[size] = _head(run)
            _measure(run, work, parts)
        sizes[size] = run.figures
    if "growth" in parts and "ours" in names:
        with _prepared(_GROWTH_SIZE, ["ours"], chosen.limit) as (run, _):
            heads[_GROWTH_SIZE] = _head(run)
            changing.growth(run)
        sizes[_GROWTH_SIZE] = run.figures
    print(report(sizes, heads, "imap.svg"))
    is_whole = set(parts) | {"growth"} >= set(PARTS) and set(names) == set(SERVERS)
    if chosen.write or is_whole:
        for path in results.write(sizes, heads):
            say(f"written to {path.relative_to(ROOT)}")
    return 0


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description="our imapd beside Courier's and Dovecot's")
    options.add_argument("--messages", default="1000,20000")
    options.add_argument("--only", default=",".join(PARTS))
    options.add_argument("--servers", default=",".join(SERVERS))
    options.add_argument("--rounds", type=int)
    options.add_argument("--limit", type=float, help="seconds that a command may take")
    options.add_argument("--write", action="store_true", help="keep the results of a part too")
    return options.parse_args()


@contextlib.contextmanager
def _prepared(size: int, names: list[str], limit_s: float | None) -> Iterator[tuple[Run, Path]]:
    """Make the messages, the maildirs and the copies of the servers; remove everything in the end."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as directory:
        work = Path(directory)
        work.chmod(0o755)
        maildirs.spread(work)
        began = time.monotonic()
        pool = maildirs.make_pool(work / "messages", min(size, maildirs.DISTINCT), owner())
        for name in names:
            maildirs.fill(maildir(name, work), pool, size, owner())
        contenders = [contender(name, work) for name in SERVERS if name in names]
        say(f"{size}: made in {time.monotonic() - began:.0f} s")
        limit_s = limit_s or max(_LIMIT_S, size * _LIMIT_OF_EACH_S)
        try:
            yield Run(size, contenders, pool, maildirs.Yard(work / "yard"), limit_s), work
        finally:
            for one in contenders:
                if one.watcher:
                    one.watcher.stop()


def _measure(run: Run, work: Path, parts: list[str]) -> None:
    """Run the parts one after the other; a large folder has the first ones alone."""
    rounds = run.rounds
    firsts = 1 if run.is_large else min(rounds, _ROUNDS_SLOWEST)
    titles = [] if run.is_large else rows.READ_FIRST
    if "first" in parts:
        _rounds(run, "first", firsts, lambda number: opening.first(run, number, titles), warm=False)

    def reading(number: int) -> None:
        opening.second(run, number)
        opening.status(run, number)

    if "second" in parts:
        _rounds(run, "second", rounds, reading)
    if "since" in parts:
        slow = min(rounds, _ROUNDS_SLOW)
        _rounds(run, "since", slow, lambda number: changing.since(run, number))
    if "memory" in parts:
        _rounds(
            run, "memory", min(rounds, 2), lambda number: opening.memory(run, number), warm=False
        )
    if not run.is_large:
        _measure_more(run, work, parts)


def _measure_more(run: Run, work: Path, parts: list[str]) -> None:
    root = os.geteuid() == 0
    messages = maildirs.messages_to_append(rows.CHANGE)

    def changing_both(number: int) -> None:
        changing.changes(run, number, messages, synced=True)
        changing.changes(run, number, messages, synced=False)

    if "changes" in parts:
        changing.open_once(run)
        rounds = min(run.rounds, _ROUNDS_SLOWEST)
        _rounds(run, "changes", rounds, changing_both, warm=False)
    if "fulltext" in parts:
        opening.build_fulltext(run)
        _rounds(run, "fulltext", run.rounds, lambda number: opening.fulltext(run, number))
    if "tcp" in parts and root:
        tcp.measure(run, work, min(run.rounds, _ROUNDS_SLOW))
    if "cold" in parts and root and run.size >= maildirs.DISTINCT:
        opening.cold(run)


def _rounds(
    run: Run, part: str, rounds: int, step: Callable[[int], None], *, warm: bool = True
) -> None:
    """Do a step so many times, and once before that for the servers to keep what they want to keep.

    Courier, which keeps nothing but UIDs, takes part in the last round of a large folder only.
    """
    for number in range(0 if warm else 1, rounds + 1):
        began = time.monotonic()
        run.counts = number > 0
        run.left_out = "courier" if run.is_large and number < rounds else ""
        step(number)
        say(f"{run.size}, {part}, round {number}: {time.monotonic() - began:.1f} s")


def _head(run: Run) -> str:
    """Say what was measured, with what and where."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = names[0] if names else platform.machine()
    lines = [
        f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} processors ({processor}), "
        f"Linux {platform.release()}, load average before {os.getloadavg()[0]:.1f}. "
        f"{run.size:,} messages of {run.pool.mean:.0f} octets on average, "
        f"{len(run.pool.files):,} of them different. A command had {run.limit_s:g} s. "
        f"{run.rounds} rounds, after changes and over TCP {min(run.rounds, _ROUNDS_SLOW)}, of the first "
        f"opening, of changes and of memory {1 if run.is_large else min(run.rounds, _ROUNDS_SLOWEST)}"
        f"{'; Courier took part in the last one' if run.is_large else ''}.\n"
    ]
    lines += [f"- {one.name}: {one.version}; {one.promises}" for one in run.contenders]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
