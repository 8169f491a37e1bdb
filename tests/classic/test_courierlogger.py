"""courierlogger, ours and Debian's, as scripts call it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.classic.conftest import Find, Program
from tests.support.daemon import wait_until
from tests.support.syslog import Syslog

pytestmark = [pytest.mark.root, pytest.mark.slow]

Log = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def program(find: Find) -> Program:
    return find("courierlogger")


@pytest.fixture
def log(program: Program, syslog: Syslog, tmp_path: Path) -> Log:
    """Run courierlogger with a command line and standard input."""

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return syslog.run(program(*arguments), program.environment, stdin, tmp_path)

    return run


@pytest.fixture
def stop(log: Log, pid_file: Path) -> Iterator[None]:
    """Leave no daemon behind."""
    yield
    log(f"-pid={pid_file}", "-stop")


def is_locked(pid_file: Path) -> bool:
    with pid_file.with_name(pid_file.name + ".lock").open("r+") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


@pytest.mark.parametrize("arguments", [("imapd",), ("-name=imapd",)])
def test_standard_input(arguments: tuple[str, ...], log: Log, syslog: Syslog) -> None:
    """Each line is a message; known prefixes are its priority, and are taken off with their blanks."""
    text = (
        b"ERR: a\nWARN:  two\nALERT:b\nCRIT: c\nDEBUG: d\nINFO: e\n\nNOTICE: f\nerr: g\nno newline"
    )

    done = log(*arguments, stdin=text)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert syslog.lines() == [
        (19, "imapd: a"),
        (20, "imapd: two"),
        (17, "imapd: b"),
        (18, "imapd: c"),
        (23, "imapd: d"),
        (22, "imapd: e"),
        (22, "imapd: "),
        (22, "imapd: NOTICE: f"),
        (22, "imapd: err: g"),
        (22, "imapd: no newline"),
    ]


def test_program(log: Log, syslog: Syslog, tmp_path: Path) -> None:
    """Its standard error is logged, its output and its exit code are nobody's."""
    shell = "cat; echo out; echo ERR: in $0 >&2; pwd >&2; exit 3"

    done = log("-name=x", "-facility=local3", "sh", "-c", shell, "it", stdin=b"nothing for it\n")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert syslog.lines() == [(155, "x: in it"), (158, f"x: {tmp_path}")]


def test_name_of_program(log: Log, syslog: Syslog) -> None:
    """Without -name lines are the program's, and one that isn't there has one."""
    log("/bin/sh", "-c", "echo hello >&2")
    done = log("-name=n", "/nowhere/program", "-x")

    assert done.returncode == 0
    assert syslog.lines() == [(22, "sh: hello"), (22, "n: exec: No such file or directory")]


def test_long_lines(log: Log, syslog: Syslog, program: Program) -> None:
    """Nothing of them is lost, nor of the next line, as it is by Courier."""
    script = "printf '%03000d\\n' 7 >&2; echo next >&2"

    log("-name=x", "sh", "-c", script)
    log("x", stdin=b"a" * 3000 + b"\nnext\n")

    texts = [text.removeprefix("x: ") for _, text in syslog.lines()]
    if program.is_ours:
        assert texts == ["7".rjust(3000, "0"), "next", "a" * 3000, "next"]
    else:
        assert "".join(texts) != "7".rjust(3000, "0") + "next" + "a" * 3000 + "next"


def test_users(log: Log, syslog: Syslog) -> None:
    """-user and -group are courierlogger's, and with -droproot the program's, too."""
    for options in (
        ["-user=daemon"],
        ["-user=daemon", "-droproot"],
        ["-user=5000", "-droproot"],
        ["-user=5000", "-group=6000", "-droproot"],
        ["-group=daemon", "-droproot"],
    ):
        log("-name=x", *options, "sh", "-c", "echo $(id -u; id -g; id -G) >&2")

    assert [text for _, text in syslog.lines()] == [
        "x: 0 0 0",
        "x: 1 1 1",
        "x: 5000 0 0",
        "x: 5000 6000 6000",
        "x: 0 1 1",
    ]


def test_user_of_the_logger(log: Log, syslog: Syslog) -> None:
    """Once its program runs, courierlogger gives up its rights."""
    script = "until [ $(stat -c %u /proc/$PPID) = 1 ]; do :; done; echo given up >&2"

    log("-name=x", "-user=daemon", "sh", "-c", script)

    assert syslog.lines() == [(22, "x: given up")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Usage: courierlogger [-name=name] [-pid=pidfile] [-facility=type]\n"
             "       [-start|-stop|-restart] [cmd [args...]]\n"),
        (["-zz", "a"], "Unknown option '-zz'\n"),
        (["-name=x", "-status"], "Unknown option '-status'\n"),
        (["-facility=zz", "a"], "Unknown facility name 'zz'\n"),
        (["-start", "x"], "-pid argument required\n"),
        (["-stop"], "-pid argument required\n"),
        (["-restart"], "-pid argument required\n"),
        (["-pid=/nowhere/x.pid"], "-name option required for standalone logger\n"),
        (["-pid=/nowhere/x.pid", "-name=x"], "-start must be followed by a command to execute\n"),
        (["-pid=/nowhere/x.pid", "-stop"], "/nowhere/x.pid.lock: No such file or directory\n"),
    ],
)  # fmt: skip
def test_wrong_command_line(arguments: list[str], said: str, program: Program) -> None:
    """Exit code 1 and Courier's words."""
    done = subprocess.run(
        program(*arguments), capture_output=True, env=program.environment, check=False
    )

    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (1, "", said)


