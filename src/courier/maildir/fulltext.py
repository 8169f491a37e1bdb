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
import stat
import threading
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple
from urllib.parse import quote
from zlib import crc32

from courier import log
from courier.maildir import filename
from courier.maildir.columns import Columns
from courier.maildir.index import Index
from courier.maildir.numberset import NumberSet
from courier.message import text
from courier.message.collation import fold
from courier.message.message import Message

NAME = "pycourier-fulltext"
#: What SQLite puts beside a database while it writes.
JOURNAL = f"{NAME}-journal"
_VERSION = 1
#: Seconds to wait for another process that commits.
_WAIT_S = 2.0
#: Letters of a message's text above which it is left to be searched itself.
_MAX_TEXT = 4 << 20
#: Trigrams that are asked for: more make a long search no narrower.
_MAX_TRIGRAMS = 12

_TABLE = (
    "USING fts5(text, content='', columnsize=0, detail='none', tokenize='trigram case_sensitive 1')"
)
_SCHEMA = (
    "CREATE TABLE about (version INTEGER, uidvalidity INTEGER, unicode TEXT)",
    "CREATE TABLE batch (number INTEGER PRIMARY KEY, uids BLOB, names BLOB, untold BLOB)",
    f"CREATE VIRTUAL TABLE body {_TABLE}",
    f"CREATE VIRTUAL TABLE head {_TABLE}",
)


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
        query = _query(needle)
        if query is None or not self.is_ours():
            return None
        try:
            with self._opened(uidvalidity) as database:
                if database is None:
                    return None
                known = self._all_known(database, uidvalidity, columns)
                found = set(_matching(database, "body", query))
                if in_head:
                    found.update(_matching(database, "head", query))
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            return None
        return Candidates(NumberSet.of(found), known)

    def missing(self, uidvalidity: int, uids: Sequence[int]) -> list[tuple[int, int]]:
        """Give half-open ranges of ``uids``, which ascend, that the index has not seen."""
        try:
            with self._opened(uidvalidity) as database:
                seen = NumberSet() if database is None else _seen(database)
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
        with self._opened(uidvalidity, create=True) as database:
            assert database is not None
            database.execute("BEGIN IMMEDIATE")
            seen = _seen(database)
            new = [one for one in messages if one.uid not in seen]
            told = [(one, one.texts) for one in new if one.texts is not None]
            for table, place in (("body", 0), ("head", 1)):
                rows = ((one.uid, _storable(texts[place])) for one, texts in told)
                database.executemany(f"INSERT INTO {table}(rowid, text) VALUES (?, ?)", rows)
            columns = (
                array("I", (one.uid for one, _ in told)),
                array("I", (_name_of(one.name) for one, _ in told)),
                array("I", (one.uid for one in new if one.texts is None)),
            )
            database.execute(
                "INSERT INTO batch(uids, names, untold) VALUES (?, ?, ?)",
                tuple(column.tobytes() for column in columns),
            )
            database.execute("COMMIT")

    def drop_if_stale(self, uidvalidity: int, columns: Columns) -> None:
        """Begin anew if most of what is in the index is of messages that are gone, or some of others."""
        with contextlib.suppress(sqlite3.Error, OSError):
            with self._opened(uidvalidity) as database:
                if database is None:
                    return
                seen = len(_seen(database))
                present = _names(database).keys() & set(columns.uids)
                known = self._all_known(database, uidvalidity, columns)
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
        is_there = _is_ours(path)
        if not is_there and not create:
            yield None
            return
        if not is_there:
            self._make(path)
        with contextlib.closing(_connect(path)) as database:
            if _is_about(database, uidvalidity):
                yield database
                return
        if not create:
            yield None
            return
        self.drop()
        self._make(path)
        with contextlib.closing(_connect(path)) as database:
            _begin(database, uidvalidity)
            yield database

    def _make(self, path: str) -> None:
        """Make an empty file: SQLite would let others read it."""
        with contextlib.suppress(FileExistsError):
            self._index.make_directory()
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _all_known(
        self, database: sqlite3.Connection, uidvalidity: int, columns: Columns
    ) -> NumberSet:
        """Give the messages of the folder that are in the index, read again after it has grown."""
        (batches,) = database.execute("SELECT max(number) FROM batch").fetchone()
        with self._mutex:
            if self._known[:2] != (uidvalidity, batches):
                names = _names(database)
                there = zip(columns.uids, columns.names, strict=True)
                known = NumberSet.of(uid for uid, name in there if names.get(uid) == _name_of(name))
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


def _is_ours(path: str) -> bool:
    """Tell whether a database is there. What is not this user's own file is none."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise OSError(0, f"{NAME} is not a file of the folder's owner alone", path)
    return True


def _connect(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"file:{quote(path)}?mode=rw", uri=True, timeout=_WAIT_S, isolation_level=None
    )
    try:
        database.execute("PRAGMA trusted_schema=OFF")
        database.execute("PRAGMA journal_mode=TRUNCATE")
        database.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        database.close()
        raise
    return database


def _is_about(database: sqlite3.Connection, uidvalidity: int) -> bool:
    try:
        row = database.execute("SELECT version, uidvalidity, unicode FROM about").fetchone()
    except sqlite3.OperationalError as error:
        if "no such" in str(error):  # an empty file, or another's
            return False
        raise
    return bool(row == (_VERSION, uidvalidity, unicodedata.unidata_version))


def _begin(database: sqlite3.Connection, uidvalidity: int) -> None:
    database.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        database.execute(statement)
    about = (_VERSION, uidvalidity, unicodedata.unidata_version)
    database.execute("INSERT INTO about VALUES (?, ?, ?)", about)
    database.execute("COMMIT")


def _column(database: sqlite3.Connection, name: str) -> array[int]:
    found = array("I")
    for (octets,) in database.execute(f"SELECT {name} FROM batch ORDER BY number"):
        found.frombytes(octets)
    return found


def _names(database: sqlite3.Connection) -> dict[int, int]:
    """Give what is left of the names of the messages in the index, by UID."""
    uids, names = _column(database, "uids"), _column(database, "names")
    return dict(zip(uids, names, strict=True))


def _name_of(name: bytes) -> int:
    return crc32(filename.base(name))


def _seen(database: sqlite3.Connection) -> NumberSet:
    return NumberSet.of(chain(_column(database, "uids"), _column(database, "untold")))


def _storable(folded: str) -> str:
    """Replace what is no letter: a needle with such is never asked for."""
    return folded if folded.isascii() else folded.encode("utf-8", "replace").decode()


def _query(needle: str) -> str | None:
    """Ask for messages with these trigrams; None if a needle has none, or odd ones."""
    if len(needle) < 3 or "\0" in needle or not _is_plain(needle):
        return None
    starts = range(len(needle) - 2)
    if len(starts) > _MAX_TRIGRAMS:  # every third, so that each letter is in one
        starts = range(0, len(needle) - 2, max(3, len(starts) // _MAX_TRIGRAMS))
    trigrams = dict.fromkeys(needle[start : start + 3] for start in starts)
    return " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams)


def _is_plain(needle: str) -> bool:
    try:
        needle.encode()
    except UnicodeEncodeError:
        return False
    return True


def _matching(database: sqlite3.Connection, table: str, query: str) -> Iterator[int]:
    for (uid,) in database.execute(f"SELECT rowid FROM {table} WHERE {table} MATCH ?", (query,)):
        yield uid
