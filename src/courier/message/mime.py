"""The MIME structure of a message: a tree of parts with offsets (RFC 2045, RFC 2046, RFC 5322 2.1).

One pass finds the parts, the ends of their headers and the sizes of their wire form. Nothing is copied
but the header fields that describe the structure, and any bytes have a structure:

- A multipart without a boundary, or in which the boundary never appears, is a leaf with its whole body;
  so is a multipart or message/rfc822 below ``MAX_DEPTH``.
- When ``MAX_PARTS`` have been found, the last one holds all the rest.
- A boundary line is ``--``, the boundary exactly and white space. Courier compares prefixes without
  regard to case. The line break before it belongs to the boundary.
- A message/rfc822 whose transfer encoding hides it (base64, quoted-printable) is a leaf.
- Content-Type counts with or without MIME-Version. Courier takes a message without MIME-Version for
  text/plain, and mail from scripts that forget it for unreadable.
"""

from __future__ import annotations

import re
from functools import lru_cache

from courier.message import header, lines, parameter
from courier.message.lines import CR
from courier.message.parameter import Parameters

MAX_DEPTH = 100
MAX_PARTS = 10_000

#: Transfer encodings that leave a body as it is.
IDENTITY = frozenset((b"7bit", b"8bit", b"binary"))
_Type = tuple[bytes, bytes, Parameters]
_TEXT: _Type = (b"text", b"plain", ())
_MESSAGE: _Type = (b"message", b"rfc822", ())
_CODINGS = {b" " + coding: coding for coding in (*IDENTITY, b"quoted-printable", b"base64")}
#: A token (RFC 2045 5.1), liberally in quotes. What begins otherwise names no encoding.
_CODING = re.compile(rb'\s*"?([^\x00-\x20\x7f()<>@,;:\\"/\[\]?=]+)')


class Part:
    """A message, embedded or not, or a part of a multipart: ``header_start <= body_start <= end``.

    A message is its own first part unless its body is a multipart. ``fields`` has the raw values of
    the header fields that matter here, by lower-case name.
    """

    __slots__ = (
        "body_start",
        "children",
        "encoding",
        "end",
        "fields",
        "first_line",
        "header_start",
        "lines",
        "message",
        "octets",
        "parameters",
        "subtype",
        "type",
        "wire_start",
    )

    header_start: int
    body_start: int
    end: int
    fields: dict[bytes, bytes]
    type: bytes  # lower case
    subtype: bytes  # lower case
    parameters: Parameters  # names in lower case
    encoding: bytes  # lower case
    wire_start: int  # offset of the body in the wire form of the whole message
    octets: int  # wire size of the body
    first_line: int  # line ends before the body
    lines: int  # line ends of the body
    children: list[Part]  # of a multipart
    message: Part | None  # in a message/rfc822

    @property
    def id(self) -> bytes | None:
        return self._text(b"content-id")

    @property
    def description(self) -> bytes | None:
        return self._text(b"content-description")

    @property
    def md5(self) -> bytes | None:
        return self._text(b"content-md5")

    @property
    def location(self) -> bytes | None:
        return self._text(b"content-location")

    @property
    def language(self) -> list[bytes]:
        """The tags of Content-Language (RFC 3282 2)."""
        value = self._text(b"content-language")
        if value is None:
            return []
        return [tag for tag in (tag.strip() for tag in value.split(b",")) if tag]

    @property
    def disposition(self) -> tuple[bytes, Parameters] | None:
        """The token of Content-Disposition in lower case, and its parameters."""
        value = self.fields.get(b"content-disposition")
        return parameter.disposition(value) if value and value.strip() else None

    def parameter(self, name: bytes) -> bytes | None:
        """Return the value of a Content-Type parameter; of several the first."""
        for found, value in self.parameters:
            if found == name:
                return value
        return None

    def _text(self, name: bytes) -> bytes | None:
        value = self.fields.get(name)
        return (header.unfold(value) or None) if value is not None else None


