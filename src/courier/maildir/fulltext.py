"""The full-text index of a folder: which messages may hold a text (IMAP_FULLTEXT).

``pycourier-fulltext`` is an SQLite database beside the folder's index. For every message it knows it has
the trigrams (runs of three letters) of its text, folded as `collation.fold` does: of the bodies in one
table, of the header lines in another. A text of three letters or more can only be in messages that have
all of its trigrams. What the index gives is thus no answer but who has to be asked: SEARCH looks
into these messages, and into all that the index does not know. It knows a message by its UID and the
name of its file, since UIDs can be given anew when an old courierimapuiddb is restored.

Only the folder's owner reads and writes it, on a local file system. A crash leaves what was
committed, a batch of messages at a time. It may be deleted at any time; what is damaged, or of another
version, UIDVALIDITY or Unicode, is deleted and built anew. Messages that are gone stay in it until
they are the most: UIDs are never given again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from courier import log
from courier.maildir import fulltext_database as database
from courier.maildir.columns import Columns
from courier.maildir.fulltext_database import NAME
from courier.maildir.index import Index
from courier.maildir.numberset import NumberSet
from courier.message import text
from courier.message.collation import fold
from courier.message.message import Message

#: What SQLite puts beside a database while it writes.
JOURNAL = f"{NAME}-journal"
#: Letters of a message's text above which it is left to be searched itself.
_MAX_TEXT = 4 << 20


class Texts(NamedTuple):
    """A message's text, folded: its bodies, and its header lines."""

    body: str
    head: str


class Entry(NamedTuple):
    """A message as it is added."""

    uid: int
    name: bytes  # of its file
    texts: Texts | None  # None: it has been seen, and is never ruled out


@dataclass(frozen=True, slots=True)
class Candidates:
    """An answer, in UIDs: messages that may hold a text, and all of which the index can tell."""

    may_have: NumberSet
    known: NumberSet


def texts(data: bytes) -> Texts | None:
    """Give the text of a message as the index has it; None if it has to be searched itself."""
    message = Message(data)
    # What is searched has its blanks folded: no needle goes from one text to the next. SQLite's
    # tokenizer ends a text at NUL.
    body = "\n".join(map(fold, text.bodies(message))).replace("\0", "\n")
    head = "\n".join(map(fold, text.header_lines(message))).replace("\0", "\n")
    return Texts(body, head) if len(body) + len(head) <= _MAX_TEXT else None


