"""OAUTHBEARER and XOAUTH2 from a client's socket to the identity provider, and by real clients."""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from collections.abc import Iterator

import pytest

from tests.authdaemond.conftest import write_userdb
from tests.daemons.test_scram import challenge, run
from tests.support import authdaemon
from tests.support.daemon import Site
from tests.support.databases import rc_file
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver
from tests.support.oidc import Provider

USERID = "u@example.com"
MECHANISMS = "OAUTHBEARER XOAUTH2"
GOOD = {"active": True, "username": USERID}


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    made.tokens = {"t0ken": GOOD, "other": {**GOOD, "username": "v@example.com"}}
    yield made
    made.close()


@pytest.fixture
def ours(site: Site, provider: Provider) -> Iterator[authdaemon.Daemon]:
    """Our authdaemond in the place of the stand-in."""
    site.authdaemond.stop()
    site.refuse_soon()
    uid, gid = own_ids()
    lines = f"{USERID}\tuid={uid}|gid={gid}|home={site.homes / USERID}|systempw=x\n"
    write_userdb(site.etc / "userdb", lines.encode())
    rc_file(
        site.etc / "authoauth2rc",
        [
            ("OAUTH2_INTROSPECTION_URL", f"{provider.url}/introspect"),
            ("OAUTH2_CLIENT_ID", "mail server"),
            ("OAUTH2_CLIENT_SECRET", "s&cret"),
            ("OAUTH2_USER_CLAIM", "username"),
            ("OAUTH2_SCOPE", ""),
        ],
    )
    daemon = authdaemon.start_ours(
        site.path, {"authmodulelist": "authuserdb authoauth2", "daemons": "2", "DEBUG_LOGIN": "1"}
    )
    yield daemon
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log, daemon.log


def message(name: str, token: str, user: str = USERID) -> bytes:
    start = f"n,a={user},\x01" if name == "OAUTHBEARER" else f"user={user}\x01"
    return b64encode(f"{start}auth=Bearer {token}\x01\x01".encode())


@pytest.mark.parametrize("name", MECHANISMS.split())
def test_imap(site: Site, ours: authdaemon.Daemon, name: str) -> None:
    """Offered under TLS; refused with a reason; let in."""
    daemon = site.start("imapd", IMAP_SASL=MECHANISMS)
    with daemon.connect() as peer:
        assert b"OAUTH" not in peer.command("CAPABILITY")[0]
        peer.start_tls()
        words = peer.command("CAPABILITY")[0].split()
        assert {b"AUTH=OAUTHBEARER", b"AUTH=XOAUTH2"} <= set(words)
        peer.send(f"a AUTHENTICATE {name} ".encode() + message(name, "wrong") + b"\r\n")
        assert json.loads(challenge(peer))["status"] in ("invalid_token", "401")
        peer.send(b"AQ==\r\n")
        assert peer.line().endswith(b" Login failed.\r\n")
        peer.send(f"b AUTHENTICATE {name}\r\n".encode())
        assert challenge(peer) == b""
        peer.send(message(name, "t0ken") + b"\r\n")
        assert peer.line().endswith(b" LOGIN Ok.\r\n")
        assert b" OK " in peer.command("SELECT INBOX")[-1]
    daemon.wait_for_log(f"LOGIN FAILED, method={name}, ")
    daemon.wait_for_log(r"LOGIN, user=u@example\.com, ")


def test_pop3(site: Site, ours: authdaemon.Daemon) -> None:
    daemon = site.start("pop3d-ssl", POP3_SASL=MECHANISMS)
    wrong = (("other", USERID), ("t0ken", "v@example.com"), ("other", "v@example.com"))
    peers = [daemon.connect() for _ in wrong]
    for peer, (token, user) in zip(peers, wrong, strict=True):
        peer.send(b"AUTH OAUTHBEARER " + message("OAUTHBEARER", token, user) + b"\r\n")
        assert json.loads(challenge(peer)) == {"status": "invalid_token"}
        peer.send(b"*\r\n")
    for peer in peers:
        assert peer.line().endswith(b" Authentication failed.\r\n")
        peer.close()
    with daemon.connect() as peer:
        peer.send(b"CAPA\r\n")
        assert b"SASL XOAUTH2 OAUTHBEARER\r\n" in peer.until(b".")
        peer.send(b"AUTH XOAUTH2 " + message("XOAUTH2", "t0ken") + b"\r\n")
        assert peer.line() == b"+OK logged in.\r\n"


