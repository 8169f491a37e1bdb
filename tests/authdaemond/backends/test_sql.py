"""authmysql, authpgsql and authsqlite: with their servers, and beside Courier's own modules."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.authdaemond.test_daemon import auth
from tests.conftest import missing
from tests.support import authdaemon
from tests.support.authdaemon import Daemon, Load
from tests.support.courier_root import CourierRoot
from tests.support.databases import (
    COLUMNS,
    PASSWORD,
    TABLE,
    MariaDb,
    Postgres,
    Server,
    open_directory,
    rc_file,
)
from tests.support.servers import COURIER

KINDS = ("authmysql", "authpgsql", "authsqlite")
MD5CRYPT = "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1"  # secret

ROWS = (
    (
        "s1@example.com",
        MD5CRYPT,
        "",
        "S One, Room 5",
        5001,
        5001,
        "/h/s1",
        "/h/s1/Maildir",
        "",
        "",
        "",
    ),
    ("s2@example.com", "", "secret", "", 5002, 5002, "/h/s2", "", "|x", "1000S", "disableimap=1"),
    # The hash decides where there are both.
    ("s3@example.com", MD5CRYPT, "other", "S", 5003, 5003, "/h/s3", "", "", "", ""),
    (
        "s4@example.com",
        "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "",
        "Ü",
        5004,
        5004,
        "/h",
        "",
        "",
        "",
        "",
    ),
    ("nopw@example.com", "", "", "", 5005, 5005, "/h", "", "", "", ""),
    ("o'brien@example.com", "", "secret", "O'Brien", 5006, 5006, "/h/o'b", "", "", "", ""),
    ("nohome@example.com", "", "secret", "", 5007, 5007, "", "", "", "", ""),
)

#: What would be answered if one of them got out of its quotes, or in as somebody else.
INJECTIONS = (
    "' OR '1'='1",
    "' OR 1=1 -- ",
    "x' UNION SELECT id, '', 'secret', uid, gid, home, '', '', '', '' FROM passwd -- ",
    "\\' OR 1=1 -- ",
    "s2@example.com' -- ",
    "s2@example.com\\",
    "$(domain)",
    "s2@example.com'/*",
    "%",
    "_2@example.com",
    "\u00bf' OR 1=1 -- ",
)


class Site:
    """A database with accounts, of one kind, and the settings that lead there."""

    def __init__(self, kind: str, directory: Path, server: Server | None) -> None:
        self.kind = kind
        self.prefix = kind.removeprefix("auth").upper()
        self.server = server
        self.file = directory / "users.db"
        self.run(TABLE, *map(_insert, ROWS))

    def run(self, *statements: str) -> None:
        if isinstance(self.server, MariaDb):
            self.server.sql(*statements, database="mail")
        elif isinstance(self.server, Postgres):
            self.server.sql(*statements)
        else:
            with sqlite3.connect(self.file) as database:
                for statement in statements:
                    database.execute(statement)
            database.close()

    def settings(self, **changes: str) -> list[tuple[str, str]]:
        fields = {
            "USER_TABLE": "passwd",
            "CRYPT_PWFIELD": "crypt",
            "CLEAR_PWFIELD": "clear",
            "MAILDIR_FIELD": "maildir",
            "QUOTA_FIELD": "quota",
            "NAME_FIELD": "name",
            "AUXOPTIONS_FIELD": "options",
            "DEFAULTDELIVERY" + ("_FIELD" if self.kind == "authmysql" else ""): "defaultdelivery",
            **changes,
        }
        return [
            *self.place(),
            ("DEFAULT_DOMAIN", "example.com"),
            *((f"{self.prefix}_{name}", value) for name, value in fields.items()),
        ]

    def place(self) -> list[tuple[str, str]]:
        if isinstance(self.server, MariaDb):
            return [
                ("MYSQL_SERVER", "127.0.0.1"),
                ("MYSQL_PORT", str(self.server.port)),
                ("MYSQL_OPT", "0"),
                ("MYSQL_DATABASE", "mail"),
                ("MYSQL_USERNAME", "mail"),
                ("MYSQL_PASSWORD", PASSWORD),
                ("MYSQL_CHARACTER_SET", "utf8mb4"),
            ]
        if isinstance(self.server, Postgres):
            where = f"host=127.0.0.1 port={self.server.port} dbname=postgres user=postgres"
            return [("PGSQL_CONNECTION", f"{where} password={PASSWORD}")]
        return [("SQLITE_DATABASE", str(self.file))]

    @property
    def rc_name(self) -> str:
        return f"{self.kind}rc"


def _insert(row: Sequence[str | int]) -> str:
    values = ", ".join(
        str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
        for value in row
    )
    return f"INSERT INTO passwd ({COLUMNS}) VALUES ({values})"


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """The two servers, running."""
    for kind in (MariaDb, Postgres):
        if not kind.is_installed():
            missing(f"{kind.__name__}: {', '.join(kind.NEEDED)}")
    with (
        open_directory() as base,
        MariaDb(base / "mariadb") as mysql,
        Postgres(base / "pg") as pgsql,
    ):
        mysql.sql(
            "CREATE DATABASE mail CHARACTER SET utf8mb4",
            f"CREATE USER mail@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
            "GRANT ALL ON mail.* TO mail@'127.0.0.1'",
        )
        yield {"authmysql": mysql, "authpgsql": pgsql}


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, servers: dict[str, Server], place: Path) -> Iterator[Site]:
    made = Site(request.param, place, servers.get(request.param))
    yield made
    made.run("DROP TABLE passwd")


Start = Callable[..., Daemon]


@pytest.fixture
def start(site: Site, place: Path) -> Iterator[Start]:
    """Start our authdaemond with the site's module; it must stop in order and have had no bug."""
    daemons: list[Daemon] = []

    def start_ours(**changes: str) -> Daemon:
        (place / "etc").mkdir(exist_ok=True)
        rc_file(place / "etc" / site.rc_name, site.settings(**changes))
        settings = {"authmodulelist": site.kind, "daemons": "1", "DEBUG_LOGIN": "1"}
        daemon = authdaemon.start_ours(place, settings)
        daemons.append(daemon)
        return daemon

    yield start_ours
    for daemon in daemons:
        assert daemon.stop() == 0, daemon.log
        assert "internal error" not in daemon.log, daemon.log


