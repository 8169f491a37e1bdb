"""What SORT and THREAD compare of a message: from raw field values to keys (RFC 5256, RFC 5957).

Texts come out as `collation.casemap` maps them: their code points are their order. A field that is
absent or holds nothing has the key of the empty text, which comes first.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from courier.message import address, charset, date, encoded, header, text
from courier.message.collation import casemap
from courier.message.message import Message

#: References that are looked at, the last ones: those nearest to the message.
MAX_REFERENCES = 1000

_ID = re.compile(rb"<([^<>]+)>")
_NO_PART_OF_AN_ID = re.compile(rb'[ \t\r\n"\\]')


class Keys(NamedTuple):
    """All that SORT and THREAD want to know of a message's header."""

    subject: str  # the base subject
    is_reply: bool  # or forwarded
    from_mailbox: str
    to_mailbox: str
    cc_mailbox: str
    from_display: str
    to_display: str
    sent: int | None  # seconds since 1970, UTC; None: the message has no date of its own
    message_id: bytes  # empty: it has none
    references: list[bytes]  # message ids, from the root of the thread to the parent


def keys(message: Message) -> Keys:
    """Return the keys of a message. Needs the header only."""
    fields = message.fields
    subject, is_reply = base_subject(fields.get(b"subject", b""))
    sender, recipient = fields.get(b"from", b""), fields.get(b"to", b"")
    sent = date.parse(fields.get(b"date", b""))
    return Keys(
        subject=subject,
        is_reply=is_reply,
        from_mailbox=mailbox(sender),
        to_mailbox=mailbox(recipient),
        cc_mailbox=mailbox(fields.get(b"cc", b"")),
        from_display=display(sender),
        to_display=display(recipient),
        sent=None if sent is None else sent.timestamp,
        message_id=message_id(fields.get(b"message-id", b"")),
        references=references(raw_references(message), fields.get(b"in-reply-to", b"")),
    )


def base_subject(value: bytes) -> tuple[str, bool]:
    """Return the base subject, and whether the message is a reply or forwarded (RFC 5256 2.1)."""
    return text.base_subject(encoded.decode(header.unfold(value)))


def mailbox(value: bytes) -> str:
    """Return the addr-mailbox of the first address (RFC 5256 3, SORT): a group's is its name."""
    first = _first(value)
    return "" if first is None else casemap(charset.guess(address.unquoted(first.mailbox or b"")))


def display(value: bytes) -> str:
    """Return the name of the first address, or the address if it has none (RFC 5957 3)."""
    first = _first(value)
    if first is None:
        return ""
    name = encoded.decode(first.name).strip() if first.name else ""
    if name:
        return casemap(name)
    spec = address.unquoted(first.mailbox or b"") + (b"@" + first.host if first.host else b"")
    return casemap(charset.guess(spec))


def _first(value: bytes) -> address.Address | None:
    value = header.unfold(value)
    if len(value) > 1000:  # one address is wanted: leave out what can't belong to it
        comma = value.find(b",", 1000)
        value = value[:comma] if comma > 0 else value
    found = address.parse(value)
    return found[0] if found else None


def message_id(value: bytes) -> bytes:
    """Return the first valid message id of a raw value, empty if there is none."""
    for found in _ID.finditer(value):
        if one := _normalised(found[1]):
            return one
    return b""


def references(value: bytes, in_reply_to: bytes) -> list[bytes]:
    """Return the references of a message, from raw values of both fields (RFC 5256 3, THREAD)."""
    found = [one for one in map(_normalised, _ID.findall(value)) if one]
    if found:
        return found[-MAX_REFERENCES:]
    parent = message_id(in_reply_to)
    return [parent] if parent else []


def raw_references(message: Message) -> bytes:
    """Return the raw value of References, the end of it if it is very long."""
    stop = min(message.body_start, header.MAX_HEADER)
    for name, lines in header.fields(message.data, 0, stop):
        if name.lower() == b"references":
            return header.after_colon(name, lines)[-header.MAX_FIELD :]
    return b""


def _normalised(text: bytes) -> bytes:
    """Return what stands between angle brackets without quotes; empty if it is no message id.

    RFC 5256 3: quotes are no part of a message id.
    """
    if b'"' in text or b"\\" in text or b" " in text or b"\t" in text or b"\n" in text:
        text = _NO_PART_OF_AN_ID.sub(b"", text)
    left, _, right = text.rpartition(b"@")
    return text if left and right else b""
