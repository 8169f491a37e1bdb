"""The writer: values out as the wire wants them, the mirror image of the parser (RFC 3501 9)."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Sequence

from imapd.wire import grammar, utf7

_UNQUOTABLE = re.compile(rb"[\x00\r\n]")
#: Most names: the same in any encoding, with nothing that must be escaped.
_PLAIN = re.compile(r"[ !#-%'-\[\]-~]+")
_ESCAPED = re.compile(rb'(["\\])')
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Flags as bits (courier.maildir.filename.Flag), in the order in which Courier lists them.
_LISTED = (
    (1, b"\\Draft"),
    (2, b"\\Flagged"),
    (4, b"\\Answered"),
    (8, b"\\Seen"),
    (16, b"\\Deleted"),
)
_FLAGS = tuple(b" ".join(word for bit, word in _LISTED if flags & bit) for flags in range(32))


def quoted(text: bytes) -> bytes:
    """``quoted``.

    Raises:
        ValueError: ``text`` can't be quoted: it holds CR, LF or NUL.
    """
    if _UNQUOTABLE.search(text):
        raise ValueError("cannot be quoted")
    return b'"' + _ESCAPED.sub(rb"\\\1", text) + b'"'


def literal(data: bytes) -> bytes:
    """``literal``, without LITERAL+ marks: a server sends none."""
    return b"{%d}\r\n" % len(data) + data


def string(text: bytes) -> bytes:
    """``string``: quoted if that is possible and short, else a literal."""
    if len(text) > 1000 or not text.isascii() or _UNQUOTABLE.search(text):
        return literal(text)
    return quoted(text)


def literal8(data: bytes) -> bytes:
    """``literal8``: any octets, NUL among them."""
    return b"~" + literal(data)


def astring(text: bytes) -> bytes:
    """``astring``: an atom if it can be one."""
    is_atom = grammar.ASTRING.fullmatch(text) and text.upper() != b"NIL"
    return text if is_atom else string(text)


def mailbox(name: str, *, utf8: bool = False) -> bytes:
    """``mailbox``, always quoted, in modified UTF-7 or (RFC 6855) UTF-8.

    Raises:
        ValueError: the name can't be written at all (not Unicode, or with CR, LF, NUL).
    """
    if _PLAIN.fullmatch(name):
        return b'"' + name.encode("ascii") + b'"'
    if _UNQUOTABLE.search(name.encode("utf-8", "surrogatepass")):
        raise ValueError("mailbox name with line end")
    return quoted(name.encode() if utf8 else utf7.encode(name))


def flags(flags: int, keywords: Iterable[str] = (), *, recent: bool = False) -> bytes:
    """``"(" [flag-fetch *(SP flag-fetch)] ")"``."""
    words = [_FLAGS[flags]] if flags else []
    if recent:
        words.append(b"\\Recent")
    words.extend(keyword_flags(keywords))
    return b"(" + b" ".join(words) + b")"


def keyword_flags(keywords: Iterable[str]) -> Iterator[bytes]:
    """``flag-keyword`` for each. One beyond ASCII, which no flag can say, is left out."""
    return (keyword.encode("ascii") for keyword in keywords if keyword.isascii())


def date_time(seconds: float) -> bytes:
    """``date-time`` in the server's time zone. Courier: the day has two digits, never a blank."""
    try:
        local = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        local = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return b'"%02d-%b-%04d %02d:%02d:%02d %b"' % (
        local.day,
        _MONTHS[local.month - 1].encode("ascii"),
        local.year,
        local.hour,
        local.minute,
        local.second,
        local.strftime("%z").encode("ascii")[:5],
    )


def date(seconds: float) -> bytes:
    """The beginning of ``date-time`` up to the hour, in UTC: ``"17-Jul-1996 ``."""
    try:
        day = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        day = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return b'"%02d-%b-%04d ' % (day.day, _MONTHS[day.month - 1].encode("ascii"), day.year)


def uid_set(uids: Sequence[int]) -> bytes:
    """``uid-set`` in the order given, neighbours as ranges (RFC 4315 4)."""
    parts: list[list[int]] = []
    for uid in uids:
        if parts and uid == parts[-1][-1] + 1:
            parts[-1][1:] = [uid]
        else:
            parts.append([uid])
    return b",".join(b":".join(b"%d" % uid for uid in part) for part in parts)