pytestmark = pytest.mark.slow


def login(userid: str, password: str = "secret") -> bytes:
    return auth(b"imap", b"login", userid.encode(), password.encode())


def test_injections(site: Site, start: Start) -> None:
    """What looks like SQL is a userid that nobody has, in default statements and in given ones."""
    clause = (
        "SELECT id, crypt, clear, uid, gid, home FROM passwd "
        "WHERE id = '$(local_part)@$(domain)' OR id = '$(service)$(local_part)'"
    )
    for changes in ({}, {"SELECT_CLAUSE": clause}):
        daemon = start(**changes)

        answers = [daemon.ask(login(userid)) for userid in INJECTIONS]
        answers += [daemon.ask(b"PRE . imap %b\n" % userid.encode()) for userid in INJECTIONS]

        assert answers == [b"FAIL\n"] * len(answers), daemon.log
        assert daemon.ask(login("o'brien@example.com")).startswith(b"UID=5006\n"), daemon.log
        daemon.stop()


def test_injection_by_password_change(site: Site, start: Start) -> None:
    """Courier leaves the userid unescaped in a given CHPASS clause."""
    daemon = start(
        CHPASS_CLAUSE=(
            "UPDATE passwd SET clear='$(newpass)', crypt='$(newpass_crypt)' "
            "WHERE id = '$(local_part)@$(domain)'"
        )
    )

    changed = daemon.ask(b"PASSWD imap\to'brien@example.com\tsecret\tne'w\\\n")

    assert changed == b"OK\n", daemon.log
    assert daemon.ask(login("o'brien", "ne'w\\")).startswith(b"UID=5006\n")
    assert daemon.ask(login("s2@example.com")).startswith(b"UID=5002\n"), (
        "only one row was to change"
    )


def test_password_change(site: Site, start: Start) -> None:
    """Only the columns that the settings name; the hash keeps its kind; at once in force."""
    daemon = start()

    assert daemon.ask(b"PASSWD imap\ts1@example.com\tbad\tnew1\n") == b"FAIL\n"
    assert daemon.ask(b"PASSWD imap\ts1@example.com\tsecret\tnew1\n") == b"OK\n", daemon.log

    answer = daemon.ask(login("s1@example.com", "new1"))
    assert b"\nPASSWD=$1$" in answer, answer
    assert daemon.ask(login("s1@example.com")) == b"FAIL\n"


def test_default_domain_and_default_delivery(site: Site, start: Start) -> None:
    daemon = start()

    assert b"\nADDRESS=s2@example.com\n" in daemon.ask(login("s2"))
    assert b"\nMAILDIR=|x\n" in daemon.ask(b"PRE . courier s2\n")
    assert b"MAILDIR" not in daemon.ask(b"PRE . imap s2\n")


def test_cram_needs_the_password_itself(site: Site, start: Start) -> None:
    daemon = start()
    challenge = b"PDEyMzQuNTY3OEBob3N0Pg=="
    digest = b"01236d2ce6449b8aafd9cfcd7749d09e"

    def answer(userid: bytes) -> bytes:
        encoded = base64.b64encode(userid + b" " + digest)
        return daemon.ask(auth(b"imap", b"cram-md5", challenge, encoded))

    assert b"\nPASSWD2=secret\n" in answer(b"s2@example.com"), daemon.log
    assert answer(b"s1@example.com") == b"FAIL\n"
    assert answer(b"s3@example.com") == b"FAIL\n"


