"""STARTTLS and port 993: what survives a handshake, what is refused, what ends."""

from __future__ import annotations

import os
import socket
import ssl
import struct

import pytest

from tests.support.daemon import Daemon, Peer, Site, anybody, wait_until


def subject(connection: socket.socket) -> bytes:
    assert isinstance(connection, ssl.SSLSocket)
    certificate = connection.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


@pytest.mark.fast
def test_starttls(imapd: Daemon) -> None:
    """The session goes on encrypted; STARTTLS is offered before and not behind the handshake."""
    with imapd.connect() as client:
        assert b" STARTTLS" in client.command("CAPABILITY")[0]
        client.start_tls()

        assert b"STARTTLS" not in client.command("CAPABILITY")[0]
        client.log_in()
        assert b" OK " in client.command("SELECT INBOX")[-1]
        client.send(b"x LOGOUT\r\n")
        assert client.rest().endswith(b"x OK LOGOUT completed\r\n")


@pytest.mark.parametrize(
    "injected",
    [
        b"b NOOP\r\n",
        b"b LOGIN u@example.com pw\r\n",
        b"b CAPABILITY\r\nc NOOP\r\n",
        b"b LOGIN {13}\r\n",
        b"b NO",
    ],
)
def test_plain_text_behind_starttls_is_thrown_away(imapd: Daemon, injected: bytes) -> None:
    """What a third party put behind STARTTLS in the same packet is never answered."""
    with imapd.connect() as client:
        client.send(b"a STARTTLS\r\n" + injected)
        assert client.line().startswith(b"a OK ")
        client.socket = anybody().wrap_socket(client.socket)

        assert client.command("NOOP") == [b"c1 OK NOOP completed\r\n"]
        client.log_in()
    assert len(imapd.site.authdaemond.asked) == 1


def test_plain_text_in_place_of_the_handshake(imapd: Daemon) -> None:
    """In a packet of its own it is no handshake, and the connection ends with an alert."""
    with imapd.connect() as client:
        assert b" OK " in client.command("STARTTLS")[-1]
        client.send(b"b LOGIN u@example.com pw\r\n")

        rest = client.rest()
    assert rest[:1] in (b"", b"\x15")
    assert imapd.site.authdaemond.asked == []


def test_starttls_inside_tls(imapd: Daemon, site: Site) -> None:
    """It is an error, and changes nothing."""
    for client in (imapd.connect(), site.start("imapd-ssl").connect()):
        if not isinstance(client.socket, ssl.SSLSocket):
            client.start_tls()
        completion = client.command("STARTTLS")[-1]
        assert completion.split()[1] in (b"NO", b"BAD")
        client.log_in()
        client.close()


def test_starttls_after_login(imapd: Daemon) -> None:
    """It is an error, plain and TLS."""
    with imapd.session() as client:
        assert client.command("STARTTLS")[-1].split()[1] in (b"NO", b"BAD")
        assert b" OK " in client.command("NOOP")[-1]


def test_starttls_with_an_argument(imapd: Daemon) -> None:
    """It is an error, and TLS doesn't begin."""
    with imapd.connect() as client:
        assert client.command("STARTTLS now")[-1].split()[1] in (b"NO", b"BAD")
        assert client.command("NOOP") == [b"c2 OK NOOP completed\r\n"]


def test_starttls_switched_off(site: Site) -> None:
    """Neither offered nor obeyed."""
    with site.start(IMAPDSTARTTLS="NO").connect() as client:
        assert b"STARTTLS" not in client.command("CAPABILITY")[0]
        assert client.command("STARTTLS")[-1].split()[1] in (b"NO", b"BAD")
        client.log_in()


@pytest.mark.parametrize("starttls", ["YES", "NO"])
def test_tls_required(site: Site, starttls: str) -> None:
    """Nobody logs in without TLS, even where STARTTLS can't be had; no password is asked for."""
    daemon = site.start(IMAP_TLS_REQUIRED="1", IMAPDSTARTTLS=starttls)
    with daemon.connect() as client:
        assert b" LOGINDISABLED" in client.command("CAPABILITY")[0]
        for command in (
            "LOGIN u@example.com pw",
            "AUTHENTICATE PLAIN AHVAZXhhbXBsZS5jb20AcHc=",
            "AUTHENTICATE CRAM-MD5",
        ):
            assert b" NO [PRIVACYREQUIRED] STARTTLS required" in client.command(command)[-1]
        assert site.authdaemond.asked == []
        if starttls == "YES":
            client.start_tls()
            assert b"LOGINDISABLED" not in client.command("CAPABILITY")[0]
            client.log_in()


@pytest.mark.parametrize("name", ["imapd", "imapd-ssl"])
def test_certificate_that_can_t_be_loaded(site: Site, name: str) -> None:
    """The daemon doesn't start without the TLS that is asked of it, and says which setting and file it is."""
    site.certificate.write_text("no certificate")

    daemon = site.start(name, wait=False)

    assert daemon.process.wait(30) == os.EX_CONFIG
    assert f": TLS_CERTFILE: {site.certificate}: " in daemon.log


