"""`make bench`: log-ins by how passwords are stored, and while others try wrong ones.

DESCRIPTION
    ``python3 -m bench.passwords [--schemes yescrypt,…] [--rounds N] [--seconds S]``, as root.

    For each scheme our daemons, Courier's and Dovecot's run at once with the same accounts and are
    measured in turns: whole sessions (connect, LOGIN, SELECT, LOGOUT) per second, by four clients. With
    SUCCESS_CACHE ours are measured once more (`ours-cached`); what it keeps was filled by a round that
    isn't counted. Then, with a cheap hash, how long a right password takes while a hundred wrong ones
    from other addresses wait for their answers.

    The table goes to standard output and to bench/results/passwords-DATE.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench import daemons
from bench.client import PASSWORD
from bench.daemons import CLIENTS, RESULTS, ROOT
from bench.installation import MD5CRYPT, Installation
from courier.auth import libcrypt, passwords

SERVERS = ("ours", "ours-cached", "courier", "dovecot", "dovecot-fast")
LIMIT_S = 1500
#: Seconds in which all accounts log in once, by the slowest hash.
FILLING_S = 20.0


def _crypted(method: bytes, cost: int = 0) -> str:
    return libcrypt.crypt(PASSWORD.encode(), libcrypt.setting(method, cost)).decode()


def schemes() -> Mapping[str, str]:
    """What is stored of the password: each method with the cost that libcrypt gives it."""
    return {
        "{SHA}": passwords.of_kind(PASSWORD.encode(), b"SHA").decode(),
        "md5crypt": MD5CRYPT,
        "sha512crypt": _crypted(b"$6$"),
        "bcrypt": _crypted(b"$2b$"),
        "yescrypt": _crypted(b"$y$"),
    }


def main() -> int:
    stored = schemes()
    options = argparse.ArgumentParser(description="log-ins by how passwords are stored")
    options.add_argument("--schemes", default=",".join(stored))
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=3.0, help="of a round")
    chosen = options.parse_args()
    if os.geteuid() != 0:
        print("bench.passwords: skipped, needs root", file=sys.stderr)
        return 0
    signal.alarm(LIMIT_S)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as directory:
        work = Path(directory)
        work.chmod(0o755)
        pool = daemons.messages(work / "messages")
        head = ""
        for scheme in chosen.schemes.split(","):
            with daemons.running(SERVERS, work, pool, stored=stored[scheme]) as servers:
                head = head or daemons.header(servers).replace("# Daemons", "# Passwords")
                rows += _rates(scheme, servers, chosen.rounds, chosen.seconds)
        text = head.replace("Passwords: md5crypt. ", "") + daemons.table(
            f"Sessions (connect, LOGIN, SELECT, LOGOUT) per second, {CLIENTS} clients, "
            f"{chosen.rounds} rounds of {chosen.seconds:g} s",
            ["passwords", *SERVERS, "ours-cached / the fastest of the others"],
            rows,
        )
        with daemons.running(("ours", "courier", "dovecot-fast"), work, pool) as servers:
            text += daemons.measure_logins(servers)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"passwords-{time.strftime('%Y-%m-%d')}.md"
    path.write_text(text)
    print(f"written to {path.relative_to(ROOT)}")
    return 0


def _rates(
    scheme: str, servers: Sequence[Installation], rounds: int, seconds: float
) -> list[list[str]]:
    rates: dict[str, list[float]] = {server.name: [] for server in servers}
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(CLIENTS, mp_context=context) as clients:
        for turn in range(rounds + 1):
            shift = turn % len(servers)
            for server in (*servers[shift:], *servers[:shift]):
                filling = not turn and server.name == "ours-cached"
                rate, _ = daemons.one_round(clients, server, FILLING_S if filling else seconds)
                daemons.say(f"{scheme}, round {turn}, {server.name}: {rate:.0f}/s")
                if turn:
                    rates[server.name].append(rate)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    others = max(rate for name, rate in medians.items() if not name.startswith("ours"))
    cells = [f"{rate:.0f}" for rate in medians.values()]
    return [[scheme, *cells, f"{medians['ours-cached'] / others:.1f}"]]


if __name__ == "__main__":
    sys.exit(main())