def test_token_in_the_clear(site: Site, ours: authdaemon.Daemon, provider: Provider) -> None:
    """Nobody is asked about one that was sent unencrypted."""
    daemon = site.start("imapd", IMAP_SASL=MECHANISMS)
    with daemon.connect() as peer:
        peer.send(b"a AUTHENTICATE OAUTHBEARER " + message("OAUTHBEARER", "t0ken") + b"\r\n")
        daemon.wait_for_log("LOGIN FAILED, method=OAUTHBEARER, ")
    assert provider.asked == []


def test_provider_away(site: Site, ours: authdaemon.Daemon, provider: Provider) -> None:
    daemon = site.start("imapd-ssl", IMAP_SASL=MECHANISMS)
    provider.status = 503
    with daemon.connect() as peer:
        assert isinstance(peer.socket, ssl.SSLSocket)
        peer.send(b"a AUTHENTICATE XOAUTH2 " + message("XOAUTH2", "t0ken") + b"\r\n")
        peer.until(b"* BYE Temporary problem, please try again later\r\n")
    assert "503" in ours.log


def test_long_token(site: Site, ours: authdaemon.Daemon, provider: Provider) -> None:
    """As long as authdaemond's requests may be; longer ones are refused, not cut."""
    fits, longer = "x" * 8000, "x" * 8200
    provider.tokens |= {fits: GOOD, longer: GOOD, longer[:8190]: GOOD}
    daemon = site.start("imapd-ssl", IMAP_SASL=MECHANISMS)
    with daemon.connect() as peer:
        peer.send(b"a AUTHENTICATE XOAUTH2\r\n")
        challenge(peer)
        peer.send(message("XOAUTH2", longer) + b"\r\n")
        assert json.loads(challenge(peer))["status"] == "401"
    assert provider.asked == []
    with daemon.connect() as peer:
        peer.send(b"a AUTHENTICATE XOAUTH2\r\n")
        challenge(peer)
        peer.send(message("XOAUTH2", fits) + b"\r\n")
        assert peer.line().endswith(b" LOGIN Ok.\r\n")


def test_long_token_by_pop3(site: Site, ours: authdaemon.Daemon, provider: Provider) -> None:
    """RFC 5034 4: a response, the initial one, too, may be longer than a command."""
    token = "x" * 8000
    provider.tokens[token] = GOOD
    daemon = site.start("pop3d-ssl", POP3_SASL=MECHANISMS)
    for start in (b"AUTH XOAUTH2 ", b"AUTH XOAUTH2\r\n"):
        with daemon.connect() as peer:
            peer.send(start)
            if start.endswith(b"\n"):
                challenge(peer)
            peer.send(message("XOAUTH2", token) + b"\r\n")
            assert peer.line() == b"+OK logged in.\r\n"


# -- real clients -------------------------------------------------------------------------------


@pytest.mark.client
@pytest.mark.parametrize("name", ["OAUTHBEARER", "XOAUTH2"])
def test_curl(site: Site, ours: authdaemon.Daemon, name: str) -> None:
    """IMAP by libcurl, right and wrong."""
    deliver(site.homes / USERID / "Maildir", b"Subject: for curl\n\nx\n", number=1)
    trusted = site.path / "trusted.pem"
    trusted.write_bytes(site.authority.certificate_pem)
    daemon = site.start("imapd-ssl", IMAP_SASL=name)
    url = f"imaps://localhost:{daemon.port}/INBOX;MAILINDEX=1"
    asked = ("curl", "-sS", "--cacert", str(trusted), "--user", USERID, "--max-time", "30")
    asked += (url, "--oauth2-bearer")

    assert "Subject: for curl" in run(*asked, "t0ken"), daemon.log
    assert "Subject" not in run(*asked, "wrong")
    daemon.wait_for_log(f"LOGIN FAILED, method={name}, ")


@pytest.mark.client
@pytest.mark.parametrize("name", ["oauthbearer", "xoauth2"])
def test_mpop(site: Site, ours: authdaemon.Daemon, name: str) -> None:
    """POP3, over STLS."""
    deliver(site.homes / USERID / "Maildir", b"Subject: for mpop\n\nx\n", number=1)
    trusted = site.path / "trusted.pem"
    trusted.write_bytes(site.authority.certificate_pem)
    daemon = site.start("pop3d", POP3_SASL=MECHANISMS)
    box, configuration = site.path / "box", site.path / "mpoprc"
    configuration.write_text(
        f"account default\nhost localhost\nport {daemon.port}\nuser {USERID}\npassword t0ken\n"
        f"auth {name}\ntls on\ntls_starttls on\ntls_trust_file {trusted}\nkeep on\n"
        f"delivery mbox {box}\nuidls_file {site.path / 'uidls'}\nreceived_header off\n"
    )
    configuration.chmod(0o600)

    said = run("mpop", f"--file={configuration}")

    assert box.exists(), said + daemon.log
    assert "Subject: for mpop" in box.read_text()
