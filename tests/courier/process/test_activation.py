"""courier.process.activation: what a service manager passes in, and what it is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from courier.process import activation

pytest.importorskip("systemd.daemon")


def with_descriptors(passed: dict[str, int], test: Callable[[], object]) -> str:
    """Return what ``test`` does in a process that was started with these descriptors."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(writing, 150)
            for at, one in enumerate(passed.values()):
                os.dup2(one, 200 + at)
            for at in range(len(passed)):
                os.dup2(200 + at, 3 + at)
            os.closerange(3 + len(passed), 150)
            os.environ["LISTEN_FDS"] = str(len(passed))
            os.environ["LISTEN_PID"] = str(os.getpid())
            os.environ["LISTEN_FDNAMES"] = ":".join(passed)
            os.write(150, repr(test()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


def test_sockets_by_name() -> None:
    """Listening ones are taken, non-blocking and not for programs that are run."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        ports = [one.getsockname()[1], other.getsockname()[1]]

        def test() -> object:
            return [
                (name, each.getsockname()[1], each.getblocking(), each.get_inheritable())
                for name, sockets in activation.inherited().items()
                for each in sockets
            ]

        said = with_descriptors({"imapd.socket": one.fileno(), "more": other.fileno()}, test)

    assert said == repr(
        [("imapd.socket", ports[0], False, False), ("more", ports[1], False, False)]
    )


def test_what_is_no_listening_socket() -> None:
    """It is closed, so that no process that is forked has it."""
    reading, writing = os.pipe()

    def test() -> object:
        return activation.inherited(), os.path.exists("/proc/self/fd/3")

    assert with_descriptors({"stored": reading}, test) == repr(({}, False))
    os.close(reading)
    os.close(writing)


def test_nothing_was_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variables, or with another process's, there is nothing."""
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    assert activation.inherited() == {}
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    assert activation.inherited() == {}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_watchdog_interval(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: float | None
) -> None:
    """Half of what the manager allows, if it is us it looks after."""
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert activation.watchdog_interval_s() == expected


def test_notify_without_a_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hears it, and nothing fails; nor when the manager has gone."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    activation.notify(READY=1)
    monkeypatch.setenv("NOTIFY_SOCKET", "/no/such/socket")
    activation.notify(READY=1)


def test_notify(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    """One datagram, an assignment in a line."""
    path = os.path.join(tmp_path, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", path)

        activation.notify(READY=1, STATUS="accepting connections")

        assert manager.recv(1000) == b"READY=1\nSTATUS=accepting connections"
