"""The client's side, against a socket that answers as it is told."""

from __future__ import annotations

import errno
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from courier.auth import client
from courier.auth.account import Account, Secret
from courier.auth.client import Exchange, Timeouts
from courier.auth.reply import Changed, Rejected, Temporary
from courier.auth.request import Authenticate, Lookup, Refused

LOOKUP = Lookup(b"imap", b"alice")
REPLY = b"USERNAME=alice\nGID=1001\nHOME=/home/alice\nADDRESS=alice\n.\n"
ALICE = Account("alice", 1001, "/home/alice", username="alice")

Serve = Callable[[bytes], Path]


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        yield listening


@pytest.fixture
def serve(listener: socket.socket) -> Iterator[Serve]:
    """Answer one connection with given octets, after its request, and close."""
    threads: list[threading.Thread] = []

    def answer(data: bytes) -> Path:
        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(8192)
                connection.sendall(data)

        threads.append(threading.Thread(target=run))
        threads[0].start()
        return Path(listener.getsockname())

    yield answer
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (REPLY, ALICE),
        (b"FAIL\n", Rejected()),
        (b"OK\n", Changed()),
        (b"", Temporary("authdaemon: temporary failure", errno.EIO)),
        (REPLY[:-2], Temporary("authdaemon: temporary failure", errno.EIO)),
        (b"FAIL", Temporary("authdaemon: temporary failure", errno.EIO)),
        (b"GID=1\n.\n", Temporary("authdaemon: reply without an address", errno.EIO)),
    ],
)
def test_ask(serve: Serve, data: bytes, outcome: object) -> None:
    assert client.ask(LOOKUP, serve(data)) == outcome


def test_nobody_listens(tmp_path: Path) -> None:
    """No file, and a file that an ended daemon has left."""
    path = tmp_path / "gone"
    missing = client.ask(LOOKUP, path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    refused = client.ask(LOOKUP, path)

    assert isinstance(missing, Temporary) and missing.errno == errno.ENOENT
    assert isinstance(refused, Temporary) and refused.errno == errno.ECONNREFUSED
    assert client.complaints(refused) == (
        "authdaemon: s_connect() failed: Connection refused",
        "[Hint: perhaps authdaemond is not running?]",
    )
    assert client.complaints(missing) == (
        "authdaemon: s_connect() failed: No such file or directory",
    )


def test_full_queue_is_a_temporary_failure(tmp_path: Path) -> None:
    """A daemon that accepts no more is no reason to wait in the middle of other work."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.listen(0)
        exchanges = [Exchange(LOOKUP, tmp_path / "socket") for _ in range(3)]

        assert isinstance(exchanges[-1].result, Temporary)
        assert exchanges[-1].result.errno == errno.EAGAIN
        for exchange in exchanges:
            exchange.close()


def test_no_reply_in_time(listener: socket.socket) -> None:
    outcome = client.ask(LOOKUP, listener.getsockname(), Timeouts(read_s=0.05))

    assert isinstance(outcome, Temporary) and outcome.errno == errno.ETIMEDOUT


def test_exchange_never_waits(listener: socket.socket) -> None:
    """The reply comes in pieces; between them there is no result, and no call blocks."""
    exchange = Exchange(LOOKUP, listener.getsockname())
    connection, _ = listener.accept()

    with connection:
        assert connection.recv(8192) == b"PRE . imap alice\n"
        assert exchange.result is None and not exchange.wants_write
        exchange.on_ready()  # nothing there
        for i in range(len(REPLY)):
            assert exchange.result is None
            connection.sendall(REPLY[i : i + 1])
            select.select([exchange], [], [])
            exchange.on_ready()

    assert exchange.result == ALICE
    assert exchange.fileno() == -1


def test_deadline_ends_an_exchange(listener: socket.socket) -> None:
    exchange = Exchange(LOOKUP, listener.getsockname())

    exchange.on_deadline()

    assert isinstance(exchange.result, Temporary)
    assert exchange.fileno() == -1


def test_refused_before_anything_is_sent(tmp_path: Path) -> None:
    request = Authenticate(b"imap", b"login", b"alice", Secret(b"a\nb"))

    with pytest.raises(Refused):
        Exchange(request, tmp_path / "nobody")


def test_enumerate(serve: Serve) -> None:
    data = b"# authpam\n\nroot\t0\t0\t/root\t\t\nalice\t1001\t1002\t/home/alice\t\t\n.\n"

    accounts = list(client.enumerate_accounts(serve(data)))

    assert accounts == [Account("alice", 1002, "/home/alice", uid=1001)]


def test_enumerate_without_an_end(serve: Serve) -> None:
    """What came is told, and that it isn't all."""
    accounts = client.enumerate_accounts(serve(b"a\t5\t5\t/\t\t\nb\t6"))

    assert next(accounts).address == "a"
    with pytest.raises(OSError, match="Input/output error"):
        next(accounts)


@pytest.mark.parametrize(
    ("text", "seconds"), [("3", 3.0), ("0", 10.0), ("-1", 10.0), ("x", 10.0), ("", 10.0)]
)
def test_timeouts(text: str, seconds: float) -> None:
    assert client.timeouts({"TIMEOUT_SOCK": text}).connect_s == seconds
    assert client.timeouts({}).read_s == 30.0