def test_handshake_that_stops_half_way(imapd_ssl: Daemon) -> None:
    """It holds nobody up, and its end is noticed."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = anybody().wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    started = outgoing.read()
    halves = [imapd_ssl.raw() for _ in range(20)]
    for at, half in enumerate(halves):
        half.sendall(started[: 1 + at * (len(started) // 20)])

    imapd_ssl.session().close()
    for half in halves[:10]:
        half.shutdown(socket.SHUT_WR)
        assert Peer(half).rest() is not None  # closed, behind an alert at most
    for half in halves[10:]:
        half.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for half in halves:
        half.close()
    imapd_ssl.session().close()


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"a NOOP\r\n", b"\0" * 100, b"\xff"]
)
def test_what_is_no_handshake(imapd_ssl: Daemon, said: bytes) -> None:
    """The connection ends with an alert at most; the log says why, the daemon goes on."""
    with imapd_ssl.raw() as client:
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        assert Peer(client).rest()[:1] in (b"", b"\x15")
    imapd_ssl.session().close()


def test_http_on_the_plain_port(imapd: Daemon) -> None:
    """A browser that is sent here by a third party gets no further than ten lines."""
    request = b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 20 + b"\r\na LOGIN u@example.com pw\r\n"
    with imapd.connect() as client:
        client.send(request)
        rest = client.rest()
    assert b"TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS" in rest
    assert imapd.site.authdaemond.asked == []


def test_application_protocol(site: Site) -> None:
    """ALPN: imap is agreed on, another protocol refused, none let in."""
    daemon = site.start("imapd-ssl", TLS_ALPN="imap")
    context = anybody()
    context.set_alpn_protocols(["http/1.1", "imap"])
    with daemon.tls(context) as connection:
        assert isinstance(connection, ssl.SSLSocket)
        assert connection.selected_alpn_protocol() == "imap"

    context.set_alpn_protocols(["http/1.1"])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        daemon.tls(context)
    daemon.session().close()


def test_server_name(site: Site) -> None:
    """A client sees the certificate of the name it asks for, on both ways to TLS."""
    other = site.issue("mail.example.com", site.etc / "imapd.pem.mail.example.com")
    plain, ssl_daemon = site.start(), site.start("imapd-ssl")
    for name, signed in (("mail.example.com", other), ("elsewhere.example", site.issued)):
        with ssl_daemon.tls(name=name) as connection:
            assert subject(connection) == signed.der
        with plain.connect() as client:
            client.start_tls(name=name)
            assert subject(client.socket) == signed.der


def test_end_of_tls_in_the_packet_of_the_last_command(imapd_ssl: Daemon) -> None:
    """What came before close_notify is still answered."""
    connection = imapd_ssl.raw()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = anybody().wrap_bio(incoming, outgoing)
    heard = b""
    said = False
    while True:
        try:
            if not said:
                tls.do_handshake()
                tls.write(b"a LOGIN u@example.com pw\r\nb NOOP\r\nc LOGOUT\r\n")
                try:
                    tls.unwrap()
                except ssl.SSLWantReadError:
                    pass
                said = True
                connection.sendall(outgoing.read())
            data = connection.recv(65536)
            if not data:
                break
            incoming.write(data)
            heard += data
        except ssl.SSLWantReadError:
            if outgoing.pending:
                connection.sendall(outgoing.read())
            data = connection.recv(65536)
            assert data
            incoming.write(data)
    connection.close()
    imapd_ssl.wait_for_log(r"INFO: LOGOUT, user=u@example\.com, ")


def test_client_that_vanishes_from_tls(imapd_ssl: Daemon) -> None:
    """Its session ends, too."""
    client = imapd_ssl.session()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()

    imapd_ssl.wait_for_log(r"INFO: DISCONNECTED, user=u@example\.com, ")


def test_much_through_tls_and_back(imapd_ssl: Daemon) -> None:
    """Megabytes up and down arrive whole, whoever is slower."""
    message = b"Subject: x\r\n\r\n" + (bytes(range(32, 127)) + b"\r\n") * 50_000
    with imapd_ssl.session() as client:
        client.send(b"a APPEND INBOX {%d}\r\n" % len(message))
        assert client.line().startswith(b"+")
        client.send(message + b"\r\n")
        assert b" OK " in client.until(b"a ")[-1]
        client.command("SELECT INBOX")
        client.send(b"b FETCH 1 BODY.PEEK[]\r\n")
        line = client.line()
        assert b"{%d}" % len(message) in line
        assert client.exactly(len(message)) == message
        client.until(b"b OK")


def test_session_of_a_slow_reader_does_not_hold_up_another(imapd_ssl: Daemon) -> None:
    """Both sessions are relayed by one process; one client has stopped reading."""
    message = b"Subject: x\r\n\r\n" + b"y" * 3_000_000 + b"\r\n"
    with imapd_ssl.session() as client:
        client.send(b"a APPEND INBOX {%d}\r\n" % len(message))
        client.line()
        client.send(message + b"\r\n")
        client.until(b"a OK")
        client.command("SELECT INBOX")
        client.send(b"b FETCH 1,1,1 BODY.PEEK[]\r\nc FETCH 1 BODY.PEEK[]\r\n")
        for _ in range(5):
            with imapd_ssl.session() as other:
                assert b" OK " in other.command("NOOP")[-1]
        client.until(b"c OK")
    wait_until(lambda: imapd_ssl.log.count("INFO: DISCONNECTED") == 6)
