from __future__ import annotations

import quopri
from base64 import b64encode, encodebytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import decoding, parted
from courier.message.decoding import UnknownEncoding
from courier.message.message import Message
from courier.message.parted import PartedMessage


def single(name: bytes, body: bytes, kind: bytes = b"text/plain") -> Message:
    header = b"Content-Type: %b\nContent-Transfer-Encoding: %b\n\n" % (kind, name)
    return Message(header + body)


def decoded(message: Message | PartedMessage) -> bytes:
    return b"".join(decoding.body(message, message.root))


def in_file(message: Message) -> PartedMessage:
    """The same message as one that is read bit by bit."""
    padded = Message(message.data + b"\n" * parted.LARGE)

    def read(start: int, count: int) -> bytes:
        return padded.data[start : start + count]

    return PartedMessage(parted.structure(padded.root), read)


@pytest.mark.parametrize(
    ("encoded", "plain"),
    [
        (b"", b""),
        (b"aGVsbG8K\n", b"hello\n"),
        (b"aGVsbG8\n", b"hello"),
        (b" aGV*sb\n\nG8=\n", b"hello"),
        (b"aGVsbG8=\n-- \nhttp://list/footer\n", b"hello"),
        (b"aGVsbG8KA", b"hello\n"),
        (b"=", b""),
        (b"\xff\x00!", b""),
        (b"AAEC\r\nAwQF\r\n", b"\0\1\2\3\4\5"),
    ],
)
def test_base64(encoded: bytes, plain: bytes) -> None:
    """What is no base64 is passed over, and padding ends it, so that a footer is not taken for data."""
    assert decoded(single(b"base64", encoded)) == plain


@pytest.mark.parametrize(
    ("encoded", "plain"),
    [
        (b"", b""),
        (b"h=C3=A9=c3=a9\n", b"h\xc3\xa9\xc3\xa9\r\n"),
        (b"soft=\nbreak = \t\nhere=", b"softbreak here"),
        (b"blanks go \t\n", b"blanks go\r\n"),
        (b"blanks stay=20\n", b"blanks stay \r\n"),
        (b"at the end \t", b"at the end"),
        (b"line ends=0Astay\r\n=0D=0A", b"line ends\nstay\r\n\r\n"),
        (b"=zz =1 under_score", b"=zz =1 under_score"),
    ],
)
def test_quoted_printable(encoded: bytes, plain: bytes) -> None:
    """Line ends of the text are those of the wire; what is not allowed stays as it is."""
    assert decoded(single(b"quoted-printable", encoded)) == plain


@pytest.mark.parametrize("name", [b"7bit", b"8BIT", b"Binary", b"", b'"7bit"; x', b"7bit (ok)"])
def test_no_encoding(name: bytes) -> None:
    assert decoded(single(name, b"a\nb\r\nc\rd")) == b"a\r\nb\r\nc\rd"


@pytest.mark.parametrize("name", [b"x-uuencode", b"base65", b"quoted"])
def test_unknown(name: bytes) -> None:
    message = single(name, b"x")

    assert not decoding.is_decodable(message, message.root)
    with pytest.raises(UnknownEncoding):
        decoded(message)


@given(st.binary(max_size=500), st.integers(1, 40))
def test_any_block(data: bytes, size: int) -> None:
    """Wherever the blocks of a file end, the octets are the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_BLOCK", size)

        assert decoded(single(b"base64", encodebytes(data), b"image/png")) == data
        # Shorter lines than blocks: a line that is longer is cut, and loses nothing but blanks
        text = data.replace(b"\r", b"").replace(b"\n", b"")
        assert decoded(single(b"quoted-printable", quopri.encodestring(text, quotetabs=True))) == (
            text
        )
        wire = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        assert decoded(single(b"7bit", data)) == wire


@given(
    st.lists(st.tuples(st.sampled_from([b"base64", b"7bit"]), st.binary(max_size=40)), max_size=4)
)
def test_whole(parts: list[tuple[bytes, bytes]]) -> None:
    """Of a whole message each part is decoded and says so; without encodings it stays as it is."""
    text = b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\npreamble\n"
    expected = text
    for name, data in parts:
        plain = data if name == b"base64" else data.hex().encode()
        sent = b64encode(data) if name == b"base64" else plain
        text += b"--b\nX: y\nContent-Transfer-Encoding: %b\n\n%b\n" % (name, sent)
        told = b"binary" if name == b"base64" else name
        expected += b"--b\nX: y\nContent-Transfer-Encoding: %b\n\n" % told
        expected += plain.replace(b"\n", b"\0LF\0") + b"\n"
    message = Message(text + b"--b--\n")
    expected = (expected + b"--b--\n").replace(b"\n", b"\r\n").replace(b"\0LF\0", b"\n")

    assert b"".join(decoding.whole(message)) == expected


def test_message_in_file() -> None:
    """A large message is read in pieces: the header of a part is found in the file."""
    text = (
        b"Content-Type: multipart/mixed; boundary=b\n\n"
        b"--b\nContent-Transfer-Encoding: BASE64\n\naGVsbG8=\n"
        b"--b\nContent-Transfer-Encoding: x\n\ny\n--b--\n"
    )
    message = in_file(Message(text))

    assert decoding.is_decodable(message, message.root.children[0])
    assert b"".join(decoding.body(message, message.root.children[0])) == b"hello"
    assert not decoding.is_decodable(message, message.root)


def test_memory() -> None:
    """A body of one endless line is not collected."""
    message = single(b"quoted-printable", b"x=41" * 1_000_000)

    chunks = decoding.body(message, message.root)

    assert max(map(len, chunks)) < 300_000