@pytest.mark.parametrize("option", ["-user", "-group"])
def test_unknown_user(option: str, program: Program) -> None:
    done = subprocess.run(
        program("-name=x", f"{option}=nosuch"),
        stdin=subprocess.DEVNULL,
        env=program.environment,
        check=False,
    )

    assert done.returncode == 1


@pytest.mark.usefixtures("stop")
def test_daemon(log: Log, syslog: Syslog, pid_file: Path, tmp_path: Path) -> None:
    """It goes on in the background, with lock and pid file, is started once, and stops when told."""
    trap = "trap 'echo WARN: ending >&2; exit' TERM; pwd >&2; while :; do sleep 0.05; done"
    command = [f"-pid={pid_file}", "-name=x", "-start", "sh", "-c", trap]

    started = log(*command)

    assert (started.returncode, started.stdout, started.stderr) == (0, b"", b"")
    assert syslog.next() == (22, f"x: {tmp_path}")
    assert is_locked(pid_file)
    pid = int(pid_file.read_text())
    wait_until(lambda: os.readlink(f"/proc/{pid}/cwd") == "/")
    assert pid_file.read_bytes() == b"%d\n" % pid
    assert pid_file.with_name("daemon.pid.lock").stat().st_mode & 0o777 == 0o600

    again = log(*command)

    assert (again.returncode, again.stdout, again.stderr) == (0, b"", b"")
    assert int(pid_file.read_text()) == pid

    stopped = log(f"-pid={pid_file}", "-stop")

    assert (stopped.returncode, stopped.stderr) == (0, b"")
    assert not is_locked(pid_file)
    assert pid_file.exists()
    assert syslog.lines() == [(20, "x: ending")]
    assert log(f"-pid={pid_file}", "-stop").returncode == 0
    assert log(f"-pid={pid_file}", "-restart").returncode == 0


@pytest.mark.usefixtures("stop")
def test_restart(log: Log, syslog: Syslog, pid_file: Path) -> None:
    """-restart is a SIGHUP, passed on; a program that ends from it is started once more."""
    trap = "trap 'echo hup >&2; exit' HUP; echo up >&2; while :; do sleep 0.05; done"
    log(f"-pid={pid_file}", "-name=x", "sh", "-c", trap)
    assert syslog.next() == (22, "x: up")

    done = log(f"-pid={pid_file}", "-restart")

    assert done.returncode == 0
    assert [syslog.next(), syslog.next()] == [(22, "x: hup"), (22, "x: up")]


@pytest.mark.usefixtures("stop")
def test_end_of_the_program(log: Log, syslog: Syslog, pid_file: Path) -> None:
    """courierlogger ends with it."""
    log(f"-pid={pid_file}", "-name=x", "sh", "-c", "echo up >&2")

    assert syslog.next() == (22, "x: up")
    wait_until(lambda: not is_locked(pid_file))


@pytest.mark.usefixtures("stop")
def test_respawn(log: Log, syslog: Syslog, pid_file: Path) -> None:
    """With -respawn it is started again, after five seconds, and stopped meanwhile."""
    log(f"-pid={pid_file}", "-name=x", "-respawn", "sh", "-c", "echo up >&2")

    assert [syslog.next(), syslog.next()] == [(22, "x: up"), (22, "x: up")]
    assert log(f"-pid={pid_file}", "-stop").returncode == 0
    assert not is_locked(pid_file)


def test_program_that_does_not_end(log: Log, syslog: Syslog, pid_file: Path) -> None:
    """It is killed eight seconds after it was told to end."""
    trap = "trap '' TERM; echo up >&2; while :; do read x </dev/null; done"
    log(f"-pid={pid_file}", "-name=x", "sh", "-c", trap)
    assert syslog.next() == (22, "x: up")

    assert log(f"-pid={pid_file}", "-stop").returncode == 0
    assert not is_locked(pid_file)


def test_daemon_keeps_nothing_open(program: Program, pid_file: Path) -> None:
    """Its caller's descriptors are closed: a pipe that it was called with ends."""
    read, write = os.pipe()
    stays = "trap exit TERM; while :; do sleep 0.05; done"

    subprocess.run(
        program(f"-pid={pid_file}", "-name=x", "sh", "-c", stays),
        pass_fds=[write],
        env=program.environment,
        timeout=60,
        check=True,
    )

    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)
    os.kill(int(pid_file.read_text()), signal.SIGTERM)
    wait_until(lambda: not is_locked(pid_file))
