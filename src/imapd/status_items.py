"""STATUS responses: numbers of mailboxes, for STATUS and LIST (RFC 9051 6.3.11, RFC 3501 6.3.10,
RFC 7162 3.1.7: HIGHESTMODSEQ, RFC 7889 3.1: APPENDLIMIT, RFC 8438: SIZE, RFC 8474 4.3: MAILBOXID, RFC 9208 4.1.4: DELETED and
DELETED-STORAGE).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir import mailbox_id, status, tally
from courier.maildir.filename import Flag
from courier.maildir.folder import Folder
from courier.maildir.items import Damaged, Table
from courier.maildir.reading import Reading
from courier.maildir.status import Status
from courier.maildir.tally import Found, Moment, Tallies
from courier.maildir.tree import Tree
from courier.maildir.view import View
from courier.process.request import Work
from imapd import mailbox, names
from imapd.completion import CommandFailed
from imapd.mailboxes import Mailbox
from imapd.request import Step
from imapd.wire.grammar import MAX_NUMBER
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

_STORAGE = "DELETED-STORAGE"
_HIGHEST = "HIGHESTMODSEQ"
_LIMIT = "APPENDLIMIT"
_SIZE = "SIZE"
_ID = "MAILBOXID"
#: Of `Status`, in lower case.
_OF_MESSAGES = ("MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED")
#: In the order in which they are told, whatever the order asked for.
_ITEMS = (
    *_OF_MESSAGES,
    _STORAGE,
    _HIGHEST,
    _LIMIT,
    _SIZE,
    _ID,
)
#: What has to be known of a folder for some of them.
_NEEDS = {
    _STORAGE: tally.DELETED_SIZE,
    _HIGHEST: tally.HIGHEST,
    _SIZE: tally.SIZE,
    _ID: tally.IDENTIFIER,
}
_KEPT = bytes(flags for flags in range(32) if not flags & Flag.DELETED)
_SEEN = bytes(flags for flags in range(32) if flags & Flag.SEEN)
#: How often what was known may turn out to be damaged before the sizes are those of files.
_TRIES = 3


def read(arguments: Parser) -> list[str]:
    """Read ``"(" status-att *(SP status-att) ")"``."""

    def item() -> str:
        word = arguments.word()
        if word not in _ITEMS:
            raise arguments.fail("status-att")
        return word

    return arguments.parenthesised(item)


def begin(session: Session, wanted: Iterable[str]) -> bytes:
    """Give what has to be told before the first response with these items (RFC 7162 3.1)."""
    return session.changes.use_modseqs() if _HIGHEST in wanted else b""


def told(
    session: Session, found: Mailbox, name: str, wanted: Sequence[str]
) -> Generator[Step, Any, bytes]:
    """Give the response about a mailbox, which is called ``name`` in it.

    Raises:
        OSError: it can't be read.
        CommandFailed: it is the selected one, and may not be read any more.
    """
    if session.is_selected(found):
        numbers = yield from _of_selected(session, wanted)
    else:
        numbers = yield from _of_other(session, found, wanted)
        yield from session.mailboxes.store()
    return response(session, name, numbers, wanted)


def of_several(
    session: Session, found: Iterable[Mailbox], wanted: Sequence[str]
) -> Generator[Step, Any, Mapping[str, bytes]]:
    """Give the responses about mailboxes by their names, without those that can't be read."""
    responses: dict[str, bytes] = {}
    others = [one for one in found if not session.is_selected(one)]
    numbers = yield Work(partial(read_several, session, others, wanted))
    for one in found:
        known = numbers.get(one.name)
        if known is not None and (known.size is not None or _SIZE not in wanted):
            responses[one.name] = response(session, one.name, known, wanted)
        elif known is not None or session.is_selected(one):
            try:
                responses[one.name] = yield from told(session, one, one.name, wanted)
            except (OSError, CommandFailed) as error:
                _complain(one, error)
    return responses


def read_several(
    session: Session, found: Iterable[Mailbox], wanted: Sequence[str]
) -> dict[str, Found]:
    """Read folders that are not selected, those that can be read; in a thread."""
    looks = Looks(session, wanted)
    found = list(found)
    numbers = looks.kept(found)
    for one in found:
        try:
            if one.name not in numbers:
                numbers[one.name] = looks.at(one)
        except OSError as error:
            _complain(one, error)
    return numbers


