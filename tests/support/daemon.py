"""imapd and imapd-ssl as real processes, on free ports of loopback, with settings of the test's.

A `Site` is one installation: settings, certificates, accounts with maildirs, an authdaemond. Its
daemons run in the foreground, write their log into a file, and are stopped by their process id.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.courier.net.authority import Signed, authority
from tests.support.client import Client, Connection
from tests.support.fake_authdaemond import Entry, FakeAuthdaemond, own_ids
from tests.support.maildirs import make_maildir
from tests.support.servers import MODULES

PATIENCE_S = 30.0

SETTINGS: Mapping[str, str] = {
    "ADDRESS": "127.0.0.1",
    "SSLADDRESS": "127.0.0.1",
    "MAXDAEMONS": "1000",
    "MAXPERIP": "1000",
    "IMAP_CAPABILITY": "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE",
    "IMAP_KEYWORDS": "1",
    "IMAP_BROKENUIDV": "1",
    "IMAP_LOGIN_PROCESSES": "2",
    "LOGIN_USER": "nobody",
}

#: Python imports it in all processes that are started with it in their path.
_SHORT_STEPS = "from courier.net import penalties\npenalties.STEP_S = 0.25\n"


class Site:
    """One installation in a directory that other users can reach."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="pycourier-"))
        self.path.chmod(0o755)
        self.etc = self.path / "etc"
        self.run = self.path / "run"
        self.homes = self.path / "homes"
        for directory in (self.etc, self.run, self.homes):
            directory.mkdir(mode=0o755)
        self.authority = authority()
        self.certificate = self.etc / "imapd.pem"
        self.issued = self.issue("localhost")
        self.authdaemond = FakeAuthdaemond(self.run / "authdaemon/socket")
        self.authdaemond.start()
        self.add_account("u@example.com", "pw")
        self.daemons: list[Daemon] = []

    def issue(self, name: str, path: Path | None = None) -> Signed:
        """Put a new certificate in place, by renaming, as who renews one should."""
        signed = self.authority.sign(name)
        target = path or self.certificate
        unfinished = signed.combined(self.etc / "unfinished")
        unfinished.chmod(0o600)
        unfinished.rename(target)
        return signed

    def add_account(
        self, userid: str, password: str, ids: tuple[int, int] | None = None, **attributes: str
    ) -> Path:
        """Make an account with a maildir; return the maildir."""
        uid, gid = ids or own_ids()
        home = self.homes / userid
        home.mkdir()
        maildir = make_maildir(home / "Maildir")
        give(home, uid, gid)
        told = {"UID": str(uid), "GID": str(gid), "HOME": str(home), "ADDRESS": userid}
        self.authdaemond.accounts[userid] = Entry(password, told | attributes)
        return maildir

    def write_settings(self, **changed: str) -> None:
        values = {
            **SETTINGS,
            "PIDFILE": str(self.run / "imapd.pid"),
            "SSLPIDFILE": str(self.run / "imapd-ssl.pid"),
            "IMAPACCESSFILE": str(self.etc / "imapaccess"),
            **changed,
        }
        of_ssl = {
            "IMAPDSTARTTLS": "YES",
            "TLS_CERTFILE": str(self.certificate),
            **{name: values.pop(name) for name in list(values) if name.startswith(("TLS_", "SSL"))},
        }
        for name in ("IMAPDSTARTTLS", "IMAP_TLS_REQUIRED"):
            if name in values:
                of_ssl[name] = values.pop(name)
        for name, settings in (("imapd", values), ("imapd-ssl", of_ssl)):
            self._write(name, settings)

    def write_pop3_settings(self, **changed: str) -> None:
        """Write pop3d and pop3d-ssl; TLS_* and SSL* go to the second."""
        values = {
            **{
                name: SETTINGS[name] for name in ("ADDRESS", "MAXDAEMONS", "MAXPERIP", "LOGIN_USER")
            },
            "PIDFILE": str(self.run / "pop3d.pid"),
            "POP3_LOGIN_PROCESSES": "2",
            **changed,
        }
        of_ssl = {
            "SSLADDRESS": "127.0.0.1",
            "SSLPIDFILE": str(self.run / "pop3d-ssl.pid"),
            "POP3_STARTTLS": "YES",
            "TLS_CERTFILE": str(self.certificate),
            **{name: values.pop(name) for name in list(values) if name.startswith(("TLS_", "SSL"))},
        }
        self._write("pop3d", values)
        self._write("pop3d-ssl", of_ssl)

    def _write(self, name: str, settings: Mapping[str, str]) -> None:
        lines = [f'{setting}="{value}"\n' for setting, value in settings.items()]
        (self.etc / name).write_text("".join(lines))

    def refuse_soon(self) -> None:
        """Have who fails to log in wait in short steps, where it is not the wait that is looked at."""
        (self.path / "sitecustomize.py").write_text(_SHORT_STEPS)

    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            **MODULES,
            "PYTHONPATH": f"{self.path}:{MODULES['PYTHONPATH']}",
            "PYCOURIER_SYSCONFDIR": str(self.etc),
            "PYCOURIER_RUNDIR": str(self.run),
            "PYCOURIER_AUTHDAEMONVAR": str(self.run / "authdaemon"),
        }

    def start(
        self,
        name: str = "imapd",
        *,
        wait: bool = True,
        user: tuple[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
        inherit: Mapping[str, socket.socket] | None = None,
        port: int | None = None,
        **settings: str,
    ) -> Daemon:
        """Start a daemon on a free port, and wait until it greets.

        Args:
            inherit: sockets to pass as a service manager does, by the names of their units.
        """
        port = port or free_port()
        which = "SSLPORT" if name.endswith("-ssl") else "PORT"
        write = self.write_pop3_settings if name.startswith("pop3d") else self.write_settings
        write(**{which: str(port), **settings})
        if user is not None:
            for file in self.etc.iterdir():
                os.chown(file, *user)
        daemon = Daemon(self, name, port, environment, user, inherit)
        self.daemons.append(daemon)
        if wait:
            daemon.wait_until_it_serves()
        return daemon

    def close(self) -> None:
        try:
            for daemon in self.daemons:
                daemon.stop()
            self.authdaemond.close()
        finally:
            shutil.rmtree(self.path)


class Daemon:
    """A running daemon: its master, and by the system's lists all that it forked."""

    def __init__(
        self,
        site: Site,
        name: str,
        port: int,
        environment: Mapping[str, str] | None = None,
        user: tuple[int, int] | None = None,
        inherit: Mapping[str, socket.socket] | None = None,
    ) -> None:
        self.site = site
        self.name = name
        self.port = port
        self._log = site.path / f"{name}-{port}.log"
        module = f"{name.removesuffix('-ssl')}.daemon"
        command = [sys.executable, "-m", module, "--config", str(site.etc), name]
        passed = [one.fileno() for one in (inherit or {}).values()]
        if inherit:
            environment = {**(environment or {}), "LISTEN_FDNAMES": ":".join(inherit)}
            numbers = ",".join(map(str, passed))
            command = [sys.executable, "-c", _AS_SYSTEMD_DOES, numbers, *command]
        with self._log.open("ab") as written:
            self.process = subprocess.Popen(
                command,
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                env={**site.environment(), **(environment or {})},
                user=user and user[0],
                group=user and user[1],
                extra_groups=user and (),
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for_log(self, pattern: str, count: int = 1) -> None:
        wait_until(lambda: len(re.findall(pattern, self.log, re.M)) >= count, lambda: self.log)

    def wait_until_it_serves(self) -> None:
        def greets() -> bool:
            assert self.process.poll() is None, self.log
            try:
                self.connect().close()
            except (ConnectionError, AssertionError):
                return False
            return True

        wait_until(greets, lambda: self.log)

    # -- processes -------------------------------------------------------------------------

    def children(self) -> list[int]:
        return children(self.pid)

    def login_processes(self) -> list[int]:
        """Those that hold a listening socket on our port."""
        return [pid for pid in self.children() if self.port in listening_ports(pid)]

    def workers(self) -> list[int]:
        return [pid for pid in self.children() if self.port not in listening_ports(pid)]

    def wait_for_workers(self, count: int) -> list[int]:
        found: list[int] = []

        def are_enough() -> bool:
            found[:] = self.workers()
            return len(found) == count

        wait_until(are_enough, lambda: f"{found}\n{self.log}")
        return found

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        """End it, and prove that it left nobody behind and wrote no traceback."""
        everybody = [self.pid, *self.children()] if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        assert not [pid for pid in everybody if is_alive(pid)]
        assert "Traceback" not in self.log, self.log

    # -- clients ---------------------------------------------------------------------------

    def raw(self, source: str = "127.0.0.1") -> socket.socket:
        """A connection that has said nothing."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S, (source, 0))

    def tls(self, context: ssl.SSLContext | None = None, name: str | None = None) -> socket.socket:
        return (context or anybody()).wrap_socket(self.raw(), server_hostname=name)

    def connect(self, source: str = "127.0.0.1") -> Peer:
        """A connection that was greeted."""
        if self.name.endswith("-ssl"):
            peer = Peer(anybody().wrap_socket(self.raw(source)))
        else:
            peer = Peer(self.raw(source))
        greeting = peer.line()
        assert greeting.startswith((b"* OK [", b"+OK Hello there.")), greeting
        return peer

    def let_in(self) -> Peer:
        """A connection that was greeted, once limits count those no more that have gone."""
        found: list[Peer] = []

        def is_let_in() -> bool:
            with suppress(AssertionError):
                found.append(self.connect())
            return bool(found)

        wait_until(is_let_in, lambda: self.log)
        return found[0]

    def session(self, userid: str = "u@example.com", password: str = "pw") -> Peer:
        """A connection that has logged in."""
        peer = self.connect()
        peer.log_in(userid, password)
        return peer


#: Puts descriptors at 3 and above, says whom they are for, and becomes the program.
_AS_SYSTEMD_DOES = """
import os, sys
numbers = [os.dup2(int(one), 100 + at) for at, one in enumerate(sys.argv[1].split(","))]
os.closerange(3, 100)
for at, number in enumerate(numbers):
    os.dup2(number, 3 + at)
os.closerange(3 + len(numbers), 200)
os.environ.update(LISTEN_FDS=str(len(numbers)), LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Peer:
    """One client, plain or TLS: sends and reads lines, with bounded waits."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.settimeout(PATIENCE_S)
        self._received = b""
        self._tags = 0

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> bytes:
        """The next line; empty at the end of the stream."""
        while b"\n" not in self._received:
            data = self._receive()
            if not data:
                line, self._received = self._received, b""
                return line
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line + b"\n"

    def exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            data = self._receive()
            assert data, "the connection ended early"
            self._received += data
        data, self._received = self._received[:size], self._received[size:]
        return data

    def rest(self) -> bytes:
        """All there is up to the end of the stream."""
        while data := self._receive():
            self._received += data
        data, self._received = self._received, b""
        return data

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def command(self, text: str) -> list[bytes]:
        """Send a command; return all lines up to and with its completion."""
        self._tags += 1
        tag = f"c{self._tags}".encode()
        self.send(tag + b" " + text.encode() + b"\r\n")
        return self.until(tag + b" ")

    def until(self, start: bytes) -> list[bytes]:
        lines = []
        while True:
            lines.append(self.line())
            assert lines[-1], f"closed after {lines}"
            if lines[-1].startswith(start):
                return lines

    def log_in(self, userid: str = "u@example.com", password: str = "pw") -> None:
        lines = self.command(f"LOGIN {userid} {password}")
        assert re.fullmatch(rb"\S+ OK (\[CAPABILITY [^]]+\] )?LOGIN Ok.\r\n", lines[-1]), lines

    def start_tls(self, context: ssl.SSLContext | None = None, name: str | None = None) -> None:
        assert b" OK " in self.command("STARTTLS")[-1]
        self.socket = (context or anybody()).wrap_socket(self.socket, server_hostname=name)

    def imap(self) -> Client:
        """A client that reads responses with literals; for plain connections."""
        return Client(Connection(self.socket.fileno(), self.socket.fileno()))

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def anybody() -> ssl.SSLContext:
    """A client's context that believes every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# --- The system ---------------------------------------------------------------------------------


def give(directory: Path, uid: int, gid: int) -> None:
    """Give a tree of directories and files to a user."""
    if os.geteuid() == 0:
        for path, _, files in os.walk(directory):
            os.chown(path, uid, gid)
            for name in files:
                os.chown(os.path.join(path, name), uid, gid)


def free_port() -> int:
    """A port that nobody has at any address, out of the range that clients are given."""
    while True:
        with socket.socket(socket.AF_INET6) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            port = random.randrange(12_000, 32_000)
            try:
                probe.bind(("::", port))
            except OSError:
                continue
            return port


def wait_until(
    condition: Callable[[], bool], what: Callable[[], object] = lambda: "", limit_s: float = 30.0
) -> None:
    """Poll what can't be waited for."""
    give_up = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < give_up, what()
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """Those that a process has started and not buried, oldest first; their numbers may begin anew."""
    try:
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def processor_time_s(pid: int) -> float:
    """What a process has used by now, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> dict[int, str]:
    """What a process has open."""
    found = {}
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                pass
    except OSError:
        pass
    return found


def tcp_sockets() -> dict[str, tuple[int, int, str]]:
    """Inode of each TCP socket of this machine: local port, remote port, state."""
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            local, remote = (int(fields[at].rpartition(":")[2], 16) for at in (1, 2))
            found[fields[9]] = (local, remote, fields[3])
    return found


def tcp_of(pid: int) -> list[tuple[int, int, str]]:
    """The TCP sockets that a process has open."""
    known = tcp_sockets()
    inodes = [one[8:-1] for one in descriptors(pid).values() if one.startswith("socket:[")]
    return [known[inode] for inode in inodes if inode in known]


def listening_ports(pid: int) -> set[int]:
    return {local for local, _, state in tcp_of(pid) if state == "0A"}


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Let a process not run for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
