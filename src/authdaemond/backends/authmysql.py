"""authmysql: accounts in a MySQL or MariaDB server. Settings: authmysqlrc. Library: PyMySQL."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authdaemond.backends import sql
from authdaemond.backends.backend import Unavailable
from authdaemond.backends.rcfile import RcFile, Reloaded
from authdaemond.backends.sql import ConnectionLost, Row, SqlBackend, Statements
from courier import paths
from courier.auth.account import Account

_pymysql: Any = importlib.import_module("pymysql")  # without annotations in Debian 12

FILE = paths.SYSCONFDIR / "authmysqlrc"
_CONNECT_S = 10
#: Seconds for an answer; what asked has 60 in all, and asks twice if the connection is lost.
_ANSWER_S = 20
#: The server has hung up or is going down, by its error numbers.
_LOST = frozenset((1053, 1077, 1079, 1927, 2006, 2013, 2055, 4031))


@dataclass(frozen=True, slots=True)
class Settings:
    server: str
    socket: str
    username: str
    password: str = field(repr=False)
    port: int
    flags: int
    database: str
    charset: str
    tls: Mapping[str, str]
    statements: Statements


def settings(file: RcFile) -> Settings:
    file.required("MYSQL_SERVER", "MYSQL_SOCKET")
    tls = {
        name: value
        for name, keys in {
            "key": ("MYSQL_SSL_KEY",),
            "cert": ("MYSQL_SSL_CERT",),
            "ca": ("MYSQL_SSL_CACERT",),
            "capath": ("MYSQL_SSL_CAPATH",),
            # Courier's own template has the second name, which Courier does not read.
            "cipher": ("MYSQL_SSL_CIPHER", "MYSQL_SSL_CIPHERS"),
        }.items()
        if (value := next(filter(None, map(file.text, keys)), ""))
    }
    return Settings(
        server=file.text("MYSQL_SERVER"),
        socket=file.text("MYSQL_SOCKET"),
        username=file.required("MYSQL_USERNAME"),
        password=file.text("MYSQL_PASSWORD"),
        port=file.number("MYSQL_PORT", most=65_535),
        flags=file.number("MYSQL_OPT"),
        database=file.required("MYSQL_DATABASE"),
        charset=file.text("MYSQL_CHARACTER_SET", "utf8mb4"),
        tls=tls if "ca" in tls or "capath" in tls else {},
        statements=sql.statements(
            file, "MYSQL", ("MYSQL_DEFAULTDELIVERY_FIELD", "MYSQL_DEFAULTDELIVERY"), where=False
        ),
    )


class AuthMysql(SqlBackend[Settings]):
    NAME = "authmysql"
    FILES = (FILE,)

    def __init__(self, file: Path = FILE) -> None:
        super().__init__(Reloaded(file, settings, self.NAME))

    def connect(self, settings: Settings) -> _Connection:
        return _Connection(settings)

    def account(self, row: Row) -> Account:
        if not row[5]:
            raise Unavailable("home of the row: expected a directory, found none")
        return Account(
            address=row[0] or "",
            uid=sql.number("uid", row[3], least=1),
            gid=sql.number("gid", row[4], least=1),
            home=row[5],
            maildir=row[6] or None,
            quota=row[7] or None,
            fullname=row[8] or None,
            passwd=sql.secret(row[1] or None),
            clear=sql.secret(row[2] or None),
            options=row[9] or None,
        )


class _Connection:
    def __init__(self, chosen: Settings) -> None:
        """Raises Unavailable."""
        try:
            self._server = _pymysql.connect(
                host=chosen.server or None,
                unix_socket=chosen.socket or None,
                user=chosen.username,
                password=chosen.password,
                port=chosen.port,
                client_flag=chosen.flags,
                database=chosen.database,
                charset=chosen.charset,
                # The name in the certificate is not compared, as Courier does not.
                ssl={**chosen.tls, "check_hostname": False} if chosen.tls else None,
                autocommit=True,
                conv={},  # values stay the text that the server sends
                connect_timeout=_CONNECT_S,
                read_timeout=_ANSWER_S,
                write_timeout=_ANSWER_S,
            )
        except _pymysql.MySQLError as error:
            raise Unavailable(f"cannot connect: {_words(error)}") from error
        except (KeyError, AttributeError, ValueError, OSError) as error:
            # An unknown character set; a certificate file that can't be used.
            raise Unavailable(f"cannot connect: {error}") from error

    def escape(self, value: str) -> str:
        escaped: str = self._server.escape_string(value)
        return escaped

    def rows(self, statement: str) -> Iterator[Row]:
        for row in self._run(statement).fetchall():
            yield [value if value is None else _text(value) for value in row]

    def change(self, statement: str) -> int:
        count: int = self._run(statement).rowcount
        return count

    def close(self) -> None:
        try:
            self._server.close()
        except _pymysql.MySQLError:
            pass

    def _run(self, statement: str) -> Any:
        cursor = self._server.cursor()
        try:
            cursor.execute(statement)
        except _pymysql.err.InterfaceError as error:
            raise ConnectionLost(_words(error)) from error
        except _pymysql.MySQLError as error:
            if error.args and error.args[0] in _LOST:
                raise ConnectionLost(_words(error)) from error
            raise Unavailable(_words(error)) from error
        except (OSError, UnicodeEncodeError) as error:
            raise Unavailable(str(error)) from error
        return cursor


def _words(error: Exception) -> str:
    return " ".join(str(part) for part in error.args) or type(error).__name__


def _text(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


BACKEND = AuthMysql
