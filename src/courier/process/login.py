"""The login process: talks to strangers until they are known, then passes them on.

DESCRIPTION
    Accepts connections, asks master whether each may stay, drives the protocol's not-authenticated
    state, and hands what a client shows for itself to master together with the client's descriptor.
    Of a TLS connection it keeps the encrypted end and relays the octets of the session.

SECURITY
    Runs as its own user in an empty root directory, with no groups, no new privileges and no
    core dumps. All it ever needs (certificates, modules) is loaded before. It sees its clients'
    passwords, and the plain text of its TLS connections; no mailbox, no password file.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from courier import log
from courier.log import Peer
from courier.net import listener
from courier.net.proxy_protocol import Header, ProxyError
from courier.net.tls import Contexts, TlsError, TlsStream
from courier.process import arrival, channel, privileges
from courier.process.arrival import HeaderReader
from courier.process.channel import ChannelClosed
from courier.process.message import Kind, LoginRequest, environment_of, kind_of, number_of
from courier.process.privileges import Ids
from courier.process.request import ClientGone, Receive, ShuttingDown, Wake
from courier.tcpd_options import Proxied

#: Seconds without progress in writing after which a client is given up.
_STALLED_S = 60.0
_HIGH_WATER = 65_536
#: Octets that are read at once, and the unread ones above which no more are read. What a client
#: sends with its log-in goes through a message to master (`channel.MAX_MESSAGE`).
_READ_AT_ONCE = 32_768
#: Seconds after the stop in which goodbyes are written: more than a worker takes.
_GRACE_S = 4.0
_ACCEPTED_AT_ONCE = 50
#: Connections whose PROXY header has not come. Nobody counts them yet.
_MAX_ARRIVING = 1_000


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Request of a log-in: is this client who it says? Answered by an `Answer`.

    Nothing is read from the client until the answer is there.
    """

    service: bytes
    authtype: bytes
    first: bytes  # userid, or a challenge
    second: bytes  # password, or what answers the challenge
    greeting: bytes  # what the session says first
    unread: bytes  # what belongs to the session
    protocol: bytes = b"IMAP"


@dataclass(frozen=True, slots=True)
class Pause:
    """Request of a log-in: let some seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class StartTls:
    """Request of a log-in: encrypt from here on, in some seconds or never."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Master's word on an `Authenticate`; ``text`` goes with `Kind.DISABLED`."""

    kind: Kind
    text: str = ""


@dataclass(slots=True)
class Stranger:
    """What is known of a connection's other end."""

    peer: Peer
    local_ip: str
    local_port: int
    tls: TlsStream | None = None
    #: What the access file assigns to this client.
    environment: Mapping[str, str] = field(default_factory=dict)


LoginSteps = Generator["bytes | Receive | Authenticate | Pause | StartTls", Any, None]
#: Makes the steps of a log-in for a connection.
MakeLogin = Callable[[Stranger], LoginSteps]


@dataclass(frozen=True, slots=True)
class PreparedLogin:
    """All that log-ins need, loaded."""

    make_login: MakeLogin
    contexts: Contexts | None  # None: no TLS
    tls_from_start: bool
    #: Where connections begin with a PROXY header.
    proxied: tuple[Proxied, ...] = ()


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
    loop = asyncio.new_event_loop()  # opens its own descriptors while it may
    privileges.isolate(ids, root)
    asyncio.set_event_loop(loop)
    process = _Process(loop, control, listeners, prepared, is_isolated=is_isolated)
    loop.run_until_complete(process.serve())


