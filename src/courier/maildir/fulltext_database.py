"""The database of a full-text index: its tables, and how it is asked (SQLite FTS5, trigrams).

``body`` and ``head`` have the trigrams of bodies and header lines, by UID, and neither texts nor places.
``batch`` has a row for each transaction: arrays of UIDs, of what is left of the names of their files, and
of UIDs whose messages have to be searched themselves.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import unicodedata
from array import array
from collections.abc import Iterator
from itertools import chain
from urllib.parse import quote
from zlib import crc32

from courier.maildir import filename
from courier.maildir.numberset import NumberSet

NAME = "pycourier-fulltext"
_VERSION = 2
#: Seconds to wait for another process that commits.
_WAIT_S = 2.0
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


def is_ours(path: str) -> bool:
    """Tell whether a database is there. What is not this user's own file is none."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise OSError(0, f"{NAME} is not a file of the folder's owner alone", path)
    return True


def connect(path: str) -> sqlite3.Connection:
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


def is_about(database: sqlite3.Connection, uidvalidity: int) -> bool:
    try:
        row = database.execute("SELECT version, uidvalidity, unicode FROM about").fetchone()
    except sqlite3.OperationalError as error:
        if "no such" in str(error):  # an empty file, or another's
            return False
        raise
    return bool(row == (_VERSION, uidvalidity, unicodedata.unidata_version))


def begin(database: sqlite3.Connection, uidvalidity: int) -> None:
    """Make the tables in an empty database, unless another process has just done so."""
    database.execute("BEGIN IMMEDIATE")
    if not is_about(database, uidvalidity):
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


def names(database: sqlite3.Connection) -> dict[int, int]:
    """Give what is left of the names of the messages in the index, by UID."""
    uids, names = _column(database, "uids"), _column(database, "names")
    return dict(zip(uids, names, strict=True))


def name_of(name: bytes) -> int:
    return crc32(filename.base(name))


def seen(database: sqlite3.Connection) -> NumberSet:
    return NumberSet.of(chain(_column(database, "uids"), _column(database, "untold")))


def storable(folded: str) -> str:
    """Replace what is no letter: a needle with such is never asked for."""
    return folded if folded.isascii() else folded.encode("utf-8", "replace").decode()


def query(needle: str) -> str | None:
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


def matching(database: sqlite3.Connection, table: str, query: str) -> Iterator[int]:
    for (uid,) in database.execute(f"SELECT rowid FROM {table} WHERE {table} MATCH ?", (query,)):
        yield uid
