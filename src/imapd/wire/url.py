"""URLs of messages and of parts of them (RFC 5092), without I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imapd.wire import grammar
from imapd.wire.fetch_att import section
from imapd.wire.parser import ParseError, Parser
from imapd.wire.section import Section


class BadUrl(ValueError):
    """No URL, or one of something else than a message."""


@dataclass(frozen=True, slots=True)
class MessageUrl:
    """Where a message is, and what of it is meant.

    ``partial`` is the first octet and the count (None: to the end).
    """

    server: Server | None  # None: this one
    mailbox: str  # empty: the selected one
    uidvalidity: int | None
    uid: int
    section: Section
    partial: tuple[int, int | None] | None


@dataclass(frozen=True, slots=True)
class Server:
    """``iserver``: the part of an absolute URL before its path."""

    user: str | None
    host: str


_SERVER = re.compile(
    rb"(?:imap:)?//(?:(?P<user>[^@/;]*)(?:;AUTH=[^@/;]*)?@)?(?P<host>[^@/;:]+)(?::[0-9]{0,5})?(?=/)",
    re.IGNORECASE,
)
#: ``imessagepart`` behind its first slash; each ";" begins what is next, so that this is linear.
_PATH = re.compile(
    rb"(?P<mailbox>[^;?#]*)(?:;UIDVALIDITY=(?P<uidvalidity>[1-9][0-9]{0,9})/)?"
    rb";UID=(?P<uid>[1-9][0-9]{0,9})"
    rb"(?:/;SECTION=(?P<section>[^;?#]+?))?"
    rb"(?:/;PARTIAL=(?P<offset>[0-9]{1,10})(?:\.(?P<count>[1-9][0-9]{0,9}))?)?",
    re.IGNORECASE,
)
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})?")


def parse(text: bytes) -> MessageUrl:
    """Read a URL. One without a server means this one; one without a mailbox, the selected one.

    Raises:
        BadUrl: it names no message, or in a way that is not known here (URLAUTH).
    """
    server = _SERVER.match(text)
    rest = text[server.end() :] if server else text
    path = _PATH.fullmatch(rest.removeprefix(b"/"))
    if path is None or (b":" in rest.partition(b"/")[0] and not server):
        raise BadUrl
    mailbox = path["mailbox"]
    if mailbox and not path["uidvalidity"]:
        if not mailbox.endswith(b"/"):
            raise BadUrl
        mailbox = mailbox[:-1]
    found = None
    if server:
        user = None if server["user"] is None else _decoded(server["user"])
        found = Server(user, _decoded(server["host"]).lower())
    return MessageUrl(
        found,
        _decoded(mailbox),
        None if path["uidvalidity"] is None else _number(path["uidvalidity"]),
        _number(path["uid"]),
        _section(path["section"]),
        _partial(path["offset"], path["count"]),
    )


def _decoded(text: bytes) -> str:
    def octet(found: re.Match[bytes]) -> bytes:
        if found[1] is None:
            raise BadUrl
        return bytes.fromhex(found[1].decode())

    try:
        return _PERCENT.sub(octet, text).decode()
    except UnicodeDecodeError as error:
        raise BadUrl from error


def _number(digits: bytes) -> int:
    if int(digits) > grammar.MAX_NUMBER:
        raise BadUrl
    return int(digits)


def _section(text: bytes | None) -> Section:
    if text is None:
        return Section()
    parser = Parser(b"[" + _decoded(text).encode() + b"]")
    try:
        found = section(parser)
        parser.end()
    except ParseError as error:
        raise BadUrl from error
    return found


def _partial(offset: bytes | None, count: bytes | None) -> tuple[int, int | None] | None:
    if offset is None:
        return None
    return _number(offset), None if count is None else _number(count)
