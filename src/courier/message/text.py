"""The text of a message, as SEARCH and SORT look at it (RFC 9051 6.4.4, RFC 5256 2.1).

Fields are unfolded and decoded, bodies are freed of their transfer encoding and charset; what cannot be
decoded becomes U+FFFD. How texts are compared is `collation`'s business. Markup is text.
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from collections.abc import Iterator
from functools import lru_cache

from courier.message import address, charset, encoded, header
from courier.message.collation import Needle, casemap
from courier.message.message import Message
from courier.message.mime import Part

ADDRESS_FIELDS = frozenset((b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"))

# What SEARCH asks.


def field_contains(message: Message, name: bytes, needle: Needle) -> bool:
    """HEADER, and FROM, TO, CC, BCC, SUBJECT: the message's own fields, not those of its parts."""
    return any(needle.is_in(value) for value in values(message, name))


def header_contains(message: Message, needle: Needle) -> bool:
    """TEXT: header lines as ``name: value``, also of parts and embedded messages."""
    return any(_header_contains(message.data, part, needle) for part in _parts(message.root))


def _header_contains(data: bytes, part: Part, needle: Needle) -> bool:
    """Look at the lines of a header, but at none that can't have the needle's longest word.

    Where all is ASCII a word stands in a decoded line only if it stands in the header as it is, but for
    encoded words and for addresses, which are written anew.
    """
    block = data[part.header_start : part.body_start]
    is_possible = not block.isascii() or needle.may_be_in(block.decode("ascii"))
    return any(
        needle.is_in(_line(name, lines))
        for name, lines in header.fields(data, part.header_start, part.body_start)
        if is_possible
        or b"=?" in lines
        or name.lower() in ADDRESS_FIELDS
        or not lines[len(name) :].lstrip(b" \t").startswith(b":")  # all name: shown with a colon
    )


def values(message: Message, name: bytes) -> list[str]:
    """Return the decoded values of a message's fields called ``name``."""
    raw = header.values(message.data, 0, message.body_start, name)
    return [value(name, one) for one in raw]


def value(name: bytes, raw: bytes) -> str:
    """Return the value of a field called ``name`` as it is searched."""
    unfolded = header.unfold(raw)
    if name.lower() not in ADDRESS_FIELDS:
        return encoded.decode(unfolded)
    return _frequent(unfolded) if len(unfolded) <= _FREQUENT else people(unfolded)


# In a folder few people write to few: most names have been seen before.
_FREQUENT = 80  # octets
_frequent_name = lru_cache(maxsize=1024)(encoded.decode)


def people(value: bytes) -> str:
    """Return an unfolded address field as it was written, and as people write it if that differs.

    RFC 9051 6.4.4: HEADER looks at the field, FROM and its like at what ENVELOPE tells of it.
    """
    written, shown = encoded.decode(value), addresses(value)
    return written if shown in written else f"{written}{_BETWEEN}{shown}"


#: Stands in no needle that anybody would look for.
_BETWEEN = "\x1f"


def addresses(value: bytes) -> str:
    """Return an unfolded address field as people write it: ``John Doe <john@example.com>, …``."""
    shown: list[str] = []
    for name, mailbox, host, _ in address.parse(value):
        if mailbox is None:  # a group's end
            continue
        if host is None:
            shown.append(encoded.decode(mailbox) + ":")
            continue
        spec = charset.guess(mailbox + b"@" + host if host else mailbox)
        if not name:
            shown.append(spec)
            continue
        decoded = _frequent_name(name) if len(name) <= _FREQUENT else encoded.decode(name)
        shown.append(f"{decoded} <{spec}>")
    return ", ".join(shown)


# In a folder few people write to few: most short values have been seen before.
_FREQUENT = 120  # octets
_frequent = lru_cache(maxsize=2048)(people)


def header_lines(message: Message) -> Iterator[str]:
    """Yield each field as ``name: value``, of the message and of all its parts."""
    for part in _parts(message.root):
        for name, lines in header.fields(message.data, part.header_start, part.body_start):
            yield _line(name, lines)


def _line(name: bytes, lines: bytes) -> str:
    after = header.after_colon(name, lines)
    before = lines[: -len(after) - 1] if lines.startswith((b" ", b"\t"), len(name)) else name
    return f"{charset.guess(before)}: {value(name, after)}"


def bodies(message: Message) -> Iterator[str]:
    """Yield the decoded text of each text part, and of parts like message/delivery-status."""
    for part in _parts(message.root):
        if not part.children and part.message is None and part.type in (b"text", b"message"):
            yield body(message.data, part)


def body(data: bytes, part: Part) -> str:
    """Return the body of a part as text."""
    raw = data[part.body_start : part.end]
    if part.encoding == b"base64":
        raw = encoded.base64(raw)
    elif part.encoding == b"quoted-printable":
        raw = a2b_qp(raw)
    name = part.parameter(b"charset")
    return charset.decode(raw, name.decode("latin-1")) if name else charset.guess(raw)


def _parts(root: Part) -> Iterator[Part]:
    """Yield a part and all below it, in the order of the message."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield part
        if part.message is not None:
            waiting.append(part.message)
        waiting.extend(reversed(part.children))


_SPACES = re.compile("[ \t\r\n]+")
_BLOB = re.compile(r"\[[^][]*\][ ]*")
_RE_FW = re.compile(r"(?:RE|FWD?)[ ]*(?:\[[^][]*\][ ]*)?:[ ]*", re.ASCII | re.IGNORECASE)
_MAX_SUBJECT = 8192


def base_subject(subject: str) -> tuple[str, bool]:
    """Return the base subject of a decoded subject, and whether it was a reply or forwarded.

    RFC 5256 2.1, the base mapped as it is ordered.
    """
    text = _SPACES.sub(" ", subject[:_MAX_SUBJECT]).strip(" ")
    is_reply = False
    while True:
        while text[-5:].upper() == "(FWD)":
            text = text[:-5].rstrip(" ")
            is_reply = True
        text, found = _without_leader(text)
        is_reply = is_reply or found
        if not (text[:5].upper() == "[FWD:" and text.endswith("]")):
            return casemap(text), is_reply
        text = text[5:-1].strip(" ")
        is_reply = True


def _without_leader(text: str) -> tuple[str, bool]:
    """Take away ``[blob] Re [blob]:`` and blobs before a subject, as long as something is left."""
    at = 0
    found = False
    while True:
        last = at
        while (blob := _BLOB.match(text, at)) is not None:
            last = at
            at = blob.end()
        leader = _RE_FW.match(text, at)
        if leader is None:
            return text[at:] or text[last:], found
        at = leader.end()
        found = True
