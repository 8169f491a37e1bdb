"""pop3d and pop3d-ssl as real processes: log-in, TLS, limits, and beside IMAP on one maildir."""

from __future__ import annotations

import base64
import hmac
import poplib
import re
import ssl

import pytest

from tests.support.daemon import Peer, Site
from tests.support.maildirs import deliver

MESSAGE = b"Subject: x\n\n.body\n"


def lines(peer: Peer, *commands: bytes) -> list[bytes]:
    """Send commands together; give the first line of each answer."""
    peer.send(b"".join(command + b"\r\n" for command in commands))
    return [peer.line().rstrip(b"\r\n") for _ in commands]


@pytest.mark.fast
def test_log_in_and_fetch(site: Site) -> None:
    """With poplib: USER and PASS, LIST, UIDL, RETR, DELE, QUIT."""
    maildir = site.homes / "u@example.com/Maildir"
    for number in (1, 2):
        deliver(maildir, MESSAGE, number=number)
    daemon = site.start("pop3d")

    pop = poplib.POP3("127.0.0.1", daemon.port, 30)
    assert pop.getwelcome() == b"+OK Hello there."
    pop.user("u@example.com")
    assert pop.pass_("pw") == b"+OK logged in."
    assert pop.stat() == (2, 42)
    assert pop.retr(1)[1] == [b"Subject: x", b"", b".body"]
    assert pop.top(2, 0)[1] == [b"Subject: x", b""]
    uidls = [line.split()[1] for line in pop.uidl()[1]]
    pop.dele(1)
    pop.quit()

    pop = poplib.POP3("127.0.0.1", daemon.port, 30)
    pop.user("u@example.com")
    pop.pass_("pw")
    assert [line.split()[1] for line in pop.uidl()[1]] == uidls[1:]
    pop.quit()
    daemon.wait_for_log(r"LOGIN, user=u@example\.com, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]$", 2)
    daemon.wait_for_log(
        r"LOGOUT, user=u@example\.com, .*, top=12, retr=18, rcvd=\d+, sent=\d+, time=\d+$"
    )


def test_what_is_pipelined_behind_the_log_in(site: Site) -> None:
    """Courier loses it."""
    daemon = site.start("pop3d")
    with daemon.connect() as peer:
        said = lines(peer, b"CAPA2", b"USER u@example.com", b"PASS pw", b"STAT", b"NOOP", b"QUIT")

    assert said == [
        b"-ERR Invalid command.",
        b"+OK Password required.",
        b"+OK logged in.",
        b"+OK 0 0",
        b"+OK Yup.",
        b"+OK Bye-bye.",
    ]


def test_refusals_before_log_in(site: Site) -> None:
    daemon = site.start("pop3d")
    with daemon.connect() as peer:
        said = lines(
            peer, b"PASS pw", b"STAT", b"USER", b"AUTH", b"AUTH PLAIN =", b"LANG xx", b"QUIT"
        )

    assert said == [
        b"-ERR USER/PASS required.",
        b"-ERR Invalid command.",
        b"-ERR Invalid command.",
        b"-ERR Invalid command.",
        b"-ERR Authentication aborted.",
        b"-ERR Language not available.",
        b"+OK Better luck next time.",
    ]
    daemon.wait_for_log(r"LOGOUT, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]$")


def test_auth(site: Site) -> None:
    """RFC 5034: with an initial response, and in steps."""
    daemon = site.start("pop3d")
    plain = base64.b64encode(b"\0u@example.com\0pw")
    with daemon.connect() as peer:
        assert lines(peer, b"AUTH PLAIN " + plain) == [b"+OK logged in."]
    with daemon.connect() as peer:
        assert lines(peer, b"AUTH LOGIN", base64.b64encode(b"u@example.com")) == [
            b"+ VXNlcm5hbWU6",
            b"+ UGFzc3dvcmQ6",
        ]
        assert lines(peer, base64.b64encode(b"pw")) == [b"+OK logged in."]
    with daemon.connect() as peer:
        (challenge,) = lines(peer, b"AUTH CRAM-MD5")
        asked = base64.b64decode(challenge.removeprefix(b"+ "))
        digest = hmac.new(b"pw", asked, "md5").hexdigest().encode()
        assert lines(peer, base64.b64encode(b"u@example.com " + digest)) == [b"+OK logged in."]


def test_wrong_password(site: Site) -> None:
    """Held back for five seconds; the userid stays, as Courier has it."""
    daemon = site.start("pop3d")
    with daemon.connect() as peer:
        assert lines(peer, b"USER u@example.com", b"PASS bad") == [
            b"+OK Password required.",
            b"-ERR [AUTH] Login failed.",
        ]
        assert lines(peer, b"PASS pw") == [b"+OK logged in."]
    daemon.wait_for_log(
        r"LOGIN FAILED, user=u@example\.com, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]$"
    )


