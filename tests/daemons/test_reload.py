"""SIGHUP, renewed certificates and SIGTERM: what clients see."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, Site, free_port, wait_until

BYE = b"* BYE Courier-IMAP server shut down by signal.\r\n"


def shown(daemon: Daemon) -> bytes:
    """The certificate that a new connection sees."""
    with daemon.tls() as connection:
        assert isinstance(connection, ssl.SSLSocket)
        certificate = connection.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate


def test_list_of_ports(site: Site) -> None:
    """Ports at addresses of their own and at ADDRESS, IPv4 and IPv6, each logged as Courier does."""
    plain, six, other = free_port(), free_port(), free_port()
    daemon = site.start(port=plain, PORT=f"{plain},::1.{six},127.0.0.2.{other}")

    for host, port, shown in (
        ("127.0.0.1", plain, "::ffff:127.0.0.1"),
        ("::1", six, "::1"),
        ("127.0.0.2", other, "::ffff:127.0.0.1"),
    ):
        with socket.create_connection((host, port), 30, (shown.rpartition("ffff:")[2], 0)) as one:
            assert one.recv(65536).startswith(b"* OK ")
            place = rf"ip=\[{shown}\], port=\[{one.getsockname()[1]}\]"
            daemon.wait_for_log(rf"^DEBUG: Connection, {place}$")
    assert not is_open("127.0.0.3", plain)
    assert not is_open("127.0.0.1", other)


# --- Reload --------------------------------------------------------------------------------------


def test_reload_keeps_sessions_and_refuses_nobody(site: Site) -> None:
    """While the settings are read again and again, every connection is greeted."""
    daemon = site.start()
    kept = [daemon.session(), daemon.connect()]
    kept[1].start_tls()
    ends = threading.Event()
    failures: list[object] = []
    greeted = 0

    def connect() -> None:
        nonlocal greeted
        while not ends.is_set():
            try:
                daemon.session().close()
                greeted += 1
            except (OSError, AssertionError) as error:
                failures.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    for _ in range(3):
        old = set(daemon.login_processes())
        daemon.signal(signal.SIGHUP)
        # An old one stays as long as it has connections; none listens any more.
        wait_until(lambda: not old & set(daemon.login_processes()))  # noqa: B023
    before = greeted
    wait_until(lambda: greeted > before or bool(failures))
    ends.set()
    thread.join()

    assert failures == []
    for client in kept:
        assert b" OK " in client.command("NOOP")[-1]
    kept[1].log_in()


@pytest.mark.fast
def test_reload_takes_new_settings(site: Site) -> None:
    """For the next log-in; the session of before keeps what it began with."""
    daemon = site.start()
    with daemon.session() as before:
        site.write_settings(PORT=str(daemon.port), IMAP_CAPABILITY="IMAP4rev1 XNEW")
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: b"XNEW" in daemon.raw().recv(65536))

        with daemon.session() as after:
            assert b"XNEW" in after.command("CAPABILITY")[0]
        assert b"XNEW" not in before.command("CAPABILITY")[0]


def test_reload_of_another_port(site: Site) -> None:
    """The new one is served, the old one no more."""
    daemon = site.start()
    old, daemon.port = daemon.port, free_port()
    site.write_settings(PORT=str(daemon.port))

    daemon.signal(signal.SIGHUP)

    daemon.wait_until_it_serves()

    wait_until(lambda: not is_open("127.0.0.1", old))


@pytest.mark.parametrize(("before", "after"), [("0", "127.0.0.1"), ("127.0.0.1", "0")])
def test_reload_of_another_address(site: Site, before: str, after: str) -> None:
    """On the same port: the new one takes over, the old one is closed, nobody is refused."""
    daemon = site.start(ADDRESS=before)
    kept = daemon.session()
    site.write_settings(PORT=str(daemon.port), ADDRESS=after)
    refused = []

    def is_changed() -> bool:
        try:
            daemon.raw().close()
        except ConnectionRefusedError as error:
            refused.append(error)
        return is_open("127.0.0.2", daemon.port) == (after == "0")

    daemon.signal(signal.SIGHUP)

    wait_until(is_changed)
    daemon.session().close()
    assert refused == []
    assert "WARN" not in daemon.log
    assert b" OK " in kept.command("NOOP")[-1]


def is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 30).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize(
    ("setting", "value"),
    [("MAXDAEMONS", "many"), ("LOGIN_USER", "no-such-user"), ("TLS_CERTFILE", "/no/such/file")],
)
def test_reload_of_broken_settings(site: Site, setting: str, value: str) -> None:
    """The old stay in use, an ERR line names file, line and setting, and what is wrong."""
    daemon = site.start()
    processes = daemon.login_processes()
    site.write_settings(PORT=str(daemon.port), **{setting: value})

    daemon.signal(signal.SIGHUP)

    daemon.wait_for_log(r"^ERR: the settings stay as they were$")
    daemon.wait_for_log(rf"^ERR: \S+/imapd(-ssl)?:\d+: {setting}: .*{value}")
    daemon.session().close()
    assert daemon.login_processes() == processes


# --- Certificates --------------------------------------------------------------------------------


def test_renewed_certificate(site: Site) -> None:
    """The next connection gets it, without a restart; sessions over the old one go on."""
    daemon = site.start("imapd-ssl")
    with daemon.session() as client:
        assert shown(daemon) == site.issued.der

        renewed = site.issue("localhost")

        wait_until(lambda: shown(daemon) == renewed.der)
        assert b" OK " in client.command("NOOP")[-1]


def test_renewed_certificate_that_is_broken(site: Site) -> None:
    """The old one stays in use, with one line that says why; a good one is taken then."""
    daemon = site.start("imapd-ssl")
    unfinished = site.etc / "unfinished"
    unfinished.write_text("no certificate")

    unfinished.rename(site.certificate)

    daemon.wait_for_log(r"^ERR: the former settings and certificates stay in use$")
    daemon.wait_for_log(rf"^ERR: {site.certificate}: ")
    for _ in range(5):
        assert shown(daemon) == site.issued.der
    renewed = site.issue("localhost")
    wait_until(lambda: shown(daemon) == renewed.der)


def test_certificate_of_another_name_comes_later(site: Site) -> None:
    """A file for a server name that wasn't there is noticed."""
    daemon = site.start("imapd-ssl")
    added = site.issue("mail.example.com", site.etc / "imapd.pem.mail.example.com")

    def is_shown() -> bool:
        with daemon.tls(name="mail.example.com") as connection:
            assert isinstance(connection, ssl.SSLSocket)
            return connection.getpeercert(binary_form=True) == added.der

    wait_until(is_shown)


