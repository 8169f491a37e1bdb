"""The proxy process: passes clients whose mail is on another host on to that host.

DESCRIPTION
    Forked by master when the first such client has logged in (IMAP_PROXY, POP3_PROXY). Connects to the
    host that the account names, logs in there in the client's name, and then copies octets both ways.

SECURITY
    Runs as LOGIN_USER, without groups or new privileges, but not in an empty root directory: names
    have to be looked up. It sees these clients' passwords, as login processes do. What another
    host sends is bounded until it has accepted the log-in, and is the client's matter from then on.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from courier import log
from courier.process import privileges
from courier.process.attendant import Attendant, Ended
from courier.process.far_end import FarEnd
from courier.process.far_login import MakeApproach
from courier.process.loop import Loop, Timer
from courier.process.message import Kind, ProxyRequest
from courier.process.privileges import Ids
from courier.process.stream import Stream
from courier.process.threads import Threads

#: Seconds for all hosts together. Courier: those that are left of the log-in's.
_TOTAL_S = 60.0
#: Seconds in which a client has to take what there is, when the other host has closed.
_LAST_S = 60.0
_HIGH_WATER = 65_536
#: Names that are looked up at once.
_LOOKUPS = 16


@dataclass(frozen=True, slots=True)
class PreparedProxy:
    """All that is needed to speak with other hosts, loaded."""

    make_approach: MakeApproach
    tls: ssl.SSLContext | None  # None: nothing is encrypted


def run(control: socket.socket, ids: Ids, prepare: Callable[[], PreparedProxy]) -> None:
    """Be a proxy process until master lets go.

    Args:
        prepare: loads everything, with master's rights, before they go.
    """
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    try:
        prepared = prepare()
    except OSError as error:  # also ssl's
        log.line(f"ERR: TLS_TRUSTCERTS can't be loaded: {error.strerror or error}")
        sys.exit(1)
    privileges.become(ids)
    privileges.no_new_privileges()
    privileges.no_core_dumps()
    os.chdir("/")
    loop = Loop()
    threads = Threads(loop, _LOOKUPS)

    def make(fields: list[bytes], ended: Ended) -> Passage:
        request = ProxyRequest.of(fields)
        number = request.number  # and nothing else of it stays

        def tell(kind: Kind) -> None:
            attendant.tell(kind, number)

        return Passage(loop, partial(FarEnd, loop, threads), prepared, request, tell, ended)

    attendant = Attendant(control, loop, Kind.PROXY, make)
    attendant.serve()


class Passage:
    """One client's way to another host."""

    def __init__(
        self,
        loop: Loop,
        make_far_end: Callable[..., FarEnd],
        prepared: PreparedProxy,
        request: ProxyRequest,
        tell: Callable[[Kind], None],
        ended: Callable[[], None],
    ) -> None:
        """``tell`` master what became of the log-in; ``ended`` is called once, last."""
        self._loop = loop
        self._make_far_end = make_far_end
        self._prepared = prepared
        self._request: ProxyRequest | None = request  # until a host is reached: it has the password
        self._address = request.address
        self._tell = tell
        self._ended = ended
        self._hosts = iter(request.hosts)
        self._client: socket.socket | None = None  # until a host is reached
        self._near: Stream | None = None
        self._far: FarEnd | None = None
        self._timer: Timer | None = None
        self._is_over = False

    def start(self, client: socket.socket) -> None:
        """Find a host for the client at the other end of a socket."""
        client.setblocking(False)
        self._client = client
        self._timer = self._loop.later(_TOTAL_S, self._run_out)
        self._next_host()

    def stop(self) -> None:
        """Close: a goodbye of ours could stand in the middle of a response."""
        self._end()

    # -- hosts -----------------------------------------------------------------------------

    def _next_host(self) -> None:
        host = next(self._hosts, None)
        if host is None or self._request is None:
            self._tell(Kind.FAILED)
            self._end()
            return
        approach = self._prepared.make_approach(self._request, host)
        self._far = self._make_far_end(self, host, approach, self._prepared.tls)

    def failed(self, why: str) -> None:
        log.warn(why)
        self._next_host()

    def _run_out(self) -> None:
        if self._far is not None:
            self._far.abort()
        self._hosts = iter(())
        self.failed(f"No log-in for {self._address} on another host in time")

    def reached(self, said: bytes) -> None:
        """From here on the host speaks with the client alone."""
        client, self._client = self._client, None
        request, self._request = self._request, None
        if client is None or self._far is None or request is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            self._near = Stream(self._loop, self, client, _HIGH_WATER)
        except OSError:
            client.close()
            self._end()
            return
        self._tell(Kind.REACHED)
        self._far.write(request.unread)
        self.from_far(said)

    # -- the host's side -------------------------------------------------------------------

    def from_far(self, data: bytes) -> None:
        if self._near is None:
            return
        self._near.write(data)
        if self._near is not None and self._near.is_blocked and self._far is not None:
            self._far.pause()

    def far_drained(self) -> None:
        if self._near is not None and not self._near.is_closing:
            self._near.resume()

    def far_ended(self) -> None:
        self._far = None
        if self._near is None:
            self._end()
            return
        self._timer = self._loop.later(_LAST_S, self._end)
        self._near.close()  # once all is written

    # -- the client's side -----------------------------------------------------------------

    def received(self, data: bytes) -> None:
        if self._far is None:
            return
        self._far.write(data)
        if self._far is not None and self._far.is_blocked and self._near is not None:
            self._near.pause()

    def ended(self) -> None:
        """The client sends no more, and reads what there is still to come."""
        if self._far is not None:
            self._far.write_eof()

    def drained(self) -> None:
        if self._far is not None:
            self._far.resume()

    def lost(self) -> None:
        self._near = None
        self._end()

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        far, self._far = self._far, None
        if far is not None:
            far.abort()
        near, self._near = self._near, None
        if near is not None:
            near.abort()
        if self._client is not None:
            self._client.close()
        self._ended()
