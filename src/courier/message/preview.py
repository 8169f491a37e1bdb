"""The beginning of a message's text, for lists of messages (RFC 8970)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

from courier.message import charset, decoding
from courier.message.decoding import UnknownEncoding
from courier.message.message import Message
from courier.message.mime import Part

#: Characters of a preview at most (RFC 8970 3.3).
LENGTH = 200
#: Octets of a part that are looked at: HTML may begin with a long style sheet.
_MAX_PLAIN = 16_384
_MAX_HTML = 131_072
#: Parts that are looked at for one that has text.
_MAX_PARTS = 20

#: Controls, and what is invisible: senders fill previews with it.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd]+"
)
#: References by more digits than any character's number has, and than int() reads.
_NO_CHARACTER = re.compile("&#[0-9]{100,};?")
_TAG = re.compile(r"/?([A-Za-z][A-Za-z0-9]*)")
#: Elements of which nothing is shown, and those that don't end a word.
_HIDDEN = frozenset(("head", "noscript", "script", "style", "template", "title"))
_INLINE = frozenset(
    ("a", "abbr", "b", "big", "code", "em", "font", "i", "label", "mark", "s", "small", "span")
) | {"strong", "sub", "sup", "u", "tt"}


def preview(message: Message) -> str:
    """Give what a message begins with, as text without line ends; empty if there is no text.

    The first part with text that is no attachment, be it plain or HTML. What a reply quotes is left
    out if there is anything else.
    """
    quoted = ""
    for count, part in enumerate(decoding.leaves(message.root)):
        if count >= _MAX_PARTS:
            break
        if part.type != b"text" or part.subtype not in (b"plain", b"html"):
            continue
        disposition = part.disposition
        if disposition is not None and disposition[0] == b"attachment":
            continue
        text = _text(message, part)
        if part.subtype == b"html":
            found, other = _shortened(_shown(text)), ""
        else:
            found, other = _unquoted(text)
        if found:
            return found
        quoted = quoted or other
    return quoted


def _text(message: Message, part: Part) -> str:
    most = _MAX_HTML if part.subtype == b"html" else _MAX_PLAIN
    data = b""
    try:
        for chunk in decoding.body(message, part):
            data += chunk
            if len(data) >= most:
                break
    except UnknownEncoding:
        return ""
    name = part.parameter(b"charset")
    data = data[:most]
    return charset.decode(data, name.decode("latin-1")) if name else charset.guess(data)


def _unquoted(text: str) -> tuple[str, str]:
    """Give the beginning of plain text without what it quotes, and that alone."""
    own: list[str] = []
    quoted: list[str] = []
    for line in text.split("\n"):
        if line.rstrip("\r") == "-- ":  # the signature
            break
        (quoted if line.startswith(">") else own).append(line.lstrip("> "))
    return _shortened(own), _shortened(quoted)


def _shortened(pieces: Iterator[str] | list[str]) -> str:
    """Join pieces with single blanks, up to the length of a preview."""
    words: list[str] = []
    left = LENGTH
    for piece in pieces:
        for word in _INVISIBLE.sub("", piece).split():
            words.append(word[:left])
            left -= len(word) + 1
            if left <= 0:
                return " ".join(words)
    return " ".join(words)


def _shown(html: str) -> Iterator[str]:
    """Give the text of HTML, a run of words at a time. Takes time linear in its size."""
    at = 0
    text: list[str] = []
    while at < len(html):
        tag = html.find("<", at)
        text.append(html[at : tag if tag >= 0 else len(html)])
        if tag < 0:
            break
        if html.startswith("<!--", tag):
            end = html.find("-->", tag + 4)
            at = end + 3
            if end < 0:
                break
            continue
        name = _TAG.match(html, tag + 1)
        if name is None and html[tag + 1 : tag + 2] not in ("!", "?"):
            text.append("<")
            at = tag + 1
            continue
        end = html.find(">", tag)
        if end < 0:
            break
        at = end + 1
        word = "" if name is None else name[1].lower()
        if word in _HIDDEN and html[tag + 1] != "/" and html[end - 1] != "/":
            end = _end_of(html, word, at)
            if end < 0:
                break
            at = end
        if word not in _INLINE:
            yield _unescaped(text)
            text = []
    yield _unescaped(text)


def _unescaped(text: list[str]) -> str:
    return unescape(_NO_CHARACTER.sub("", "".join(text)))


def _end_of(html: str, name: str, at: int) -> int:
    """Give where an element's closing tag begins; -1 if it never does."""
    found = re.compile(f"</{name}", re.IGNORECASE).search(html, at)
    return -1 if found is None else found.start()
