"""`make bench`: our imapd beside Courier's and Dovecot's, in one run.

DESCRIPTION
    ``python3 -m bench.imap [--messages N] [--rounds N] [--servers ours,courier,dovecot]``

    Each server gets a maildir of its own with the same messages (hard links) and is started on
    standard input and output, already authenticated; the same client sends the same commands to
    all of them and takes the time until the completion is read. What is sent back is counted, not
    parsed. The first round, in which every server builds what it keeps, is not counted (its times
    stand in the table as "first"); in the others the servers take turns, in changing order.

    Dovecot refuses to serve mail to root, so root runs it as nobody. `imap -c FILE` alone gives a
    PREAUTH session; as it is unpacked and not installed, doveconf is told to start it.

    The table goes to standard output and to bench/results/imap-DATE.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.maildirs import make_maildir
from tests.support.messages import generate
from tests.support.servers import OURS, REAL, ROOT, start_gam_server

DOVECOT = ROOT / ".tools" / "dovecot"
RESULTS = ROOT / "bench" / "results"
NOBODY = 65534
DISTINCT = 2000  # message files; the others are hard links to them
PATIENCE_S = 600.0

COMMANDS = (
    ("SELECT", "SELECT INBOX"),
    ("UID FETCH FLAGS", "UID FETCH 1:* (FLAGS)"),
    ("FETCH ENVELOPE", "FETCH 1:* (ENVELOPE)"),
    ("FETCH BODYSTRUCTURE", "FETCH 1:* (BODYSTRUCTURE)"),
    ("SEARCH SUBJECT", 'SEARCH SUBJECT "shipping dates"'),
)


@dataclass(frozen=True)
class Contender:
    """How one server is started on its maildir."""

    name: str
    version: str
    command: list[str]
    environment: Mapping[str, str]
    user: int | None = None


class Session:
    """A PREAUTH session whose commands are timed."""

    def __init__(self, contender: Contender, maildir: Path) -> None:
        self._process = subprocess.Popen(
            contender.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(contender.environment),
            cwd=maildir.parent,
            user=contender.user,
            group=contender.user,
            extra_groups=None if contender.user is None else [],
        )
        assert self._process.stdin and self._process.stdout
        self._write_fd = self._process.stdin.fileno()
        self._read_fd = self._process.stdout.fileno()
        self._until(b"* PREAUTH")

    def timed(self, command: str) -> tuple[float, int]:
        """Run a command; return the seconds it took and the octets it brought."""
        began = time.perf_counter()
        os.write(self._write_fd, f"t {command}\r\n".encode())
        octets = self._until(b"t OK")
        return time.perf_counter() - began, octets

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._write_fd, b"z LOGOUT\r\n")
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.read()
        self._process.stdout.close()
        self._process.wait(30)

    def _until(self, beginning: bytes) -> int:
        """Read up to a last line that begins like this."""
        octets = 0
        tail = b""
        while True:
            if not select.select([self._read_fd], [], [], PATIENCE_S)[0]:
                raise TimeoutError(f"nothing more after {octets} octets")
            data = os.read(self._read_fd, 1 << 18)
            if not data:
                raise EOFError(f"the server ended after {octets} octets: {tail!r}")
            octets += len(data)
            tail = (tail + data)[-4096:]
            if tail.endswith(b"\r\n"):
                last = tail[:-2].rpartition(b"\r\n")[2]
                if last.startswith(beginning):
                    return octets
                if last.startswith((b"t NO", b"t BAD", b"* BYE")):
                    raise RuntimeError(last.decode(errors="replace"))


def contenders(work: Path) -> Iterator[Contender]:
    maildir = work / "ours" / "Maildir"
    version = subprocess.run(
        [*OURS.program, "--version"],
        env=OURS.variables(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    python = f"Python {platform.python_version()}"
    yield Contender("ours", f"{version}, {python}", OURS.command_line(maildir), OURS.variables())
    maildir = work / "courier" / "Maildir"
    version = subprocess.run(
        [*REAL.program, "--version"],
        env=REAL.variables(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("/")[0]
    yield Contender("courier", version, REAL.command_line(maildir), REAL.variables())
    yield dovecot(work)


def dovecot(work: Path) -> Contender:
    home = work / "dovecot"
    program = home / "program"
    # A copy, because nobody may not be able to enter the directory of this checkout.
    shutil.copytree(DOVECOT / "usr/lib/dovecot", program / "usr/lib/dovecot", symlinks=True)
    shutil.copytree(DOVECOT / "usr/bin", program / "usr/bin", symlinks=True)
    user = NOBODY if os.geteuid() == 0 else os.geteuid()
    group = NOBODY if os.geteuid() == 0 else os.getegid()
    settings = home / "dovecot.conf"
    settings.write_text(
        f"mail_location = maildir:{home}/Maildir\n"
        f"base_dir = {home}/base\nstate_dir = {home}/base\nlog_path = /dev/null\n"
        f"first_valid_uid = 0\nfirst_valid_gid = 0\nmail_uid = {user}\nmail_gid = {group}\n"
    )
    (home / "base").mkdir()
    libraries = program / "usr/lib/dovecot"
    environment = {
        "USER": "demo",
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "TZ": "UTC",
        "LD_LIBRARY_PATH": str(libraries),
    }
    version = subprocess.run(
        [DOVECOT / "usr/sbin/dovecot", "--version"],
        env={"LD_LIBRARY_PATH": str(DOVECOT / "usr/lib/dovecot")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[0]
    command = [
        *(str(program / "usr/bin/doveconf"), "-c", str(settings)),
        *("-f", "service=imap", "-m", "imap", "-e", str(libraries / "imap")),
    ]
    return Contender(
        "dovecot", version, command, environment, NOBODY if os.geteuid() == 0 else None
    )


def fill(work: Path, names: list[str], count: int) -> float:
    """Make the maildirs; return the mean size of their messages."""
    pool = work / "messages"
    pool.mkdir()
    total = 0
    for number, message in enumerate(generate(min(count, DISTINCT))):
        (pool / str(number)).write_bytes(message)
        total += len(message)
    for name in names:
        (work / name).mkdir()
        maildir = make_maildir(work / name / "Maildir")
        for number in range(count):
            file = pool / str(number % DISTINCT)
            flags = ("", "S", "FS", "RS")[number % 4]
            base = f"{1_700_000_000 + number}.M{number}P1.bench,S={file.stat().st_size}"
            os.link(file, maildir / "cur" / f"{base}:2,{flags}")
        if name == "dovecot" and os.geteuid() == 0:
            for path in (work / name, *(work / name).rglob("*")):
                if path.is_dir():
                    os.chown(path, NOBODY, NOBODY)
    return total / min(count, DISTINCT)


Times = dict[tuple[str, str], list[float]]


def measure(entries: list[Contender], work: Path, rounds: int) -> tuple[Times, dict[str, int]]:
    """Run all rounds; the first value of each list is the uncounted first round."""
    times: Times = {}
    octets: dict[str, int] = {}
    for turn in range(rounds + 1):
        shift = turn % len(entries)
        for entry in entries[shift:] + entries[:shift]:
            session = Session(entry, work / entry.name / "Maildir")
            for title, command in COMMANDS:
                seconds, size = session.timed(command)
                times.setdefault((title, entry.name), []).append(seconds)
                octets[f"{title} {entry.name}"] = size
            session.close()
            print(f"round {turn}, {entry.name}: done", file=sys.stderr)
    return times, octets


def table(entries: list[Contender], times: Times, header: str) -> str:
    """Medians in milliseconds, and how many times as long as ours the others take."""
    names = [entry.name for entry in entries]
    others = [name for name in names if name != "ours"]
    columns = [*names]
    if "ours" in names:
        columns += [*(f"{name} / ours" for name in others), "first: ours"]
    lines = [
        header,
        "",
        f"| median, ms | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for title, _ in COMMANDS:
        medians = {name: statistics.median(times[title, name][1:]) for name in names}
        cells = [f"{medians[name] * 1000:.1f}" for name in names]
        if "ours" in names:
            cells += [f"{medians[name] / medians['ours']:.3g}" for name in others]
            cells.append(f"{times[title, 'ours'][0] * 1000:.1f}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    options = argparse.ArgumentParser(description="our imapd beside Courier's and Dovecot's")
    options.add_argument("--messages", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--servers", default="ours,courier,dovecot")
    chosen = options.parse_args()
    names = chosen.servers.split(",")
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as directory:
        work = Path(directory)
        work.chmod(0o755)
        mean = fill(work, ["ours", "courier", "dovecot"], chosen.messages)
        entries = [entry for entry in contenders(work) if entry.name in names]
        watcher = start_gam_server()
        try:
            times, _ = measure(entries, work, chosen.rounds)
        finally:
            watcher.kill()
            watcher.wait()
    versions = ", ".join(f"{entry.name}: {entry.version}" for entry in entries)
    header = (
        f"{chosen.messages} messages of {mean:.0f} octets on average, {chosen.rounds} rounds, "
        f"{os.cpu_count()} processors. {versions}."
    )
    text = table(entries, times, header)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"imap-{time.strftime('%Y-%m-%d')}.md"
    path.write_text(text)
    print(f"written to {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
