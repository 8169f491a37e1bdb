"""ENVELOPE, BODY and BODYSTRUCTURE: what FETCH says of a message (RFC 9051 7.5.2, RFC 3501 7.4.2).

All strings are quoted strings, as Courier sends them. Bytes above 127 are UTF-8 for a client that has
enabled UTF8=ACCEPT, and encoded words for others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from courier.message import address, charset, encoded, header
from courier.message.address import Address
from courier.message.message import Message
from courier.message.mime import Part
from courier.message.parameter import Parameters

# What needs nothing but quotes around it.
_is_plain = re.compile(rb"[ !#-[\]-~]*").fullmatch

_BACKSLASH = 0x5C  # looked for with ``in``: see lines.py

_ENCODINGS = {
    name: b'"%b"' % name for name in (b"7bit", b"8bit", b"binary", b"quoted-printable", b"base64")
}


def envelope(message: Message | Part, utf8: bool) -> bytes:
    """Return the value of ENVELOPE for a message, embedded or not.

    From stands for a Sender or Reply-To that is missing or empty (RFC 9051 7.5.2).
    """
    fields = message.fields
    senders = _addresses(fields, b"from", utf8)
    items = (
        _field(fields, b"date", utf8),
        _field(fields, b"subject", utf8),
        senders,
        _addresses(fields, b"sender", utf8, senders) if b"sender" in fields else senders,
        _addresses(fields, b"reply-to", utf8, senders) if b"reply-to" in fields else senders,
        _addresses(fields, b"to", utf8) if b"to" in fields else b"NIL",
        _addresses(fields, b"cc", utf8) if b"cc" in fields else b"NIL",
        _addresses(fields, b"bcc", utf8) if b"bcc" in fields else b"NIL",
        _field(fields, b"in-reply-to", utf8) if b"in-reply-to" in fields else b"NIL",
        _field(fields, b"message-id", utf8),
    )
    return b"(" + b" ".join(items) + b")"


def body(message: Message | Part, utf8: bool, extended: bool) -> bytes:
    """Return the value of BODY, or if ``extended`` that of BODYSTRUCTURE."""
    return both(message, utf8)[extended]


#: What text is that names no character set (RFC 2045 5.2).
_DEFAULT_CHARSET = (b"charset", b"us-ascii")

#: Envelope and the beginning of the body of a message of which nothing is known.
_HIDDEN = b'(%b) ("text" "plain" ("%b" "%b") NIL NIL "7bit" 0 0' % (
    b" ".join([b"NIL"] * 10),
    *_DEFAULT_CHARSET,
)


def both(message: Message | Part, utf8: bool) -> tuple[bytes, bytes]:
    """Return the values of BODY and BODYSTRUCTURE."""
    short: list[bytes] = []
    full: list[bytes] = []
    _body(message.root if isinstance(message, Message) else message, utf8, short, full)
    return b"".join(short), b"".join(full)


def _body(part: Part, utf8: bool, short: list[bytes], full: list[bytes]) -> None:
    """Recurses once per level: never deeper than ``mime.MAX_DEPTH``."""
    if part.children:
        short.append(b"(")
        full.append(b"(")
        for child in part.children:
            _body(child, utf8, short, full)
        subtype = b" " + _string(part.subtype, utf8)
        parameters = _parameters(part.parameters, utf8)
        short.append(subtype + b")")
        full.append(b"%b %b%b)" % (subtype, parameters, _extension(part, utf8)))
        return

    fields = part.fields
    encoding = part.encoding
    basic = b"(%b %b %b %b %d" % (
        _media(part.type, part.subtype, part.parameters, utf8),
        _nstring(part.id, utf8) if b"content-id" in fields else b"NIL",
        _nstring(part.description, utf8) if b"content-description" in fields else b"NIL",
        _ENCODINGS.get(encoding) or _string(encoding, utf8),
        part.octets,
    )
    if part.message is not None:
        inner = b"%b %b " % (basic, envelope(part.message, utf8))
        short.append(inner)
        full.append(inner)
        _body(part.message, utf8, short, full)
        basic = b""
    elif part.type == b"message" and part.subtype in (b"rfc822", b"global"):
        # body-type-msg (RFC 9051 9) has an envelope and a body, though an encoding hides them.
        short.append(b"%b %b)" % (basic, _HIDDEN))
        full.append(b"%b %b NIL NIL NIL NIL)" % (basic, _HIDDEN))
        basic = b" %d" % part.lines
    if part.message is not None or part.type == b"text":
        basic += b" %d" % part.lines
    md5 = _nstring(part.md5, utf8) if b"content-md5" in fields else b"NIL"
    short.append(basic + b")")
    full.append(b"%b %b%b)" % (basic, md5, _extension(part, utf8)))


@lru_cache(maxsize=256)
def _frequent_media(kind: bytes, subtype: bytes, parameters: Parameters, utf8: bool) -> bytes:
    # Courier: a charset in lower case, all other values as they are.
    parameters = tuple([(n, v.lower() if n == b"charset" else v) for n, v in parameters])
    if kind == b"text" and not any(name in (b"charset", b"charset*") for name, _ in parameters):
        parameters += (_DEFAULT_CHARSET,)  # as other servers have it; Courier: nothing
    return _strings((kind, subtype), utf8) + b" " + _parameters(parameters, utf8)


def _media(kind: bytes, subtype: bytes, parameters: Parameters, utf8: bool) -> bytes:
    """Write type, subtype and parameters. A folder has few that are not the name of a file."""
    if len(parameters) < 2 or parameters[0][0] == b"charset":
        return _frequent_media(kind, subtype, parameters, utf8)
    return _frequent_media.__wrapped__(kind, subtype, parameters, utf8)


def _extension(part: Part, utf8: bool) -> bytes:
    """Disposition, language and location. Courier sends the language as one string, no location."""
    shown, language, location = b"NIL", b"NIL", b"NIL"
    fields = part.fields
    if b"content-disposition" in fields and (disposition := part.disposition) is not None:
        token, parameters = disposition
        shown = b"(%b %b)" % (_string(token, utf8), _parameters(parameters, utf8))
    if b"content-language" in fields and (tags := part.language):
        language = b"(" + _strings(tags, utf8) + b")"
    if b"content-location" in fields:
        location = _nstring(part.location, utf8)
    return b" %b %b %b" % (shown, language, location)


def _parameters(parameters: Parameters, utf8: bool) -> bytes:
    if not parameters:
        return b"NIL"
    return b"(" + _strings([text for pair in parameters for text in pair], utf8) + b")"


def _field(fields: Mapping[bytes, bytes], name: bytes, utf8: bool) -> bytes:
    value = fields.get(name)
    if value is None:
        return b"NIL"
    value = value.strip()
    if not value:
        return b'""'  # RFC 9051 7.5.2: there, and empty. Courier: NIL
    if _is_plain(value) and len(value) < header.MAX_FIELD:
        return b'"' + value + b'"'
    return _string(header.unfold(value), utf8)


def _addresses(
    fields: Mapping[bytes, bytes], name: bytes, utf8: bool, default: bytes = b"NIL"
) -> bytes:
    value = fields.get(name)
    if value is None:
        return default
    if len(value) <= _FREQUENT:
        return _frequent_addresses(value, utf8) or default
    return _address_list(value, utf8) or default


def _address_list(value: bytes, utf8: bool) -> bytes:
    """Write the addresses of a field's raw value; nothing if it has none."""
    addresses = address.parse(header.unfold(value))
    if not addresses:
        return b""

    # Written as if every string were plain, then checked at once: nearly always they are.
    written: list[bytes] = []
    quotes = 0
    for phrase, mailbox, host, route in addresses:
        if mailbox is None or host is None or route:  # the first two: it begins or ends a group
            return b"(" + b"".join([_address(each, utf8) for each in addresses]) + b")"
        if phrase is None:
            written.append(b'(NIL NIL "%b" "%b")' % (mailbox, host))
            quotes += 4
        else:
            written.append(b'("%b" NIL "%b" "%b")' % (phrase, mailbox, host))
            quotes += 6
    text = b"".join(written)
    if text.isascii() and _BACKSLASH not in text and text.count(b'"') == quotes:
        return b"(" + text + b")"
    return b"(" + b"".join([_address(each, utf8) for each in addresses]) + b")"


