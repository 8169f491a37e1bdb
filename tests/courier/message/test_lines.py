"""Wire form: CRLF for every LF, sizes that agree with it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import lines

texts = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\0"])).map(b"".join)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        (b"", b""),
        (b"a\nb", b"a\r\nb"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\rb\n", b"a\rb\r\n"),
        (b"\r\r\n\n\r", b"\r\r\n\r\n\r"),
        (b"\n\r\n", b"\r\n\r\n"),
        (b"\0\xff\n", b"\0\xff\r\n"),
    ],
)
def test_wire(stored: bytes, sent: bytes) -> None:
    """LF becomes CRLF; CRLF, bare CR and any other byte stay."""
    assert lines.wire(stored) == sent
    assert lines.wire_size(stored) == len(sent)


@given(texts)
def test_stored(data: bytes) -> None:
    """What is stored has the wire form that came, and as few CRs as that allows."""
    sent = lines.wire(data)

    stored = lines.stored(sent)

    assert lines.wire(stored) == sent
    assert not re.search(rb"(?<!\r)\r\n", stored)


@given(texts)
def test_wire_has_no_bare_lf(data: bytes) -> None:
    """The wire form has the definition's bytes, and is a fixed point."""
    sent = re.sub(rb"(?<!\r)\n", b"\r\n", data)

    assert lines.wire(data) == sent
    assert lines.wire(sent) == sent


@given(texts, st.integers(0, 30), st.integers(0, 30))
def test_sizes_of_a_range(data: bytes, start: int, end: int) -> None:
    """A range's size is that of its wire form, wherever it is cut."""
    start, end = min(start, len(data)), min(end, len(data))
    end = max(start, end)

    assert lines.wire_size(data, start, end) == len(lines.wire(data, start, end))


@given(texts, st.integers(0, 20), st.integers(0, 20), st.integers(0, 9), st.integers(1, 7))
def test_slice_in_blocks(data: bytes, offset: int, count: int, start: int, block: int) -> None:
    """A slice is a slice of the whole, however small the blocks it is made from."""
    start = min(start, len(data))
    before, lines._BLOCK = lines._BLOCK, block
    try:
        found = lines.wire_slice(data, start, len(data), offset, count)
    finally:
        lines._BLOCK = before

    assert found == lines.wire(data, start)[offset : offset + count]


def test_count_of_more_than_a_block() -> None:
    """Long and short ranges are counted alike."""
    data = b"a\n" * 100_000

    assert lines.count(data, 0, len(data)) == 100_000
    assert lines.count(data, 1, 4) == 2
