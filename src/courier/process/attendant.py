"""A process's side of its channel to master: takes clients, tells when they are gone, and lingers.

What becomes of a client is the process's own: sessions (`worker`), or connections to another host
(`proxy`).
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from courier import log
from courier.process import channel
from courier.process.channel import ChannelClosed
from courier.process.loop import Loop, Timer
from courier.process.message import Kind, Returned, kind_of, number_of

#: Seconds without a client after which a process is not needed.
LINGER_S = 60.0
#: Seconds that clients have to be said goodbye to when the server stops.
GRACE_S = 3.0


class Served(Protocol):
    """A client that is being served."""

    def start(self, client: socket.socket) -> None:
        """Serve the client at the other end of a socket.

        Raises:
            OSError, ValueError: it can't be; the socket stays the caller's.
        """

    def stop(self) -> None:
        """Say goodbye, as far as there is time."""


class Ended(Protocol):
    """What is called once when serving a client is over."""

    def __call__(self, unread: bytes | None = None) -> None:
        """``unread``: what the client had sent, if it goes back to where it came from."""


#: Makes what serves the client that a message brings.
Make = Callable[[list[bytes], Ended], Served]


class Attendant:
    """Serves the clients that master sends, each over the descriptor that comes with it."""

    def __init__(self, control: socket.socket, loop: Loop, kind: Kind, make: Make) -> None:
        """``kind``: of the messages that bring clients; ``make`` reads them.

        An error that ``make`` raises costs its client the connection, and nobody else.
        """
        self._control = control
        self._loop = loop
        self._kind = kind
        self._make = make
        self._clients: dict[int, Served] = {}
        self._linger: Timer | None = None
        self._is_stopping = False

    def serve(self) -> None:
        """Serve until master lets go."""
        self._loop.watch(self._control.fileno(), select.EPOLLIN, self._receive)
        self._loop.on_signal(signal.SIGTERM, self._stop)
        self._rest()
        self._loop.run()

    def tell(self, kind: Kind, number: int) -> None:
        """Send master a message about a client."""
        self._send([kind.value, b"%d" % number])

    def _send(self, fields: Sequence[bytes]) -> None:
        try:
            channel.send(self._control, fields)
        except BlockingIOError:
            self._loop.later(0.05, lambda: self._send(fields))
        except ChannelClosed:
            self._stop()

    def _receive(self, events: int) -> None:
        """Take what master sends."""
        try:
            while (received := channel.receive(self._control)) is not None:
                self._take(*received)
        except ChannelClosed:  # without master there is nobody to count clients
            self._loop.unwatch(self._control.fileno())
            self._stop()

    def _take(self, fields: list[bytes], descriptor: int | None) -> None:
        kind = kind_of(fields)
        if kind is self._kind and descriptor == channel.LOST:
            log.recurring(
                "cannot serve", "client", OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            )
            self.tell(Kind.FAILED if kind is Kind.PROXY else Kind.ENDED, number_of(fields))
        elif kind is self._kind and descriptor is not None:
            self._begin(fields, descriptor)
        elif kind is Kind.EXIT:
            self._loop.stop()
        elif kind is Kind.STOP:
            self._stop()

    def _begin(self, fields: list[bytes], descriptor: int) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        number = number_of(fields)
        try:
            serving = self._make(fields, partial(self._end, number))
        except ChannelClosed:
            raise
        except Exception as error:
            log.bug("-", "session", error)
            channel.discard(descriptor)
            self._end(number)
            return
        self._clients[number] = serving
        self._start(serving, number, descriptor)

    def _start(self, serving: Served, number: int, descriptor: int) -> None:
        """Begin, if what came with the message can carry it; a login process vouches for that."""
        try:
            client = socket.socket(fileno=descriptor)
        except OSError as error:
            channel.discard(descriptor)
            log.error("cannot serve", "client", error)
            self._end(number)
            return
        try:
            serving.start(client)
        except (OSError, ValueError) as error:
            client.close()
            log.warn(f"cannot serve a client: {error}")
            self._end(number)
            return
        if self._is_stopping:
            serving.stop()

    def _end(self, number: int, unread: bytes | None = None) -> None:
        self._clients.pop(number, None)
        if unread is None:
            self.tell(Kind.ENDED, number)
        else:
            self._send(Returned(number, unread).fields())
        if self._clients:
            return
        if self._is_stopping:
            self._loop.stop()
        else:
            self._rest()

    def _rest(self) -> None:
        """There is no client; ask to be let go if it stays so."""
        self._linger = self._loop.later(LINGER_S, lambda: self.tell(Kind.IDLE, 0))

    def _stop(self) -> None:
        """Say goodbye to every client and leave, in `GRACE_S` at the latest."""
        if self._is_stopping:
            return
        self._is_stopping = True
        for serving in list(self._clients.values()):
            serving.stop()
        self._loop.later(GRACE_S if self._clients else 0.0, self._loop.stop)
