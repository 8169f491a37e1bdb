"""What is asked of a message again and again, found once: the numbers and texts that an index keeps.

`describe` gives everything that FETCH, SORT, THREAD and the header keys of SEARCH need, so that none of
them opens the message file another time. The texts are ready to be sent or compared.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from courier.message import (
    date,
    encoded,
    header,
    lines,
    objectid,
    ordering,
    parted,
    structure,
    text,
)
from courier.message.collation import fold
from courier.message.lines import CR, LF
from courier.message.message import Message
from courier.message.mime import Part
from courier.message.preview import preview

#: Fields whose lines are kept: what today's clients ask for by name. Only ever appended to, up to 64.
FIELDS = (
    *(b"date", b"subject", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"in-reply-to"),
    *(b"message-id", b"references", b"content-type", b"content-transfer-encoding"),
    *(b"content-disposition", b"content-description", b"content-language", b"content-location"),
    *(b"content-md5", b"mime-version", b"priority", b"x-priority", b"x-msmail-priority"),
    *(b"importance", b"newsgroups", b"followup-to", b"mail-followup-to", b"mail-reply-to"),
    *(b"list-id", b"list-post", b"list-unsubscribe", b"list-unsubscribe-post", b"list-subscribe"),
    *(b"list-help", b"list-owner", b"list-archive", b"user-agent", b"x-mailer", b"organization"),
    *(b"disposition-notification-to", b"return-path", b"delivered-to", b"x-original-to"),
    *(b"x-label", b"keywords", b"lines", b"autocrypt", b"authentication-results"),
    *(b"dkim-signature", b"bimi-indicator", b"bimi-location", b"x-bimi-indicator-hash"),
    *(b"x-uniform-type-identifier", b"x-universally-unique-identifier", b"x-k9mail-identity"),
    *(b"chat-version", b"x-tuid", b"x-spam-flag", b"x-spam-status", b"x-draft-info", b"path"),
)
#: The number of a field is its place in `FIELDS`.
NUMBER = {name: number for number, name in enumerate(FIELDS)}

#: The texts of a message, in the order in which an index stores them.
PIECES = (
    "envelope",  # ready for FETCH, as are the two after it; see `Flag.UTF8`
    "body",
    "bodystructure",
    "header",  # the lines of FIELDS: see `header_piece`
    "subject",  # as `collation.fold` gives it, UTF-8; of several fields of a name one in a line
    "from",
    "to",
    "cc",
    "bcc",
    "base_subject",  # sort keys as `ordering` makes them, UTF-8
    "from_key",
    "to_key",
    "cc_key",
    "from_name",
    "to_name",
    "ids",  # Message-ID (may be empty), then what it refers to, the oldest first, with \\n between
    "parts",  # of a large message: see `parted`
    "preview",  # UTF-8; known if there is a digest
    "digest",  # see `objectid`; empty until it is asked for
)

MAX_TEXT = 256 << 10  # octets of all pieces together; above it only sort keys and ids are kept
_MAX_QUICK_HEADER = (
    8000  # octets within which the pattern's bound of continuation lines can't matter
)


class Flag:
    """Bits of `Facts.flags`."""

    UTF8 = 1  # envelope, body and bodystructure are two forms with NUL between: the second for UTF8=ACCEPT
    HEADER_IN_FILE = 2  # the piece "header" can't say it: read the message
    TEXT_IN_FILE = 4  # only numbers, sort keys and ids are kept
    NO_DATE = 8  # Date says nothing: ``sent`` is 0
    REPLY = 16  # the subject was that of a reply or forwarded (RFC 5256 2.1)
    EIGHT_BIT = 32  # there are octets above 127 in the header


class Facts(NamedTuple):
    """Numbers and texts of a message."""

    size: int  # RFC822.SIZE
    sent: int  # seconds since 1970, UTC
    sent_day: int  # days since 1970, as written in the sender's zone
    fields: int  # bit n: the header has a field FIELDS[n]
    flags: int  # Flag
    pieces: tuple[bytes, ...]  # in the order of PIECES


def _names() -> bytes:
    """Write a pattern for all names, by initials: a set of letters is looked at before the rest is."""
    rests: dict[bytes, list[bytes]] = {}
    for name in FIELDS:
        rests.setdefault(name[:1], []).append(name[1:])
    return b"|".join(
        b"[%b%b](?i:%b)" % (initial.upper(), initial, b"|".join(names))
        for initial, names in rests.items()
    )


# A name without a colon is a field too: one that is all name (see `header.fields`).
_LINES = re.compile(
    rb"\n((" + _names() + rb")(?:[ \t]*:|(?=\r*(?:\n|\Z)))[^\n]*(?:\n[ \t][^\n]*){0,4000})"
)


def describe(data: bytes, *, more: bool = False) -> Facts:
    """Find what there is to know of a message. Any bytes have facts, in time linear in their size.

    Args:
        more: also what few clients ask for, and takes as long as all the rest.
    """
    message = Message(data)
    root = message.root
    fields = root.fields
    head = data[: root.body_start]
    known, is_exact = header_lines(data, root.body_start)

    mask = 0
    for number, _ in known:
        mask |= 1 << number
    sent, sent_day, flags = _sent(fields.get(b"date"))
    if not head.isascii():
        flags |= Flag.EIGHT_BIT
    wire, is_twofold = _wire(data, root)
    if is_twofold:
        flags |= Flag.UTF8
    base, is_reply = ordering.base_subject(fields.get(b"subject", b""))
    if is_reply:
        flags |= Flag.REPLY
    keys = (_utf8(base), *_address_keys(fields), _ids(fields, known))
    rest = (parted.structure(root), *(_more(message) if more else (b"", b"")))
    pieces = (*wire, header_piece(known), *_texts(known), *keys, *rest)
    if not is_exact or sum(map(len, pieces)) > MAX_TEXT:
        flags = (flags | Flag.HEADER_IN_FILE | Flag.TEXT_IN_FILE) & ~Flag.UTF8
        pieces = (*[b""] * 9, *keys, *rest)
    elif 0 in head and any(b"\0" in line for _, line in known):
        flags |= Flag.HEADER_IN_FILE
    return Facts(message.size, sent, sent_day, mask, flags, pieces)


def thread_id(data: bytes) -> bytes:
    """Find a message's THREADID."""
    pieces = dict(zip(PIECES, describe(data).pieces, strict=True))
    return objectid.thread_ids([[pieces[name]] for name in objectid.THREAD_PIECES])[0]