class FullText:
    """The full-text index of one folder. Safe to call from several threads."""

    def __init__(self, folder: str, index_dir: str | None = None) -> None:
        """Nothing is opened for longer than a call."""
        self._index = Index(folder, index_dir)
        self._mutex = threading.Lock()
        self._known: tuple[int, int, NumberSet] = (0, 0, NumberSet())  # UIDVALIDITY, batches
        self._complained = False

    def is_ours(self) -> bool:
        """Tell whether this process may use the index."""
        return self._index.may_write()

    def candidates(
        self, uidvalidity: int, columns: Columns, needle: str, *, in_head: bool
    ) -> Candidates | None:
        """Tell where a folded text may be; None if the index can't say.

        Args:
            columns: the folder's.
            in_head: in the header lines, too.
        """
        query = database.query(needle)
        if query is None or not self.is_ours():
            return None
        try:
            with self._opened(uidvalidity) as connection:
                if connection is None:
                    return None
                known = self._all_known(connection, uidvalidity, columns)
                found = set(database.matching(connection, "body", query))
                if in_head:
                    found.update(database.matching(connection, "head", query))
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            return None
        return Candidates(NumberSet.of(found), known)

    def missing(self, uidvalidity: int, uids: Sequence[int]) -> list[tuple[int, int]]:
        """Give half-open ranges of ``uids``, which ascend, that the index has not seen."""
        try:
            with self._opened(uidvalidity) as connection:
                seen = NumberSet() if connection is None else database.seen(connection)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            seen = NumberSet()
        gaps = []
        at = 0
        for begin, end in seen.slices(uids):
            if at < begin:
                gaps.append((at, begin))
            at = end
        return [*gaps, (at, len(uids))] if at < len(uids) else gaps

    def add(self, uidvalidity: int, messages: Sequence[Entry]) -> None:
        """Add a batch of messages.

        Others see all of them or none, and so does a crash leave it.

        Raises:
            OSError, sqlite3.Error, Unusable: it can't be written.
        """
        with self._opened(uidvalidity, create=True) as connection:
            assert connection is not None
            connection.execute("BEGIN IMMEDIATE")
            seen = database.seen(connection)
            new = [one for one in messages if one.uid not in seen]
            told = [(one, one.texts) for one in new if one.texts is not None]
            for table, place in (("body", 0), ("head", 1)):
                rows = ((one.uid, database.storable(texts[place])) for one, texts in told)
                connection.executemany(f"INSERT INTO {table}(rowid, text) VALUES (?, ?)", rows)
            columns = (
                array("I", (one.uid for one, _ in told)),
                array("I", (database.name_of(one.name) for one, _ in told)),
                array("I", (one.uid for one in new if one.texts is None)),
            )
            connection.execute(
                "INSERT INTO batch(uids, names, untold) VALUES (?, ?, ?)",
                tuple(column.tobytes() for column in columns),
            )
            connection.execute("COMMIT")

    def drop_if_stale(self, uidvalidity: int, columns: Columns) -> None:
        """Begin anew if most of what is in the index is of messages that are gone, or some of others."""
        with contextlib.suppress(sqlite3.Error, OSError):
            with self._opened(uidvalidity) as connection:
                if connection is None:
                    return
                seen = len(database.seen(connection))
                present = database.names(connection).keys() & set(columns.uids)
                known = self._all_known(connection, uidvalidity, columns)
            if seen > 2 * len(columns) + 1000 or len(known) < len(present):
                self.drop()

    def drop(self) -> None:
        """Remove the index. Raises OSError."""
        # In this order: a database without its journal could be half of a batch.
        for name in (NAME, JOURNAL):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._index.path, name))

    @contextlib.contextmanager
    def _opened(
        self, uidvalidity: int, *, create: bool = False
    ) -> Iterator[sqlite3.Connection | None]:
        """Open the database; None if there is none for this UIDVALIDITY, unless it may be made."""
        path = os.path.join(self._index.path, NAME)
        is_there = database.is_ours(path)
        if not is_there and not create:
            yield None
            return
        if not is_there:
            self._make(path)
        with contextlib.closing(database.connect(path)) as connection:
            if create and not os.path.getsize(path):  # just made, by this process or another
                database.begin(connection, uidvalidity)
            if database.is_about(connection, uidvalidity):
                yield connection
                return
        if not create:
            yield None
            return
        self.drop()
        self._make(path)
        with contextlib.closing(database.connect(path)) as connection:
            database.begin(connection, uidvalidity)
            yield connection

    def _make(self, path: str) -> None:
        """Make an empty file: SQLite would let others read it."""
        with contextlib.suppress(FileExistsError):
            self._index.make_directory()
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _all_known(
        self, connection: sqlite3.Connection, uidvalidity: int, columns: Columns
    ) -> NumberSet:
        """Give the messages of the folder that are in the index, read again after it has grown."""
        (batches,) = connection.execute("SELECT max(number) FROM batch").fetchone()
        with self._mutex:
            if self._known[:2] != (uidvalidity, batches):
                names = database.names(connection)
                there = zip(columns.uids, columns.names, strict=True)
                known = NumberSet.of(
                    uid for uid, name in there if names.get(uid) == database.name_of(name)
                )
                self._known = (uidvalidity, batches, known)
            return self._known[2]

    def _give_up(self, error: Exception) -> None:
        """Throw away what is damaged; what is only busy or out of reach stays."""
        if not self._complained:
            self._complained = True
            log.index_unusable(self._index.path, error)
        is_damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        )
        if is_damaged or "malformed" in str(error):
            with contextlib.suppress(OSError):
                self.drop()
