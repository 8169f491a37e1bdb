"""Ask authdaemond: for programs that wait, and for one that serves others meanwhile.

`Exchange` never blocks: a `selectors` loop registers it, calls `on_ready` when the socket is ready
and `on_deadline` when time is up, until `result` is there. `ask` drives one to its end.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from courier import paths
from courier.auth import reply
from courier.auth import request as requests
from courier.auth.account import Account
from courier.auth.reply import NoAccount, Outcome, Temporary
from courier.auth.request import Request

#: authdaemond's directory. Courier compiles it in; authdaemonrc's authdaemonvar only repeats it.
AUTHDAEMONVAR = Path(os.environ.get("PYCOURIER_AUTHDAEMONVAR") or str(paths.RUNDIR / "authdaemon"))
SOCKET = AUTHDAEMONVAR / "socket"

_BLOCK = 16 * 1024
_LIST_S = 60.0
#: How long to wait before knocking again while authdaemond's queue is full.
_RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, to write the request, until the whole reply is there."""

    connect_s: float = 10.0
    write_s: float = 10.0
    read_s: float = 30.0


def timeouts(environ: Mapping[str, str]) -> Timeouts:
    """Courier's, or what TIMEOUT_SOCK, TIMEOUT_WRITE and TIMEOUT_READ say instead."""
    found = [environ.get(f"TIMEOUT_{what}", "") for what in ("SOCK", "WRITE", "READ")]
    standard = Timeouts()
    connect_s, write_s, read_s = (
        float(text) if text.isascii() and text.isdigit() and int(text) > 0 else default
        for text, default in zip(
            found, (standard.connect_s, standard.write_s, standard.read_s), strict=True
        )
    )
    return Timeouts(connect_s, write_s, read_s)


class Exchange:
    """A request on its way to authdaemond.

    ``result`` is None until the outcome is known; the socket is closed then. ``deadline`` is of
    `time.monotonic`'s clock.
    """

    def __init__(
        self,
        request: Request,
        path: Path | str = SOCKET,
        limits: Timeouts = Timeouts(),
    ) -> None:
        """Connect, and send as much as goes.

        Raises:
            Refused: what no account can be asked for with; nothing was sent.
        """
        self.result: Outcome | None = None
        self._unsent = requests.encode(request)
        self._reader = reply.Reader()
        self._limits = limits
        self.deadline = time.monotonic() + limits.write_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            # Never pending: a Unix connection is there, refused, or (EAGAIN) the queue is full.
            self._socket.connect(str(path))
        except OSError as error:
            reason = f"authdaemon: s_connect() failed: {error.strerror}"
            self._end(Temporary(reason, error.errno or errno.EIO))
        else:
            self.on_ready()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether to wait for room to write; otherwise for something to read."""
        return bool(self._unsent)

    def on_ready(self) -> None:
        """Go on as far as possible without waiting."""
        try:
            if self._unsent:
                self._write()
            if not self._unsent and self.result is None:
                self._read()
        except BlockingIOError:
            pass
        except OSError as error:
            reason = f"authdaemon: {error.strerror}"
            self._end(Temporary(reason, error.errno or errno.EIO))

    def on_deadline(self) -> None:
        """Give up."""
        self._end(Temporary("authdaemon: no reply in time", errno.ETIMEDOUT))

    def close(self) -> None:
        """Give up, with nobody left to hear of it."""
        self._socket.close()

    def _write(self) -> None:
        sent = self._socket.send(self._unsent, socket.MSG_NOSIGNAL)
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self.deadline = time.monotonic() + self._limits.read_s

    def _read(self) -> None:
        data = self._socket.recv(_BLOCK)
        if not data:
            self._end(Temporary("authdaemon: temporary failure", errno.EIO))
            return
        try:
            outcome = self._reader.feed(data)
        except NoAccount as error:
            outcome = Temporary(f"authdaemon: {error}", errno.EIO)
        if outcome is not None:
            self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        self.result = outcome
        self._unsent = b""
        self._socket.close()


def ask(
    request: Request,
    path: Path | str = SOCKET,
    limits: Timeouts = Timeouts(),
) -> Outcome:
    """Send a request and wait for its outcome.

    Raises:
        Refused: what no account can be asked for with; nothing was sent.
    """
    exchange = _connected(request, path, limits)
    while exchange.result is None:
        poll = select.poll()
        poll.register(exchange, select.POLLOUT if exchange.wants_write else select.POLLIN)
        if poll.poll(max(0.0, exchange.deadline - time.monotonic()) * 1000):
            exchange.on_ready()
        else:
            exchange.on_deadline()
    return exchange.result


def _connected(request: Request, path: Path | str, limits: Timeouts) -> Exchange:
    give_up = time.monotonic() + limits.connect_s
    while True:
        exchange = Exchange(request, path, limits)
        match exchange.result:
            case Temporary(errno=errno.EAGAIN) if time.monotonic() < give_up:
                time.sleep(_RETRY_S)
            case _:
                return exchange


def enumerate_accounts(path: Path | str = SOCKET) -> Iterator[Account]:
    """Yield the accounts that authdaemond's modules can list, those of root left out.

    Raises:
        OSError: authdaemond isn't there, stopped in the middle, or takes too long.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_LIST_S)
        connection.connect(str(path))
        connection.sendall(requests.encode(requests.Enumerate()))
        with connection.makefile("rb") as lines:
            for line in lines:
                if line == reply.END:
                    return
                if account := reply.decode_listed(line.rstrip(b"\n")):
                    yield account
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def complaints(outcome: Temporary) -> tuple[str, ...]:
    """The lines that Courier logs about a temporary failure, without their level."""
    if outcome.errno in (errno.ECONNREFUSED, errno.ETIMEDOUT):
        return outcome.reason, "[Hint: perhaps authdaemond is not running?]"
    return (outcome.reason,)