class _Process:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
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
        self._connections: dict[int, _Connection] = {}
        self.buffer = memoryview(bytearray(_READ_AT_ONCE))  # what is read is taken at once
        self.is_stopping = False
        self._listens = True
        self._gone: asyncio.Future[None] = loop.create_future()

    async def serve(self) -> None:
        self.loop.add_reader(self._control.fileno(), self._hear)
        self.loop.add_signal_handler(signal.SIGTERM, self._stop)
        for listening in self._listeners:
            self.loop.add_reader(listening.fileno(), self._accept, listening)
        self.tell(Kind.READY, 0)
        await self._gone

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(1 if self._is_isolated else _ACCEPTED_AT_ONCE):
            try:
                client, address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("cannot accept", listening.getsockname(), error)
                self._rest(listening)
                return
            self._arrive(client, address)
        if self._is_isolated:
            self._drain()

    def _rest(self, listening: socket.socket) -> None:
        """Accept nothing for a moment: there is no descriptor or memory left."""
        self.loop.remove_reader(listening.fileno())
        self.loop.call_later(0.5, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if self._listens:
            self.loop.add_reader(listening.fileno(), self._accept, listening)

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
            self.loop.call_later(0.02, lambda: self.tell(kind, number, *more))
        except ChannelClosed:
            self._stop()

    def request(self, request: LoginRequest, descriptor: int) -> bool:
        """Pass a client's credentials and descriptor on; False if master is not to be had."""
        try:
            channel.send(self._control, request.fields(), descriptor)
        except (BlockingIOError, ChannelClosed, ValueError):
            return False
        return True

    def _hear(self) -> None:
        try:
            while (received := channel.receive(self._control)) is not None:
                self._take(received[0])
        except ChannelClosed:
            self.loop.remove_reader(self._control.fileno())
            self._stop()

    def _take(self, fields: list[bytes]) -> None:
        kind = kind_of(fields)
        if kind is Kind.STOP:
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
        connection = _Connection(self, number, stranger)
        self._connections[number] = connection
        connection.started = self.loop.create_task(connection.start(client))

    def ended(self, number: int, *, was_taken: bool) -> None:
        """A connection is over; the count of one that was taken is its worker's matter."""
        self._connections.pop(number, None)
        if not was_taken:
            self.tell(Kind.RELEASE, number)
        self._leave_if_done()

    def _drain(self) -> None:
        """Accept no more; leave when those that are here have gone."""
        if self._listens:
            self._listens = False
            for listening in self._listeners:
                self.loop.remove_reader(listening.fileno())
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
        self.loop.call_later(_GRACE_S if is_busy else 0.0, self._leave)

    def _leave_if_done(self) -> None:
        if not (self._listens or self._connections or self._asking or self._arriving):
            self.loop.call_later(0.05, self._leave)

    def _leave(self) -> None:
        if not self._gone.done():
            self._gone.set_result(None)


class _Connection(asyncio.BufferedProtocol):
    """One stranger: drives its log-in, then relays its TLS session."""

    def __init__(self, process: _Process, number: int, stranger: Stranger) -> None:
        self.started: asyncio.Task[None] | None = None
        self._process = process
        self._number = number
        self._stranger = stranger
        self._steps: LoginSteps | None = process.make_login(stranger)
        self._transport: asyncio.Transport | None = None
        self._tls: TlsStream | None = None
        self._is_starting_tls = False
        self._input = bytearray()  # plain text that the log-in has not asked for
        self._at_end = False
        self._waits = False  # the log-in wants input
        self._is_asking = False  # an `Authenticate` is on its way
        self._timer: asyncio.TimerHandle | None = None
        self._is_blocked = False  # the client does not read
        self._stalled: asyncio.TimerHandle | None = None
        self._unsent = 0  # octets, when progress was looked for last
        self._inner: asyncio.Transport | None = None  # the session's end of a TLS connection
        self._offered: socket.socket | None = None
        self._was_taken = False
        self._is_over = False

    async def start(self, client: socket.socket) -> None:
        try:
            await self._process.loop.connect_accepted_socket(lambda: self, client)
        except OSError:
            client.close()
            self._end()

    # -- the client's side -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        if self._process.tls_from_start:
            self._start_tls(_STALLED_S)
        else:
            self._go_on(None)
        if self._process.is_stopping:  # it was accepted just before
            self.stop()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._process.buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._process.buffer[:nbytes])
        if self._tls is None:
            self._hear(data)
            return
        self._hear(self._decrypt(data))
        if self._tls.is_closed_by_peer:
            self.eof_received()

    def _hear(self, data: bytes) -> None:
        """Take plain text of the client's."""
        if self._inner is not None:
            if data and not self._at_end:
                self._inner.write(data)
            return
        self._input += data
        if len(self._input) > _READ_AT_ONCE and self._transport is not None:
            self._transport.pause_reading()
        if self._waits and self._input:
            self._go_on(self._take_input())

    def eof_received(self) -> bool:
        if self._at_end:
            return True
        self._at_end = True
        if self._tls is not None:
            self._tls.feed_eof()
            if self._is_starting_tls:
                self._throw(ClientGone())
                return True
        if self._inner is not None:
            self._inner.write_eof()  # what the session has still to say is relayed
        elif self._waits:
            self._go_on(b"")
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._at_end = True
        if self._inner is not None:
            self._inner.close()
        if self._steps is not None:
            self._throw(ClientGone())
        self._transport = None
        self._end()

    def pause_writing(self) -> None:
        """The client does not read: neither does the relay, nor does the log-in go on."""
        self._is_blocked = True
        if self._inner is not None:
            self._inner.pause_reading()
        self._watch_progress()

    def resume_writing(self) -> None:
        self._is_blocked = False
        if self._transport is None or self._transport.is_closing():
            return  # the rest has to be taken, too
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if self._inner is not None:
            self._inner.resume_reading()
        elif self._steps is not None and self._timer is None and not self._is_asking:
            self._go_on(None)  # it stopped between two steps

    def _watch_progress(self) -> None:
        """Give a client up that takes nothing of what is to be written."""
        if self._transport is not None:
            self._unsent = self._transport.get_write_buffer_size()
            self._stalled = self._process.loop.call_later(_STALLED_S, self._give_up)

    def _give_up(self) -> None:
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() < self._unsent:
            self._watch_progress()
        else:
            self._abort()

    def _take_input(self) -> bytes:
        data = bytes(self._input)
        self._input.clear()
        if self._transport is not None and not self._at_end:
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        """Send plain text to the client."""
        if self._transport is None or self._transport.is_closing() or not data:
            return
        if self._tls is not None:
            if not self._tls.is_established:
                return
            self._tls.write(data)
            data = self._tls.pending_output()
        self._transport.write(data)

    # -- TLS -------------------------------------------------------------------------------

    def _start_tls(self, seconds: float) -> None:
        """Let nothing survive that was received before the handshake (RFC 3501 6.2.1)."""
        assert self._process.contexts is not None
        self._input.clear()
        self._tls = self._process.contexts.stream(self._stranger.local_ip)
        self._stranger.tls = self._tls
        self._is_starting_tls = True
        self._set_timer(seconds, self._abort)

    def _decrypt(self, data: bytes) -> bytes:
        assert self._tls is not None and self._transport is not None
        plain = self._tls.feed(data)
        output = self._tls.pending_output()
        if output and not self._transport.is_closing():
            self._transport.write(output)
        if self._tls.failure is not None:
            log.tls_failed(self._stranger.peer, self._tls.failure)
            self._abort_later()
        elif self._is_starting_tls and self._tls.is_established:
            self._is_starting_tls = False
            self._clear_timer()
            self._input += plain
            plain = b""
            self._go_on(None)
        return plain

    def _abort_later(self) -> None:
        """Close once the alert is written."""
        if self._steps is not None:
            self._throw(ClientGone())
        if self._transport is not None:
            self._transport.close()

    # -- the log-in ------------------------------------------------------------------------

    def stop(self) -> None:
        """Say goodbye, unless master decides on this client now or a worker says it."""
        if self._tls is not None and not self._tls.is_established:
            self._abort()
        elif self._steps is not None and not self._is_asking:
            self._throw(ShuttingDown())

    def _throw(self, failure: BaseException) -> None:
        self._clear_timer()
        self._go_on(None, failure)

    def _go_on(self, answer: Any, failure: BaseException | None = None) -> None:
        """Run the log-in's steps until it waits for something."""
        self._waits = False
        while self._steps is not None:
            try:
                if failure is not None:
                    step = self._steps.throw(failure)
                else:
                    step = self._steps.send(answer)
            except (StopIteration, ClientGone, ShuttingDown):
                self._close()
                return
            except Exception as error:
                log.bug("-", "log-in", error)
                self._close()
                return
            answer = failure = None
            if isinstance(step, bytes):
                self.write(step)
                if self._is_blocked:
                    self._clear_timer()
                    return
            elif isinstance(step, Receive):
                self._clear_timer()
                if self._input:
                    answer = self._take_input()
                    continue
                if self._at_end:
                    answer = b""
                    continue
                self._waits = True
                self._set_timer(step.timeout_s, self._time_out)
                return
            elif isinstance(step, Pause):
                self._set_timer(step.seconds, self._paused)
                return
            elif isinstance(step, StartTls):
                self._start_tls(step.seconds)
                return
            else:
                self._clear_timer()
                if not self._offer(step):
                    self._is_asking = False
                    answer = Answer(Kind.TEMPORARY)
                    continue
                return

    def _time_out(self) -> None:
        if self._waits:
            self._go_on(Wake.TIMEOUT)

    def _paused(self) -> None:
        self._timer = None
        self._go_on(None)

    def _offer(self, step: Authenticate) -> bool:
        """Send credentials and descriptor to master; from here on nothing is read."""
        assert self._transport is not None
        self._transport.pause_reading()
        unread = step.unread + bytes(self._input)
        request = LoginRequest(
            self._number,
            step.service,
            step.authtype,
            step.first,
            step.second,
            step.greeting,
            unread,
            step.protocol,
            self._tls is not None,
        )
        self._is_asking = True
        if self._tls is None:
            raw = self._transport.get_extra_info("socket")
            return self._process.request(request, raw.fileno())
        self._offered, session_end = socket.socketpair()
        with session_end:
            return self._process.request(request, session_end.fileno())

    def answered(self, answer: Answer) -> None:
        """Take master's word on what was offered."""
        if not self._is_asking:
            return
        self._is_asking = False
        if answer.kind is not Kind.TAKEN:
            if self._offered is not None:
                self._offered.close()
                self._offered = None
            if self._transport is not None and not self._at_end:
                self._transport.resume_reading()
            if self._process.is_stopping:
                self._throw(ShuttingDown())
            else:
                self._go_on(answer)
            return
        self._was_taken = True
        self._input.clear()  # the session has it
        if self._steps is not None:
            self._steps.close()
            self._steps = None
        if self._offered is None:
            if self._transport is not None:
                self._transport.abort()  # closes our descriptor; the worker has its own
        else:
            self.started = self._process.loop.create_task(self._relay(self._offered))

    # -- the relay -------------------------------------------------------------------------

    async def _relay(self, inner: socket.socket) -> None:
        if self._is_over:
            return  # which closed it
        inner.setblocking(False)
        await self._process.loop.connect_accepted_socket(lambda: _Inner(self), inner)
        if self._transport is not None and not self._at_end:
            self._transport.resume_reading()

    def relay_begins(self, inner: asyncio.Transport) -> None:
        self._inner = inner
        self._offered = None
        inner.set_write_buffer_limits(high=_HIGH_WATER)
        if self._is_over:
            inner.close()
        elif self._at_end:
            inner.write_eof()

    def pause_relay(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_relay(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def relay_ends(self) -> None:
        """The session closed its end: say so in TLS, and close."""
        self._inner = None
        self._close()

    # -- the end ---------------------------------------------------------------------------

    def _close(self) -> None:
        self._steps = None
        self._clear_timer()
        if self._transport is None:
            self._end()
            return
        if self._tls is not None and not self._transport.is_closing():
            self._tls.close()
            self._transport.write(self._tls.pending_output())
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._watch_progress()

    def _abort(self) -> None:
        if self._steps is not None:
            self._throw(ClientGone())
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._clear_timer()
        if self._stalled is not None:
            self._stalled.cancel()
        if self._offered is not None:
            self._offered.close()
        self._process.ended(self._number, was_taken=self._was_taken)

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._clear_timer()
        self._timer = self._process.loop.call_later(seconds, call)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Inner(asyncio.Protocol):
    """The session's end of a relayed TLS connection."""

    def __init__(self, outer: _Connection) -> None:
        self._outer = outer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._outer.relay_begins(transport)

    def data_received(self, data: bytes) -> None:
        self._outer.write(data)

    def pause_writing(self) -> None:
        self._outer.pause_relay()

    def resume_writing(self) -> None:
        self._outer.resume_relay()

    def connection_lost(self, error: Exception | None) -> None:
        self._outer.relay_ends()
