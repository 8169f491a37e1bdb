"""authpipe: accounts that a program of the administrator's knows.

``authProg`` in the configuration directory is started when it is needed and kept for many requests,
one at a time. On its standard input and output it speaks authdaemond's protocol without meta lines
(`courier.auth.request` and `reply`). If it ends without an answer, gives none in time or talks out of
turn, that is a temporary failure and another one is started for the next request.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from authdaemond import log
from authdaemond.backends.backend import Backend, Rejected, Unavailable
from courier import paths
from courier.auth import reply
from courier.auth.account import Account
from courier.auth.request import Authenticate, ChangePassword, Lookup

PROGRAM = paths.SYSCONFDIR / "authProg"
#: Seconds for a whole answer; then to end by itself, and after SIGTERM.
ANSWER_S = 30.0
_CLOSING_S = 2.0
_TERMINATING_S = 10.0
_BLOCK = 16_384
#: Octets of a list's line.
_LONGEST_LINE = 65_536


class AuthPipe(Backend):
    NEEDS_ROOT = True  # Courier: the program runs as root

    def __init__(self, program: Path = PROGRAM, answer_s: float = ANSWER_S) -> None:
        self._program = program
        self._answer_s = answer_s
        self._process: subprocess.Popen[bytes] | None = None

    def lookup(self, request: Lookup) -> Account:
        return self._account(b"PRE . %b %b\n" % (request.service, request.userid))

    def login(self, request: Authenticate) -> Account:
        return self._authenticated(request)

    def cram(self, request: Authenticate) -> Account:
        return self._authenticated(request)

    def change_password(self, request: ChangePassword) -> None:
        fields = (request.service, request.userid, request.old.reveal(), request.new.reveal())
        outcome = self._ask(b"PASSWD " + b"\t".join(fields) + b"\n")
        if not isinstance(outcome, reply.Changed):
            raise Rejected

    def accounts(self) -> Iterator[Account]:
        if not self._is_there():
            return
        until = time.monotonic() + self._answer_s
        with self._speaking(b"ENUMERATE\n") as process:
            rest = b""
            while True:
                *lines, rest = (rest + self._read(process, until)).split(b"\n")
                for line in lines:
                    if line == b".":
                        return
                    account = reply.decode_listed(line)
                    if account is not None:
                        yield account
                if len(rest) > _LONGEST_LINE:
                    raise Unavailable(f"{self._program}: a list without lines")

    def _authenticated(self, request: Authenticate) -> Account:
        payload = b"\n".join(
            (request.service, request.authtype, request.first, request.second.reveal(), b"")
        )
        return self._account(b"AUTH %d\n%b" % (len(payload), payload))

    def _account(self, request: bytes) -> Account:
        outcome = self._ask(request)
        if not isinstance(outcome, Account):
            raise Rejected
        return outcome

    def _ask(self, request: bytes) -> reply.Outcome:
        if not self._is_there():
            raise Rejected
        until = time.monotonic() + self._answer_s
        reader = reply.Reader()
        with self._speaking(request) as process:
            while True:
                try:
                    outcome = reader.feed(self._read(process, until))
                except reply.NoAccount as error:
                    raise Unavailable(f"{self._program}: {error}") from error
                if outcome is not None:
                    return outcome

    def _is_there(self) -> bool:
        """Courier: without a program the module takes no part."""
        return os.access(self._program, os.X_OK)

    @contextlib.contextmanager
    def _speaking(self, request: bytes) -> Iterator[subprocess.Popen[bytes]]:
        """Send a request; whatever then goes wrong ends the program."""
        process = self._ready()
        try:
            assert process.stdin is not None
            os.set_blocking(process.stdin.fileno(), False)
            self._write(process, request)
            yield process
        except BaseException:
            self._end()
            raise

    def _ready(self) -> subprocess.Popen[bytes]:
        process = self._process
        if process is not None and process.stdout is not None:
            poll = select.poll()
            poll.register(process.stdout, select.POLLIN)
            if not poll.poll(0):
                return process
            log.debug("authpipe: %s ended or spoke out of turn", str(self._program))
            self._end()
        try:
            self._process = subprocess.Popen(
                [self._program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                bufsize=0,
                restore_signals=True,
            )
        except OSError as error:
            raise Unavailable(f"{self._program}: {error.strerror}") from error
        return self._process

    def _write(self, process: subprocess.Popen[bytes], data: bytes) -> None:
        assert process.stdin is not None
        until = time.monotonic() + self._answer_s
        poll = select.poll()
        poll.register(process.stdin, select.POLLOUT)
        while data:
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                raise Unavailable(f"{self._program}: takes no request")
            try:
                data = data[os.write(process.stdin.fileno(), data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise Unavailable(f"{self._program}: ended") from error

    def _read(self, process: subprocess.Popen[bytes], until: float) -> bytes:
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise Unavailable(f"{self._program}: no answer in {self._answer_s:g} s")
        data = os.read(process.stdout.fileno(), _BLOCK)
        if not data:
            raise Unavailable(f"{self._program}: ended without an answer")
        return data

    def _end(self) -> None:
        """Close the program's pipes; if it does not end by that, make it."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        for patience_s, number in ((_CLOSING_S, signal.SIGTERM), (_TERMINATING_S, signal.SIGKILL)):
            try:
                process.wait(patience_s)
                return
            except subprocess.TimeoutExpired:
                process.send_signal(number)
        process.wait()


BACKEND = AuthPipe
