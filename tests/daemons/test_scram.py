"""SCRAM from a client's socket to our authdaemond, and by real clients: GNU SASL's, mpop."""

from __future__ import annotations

import hashlib
import re
import shutil
import ssl
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest

from tests.authdaemond.conftest import write_userdb
from tests.conftest import missing
from tests.support import authdaemon
from tests.support.daemon import Peer, Site
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver
from tests.support.scram import ScramClient, secret

USERID = "u@example.com"
SCRAM = "SCRAM-SHA-256 SCRAM-SHA-1"
PLUS = "SCRAM-SHA-256-PLUS"


@pytest.fixture
def ours(site: Site) -> Iterator[authdaemon.Daemon]:
    """Our authdaemond in the place of the stand-in, with a secret for each mechanism."""
    site.authdaemond.stop()
    site.refuse_soon()
    uid, gid = own_ids()
    write_userdb(
        site.etc / "userdb",
        f"{USERID}\tuid={uid}|gid={gid}|home={site.homes / USERID}|"
        f"scram-sha-1pw={secret('sha1', b'pw', b'salt', 4096)}|"
        f"systempw={secret('sha256', b'pw', b'salt', 4096)}\n".encode(),
    )
    daemon = authdaemon.start_ours(
        site.path, {"authmodulelist": "authuserdb", "daemons": "2", "DEBUG_LOGIN": "1"}
    )
    yield daemon
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log, daemon.log


def challenge(peer: Peer) -> bytes:
    line = peer.line()
    assert line.startswith(b"+ ") and line.endswith(b"\r\n"), line
    return b64decode(line[2:-2])


def authenticate(
    peer: Peer,
    client: ScramClient,
    *,
    name: str = "SCRAM-SHA-256",
    command: bytes = b"a AUTHENTICATE",
    with_initial: bool = True,
) -> bytes:
    """Play a client; return the completion, or what came in a challenge's place."""
    first = b64encode(client.first())
    start = command + b" " + name.encode()
    if with_initial:
        peer.send(start + b" " + first + b"\r\n")
    else:
        peer.send(start + b"\r\n")
        assert challenge(peer) == b""
        peer.send(first + b"\r\n")
    line = peer.line()
    if not line.startswith(b"+ "):
        return line
    peer.send(b64encode(client.final(b64decode(line[2:]))) + b"\r\n")
    line = peer.line()
    if not line.startswith(b"+ "):
        return line
    assert client.believes(b64decode(line[2:]))
    peer.send(b"\r\n")
    return peer.line()


@pytest.mark.parametrize("with_initial", [True, False])
@pytest.mark.parametrize(
    ("name", "hash_name"), [("SCRAM-SHA-1", "sha1"), ("scram-sha-256", "sha256")]
)
def test_imap(
    site: Site, ours: authdaemon.Daemon, name: str, hash_name: str, with_initial: bool
) -> None:
    daemon = site.start("imapd", IMAP_SASL=SCRAM)
    with daemon.connect() as peer:
        words = peer.command("CAPABILITY")[0].split()
        assert {b"AUTH=SCRAM-SHA-256", b"AUTH=SCRAM-SHA-1"} <= set(words)
        assert not [word for word in words if word.endswith(b"-PLUS")]
        client = ScramClient(USERID, "pw", hash_name)
        said = authenticate(peer, client, name=name, with_initial=with_initial)
        assert said.startswith(b"a OK ") and said.endswith(b" LOGIN Ok.\r\n")
        assert b" OK " in peer.command("SELECT INBOX")[-1]
        assert b"AUTH=SCRAM" not in peer.command("CAPABILITY")[0]
    daemon.wait_for_log(r"LOGIN, user=u@example\.com, ")


@pytest.mark.parametrize("with_initial", [True, False])
def test_pop3(site: Site, ours: authdaemon.Daemon, with_initial: bool) -> None:
    daemon = site.start("pop3d", POP3_SASL=SCRAM)
    with daemon.connect() as peer:
        peer.send(b"CAPA\r\n")
        assert b"SASL SCRAM-SHA-256 SCRAM-SHA-1\r\n" in peer.until(b".")
        client = ScramClient(USERID, "pw")
        said = authenticate(peer, client, command=b"AUTH", with_initial=with_initial)
        assert said == b"+OK logged in.\r\n"
        peer.send(b"STAT\r\n")
        assert peer.line() == b"+OK 0 0\r\n"


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_unknown_userid_is_told_from_a_wrong_password_by_nothing(
    site: Site, ours: authdaemon.Daemon, protocol: str
) -> None:
    """Each gets a challenge, fails at the proof, and is logged alike."""
    daemon = site.start(f"{protocol}d", **{f"{protocol.upper()}_SASL": SCRAM})
    command = b"a AUTHENTICATE" if protocol == "imap" else b"AUTH"
    heard = []
    with daemon.connect() as one, daemon.connect() as other:
        for peer, client in (
            (one, ScramClient(USERID, "wrong")),
            (other, ScramClient("nobody@example.com", "pw")),
        ):
            peer.send(command + b" SCRAM-SHA-256 " + b64encode(client.first()) + b"\r\n")
            peer.send(b64encode(client.final(challenge(peer))) + b"\r\n")
        heard = [one.line(), other.line()]
    assert heard[0] == heard[1]
    assert heard[0] in (
        b"a NO [AUTHENTICATIONFAILED] Login failed.\r\n",
        b"-ERR [AUTH] Authentication failed.\r\n",
    )
    lines = re.findall(r"LOGIN FAILED, method=SCRAM-SHA-256, ip=\[[^]]*\]", daemon.log)
    assert len(lines) == 2 and lines[0] == lines[1]


