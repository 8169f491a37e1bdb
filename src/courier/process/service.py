"""The control verbs of Courier's scripts: start, stop, restart.

"Running" means that somebody holds a POSIX lock on the pid file's `.lock`; the number in the pid
file is whom to signal. Courier's courierlogger keeps the same files in the same way, so each can
stop the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_POLL_S = 0.1
#: Seconds after which a daemon that doesn't stop is killed.
_PATIENCE_S = 10.0


class AlreadyRunning(Exception):
    """Another process holds the lock."""


class PidFile:
    """A pid file, and its lock beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_name(path.name + ".lock")
        self._lock: int | None = None

    def take(self) -> None:
        """Become the running daemon, until this process ends.

        Raises:
            AlreadyRunning: another process is.
        """
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise AlreadyRunning from None
        made = self._path.with_name(self._path.name + ".tmp")
        made.write_text(f"{os.getpid()}\n")
        made.chmod(0o644)
        made.rename(self._path)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def running(self) -> int | None:
        """Return the running daemon's process number."""
        try:
            lock = os.open(self._lock_path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                pid = int(self._path.read_text())
                return pid if pid > 1 else None
        finally:
            os.close(lock)
        return None


def stop(pid_file: PidFile) -> None:
    """Stop the daemon and wait until it has gone."""
    signals = signal.SIGTERM
    while (pid := pid_file.running()) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signals)
        give_up = time.monotonic() + _PATIENCE_S
        while pid_file.running() == pid and time.monotonic() < give_up:
            time.sleep(_POLL_S)
        signals = signal.SIGKILL


def restart(pid_file: PidFile) -> None:
    """Have the running daemon read its settings again."""
    if (pid := pid_file.running()) is not None:
        os.kill(pid, signal.SIGHUP)


def start(serve: Callable[[Callable[[], None]], int]) -> int:
    """Run ``serve`` in a daemon of its own; return once it has called what it is given.

    Returns: the exit code for who called the script: 0, or the daemon's if it ended before that.
    """
    ready, tell_ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        _detach(tell_ready)
        answer = Answer(tell_ready)
        code = 1
        try:
            code = serve(lambda: answer.give(0))
        finally:
            answer.give(code)
            os._exit(code)
    os.close(tell_ready)
    told = answered(ready)
    os.waitpid(pid, 0)
    return told


def _detach(keep: int) -> None:
    # Not annotated, and only this verb needs it.
    daemon: Any = importlib.import_module("daemon")
    daemon.DaemonContext(
        files_preserve=[keep],
        working_directory="/",
        umask=0o022,
        detach_process=True,
        stdin=None,
        stdout=None,
        stderr=sys.stderr,  # until syslog takes over: what is wrong with the settings is seen
        signal_map={},
        prevent_core=True,
    ).open()


class Answer:
    """An exit code for who started a daemon, at the other end of a pipe; the first one counts."""

    def __init__(self, pipe: int) -> None:
        self._pipe: int | None = pipe

    def give(self, code: int) -> None:
        pipe, self._pipe = self._pipe, None  # its number is another descriptor's soon
        if pipe is not None:
            with contextlib.suppress(OSError):
                os.write(pipe, bytes([code]))
            os.close(pipe)


def answered(pipe: int) -> int:
    """Wait for an `Answer`; 1 if the daemon ended without one."""
    with open(pipe, "rb") as end:
        code = end.read(1)
    return code[0] if code else 1
