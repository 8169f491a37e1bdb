"""Items of a FETCH response about one message, written with the help of its file (RFC 9051 7.5.2)."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from courier.message import facts, objectid, structure
from courier.message.message import Message
from courier.message.parted import PartedMessage
from courier.message.preview import preview
from imapd import binary, saved, section, updates
from imapd.request import Step
from imapd.wire import writer
from imapd.wire.fetch_att import FetchItem
from imapd.wire.section import Section, SectionText

if TYPE_CHECKING:
    from imapd.session import Session

#: In place of a message of which nothing is asked for.
NO_MESSAGE = Message(b"")
#: Looked for as a number: see courier/message/lines.py.
_NUL = 0
#: Items for which no more of a message need be known than where its parts are.
OF_SECTIONS = binary.ITEMS | {
    *("UID", "FLAGS", "MODSEQ", "INTERNALDATE", "SAVEDATE"),
    *("BODY[]", "RFC822", "RFC822.HEADER", "RFC822.TEXT"),
}
_SECTIONS = {
    "RFC822": Section(),
    "RFC822.HEADER": Section(text=SectionText.HEADER),
    "RFC822.TEXT": Section(text=SectionText.TEXT),
}


def written(
    session: Session,
    item: FetchItem,
    seq: int,
    message: Message | PartedMessage,
    found: os.stat_result,
) -> Generator[Step, Any, Iterable[bytes]]:
    """Write one item with its name, in pieces.

    Raises:
        OSError: the message file can't be read any more.
    """
    if item.name in binary.ITEMS:
        return _counted(session, (yield from binary.written(message, item)))
    return (_item(session, item, seq, message, found),)


def _counted(session: Session, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        session.counts.body += len(piece)
        yield piece


def _item(
    session: Session,
    item: FetchItem,
    seq: int,
    message: Message | PartedMessage,
    found: os.stat_result,
) -> bytes:
    view = session.selected
    if item.name == "UID":
        return b"UID %d" % view.uids[seq - 1]
    if item.name == "FLAGS":
        return b"FLAGS " + updates.flag_list(view, seq)
    if item.name == "MODSEQ":
        return b"MODSEQ (%d)" % view.modseqs[seq - 1]
    if item.name == "INTERNALDATE":
        return b"INTERNALDATE " + writer.date_time(found.st_mtime)
    if item.name == "SAVEDATE":
        (date,) = saved.dates(view, seq - 1, seq)
        return b"SAVEDATE " + (b"NIL" if date is None else writer.date_time(date))
    if item.name in ("EMAILID", "THREADID", "PREVIEW", "PREVIEW LAZY"):
        assert isinstance(message, Message)
        return _derived(item, message, found)
    if item.name not in OF_SECTIONS:
        assert isinstance(message, Message)
        return _described(session, item, message)
    return _body(session, item, message)


def _derived(item: FetchItem, message: Message, found: os.stat_result) -> bytes:
    """Write an item that is found in a message, and usually kept."""
    if item.name == "EMAILID":
        content = objectid.digest(message.data)
        return b"EMAILID (%b)" % objectid.email_id(content, int(found.st_mtime))
    if item.name == "THREADID":
        return b"THREADID (%b)" % facts.thread_id(message.data)
    if message is NO_MESSAGE:
        return b"PREVIEW NIL"  # RFC 8970 4.1: it would have to be read for this alone
    return b"PREVIEW " + writer.string(preview(message).encode("utf-8", "replace"))


def _described(session: Session, item: FetchItem, message: Message) -> bytes:
    """Write an item that says something of a message, as it is found in the file."""
    if item.name == "RFC822.SIZE":
        return b"RFC822.SIZE %d" % message.size
    if item.name == "ENVELOPE":
        return b"ENVELOPE " + structure.envelope(message, session.utf8)
    extended = item.name == "BODYSTRUCTURE"
    return item.name.encode() + b" " + structure.body(message, session.utf8, extended)


def _body(session: Session, item: FetchItem, message: Message | PartedMessage) -> bytes:
    """Write a body section, always as a literal if there is one."""
    wanted = item.section or _SECTIONS[item.name]
    name = item.name.encode()
    if item.section is not None:
        name = b"BODY[" + section.echo(wanted) + b"]"
    if item.partial is None:
        data = section.extract(message, wanted)
    else:
        start, count = item.partial
        name += b"<%d>" % start
        data = section.extract_slice(message, wanted, start, count)
    if data is None:
        return name + b" NIL"
    if _NUL in data:  # RFC 9051 9, CHAR8: no literal has one. Courier sends it; Dovecot's stand-in
        data = data.replace(b"\0", b"\x80")
    if wanted.text in (SectionText.HEADER, SectionText.HEADER_FIELDS):
        session.counts.headers += len(data)
    else:
        session.counts.body += len(data)
    return name + b" " + writer.literal(data)