def _more(message: Message) -> tuple[bytes, bytes]:
    return _utf8(preview(message)), objectid.digest(message.data)


def _sent(value: bytes | None) -> tuple[int, int, int]:
    """Read Date: the moment and the day of `Facts`, and a flag if it says nothing."""
    when = None if value is None else date.parse(value)
    if when is None:
        return 0, 0, Flag.NO_DATE
    return when.timestamp, when.day.toordinal() - date.EPOCH, 0


def header_lines(data: bytes, body_start: int) -> tuple[list[tuple[int, bytes]], bool]:
    """Return number and wire lines of each field of `FIELDS`, in the header's order.

    Returns: and whether they are all there is, which is not so in a header above ``MAX_HEADER``.
    """
    if body_start <= _MAX_QUICK_HEADER and data[body_start - 1 : body_start] == b"\n":
        head = b"\n" + data[:body_start]
        found = _LINES.findall(head)
        if CR not in head:
            return [
                (
                    NUMBER[name.lower()],
                    (line.replace(b"\n", b"\r\n") if LF in line else line) + b"\r\n",
                )
                for line, name in found
            ], True
        known = [(NUMBER[name.lower()], line) for line, name in found]
        return [(n, lines.wire(line + b"\n")) for n, line in known], True

    stop = min(body_start, header.MAX_HEADER)
    known = []
    for name, line in header.fields(data, 0, stop):
        number = NUMBER.get(name.lower())
        if number is not None:
            line = lines.wire(line)
            known.append((number, line if line.endswith(b"\r\n") else line + b"\r\n"))
    return known, stop == body_start