def test_stls(site: Site) -> None:
    """What was sent in the clear before the handshake does not count after it (RFC 2595 4)."""
    daemon = site.start("pop3d", POP3AUTH_TLS="PLAIN")
    connection = daemon.raw()
    peer = Peer(connection)
    peer.line()
    peer.send(b"USER u@example.com\r\nSTLS\r\nPASS pw\r\n")
    assert peer.line() == b"+OK Password required.\r\n"
    assert peer.line() == b"+OK Begin SSL/TLS negotiation now.\r\n"

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with Peer(context.wrap_socket(connection)) as secure:
        assert lines(secure, b"PASS pw", b"STLS") == [
            b"-ERR USER/PASS required.",
            b"-ERR TLS support not available.",
        ]
        secure.send(b"CAPA\r\n")
        capabilities = []
        while (line := secure.line()) != b".\r\n":
            capabilities.append(line)
        assert b"SASL PLAIN\r\n" in capabilities and b"STLS\r\n" not in capabilities
        assert lines(secure, b"USER u@example.com", b"PASS pw", b"QUIT")[1:] == [
            b"+OK logged in.",
            b"+OK Bye-bye.",
        ]
    daemon.wait_for_log(r"LOGOUT, user=u@example\.com, .*, stls=1$")


def test_required_tls(site: Site) -> None:
    daemon = site.start("pop3d", POP3_TLS_REQUIRED="1")
    with daemon.connect() as peer:
        assert lines(peer, b"USER u@example.com", b"AUTH PLAIN", b"PASS pw") == [
            b"-ERR TLS required to log in.",
            b"-ERR TLS required to log in.",
            b"-ERR USER/PASS required.",
        ]


def test_pop3d_ssl(site: Site) -> None:
    daemon = site.start("pop3d-ssl")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    pop = poplib.POP3_SSL("127.0.0.1", daemon.port, timeout=30, context=context)
    pop.user("u@example.com")
    pop.pass_("pw")
    pop.quit()

    daemon.wait_for_log(r"LOGIN, user=u@example\.com, .*, stls=1$")


def test_account_options(site: Site) -> None:
    site.add_account("no@example.com", "pw", OPTIONS="disablepop3=1")
    site.add_account("tls@example.com", "pw", OPTIONS="disableinsecurepop3=1")
    daemon = site.start("pop3d")
    for userid, text in (
        (b"no@example.com", b"-ERR [AUTH] POP3 access disabled for this account."),
        (b"tls@example.com", b"-ERR [AUTH] POP3 access disabled via insecure connection."),
    ):
        with daemon.connect() as peer:
            assert lines(peer, b"USER " + userid, b"PASS pw")[1] == text


def test_beside_imap(site: Site) -> None:
    """A POP3 session and IMAP's on one INBOX, by other processes: flags and removals reach both."""
    maildir = site.homes / "u@example.com/Maildir"
    for number in (1, 2, 3):
        deliver(maildir, MESSAGE, number=number)
    imap, pop = site.start("imapd"), site.start("pop3d")
    with imap.session() as reader, pop.connect() as fetcher:
        assert b"3 EXISTS" in b"".join(reader.command("SELECT INBOX"))
        lines(fetcher, b"USER u@example.com", b"PASS pw")
        fetcher.send(b"RETR 2\r\nDELE 1\r\nNOOP\r\n")
        while fetcher.line() != b"+OK Yup.\r\n":
            pass
        stored = reader.command("UID STORE 3 +FLAGS (\\Deleted)")
        told = b"".join(stored + reader.command("NOOP"))
        reader.command("EXPUNGE")
        assert re.search(rb"2 FETCH \(FLAGS \([^)]*\\Seen", told), told
        assert lines(fetcher, b"RETR 3", b"QUIT") == [
            b"-ERR Can't open the message file - it's gone!",
            b"+OK Bye-bye.",
        ]
        assert b"* 1 EXPUNGE" in b"".join(reader.command("NOOP"))


@pytest.mark.parametrize("has_codes", [True, False])
def test_response_codes(site: Site, has_codes: bool) -> None:
    """RFC 3206: whether another password would help, or waiting; Courier's texts alone if asked for."""
    site.refuse_soon()
    daemon = site.start("pop3d", POP3_EXTENSIONS="1" if has_codes else "0")
    maildir = site.add_account("gone@example.com", "pw")
    maildir.rename(maildir.with_name("elsewhere"))
    home = site.homes / "locked@example.com"
    site.add_account("locked@example.com", "pw")
    home.chmod(home.stat().st_mode | 0o1000)
    site.add_account("no@example.com", "pw", OPTIONS="disablepop3=1")
    site.authdaemond.behaviour.instead["away@example.com"] = b""
    expected = {
        "u@example.com": ("AUTH", "Login failed."),
        "gone@example.com": ("SYS/PERM", "Your mailbox can't be opened."),
        "locked@example.com": (
            "SYS/TEMP",
            "Your account is temporarily unavailable (+t bit set on home directory).",
        ),
        "no@example.com": ("AUTH", "POP3 access disabled for this account."),
        "away@example.com": ("SYS/TEMP", "Temporary problem, please try again later"),
    }
    said = {}
    peers = {userid: daemon.connect() for userid in expected}
    for userid, peer in peers.items():
        word = "wrong" if userid == "u@example.com" else "pw"
        peer.send(f"USER {userid}\r\nPASS {word}\r\n".encode())
    for userid, peer in peers.items():
        peer.line()
        said[userid] = peer.line().decode().rstrip("\r\n")
        peer.close()

    assert said == {
        userid: f"-ERR [{code}] {text}" if has_codes else f"-ERR {text}"
        for userid, (code, text) in expected.items()
    }
    with daemon.connect() as peer:
        peer.send(b"CAPA\r\n")
        capabilities = peer.until(b".")
    assert (b"RESP-CODES\r\n" in capabilities) == has_codes
    assert (b"AUTH-RESP-CODE\r\n" in capabilities) == has_codes
