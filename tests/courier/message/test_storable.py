from __future__ import annotations

import tracemalloc
from base64 import encodebytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import decoding, lines
from courier.message.message import Message
from courier.message.storable import storable


def stored(data: bytes) -> bytes:
    return b"".join(storable(data))


def one(name: bytes, body: bytes, kind: bytes = b"text/plain") -> bytes:
    return b"Content-Type: %b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (kind, name, body)


@pytest.mark.parametrize(
    ("name", "kind", "body", "changes"),
    [
        (b"8bit", b"text/plain", b"a\r\n\xff\r\n", False),
        (b"8bit", b"text/plain", b"a\nb", False),  # clients send such text
        (b"8bit", b"image/png", b"a\nb", True),
        (b"8bit", b"image/png", b"a\r\nb", False),
        (b"8bit", b"text/plain", b"a\0b", True),
        (b"7bit", b"text/plain", b"a\rb", True),
        (b"binary", b"text/plain", b"a\r\n", True),
        (b"binary", b"text/plain", b"", True),
        (b"base64", b"text/plain", b"a\0b\r", False),
        (b"x-unknown", b"text/plain", b"a\0b\r", False),
    ],
)
def test_what_is_encoded(name: bytes, kind: bytes, body: bytes, changes: bool) -> None:
    """What would suffer, or is declared as what no FETCH BODY may show; nothing else is touched."""
    data = one(name, body, kind)

    if changes:
        message = Message(stored(data))
        assert message.root.encoding == b"base64"
        assert b"".join(decoding.body(message, message.root)) == body
    else:
        assert stored(data) == data.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("body", [b"\0" * 100, b"line\r\n"], ids=["binary", "lines"])
def test_memory(body: bytes) -> None:
    """Whatever is stored, it is a small part of the message that is in memory a second time."""
    data = one(b"8bit", body * (8_000_000 // len(body)))
    tracemalloc.start()
    try:
        size = sum(map(len, storable(data)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert size > 6_000_000
    assert peak < 1_000_000


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x" * 50_000]), max_size=12))
def test_lines_of_any_length(pieces: list[bytes]) -> None:
    """Where a large message is parted makes no difference."""
    data = b"Content-Transfer-Encoding: x-unknown\r\n\r\n" + b"".join(pieces)

    assert stored(data) == lines.stored(data)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_parts(first: bytes, second: bytes) -> None:
    """Every octet of binary parts comes back, and the signed text beside them stays as it is."""
    bodies = [first.replace(b"--", b"++"), second.replace(b"--", b"++")]
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n"
    for body in bodies:
        data += b"--b\r\nContent-Transfer-Encoding: binary\r\nX: y\r\n\r\n%b\r\n" % body
    message = Message(stored(data + b"--b--\r\n"))

    parts = message.root.children
    assert message.data.startswith(
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nX: y\n"
    )
    assert [b"".join(decoding.body(message, part)) for part in parts[1:]] == bodies


def test_lines() -> None:
    """They are no longer than RFC 2045 6.8 allows, however long the body is."""
    body = bytes(range(256)) * 1000

    text = stored(one(b"binary", body))

    assert text.endswith(encodebytes(body))


@pytest.mark.parametrize("data", [b"", b"\0", b"\r", b"x\0: y", b"\r\n\0\r\r\n", b"\n\n\0"])
def test_what_is_hardly_a_message(data: bytes) -> None:
    """Nothing but line ends is lost of a body; a header can't be encoded."""
    message = Message(stored(data))

    body = Message(data)
    expected = body.data[body.body_start :]
    assert b"".join(decoding.body(message, message.root)) in (
        expected,
        expected.replace(b"\r", b"").replace(b"\n", b"\r\n"),
    )
