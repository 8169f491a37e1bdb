"""userdb's compiled files, userdb.dat and userdbshadow.dat, as readers see them.

GDBM databases with an account's name as the key and its fields as the value, `uid=5000|gid=5000|…`.
Fields whose name ends in `pw` are in the second file, which root alone may read. `makeuserdb` puts
new files in their place by renaming.
"""

from __future__ import annotations

import dbm.gnu
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from courier import paths

if TYPE_CHECKING:
    from _gdbm import _gdbm as GnuDatabase

SOURCE = paths.USERDB

#: The field that says in which file of a userdb directory the account stands: `default/`.
LOCATION = b"_"


class Unreadable(OSError):
    """The file is there but can't be read, or is no database."""


def compiled(source: Path) -> Path:
    return source.with_name(source.name + ".dat")


def compiled_shadow(source: Path) -> Path:
    return source.with_name(source.name + "shadow.dat")


def fields(record: bytes) -> dict[bytes, bytes]:
    """Take a record apart; a field without `=` has an empty value, and the first of a name counts."""
    found: dict[bytes, bytes] = {}
    for field in record.split(b"|"):
        name, _, value = field.partition(b"=")
        found.setdefault(name, value)
    return found


class Database:
    """One compiled file, kept open, and opened anew once another one has taken its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, ...] | None = None
        self._open: GnuDatabase | None = None

    def get(self, name: bytes) -> Mapping[bytes, bytes] | None:
        """Return the fields of ``name``, or None: no such name, or no such file.

        Raises:
            Unreadable: the file can't be read.
        """
        database = self._current()
        record = None if database is None else database.get(name)
        return None if record is None else fields(record)

    def all(self) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
        """Yield names and fields in the database's order.

        Raises:
            Unreadable: the file can't be read.
        """
        database = self._current()
        if database is None:
            return
        name = database.firstkey()
        while name is not None:
            yield name, fields(database[name])
            name = database.nextkey(name)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = self._identity = None

    def _current(self) -> GnuDatabase | None:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self.close()
            return None
        identity = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        if self._open is None or identity != self._identity:
            self.close()
            try:
                self._open = dbm.gnu.open(str(self._path), "r")  # noqa: SIM115
            except dbm.gnu.error as error:
                raise Unreadable(
                    error.errno, error.strerror or str(error), str(self._path)
                ) from error
            self._identity = identity
        return self._open
