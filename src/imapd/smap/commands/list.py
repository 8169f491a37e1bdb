"""LIST: what is below a path. STATUS: a folder's numbers."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from courier.maildir import status as folder_status
from courier.maildir.filename import Flag
from courier.maildir.shared_index import Account, Record
from courier.process.request import Work
from imapd import mailbox
from imapd.mailboxes import Mailbox, Space
from imapd.smap import paths
from imapd.smap.paths import Path
from imapd.smap.refusal import failed, missing
from imapd.smap.words import Words, quoted

if TYPE_CHECKING:
    from imapd.smap.session import Session

_TOP = (
    b'* LIST "INBOX" "New Mail" FOLDER\n'
    b'* LIST "INBOX" "Folders" DIRECTORY\n'
    b'* LIST "public" "Public Folders" DIRECTORY\n'
)
#: Mailboxes looked at before others get their turn.
_SLICE = 50
_SEEN = bytes(flags for flags in range(32) if flags & Flag.SEEN)


def list_(session: Session, words: Words) -> Generator[Any, Any, str]:
    path = words.list()
    if not path:
        yield _TOP
    else:
        # Courier: what does not exist has nothing below it.
        found = _found(session, path)
        if found is not None and found.tree is not None:
            yield from _below(session, path, found)
        elif found is not None and found.space is Space.VIRTUAL:
            yield from _accounts(session, path, found)
    return "LIST completed"


def _found(session: Session, path: Path) -> Mailbox | None:
    try:
        return paths.find(session, path)
    except OSError:
        return None


@dataclass(slots=True)
class _Child:
    """What is one word below a path."""

    name: str  # of the mailbox
    is_folder: bool = False
    is_directory: bool = False


def _below(session: Session, path: Path, found: Mailbox) -> Iterator[bytes]:
    """Give the lines of a maildir's folders that are one word longer than a path."""
    above = paths.words(found.folder) if found.folder else ()
    depth = len(above)
    children: dict[str, _Child] = {}
    try:
        for count, one in enumerate(session.mailboxes.beside(found)):
            words = paths.words(one.folder) if one.folder else ()
            if len(words) > depth and words[:depth] == above:
                name = one.name
                if len(words) > depth + 1:
                    name = name.rsplit(".", len(words) - depth - 1)[0]
                child = children.setdefault(words[depth], _Child(name))
                child.is_folder |= len(words) == depth + 1
                child.is_directory |= len(words) > depth + 1
            if not count % _SLICE:
                yield b""
    except OSError:
        return  # a maildir that can't be read has no folders for this account
    for word, child in children.items():
        level = None if child.is_folder else session.mailboxes.find(child.name)
        if child.is_folder or (level is not None and level.is_visible):
            yield _line(word, child.is_folder, child.is_directory)


def _accounts(session: Session, path: Path, level: Mailbox) -> Iterator[bytes]:
    """Give the lines of the records of an index; of accounts, those that have something to see."""
    for shown, record in sorted(_records(session, path).items()):
        if not isinstance(record, Account):
            yield _line(record.name, False, True)
            continue
        found = session.mailboxes.find(f"{level.name}.{shown}")
        if found is None or found.tree is None:
            continue
        is_folder = is_directory = False
        try:
            for one in session.mailboxes.beside(found):
                is_folder = is_folder or not one.folder
                is_directory = is_directory or bool(one.folder)
                if is_directory:
                    break
        except OSError:
            continue
        if is_folder or is_directory:
            yield _line(record.name, is_folder, is_directory)
        yield b""


def _records(session: Session, path: Path) -> Mapping[str, Record]:
    """Give the records of a level of the index; none of an account, which here can be one's own."""
    index = session.mailboxes.index
    records = index.records()
    for word in path[1:]:
        record = next((record for record in records.values() if record.name == word), None)
        if record is None or isinstance(record, Account):
            return {}
        records = index.records(record.file)
    return records


def _line(word: str, is_folder: bool, is_directory: bool) -> bytes:
    what = b" FOLDER" * is_folder + b" DIRECTORY" * is_directory
    return b"* LIST %b %b%b\n" % (quoted(word), quoted(word), what)


def status(session: Session, words: Words) -> Generator[Any, Any, str]:
    words.take()  # FULL or CHEAP. Courier: whatever it is
    failure = "Cannot read folder status"
    try:
        found = paths.find(session, words.list())
        paths.require(found, "l")
        if not found.exists:
            raise missing()
        if session.is_selected(found):
            flags = session.selected.flags
            exists, unseen = len(flags), len(flags.translate(None, _SEEN))
        else:
            folder = mailbox.opened(session, found)
            numbers = yield Work(partial(folder_status.read, folder))
            exists, unseen = numbers.messages, numbers.unseen
    except OSError as error:
        raise failed(failure, error) from error
    yield b"* STATUS EXISTS=%d UNSEEN=%d\n" % (exists, unseen)
    return "Folder status retrieved"