def _complain(found: Mailbox, error: Exception) -> None:
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        log.error("cannot read folder", found.directory, error)


def _of_other(session: Session, one: Mailbox, wanted: Sequence[str]) -> Generator[Step, Any, Found]:
    """Read a folder that is not selected. Raises OSError."""
    looks = Looks(session, wanted)
    at_once = looks.at_once(one)
    if at_once is not None:
        return at_once
    found: Found = yield Work(partial(looks.at, one))
    if found.size is None and _SIZE in wanted:
        folder = mailbox.opened(session, one)
        size = yield from _size(folder, folder.columns.uids)
        found = found._replace(size=size)
        looks.keep(found)
    return found


class Looks:
    """Looks at folders that are not selected. What is found is kept as long as nothing changes."""

    def __init__(self, session: Session, wanted: Sequence[str]) -> None:
        self._session = session
        self._needs = frozenset(_NEEDS[item] for item in wanted if item in _NEEDS)
        self._tree: Tree | None = None  # of the mailbox looked at last
        self._tallies: Tallies | None = None
        self._path = ""
        self._moment: Moment | None = None

    def at_once(self, one: Mailbox) -> Found | None:
        """Give what is known of a mailbox, if that means no waiting: a thread would cost more than to look."""
        if one.tree is None or not self._session.store.rosters.of(one.tree).is_loaded:
            return None
        return self.kept([one]).get(one.name)

    def kept(self, mailboxes: Iterable[Mailbox]) -> dict[str, Found]:
        """Give what is known of mailboxes, by their names, and has not changed."""
        by_tree: dict[Tree, dict[str, str]] = {}
        for one in mailboxes:
            if one.tree is not None:
                by_tree.setdefault(one.tree, {})[one.entry] = one.name
        numbers: dict[str, Found] = {}
        for of, by_entry in by_tree.items():
            with contextlib.suppress(OSError):  # whoever reads them is told
                tallies = self._session.store.rosters.of(of).tallies
                current = tallies.current(by_entry, self._needs)
                numbers.update((by_entry[entry], found) for entry, found in current.items())
        return numbers

    def at(self, one: Mailbox) -> Found:
        """Find what is wanted, in a thread; the size is None if not all messages are known.

        Raises: OSError.
        """
        if one.tree is not self._tree:
            self._tree = one.tree
            rosters = self._session.store.rosters
            self._tallies = None if one.tree is None else rosters.of(one.tree).tallies
        self._path, self._moment = one.directory, None
        needs = self._needs
        if self._tallies is not None:
            kept, self._moment = self._tallies.find(self._path, needs)
            if kept is not None:
                return kept
            if self._moment is not None:
                needs = self._moment.needs
        folder = mailbox.opened(self._session, one)
        found = _read(folder, needs)
        if folder.knows_recent:  # until somebody claims them, which changes nothing on disk
            self._moment = None
        if found.size is not None or tally.SIZE not in needs:
            self.keep(found)
        return found

    def keep(self, found: Found) -> None:
        """Have the next look find this, which the last one has not known."""
        if self._tallies is not None and self._moment is not None:
            self._tallies.keep(self._path, self._moment, found)


def _read(folder: Folder, needs: frozenset[str]) -> Found:
    has_total = tally.SIZE in needs
    if needs & {tally.HIGHEST, tally.IDENTIFIER}:
        # Which are of what has been read, not of what there may be.
        folder.synchronise(take_new=False)
    deleted = tally.DELETED_SIZE in needs
    numbers, size = status.read_with_size(folder, sizes=deleted, total=has_total)
    if has_total and size is None:
        folder.synchronise(take_new=False)
        numbers = status.read(folder, sizes=deleted)
        columns = folder.columns
        table = folder.items.table(folder.uidvalidity, columns.uids, columns)
        size = _sum(folder, table) if table.is_complete() else None
    identifier = mailbox_id.of(folder) if tally.IDENTIFIER in needs else ""
    return Found(numbers, _highest(folder, folder.columns.highest), size, identifier)


