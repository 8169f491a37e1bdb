"""authsqlite: accounts in an SQLite database. Settings: authsqliterc."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from authdaemond.backends import sql
from authdaemond.backends.backend import Unavailable
from authdaemond.backends.rcfile import RcFile, Reloaded
from authdaemond.backends.sql import ConnectionLost, Row, SqlBackend, Statements
from courier import paths
from courier.auth.account import Account

FILE = paths.SYSCONFDIR / "authsqliterc"
#: Seconds that another program may keep the database locked.
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    database: str
    statements: Statements


def settings(file: RcFile) -> Settings:
    return Settings(
        database=file.required("SQLITE_DATABASE"),
        statements=sql.statements(
            file, "SQLITE", ("SQLITE_DEFAULTDELIVERY", "SQLITE_DEFAULTDELIVERY_FIELD"), where=False
        ),
    )


class AuthSqlite(SqlBackend[Settings]):
    NAME = "authsqlite"
    FILES = (FILE,)
    NEEDS_ROOT = True  # Courier: the database may be anybody's, who lets nobody else read it

    def __init__(self, file: Path = FILE) -> None:
        super().__init__(Reloaded(file, settings, self.NAME))

    def connect(self, settings: Settings) -> _Connection:
        return _Connection(settings.database)

    def account(self, row: Row) -> Account:
        return Account(
            address=row[0] or "",
            uid=sql.number("uid", row[3]),
            gid=sql.number("gid", row[4]),
            home=row[5] or "",
            maildir=row[6] or None,
            quota=row[7] or None,
            fullname=row[8] or "",
            # Courier: both are told even if there is none.
            passwd=sql.secret(row[1] or ""),
            clear=sql.secret(row[2] or ""),
            options=row[9] or None,
        )


class _Connection:
    def __init__(self, path: str) -> None:
        """Open a database that is there; none is made. Raises Unavailable."""
        self._path = path
        self._stamp = self._look()
        try:
            self._database = sqlite3.connect(
                f"file:{quote(path)}?mode=rw", uri=True, isolation_level=None, timeout=_PATIENCE_S
            )
        except sqlite3.Error as error:
            raise Unavailable(f"{path}: {error}") from error
        self._database.text_factory = lambda octets: octets.decode("utf-8", "surrogateescape")

    def escape(self, value: str) -> str:
        return value.replace("'", "''")

    def rows(self, statement: str) -> Iterator[Row]:
        for row in self._run(statement):
            yield [value if value is None else _text(value) for value in row]

    def change(self, statement: str) -> int:
        return self._run(statement).rowcount

    def close(self) -> None:
        self._database.close()

    def _run(self, statement: str) -> sqlite3.Cursor:
        if self._look() != self._stamp:
            raise ConnectionLost(f"{self._path}: replaced by another file")
        try:
            return self._database.execute(statement)
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path}: {error}") from error

    def _look(self) -> object:
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}") from error
        return found.st_dev, found.st_ino


def _text(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


BACKEND = AuthSqlite
