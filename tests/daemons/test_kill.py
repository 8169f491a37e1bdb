"""kill -9 of each kind of process under load: what ends, what goes on, what is counted."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from tests.daemons.test_limits import await_places
from tests.support.daemon import Daemon, Peer, Site, is_alive, tcp_of, wait_until


def is_served(client: Peer) -> bool:
    return b" OK " in client.command("NOOP")[-1]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
def test_kill_of_a_worker(site: Site) -> None:
    """Its own sessions end, plain and TLS; those of others go on; the counts are exact."""
    site.add_account("other@example.com", "pw", (5001, 5001))
    daemon = site.start(MAXDAEMONS="10")
    tls = daemon.connect()
    tls.start_tls()
    tls.log_in()
    killed = [daemon.session(), daemon.session(), tls]
    [worker] = daemon.wait_for_workers(1)
    others = [daemon.session("other@example.com"), daemon.connect()]

    os.kill(worker, signal.SIGKILL)

    for client in killed:
        assert client.rest() == b""
    assert is_served(others[0])
    others[1].log_in()
    await_places(daemon, ["127.0.0.2"] * 12, 8)
    daemon.wait_for_log(rf"^ERR: worker {worker} died: signal 9$")


def test_kill_of_a_login_process(site: Site) -> None:
    """Plain sessions, which workers have, go on; it is replaced; the counts are exact."""
    daemon = site.start(MAXDAEMONS="8")
    sessions = [daemon.session() for _ in range(4)]
    killed = daemon.login_processes()

    for pid in killed:
        os.kill(pid, signal.SIGKILL)

    wait_until(lambda: len(set(daemon.login_processes()) - set(killed)) == 2)
    for client in sessions:
        assert is_served(client)
    await_places(daemon, ["127.0.0.2"] * 10, 4)
    for pid in killed:
        daemon.wait_for_log(rf"^ERR: login process {pid} died: signal 9$")


def test_kill_of_a_login_process_with_tls_sessions(site: Site) -> None:
    """What it relays ends, in the worker as well."""
    daemon = site.start("imapd-ssl", MAXDAEMONS="8")
    clients = [daemon.session() for _ in range(4)]

    for pid in daemon.login_processes():
        os.kill(pid, signal.SIGKILL)

    for client in clients:
        assert client.rest() == b""
    wait_until(lambda: daemon.log.count("INFO: DISCONNECTED, user=") == 4)
    daemon.wait_until_it_serves()


@pytest.mark.parametrize("name", ["imapd", "imapd-ssl"])
def test_kill_of_master(site: Site, name: str) -> None:
    """All others end by themselves, and the port is free."""
    daemon = site.start(name)
    clients = [daemon.connect(), daemon.session()]
    everybody = daemon.children()
    assert len(everybody) == 3

    os.kill(daemon.pid, signal.SIGKILL)
    daemon.process.wait()

    wait_until(lambda: not any(map(is_alive, everybody)))
    for client in clients:
        assert client.rest() in (b"", b"* BYE Courier-IMAP server shut down by signal.\r\n")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", daemon.port))


def test_kill_of_everything_in_turn_under_load(site: Site) -> None:
    """After it all there is room for exactly as many as before."""
    daemon = site.start(MAXDAEMONS="12")
    for _ in range(3):
        clients = [daemon.session() for _ in range(3)] + [daemon.connect() for _ in range(3)]
        before = daemon.children()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        for client in clients:
            client.rest()
            client.close()
        wait_until(lambda: len(daemon.login_processes()) == 2)
        daemon.wait_until_it_serves()
    await_places(daemon, ["127.0.0.2"] * 15, 12)


def test_one_session_per_worker(site: Site) -> None:
    """Each session has a process of its own, which ends with it; another's death is not felt."""
    daemon = site.start(IMAP_SESSIONS_PER_WORKER="1")
    clients = [daemon.session() for _ in range(3)]
    workers = daemon.wait_for_workers(3)

    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: len(daemon.workers()) == 2)
    assert sum(1 for client in clients if not ended(client)) == 2

    for client in clients:
        client.send(b"x LOGOUT\r\n") if not ended(client) else None
    daemon.wait_for_workers(0)
    for client in clients:
        assert client.rest() in (
            b"",
            b"* BYE Courier-IMAP server shutting down\r\nx OK LOGOUT completed\r\n",
        )


def ended(client: Peer) -> bool:
    client.socket.setblocking(False)
    try:
        return client.socket.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    finally:
        client.socket.settimeout(30.0)


@pytest.mark.parametrize("name", ["imapd", "imapd-ssl"])
def test_login_isolation(site: Site, name: str) -> None:
    """Each connection has a login process of its own; there is always one that listens."""
    daemon = site.start(name, IMAP_LOGIN_ISOLATION="1")
    clients = [daemon.connect() for _ in range(8)]

    with_clients = [pid for pid in daemon.children() if connected(pid, daemon.port)]
    assert len(with_clients) == len(clients)
    assert all(connected(pid, daemon.port) == 1 for pid in with_clients)
    os.kill(with_clients[0], signal.SIGKILL)
    served = 0
    for client in clients:
        try:
            client.log_in()
            served += 1
        except (AssertionError, OSError):
            pass
        client.close()
    assert served == len(clients) - 1
    wait_until(lambda: not [pid for pid in with_clients if is_alive(pid)])
    daemon.session().close()


def connected(pid: int, port: int) -> int:
    return sum(1 for local, _, state in tcp_of(pid) if local == port and state == "01")


def test_daemon_of_port_in_use(site: Site, imapd: Daemon) -> None:
    """A second daemon on the same port says so and ends; the first goes on."""
    second = Daemon(site, "imapd", imapd.port, {"PYCOURIER_RUNDIR": str(site.run)})

    assert second.process.wait(30) == os.EX_CONFIG
    assert (
        f"ERR: PORT: 127.0.0.1.{imapd.port}: can't listen there: Address already in use"
        in second.log
    )
    imapd.session().close()
