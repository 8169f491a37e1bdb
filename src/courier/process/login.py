"""The login process: talks to strangers until they are known, then passes them on.

DESCRIPTION
    Accepts connections, asks master whether each may stay, drives the protocol's not-authenticated
    state, and hands what a client shows for itself to master together with the client's descriptor.
    Of a TLS connection it keeps the encrypted end and relays the octets of the session. So it does of
    every connection that may come back from its session, to log in anew.

SECURITY
    Runs as its own user in an empty root directory, with no groups, no new privileges and no
    core dumps. All it ever needs (certificates, modules) is loaded before. It sees its clients'
    passwords, and the plain text of the connections that it relays; no mailbox, no password file.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from courier import log
from courier.log import Peer
from courier.net import listener
from courier.net.proxy_protocol import Header, ProxyError
from courier.net.tls import TlsError
from courier.process import arrival, channel, privileges
from courier.process.arrival import HeaderReader
from courier.process.channel import ChannelClosed
from courier.process.login_connection import Connection
from courier.process.login_request import Answer, PreparedLogin, Stranger
from courier.process.loop import Loop
from courier.process.message import (
    Kind,
    LoginRequest,
    Question,
    environment_of,
    kind_of,
    number_of,
)
from courier.process.privileges import Ids

#: Seconds after the stop in which goodbyes are written: more than a worker takes.
_GRACE_S = 4.0
_ACCEPTED_AT_ONCE = 50
#: Connections whose PROXY header has not come. Nobody counts them yet.
_MAX_ARRIVING = 1_000


def run(
    control: socket.socket,
    listeners: Sequence[socket.socket],
    prepare: Callable[[], PreparedLogin],
    ids: Ids,
    root: str,
    *,
    is_isolated: bool,
) -> None:
    """Be a login process until there is no more to do.

    Args:
        prepare: loads everything, with master's rights, before they go.
        root: an empty directory.
        is_isolated: serve one connection and leave.
    """
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    try:
        prepared = prepare()
    except TlsError as error:
        log.line(f"ERR: {error}")
        sys.exit(1)
    loop = Loop()  # opens its own descriptors while it may
    privileges.isolate(ids, root)
    LoginProcess(loop, control, listeners, prepared, is_isolated=is_isolated).serve()


class LoginProcess:
    """Accepts, and speaks with master for its connections."""

    def __init__(
        self,
        loop: Loop,
        control: socket.socket,
        listeners: Sequence[socket.socket],
        prepared: PreparedLogin,
        *,
        is_isolated: bool,
    ) -> None:
        self.loop = loop
        self.make_login = prepared.make_login
        self.contexts = prepared.contexts
        self.tls_from_start = prepared.tls_from_start
        self._proxied = prepared.proxied
        self._control = control
        self._listeners = list(listeners)
        self._is_isolated = is_isolated
        self._numbers = itertools.count(1)
        #: Their PROXY header is read.
        self._arriving: dict[int, tuple[socket.socket, HeaderReader]] = {}
        self._asking: dict[int, tuple[socket.socket, Stranger]] = {}  # may these stay?
        self._connections: dict[int, Connection] = {}
        self.is_stopping = False
        self._listens = True

    def serve(self) -> None:
        self.loop.watch(self._control.fileno(), select.EPOLLIN, self._hear)
        self.loop.on_signal(signal.SIGTERM, self._stop)
        for listening in self._listeners:
            self._listen(listening)
        self.tell(Kind.READY, 0)
        self.loop.run()

    def _listen(self, listening: socket.socket) -> None:
        if self._listens:
            accept = partial(self._accept, listening)
            self.loop.watch(listening.fileno(), select.EPOLLIN, accept)

    def _accept(self, listening: socket.socket, events: int) -> None:
        for _ in range(1 if self._is_isolated else _ACCEPTED_AT_ONCE):
            try:
                client, address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.recurring("cannot accept", listening.getsockname(), error)
                self._rest(listening)
                return
            self._arrive(client, address)
        if self._is_isolated:
            self._drain()

    def _rest(self, listening: socket.socket) -> None:
        """Accept nothing for a moment: there is no descriptor or memory left."""
        self.loop.unwatch(listening.fileno())
        self.loop.later(0.5, partial(self._listen, listening))

    def _arrive(self, client: socket.socket, address: Sequence[Any]) -> None:
        """Learn where a connection comes from and goes to."""
        client.setblocking(False)
        try:
            local = client.getsockname()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            client.close()
            return
        peer = Peer(listener.ip_text(str(address[0])), str(address[1]))
        stranger = Stranger(peer, str(local[0]), int(local[1]))
        here = Peer(listener.ip_text(stranger.local_ip), stranger.local_port)
        timeout_s = arrival.header_timeout_s(self._proxied, stranger.local_ip, stranger.local_port)
        if timeout_s is None:
            self._ask(next(self._numbers), client, stranger, here)
        elif len(self._arriving) >= _MAX_ARRIVING:
            client.close()
        else:
            self._read_header(client, stranger, here, timeout_s)

    def _read_header(
        self, client: socket.socket, stranger: Stranger, here: Peer, timeout_s: float
    ) -> None:
        """Have the proxy say who its client is; without that it is nobody's."""
        number = next(self._numbers)
        if self._is_isolated:  # it may take its time, and others don't wait for it
            self.tell(Kind.FULL, 0)

        def done(outcome: Header | ProxyError) -> None:
            del self._arriving[number]
            if isinstance(outcome, ProxyError):
                log.not_proxied(stranger.peer, str(outcome))
                client.close()
                self._leave_if_done()
                return
            if outcome.source is not None and outcome.destination is not None:
                stranger.peer = Peer(outcome.source.ip, str(outcome.source.port))
                stranger.local_ip = outcome.destination.ip
                stranger.local_port = outcome.destination.port
            self._ask(number, client, stranger, here)

        self._arriving[number] = (client, HeaderReader(self.loop, client, timeout_s, done))

    def _ask(self, number: int, client: socket.socket, stranger: Stranger, here: Peer) -> None:
        """Ask master whether access file and limits allow one more; ``here``: where it arrived."""
        self._asking[number] = (client, stranger)
        addresses = (stranger.peer.ip, stranger.peer.port, here.ip, here.port)
        self.tell(Kind.ADMIT, number, *(str(part).encode() for part in addresses))

    def tell(self, kind: Kind, number: int, *more: bytes) -> None:
        try:
            channel.send(self._control, [kind.value, b"%d" % number, *more])
        except BlockingIOError:  # master is busy: these are few and small
            self.loop.later(0.02, lambda: self.tell(kind, number, *more))
        except ChannelClosed:
            self._stop()

    def request(self, request: LoginRequest | Question, descriptor: int | None = None) -> bool:
        """Pass a client's credentials and descriptor on; False if master is not to be had."""
        try:
            channel.send(self._control, request.fields(), descriptor)
        except (BlockingIOError, ChannelClosed, ValueError):
            return False
        return True

    def _hear(self, events: int) -> None:
        try:
            while (received := channel.receive(self._control)) is not None:
                self._take(received[0])
        except ChannelClosed:
            self.loop.unwatch(self._control.fileno())
            self._stop()

    def _take(self, fields: list[bytes]) -> None:
        kind = kind_of(fields)
        if kind in (Kind.LEFT, Kind.RESUME):
            self._take_back(number_of(fields), fields[2] if kind is Kind.RESUME else None)
        elif kind is Kind.STOP:
            self._stop()
        elif kind is Kind.DRAIN:
            self._drain()
        elif kind in (Kind.ADMITTED, Kind.REFUSED):
            asking = self._asking.pop(number_of(fields), None)
            if asking is None:
                return
            if kind is Kind.ADMITTED:
                self._begin(number_of(fields), *asking, environment_of(fields[2]))
            else:
                self._turn_away(asking[0], fields[2] if len(fields) > 2 else b"")
        else:
            connection = self._connections.get(number_of(fields))
            if connection is not None:
                text = fields[2].decode("utf-8", "replace") if len(fields) > 2 else ""
                connection.answered(Answer(kind, text))

    def _turn_away(self, client: socket.socket, text: bytes) -> None:
        with contextlib.suppress(OSError):
            client.send(text)
        client.close()
        self._leave_if_done()

    def _begin(
        self,
        number: int,
        client: socket.socket,
        stranger: Stranger,
        environment: Mapping[str, str],
    ) -> None:
        stranger.environment = environment
        connection = Connection(self, number, stranger)
        self._connections[number] = connection
        connection.start(client)

    def _take_back(self, number: int, unread: bytes | None) -> None:
        """Go on with a client whose session has left it, or ended; it may have gone meanwhile."""
        connection = self._connections.get(number)
        if connection is None:
            self.tell(Kind.RELEASE, number)
        elif unread is None:
            connection.session_ended()
        else:
            connection.take_back(unread)

    def ended(self, number: int, *, was_taken: bool) -> None:
        """A connection is over; one that was taken counts until its session has ended, too."""
        self._connections.pop(number, None)
        if not was_taken:
            self.tell(Kind.RELEASE, number)
        self._leave_if_done()

    def _drain(self) -> None:
        """Accept no more; leave when those that are here have gone."""
        if self._listens:
            self._listens = False
            for listening in self._listeners:
                self.loop.unwatch(listening.fileno())
                listening.close()
        self._leave_if_done()

    def _stop(self) -> None:
        if self.is_stopping:
            return
        self.is_stopping = True
        self._drain()
        for connection in list(self._connections.values()):
            connection.stop()
        for client, header in self._arriving.values():
            header.cancel()
            client.close()
        self._arriving.clear()
        is_busy = bool(self._connections or self._asking)
        self.loop.later(_GRACE_S if is_busy else 0.0, self.loop.stop)

    def _leave_if_done(self) -> None:
        if not (self._listens or self._connections or self._asking or self._arriving):
            self.loop.later(0.05, self.loop.stop)
