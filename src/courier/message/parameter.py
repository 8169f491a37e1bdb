"""Values with parameters: Content-Type and Content-Disposition (RFC 2045 5.1, RFC 2183 2).

Read leniently: a value without quotes may hold blanks, a parameter may lack its value or the semicolon
before it. A value in several pieces (RFC 2231 3) is one value here. One that names its character set
(RFC 2231 4) stays as it is written: its name says so with a ``*``, and its octets are for its reader.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from courier.message import header

Parameters = tuple[tuple[bytes, bytes], ...]

_PARENTHESIS = 0x28  # looked for with ``in``: see lines.py
_BACKSLASH = 0x5C

_TYPE = re.compile(rb'["\s]*([^\s/;="]*)["\s]*(?:/["\s]*([^\s/;="]*))?[^;\s]*')
_TOKEN = re.compile(rb'["\s]*([^\s;="]*)"?')
# One separator, not a run of them: from each of a run the search would go to its end again.
_PARAMETER = re.compile(
    rb'[;\s]"?([^\s;="]+)"?'
    rb'(?:\s*=\s*(?:"([^"\\]*(?:\\.?[^"\\]*)*)(?:"|\Z)[^;]*|([^;]*)))?',
    re.DOTALL,
)
_QUOTED_OR_COMMENT = re.compile(
    rb'("[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z))|(?:^|(?<=[\s;]))\([^()\\]*(?:\\.[^()\\]*)*\)', re.DOTALL
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_PIECE = re.compile(rb"([^*]+)\*(0|[1-9][0-9]{0,3})(\*?)")
#: What need not be encoded in a value that names its character set: attribute-char (RFC 2231 7).
_NO_ATTRIBUTE_CHAR = re.compile(rb"[^A-Za-z0-9!#$&+\-.^_`{|}~]")
_ASTERISK = 0x2A


def content_type(value: bytes) -> tuple[bytes, bytes, Parameters]:
    """Return type and subtype in lower case, and the parameters, of a Content-Type's raw value."""
    value = header.unfold(value)
    value = without_comments(value)
    match = _TYPE.match(value)
    assert match is not None  # the pattern matches the empty string
    return match[1].lower(), (match[2] or b"").lower(), _parameters(value, match.end())


def disposition(value: bytes) -> tuple[bytes, Parameters]:
    """Return the token in lower case, and the parameters, of a Content-Disposition's raw value."""
    value = header.unfold(value)
    value = without_comments(value)
    match = _TOKEN.match(value)
    assert match is not None  # the pattern matches the empty string
    return match[1].lower(), _parameters(value, match.end())


def _parameters(value: bytes, at: int) -> Parameters:
    found = _PARAMETER.findall(value, at)
    if _BACKSLASH in value:
        found = [(name, _ESCAPED.sub(rb"\1", quoted), plain) for name, quoted, plain in found]
    parameters = [(name.lower(), quoted or plain.rstrip()) for name, quoted, plain in found]
    return tuple(_joined(parameters) if _ASTERISK in value else parameters)


def _joined(parameters: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Put values together that come in pieces, ``name*0`` and on, where the first of them stands.

    What has no beginning, comes twice or is left after a gap stays as it is.
    """
    pieces: dict[tuple[bytes, int], tuple[bytes, bool]] = {}
    for name, value in parameters:
        match = _PIECE.fullmatch(name)
        if match is not None:
            pieces.setdefault((match[1], int(match[2])), (value, bool(match[3])))
    whole = {name: _whole(pieces, name) for name, number in pieces if number == 0}

    joined: list[tuple[bytes, bytes]] = []
    taken: set[tuple[bytes, int]] = set()
    told: set[bytes] = set()
    for name, value in parameters:
        match = _PIECE.fullmatch(name)
        key = (match[1], int(match[2])) if match is not None else (name, -1)
        if key[0] not in whole or not 0 <= key[1] < whole[key[0]].pieces or key in taken:
            joined.append((name, value))
            continue
        taken.add(key)
        if key[0] not in told:
            told.add(key[0])
            joined.append((whole[key[0]].name, whole[key[0]].value))
    return joined


class _Whole(NamedTuple):
    name: bytes
    value: bytes
    pieces: int  # that it is made of


def _whole(pieces: dict[tuple[bytes, int], tuple[bytes, bool]], name: bytes) -> _Whole:
    found: list[tuple[bytes, bool]] = []
    while (piece := pieces.get((name, len(found)))) is not None:
        found.append(piece)
    if not any(is_extended for _, is_extended in found):
        return _Whole(name, b"".join([value for value, _ in found]), len(found))
    values = [value if is_extended else _encoded(value) for value, is_extended in found]
    charset = b"" if found[0][1] else b"''"
    return _Whole(name + b"*", charset + b"".join(values), len(found))


def _encoded(value: bytes) -> bytes:
    return _NO_ATTRIBUTE_CHAR.sub(lambda match: b"%%%02X" % match[0][0], value)


def without_comments(value: bytes) -> bytes:
    """Return an unfolded value without the comments that stand where a word may begin (RFC 5322 3.2.2)."""
    if _PARENTHESIS not in value:
        return value
    return _QUOTED_OR_COMMENT.sub(rb"\1", value)
