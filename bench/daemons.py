"""`make bench`: our daemons beside Courier's and Dovecot's: sessions, memory, waiting.

DESCRIPTION
    ``python3 -m bench.daemons [--only sessions,idle,accounts,search,login] [--rounds N] …``, as root.

    All servers run at once on ports of loopback, with the same accounts, the same small maildirs, the
    same hash of the passwords and limits that are never met; they are measured in turns.

    sessions: connect, LOGIN, SELECT, LOGOUT, by four client processes. Sessions per second depend on
    what else the machine does, and the clients take their part of it; the processor time that the
    server's processes took for a session does not.
    idle: connections that have logged in, selected INBOX and said IDLE, to one uid. Memory is the
    proportional set size of all processes of the server.
    accounts: the same, one connection to each of many accounts with a uid each.
    search: how long NOOP of one session takes while another of the same account, which means of the
    same worker, searches the bodies of a large folder.
    login: how long a right password takes while others wait out their wrong ones.

    The tables go to standard output and to bench/results/daemons-DATE.md.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import platform
import resource
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench import installation, process_tree
from bench.client import Client, Refused, sessions
from bench.installation import MAIL_UID, Account, Installation
from tests.support.maildirs import make_maildir
from tests.support.messages import generate
from tests.support.servers import ROOT

RESULTS = ROOT / "bench" / "results"
SERVERS = ("ours", "courier", "dovecot", "dovecot-fast")
PARTS = ("sessions", "idle", "accounts", "search", "login")
ACCOUNTS = 200
MESSAGES = 20  # of each small maildir
DISTINCT = 2000  # message files; all others are hard links to them
CLIENTS = 4
FIRST_OWN_UID = 20_000
FEW = 200  # connections to a server that has a process for each
NOOPS = 200
NOOP_PAUSE_S = 0.01
WRONG = 100
LOGINS = 400
LOGIN_PAUSE_S = 0.02
LIMIT_S = 1500  # all of it takes no longer

SHARED = [Account(f"shared{number}", MAIL_UID) for number in range(ACCOUNTS)]
OWN = [Account(f"own{number}", FIRST_OWN_UID + number) for number in range(ACCOUNTS)]
LARGE = Account("large", MAIL_UID)


def main() -> int:
    chosen = _options()
    parts = chosen.only.split(",")
    names = chosen.servers.split(",")
    if os.geteuid() != 0:
        print("bench.daemons: skipped, needs root", file=sys.stderr)
        return 0
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT_S)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as directory:
        work = Path(directory)
        work.chmod(0o755)
        pool = messages(work / "messages")
        text = ""
        if "sessions" in parts or "login" in parts:
            with running(names, work, pool) as servers:
                text += f"{header(servers)}\n"
                if "sessions" in parts:
                    text += measure_sessions(servers, chosen.rounds, chosen.seconds)
                if "login" in parts:
                    text += measure_logins(servers)
        if "idle" in parts:
            text += measure_idle(names, work, pool, chosen.connections)
        if "accounts" in parts:
            with running(["ours"], work, pool) as (ours,):
                text += measure_accounts(ours)
        if "search" in parts:
            with running(["ours"], work, pool, chosen.messages) as (ours,):
                text += measure_search(ours, chosen.messages)
    print(text)
    if set(parts) == set(PARTS):
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"daemons-{time.strftime('%Y-%m-%d')}.md"
        path.write_text(text)
        print(f"written to {path.relative_to(ROOT)}")
    return 0


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description="our daemons beside Courier's and Dovecot's")
    options.add_argument("--only", default=",".join(PARTS))
    options.add_argument("--servers", default=",".join(SERVERS))
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=3.0, help="of a round of sessions")
    options.add_argument("--connections", type=int, default=5000, help="that idle")
    options.add_argument("--messages", type=int, default=100_000, help="that are searched")
    return options.parse_args()


def _too_long(*_: object) -> None:
    raise TimeoutError(f"not done in {LIMIT_S} s")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# -- what is measured ----------------------------------------------------------------------------


def messages(directory: Path) -> list[Path]:
    directory.mkdir()
    made = []
    for number, message in enumerate(generate(DISTINCT)):
        path = directory / str(number)
        path.write_bytes(message)
        made.append(path)
    return made


def _fill(home: Path, account: Account, pool: Sequence[Path], count: int) -> None:
    maildir = make_maildir(home / account.userid / "Maildir")
    for number in range(count):
        file = pool[number % len(pool)]
        base = f"{1_700_000_000 + number}.M{number}P1.bench,S={file.stat().st_size}"
        os.link(file, maildir / "cur" / f"{base}:2,S")
    for directory in (maildir.parent, maildir, *(maildir / name for name in ("tmp", "new", "cur"))):
        os.chown(directory, account.uid, account.uid)


@contextlib.contextmanager
def running(
    names: Sequence[str],
    work: Path,
    pool: Sequence[Path],
    large: int = 0,
    stored: str = installation.MD5CRYPT,
) -> Iterator[list[Installation]]:
    """Have servers with fresh maildirs; stop them in the end, whatever happens.

    ``stored`` is how all passwords are.
    """
    accounts = [*SHARED, *OWN, LARGE]
    servers: list[Installation] = []
    with tempfile.TemporaryDirectory(dir=work) as directory:
        os.chmod(directory, 0o755)
        try:
            for name in names:
                place = Path(directory) / name
                home = installation.homes(name, place)
                home.mkdir(parents=True)
                for account in accounts:
                    _fill(home, account, pool, large if account is LARGE else MESSAGES)
                servers.append(installation.start(name, place, accounts, stored))
            for server in servers:
                server.wait_until_it_serves()
            yield servers
        finally:
            for server in servers:
                server.stop()


# -- sessions ------------------------------------------------------------------------------------


def measure_sessions(servers: Sequence[Installation], rounds: int, seconds: float) -> str:
    """Rounds of sessions, the servers in changing order; the first, which builds what servers
    keep, is not counted."""
    rates: dict[str, list[float]] = {server.name: [] for server in servers}
    costs: dict[str, list[float]] = {server.name: [] for server in servers}
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(CLIENTS, mp_context=context) as clients:
        for turn in range(rounds + 1):
            shift = turn % len(servers)
            for server in (*servers[shift:], *servers[:shift]):
                rate, cost = one_round(clients, server, seconds)
                say(f"sessions, round {turn}, {server.name}: {rate:.0f}/s")
                if turn:
                    rates[server.name].append(rate)
                    costs[server.name].append(cost)
    first = statistics.median(rates[servers[0].name])
    rows = []
    for server in servers:
        rate = statistics.median(rates[server.name])
        cost = statistics.median(costs[server.name])
        spread = f"{min(rates[server.name]):.0f}-{max(rates[server.name]):.0f}"
        rows.append(
            [server.name, f"{rate:.0f}", spread, f"{first / rate:.2f}", f"{cost * 1000:.2f}"]
        )
    return table(
        f"Sessions (connect, LOGIN, SELECT, LOGOUT), {CLIENTS} clients, {ACCOUNTS} accounts of one "
        f"uid, {rounds} rounds of {seconds:g} s",
        [
            "",
            "per second, median",
            "range",
            f"{servers[0].name} / this",
            "processor ms per session",
        ],
        rows,
    )


def one_round(
    clients: ProcessPoolExecutor, server: Installation, seconds: float
) -> tuple[float, float]:
    """Sessions per second, and processor seconds of the server for each."""
    before = process_tree.processor_s(server.roots)
    share = len(SHARED) // CLIENTS
    running = [
        clients.submit(
            sessions,
            server.port,
            f"127.0.1.{number + 1}",
            [account.userid for account in SHARED[number * share : (number + 1) * share]],
            MESSAGES,
            seconds,
        )
        for number in range(CLIENTS)
    ]
    done = [one.result() for one in running]
    time.sleep(0.2)  # the last processes end
    took = process_tree.processor_s(server.roots) - before
    return sum(count / spent for count, spent in done), took / sum(count for count, _ in done)


# -- memory --------------------------------------------------------------------------------------


def _idlers(
    server: Installation, accounts: Sequence[Account], count: int, *, tls: bool = False
) -> Iterator[Client]:
    """Connections that idle, over several addresses."""
    port = server.tls_port if tls else server.port
    assert port is not None
    for number in range(count):
        client = Client(port, f"127.0.2.{number % 20 + 1}", tls=tls)
        client.login(accounts[number % len(accounts)].userid)
        client.command("SELECT INBOX")
        client.idle()
        yield client


def _idle_row(
    server: Installation, accounts: Sequence[Account], count: int, *, tls: bool = False
) -> list[str]:
    before = sum(process_tree.pss(server.roots).values())
    clients: list[Client] = []
    began = time.monotonic()
    try:
        clients.extend(_idlers(server, accounts, count, tls=tls))
        took = time.monotonic() - began
        sizes = process_tree.pss(server.roots)
        serving = sum(sizes.get(pid, 0) for pid in process_tree.pids([server.master(tls=tls)]))
        alive = all(not one.has_input() for one in clients[::50])
    finally:
        for client in clients:
            client.socket.close()
    if not alive:
        raise Refused(f"{server.name} ended connections that idle")
    total = sum(sizes.values())
    kind = f"{server.name}, {'TLS' if tls else 'plain'}"
    say(f"idle, {kind}: {total / count / 1000:.1f} kB each of {count}, made in {took:.0f} s")
    largest = ", ".join(f"{size / 1e6:.0f}" for size in sorted(sizes.values(), reverse=True)[:6])
    return [
        kind,
        str(count),
        str(len(sizes)),
        f"{before / 1e6:.1f}",
        f"{total / 1e6:.1f}",
        f"{total / count / 1000:.1f}",
        f"{serving / count / 1000:.1f}",
        f"{(total - before) / count / 1000:.1f}",
        largest,
    ]


_IDLE_COLUMNS = [
    "",
    "connections",
    "processes",
    "MB before",
    "MB",
    "kB each",
    "this port's daemon alone, kB each",
    "growth, kB each",
    "the largest processes, MB",
]


def measure_idle(names: Sequence[str], work: Path, pool: Sequence[Path], count: int) -> str:
    """Every row by a server that was just started; those with a process each get fewer."""
    rows = []
    for name in names:
        for tls in (False, True) if name == "ours" else (False,):
            with running([name], work, pool) as (server,):
                rows.append(_idle_row(server, SHARED, count if name == "ours" else FEW, tls=tls))
    return table(f"Idle connections to {ACCOUNTS} accounts of one uid", _IDLE_COLUMNS, rows)


def measure_accounts(server: Installation) -> str:
    return table(
        f"Idle connections, one to each of {len(OWN)} accounts with a uid each",
        _IDLE_COLUMNS,
        [_idle_row(server, OWN, len(OWN))],
    )


# -- waiting -------------------------------------------------------------------------------------


def measure_search(server: Installation, messages: int) -> str:
    """NOOP of a session beside the first SELECT of a large folder, and beside SEARCH BODY."""
    rows = []
    with Client(server.port) as busy, Client(server.port) as other:
        busy.login(LARGE.userid)
        other.login(LARGE.userid)
        rows.append(_beside("nothing", other, _nothing))
        rows.append(_beside("the first SELECT", other, _command(busy, "SELECT INBOX"), least=0))
        other.command("SELECT INBOX")
        search = 'SEARCH BODY "these words are in no message"'
        rows.append(_beside("SEARCH BODY", other, _command(busy, search)))
    return table(
        f"NOOP beside another command of the same worker, {messages} messages",
        ["beside", "that took, s", "NOOPs", "p50, ms", "p99, ms", "longest, ms"],
        rows,
    )


#: Starts something; returns whether it is over.
Start = Callable[[], Callable[[], bool]]


def _nothing() -> Callable[[], bool]:
    return lambda: True


def _command(client: Client, command: str) -> Start:
    def start() -> Callable[[], bool]:
        client.send(command)

        def is_over() -> bool:
            if not client.has_input():
                return False
            client.socket.settimeout(600)
            client.read()
            return True

        return is_over

    return start


def _beside(what: str, client: Client, start: Start, least: int = NOOPS) -> list[str]:
    """Time NOOPs until what was started is over; start it again if these were too few."""
    times: list[float] = []
    took = 0.0
    while not times or len(times) < least:
        began = time.monotonic()
        is_over = start()
        while True:
            sent = time.perf_counter()
            client.command("NOOP")
            times.append(time.perf_counter() - sent)
            if is_over():
                break
            time.sleep(NOOP_PAUSE_S)
        took = took or time.monotonic() - began
    say(f"NOOP beside {what}: {max(times) * 1000:.1f} ms at most")
    return [what, f"{took:.1f}", str(len(times)), *_quantiles(times)]


def measure_logins(servers: Sequence[Installation]) -> str:
    rows = []
    for server in servers:
        for wrong in (0, WRONG):
            times = _logins(server, wrong)
            rows.append([server.name, str(wrong), *_quantiles(times)])
            say(f"log-in, {server.name}, {wrong} wrong: {max(times) * 1000:.1f} ms at most")
    return table(
        f"From connect to the OK of LOGIN, {LOGINS} times, while wrong passwords are held back",
        ["", "wrong passwords", "p50, ms", "p99, ms", "longest, ms"],
        rows,
    )


def _logins(server: Installation, wrong: int) -> list[float]:
    times = []
    with contextlib.ExitStack() as opened:
        waiting = [opened.enter_context(_Wrong(server.port, number)) for number in range(wrong)]
        for number in range(LOGINS):
            for one in waiting:
                one.go_on()
            began = time.perf_counter()
            with Client(server.port, "127.0.3.1") as client:
                client.login(SHARED[number % len(SHARED)].userid)
                times.append(time.perf_counter() - began)
            time.sleep(LOGIN_PAUSE_S)
    return times


class _Wrong(contextlib.AbstractContextManager["_Wrong"]):
    """A client that tries wrong passwords, one after the other, from an address of its own."""

    def __init__(self, port: int, number: int) -> None:
        self._port = port
        self._source = f"127.0.4.{number + 1}"
        self._wrong = f"LOGIN {SHARED[number % len(SHARED)].userid} wrong"
        self._client = self._try()

    def _try(self) -> Client:
        client = Client(self._port, self._source)
        client.send(self._wrong)
        return client

    def go_on(self) -> None:
        """Try again once the last one is answered, or the connection was closed over it."""
        if not self._client.has_input():
            return
        if self._client.socket.recv(65536).startswith(b"t NO"):
            self._client.send(self._wrong)
            return
        self._client.socket.close()
        self._client = self._try()

    def __exit__(self, *_: object) -> None:
        self._client.socket.close()


# -- tables --------------------------------------------------------------------------------------


def _quantiles(times: Sequence[float]) -> list[str]:
    ordered = sorted(times)
    picked = (ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100], ordered[-1])
    return [f"{one * 1000:.2f}" for one in picked]


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
    return f"\n## {title}\n\n{head}\n" + "\n".join(lines) + "\n"


def header(servers: Sequence[Installation]) -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = names[0] if names else platform.machine()
    versions = ", ".join(f"{server.name}: {server.version}" for server in servers)
    return (
        f"# Daemons, {time.strftime('%Y-%m-%d')}\n\n"
        f"{os.cpu_count()} processors ({processor}), Linux {platform.release()}, "
        f"Python {platform.python_version()}. {versions}. dovecot-fast: its log-in processes serve "
        f"many clients each. Load average before: {os.getloadavg()[0]:.1f}. "
        f"Passwords: md5crypt. {MESSAGES} messages in each small maildir.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
