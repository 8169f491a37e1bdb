"""authpgsql: accounts in a PostgreSQL server. Settings: authpgsqlrc. Library: psycopg 3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo, pq

from authdaemond.backends import sql
from authdaemond.backends.backend import Unavailable
from authdaemond.backends.rcfile import RcFile, Reloaded
from authdaemond.backends.sql import ConnectionLost, Row, SqlBackend, Statements
from courier import paths
from courier.auth.account import Account

FILE = paths.SYSCONFDIR / "authpgsqlrc"
_CONNECT_S = 10
_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


@dataclass(frozen=True, slots=True)
class Settings:
    connection: str = field(repr=False)  # libpq's connection string
    charset: str
    statements: Statements


def settings(file: RcFile) -> Settings:
    connection = file.required("PGSQL_CONNECTION")
    try:
        conninfo.conninfo_to_dict(connection)
    except psycopg.Error:
        raise file.wrong("PGSQL_CONNECTION", "a connection string of libpq") from None
    return Settings(
        connection=connection,
        charset=file.text("PGSQL_CHARACTER_SET"),
        statements=sql.statements(
            file, "PGSQL", ("PGSQL_DEFAULTDELIVERY", "PGSQL_DEFAULTDELIVERY_FIELD"), where=True
        ),
    )


class AuthPgsql(SqlBackend[Settings]):
    NAME = "authpgsql"
    FILES = (FILE,)

    def __init__(self, file: Path = FILE) -> None:
        super().__init__(Reloaded(file, settings, self.NAME))

    def connect(self, settings: Settings) -> _Connection:
        return _Connection(settings)

    def account(self, row: Row) -> Account:
        return Account(
            address=row[0] or "",
            uid=sql.number("uid", row[3]),
            gid=sql.number("gid", row[4]),
            home=row[5] or "",
            maildir=row[6] or None,
            quota=row[7] or None,
            fullname=row[8] or "",  # Courier: told even if there is none
            passwd=sql.secret(row[1] or None),
            clear=sql.secret(row[2] or None),
            options=row[9] or None,
        )


class _Connection:
    """Works on libpq's level, where values are the text that the server sends."""

    def __init__(self, chosen: Settings) -> None:
        """Raises Unavailable."""
        more: dict[str, Any] = {"connect_timeout": _CONNECT_S}
        more = {
            name: value
            for name, value in more.items()
            if name not in conninfo.conninfo_to_dict(chosen.connection)
        }
        if chosen.charset:
            more["client_encoding"] = chosen.charset
        try:
            self._connection = psycopg.connect(chosen.connection, autocommit=True, **more)
            self._encoding = self._connection.info.encoding
        except psycopg.Error as error:
            raise Unavailable(f"cannot connect: {_words(str(error))}") from error
        self._server = self._connection.pgconn

    def escape(self, value: str) -> str:
        escaped = pq.Escaping(self._server).escape_string(self._encoded(value))
        return bytes(escaped).decode(self._encoding)

    def rows(self, statement: str) -> Iterator[Row]:
        result = self._run(statement)
        for row in range(result.ntuples):
            values = (result.get_value(row, column) for column in range(result.nfields))
            yield [value if value is None else self._decoded(value) for value in values]

    def change(self, statement: str) -> int:
        return self._run(statement).command_tuples or 0

    def close(self) -> None:
        self._connection.close()

    def _run(self, statement: str) -> Any:
        try:
            result = self._server.exec_(self._encoded(statement))
        except psycopg.Error as error:
            raise ConnectionLost(_words(str(error))) from error
        if self._server.status != pq.ConnStatus.OK:
            raise ConnectionLost(_words(self._server.error_message.decode("utf-8", "replace")))
        if result.status not in _GOOD:
            raise Unavailable(_words(result.error_message.decode("utf-8", "replace")))
        return result

    def _encoded(self, value: str) -> bytes:
        try:
            return value.encode(self._encoding)
        except UnicodeEncodeError as error:
            raise Unavailable(f"not to be said in {self._encoding}") from error

    def _decoded(self, value: bytes) -> str:
        return value.decode(self._encoding, "surrogateescape")


def _words(text: str) -> str:
    return " ".join(text.split())


BACKEND = AuthPgsql