def test_end_point_binding_and_the_downgrade(site: Site, ours: authdaemon.Daemon) -> None:
    """RFC 5929 4; who says that -PLUS was not offered has been lied to (RFC 5802 6)."""
    daemon = site.start("imapd", IMAP_SASL=SCRAM)
    with daemon.connect() as peer:
        peer.start_tls()
        assert f"AUTH={PLUS}".encode() in peer.command("CAPABILITY")[0].split()
        assert isinstance(peer.socket, ssl.SSLSocket)
        shown = peer.socket.getpeercert(binary_form=True)
        assert shown is not None
        bound = ScramClient(
            USERID, "pw", header=b"p=tls-server-end-point,,", binding=hashlib.sha256(shown).digest()
        )
        assert authenticate(peer, bound, name=PLUS).startswith(b"a OK ")
    with daemon.connect() as peer:
        peer.start_tls()
        peer.send(
            b"a AUTHENTICATE SCRAM-SHA-256 "
            + b64encode(ScramClient(USERID, "pw", header=b"y,,").first())
            + b"\r\n"
        )
        daemon.wait_for_log(r"LOGIN FAILED, method=SCRAM-SHA-256, ")
    with daemon.connect() as peer:
        peer.start_tls()
        plain = ScramClient(USERID, "pw")
        assert authenticate(peer, plain).startswith(b"a OK ")


def test_what_is_not_offered_is_not_accepted(site: Site, ours: authdaemon.Daemon) -> None:
    """Neither by default, nor where STARTTLS must come first."""
    daemon = site.start("imapd")
    with daemon.connect() as peer:
        assert b"SCRAM" not in peer.command("CAPABILITY")[0]
        peer.send(b"a AUTHENTICATE SCRAM-SHA-256 " + b64encode(b"n,,n=u,r=x") + b"\r\n")
        daemon.wait_for_log(r"LOGIN FAILED, method=SCRAM-SHA-256, ")
    daemon.stop()
    daemon = site.start("imapd", IMAP_SASL=SCRAM, IMAP_TLS_REQUIRED="1")
    with daemon.connect() as peer:
        assert b"SCRAM" not in peer.command("CAPABILITY")[0]
        assert (
            b" NO [PRIVACYREQUIRED] STARTTLS required"
            in peer.command("AUTHENTICATE SCRAM-SHA-256")[-1]
        )


def test_authdaemond_that_has_none_of_it(site: Site) -> None:
    """As Courier's: everybody who tries fails, and nobody learns more."""
    site.refuse_soon()
    daemon = site.start("imapd", IMAP_SASL=SCRAM)
    with daemon.connect() as peer:
        said = authenticate(peer, ScramClient(USERID, "pw"))
        assert said == b"a NO [AUTHENTICATIONFAILED] Login failed.\r\n"
        peer.log_in()


def test_authdaemond_away(site: Site) -> None:
    daemon = site.start("imapd", IMAP_SASL=SCRAM)
    site.authdaemond.stop()
    with daemon.connect() as peer:
        said = authenticate(peer, ScramClient(USERID, "pw"))
    assert said == b"a NO [UNAVAILABLE] Temporary problem, please try again later\r\n"


def test_client_that_goes_on_before_it_is_let_in(site: Site, ours: authdaemon.Daemon) -> None:
    """To have proved oneself is good for nothing but the last step; the proof is used up by it."""
    daemon = site.start("imapd", IMAP_SASL=SCRAM)
    with daemon.connect() as peer:
        client = ScramClient(USERID, "pw")
        peer.send(b"a AUTHENTICATE SCRAM-SHA-256 " + b64encode(client.first()) + b"\r\n")
        peer.send(b64encode(client.final(challenge(peer))) + b"\r\n")
        assert client.believes(challenge(peer))
        peer.send(b"*\r\n")
        assert peer.line() == b"a BAD Login failed.\r\n"
        assert b" OK " not in peer.command("SELECT INBOX")[-1]
        said = authenticate(peer, ScramClient(USERID, "pw"), command=b"b AUTHENTICATE")
        assert said.startswith(b"b OK ") and said.endswith(b" LOGIN Ok.\r\n")


