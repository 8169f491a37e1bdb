"""Accounts in a table: what authmysql, authpgsql and authsqlite share.

A lookup is one SELECT, made of the table's and columns' names or given whole by the administrator,
who names the userid's halves as ``$(local_part)`` and ``$(domain)`` between quotes of his own. So
what a client sends goes into a statement as text, escaped by the connection that will take it, which
knows the server's rules and character set; Courier leaves it unescaped where passwords are changed.

Whatever keeps a database from answering (it is away, a statement is wrong, a row has no usable
numbers) is a temporary failure here, for lookups and log-ins alike. Courier's authmysql and authpgsql
tell clients then that their passwords are wrong.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from authdaemond import log
from authdaemond.backends import comparison
from authdaemond.backends.backend import (
    Backend,
    Rejected,
    Unavailable,
    check_cram,
    check_password,
    response,
)
from authdaemond.backends.rcfile import RcFile, Reloaded
from courier.auth import passwords
from courier.auth.account import Account, Secret
from courier.auth.request import Authenticate, ChangePassword, Lookup

_VARIABLE = re.compile(r"\$\(([^)]*)\)")
_NUMBER = re.compile(r"[0-9]{1,10}\Z")
#: Columns of a lookup, and the first of them that there have to be.
_COLUMNS = 10
_NEEDED = 6

Row = Sequence[str | None]


class ConnectionLost(Exception):
    """The server hung up: the statement may be sent once more, on another connection."""


class Connection(Protocol):
    """One database connection. Every method raises `ConnectionLost` or `Unavailable`."""

    def escape(self, value: str) -> str:
        """Give what stands for ``value`` between single quotes."""

    def rows(self, statement: str) -> Iterator[Row]:
        """Run a SELECT."""

    def change(self, statement: str) -> int:
        """Run an UPDATE and give the number of rows that it met."""

    def close(self) -> None:
        """Hang up. Never raises."""


@dataclass(frozen=True, slots=True)
class Statements:
    """What is sent to the server, and the places in it that are filled for each request."""

    lookup: str  # $(userid), or the administrator's
    delivery: str  # the same for service `courier`
    enumerate: str
    change: str  # $(userid) $(newpass) $(newpass_crypt)
    default_domain: str
    crypt: bool  # whether the table has a column for hashes
    clear: bool


def statements(file: RcFile, prefix: str, delivery: Sequence[str], *, where: bool) -> Statements:
    """Read the settings that the three modules have in common.

    Args:
        prefix: of their names: MYSQL, PGSQL, SQLITE.
        delivery: names under which the column of delivery instructions is known.
        where: MODULE_WHERE_CLAUSE restricts password changes, too.

    Raises:
        RcError: a setting is missing.
    """

    def given(name: str, default: str = "") -> str:
        return file.text(f"{prefix}_{name}", default)

    own = [given(f"{verb}_CLAUSE") for verb in ("SELECT", "ENUMERATE", "CHPASS")]
    table = given("USER_TABLE") if all(own) else file.required(f"{prefix}_USER_TABLE")
    crypt, clear = given("CRYPT_PWFIELD"), given("CLEAR_PWFIELD")
    if not all(own):
        file.required(f"{prefix}_CRYPT_PWFIELD", f"{prefix}_CLEAR_PWFIELD")
    login = given("LOGIN_FIELD", "id")
    uid, gid, home = (
        given("UID_FIELD", "uid"),
        given("GID_FIELD", "gid"),
        given("HOME_FIELD", "home"),
    )
    maildir, options = given("MAILDIR_FIELD", "''"), given("AUXOPTIONS_FIELD", "''")
    condition = given("WHERE_CLAUSE", "1=1")
    instead = next(filter(None, map(file.text, delivery)), "''")

    def select(destination: str) -> str:
        columns = (login, crypt or "''", clear or "''", uid, gid, home, destination)
        more = (given("QUOTA_FIELD", "''"), given("NAME_FIELD", "''"), options)
        return (
            f"SELECT {', '.join((*columns, *more))} FROM {table} "
            f"WHERE {login} = '$(userid)' AND ({condition})"
        )

    changes = [(clear, "$(newpass)"), (crypt, "$(newpass_crypt)")]
    new = ", ".join(f"{name}='{value}'" for name, value in changes if name)
    change = f"UPDATE {table} SET {new} WHERE {login}='$(userid)'"
    return Statements(
        lookup=own[0] or select(maildir),
        delivery=own[0] or select(instead),
        enumerate=own[1]
        or f"SELECT {login}, {uid}, {gid}, {home}, {maildir}, {options} FROM {table} WHERE {condition}",
        change=own[2] or (f"{change} AND ({condition})" if where else change),
        default_domain=file.text("DEFAULT_DOMAIN").removeprefix("@"),
        crypt=bool(crypt) or bool(own[0]),
        clear=bool(clear) or bool(own[0]),
    )


class Settings(Protocol):
    """A module's settings."""

    @property
    def statements(self) -> Statements: ...


S = TypeVar("S", bound=Settings)
T = TypeVar("T")


