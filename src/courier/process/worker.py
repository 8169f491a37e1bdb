"""The session worker: serves the sessions of one uid, each over the descriptor it is passed.

DESCRIPTION
    Forked by master, becomes the account's user, and runs sessions in one event loop until it has
    had none for `LINGER_S`; then it asks master to be let go.

SECURITY
    Runs as the account's uid, gid and groups from its first step on. What it is told comes from
    master; what a client sends is read here for the first time as this user.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable

from courier import log
from courier.process import channel, privileges
from courier.process.asynchronous import Connection, Driver
from courier.process.channel import ChannelClosed
from courier.process.loop import Loop, Timer
from courier.process.message import Kind, SessionRequest, kind_of
from courier.process.privileges import Ids
from courier.process.request import Steps

#: Seconds without a session after which a worker is not needed.
LINGER_S = 60.0
#: Seconds that sessions have to say goodbye when the server stops.
GRACE_S = 3.0

#: Makes the steps of a session. Called once per session, as the account's user.
MakeSession = Callable[[SessionRequest], Steps]


def run(control: socket.socket, ids: Ids, umask: int, prepare: Callable[[], MakeSession]) -> None:
    """Be a worker until master lets go; never returns to the code that forked it with rights.

    Args:
        prepare: called as the account's user, gives what makes sessions.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
    privileges.become(ids)
    privileges.no_core_dumps()
    os.chdir("/")
    os.umask(umask)
    _Worker(control, prepare()).serve()


class _Worker:
    def __init__(self, control: socket.socket, make_session: MakeSession) -> None:
        self._control = control
        self._make_session = make_session
        self._loop = Loop()
        self._driver = Driver(self._loop)
        self._connections: dict[int, Connection] = {}
        self._linger: Timer | None = None
        self._is_stopping = False

    def serve(self) -> None:
        self._loop.watch(self._control.fileno(), select.EPOLLIN, self._receive)
        self._loop.on_signal(signal.SIGTERM, self._stop)
        self._rest()
        self._loop.run()

    def _receive(self, events: int) -> None:
        """Take what master sends."""
        try:
            while (received := channel.receive(self._control)) is not None:
                self._take(*received)
        except ChannelClosed:  # without master there is nobody to count sessions
            self._loop.unwatch(self._control.fileno())
            self._stop()

    def _take(self, fields: list[bytes], descriptor: int | None) -> None:
        kind = kind_of(fields)
        if kind is Kind.SESSION and descriptor is not None:
            self._begin(SessionRequest.of(fields), descriptor)
        elif kind is Kind.EXIT:
            self._loop.stop()
        elif kind is Kind.STOP:
            self._stop()

    def _begin(self, request: SessionRequest, descriptor: int) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        number = request.number

        def ended() -> None:
            self._end(number)

        try:
            steps = self._make_session(request)
        except Exception as error:
            log.bug(request.address, "session", error)
            os.close(descriptor)
            self._end(number)
            return
        connection = Connection(self._driver, steps, ended)
        self._connections[number] = connection
        self._start(connection, number, descriptor)

    def _start(self, connection: Connection, number: int, descriptor: int) -> None:
        """Begin a session, if what came with it can carry one; a login process vouches for that."""
        try:
            client = socket.socket(fileno=descriptor)
        except OSError as error:
            os.close(descriptor)
            log.error("cannot serve", "client", error)
            self._end(number)
            return
        try:
            connection.start(client)
        except (OSError, ValueError) as error:
            client.close()
            log.warn(f"cannot serve a client: {error}")
            self._end(number)
            return
        if self._is_stopping:
            connection.stop()

    def _end(self, number: int) -> None:
        self._connections.pop(number, None)
        self._tell(Kind.ENDED, number)
        if self._connections:
            return
        if self._is_stopping:
            self._loop.stop()
        else:
            self._rest()

    def _rest(self) -> None:
        """There is no session; ask to be let go if it stays so."""
        self._linger = self._loop.later(LINGER_S, lambda: self._tell(Kind.IDLE, 0))

    def _tell(self, kind: Kind, number: int) -> None:
        try:
            channel.send(self._control, [kind.value, b"%d" % number])
        except BlockingIOError:
            self._loop.later(0.05, lambda: self._tell(kind, number))
        except ChannelClosed:
            self._stop()

    def _stop(self) -> None:
        """Say goodbye to every client and leave, in `GRACE_S` at the latest."""
        if self._is_stopping:
            return
        self._is_stopping = True
        for connection in list(self._connections.values()):
            connection.stop()
        self._loop.later(GRACE_S if self._connections else 0.0, self._loop.stop)
