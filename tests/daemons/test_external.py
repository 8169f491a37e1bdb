"""AUTHENTICATE EXTERNAL: log-ins by the client's certificate."""

from __future__ import annotations

import ssl
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.x509.oid import NameOID

from tests.courier.net.authority import Signed, authority
from tests.support.daemon import Daemon, Peer, Site, anybody

USERID = "u@example.com"
OFFER = b" AUTH=EXTERNAL"
FAILED = r"^INFO: LOGIN FAILED, method=EXTERNAL, ip="


def context(site: Site, signer: Signed, field: str | None = USERID) -> ssl.SSLContext:
    """A client with a certificate whose subject names an account, or nobody."""
    fields = [] if field is None else [(NameOID.EMAIL_ADDRESS, field)]
    path: Path = signer.sign("client", fields=fields).combined(site.path / "client.pem")
    made = anybody()
    made.load_cert_chain(path)
    return made


@pytest.fixture(params=["imapd", "imapd-ssl"])
def daemon(request: pytest.FixtureRequest, site: Site) -> Daemon:
    trusted = site.etc / "trusted.pem"
    trusted.write_bytes(site.authority.certificate_pem)
    return site.start(
        request.param,
        TLS_TRUSTCERTS=str(trusted),
        TLS_VERIFYPEER="PEER",
        TLS_EXTERNAL="emailaddress",
        IMAP_UNAUTHENTICATE="1",
    )


def connected(daemon: Daemon, tls: ssl.SSLContext) -> Peer:
    if daemon.name == "imapd-ssl":
        peer = Peer(daemon.tls(tls))
        assert peer.line().startswith(b"* OK ")
        return peer
    peer = daemon.connect()
    assert OFFER not in peer.command("CAPABILITY")[0]
    peer.start_tls(tls)
    return peer


@pytest.mark.parametrize(
    "said",
    [
        b"EXTERNAL\r\n\r\n",
        b"EXTERNAL =\r\n\r\n",
        b"external " + b64encode(USERID.encode()) + b"\r\n",
        b"EXTERNAL\r\n" + b64encode(USERID.encode()) + b"\r\n",
    ],
)
def test_log_in(site: Site, daemon: Daemon, said: bytes) -> None:
    """It is offered to who has a certificate; authdaemond is asked for the name in it, unproved."""
    with connected(daemon, context(site, site.authority)) as client:
        assert OFFER in client.command("CAPABILITY")[0]
        client.send(b"a AUTHENTICATE " + said)
        client.until(b"a OK ")
        assert b" OK " in client.command("SELECT INBOX")[-1]
    assert [(one.authtype, one.userid) for one in site.authdaemond.asked] == [("PRE", USERID)]


def test_certificate_stays_when_its_account_is_left(site: Site, daemon: Daemon) -> None:
    """UNAUTHENTICATE discards no client credentials of TLS (RFC 8437 4.2)."""
    site.add_account("other@example.com", "pw")
    with connected(daemon, context(site, site.authority)) as client:
        for userid in (USERID, "other@example.com", USERID):
            if userid == USERID:
                client.send(b"a AUTHENTICATE EXTERNAL =\r\n\r\n")
                client.until(b"a OK ")
            else:
                client.log_in(userid)
            assert b" OK " in client.command("UNAUTHENTICATE")[-1]
            assert OFFER in client.command("CAPABILITY")[0]
    asked = [(one.authtype, one.userid) for one in site.authdaemond.asked]
    assert asked == [("PRE", USERID), ("login", "other@example.com"), ("PRE", USERID)]


def test_name_that_is_another_s(site: Site, daemon: Daemon) -> None:
    """What the client says can't make it somebody else; nobody is asked."""
    site.add_account("other@example.com", "pw")
    with connected(daemon, context(site, site.authority)) as client:
        client.send(b"a AUTHENTICATE EXTERNAL " + b64encode(b"other@example.com") + b"\r\n")
        daemon.wait_for_log(FAILED)  # the answer comes five seconds later
    assert site.authdaemond.asked == []