def parse(data: bytes) -> Part:
    """Return the structure of a message. Takes time linear in its size, whatever the bytes.

    One long function with its state in local variables: taken apart into methods it needs twice the
    time, and it runs for every message of every folder.
    """
    find = data.find
    end = len(data)
    has_cr = CR in data
    header_left = header.MAX_HEADER
    parts_left = MAX_PARTS

    path: list[Part] = []  # from the message to the part the scan is in
    boundaries: dict[bytes, int] = {}  # index in the path of the innermost multipart with it
    opened: list[tuple[bytes, int, int | None]] = []  # and what that boundary meant before
    dash = -1  # where the last "\\n--" has been found; the end if none is left

    at = line = wire = 0  # at this offset: line ends before it, and its offset in wire form

    part = Part()
    start = 0
    default = _TEXT
    is_message = True
    while True:
        # The header at ``start``, and so the part.
        if not boundaries:
            body_start = header.find_body(data, start, end, has_cr)
            if body_start < 0:
                body_start = end
        else:
            if dash < start - 1:
                dash = find(b"\n--", start - 1)
                if dash < 0:
                    dash = end
            body_start = -1 if has_cr else find(b"\n\n", start - 1, dash + 1) + 2
            if body_start < 2:
                body_start, dash = _header_end(data, start, dash, boundaries, has_cr)
        stop = body_start
        if stop - start > header_left:
            stop = start + header_left
        header_left -= stop - start
        parts_left -= 1

        part.header_start = start
        part.body_start = body_start
        part.children = []
        part.message = None
        if is_message:
            part.fields = fields = header.message_fields(data, start, stop)
        else:
            part.fields = fields = header.mime_fields(data, start, stop)
        value = fields.get(b"content-type")
        kind, part.subtype, part.parameters = default if value is None else _type(value, default)
        part.type = kind
        value = fields.get(b"content-transfer-encoding")
        part.encoding = b"7bit" if value is None else _coding(value)

        ends = lines.count(data, at, body_start)
        line += ends
        wire += body_start - at + ends
        if has_cr:
            wire -= data.count(b"\r\n", at, body_start)
        at = body_start
        part.first_line = line
        part.wire_start = wire
        path.append(part)

        # What may be in it.
        if parts_left and len(path) <= MAX_DEPTH:
            if kind == b"multipart":
                boundary = part.parameter(b"boundary")
                if boundary and (boundary := boundary.rstrip()):
                    opened.append((boundary, len(path) - 1, boundaries.get(boundary)))
                    boundaries[boundary] = len(path) - 1
            elif (
                kind == b"message"
                and part.subtype in (b"rfc822", b"global")
                and part.encoding in IDENTITY
            ):
                part.message = part = Part()
                start, default, is_message = body_start, _TEXT, True
                continue

        # The next boundary: the parts inside its multipart end there.
        after = body_start
        while boundaries and parts_left:
            if dash < after - 1:
                dash = find(b"\n--", after - 1)
                if dash < 0:
                    dash = end
            if dash == end:
                boundaries.clear()
                break
            after = find(b"\n", dash + 3) + 1 or end
            text = data[dash + 3 : after].rstrip()
            level = boundaries.get(text)
            is_last = False
            if level is None:
                if text[-2:] == b"--":
                    level = boundaries.get(text[:-2])
                    is_last = True
                if level is None:
                    continue
            if len(path) > level + 1:
                stop = dash - 1 if has_cr and data[dash - 1] == CR else dash
                if stop < at:
                    stop = at  # the line break before the boundary is that of the header
                ends = lines.count(data, at, stop)
                line += ends
                wire += stop - at + ends
                if has_cr:
                    wire -= data.count(b"\r\n", at, stop)
                at = stop
                if len(path) > level + 2:
                    _end(path, level + 2, stop, line, wire)
                part = path.pop()
                part.end = stop
                part.lines = line - part.first_line
                part.octets = wire - part.wire_start
            while opened[-1][1] > level:
                _close(opened, boundaries)
            if not is_last:
                break
            _close(opened, boundaries)
        if not boundaries or not parts_left:
            break

        parent = path[-1]
        default = _MESSAGE if parent.subtype == b"digest" else _TEXT
        part = Part()
        parent.children.append(part)
        start, is_message = after, False

    ends = lines.count(data, at, end)
    wire += end - at + ends
    if has_cr:
        wire -= data.count(b"\r\n", at, end)
    root = path[0]
    _end(path, 0, end, line + ends, wire)
    return root


def _header_end(
    data: bytes, start: int, dash: int, boundaries: dict[bytes, int], has_cr: bool
) -> tuple[int, int]:
    """Return where the header at ``start`` ends: after its empty line, or at a boundary.

    Returns the last line break before ``--`` that it has seen, too; ``dash`` is the first.
    """
    end = len(data)
    at = start
    while True:
        limit = min(dash + 1, end)
        found = header.find_body(data, at, limit, has_cr)
        if found >= 0:
            return found, dash
        if dash == end:
            return end, dash
        line_end = data.find(b"\n", dash + 3) + 1 or end
        text = data[dash + 3 : line_end].rstrip()
        if text in boundaries or (text[-2:] == b"--" and text[:-2] in boundaries):
            return max(limit, start), dash
        at = limit
        dash = data.find(b"\n--", dash + 1)
        if dash < 0:
            dash = end


def _end(path: list[Part], level: int, end: int, line: int, wire: int) -> None:
    """Let the parts of the path from ``level`` on end."""
    for part in path[level:]:
        part.end = end
        part.lines = line - part.first_line
        part.octets = wire - part.wire_start
    del path[level:]


def _close(opened: list[tuple[bytes, int, int | None]], boundaries: dict[bytes, int]) -> None:
    """Let the innermost multipart's boundary count no longer."""
    boundary, _, before = opened.pop()
    if before is None:
        del boundaries[boundary]
    else:
        boundaries[boundary] = before


def _type(value: bytes, default: _Type) -> _Type:
    found = _frequent_type(value) if len(value) <= _FREQUENT else parameter.content_type(value)
    return found if found[0] or found[1] or found[2] else default


# A folder has few different short Content-Types, and each takes a tenth of the whole parse to read.
_FREQUENT = 48  # octets: longer ones hold names and boundaries
_frequent_type = lru_cache(maxsize=512)(parameter.content_type)


def header_encoding(data: bytes) -> bytes:
    """Give the transfer encoding that a header names, in lower case."""
    value = header.mime_fields(data, 0, len(data)).get(b"content-transfer-encoding")
    return b"7bit" if value is None else _coding(value)


def _coding(value: bytes) -> bytes:
    known = _CODINGS.get(value)
    if known is not None:
        return known
    match = _CODING.match(parameter.without_comments(header.unfold(value)))
    return match[1].lower() if match else b"7bit"