def _highest(folder: Folder, highest: int) -> int:
    return highest if folder.keeps_modseqs else 0


def _of_selected(session: Session, wanted: Sequence[str]) -> Generator[Step, Any, Found]:
    """Count what this session's client has been told, so that it agrees with SELECT's numbers."""
    yield from session.changes.refresh()
    view = session.selected
    marked = enumerate(view.flags) if _STORAGE in wanted else ()
    deleted = [view.uids[row] for row, flags in marked if flags & Flag.DELETED]
    room = session.charged(view.folder).weigh(deleted)
    numbers = numbers_of(view)._replace(deleted_storage=room.octets)
    highest = _highest(view.folder, view.highest)
    size = (yield from _size(view.folder, view.uids)) if _SIZE in wanted else None
    identifier = (yield Work(partial(mailbox_id.of, view.folder))) if _ID in wanted else ""
    return Found(numbers, highest, size, identifier)


def numbers_of(view: View) -> Status:
    """Count what the client has been told of a mailbox."""
    return Status(
        messages=len(view.uids),
        recent=view.recents(),
        uidnext=view.uidnext,
        uidvalidity=view.folder.uidvalidity,
        unseen=len(view.flags.translate(None, _SEEN)),
        deleted=len(view.flags.translate(None, _KEPT)),
    )


def _size(folder: Folder, uids: Sequence[int]) -> Generator[Step, Any, int]:
    """Sum up RFC822.SIZE of messages, those that are not known yet read first (RFC 8438 3).

    One that is gone, or whose file can't be read, has no size.
    """
    for _ in range(_TRIES):
        table: Table = yield Work(
            partial(folder.items.table, folder.uidvalidity, uids, folder.columns)
        )
        if not table.is_complete():
            reading = Reading(folder, table.missing())
            try:
                while (yield Work(reading.step)):
                    yield b""
            finally:
                reading.close()
            table = yield Work(
                partial(folder.items.table, folder.uidvalidity, uids, folder.columns)
            )
        size: int | None = yield Work(partial(_sum, folder, table))
        if size is not None:
            return size
    raise OSError(f"{folder.path}: index damaged again and again")


def _sum(folder: Folder, table: Table) -> int | None:
    """Sum up what is known; None if it turned out to be damaged, and was thrown away."""
    try:
        return sum(table.numbers("size"))
    except Damaged:
        folder.items.give_up(table)
        return None


def response(session: Session, name: str, found: Found, wanted: Sequence[str]) -> bytes:
    written = names.encode(name, utf8=session.utf8) or b'""'
    form, numbers, others = _form(tuple(wanted))
    if not others:
        return form % (written, *numbers(found.numbers))
    more = " ".join(f"{item} {_value(session, found, item)}" for item in others)
    return form % (written, *numbers(found.numbers), more.encode())


@lru_cache(maxsize=64)
def _form(
    wanted: tuple[str, ...],
) -> tuple[bytes, Callable[[Status], tuple[int, ...]], tuple[str, ...]]:
    """Give a form of the response, what picks the numbers of messages for it, and the other items."""
    first = [item for item in _OF_MESSAGES if item in wanted]
    others = tuple(item for item in _ITEMS if item in wanted and item not in first)
    pairs = " ".join([*(f"{item} %d" for item in first), *(["%b"] if others else [])])
    places = [Status._fields.index(item.lower()) for item in first]
    return f"* STATUS %b ({pairs})\r\n".encode(), _picking(places), others


def _picking(places: Sequence[int]) -> Callable[[Status], tuple[int, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda numbers: tuple(numbers[place] for place in places)


def _value(session: Session, found: Found, item: str) -> int | str:
    if item == _HIGHEST:
        return found.highest
    if item == _LIMIT:
        # In octets, and the same of each mailbox; NIL: a message may be of any size.
        limit = session.settings.max_append
        return limit if 0 < limit <= MAX_NUMBER else "NIL"
    if item == _SIZE:
        return found.size or 0
    if item == _ID:
        return f"({found.identifier})"
    assert item == _STORAGE
    return found.numbers.deleted_storage