# In a folder few people write to few: most short address fields have been seen before.
_FREQUENT = 120  # octets
_frequent_addresses = lru_cache(maxsize=1024)(_address_list)


def _address(each: Address, utf8: bool) -> bytes:
    mailbox = each.mailbox  # of what begins a group, its name
    if mailbox is not None and each.host is not None:
        mailbox = address.unquoted(mailbox)
    return b"(%b %b %b %b)" % (
        _nstring(each.name, utf8),
        _nstring(each.route, utf8),
        _nstring(mailbox, utf8),
        _nstring(each.host, utf8),
    )


def _nstring(value: bytes | None, utf8: bool) -> bytes:
    return b"NIL" if value is None else _string(value, utf8)


def _strings(values: Sequence[bytes], utf8: bool) -> bytes:
    """Write quoted strings with blanks between them: at once if none needs more than quotes."""
    text = b'"' + b'" "'.join(values) + b'"'
    if text.isascii() and _BACKSLASH not in text and text.count(b'"') == 2 * len(values):
        return text
    return b" ".join([_string(value, utf8) for value in values])


def _string(value: bytes, utf8: bool) -> bytes:
    """Write a quoted string. The value has been unfolded: it has no CR, LF or NUL."""
    if _is_plain(value):
        return b'"' + value + b'"'
    if not value.isascii():
        value = charset.guess(value).encode("utf-8") if utf8 else encoded.encode(value)
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
