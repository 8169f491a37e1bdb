"""PROXY headers of both versions, whole, in pieces, and wrong."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.net.proxy_protocol import MAX_V1, MAX_V2, Header, ProxyError, Side, parse

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return (
        SIGNATURE
        + struct.pack("!BBH", command, family, length if length is not None else len(body))
        + body
    )


IPV4 = ipaddress.ip_address("192.0.2.1").packed + ipaddress.ip_address("198.51.100.2").packed
IPV6 = ipaddress.ip_address("2001:db8::1").packed + ipaddress.ip_address("2001:db8::2").packed
PORTS = struct.pack("!HH", 52254, 143)

WHOLE = [
    (
        b"PROXY TCP4 192.0.2.1 198.51.100.2 52254 143\r\n",
        Side("::ffff:192.0.2.1", 52254), Side("::ffff:198.51.100.2", 143),
    ),
    (
        b"PROXY TCP6 2001:db8::1 2001:DB8:0::2 0 65535\r\n",
        Side("2001:db8::1", 0), Side("2001:db8::2", 65535),
    ),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN ffff::1 junk 1 2\r\n", None, None),
    (
        v2(0x21, 0x11, IPV4 + PORTS),
        Side("::ffff:192.0.2.1", 52254), Side("::ffff:198.51.100.2", 143),
    ),
    (
        v2(0x21, 0x21, IPV6 + PORTS + b"\x03\0\x04abcd"),
        Side("2001:db8::1", 52254), Side("2001:db8::2", 143),
    ),
    (v2(0x20, 0x11, IPV4 + PORTS), None, None),
    (v2(0x20, 0, b""), None, None),
    (v2(0x21, 0, b"whatever"), None, None),
]  # fmt: skip


@pytest.mark.parametrize(("header", "source", "destination"), WHOLE)
def test_header(header: bytes, source: Side | None, destination: Side | None) -> None:
    """A whole header is read, whatever the client says behind it; a part of one never is."""
    expected = Header(source, destination, len(header))

    assert parse(header) == expected
    assert parse(header + b"a LOGIN\r\nPROXY ") == expected
    assert [parse(header[:end]) for end in range(len(header))] == [None] * len(header)


@pytest.mark.parametrize(
    "received",
    [
        b"a", b"* OK", b"P\r", b"proxy TCP4", b"\x16\x03\x01\x02\0", b"PROXY\tTCP4", b"\r\n\r\n\0x",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 52254 65536\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 052254 143\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 143\r\n",
        b"PROXY TCP4 192.0.2.1  198.51.100.2 1 143\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1 143 \r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.2 1 143\r\n",
        b"PROXY TCP4 192.0.2.01 198.51.100.2 1 143\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 143\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 1 143\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 143\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.2 1 143\r\n",
        b"PROXY UNKNOWNX\r\n", b"PROXY \r\n",
        b"PROXY TCP4 192.0.2.1\n198.51.100.2 1 143\r\n",
        b"PROXY UNKNOWN " + b"x" * 10_000 + b"\r\n", b"PROXY UNKNOWN " + b"x" * MAX_V1,
        v2(0x11, 0x11, IPV4 + PORTS), v2(0x22, 0x11, IPV4 + PORTS), v2(0x31, 0x11, IPV4 + PORTS),
        v2(0x21, 0x12, IPV4 + PORTS), v2(0x21, 0x31, bytes(216)), v2(0x21, 0x11, IPV4 + PORTS[:-1]),
        v2(0x21, 0x21, IPV4 + PORTS), v2(0x21, 0x11, b""), v2(0x21, 0x11, b"", length=65535),
        v2(0x20, 0, b"", length=MAX_V2 - 15),
    ],
)  # fmt: skip
def test_no_header(received: bytes) -> None:
    """What is no header is refused, and everything that begins like it too once that is certain."""
    with pytest.raises(ProxyError):
        parse(received)


def test_longest_line() -> None:
    """The limit is the longest line that the protocol has, not one octet less."""
    line = b"PROXY UNKNOWN".ljust(MAX_V1 - 2, b" ") + b"\r\n"

    assert parse(line) == Header(None, None, MAX_V1)
    with pytest.raises(ProxyError):
        parse(line[:-2] + b" \r\n")


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]),
)
def test_anything(rest: bytes, start: bytes) -> None:
    """Rubbish gives an error or a wait, and never a wait beyond the limit."""
    received = start + rest
    try:
        header = parse(received)
    except ProxyError:
        return

    assert header is not None or len(received) < MAX_V2
    assert header is None or 0 < header.size <= len(received)


@given(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4))
    | st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
    st.integers(0, 65535),
    st.integers(0, 65535),
)
def test_written_by_a_proxy(
    addresses: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...],
    source: int,
    destination: int,
) -> None:
    """Both versions of one header say the same."""
    version = addresses[0].version
    line = f"PROXY TCP{version} {addresses[0]} {addresses[1]} {source} {destination}\r\n".encode()
    body = addresses[0].packed + addresses[1].packed + struct.pack("!HH", source, destination)

    first, second = parse(line), parse(v2(0x21, 0x11 if version == 4 else 0x21, body))

    assert first is not None
    assert second is not None
    assert first.source == second.source
    assert first.source is not None
    assert (first.source.port, first.destination) == (source, second.destination)
    assert ipaddress.ip_address(first.source.ip).packed[-4:] == addresses[0].packed[-4:]
