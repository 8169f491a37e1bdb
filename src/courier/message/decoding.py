"""Bodies without their transfer encoding, a block at a time (RFC 2045 6).

What no rule allows is passed over, as far as something can be made of it: a body that a gateway has damaged
is worth more in part than not at all. The memory needed does not depend on a body's size.
"""

from __future__ import annotations

from binascii import a2b_base64, a2b_qp
from collections.abc import Callable, Iterable, Iterator, Mapping

from courier.message import encoded, header, lines
from courier.message.message import Message
from courier.message.mime import IDENTITY, Part, header_encoding
from courier.message.parted import PartedMessage

#: Octets of a message file that are decoded at once.
_BLOCK = 65_536


class UnknownEncoding(ValueError):
    """A part has a transfer encoding that nobody here can undo."""


def encoding(message: Message | PartedMessage, part: Part) -> bytes:
    """Give a part's transfer encoding, in lower case."""
    if isinstance(message, Message):
        return part.encoding
    end = min(part.body_start, part.header_start + header.MAX_HEADER)
    return header_encoding(message.octets(part.header_start, end))


def leaves(part: Part) -> Iterator[Part]:
    """Give the parts that have no parts, in their order; ``part`` itself if it is one."""
    waiting = [part]
    while waiting:
        part = waiting.pop()
        if part.message is not None:
            waiting.append(part.message)
        elif part.children:
            waiting.extend(reversed(part.children))
        else:
            yield part


def is_decodable(message: Message | PartedMessage, part: Part) -> bool:
    """Tell whether the encoding of everything in a part is known."""
    return all(encoding(message, leaf) in (*IDENTITY, *_DECODERS) for leaf in leaves(part))


def body(message: Message | PartedMessage, part: Part) -> Iterator[bytes]:
    """Give a part's body without encodings: its own, or in what it consists of those of all parts.

    The header of a part in it says ``binary`` where an encoding has been undone.

    Raises:
        UnknownEncoding, OSError.
    """
    return _decoded(message, part, part.body_start)


def whole(message: Message | PartedMessage) -> Iterator[bytes]:
    """Give a message so, its header first."""
    return _decoded(message, message.root, 0)


def _decoded(message: Message | PartedMessage, part: Part, at: int) -> Iterator[bytes]:
    end = part.end
    for leaf in leaves(part):
        name = encoding(message, leaf)
        if name in IDENTITY:
            continue
        decode = _DECODERS.get(name)
        if decode is None:
            raise UnknownEncoding(name)
        if leaf.body_start > at:
            yield from wire(message, at, leaf.header_start)
            data = message.octets(leaf.header_start, leaf.body_start)
            yield lines.wire(with_encoding(data, b"binary"))
        yield from decode(_blocks(message, leaf.body_start, leaf.end))
        at = leaf.end
    yield from wire(message, at, end)


def with_encoding(data: bytes, name: bytes) -> bytes:
    """Give a header with another Content-Transfer-Encoding."""
    kept: list[bytes] = []
    end = b""
    at = 0
    for field, text in header.fields(data, 0, len(data)):
        at += len(text)
        if field.lower() != _FIELD:
            kept.append(text)
    end = data[at:] or b"\n"
    if kept and not kept[-1].endswith(b"\n"):
        kept.append(b"\n")
    return b"".join([*kept, b"Content-Transfer-Encoding: ", name, b"\n", end])


_FIELD = b"content-transfer-encoding"


def wire(message: Message | PartedMessage, start: int, end: int) -> Iterator[bytes]:
    """Give a range in wire form."""
    held = b""
    for block in _blocks(message, start, end):
        data = held + block
        held = b"\r" if data.endswith(b"\r") else b""  # not to part it from its LF
        yield lines.wire(data[: len(data) - len(held)])
    if held:
        yield held


def _blocks(message: Message | PartedMessage, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, _BLOCK):
        yield message.octets(at, min(at + _BLOCK, end))


def _base64(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Padding ends it: what comes after is the footer of a mailing list."""
    rest = b""
    for block in blocks:
        text, padding, _ = block.partition(b"=")
        data = rest + encoded.base64_characters(text)
        if padding:
            rest = data
            break
        whole_groups = len(data) & ~3
        rest = data[whole_groups:]
        yield a2b_base64(data[:whole_groups])
    yield encoded.base64(rest)


def _quoted_printable(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        data = rest + block
        end = data.rfind(b"\n") + 1
        if not end and len(data) > _BLOCK:  # no line of RFC 2045 is nearly so long
            end = data.find(b"=", len(data) - 2)
            end = len(data) if end < 0 else end
        rest = data[end:]
        yield _quoted_lines(data[:end])
    yield _quoted_lines(rest.rstrip(b" \t\r"))


def _quoted_lines(data: bytes) -> bytes:
    """Decode lines. White space before their ends was put there on the way (RFC 2045 6.7)."""
    *complete, last = data.split(b"\n")
    return a2b_qp(b"\r\n".join([*(line.rstrip(b" \t\r") for line in complete), last]))


_DECODERS: Mapping[bytes, Callable[[Iterable[bytes]], Iterator[bytes]]] = {
    b"base64": _base64,
    b"quoted-printable": _quoted_printable,
}
