"""What FETCH tells of a message's contents: headers dot-stuffed, bodies in chunks."""

from __future__ import annotations

import re
from binascii import a2b_qp
from collections.abc import Iterator
from dataclasses import dataclass

from courier.message import encoded, header
from courier.message.message import Message
from imapd.smap import entities
from imapd.smap.entities import Entity
from imapd.smap.refusal import failed

#: Octets of a chunk. Courier: its buffer's size.
_CHUNK = 8192
#: Octets that are put together before they are sent on.
_PIECE = 262_144
_ITEM = re.compile(
    r"(CONTENTS(?:\.PEEK)?)=([^\[(]*)(?:\[([^\]]*)\]?)?[^(]*(?:\(([^)]*)\)?)?.*",
    re.IGNORECASE | re.DOTALL,
)
_ENVELOPE = frozenset(
    b"date subject from sender reply-to to cc bcc in-reply-to message-id references".split()
)
_BLANKS = b" \t\v\f\r"
_FOLDED = re.compile(rb"\n[ \t\v\f\r]*")
FAILED = "Cannot retrieve message"


@dataclass(frozen=True, slots=True)
class Names:
    """Which header fields are wanted."""

    names: frozenset[bytes]
    has_content: bool  # and all that begin with Content-
    is_all: bool

    @classmethod
    def of(cls, text: str) -> Names:
        """Read a list: names, ``:ENVELOPE`` and ``:MIME``; nothing stands for all."""
        wanted = {name.lower().encode("utf-8", "surrogateescape") for name in text.split(",")}
        has_content = b":mime" in wanted
        if has_content:
            wanted.add(b"mime-version")
        if has_content or b":envelope" in wanted:
            wanted |= _ENVELOPE
        return cls(frozenset(wanted - {b""}), has_content, not text)

    def __contains__(self, name: bytes) -> bool:
        lower = name.lower()
        return (
            self.is_all
            or lower in self.names
            or (self.has_content and lower.startswith(b"content-"))
        )


@dataclass(frozen=True, slots=True)
class Item:
    """``CONTENTS=`` and what follows it."""

    kind: str
    id: str
    names: Names
    peeks: bool


def item(word: str) -> Item | None:
    """Read a word of FETCH; None if it asks for no contents."""
    found = _ITEM.fullmatch(word)
    if found is None:
        return None
    names = Names.of(found[4] or "")
    return Item(found[2], found[3] or "", names, peeks=len(found[1]) > len("CONTENTS"))


@dataclass(slots=True)
class Sent:
    """Octets of contents, for the log."""

    headers: int = 0
    body: int = 0


def write(message: Message, wanted: Item, seq: int, sent: Sent) -> Iterator[bytes]:
    """Give the block, or blocks, of one message.

    Raises:
        Refused: it has no such part.
    """
    if wanted.kind == "MIME":
        for entity in entities.walk(message):
            yield from _header(
                message, entity, b"%d %b" % (seq, _described(message, entity)), wanted, sent
            )
        return
    if wanted.kind not in ("HEADERS", "RAWHEADERS", "BODY", "ALL", "BODY.DECODED"):
        return
    found = entities.find(message, wanted.id)
    if found is None:
        raise failed(FAILED)
    if wanted.kind in ("HEADERS", "RAWHEADERS"):
        yield from _header(message, found, b"%d %b" % (seq, wanted.kind.encode()), wanted, sent)
        return
    part = found.part
    start = part.header_start if wanted.kind == "ALL" else part.body_start
    data = memoryview(message.data)[start : part.end]  # which may be most of a large message
    estimate = len(data)
    if wanted.kind == "BODY.DECODED":
        data, estimate = _decoded(data, part.encoding)
    sent.body += len(data)
    yield from _chunks(data, estimate, seq)


def _described(message: Message, entity: Entity) -> bytes:
    """Write what MIME says of a part: the lines and octets of its body, and where it belongs."""
    part = entity.part
    size = part.end - part.body_start
    count = part.lines + (size > 0 and not message.data.endswith(b"\n", part.body_start, part.end))
    text = b'LINES=%d SIZE=%d "MIME.ID=%b"' % (count, size, _told(entity.id))
    if entity.parent is not None:
        text += b' "MIME.PARENT=%b"' % _told(entity.parent)
    return text


def _told(id: str) -> bytes:
    return b"" if id == "1" else id.encode()


def _header(
    message: Message, entity: Entity, title: bytes, wanted: Item, sent: Sent
) -> Iterator[bytes]:
    part = entity.part
    size = part.body_start - part.header_start
    piece = [b"{.%d} FETCH %b\n" % (size, title)]
    waiting = 0
    for name, lines in header.fields(message.data, part.header_start, part.body_start):
        if name not in wanted.names:
            continue
        text = _field(name, lines, is_raw=wanted.kind == "RAWHEADERS")
        sent.headers += len(text)
        piece.append(b"." + text if text.startswith(b".") else text)
        waiting += len(text)
        if waiting > _PIECE:
            yield b"".join(piece)
            piece, waiting = [], 0
    yield b"".join(piece) + b".\n"


def _field(name: bytes, lines: bytes, *, is_raw: bool) -> bytes:
    """Write a field: its name, a colon, a blank, its value, in one line or in as many as it has."""
    value = header.after_colon(name, lines).replace(b"\r\n", b"\n").strip(b"\n" + _BLANKS)
    if not is_raw:
        value = _FOLDED.sub(b" ", value)
    elif b"\n" in value:
        # No line of it may end the block: each that goes on begins with white space.
        value = b"\n".join(line for line in value.split(b"\n") if line.strip(_BLANKS))
    return b"%b: %b\n" % (name, value)


def _decoded(data: memoryview, encoding: bytes) -> tuple[memoryview, int]:
    """Undo a transfer encoding; give what that is expected to come to, too."""
    if encoding == b"base64":
        return memoryview(encoded.base64(bytes(data))), len(data) // 4 * 3
    if encoding == b"quoted-printable":
        return memoryview(a2b_qp(data)), len(data)
    return data, len(data)


def _chunks(data: memoryview, estimate: int, seq: int) -> Iterator[bytes]:
    """Write octets as they are: each chunk behind its size, a line end behind the last."""
    if not data:
        yield b"{.0} FETCH %d CONTENTS\n.\n" % seq
        return
    piece: list[bytes | memoryview] = [
        b"{%d/%d} FETCH %d CONTENTS\n" % (min(len(data), _CHUNK), estimate, seq),
        data[:_CHUNK],
    ]
    waiting = 0
    for at in range(_CHUNK, len(data), _CHUNK):
        chunk = data[at : at + _CHUNK]
        piece += (b"%d\n" % len(chunk), chunk)
        waiting += len(chunk)
        if waiting > _PIECE:
            yield b"".join(piece)
            piece, waiting = [], 0
    piece.append(b"\n")
    yield b"".join(piece)
