"""Our imapd and pop3d run by real Courier's log-in programs, in the place of Courier's own."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.courier_server import CourierServer
from tests.support.daemon import Peer, Site, wait_until
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver

pytestmark = [pytest.mark.courier, pytest.mark.root]

USERID, PASSWORD = "u@example.org", "pw"


@pytest.fixture
def courier(site: Site) -> Iterator[CourierServer]:
    made = CourierServer(site)
    yield made
    made.close()


@pytest.fixture
def maildir(courier: CourierServer) -> Path:
    made = courier.add_account(USERID, PASSWORD)
    base = deliver(made, b"Subject: x\n\nbody\n", number=1)
    os.chown(made / "new" / base, *own_ids())
    return made


def connected(port: int) -> Peer:
    peer = Peer(socket.create_connection(("127.0.0.1", port)))
    peer.line()
    return peer


def test_imap(courier: CourierServer, maildir: Path) -> None:
    """It answers the command that logged in, is the account's user, and logs as Courier does."""
    port = courier.start("imapd", sessions_of_ours=True, IMAP_CAPABILITY="IMAP4rev1 IDLE")
    with connected(port) as peer:
        assert peer.command(f"LOGIN {USERID} {PASSWORD}")[-1].endswith(b" LOGIN Ok.\r\n")
        assert b" MOVE " in peer.command("CAPABILITY")[0]
        assert b"* 1 EXISTS\r\n" in peer.command("SELECT INBOX")
        assert b"Subject: x\r\n" in peer.command("FETCH 1 BODY[]")
        peer.command("LOGOUT")
        assert peer.rest() == b""

    (message,) = (maildir / "cur").iterdir()
    assert message.name.endswith(":2,S")
    assert (maildir / "courierimapuiddb").stat().st_uid == own_ids()[0]
    wait_until(lambda: "LOGOUT" in courier.log, lambda: courier.log)
    who = r"user=u@example\.org, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]"
    assert re.search(rf"^INFO: LOGIN, {who}, protocol=IMAP$", courier.log, re.MULTILINE)
    assert re.search(rf"^INFO: LOGOUT, {who}, headers=0, body=20, ", courier.log, re.MULTILINE)


def test_pop3(courier: CourierServer, maildir: Path) -> None:
    port = courier.start("pop3d", sessions_of_ours=True)
    with connected(port) as peer:
        peer.send(f"USER {USERID}\r\n".encode())
        peer.line()
        peer.send(f"PASS {PASSWORD}\r\n".encode())
        assert peer.line() == b"+OK logged in.\r\n"
        peer.send(b"STAT\r\nDELE 1\r\nQUIT\r\n")
        assert [peer.line()[:5] for _ in range(3)] == [b"+OK 1", b"+OK D", b"+OK B"]

    wait_until(lambda: not list((maildir / "cur").iterdir()))
    wait_until(lambda: "LOGOUT" in courier.log, lambda: courier.log)
    who = r"user=u@example\.org, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]"
    assert re.search(rf"^INFO: LOGIN, {who}$", courier.log, re.MULTILINE)


@pytest.mark.parametrize("name", ["imapd", "pop3d"])
def test_account_that_is_locked(courier: CourierServer, maildir: Path, name: str) -> None:
    """The refusal is the answer to the log-in."""
    maildir.parent.chmod(0o1755)
    port = courier.start(name, sessions_of_ours=True)
    with connected(port) as peer:
        if name == "imapd":
            peer.send(f"a LOGIN {USERID} {PASSWORD}\r\n".encode())
        else:
            peer.send(f"USER {USERID}\r\n".encode())
            peer.line()
            peer.send(f"PASS {PASSWORD}\r\n".encode())
        assert b"+t bit set on home directory" in peer.line()
        assert peer.rest() == b""
