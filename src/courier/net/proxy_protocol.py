"""The PROXY protocol, versions 1 and 2: a proxy in front says who its client is.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt. Whoever may speak first may claim any
address, so this is for listeners that the administrator set up for it, and nowhere else. There a
connection without a header is refused: nobody must guess.

    version 1   "PROXY " ("TCP4" / "TCP6") " " source " " destination " " port " " port CRLF
                "PROXY UNKNOWN" *octet CRLF                     at most 107 octets
    version 2   12 octets of signature, version and command, family, length (16 bits, big-endian),
                addresses, then extensions (TLV), which are passed over
"""

import re
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from courier.net.listener import ip_text

MAX_V1 = 107
MAX_V2 = 16 + 2048  # addresses take 36; the rest is extensions, a certificate's name at most

_V1 = b"PROXY "
_V1_LINE = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]{2,39}) ([0-9A-Fa-f.:]{2,39}) "
    rb"(0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})"
)
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


class ProxyError(Exception):
    """The peer is no proxy, or a broken one: close, with this text in the log."""


@dataclass(frozen=True, slots=True)
class Side:
    """One end of the proxy's client's connection, its address as Courier logs it."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Header:
    """A whole header. What follows ``size`` octets is the client's.

    ``source`` and ``destination`` replace the connection's own addresses; they are None when the
    proxy speaks for itself (a health check), or doesn't know.
    """

    source: Side | None
    destination: Side | None
    size: int


def parse(received: bytes) -> Header | None:
    """Read the header at the start of all that was received so far.

    Returns:
        None as long as more octets are needed.

    Raises:
        ProxyError: this will never be a header, which is said as early as that is certain.
    """
    if received[: len(_V1)] == _V1[: len(received)]:
        return _version_1(received)
    if received[: len(_V2)] == _V2[: len(received)]:
        return _version_2(received)
    raise ProxyError("haproxy: missing PROXY statement")


def _version_1(received: bytes) -> Header | None:
    end = received.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(received) >= MAX_V1:
            raise ProxyError("haproxy: response too long")
        return None
    line = received[:end]
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return Header(None, None, end + 2)
    match = _V1_LINE.fullmatch(line)
    if match is None:
        raise ProxyError("haproxy: malformed PROXY statement")
    protocol, source, destination, source_port, destination_port = match.groups()
    make = IPv4Address if protocol == b"TCP4" else IPv6Address
    try:
        return Header(
            _side(make(source.decode()), int(source_port)),
            _side(make(destination.decode()), int(destination_port)),
            end + 2,
        )
    except ValueError as error:
        raise ProxyError("haproxy: malformed PROXY statement") from error


def _version_2(received: bytes) -> Header | None:
    if len(received) < _V2_FIXED.size:
        return None
    _, command, family, length = _V2_FIXED.unpack_from(received)
    size = _V2_FIXED.size + length
    if command not in (_LOCAL, _PROXY):
        raise ProxyError("haproxy: unknown version or command")
    if size > MAX_V2:
        raise ProxyError("haproxy: response too long")
    if len(received) < size:
        return None
    if command == _LOCAL or family == 0:
        return Header(None, None, size)

    width = {_TCP4: 4, _TCP6: 16}.get(family)
    if width is None:
        raise ProxyError(f"haproxy: unknown protocol: {family:#04x}")
    addresses = received[_V2_FIXED.size : size]
    if len(addresses) < 2 * width + 4:
        raise ProxyError("haproxy: malformed PROXY statement")
    make = IPv4Address if width == 4 else IPv6Address
    source_port, destination_port = struct.unpack_from("!HH", addresses, 2 * width)
    return Header(
        _side(make(addresses[:width]), source_port),
        _side(make(addresses[width : 2 * width]), destination_port),
        size,
    )


def _side(address: IPv4Address | IPv6Address, port: int) -> Side:
    if port > 0xFFFF:
        raise ValueError(port)
    return Side(ip_text(str(address)), port)