class SqlBackend(Backend, ABC, Generic[S]):
    """One connection to a database, opened when it is needed."""

    #: As it stands in authmodulelist.
    NAME: str

    def __init__(self, settings: Reloaded[S]) -> None:
        self._reloaded = settings
        self._connection: Connection | None = None

    @abstractmethod
    def connect(self, settings: S) -> Connection:
        """Raises Unavailable."""

    @abstractmethod
    def account(self, row: Row) -> Account:
        """Make an account of a lookup's row of `_COLUMNS`. Raises Unavailable."""

    # -- requests ----------------------------------------------------------------------------

    def lookup(self, request: Lookup) -> Account:
        account = self._found(request.service, request.userid)
        if not account.home:
            raise Rejected
        return account

    def login(self, request: Authenticate) -> Account:
        account = self._found(request.service, request.first)
        _check(account, request.second)
        return replace(account, clear=request.second)

    def cram(self, request: Authenticate) -> Account:
        answer = response(request)
        account = self._found(request.service, answer.userid)
        check_cram(answer, account.clear)
        return account

    def change_password(self, request: ChangePassword) -> None:
        account = self._found(request.service, request.userid)
        _check(account, request.old)
        stored = account.passwd.reveal() if account.passwd else b""
        values = {
            "newpass": _utf8(request.new.reveal()),
            "newpass_crypt": passwords.like(request.new.reveal(), stored).decode("latin-1"),
        }
        settings = self._settings()
        userid = _utf8(request.userid)

        def change(connection: Connection) -> int:
            filled = {name: connection.escape(value) for name, value in values.items()}
            filled |= _names(settings.statements, connection, userid, request.service)
            return connection.change(_filled(settings.statements.change, filled))

        if not self._run(settings, change) and self.NAME == "authsqlite":
            raise Unavailable("the password's row was not changed")

    def check(self) -> None:
        self._settings()

    def accounts(self) -> Iterator[Account]:
        if not self._reloaded.is_there:
            return
        settings = self._settings()
        domain = settings.statements.default_domain
        values = {"local_part": "*", "domain": domain, "service": "enumerate"}
        statement = _filled(settings.statements.enumerate, values)
        log.debug("SQL query: %s", statement)
        for row in self._run(settings, lambda connection: list(connection.rows(statement))):
            columns = [value or "" for value in row]
            if len(columns) < 4 or not columns[0] or not all(map(_NUMBER.match, columns[1:3])):
                continue
            columns += [""] * (_NEEDED - len(columns))
            if columns[3] or self.NAME != "authpgsql":
                yield Account(
                    address=columns[0],
                    uid=int(columns[1]),
                    gid=int(columns[2]),
                    home=columns[3],
                    maildir=columns[4] or None,
                    options=columns[5] or None,
                )

    # -- the database ------------------------------------------------------------------------

    def _settings(self) -> S:
        settings, is_new = self._reloaded.get()
        if is_new:
            self._hang_up()
        return settings

    def _found(self, service: bytes, userid: bytes) -> Account:
        """Return an account with what the table holds of its password.

        Raises:
            Rejected: there is none.
        """
        settings = self._settings()
        made = settings.statements
        name = _utf8(userid)

        def select(connection: Connection) -> list[Row]:
            clause = made.delivery if service == b"courier" else made.lookup
            statement = _filled(clause, _names(made, connection, name, service))
            log.debug("SQL query: %s", statement)
            return list(connection.rows(statement))

        rows = self._run(settings, select)
        if not rows:
            log.debug("zero rows returned")
            raise Rejected
        if len(rows) > 1 and self.NAME == "authsqlite":
            raise Unavailable("Multiple rows returned")
        if len(rows[0]) < _NEEDED:
            raise Unavailable(f"expected {_NEEDED} columns or more of a row, found {len(rows[0])}")
        account = self.account([*rows[0], *[None] * _COLUMNS][:_COLUMNS])
        log.found(self.NAME, account)
        return account

    def _run(self, settings: S, call: Callable[[Connection], T]) -> T:
        """Call with the connection, and with another one if that turns out to be lost."""
        for is_last in (False, True):
            if self._connection is None:
                self._connection = self.connect(settings)
            try:
                return call(self._connection)
            except ConnectionLost as error:
                self._hang_up()
                if is_last:
                    raise Unavailable(str(error)) from error
            except Unavailable:
                self._hang_up()
                raise
        raise AssertionError("not reached")

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def number(what: str, value: str | None, *, least: int = 0) -> int:
    """Read uid or gid.

    Raises:
        Unavailable: it is none, or below ``least``; a session must not run as somebody else.
    """
    if value is None or not _NUMBER.match(value) or int(value) < least:
        raise Unavailable(f"{what} of the row: expected a number from {least}, found {value!r}")
    return int(value)


def _names(made: Statements, connection: Connection, userid: str, service: bytes) -> dict[str, str]:
    escaped = connection.escape(userid)
    local_part, at, domain = escaped.partition("@")
    full = f"{escaped}@{made.default_domain}" if made.default_domain and not at else escaped
    return {
        "userid": full,
        "local_part": local_part,
        "domain": domain if at else made.default_domain,
        "service": connection.escape(_utf8(service)),
    }


def _filled(clause: str, values: dict[str, str]) -> str:
    """Put values into a clause, all at once: what one of them holds is no variable."""
    return _VARIABLE.sub(lambda found: values.get(found[1], ""), clause)


def _check(account: Account, given: Secret) -> None:
    """Compare with the hash if the table has one, else with the password itself."""
    if account.passwd or not account.clear:
        check_password(account.passwd or None, given)
        return
    comparison.with_clear_text()
    if account.clear != given:
        log.password_differs(given, account.clear)
        raise Rejected


def _utf8(octets: bytes) -> str:
    """Raises Rejected: no table holds what is no text."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        log.debug("not UTF-8: %s", octets)
        raise Rejected from None


def secret(value: str | None) -> Secret | None:
    return None if value is None else Secret(value.encode("utf-8", "surrogateescape"))