# -- real clients -------------------------------------------------------------------------------


def run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        missing(command[0])
    done = subprocess.run(
        command, check=False, capture_output=True, timeout=60, stdin=subprocess.DEVNULL
    )
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.client
@pytest.mark.parametrize(
    ("mechanism", "password"),
    [
        ("SCRAM-SHA-1", "pw"), ("SCRAM-SHA-256", "pw"), ("SCRAM-SHA-1-PLUS", "pw"), (PLUS, "pw"),
        (PLUS, "wrong"),
    ],
)  # fmt: skip
def test_gsasl(site: Site, ours: authdaemon.Daemon, mechanism: str, password: str) -> None:
    """GNU SASL's own client over STARTTLS: -PLUS with `tls-exporter` (RFC 9266)."""
    trusted = site.path / "trusted.pem"
    trusted.write_bytes(site.authority.certificate_pem)
    daemon = site.start("imapd", IMAP_SASL=SCRAM)

    said = run(
        *("gsasl", "--imap", f"--connect=localhost:{daemon.port}", f"--mechanism={mechanism}"),
        *(f"--authentication-id={USERID}", f"--password={password}"),
        *("--starttls", f"--x509-ca-file={trusted}", "--verbose"),
        *(() if mechanism.endswith("-PLUS") else ("--no-cb",)),
    )

    assert (" LOGIN Ok." in said) == (password == "pw"), said + daemon.log
    assert ("] Login failed." in said) == (password != "pw"), said
    if password != "pw":
        daemon.wait_for_log(f"LOGIN FAILED, method={mechanism}, ")


@pytest.mark.client
@pytest.mark.parametrize("mechanism", ["scram-sha-1", "scram-sha-256"])
def test_mpop(site: Site, ours: authdaemon.Daemon, mechanism: str) -> None:
    """POP3, with and without TLS."""
    deliver(site.homes / USERID / "Maildir", b"Subject: for mpop\n\nx\n", number=1)
    trusted = site.path / "trusted.pem"
    trusted.write_bytes(site.authority.certificate_pem)
    daemon = site.start("pop3d", POP3_SASL=SCRAM)
    for tls in ("off", "on"):
        box, configuration = site.path / f"box-{tls}", site.path / "mpoprc"
        configuration.write_text(
            f"account default\nhost localhost\nport {daemon.port}\nuser {USERID}\npassword pw\n"
            f"auth {mechanism}\ntls {tls}\ntls_starttls on\ntls_trust_file {trusted}\n"
            f"keep on\ndelivery mbox {box}\nuidls_file {site.path / tls}\nreceived_header off\n"
        )
        configuration.chmod(0o600)

        said = run("mpop", f"--file={configuration}")

        assert box.exists(), said + daemon.log
        assert "Subject: for mpop" in box.read_text()


@pytest.mark.client
@pytest.mark.parametrize("tls", [False, True])
def test_mbsync(site: Site, ours: authdaemon.Daemon, tls: bool) -> None:
    """mbsync, by Cyrus SASL, which chooses SCRAM-SHA-256 of what is offered."""
    deliver(site.homes / USERID / "Maildir", b"Subject: for mbsync\n\nx\n", number=1)
    trusted = site.path / "trusted.pem"
    trusted.write_bytes(site.authority.certificate_pem)
    daemon = site.start("imapd", IMAP_SASL=SCRAM)
    (site.path / "near").mkdir()
    configuration = site.path / "mbsyncrc"
    configuration.write_text(
        f"IMAPStore far\nHost localhost\nPort {daemon.port}\nUser {USERID}\nPass pw\n"
        f"SSLType {'STARTTLS' if tls else 'None'}\nCertificateFile {trusted}\n"
        "AuthMechs SCRAM-SHA-256\n\n"
        f"MaildirStore near\nPath {site.path}/near/\nInbox {site.path}/near/INBOX\n\n"
        "Channel all\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSyncState *\n"
    )

    said = run("mbsync", "-c", str(configuration), "-a")

    fetched = [
        *(site.path / "near/INBOX").glob("*/*for*"),
        *(site.path / "near/INBOX/new").iterdir(),
    ]
    assert [b"Subject: for mbsync" in one.read_bytes() for one in fetched] == [True], (
        said + daemon.log
    )
    assert "method=" not in daemon.log
