"""Lines and uploads out of one stream, however it is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imapd.smap.reader import MAX_LINE, Chunked, Dotted, MalformedUpload, Reader, Upload, upload


def read(what: Upload, data: bytes, size: int = 1 << 20) -> tuple[bytes, bytes]:
    """Give what an upload holds, and what is left of the stream."""
    reader = Reader()
    content = b""
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    while True:
        chunk = what.chunk(reader)
        if chunk is None:
            reader.feed(pieces.pop(0))
        elif not chunk:
            return content, reader.unread() + b"".join(pieces)
        else:
            content += chunk


def test_lines() -> None:
    reader = Reader()

    reader.feed(b"one\r\ntwo\n\nthr")

    assert [reader.line() for _ in range(4)] == [b"one\r", b"two", b"", None]
    reader.feed(b"ee\n")
    assert reader.line() == b"three"


@pytest.mark.parametrize("size", [1, 100, 8191, 8192, 100_000])
def test_line_beyond_the_limit_is_cut(size: int) -> None:
    """What exceeds it is thrown away, and takes no memory meanwhile; the next line is read."""
    reader = Reader()
    data = b"x" * 20_000 + b"\nnext\n"

    found = []
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
        while (line := reader.line()) is not None:
            found.append(line)
        assert len(reader.unread()) <= MAX_LINE

    assert found == [b"x" * MAX_LINE, b"next"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b"a\nb\n.\n", b"a\nb\n"),
        (b".\n", b""),
        (b".\r\n", b""),
        (b"..\n...x\n.y\n.\n", b".\n..x\ny\n"),
        (b"a\r\nb\r\n.\r\n", b"a\nb\n"),
        (b"\n\n.\n", b"\n\n"),
        (b"a.\n.b\n. \n.\n", b"a.\nb\n \n"),
        (b"a\rb\n.\n", b"ab\n"),
    ],
)
def test_dotted(sent: bytes, stored: bytes, size: int) -> None:
    """One dot is taken from a line, CRs go, and only a dot alone ends it."""
    assert read(Dotted(), sent + b"NOOP\n", size) == (stored, b"NOOP\n")


@given(st.lists(st.text("ab.", max_size=5)), st.integers(1, 20))
def test_what_was_stuffed_comes_out(lines: list[str], size: int) -> None:
    stuffed = "".join(f".{line}\n" if line.startswith(".") else f"{line}\n" for line in lines)

    content, rest = read(Dotted(), f"{stuffed}.\nrest".encode(), size)

    assert content == "".join(line + "\n" for line in lines).encode()
    assert rest == b"rest"


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("first", "sent", "stored"),
    [
        (5, b"hello\n", b"hello"),
        (5, b"hel\n\n\n", b"hel\n\n"),
        (5, b"hello6\nworld\n\n", b"helloworld\n"),
        (2, b"a\r12\n23456789012\r\n", b"a23456789012"),
        (0, b"\n", b""),
        (None, b"", b""),
    ],
)
def test_chunked(first: int | None, sent: bytes, stored: bytes, size: int) -> None:
    assert read(Chunked(first), sent + b"NOOP\n", size) == (stored, b"NOOP\n")


@pytest.mark.parametrize("line", [b"x", b"1 2", b"-1", b"1" * 19])
def test_chunk_without_a_size(line: bytes) -> None:
    """What follows can't be told from commands: that is an error."""
    reader = Reader()
    reader.feed(b"a" + line + b"\n")
    what = Chunked(1)
    assert what.chunk(reader) == b"a"

    with pytest.raises(MalformedUpload):
        what.chunk(reader)


@pytest.mark.parametrize(
    ("word", "kind", "size"),
    [
        ("{.100}", Dotted, 0),
        ("{5/7}", Chunked, 5),
        ("{5}", Chunked, 5),
        ("{}", Chunked, 0),
        ("{x", Chunked, 0),
    ],
)
def test_upload(word: str, kind: type[Upload], size: int) -> None:
    what, announced = upload(word)

    assert isinstance(what, kind)
    assert announced == size
