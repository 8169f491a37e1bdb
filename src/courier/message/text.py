"""The text of a message, as SEARCH and SORT look at it (RFC 9051 6.4.4, RFC 5256 2.1).

Fields are unfolded and decoded, bodies are freed of their transfer encoding and charset; what cannot be
decoded becomes U+FFFD. Texts are compared as ``fold`` leaves them: lower case, runs of white space one
space. Markup is text.
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from collections.abc import Iterator

from courier.message import address, charset, encoded, header
from courier.message.message import Message
from courier.message.mime import Part

ADDRESS_FIELDS = frozenset((b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"))

_BLANKS = re.compile("[ \t\r\n]+")


def fold(text: str) -> str:
    """Return text for comparison: lower case, runs of blanks one space, none at the ends.

    Sigma has one small form only, or where a word ends would matter.
    """
    if not text.isascii():
        text = text.replace("\u03a3", "\u03c3")
    return _BLANKS.sub(" ", text.lower()).strip(" ")


# What SEARCH asks. ``needle`` is folded.


def field_contains(message: Message, name: bytes, needle: str) -> bool:
    """HEADER, and FROM, TO, CC, BCC, SUBJECT: the message's own fields, not those of its parts."""
    return any(needle in fold(value) for value in values(message, name))


def body_contains(message: Message, needle: str) -> bool:
    """BODY: the text of parts, each on its own."""
    return any(needle in fold(body) for body in bodies(message))


def message_contains(message: Message, needle: str) -> bool:
    """TEXT: header lines as ``name: value``, also of parts and embedded messages, and BODY."""
    if any(needle in fold(line) for line in header_lines(message)):
        return True
    return body_contains(message, needle)


def values(message: Message, name: bytes) -> list[str]:
    """Return the decoded values of a message's fields called ``name``."""
    is_address = name.lower() in ADDRESS_FIELDS
    return [
        addresses(value) if is_address else encoded.decode(value)
        for value in header.values(message.data, 0, message.body_start, name)
    ]


def addresses(value: bytes) -> str:
    """Return an unfolded address field as people write it: ``John Doe <john@example.com>, …``."""
    shown: list[str] = []
    for name, mailbox, host in address.parse(value):
        if mailbox is None:  # a group's end
            continue
        if host is None:
            shown.append(encoded.decode(mailbox) + ":")
            continue
        spec = charset.guess(mailbox + b"@" + host if host else mailbox)
        shown.append(f"{encoded.decode(name)} <{spec}>" if name else spec)
    return ", ".join(shown)


def header_lines(message: Message) -> Iterator[str]:
    """Yield each field as ``name: value``, of the message and of all its parts."""
    for part in _parts(message.root):
        for name, lines in header.fields(message.data, part.header_start, part.body_start):
            value = header.unfold(lines[len(name) + 1 :])
            is_address = name.lower() in ADDRESS_FIELDS
            shown = addresses(value) if is_address else encoded.decode(value)
            yield f"{charset.guess(name)}: {shown}"


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


_BLOB = re.compile(r"\[[^][]*\]\s*")
_RE_FW = re.compile(r"(?:RE|FWD?)\s*(?:\[[^][]*\]\s*)?:\s*")
_MAX_SUBJECT = 8192


def base_subject(subject: str) -> tuple[str, bool]:
    """Return the base subject of a decoded subject, and whether it was a reply or forwarded.

    RFC 5256 2.1, in upper case as i;unicode-casemap compares it.
    """
    text = _upper(" ".join(subject[:_MAX_SUBJECT].split()))
    is_reply = False
    while True:
        while text.endswith("(FWD)"):
            text = text[:-5].rstrip()
            is_reply = True
        text, found = _without_leader(text)
        is_reply = is_reply or found
        if not (text.startswith("[FWD:") and text.endswith("]")):
            return text, is_reply
        text = text[5:-1].strip()
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


def _upper(text: str) -> str:
    """Map each character to one of upper case, if it has one."""
    if text.isascii():
        return text.upper()
    return "".join([upper if len(upper := letter.upper()) == 1 else letter for letter in text])
