"""TCPDOPTS and the access file: couriertcpd's options, as clients and the log see them."""

from __future__ import annotations

import ssl
import struct

import pytest

from tests.daemons.test_limits import access_file, admitted, await_places
from tests.support.daemon import Daemon, Peer, Site, anybody, free_port, wait_until

V1 = b"PROXY TCP4 192.0.2.7 192.0.2.143 4711 143\r\n"
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def start_behind_proxy(site: Site, name: str = "imapd", **settings: str) -> Daemon:
    daemon = site.start(name, wait=False, **settings)
    wait_until(lambda: bool(daemon.login_processes()), lambda: daemon.log)
    return daemon


def behind_proxy(daemon: Daemon, header: bytes) -> Peer:
    connection = daemon.raw()
    connection.sendall(header)
    return Peer(connection)


# --- Access ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["imapd", "imapd-ssl"])
def test_text_for_a_client_that_is_denied(site: Site, name: str) -> None:
    """It is sent as it is, before any greeting or handshake."""
    access_file(site, {"127.0.0.9": "deny"})
    daemon = site.start(name, TCPDOPTS="-nodnslookup '-denymsg=Not from there.'")

    assert Peer(daemon.raw("127.0.0.9")).rest() == b"Not from there.\n"
    daemon.session().close()


def test_access_by_the_address_that_a_client_came_to(site: Site) -> None:
    """It is looked up first, and says no silently; assignments of both lookups count."""
    port = free_port()
    access_file(
        site,
        {
            f"127.0.0.1.{port}": "allow,MAXCPERIP=2,IMAP_CAPABILITY=IMAP4rev1 XLOCAL",
            "127.0.0.8": "allow,MAXCPERIP=3",
        },
    )
    daemon = site.start(port=port, TCPDOPTS="-accesslocal -denymsg=no")

    assert len(admitted(daemon, ["127.0.0.7"] * 4)) == 2
    assert len(admitted(daemon, ["127.0.0.8"] * 4)) == 3
    assert b"XLOCAL" in Peer(daemon.raw("127.0.0.6")).line()

    access_file(site, {f"*.{port}": "deny"})
    assert Peer(daemon.raw("127.0.0.5")).rest() == b""
    daemon.wait_for_log(rf"^INFO: access denied by \*\.{port} of the access file, ")


def test_settings_of_a_client_s_own(site: Site) -> None:
    """What the access file assigns holds for log-in and session of that client alone."""
    access_file(
        site,
        {
            "127.0.0.8": "allow,DEFDOMAIN=@example.com,IMAP_CAPABILITY=IMAP4rev1 XOWN",
            "127.0.0.9": "allow,IMAP_TLS_REQUIRED=1,IMAP_KEYWORDS=perhaps,PORT=1",
        },
    )
    daemon = site.start()
    with daemon.connect("127.0.0.8") as own, daemon.connect() as other:
        own.log_in("u")
        assert b"XOWN" in own.command("CAPABILITY")[0]
        assert b"XOWN" not in other.command("CAPABILITY")[0]
        other.log_in()
    with daemon.connect("127.0.0.9") as careful:
        assert b"LOGINDISABLED" in careful.command("CAPABILITY")[0]
        careful.start_tls()
        careful.log_in()
        assert b"XOWN" not in careful.command("CAPABILITY")[0]
    daemon.wait_for_log(r"^WARN: access file: IMAP_KEYWORDS: expected .*, found 'perhaps'$")


def test_warning(site: Site) -> None:
    """-warn gives the number of connections from which the log says how many there are."""
    daemon = site.start(MAXDAEMONS="10", TCPDOPTS="-warn=3")

    await_places(daemon, ["127.0.0.2"] * 3, 3)

    daemon.wait_for_log(r"^WARN: 3 active connections\.$")
    assert "ALERT" not in daemon.log


# --- PROXY -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [V1, V2_SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 12) + bytes.fromhex("c0000207c000028f1267008f")],
    ids=["v1", "v2"],
)  # fmt: skip
def test_client_behind_a_proxy(site: Site, header: bytes) -> None:
    """Log, limits and access file know the client by the address that the proxy tells."""
    access_file(site, {"192.0.2.9": "deny"})
    daemon = start_behind_proxy(site, TCPDOPTS="-haproxy=30", MAXPERIP="2")

    with behind_proxy(daemon, header) as first, behind_proxy(daemon, header[:20]) as second:
        assert first.line().startswith(b"* OK [")
        first.log_in()
        second.send(header[20:] + b"a LOGIN u@example.com pw\r\n")
        second.until(b"a OK")
        with behind_proxy(daemon, header) as third:
            assert third.rest() == b""
        with behind_proxy(daemon, V1.replace(b"192.0.2.7", b"192.0.2.9")) as denied:
            assert denied.rest() == b""
    daemon.wait_for_log(
        r"^INFO: LOGIN, user=u@example\.com, ip=\[::ffff:192\.0\.2\.7\], port=\[4711\], ", 2
    )
    daemon.wait_for_log(r"^ALERT: Maximum connection limit reached for ::ffff:192\.0\.2\.7 ")
    daemon.wait_for_log(r"^INFO: access denied by 192\.0\.2\.9 of the access file, ")


def test_handshake_behind_the_header(site: Site) -> None:
    """What follows the header, in one packet with it, is the client's first octet of TLS."""
    daemon = start_behind_proxy(site, "imapd-ssl", TCPDOPTS="-haproxy=30")
    client = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = anybody().wrap_bio(*client)
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()

    with behind_proxy(daemon, V1 + client[1].read()) as peer:
        client[0].write(peer.socket.recv(65536))
        while True:
            try:
                hello.do_handshake()
                break
            except ssl.SSLWantReadError:
                client[0].write(peer.socket.recv(65536))
        assert hello.cipher() is not None


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"a LOGIN u@example.com pw\r\n", "missing PROXY statement"),
        (b"PROXY TCP4 192.0.2.7\r\n", "malformed PROXY statement"),
        (b"PROXY " + b"x" * 200, "response too long"),
        (V2_SIGNATURE + b"\x21\x11\xff\xff", "response too long"),
    ],
)
def test_connection_without_a_header(site: Site, sent: bytes, reason: str) -> None:
    """It is closed unheard, with the reason in the log; nobody logs in past the proxy."""
    daemon = start_behind_proxy(site, TCPDOPTS="-haproxy=30")

    with behind_proxy(daemon, sent) as peer:
        assert peer.rest() == b""
    daemon.wait_for_log(rf"^INFO: haproxy: {reason}, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]$")
    assert site.authdaemond.asked == []


def test_header_that_does_not_come(site: Site) -> None:
    """It is waited for as long as -haproxy says, and keeps nobody out, with isolation either."""
    daemon = start_behind_proxy(
        site, TCPDOPTS="-haproxy=1", IMAP_LOGIN_ISOLATION="1", IMAP_LOGIN_PROCESSES="1"
    )

    silent = [daemon.raw() for _ in range(3)]
    with behind_proxy(daemon, V1) as peer:
        assert peer.line().startswith(b"* OK [")
    assert [one.recv(100) for one in silent] == [b""] * 3
    daemon.wait_for_log(r"^INFO: haproxy: timeout, ip=", 3)
    for one in silent:
        one.close()


def test_proxy_on_another_port(site: Site) -> None:
    """A connection to a port that -haproxy doesn't name begins with its greeting."""
    daemon = site.start(TCPDOPTS="-haproxy=15/port=1,15/port=127.0.0.2.1")

    daemon.session().close()
