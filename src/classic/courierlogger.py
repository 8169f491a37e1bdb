"""courierlogger: pass lines on to syslog, from standard input or from a program that it runs.

DESCRIPTION
    ``courierlogger NAME`` passes on what comes at standard input. With a program, the program is
    run, and its standard error is passed on. With ``-pid=FILE`` that goes on in the background,
    where ``-stop`` and ``-restart`` find it.

    A line of the program's lasts as long as 8192 octets. Courier: 1023, and when there are more the
    next line is lost.

SECURITY
    Runs as whoever started it, or as ``-user`` and ``-group`` once the program is running; with
    ``-droproot`` before.

FILES
    The pid file; beside it FILE.lock, by whose lock it is known whether anything is running.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from classic import background, owner, words
from classic.words import Wrong
from courier.process import privileges
from courier.process.logger import FACILITIES, Logger
from courier.process.privileges import Ids

_KNOWN = (
    *("name", "facility", "pid", "start", "stop", "restart", "respawn", "droproot"),
    *("user", "group"),
)
_USAGE = """\
Usage: courierlogger [-name=name] [-pid=pidfile] [-facility=type]
       [-start|-stop|-restart] [cmd [args...]]
"""
#: Seconds until a program is started again, and those it has to end in when it is told to.
_RESPAWN_S = 5.0
_PATIENCE_S = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line. No ``command``: standard input is read."""

    name: str
    facility: str
    pid_file: Path | None
    verb: str | None
    ids: Ids | None
    drop_root: bool
    respawn: bool
    command: tuple[str, ...]


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        sys.stderr.write(_USAGE)
        return 1
    try:
        options = parse(arguments)
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        return 1
    if options.verb in ("stop", "restart"):
        assert options.pid_file is not None
        return background.control(options.verb, options.pid_file)
    if options.pid_file is not None:
        run = partial(_run_in_background, options)
        return background.start(options.pid_file, run)
    return _run(options, lambda: None)


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line.

    Raises:
        Wrong: it can't be meant.
    """
    if len(arguments) == 1 and not arguments[0].startswith("-"):
        arguments = [f"-name={arguments[0]}"]
    found, command = words.split(arguments, _KNOWN, "Unknown option '{}'", lone_dash=False)
    values = dict(found)
    verb = next(reversed(list(words.verbs(found))), None)
    facility = values.get("facility", "mail")
    if facility not in FACILITIES:
        raise Wrong(f"Unknown facility name '{facility}'")
    if verb is not None and not values.get("pid"):
        raise Wrong("-pid argument required")
    if verb not in ("stop", "restart"):
        if not command and "name" not in values:
            raise Wrong("-name option required for standalone logger")
        if not command and "pid" in values:
            raise Wrong("-start must be followed by a command to execute")
    return Options(
        name=values.get("name") or os.path.basename(command[0] if command else "courierlogger"),
        facility=facility,
        pid_file=Path(values["pid"]) if values.get("pid") else None,
        verb=verb,
        ids=owner.ids(values.get("user"), values.get("group")),
        drop_root="droproot" in values,
        respawn="respawn" in values,
        command=tuple(command),
    )


def _logger(options: Options, pipe: int) -> Logger:
    return Logger(pipe, (f"-facility={options.facility}",), options.name, blocks=True)


def _run_in_background(options: Options, ready: Callable[[], None]) -> int:
    def started() -> None:
        os.chdir("/")
        background.silence(2)
        ready()

    return _run(options, started)


def _run(options: Options, started: Callable[[], None]) -> int:
    try:
        if options.ids and (options.drop_root or not options.command):
            privileges.become(options.ids)
        if not options.command:
            _pass_on_input(options)
            return 0
        wrapper = _Wrapper(options)
        wrapper.start()
        if options.ids and not options.drop_root:
            privileges.become(options.ids)
        started()
        wrapper.run()
    except PermissionError as error:
        print(f"courierlogger: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _pass_on_input(options: Options) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    logger = _logger(options, 0)
    while logger.pass_on():
        pass


class _Wrapper:
    """Runs the program, as often as it is to run."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._program: subprocess.Popen[bytes] | None = None
        self._logger: Logger | None = None  # while anybody has the writing end of its pipe
        self._is_stopping = False
        self._starts_again = options.respawn
        self._kill_at = float("inf")
        self._noted: list[int] = []
        self._signalled, self._wakeup = socket.socketpair()
        self._wakeup.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: self._noted.append(number))
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it wakes the loop

    def start(self) -> None:
        """Start the program. If that fails its log says so, and it has ended."""
        read, write = os.pipe()
        self._logger = _logger(self._options, read)
        self._starts_again = self._options.respawn
        try:
            self._program = subprocess.Popen(
                self._options.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=write,
            )
        except OSError as error:
            os.write(write, f"exec: {error.strerror}\n".encode())
        finally:
            os.close(write)

    def run(self) -> None:
        """Pass lines on until the program has ended for good."""
        while True:
            self._until_end()
            if self._is_stopping or not self._starts_again:
                return
            if self._options.respawn:
                self._rest(_RESPAWN_S)
            if self._is_stopping:
                return
            self.start()

    def _rest(self, seconds: float) -> None:
        give_up = time.monotonic() + seconds
        while not self._is_stopping and (left_s := give_up - time.monotonic()) > 0:
            self._wait(left_s)

    def _until_end(self) -> None:
        """Wait until the program has ended, and all that it left behind writes no more."""
        while self._logger is not None or self._is_running():
            self._wait(min(self._kill_at - time.monotonic(), 3600.0))
            if time.monotonic() >= self._kill_at:
                self._kill_at = float("inf")
                self._send(signal.SIGKILL)

    def _wait(self, seconds: float) -> None:
        """Wait for lines, signals or the program's end, and pass on what there is."""
        poll = select.poll()
        poll.register(self._signalled, select.POLLIN)
        if self._logger is not None:
            poll.register(self._logger, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)}
        if self._signalled.fileno() in ready:
            self._signalled.recv(4096)
        logger = self._logger
        if logger is not None and logger.fileno() in ready and not logger.pass_on():
            os.close(logger.fileno())
            self._logger = None
        while self._noted:
            self._obey(self._noted.pop(0))

    def _obey(self, number: int) -> None:
        if number == signal.SIGTERM:
            self._is_stopping = True
            self._kill_at = time.monotonic() + _PATIENCE_S
        else:
            self._starts_again = True
        self._send(number)

    def _is_running(self) -> bool:
        return self._program is not None and self._program.poll() is None

    def _send(self, number: int) -> None:
        # PermissionError: it is root's, and we no longer are; see the manual page.
        if self._program is not None and self._is_running():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                self._program.send_signal(number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
