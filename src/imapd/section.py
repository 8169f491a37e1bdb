"""Body sections: what ``BODY[2.1.HEADER.FIELDS (From)]`` names (RFC 9051 6.4.5.1, RFC 3501 6.4.5)."""

from __future__ import annotations

from collections.abc import Iterator

from courier.message import header, lines
from courier.message.message import Message
from courier.message.mime import Part
from courier.message.parted import PartedMessage
from imapd.wire import writer
from imapd.wire.section import Section, SectionText

_BLOCK = 262_144


def echo(section: Section) -> bytes:
    """Return what stands between the brackets of the response.

    Courier: field names as quoted strings, if they can be, in the case given; no list if it is empty.
    """
    words = [b"%d" % number for number in section.part]
    if section.text is not None:
        words.append(section.text.value)
    text = b".".join(words)
    if section.fields:
        text += b" (" + b" ".join([writer.string(name) for name in section.fields]) + b")"
    return text


def extract(message: Message | PartedMessage, section: Section) -> bytes | None:
    """Return the section's octets in wire form; None if there is no such part. Courier: no octets."""
    found = _find(message, section)
    if found is None or isinstance(found, bytes):
        return found
    return message.wire(*found)


def extract_slice(
    message: Message | PartedMessage, section: Section, offset: int, count: int
) -> bytes | None:
    """Return ``extract(message, section)[offset : offset + count]`` at the cost of what is returned."""
    found = _find(message, section)
    if found is None:
        return None
    if isinstance(found, bytes):
        return found[offset : offset + count]
    return message.wire_slice(*found, offset, count)


def pieces(message: Message, section: Section) -> tuple[int, Iterator[bytes]] | None:
    """Give a section as it is in the file, or in wire form where it is no range of it, bit by bit.

    Returns: its size in wire form, and its octets; None if there is no such part.
    """
    found = _find(message, section)
    if found is None:
        return None
    data, (start, end) = (
        (found, (0, len(found))) if isinstance(found, bytes) else (message.data, found)
    )
    return lines.wire_size(data, start, end), blocks(data, start, end)


def blocks(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """Give a range of a message, a block at a time."""
    return (data[at : min(at + _BLOCK, end)] for at in range(start, end, _BLOCK))


def _find(message: Message | PartedMessage, section: Section) -> tuple[int, int] | bytes | None:
    """Return a range of the message's file, or octets where the section is no range of it.

    HEADER and TEXT are of messages alone (RFC 9051 6.4.5.1); Courier gives those of any part. MIME is a
    part's header as it stands; that of the only part of a message is the message's (RFC 2045 3).
    """
    text = section.text
    if not section.part:  # what asks for the header or the whole needs no structure
        start, body_start, end = 0, message.body_start, message.size_on_disk
        if text is None:
            return start, end
    else:
        found = part(message.root, section.part)
        if found is None:
            return None
        if text is None:
            return found.body_start, found.end
        if text is SectionText.MIME:
            return found.header_start, found.body_start
        if found.message is None:
            return None
        found = found.message
        start, body_start, end = found.header_start, found.body_start, found.end

    if text is SectionText.TEXT:
        return body_start, end
    if text is SectionText.HEADER:
        return start, body_start
    names = frozenset(name.lower() for name in section.fields)
    is_wanted = text is SectionText.HEADER_FIELDS
    return _fields(message.octets(start, body_start), names, is_wanted)


def part(root: Part, numbers: tuple[int, ...]) -> Part | None:
    """Follow part numbers (RFC 9051 6.4.5.1); None if there is no such part.

    A message that is no multipart has one part, number 1: its body. The parts of a message/rfc822 are
    those of the message in it.
    """
    found = root
    parts = root.children or [root]
    for number in numbers:
        if not 1 <= number <= len(parts):
            return None
        found = parts[number - 1]
        if found.message is not None:
            parts = found.message.children or [found.message]
        elif found.children and found is not root:
            parts = found.children
        else:
            parts = []
    return found


def _fields(data: bytes, names: frozenset[bytes], is_wanted: bool) -> bytes:
    kept = [
        field
        for name, field in header.fields(data, 0, len(data))
        if (name.lower() in names) == is_wanted
    ]
    return _header(kept)


def _header(fields: list[bytes]) -> bytes:
    """Write a header of these fields: byte for byte, and always an empty line at the end."""
    text = lines.wire(b"".join(fields))
    if text and not text.endswith(b"\r\n"):
        text += b"\r\n"
    return text + b"\r\n"
