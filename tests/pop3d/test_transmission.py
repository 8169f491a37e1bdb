"""Messages as they are sent: line ends, dots, TOP; whatever pieces they are read in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pop3d import transmission

SENT = [
    (b"", b"\r\n.\r\n"),
    (b"\n", b"\r\n.\r\n"),
    (b"a\n\nb\n", b"a\r\n\r\nb\r\n.\r\n"),
    (b"a", b"a\r\n.\r\n"),
    (b".", b"..\r\n.\r\n"),
    (b".\n", b"..\r\n.\r\n"),
    (b"\n.\n..\n", b"\r\n..\r\n...\r\n.\r\n"),
    (b"a\r\nb\r\n", b"a\r\nb\r\n.\r\n"),
    (b"a\rb\n", b"a\rb\r\n.\r\n"),
    (b"a\r", b"a\r\n.\r\n"),
    (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
    (b"\x00\xff\n", b"\x00\xff\r\n.\r\n"),
]
TEXT = st.text(alphabet="a.\r\n", max_size=40).map(str.encode)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize(("data", "sent"), SENT)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_sent(data: bytes, sent: bytes, size: int) -> None:
    assert b"".join(transmission.stuffed(pieces(data, size))) == sent


def unstuffed(sent: bytes) -> bytes:
    """What a client takes a response for (RFC 1939 3)."""
    lines = sent.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2]
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:-2])


@given(TEXT, st.integers(1, 50))
def test_any_text(data: bytes, size: int) -> None:
    """The response ends where the message ends, and has the octets that were announced."""
    sent = b"".join(transmission.stuffed(pieces(data, size)))

    assert sent == b"".join(transmission.stuffed([data]))
    received = unstuffed(sent)
    assert len(received) == transmission.sent_size(data)
    assert received.replace(b"\r\n", b"\n").removesuffix(b"\n") == data.replace(
        b"\r\n", b"\n"
    ).removesuffix(b"\n").removesuffix(b"\r" if data.endswith(b"\r") else b"\0")


TOPS = [
    (b"h\n\n1\n2\n3\n", 0, b"h\n\n"),
    (b"h\n\n1\n2\n3\n", 2, b"h\n\n1\n2\n"),
    (b"h\n\n1\n2\n3\n", 9, b"h\n\n1\n2\n3\n"),
    (b"h\n\n1\n2\n3\n", None, b"h\n\n1\n2\n3\n"),
    (b"h\r\n\r\n1\r\n2\r\n", 1, b"h\r\n\r\n1\r\n"),
    (b"h\n", 3, b"h\n"),
    (b"\nbody\nmore\n", 1, b"\nbody\n"),  # no header: Courier takes the next empty line for its end
    (b"h\n\nopen", 1, b"h\n\nopen"),
    (b"", 1, b""),
]


@pytest.mark.parametrize(("data", "lines", "cut"), TOPS)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_top(data: bytes, lines: int | None, cut: bytes, size: int) -> None:
    assert b"".join(transmission.top(pieces(data, size), lines)) == cut


def test_top_reads_no_further_than_it_has_to() -> None:
    def endless() -> Iterator[bytes]:
        yield b"h\n\n"
        while True:
            yield b"line\n" * 100

    assert b"".join(transmission.top(endless(), 3)) == b"h\n\n" + b"line\n" * 3
