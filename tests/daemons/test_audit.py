"""Settings of Courier's that daemons and their log-ins heed, each with what is seen of it from outside."""

from __future__ import annotations

import base64
import hmac
import os
import re

import pytest

from tests.support.daemon import Site, free_port
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver, make_maildir


@pytest.mark.parametrize(("name", "usual"), [("imapd", "imap"), ("pop3d", "pop3")])
def test_authservice(site: Site, name: str, usual: str) -> None:
    """Each port may have its own service; the others ask for the protocol's."""
    daemon, port = site.start(name), free_port()
    special = site.start(name, **{f"AUTHSERVICE{port}": "x"}, port=port)
    for one in (daemon, special):
        with one.connect() as peer:
            if name == "imapd":
                peer.command("LOGIN u@example.com pw")
            else:
                peer.send(b"USER u@example.com\r\nPASS pw\r\n")
                assert [peer.line()[:3], peer.line()[:3]] == [b"+OK", b"+OK"]

    assert [asked.service for asked in site.authdaemond.asked] == [usual, "x"]


@pytest.mark.parametrize("name", ["imapd", "pop3d"])
def test_maildirpath(site: Site, name: str) -> None:
    """The maildir of accounts that name none, below their home; an account's own one comes first."""
    home = site.homes / "u@example.com"
    other = make_maildir(home / "Mail/new place")
    deliver(other, b"Subject: x\n\n", number=1)
    site.add_account("own@example.com", "pw", MAILDIR="./Maildir")
    uid, gid = own_ids()
    for path in (other.parent, other, *other.rglob("*")):
        os.chown(path, uid, gid)
    daemon = site.start(name, MAILDIRPATH="Mail/new place")

    found = []
    for userid in ("u@example.com", "own@example.com"):
        with daemon.connect() as peer:
            if name == "imapd":
                peer.log_in(userid)
                found.append(b"* 1 EXISTS\r\n" in peer.command("SELECT INBOX"))
            else:
                peer.send(f"USER {userid}\r\nPASS pw\r\nSTAT\r\n".encode())
                found.append([peer.line() for _ in range(3)][-1].startswith(b"+OK 1 "))

    assert found == [True, False]


@pytest.mark.parametrize(
    ("mechanism", "digest"),
    [("CRAM-MD5", "md5"), ("CRAM-SHA1", "sha1"), ("CRAM-SHA256", "sha256")],
)
@pytest.mark.parametrize("name", ["imapd", "pop3d"])
def test_cram(site: Site, name: str, mechanism: str, digest: str) -> None:
    """Whether announced or not; authdaemond is given challenge and response as they were."""
    daemon = site.start(name)
    imap = name == "imapd"
    with daemon.connect() as peer:
        peer.send(f"{'a AUTHENTICATE' if imap else 'AUTH'} {mechanism}\r\n".encode())
        challenge = base64.b64decode(peer.line()[2:])
        answer = b"u@example.com " + hmac.new(b"pw", challenge, digest).hexdigest().encode()
        peer.send(base64.b64encode(answer) + b"\r\n")
        assert peer.line().endswith(b" LOGIN Ok.\r\n" if imap else b"+OK logged in.\r\n")

    assert [asked.authtype for asked in site.authdaemond.asked] == [mechanism.lower()]


def test_pop3_log_deletions(site: Site) -> None:
    """A line for each message that QUIT removes."""
    maildir = site.homes / "u@example.com/Maildir"
    names = [deliver(maildir, b"Subject: x\n\n", number=n, flags="S") + ":2,S" for n in (1, 2)]
    for name in names:
        os.chown(maildir / "cur" / name, *own_ids())
    daemon = site.start("pop3d", POP3_LOG_DELETIONS="1")
    with daemon.connect() as peer:
        peer.send(b"USER u@example.com\r\nPASS pw\r\nDELE 2\r\nQUIT\r\n")
        peer.rest()

    assert [path.name for path in (maildir / "cur").iterdir()] == names[:1]
    daemon.wait_for_log(
        r"^INFO: DELETED, user=u@example\.com, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\], "
        rf"filename=cur/{re.escape(names[1])}$"
    )
    assert daemon.log.count("DELETED") == 1


@pytest.mark.parametrize(
    ("level", "last"), [("1", "username=u@example.com"), ("2", "password=wrong")]
)
def test_debug_login_of_pop3(site: Site, level: str, last: str) -> None:
    """Courier's lines; passwords at level 2 alone."""
    daemon = site.start("pop3d", DEBUG_LOGIN=level)
    with daemon.connect() as peer:
        peer.send(b"CAPA\r\nUSER u@example.com\r\nPASS wrong\r\n")
        daemon.wait_for_log(re.escape(last))

    found = re.findall(r"^DEBUG: LOGIN: ip=\[::ffff:127\.0\.0\.1\], (.*)$", daemon.log, re.M)
    expected = ["command=CAPA", "command=USER", "command=PASS", "username=u@example.com"]
    assert found == [*expected, "password=wrong"][: 3 + int(level)]


def test_timeouts_of_authdaemond(site: Site) -> None:
    """TIMEOUT_READ: who asks an authdaemond that hangs is not kept waiting for half a minute."""
    daemon = site.start(TIMEOUT_READ="1")
    site.authdaemond.behaviour.delays["u@example.com"] = 3600.0
    with daemon.connect() as peer:
        peer.send(b"a LOGIN u@example.com pw\r\n")
        assert b"BYE Temporary problem" in peer.rest()
    daemon.wait_for_log("ERR: authentication error: Connection timed out")
