"""STATUS: numbers of a mailbox that need not be open. RFC 9051 6.3.11, RFC 3501 6.3.10,
RFC 9208 4.1.4 (DELETED, DELETED-STORAGE), RFC 7162 3.1.7 (HIGHESTMODSEQ), RFC 7889 3.1 (APPENDLIMIT)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.maildir import status as folder_status
from courier.maildir.filename import Flag
from courier.maildir.status import Status
from courier.process.request import Work
from imapd import mailbox
from imapd.completion import No, Ok
from imapd.request import Handling
from imapd.wire.grammar import MAX_NUMBER
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

_STORAGE = "DELETED-STORAGE"
#: In the order in which they are told, whatever the order asked for.
_ITEMS = (
    "MESSAGES",
    "RECENT",
    "UIDNEXT",
    "UIDVALIDITY",
    "UNSEEN",
    "DELETED",
    _STORAGE,
)
_HIGHEST = "HIGHESTMODSEQ"
_LIMIT = "APPENDLIMIT"
_KEPT = bytes(flags for flags in range(32) if not flags & Flag.DELETED)
_SEEN = bytes(flags for flags in range(32) if flags & Flag.SEEN)


def status(session: Session, arguments: Parser) -> Handling:
    name = mailbox.argument(session, arguments)
    arguments.sp()
    if arguments.at(b"("):
        wanted = arguments.parenthesised(arguments.word, empty=True)
    else:  # Courier: one item without parentheses
        wanted = [arguments.word()]
    arguments.end()
    if any(item not in (*_ITEMS, _HIGHEST, _LIMIT) for item in wanted):
        raise arguments.fail("status-att")

    found = mailbox.existing(session, name, "STATUS", "r")
    asks_highest = _HIGHEST in wanted
    if asks_highest:
        yield session.changes.use_modseqs()
    if session.is_selected(found):
        yield from session.changes.refresh()
        numbers = _of_view(session, sizes=_STORAGE in wanted)
        folder, highest = session.selected.folder, session.selected.highest
    else:
        try:
            folder = mailbox.opened(session, found)
            if asks_highest:  # which is one of what has been read, not of what there may be
                yield Work(partial(folder.synchronise, take_new=False))
            highest = folder.columns.highest
            numbers = yield Work(partial(folder_status.read, folder, sizes=_STORAGE in wanted))
        except OSError as error:
            log.error("cannot read folder", found.directory, error)
            return No("STATUS failed", "ALERT")
    values: dict[str, int | str] = {item: _value(numbers, item) for item in _ITEMS}
    values[_HIGHEST] = highest if folder.keeps_modseqs else 0
    values[_LIMIT] = _limit(session)
    told = " ".join(f"{item} {value}" for item, value in values.items() if item in wanted)
    yield f"* STATUS {mailbox.quoted(session, name)} ({told})\r\n".encode()
    return Ok("STATUS Completed.")


def _limit(session: Session) -> int | str:
    """Say what a message may have in octets: as much in each mailbox, NIL if it may be any size."""
    octets = session.settings.max_append
    return octets if 0 < octets <= MAX_NUMBER else "NIL"


def _value(numbers: Status, item: str) -> int:
    value: int = getattr(numbers, item.lower().replace("-", "_"))
    return value


def _of_view(session: Session, *, sizes: bool) -> Status:
    """Count what this session's client has been told, so that it agrees with SELECT's numbers."""
    view = session.selected
    marked = enumerate(view.flags) if sizes else ()
    deleted = [view.uids[row] for row, flags in marked if flags & Flag.DELETED]
    room = session.charged(view.folder).weigh(deleted)
    return Status(
        messages=len(view.uids),
        recent=view.recents(),
        uidnext=view.folder.uidnext,
        uidvalidity=view.folder.uidvalidity,
        unseen=len(view.flags.translate(None, _SEEN)),
        deleted=len(view.flags.translate(None, _KEPT)),
        deleted_storage=room.octets,
    )
