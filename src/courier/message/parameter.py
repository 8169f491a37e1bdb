"""Values with parameters: Content-Type and Content-Disposition (RFC 2045 5.1, RFC 2183 2).

Read leniently: a value without quotes may hold blanks, a parameter may lack its value or the semicolon
before it. RFC 2231 forms stay as they are written.
"""

from __future__ import annotations

import re

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


def content_type(value: bytes) -> tuple[bytes, bytes, Parameters]:
    """Return type and subtype in lower case, and the parameters, of a Content-Type's raw value."""
    value = header.unfold(value)
    if _PARENTHESIS in value:
        value = _without_comments(value)
    match = _TYPE.match(value)
    assert match is not None  # the pattern matches the empty string
    return match[1].lower(), (match[2] or b"").lower(), _parameters(value, match.end())


def disposition(value: bytes) -> tuple[bytes, Parameters]:
    """Return the token in lower case, and the parameters, of a Content-Disposition's raw value."""
    value = header.unfold(value)
    if _PARENTHESIS in value:
        value = _without_comments(value)
    match = _TOKEN.match(value)
    assert match is not None  # the pattern matches the empty string
    return match[1].lower(), _parameters(value, match.end())


def _parameters(value: bytes, at: int) -> Parameters:
    found = _PARAMETER.findall(value, at)
    if _BACKSLASH in value:
        found = [(name, _ESCAPED.sub(rb"\1", quoted), plain) for name, quoted, plain in found]
    return tuple([(name.lower(), quoted or plain.rstrip()) for name, quoted, plain in found])


def _without_comments(value: bytes) -> bytes:
    return _QUOTED_OR_COMMENT.sub(rb"\1", value)
