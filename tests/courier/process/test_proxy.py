"""courier.process.proxy: a real proxy process whose master, client and other hosts are the test."""

from __future__ import annotations

import os
import select
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from courier import log
from courier.auth.account import Secret
from courier.log import Peer
from courier.net import tls_client
from courier.process import channel, far_end, proxy
from courier.process.far_login import ENCRYPT, NEXT_LINE, Approach, FarEndFailed, FarLogin
from courier.process.loop import Loop
from courier.process.message import Kind, ProxyRequest
from courier.process.privileges import Ids
from courier.process.proxy import Passage, PreparedProxy
from courier.setting_reader import Encrypted
from tests.courier.net.authority import authority
from tests.support.daemon import is_alive, wait_until

ME = Ids(os.getuid(), os.getgid(), tuple(os.getgroups()))
PATIENCE_S = 20.0


class Proxy:
    """The process; ``ports`` are where its hosts listen, by name."""

    def __init__(
        self, directory: Path, ports: dict[str, int], encrypted: Encrypted, wait_s: float
    ) -> None:
        self.control, theirs = channel.pair()
        self._log = directory / "log"
        self._log.touch()
        trusted = directory / "trusted.pem"

        def make_approach(request: ProxyRequest, host: str) -> Approach:
            return Approach(ports.get(host, 9), encrypted, _log_in(host, encrypted))

        def prepare() -> PreparedProxy:
            tls = tls_client.context(trusted) if encrypted != "never" else None
            return PreparedProxy(make_approach, tls)

        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.control.close()
                descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND)
                log.use(descriptor)
                os.dup2(descriptor, 2)
                far_end._WAIT_S = wait_s
                proxy._LAST_S = 0.3
                proxy.run(theirs, ME, prepare)
            finally:
                os._exit(0)
        theirs.close()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def begin(self, number: int, *hosts: str, unread: bytes = b"") -> socket.socket:
        """Pass a client on; return its socket."""
        client, theirs = socket.socketpair()
        client.settimeout(PATIENCE_S)
        request = ProxyRequest(
            number=number,
            address="u@example.com",
            password=Secret(b"secret"),
            hosts=hosts,
            peer=Peer("::1", "1"),
            greeting=b"",
            unread=unread,
            protocol="IMAP",
            tls=False,
        )
        with theirs:
            channel.send(self.control, request.fields(), theirs.fileno())
        return client

    def say(self, kind: Kind) -> None:
        channel.send(self.control, [kind.value])

    def hear(self) -> list[bytes]:
        assert select.select([self.control], [], [], PATIENCE_S)[0], self.log
        received = channel.receive(self.control)
        assert received is not None
        return received[0]

    def close(self) -> None:
        if is_alive(self.pid):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.control.close()


def _log_in(host: str, encrypted: Encrypted) -> FarLogin:
    if encrypted == "starttls":
        yield b"tls\n"
        yield NEXT_LINE
        yield ENCRYPT
    yield b"hello\n"
    if (yield NEXT_LINE) != b"yes":
        raise FarEndFailed(f"{host} says no")
    return b"in\n"


