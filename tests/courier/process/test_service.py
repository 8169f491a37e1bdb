"""Pid file, lock and the control verbs; priorities of log lines."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import syslog
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from courier.process import logger, service
from courier.process.logger import Logger
from courier.process.service import AlreadyRunning, PidFile
from tests.authdaemond.conftest import write_userdb
from tests.support.authdaemon import Daemon, authdaemonrc, environment


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """A place for settings and sockets; a daemon that was started there is stopped."""
    write_userdb(tmp_path / "etc/userdb")
    (tmp_path / "etc/authdaemonrc").write_text(
        authdaemonrc({"authmodulelist": "authuserdb", "daemons": "2"})
    )
    yield tmp_path
    verb(tmp_path, "stop")


def verb(
    place: Path, *arguments: str, variables: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "authdaemond", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment(place), **variables},
        check=False,
    )


@pytest.mark.slow
def test_start_restart_stop(installed: Path) -> None:
    """Each verb may be repeated; after start the socket answers, after stop nothing is left."""
    directory = installed / "run/authdaemon"
    pid_file = PidFile(directory / "pid")

    assert [verb(installed, one).returncode for one in ("stop", "restart", "start", "start")] == [
        0
    ] * 4
    pid = pid_file.running()
    assert pid is not None and pid == int((directory / "pid").read_text())
    assert (directory.stat().st_mode & 0o777, (directory / "socket").stat().st_mode & 0o777) == (
        0o750,
        0o777,
    )
    assert os.getsid(pid) != os.getsid(0)
    daemon = Daemon(None, directory / "socket", installed / "none")  # type: ignore[arg-type]
    assert daemon.ask(b"PRE . imap nosuch\n") == b"FAIL\n"
    assert verb(installed, "restart").returncode == 0
    assert daemon.ask(b"PRE . imap nosuch\n") == b"FAIL\n"
    assert pid_file.running() == pid
    assert verb(installed, "stop").returncode == 0

    assert pid_file.running() is None
    with pytest.raises(ConnectionRefusedError):
        daemon.connect()


@pytest.mark.slow
def test_bad_settings(installed: Path) -> None:
    """-n and start say the same and fail; nothing is started."""
    (installed / "etc/authdaemonrc").write_text("daemons=five\n")

    checked, started = verb(installed, "-n"), verb(installed, "start")

    assert (checked.returncode, started.returncode) == (1, 1)
    assert "authdaemonrc:1: daemons: expected a number" in checked.stderr
    assert started.stderr == checked.stderr
    assert not (installed / "run/authdaemon/pid").exists()


@pytest.mark.slow
def test_bad_settings_under_a_service_manager(installed: Path) -> None:
    """The journal is told that it is an error."""
    (installed / "etc/authdaemonrc").write_text("daemons=five\n")

    served = verb(installed, variables={"JOURNAL_STREAM": "8:1"})

    assert served.returncode == os.EX_CONFIG
    assert re.fullmatch(r"<3>\S+/authdaemonrc:1: daemons: expected a number.*\n", served.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("argument", ["status", "--start"])
def test_unknown_verb(installed: Path, argument: str) -> None:
    found = verb(installed, argument)

    assert (found.returncode, found.stderr) == (1, f"Unknown option '-{argument}'\n")


def test_lock_says_who_runs(tmp_path: Path) -> None:
    """Held by another process, as Courier's courierlogger holds it; the file alone says nothing."""
    pid_file = PidFile(tmp_path / "pid")
    (tmp_path / "pid").write_text("12345\n")
    (tmp_path / "pid.lock").touch()
    assert pid_file.running() is None
    waiting, held = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        lock = os.open(tmp_path / "pid.lock", os.O_RDWR)
        fcntl.lockf(lock, fcntl.LOCK_EX)
        os.write(held[1], b"x")
        os.read(waiting[0], 1)
        os._exit(0)
    os.read(held[0], 1)

    try:
        assert pid_file.running() == 12345
        with pytest.raises(AlreadyRunning):
            pid_file.take()
    finally:
        os.write(waiting[1], b"x")
        os.waitpid(pid, 0)
        for descriptor in (*waiting, *held):
            os.close(descriptor)
    assert pid_file.running() is None
    service.stop(pid_file)


@pytest.mark.parametrize(
    ("line", "priority", "text"),
    [
        ("ERR: x", syslog.LOG_ERR, "x"),
        ("WARN:  x: y", syslog.LOG_WARNING, "x: y"),
        ("DEBUG: x", syslog.LOG_DEBUG, "x"),
        ("INFO: x", syslog.LOG_INFO, "x"),
        ("CRIT: x", syslog.LOG_CRIT, "x"),
        ("ALERT: x", syslog.LOG_ALERT, "x"),
        ("NOTICE: x", syslog.LOG_INFO, "NOTICE: x"),
        ("x ERR: y", syslog.LOG_INFO, "x ERR: y"),
    ],
)
def test_priority(line: str, priority: int, text: str) -> None:
    assert logger.priority_of(line) == (priority, text)


def test_lines_go_to_syslog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole lines, each once, however they arrive; a very long one is cut, not kept for ever."""
    sent: list[tuple[int, str]] = []
    opened: list[tuple[str, int, int]] = []
    monkeypatch.setattr(syslog, "syslog", lambda *line: sent.append(line))
    monkeypatch.setattr(syslog, "openlog", lambda *options: opened.append(options))
    read, write = os.pipe()

    passing = Logger(read, ("-facility=local1", "-name=auth"), "authdaemond")
    for data in (b"ERR: on", b"e\nINFO: two\nth", b"ree\n", b"x" * 9000):
        os.write(write, data)
        passing.pass_on()

    assert opened == [("auth", 0, syslog.LOG_LOCAL1)]
    assert [text for _, text in sent] == ["one", "two", "three", "x" * 9000]
    passing.configure(("-facility=nonsense",))
    assert opened[1] == ("authdaemond", 0, syslog.LOG_MAIL)
    os.close(read)
    os.close(write)