def header_piece(known: list[tuple[int, bytes]]) -> bytes:
    """Write lines so that some of them are picked fast: see `imapd.batch`.

    Split at NUL: the numbers of the fields, each plus one, as octets; the lines; nothing; the empty line.
    """
    numbers = bytes([number + 1 for number, _ in known])
    return b"\0".join([numbers, *[line for _, line in known], b"", b"\r\n"])


def _has_ascii_headers(data: bytes, root: Part) -> bool:
    """Tell whether the headers of parts and of embedded messages are ASCII. Most 8-bit text is in bodies."""
    waiting = [root]
    for part in waiting:
        if not data[part.header_start : part.body_start].isascii():
            return False
        waiting += part.children
        if part.message is not None:
            waiting.append(part.message)
    return True


def _wire(data: bytes, root: Part) -> tuple[tuple[bytes, bytes, bytes], bool]:
    """Write ENVELOPE, BODY and BODYSTRUCTURE; tell whether each is two forms, which differ."""
    ascii_form = structure.envelope(root, utf8=False), *structure.both(root, utf8=False)
    if _has_ascii_headers(data, root):
        return ascii_form, False
    utf8_form = structure.envelope(root, utf8=True), *structure.both(root, utf8=True)
    if ascii_form == utf8_form:
        return ascii_form, False
    one, two, three = (b"\0".join(forms) for forms in zip(ascii_form, utf8_form, strict=True))
    return (one, two, three), True


_TEXT_FIELDS = {
    NUMBER[name.encode()]: place
    for place, name in enumerate(("subject", "from", "to", "cc", "bcc"))
}


def _texts(known: list[tuple[int, bytes]]) -> list[bytes]:
    """Give what SEARCH looks at: see `text.field_contains`."""
    texts = [b""] * 5
    seen = 0
    for number, line in known:
        place = _TEXT_FIELDS.get(number)
        if place is None:
            continue
        value = header.after_colon(FIELDS[number], line)
        folded = _folded(value, place > 0) if len(value) <= _FREQUENT else _fold(value, place > 0)
        texts[place] = texts[place] + b"\n" + folded if seen & 1 << place else folded
        seen |= 1 << place
    return texts


def _fold(value: bytes, is_address: bool) -> bytes:
    value = header.unfold(value)
    shown = text.people(value) if is_address else encoded.decode(value)
    return _utf8(fold(shown))


def _ids(fields: dict[bytes, bytes], known: list[tuple[int, bytes]]) -> bytes:
    """Give the message's own id, empty if it has none, and the ids that it refers to."""
    field = next((line for number, line in known if number == _REFERENCES), b"")
    references = header.after_colon(b"references", field)
    own = ordering.message_id(fields.get(b"message-id", b""))
    raw = references[-header.MAX_FIELD :]
    return b"\n".join([own, *ordering.references(raw, fields.get(b"in-reply-to", b""))])


_REFERENCES = NUMBER[b"references"]


def _address_keys(fields: dict[bytes, bytes]) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Give the sort keys of From, To, Cc, then the names of From and To."""
    sender, sender_name = _keys(fields.get(b"from"))
    receiver, receiver_name = _keys(fields.get(b"to"))
    return sender, receiver, _keys(fields.get(b"cc"))[0], sender_name, receiver_name


def _keys(value: bytes | None) -> tuple[bytes, bytes]:
    if value is None:
        return b"", b""
    return _frequent_keys(value) if len(value) <= _FREQUENT else _both_keys(value)


def _both_keys(value: bytes) -> tuple[bytes, bytes]:
    return _utf8(ordering.mailbox(value)), _utf8(ordering.display(value))


def _utf8(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")  # which some codecs let through


# In a folder few people write to few: most short values have been seen before.
_FREQUENT = 120  # octets
_folded = lru_cache(maxsize=2048)(_fold)
_frequent_keys = lru_cache(maxsize=1024)(_both_keys)