class Host:
    """Another host, on a port of loopback; it serves one connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self.port: int = self._listener.getsockname()[1]
        self._connection: socket.socket | None = None

    def accept(self) -> socket.socket:
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(PATIENCE_S)
        return self._connection

    def let_in(self, more: bytes = b"") -> socket.socket:
        """Accept a connection and its log-in."""
        connection = self.accept()
        assert connection.recv(100) == b"hello\n"
        connection.sendall(b"yes\r\n" + more)
        return connection

    def close(self) -> None:
        self._listener.close()
        if self._connection is not None:
            self._connection.close()


Start = Callable[..., Proxy]


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


@pytest.fixture
def start(tmp_path: Path, host: Host) -> Iterator[Start]:
    started: list[Proxy] = []

    def start_proxy(
        ports: dict[str, int] | None = None,
        encrypted: Encrypted = "never",
        wait_s: float = PATIENCE_S,
    ) -> Proxy:
        known = {"127.0.0.1": host.port, "localhost": host.port, **(ports or {})}
        started.append(Proxy(tmp_path, known, encrypted, wait_s))
        return started[-1]

    yield start_proxy
    for one in started:
        one.close()
        assert "Traceback" not in one.log, one.log
        assert "secret" not in one.log


def everything(connection: socket.socket) -> bytes:
    said = bytearray()
    while data := connection.recv(65536):
        said += data
    return bytes(said)


def exactly(connection: socket.socket, size: int) -> bytes:
    said = bytearray()
    while len(said) < size and (data := connection.recv(size - len(said))):
        said += data
    return bytes(said)


class FarEndOfTests:
    """Takes everything."""

    is_blocked = False

    def __init__(self, *_: object) -> None:
        self.taken = b""

    def write(self, data: bytes) -> None:
        self.taken += data

    def abort(self) -> None: ...


def test_password_is_forgotten_when_a_host_is_reached() -> None:
    """It is not needed any more, and sessions last for days."""
    login = _log_in("host", "never")
    prepared = PreparedProxy(lambda request, host: Approach(9, "never", login), None)
    request = ProxyRequest(
        *(1, "u@example.com", Secret(b"secret"), ("host",), Peer("::1", "1")),
        *(b"", b"early", "IMAP", False),
    )
    far, loop = FarEndOfTests(), Loop()
    make: Any = lambda *_: far  # noqa: E731
    passage = Passage(loop, make, prepared, request, lambda kind: None, lambda: None)
    client, theirs = socket.socketpair()
    with client:
        passage.start(theirs)
        assert request in vars(passage).values()

        passage.reached(b"in")

        assert request not in vars(passage).values()
        assert (far.taken, client.recv(9)) == (b"early", b"in")
        passage.stop()
    loop.close()


# --- The relay --------------------------------------------------------------------------------------


def test_client_speaks_with_its_host(start: Start, host: Host) -> None:
    """What either has sent too early is not lost; master is told of beginning and end."""
    one = start()
    client = one.begin(7, "127.0.0.1", unread=b"early")
    far = host.let_in(more=b"more")
    assert one.hear() == [Kind.REACHED.value, b"7"]
    assert exactly(client, 7) == b"in\nmore"
    assert exactly(far, 5) == b"early"

    client.sendall(b"question")
    assert exactly(far, 8) == b"question"
    far.sendall(b"answer")
    far.close()

    assert everything(client) == b"answer"
    assert one.hear() == [Kind.ENDED.value, b"7"]


def test_client_that_ends_its_half(start: Start, host: Host) -> None:
    """The host sees the end, and what it has still to say arrives."""
    one = start()
    client = one.begin(1, "127.0.0.1")
    far = host.let_in()

    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)

    assert everything(far) == b"last words"
    far.sendall(b"x" * 100_000)
    far.close()
    assert everything(client) == b"in\n" + b"x" * 100_000


def test_client_that_goes(start: Start, host: Host) -> None:
    one = start()
    client = one.begin(1, "127.0.0.1")
    far = host.let_in()
    assert one.hear()[0] == Kind.REACHED.value

    client.close()

    assert everything(far) == b""
    far.close()
    assert one.hear() == [Kind.ENDED.value, b"1"]


@pytest.mark.parametrize("encrypted", ["never", "from start"])
def test_more_than_buffers_hold_both_ways(
    start: Start, host: Host, tmp_path: Path, encrypted: Encrypted
) -> None:
    """Whoever does not read holds up the other, and nothing else; all arrives, in order."""
    server = certified(tmp_path, "localhost")
    one = start(encrypted=encrypted)
    data = os.urandom(1 << 16) * 48
    client = one.begin(1, "localhost")
    if encrypted == "never":
        far = host.let_in()
    else:
        far = server.wrap_socket(host.accept(), server_side=True)
        assert far.recv(6) == b"hello\n"
        far.sendall(b"yes\n")
    assert exactly(client, 3) == b"in\n"
    one.hear()
    up = threading.Thread(target=client.sendall, args=(data,))
    up.start()
    received = bytearray()
    while len(received) < len(data):
        received += far.recv(65536)
    up.join()
    down = threading.Thread(target=far.sendall, args=(data,))
    down.start()
    other = one.begin(2, "127.0.0.2")  # nobody there: the process still answers
    assert one.hear() == [Kind.FAILED.value, b"2"]

    read = exactly(client, len(data))
    down.join()

    assert received == data
    assert read == data
    client.close()
    other.close()
    far.close()


def test_stop_closes_both(start: Start, host: Host) -> None:
    """Nothing of ours gets into the middle of a response."""
    one = start()
    client = one.begin(1, "127.0.0.1")
    far = host.let_in()
    assert exactly(client, 3) == b"in\n"

    one.say(Kind.STOP)

    assert everything(client) == b""
    assert everything(far) == b""
    wait_until(lambda: not is_alive(one.pid), lambda: one.log)


# --- Hosts that are none ----------------------------------------------------------------------------


def test_each_host_is_tried(start: Start, host: Host) -> None:
    """One can't be looked up, at one nobody listens, one refuses."""
    one = start()
    client = one.begin(1, "no such name.invalid", "127.0.0.2", "127.0.0.1")

    host.accept().sendall(b"no\n")

    assert one.hear() == [Kind.FAILED.value, b"1"]
    assert one.hear() == [Kind.ENDED.value, b"1"]
    assert everything(client) == b""
    said = one.log.splitlines()
    assert said[0].startswith("WARN: Cannot look up no such name.invalid: ")
    assert said[1:] == [
        "WARN: Cannot connect to 127.0.0.2: Connection refused",
        "WARN: 127.0.0.1 says no",
    ]


