"""Header fields: where they are, and what they say when unfolded (RFC 5322 2.2).

A header is the bytes before and with the first empty line. A field begins at a line that starts with
neither space nor tab, and goes on over the lines after it that do. The name is what stands before the
colon, without blanks at its end: ``Subject : x`` is an obsolete way to write a Subject (RFC 5322 4.5), which
Courier does not know. A line without a colon is a field that is all name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from courier.message.lines import CR, LF

MAX_HEADER = 10 << 20  # octets of header read for what is derived from it, per message
MAX_FIELD = 64 << 10  # octets of a field's value, or of all the fields of a name together

# The fields that ENVELOPE and the MIME structure are made of. The number of continuation lines has a
# bound because the regular expression engine keeps a frame for each.
_CONTENT = rb"content-(?:type|transfer-encoding|id|description|md5|disposition|language|location)"
_ENVELOPE = rb"date|subject|from|sender|reply-to|to|cc|bcc|in-reply-to|message-id"
_VALUE = rb"([^\n]*(?:\n[ \t][^\n]*){0,4000})"
_MIME_FIELDS = re.compile(rb"\n(?=[Cc])((?i:" + _CONTENT + rb"))[ \t]*:" + _VALUE)
_MESSAGE_FIELDS = re.compile(
    rb"\n(?=[BCDFIMRSTbcdfimrst])((?i:" + _CONTENT + rb"|" + _ENVELOPE + rb"))[ \t]*:" + _VALUE
)

_FOLD = re.compile(rb"(?:\r?\n[ \t]*)+")
_FIELD_END = re.compile(rb"\n(?![ \t])")
_CONTROLS = bytes.maketrans(b"\r\n\0", b"   ")


def mime_fields(data: bytes, start: int, end: int) -> dict[bytes, bytes]:
    """Return the raw values of the Content- fields of a body part's header, by lower-case name."""
    # The patterns begin with the line break before a field: they search faster for it.
    if not start:
        data = b"\n" + data[:end]
        start, end = 1, len(data)
    found = _MIME_FIELDS.findall(data, start - 1, end)
    fields = {name.lower(): value for name, value in found}
    return fields if len(fields) == len(found) else _merged(found)


def message_fields(data: bytes, start: int, end: int) -> dict[bytes, bytes]:
    """Return the raw values of a message's Content- and envelope fields, by lower-case name."""
    found = _MESSAGE_FIELDS.findall(b"\n" + data[start:end])
    fields = {name.lower(): value for name, value in found}
    return fields if len(fields) == len(found) else _merged(found)


def _merged(found: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Courier: several fields of one name are one list. Of the MIME fields the first counts."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in found:
        values.setdefault(name.lower(), []).append(value)
    return {
        name: several[0] if name.startswith(b"content-") else _joined(several)
        for name, several in values.items()
    }


def _joined(values: list[bytes]) -> bytes:
    kept: list[bytes] = []
    size = 0
    for value in values:
        kept.append(unfold(value))
        size += len(kept[-1]) + 2
        if size > MAX_FIELD:
            break
    return b", ".join(kept)


def unfold(value: bytes) -> bytes:
    """Return a field's value as one trimmed line, at most ``MAX_FIELD`` octets of it.

    A line break and the white space after it are one space; CR, LF and NUL elsewhere become spaces.
    """
    value = value.strip()
    if len(value) > MAX_FIELD:
        value = value[:MAX_FIELD]
    if LF in value:
        value = _FOLD.sub(b" ", value)
    if 0 in value or CR in value:
        value = value.translate(_CONTROLS).strip()
    return value


def fields(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield each field of a header in order: its name in the case given, and all its lines byte for byte.

    The empty line at the header's end is no field. A blank line that begins the header's
    continuation lines is kept with the field before it.
    """
    at = start
    while at < end:
        found = _FIELD_END.search(data, at, end)
        stop = found.end() if found else end
        lines = data[at:stop]
        at = stop
        if lines == b"\n" or lines == b"\r\n":
            return
        colon = lines.find(b":")
        if colon < 0 or lines.find(b"\n", 0, colon) >= 0:
            name = lines.partition(b"\n")[0].rstrip(b"\r")
        else:
            name = lines[:colon].rstrip(b" \t")
        yield name, lines


def after_colon(name: bytes, lines: bytes) -> bytes:
    """Return the raw value of a field that `fields` has given; nothing if it is all name."""
    return lines[len(name) :].lstrip(b" \t")[1:]


def values(data: bytes, start: int, end: int, name: bytes) -> list[bytes]:
    """Return the unfolded values of all fields called ``name``, whatever its case."""
    wanted = name.lower()
    return [
        unfold(after_colon(found, lines))
        for found, lines in fields(data, start, end)
        if found.lower() == wanted
    ]


def find_body(data: bytes, start: int, end: int, has_cr: bool = True) -> int:
    """Return the offset just after the first empty line of ``data[start:end]``, -1 if there is none.

    ``start`` is the beginning of a line; ``has_cr`` may be false if the data is known to hold no CR.
    """
    if not start and data.startswith((b"\n", b"\r\n"), 0, end):
        return data.index(b"\n") + 1
    before = start - 1 if start else 0  # the line break that ends the line before
    lf = data.find(b"\n\n", before, end)
    if has_cr:
        crlf = data.find(b"\n\r\n", before, end if lf < 0 else lf + 2)
        if crlf >= 0:
            return crlf + 3
    return -1 if lf < 0 else lf + 2