# --- Stop ----------------------------------------------------------------------------------------


def ends(daemon: Daemon) -> None:
    """Stop the daemon; nobody of it stays. The second signal does nothing."""
    everybody = [daemon.pid, *daemon.children()]
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(10) == 0
    assert not [pid for pid in everybody if Path(f"/proc/{pid}").exists()]


def test_stop_says_bye_to_all(site: Site) -> None:
    """Before log-in, plain, by STARTTLS, within a session, selected or idle."""
    daemon = site.start()
    strangers = [daemon.connect(), daemon.connect()]
    strangers[1].start_tls()
    sessions = [daemon.session(), daemon.session(), daemon.connect()]
    sessions[2].start_tls()
    sessions[2].log_in()
    sessions[1].command("SELECT INBOX")
    sessions[1].send(b"i IDLE\r\n")
    sessions[1].until(b"+")

    ends(daemon)

    for client in (*strangers, *sessions):
        assert client.rest().endswith(BYE)
    assert daemon.log.count("NOTICE: Disconnected during shutdown by signal, user=") == 3
    assert daemon.log.count("NOTICE: Disconnected during shutdown by signal, ip=") == 2


def test_stop_of_imapd_ssl(site: Site) -> None:
    """The same on port 993, with handshakes that never end."""
    daemon = site.start("imapd-ssl")
    half_open = [daemon.raw(), daemon.raw()]
    stranger, session = daemon.connect(), daemon.session()

    ends(daemon)

    assert stranger.rest() == BYE
    assert session.rest() == BYE
    for connection in half_open:
        assert connection.recv(10) == b""
        connection.close()


@pytest.mark.parametrize("name", ["imapd", "imapd-ssl"])
def test_stop_amid_a_long_fetch(site: Site, name: str) -> None:
    """The response is brought to its end, then comes BYE."""
    maildir = site.homes / "u@example.com/Maildir"
    message = b"Subject: x\n\n" + b"y" * 4_000_000
    (maildir / "cur/1.M1P1.test:2,S").write_bytes(message)
    daemon = site.start(name)
    client = daemon.session()
    client.command("SELECT INBOX")
    client.send(b"a FETCH 1 BODY.PEEK[]\r\n")
    assert client.line().startswith(b"* 1 FETCH")

    daemon.signal(signal.SIGTERM)

    rest = client.rest()
    assert rest.endswith(BYE)
    assert rest.count(b"y") >= 4_000_000
    assert daemon.process.wait(10) == 0


def test_stop_with_a_client_that_does_not_read(site: Site) -> None:
    """It is waited for only so long."""
    maildir = site.homes / "u@example.com/Maildir"
    (maildir / "cur/1.M1P1.test:2,S").write_bytes(b"Subject: x\n\n" + b"y" * 20_000_000)
    daemon = site.start()
    client = daemon.session()
    client.command("SELECT INBOX")
    client.send(b"a FETCH 1 BODY.PEEK[]\r\n")
    client.line()

    ends(daemon)
    client.close()


def test_stop_while_authdaemond_is_asked(site: Site) -> None:
    """Who waits for the answer is told goodbye, too."""
    daemon = site.start()
    site.authdaemond.behaviour.delays["u@example.com"] = 30.0
    client = daemon.connect()
    client.send(b"a LOGIN u@example.com pw\r\n")
    wait_until(lambda: len(site.authdaemond.asked) == 1)

    ends(daemon)

    assert client.rest() == BYE