def test_nobody_s_certificate(site: Site, daemon: Daemon) -> None:
    """Without a certificate, or one that names nobody, it is neither offered nor accepted."""
    for count, tls in enumerate((anybody(), context(site, site.authority, None)), 1):
        with connected(daemon, tls) as client:
            assert OFFER not in client.command("CAPABILITY")[0]
            client.send(b"a AUTHENTICATE EXTERNAL =\r\n")
            daemon.wait_for_log(FAILED, count)
    assert site.authdaemond.asked == []


def test_certificate_of_a_stranger_s_authority(site: Site, daemon: Daemon) -> None:
    """It ends the connection; the log says why."""
    tls = context(site, authority("Another Authority"))
    with (
        pytest.raises((ssl.SSLError, ConnectionError, AssertionError)),
        connected(daemon, tls) as client,
    ):
        client.send(b"a AUTHENTICATE EXTERNAL =\r\n\r\n")
        assert client.until(b"a OK")
    daemon.wait_for_log(r"^INFO: ip=\[::ffff:127\.0\.0\.1\], Peer's certificate ")
    assert site.authdaemond.asked == []


def test_resumed_connection(site: Site) -> None:
    """A client that resumes a session is who it was."""
    tls = context(site, site.authority)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # here the session is there at once
    trusted = site.etc / "trusted.pem"
    trusted.write_bytes(site.authority.certificate_pem)
    daemon = site.start(
        "imapd-ssl",
        TLS_TRUSTCERTS=str(trusted),
        TLS_VERIFYPEER="PEER",
        TLS_EXTERNAL="emailaddress",
        TLS_CACHEFILE="tickets",
        IMAP_LOGIN_PROCESSES="1",  # whose tickets are its own
    )
    with connected(daemon, tls) as client:
        assert isinstance(client.socket, ssl.SSLSocket)
        session = client.socket.session

    again = tls.wrap_socket(daemon.raw(), session=session)

    with Peer(again) as client:
        assert OFFER in client.line()
        assert again.session_reused
        client.send(b"a AUTHENTICATE EXTERNAL =\r\n\r\n")
        client.until(b"a OK ")


def test_field_that_is_not_set(site: Site) -> None:
    """Without TLS_EXTERNAL a certificate is no log-in."""
    trusted = site.etc / "trusted.pem"
    trusted.write_bytes(site.authority.certificate_pem)
    daemon = site.start("imapd-ssl", TLS_TRUSTCERTS=str(trusted), TLS_VERIFYPEER="PEER")

    with connected(daemon, context(site, site.authority)) as client:
        assert OFFER not in client.command("CAPABILITY")[0]
        client.send(b"a AUTHENTICATE EXTERNAL =\r\n")
        daemon.wait_for_log(FAILED)


def test_pop3(site: Site) -> None:
    """AUTH EXTERNAL of pop3d-ssl: offered in CAPA, and a log-in."""
    trusted = site.etc / "trusted.pem"
    trusted.write_bytes(site.authority.certificate_pem)
    daemon = site.start(
        "pop3d-ssl",
        TLS_TRUSTCERTS=str(trusted),
        TLS_VERIFYPEER="PEER",
        TLS_EXTERNAL="emailaddress",
    )

    with Peer(daemon.tls(context(site, site.authority))) as client:
        client.send(b"CAPA\r\nAUTH EXTERNAL =\r\n")
        assert b"SASL EXTERNAL\r\n" in client.until(b"+ \r\n")
        client.send(b"\r\nSTAT\r\n")
        assert client.until(b"+OK 0 0\r\n")[0] == b"+OK logged in.\r\n"
    assert [(one.authtype, one.userid) for one in site.authdaemond.asked] == [("PRE", USERID)]
