"""Connections from behind a proxy: who the client is, before anything else is read of it.

On a listener that TCPDOPTS -haproxy names, a connection begins with a PROXY header. It is read to
its last octet and not beyond: what follows is the client's, a TLS handshake perhaps.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address

from courier.net import proxy_protocol
from courier.net.proxy_protocol import Header, ProxyError
from courier.process.loop import Loop
from courier.tcpd_options import Proxied


def header_timeout_s(proxied: Sequence[Proxied], ip: str, port: int) -> int | None:
    """Give the seconds a connection to this local address has for its header; None: it has none."""
    if not proxied:
        return None
    address = ip_address(ip.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    for one in proxied:
        if one.port in (None, port) and one.address in (None, address):
            return one.timeout_s
    return None


class HeaderReader:
    """Reads the PROXY header of an accepted, non-blocking socket, which stays its caller's.

    ``done`` is called once: with the header, or with the reason why there is none.
    """

    def __init__(
        self,
        loop: Loop,
        client: socket.socket,
        timeout_s: float,
        done: Callable[[Header | ProxyError], None],
    ) -> None:
        self._loop = loop
        self._client = client
        self._done = done
        self._received = b""
        self._timer = loop.later(timeout_s, lambda: self._end(ProxyError("haproxy: timeout")))
        loop.watch(client.fileno(), select.EPOLLIN, self._read)

    def cancel(self) -> None:
        """Read no more; ``done`` is not called."""
        self._timer.cancel()
        self._loop.unwatch(self._client.fileno())

    def _read(self, events: int) -> None:
        try:
            seen = self._client.recv(proxy_protocol.MAX_V2, socket.MSG_PEEK)
            if not seen:
                self._end(ProxyError("haproxy: missing PROXY statement"))
                return
            header = proxy_protocol.parse(self._received + seen)
            ours = len(seen) if header is None else header.size - len(self._received)
            self._received += self._client.recv(ours)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(ProxyError(f"haproxy: {error.strerror}"))
        except ProxyError as error:
            self._end(error)
        else:
            if header is not None:
                self._end(header)

    def _end(self, outcome: Header | ProxyError) -> None:
        self.cancel()
        self._done(outcome)
