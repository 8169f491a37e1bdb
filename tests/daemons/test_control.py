"""The control verbs, as /usr/sbin/imapd and the init scripts use them."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon, Peer, Site, free_port, wait_until


@pytest.fixture
def port(site: Site) -> Iterator[int]:
    """Settings with a free port; whatever runs is stopped."""
    chosen = free_port()
    site.write_settings(PORT=str(chosen))
    yield chosen
    control(site, "stop")


def control(site: Site, verb: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imapd.daemon", "--config", str(site.etc), "imapd", verb],
        env=site.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def running(site: Site) -> int:
    return int((site.run / "imapd.pid").read_text())


def greeting(port: int) -> bytes:
    with Peer(socket.create_connection(("127.0.0.1", port), timeout=20)) as client:
        return client.line()


def test_start_and_stop(site: Site, port: int) -> None:
    """start returns once connections are accepted, stop once the process is gone."""
    assert control(site, "start").returncode == 0
    assert b"Courier-IMAP ready." in greeting(port)

    assert control(site, "stop").returncode == 0

    assert not (site.run / "imapd.pid").exists()
    with pytest.raises(ConnectionRefusedError):
        greeting(port)


def test_second_start(site: Site, port: int) -> None:
    """Nothing happens, and that is no error: Courier's scripts say so too."""
    control(site, "start")
    pid = running(site)

    assert control(site, "start").returncode == 0

    assert running(site) == pid


def test_stop_of_nothing(site: Site, port: int) -> None:
    assert control(site, "stop").returncode == 0


def test_restart_reads_the_settings_again(site: Site, port: int) -> None:
    """Courier: restart is SIGHUP. The same process listens on the new port as well."""
    control(site, "start")
    pid = running(site)
    other = free_port()
    site.write_settings(PORT=f"{port},{other}")

    assert control(site, "restart").returncode == 0

    def answers() -> bool:
        try:
            return b"Courier-IMAP ready." in greeting(other)
        except ConnectionRefusedError:
            return False

    wait_until(answers)
    assert running(site) == pid


def test_start_with_a_wrong_setting(site: Site, port: int) -> None:
    """It does not start, and says file, line, setting and what was expected."""
    site.write_settings(PORT=str(port), MAXDAEMONS="many")

    started = control(site, "start")

    assert started.returncode == 1
    assert "imapd:" in started.stderr
    assert "MAXDAEMONS" in started.stderr
    assert not (site.run / "imapd.pid").exists()


def test_start_on_a_port_in_use(site: Site, port: int, imapd: Daemon) -> None:
    """Whoever starts it sees why it did not."""
    site.write_settings(PORT=str(imapd.port))

    started = control(site, "start")

    assert started.returncode == 1
    assert "PORT" in started.stderr
    assert "in use" in started.stderr
