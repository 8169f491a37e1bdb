"""MariaDB, PostgreSQL and slapd, each with its data in a directory and a port of its own.

They are Debian's programs, run in the foreground as processes of the test, which can stop one and
start it again on the same data and port.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from tests.support.daemon import free_port
from tests.support.servers import ROOT

LIMIT_S = 60.0
PASSWORD = "secret"

TABLE = (
    "CREATE TABLE passwd (id varchar(128) NOT NULL, crypt varchar(128) DEFAULT '' NOT NULL, "
    "clear varchar(128) DEFAULT '' NOT NULL, name varchar(128) DEFAULT '' NOT NULL, "
    "uid integer DEFAULT 65534 NOT NULL, gid integer DEFAULT 65534 NOT NULL, "
    "home varchar(255) DEFAULT '' NOT NULL, maildir varchar(255) DEFAULT '' NOT NULL, "
    "defaultdelivery varchar(255) DEFAULT '' NOT NULL, quota varchar(255) DEFAULT '' NOT NULL, "
    "options varchar(255) DEFAULT '')"
)
COLUMNS = "id, crypt, clear, name, uid, gid, home, maildir, defaultdelivery, quota, options"


class Server(ABC):
    """A server below ``directory``. A context manager: it runs inside."""

    #: Without these files the package is not installed.
    NEEDED: tuple[str, ...]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / "log"
        directory.mkdir(mode=0o755)
        self.prepare()

    @classmethod
    def is_installed(cls) -> bool:
        return all(Path(path).exists() for path in cls.NEEDED)

    @abstractmethod
    def prepare(self) -> None:
        """Make the data directory."""

    @abstractmethod
    def command(self) -> list[str]:
        """The server in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it takes requests."""

    def user(self) -> int | None:
        return None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=self.user()
            )
        give_up = time.monotonic() + LIMIT_S
        while not self.answers():
            assert self._process.poll() is None, self._log.read_text(errors="replace")
            assert time.monotonic() < give_up, self._log.read_text(errors="replace")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once, as a crash does: what it has promised is on disk."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT if isinstance(self, Postgres) else signal.SIGKILL)
            process.wait(LIMIT_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True


class MariaDb(Server):
    NEEDED = ("/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db", "/usr/bin/mariadb")

    def prepare(self) -> None:
        _run(
            "mariadb-install-db",
            "--no-defaults",
            *(f"--datadir={self.directory}/data", "--skip-test-db", f"--user={_name()}"),
            "--auth-root-authentication-method=normal",
        )

    def command(self) -> list[str]:
        return [
            *("mariadbd", "--no-defaults", f"--datadir={self.directory}/data"),
            *(f"--socket={self.directory}/socket", f"--port={self.port}"),
            *("--bind-address=127.0.0.1", f"--user={_name()}", "--innodb-buffer-pool-size=8M"),
            *("--innodb-log-file-size=4M", f"--pid-file={self.directory}/pid"),
        ]

    def answers(self) -> bool:
        return self.listens() and self._client("SELECT 1", check=False) == 0

    def sql(self, *statements: str, database: str = "") -> None:
        self._client(";\n".join(statements), database)

    def _client(self, text: str, database: str = "", *, check: bool = True) -> int:
        where = (f"--socket={self.directory}/socket", "--user=root")
        command = ["mariadb", "--no-defaults", *where, *([database] if database else [])]
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.returncode


class Postgres(Server):
    NEEDED = tuple(
        str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1:]
    ) or ("/usr/lib/postgresql/bin/initdb",)

    def prepare(self) -> None:
        self._programs = Path(self.NEEDED[0]).parent
        if (user := self.user()) is not None:
            os.chown(self.directory, user, -1)
        _run(
            str(self._programs / "initdb"),
            *("-D", f"{self.directory}/data", "-U", "postgres", "-A", "scram-sha-256"),
            *("--pwfile", str(self._password_file()), "-E", "UTF8", "--no-sync"),
            user=self.user(),
        )

    def _password_file(self) -> Path:
        path = self.directory / "password"
        path.write_text(PASSWORD)
        path.chmod(0o644)
        return path

    def user(self) -> int | None:
        """The server refuses to be root."""
        return pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None

    def command(self) -> list[str]:
        return [
            *(str(self._programs / "postgres"), "-D", f"{self.directory}/data"),
            *("-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-c", "shared_buffers=8MB"),
        ]

    def answers(self) -> bool:
        return self.listens() and self._client("SELECT 1", check=False) == 0

    def sql(self, *statements: str) -> None:
        self._client(";\n".join(statements))

    def _client(self, text: str, *, check: bool = True) -> int:
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-q")
        done = subprocess.run(
            [str(self._programs / "psql"), *where, "-v", "ON_ERROR_STOP=1", "-d", "postgres"],
            input=text.encode(),
            capture_output=True,
            env={**os.environ, "PGPASSWORD": PASSWORD},
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.returncode


class Slapd(Server):
    NEEDED = ("/usr/sbin/slapd", "/usr/sbin/slapadd", "/usr/bin/openssl")
    BASE = "o=example"
    ADMIN = f"cn=admin,{BASE}"

    def __init__(self, directory: Path, ldif: str) -> None:
        self._ldif = ldif
        super().__init__(directory)

    def prepare(self) -> None:
        (self.directory / "data").mkdir()
        _run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", f"{self.directory}/key", "-out", f"{self.directory}/cert"),
        )
        (self.directory / "slapd.conf").write_text(
            "".join(
                f"include /etc/ldap/schema/{name}.schema\n"
                for name in ("core", "cosine", "inetorgperson", "nis")
            )
            + "modulepath /usr/lib/ldap\nmoduleload back_mdb\n"
            + f"pidfile {self.directory}/pid\n"
            + f"TLSCertificateFile {self.directory}/cert\n"
            + f"TLSCertificateKeyFile {self.directory}/key\n"
            + f"include {ROOT}/doc/authldap.schema\n"
            + f'database mdb\nsuffix "{self.BASE}"\nrootdn "{self.ADMIN}"\nrootpw {PASSWORD}\n'
            + f"directory {self.directory}/data\nmaxsize 10485760\n"
            + "access to attrs=userPassword,clearPassword by self write by anonymous auth by * none\n"
            + "access to * by * read\n"
        )
        ldif = self.directory / "ldif"
        ldif.write_text(self._ldif)
        _run("slapadd", "-f", f"{self.directory}/slapd.conf", "-l", str(ldif))

    def command(self) -> list[str]:
        return [
            *("slapd", "-f", f"{self.directory}/slapd.conf", "-d", "0"),
            *("-h", f"ldap://127.0.0.1:{self.port}"),
        ]

    def answers(self) -> bool:
        return self.listens()

    @property
    def certificate(self) -> Path:
        return self.directory / "cert"


@contextlib.contextmanager
def open_directory() -> Iterator[Path]:
    """Give a directory that other users may enter: servers and modules run as users of their own."""
    with tempfile.TemporaryDirectory(prefix="pycourier-", dir="/var/tmp") as path:
        Path(path).chmod(0o755)
        yield Path(path)


def _run(*command: str, user: int | None = None) -> None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    program = shutil.which(command[0], path=path) or command[0]
    done = subprocess.run(
        [program, *command[1:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        user=user,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, (command[0], done.stdout[-2000:], done.stderr[-2000:])


def _name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def rc_file(path: Path, settings: Sequence[tuple[str, str]]) -> None:
    """Write a module's settings file, complete with the line that says so."""
    lines = [f"{name}\t{value}\n" for name, value in settings if value]
    path.write_text("".join(lines) + "##NAME: MARKER:0\n")
    path.chmod(0o644)