def test_statement_that_the_server_refuses(site: Site, start: Start) -> None:
    """A temporary failure, whose reason stands in the log; the daemon goes on."""
    daemon = start(SELECT_CLAUSE="SELECT nosuchcolumn FROM nosuchtable")

    assert daemon.ask(login("s1@example.com")) == b""
    assert "nosuch" in daemon.log


def test_too_few_columns(site: Site, start: Start) -> None:
    daemon = start(SELECT_CLAUSE="SELECT id, crypt FROM passwd WHERE id='s1@example.com'")

    assert daemon.ask(login("s1@example.com")) == b""
    assert "columns" in daemon.log


def test_file_that_is_replaced_while_the_daemon_runs(site: Site, start: Start, place: Path) -> None:
    """The next request has the new settings; bad ones leave the old in force."""
    daemon = start()
    file = place / "etc" / site.rc_name
    assert daemon.ask(b"PRE . imap s2\n").startswith(b"UID=5002\n")

    rc_file(file, site.settings(WHERE_CLAUSE="uid < 5002"))
    assert daemon.ask(b"PRE . imap s2\n") == b"FAIL\n"
    file.write_text("unfinished\n")
    assert daemon.ask(b"PRE . imap s1\n").startswith(b"UID=5001\n")
    assert "marker line not found" in daemon.log
    assert "will try again later" in daemon.log


@pytest.mark.root
def test_server_that_goes_and_comes_back(site: Site, start: Start) -> None:
    """Temporary failures while it is away, and no restart of ours afterwards."""
    daemon = start()
    assert daemon.ask(login("s1@example.com")).startswith(b"UID=5001\n")

    if site.server is None:
        site.file.rename(site.file.with_suffix(".away"))
    else:
        site.server.stop()
    assert daemon.ask(login("s1@example.com")) == b""
    assert daemon.ask(b"PRE . imap s1\n") == b""
    if site.server is None:
        site.file.with_suffix(".away").rename(site.file)
    else:
        site.server.start()

    assert daemon.ask(login("s1@example.com")).startswith(b"UID=5001\n"), daemon.log
    assert daemon.ask(login("s1@example.com", "bad")) == b"FAIL\n"


@pytest.mark.root
def test_server_that_goes_and_comes_back_under_load(site: Site, start: Start) -> None:
    """Nobody who knows a password is told that it is wrong; all get in once the server is back."""
    if site.server is None:
        pytest.skip("SQLite has no server")
    daemon = start()

    def is_account(said: bytes) -> bool:
        return said.startswith(b"UID=5001\n")

    with Load(daemon, login("s1@example.com")) as load:
        load.wait_for(is_account)
        site.server.stop()
        load.wait_for(lambda said: said == b"")
        site.server.start()
        load.wait_for(is_account, 40)

    assert all(said == b"" or is_account(said) for said in load.said), set(load.said)


# --- Beside Courier's -----------------------------------------------------------------------------

REQUESTS = (
    *(login(str(row[0])) for row in ROWS),
    *(login(str(row[0]), "bad") for row in ROWS),
    login("s1"),
    login("nobody@example.com"),
    b"PRE . imap s1@example.com\n",
    b"PRE . imap s2@example.com\n",
    b"PRE . courier s2@example.com\n",
    b"PRE . imap nopw@example.com\n",
    b"PRE . imap nobody@example.com\n",
    auth(
        b"imap",
        b"cram-md5",
        b"PDEyMzQuNTY3OEBob3N0Pg==",
        b"czJAZXhhbXBsZS5jb20gMDEyMzZkMmNlNjQ0OWI4YWFmZDljZmNkNzc0OWQwOWU=",
    ),
    b"ENUMERATE\n",
)


@pytest.mark.courier
@pytest.mark.root
def test_answers_as_couriers_module_does(site: Site, root: CourierRoot) -> None:
    """Octet for octet, but where Courier tells a database's failure as a wrong password."""
    module = COURIER / f"usr/lib/courier-authlib/lib{site.kind}.so.0"
    if not module.exists():
        missing(f"Debian's {module}, see `make tools`")
    if site.server is None:
        inside = root.path / "var/lib/courier/users.db"
        site.file.rename(inside)
        site.file = inside
    settings = [
        (name, value.removeprefix(str(root.path)) if name == "SQLITE_DATABASE" else value)
        for name, value in site.settings()
    ]
    rc_file(root.configuration / site.rc_name, settings)

    replies = []
    for ours in (False, True):
        daemon = authdaemon.start_inside(
            root, {"authmodulelist": site.kind, "daemons": "1", "DEBUG_LOGIN": "1"}, ours=ours
        )
        try:
            replies.append({request: daemon.ask(request) for request in REQUESTS})
        finally:
            daemon.stop()
        assert "Traceback" not in daemon.log, daemon.log

    theirs, mine = replies
    if site.kind == "authmysql":  # a home that is missing
        for password in ("secret", "bad"):
            request = login("nohome@example.com", password)
            assert (theirs.pop(request), mine.pop(request)) == (b"FAIL\n", b"")
    assert mine == theirs
