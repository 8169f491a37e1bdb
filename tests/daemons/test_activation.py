"""Under a service manager: inherited sockets, and what it is told."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.daemon import Site, descriptors, free_port, listening_ports, stopped

pytest.importorskip("systemd.daemon")


class Manager:
    """The socket on which a service says how it is."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(30)
        os.chmod(path, 0o777)

    def hear(self) -> dict[str, str]:
        """One datagram's assignments."""
        lines = self.socket.recv(65536).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def forget(self) -> None:
        """Read what has been said by now."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self.hear():
                pass

    def await_word(self, name: str) -> dict[str, str]:
        while name not in (heard := self.hear()):
            pass
        return heard


@pytest.fixture
def manager(site: Site) -> Iterator[Manager]:
    made = Manager(str(site.path / "notify"))
    yield made
    made.socket.close()


def listening(address: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((address, 0), backlog=100)


@pytest.mark.fast
def test_inherited_socket(site: Site) -> None:
    """It is served though another process bound it; nothing else is bound or warned of."""
    with listening() as one:
        port = one.getsockname()[1]
        daemon = site.start(port=port, inherit={"imapd.socket": one})

    daemon.session().close()
    for pid in daemon.login_processes():
        assert listening_ports(pid) == {port}
    assert "WARN" not in daemon.log
    assert sorted(descriptors(daemon.pid))[:3] == [0, 1, 2]


def test_client_that_was_there_before_the_daemon(site: Site) -> None:
    """A connection that waits in the manager's socket is greeted when the daemon has started."""
    with listening() as one:
        port = one.getsockname()[1]
        early = socket.create_connection(("127.0.0.1", port), 30)
        site.start(port=port, inherit={"imapd.socket": one})

    assert early.recv(100).startswith(b"* OK ")
    early.close()


def test_inherited_sockets_and_settings_that_differ(site: Site) -> None:
    """What is missing is bound, what is too much is served; both are said."""
    with listening() as one:
        extra = one.getsockname()[1]
        daemon = site.start(inherit={"imapd.socket": one})

    daemon.session().close()
    socket.create_connection(("127.0.0.1", extra), 30).close()
    assert re.search(
        rf"^WARN: .*127\.0\.0\.1\.{extra} is in no setting; it is served$", daemon.log, re.M
    )
    assert re.search(rf"^WARN: PORT: 127\.0\.0\.1\.{daemon.port}: not among ", daemon.log, re.M)


def test_reload_keeps_inherited_sockets(site: Site) -> None:
    """They are the manager's to close."""
    with listening() as one:
        extra = one.getsockname()[1]
        daemon = site.start(inherit={"imapd.socket": one})
    old, daemon.port = daemon.port, free_port()
    site.write_settings(PORT=str(daemon.port))

    daemon.signal(signal.SIGHUP)

    daemon.wait_until_it_serves()
    socket.create_connection(("127.0.0.1", extra), 30).close()
    assert old != daemon.port


def test_life_as_the_manager_hears_of_it(site: Site, manager: Manager) -> None:
    """READY once clients are served, RELOADING with the time and READY again, STOPPING."""
    daemon = site.start(wait=False, environment={"NOTIFY_SOCKET": manager.path})
    assert manager.hear()["READY"] == "1"
    daemon.session().close()

    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    daemon.signal(signal.SIGHUP)
    reloading = manager.hear()
    after_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert reloading["RELOADING"] == "1"
    assert before_us <= int(reloading["MONOTONIC_USEC"]) <= after_us
    assert manager.hear()["READY"] == "1"

    daemon.signal(signal.SIGTERM)
    assert manager.hear()["STOPPING"] == "1"
    assert daemon.process.wait(10) == 0


def test_reload_of_broken_settings_ends_for_the_manager_too(site: Site, manager: Manager) -> None:
    """It hears READY, or it would wait for ever."""
    daemon = site.start(wait=False, environment={"NOTIFY_SOCKET": manager.path})
    manager.await_word("READY")
    site.write_settings(PORT=str(daemon.port), MAXDAEMONS="many")

    daemon.signal(signal.SIGHUP)

    assert manager.hear()["RELOADING"] == "1"
    assert manager.hear()["READY"] == "1"


def test_watchdog(site: Site, manager: Manager) -> None:
    """It is fed more often than the manager asks for, for as long as master's loop turns."""
    environment = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"}
    daemon = site.start(wait=False, environment=environment)

    for _ in range(3):
        assert manager.await_word("WATCHDOG")["WATCHDOG"] == "1"
    with stopped(daemon.pid):
        manager.forget()
        manager.socket.settimeout(1.0)
        with pytest.raises(TimeoutError):
            manager.hear()