@pytest.mark.parametrize("name", ["", ".", "a" * 300, "a..b", "\udcff", "x\ny", "-", "1.2.3.4.5"])
def test_names_that_are_none(start: Start, name: str) -> None:
    one = start()
    client = one.begin(1, name)

    assert one.hear() == [Kind.FAILED.value, b"1"]
    client.close()
    assert one.log.count("\n") == 1


def test_host_that_says_nothing(start: Start, host: Host) -> None:
    one = start(wait_s=0.2)
    client = one.begin(1, "127.0.0.1")
    far = host.accept()

    assert one.hear() == [Kind.FAILED.value, b"1"]
    assert everything(far) == b"hello\n"
    assert one.log == "WARN: 127.0.0.1 does not answer\n"
    client.close()


def test_host_that_closes(start: Start, host: Host) -> None:
    one = start()
    client = one.begin(1, "127.0.0.1")
    host.accept().close()

    assert one.hear() == [Kind.FAILED.value, b"1"]
    assert one.log == "WARN: 127.0.0.1 closed the connection\n"
    client.close()


def test_host_that_comes_to_no_end(start: Start, host: Host) -> None:
    """What it says before it accepts a log-in is bounded."""
    one = start()
    client = one.begin(1, "127.0.0.1")
    far = host.accept()
    with pytest.raises(OSError):
        while True:
            far.sendall(b"x" * 65536)

    assert one.hear() == [Kind.FAILED.value, b"1"]
    assert one.log == "WARN: 127.0.0.1 sends too much before it accepts a log-in\n"
    client.close()


def test_client_that_goes_before_its_host_is_reached(start: Start, host: Host) -> None:
    one = start()
    one.begin(1, "127.0.0.1").close()

    far = host.let_in()

    assert one.hear() == [Kind.REACHED.value, b"1"]
    assert everything(far) == b""
    assert one.hear() == [Kind.ENDED.value, b"1"]


# --- TLS --------------------------------------------------------------------------------------------


def certified(directory: Path, name: str) -> ssl.SSLContext:
    """A host's certificate; its authority is the one that the proxy trusts."""
    signer = authority()
    (directory / "trusted.pem").write_bytes(signer.certificate_pem)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(signer.sign(name).combined(directory / "host.pem"))
    return made


@pytest.mark.parametrize("encrypted", ["starttls", "from start"])
def test_encrypted_host(start: Start, host: Host, tmp_path: Path, encrypted: Encrypted) -> None:
    """Its certificate names it, and is vouched for."""
    server = certified(tmp_path, "localhost")
    one = start(encrypted=encrypted)
    client = one.begin(1, "localhost")
    far = host.accept()
    if encrypted == "starttls":
        assert far.recv(100) == b"tls\n"
        far.sendall(b"go\n")
    far = server.wrap_socket(far, server_side=True)
    assert far.recv(100) == b"hello\n"
    far.sendall(b"yes\nmore")
    assert exactly(client, 7) == b"in\nmore"
    client.sendall(b"question")
    assert far.recv(100) == b"question"
    far.sendall(b"answer")
    far.unwrap()

    assert everything(client) == b"answer"
    assert [one.hear()[0], one.hear()[0]] == [Kind.REACHED.value, Kind.ENDED.value]
    far.close()


@pytest.mark.parametrize(
    ("name", "is_trusted", "reason"),
    [("other.example", True, "Hostname mismatch"), ("localhost", False, "unable to get local")],
)
def test_certificate_of_somebody_else(
    start: Start, host: Host, tmp_path: Path, name: str, is_trusted: bool, reason: str
) -> None:
    """No password is sent to such a host."""
    server = certified(tmp_path, name)
    if not is_trusted:
        (tmp_path / "trusted.pem").write_bytes(authority("another").certificate_pem)
    one = start(encrypted="from start")
    client = one.begin(1, "localhost")

    with pytest.raises(OSError):
        far = server.wrap_socket(host.accept(), server_side=True)
        assert far.recv(100) == b""
        raise ConnectionError

    assert one.hear() == [Kind.FAILED.value, b"1"]
    assert one.log.startswith("WARN: TLS with localhost: ")
    assert reason in one.log
    client.close()


def test_plain_text_behind_starttls(start: Start, host: Host, tmp_path: Path) -> None:
    """Somebody on the way can't put words into the host's mouth."""
    certified(tmp_path, "localhost")
    one = start(encrypted="starttls")
    client = one.begin(1, "localhost")
    far = host.accept()
    assert far.recv(100) == b"tls\n"

    far.sendall(b"go\nyes\n")

    assert one.hear() == [Kind.FAILED.value, b"1"]
    assert one.log == "WARN: Plain text behind STARTTLS from localhost\n"
    assert everything(far) == b""
    client.close()


def test_certificates_that_cannot_be_loaded(start: Start) -> None:
    """The log names the setting, and master notices that the process is gone."""
    one = start(encrypted="from start")
    wait_until(lambda: not is_alive(one.pid), lambda: one.log)

    assert one.log == "ERR: TLS_TRUSTCERTS can't be loaded: No such file or directory\n"
