"""Our imapd with Debian's real authdaemond in the place of ours, and its log beside imaplogin's."""

from __future__ import annotations

import re
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from courier.auth import userdb_source
from tests.conftest import missing
from tests.support import authdaemon, courier_root
from tests.support.courier_root import CourierRoot
from tests.support.daemon import Peer, Site
from tests.support.servers import COURIER

pytestmark = [pytest.mark.courier, pytest.mark.root]

SECRET_HASH = "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69"  # of "secret"


@pytest.fixture
def theirs(tmp_path: Path, site: Site) -> Iterator[CourierRoot]:
    """A running authdaemond of Courier's with the site's account in its userdb."""
    if not authdaemon.is_root():
        missing("root's rights, for chroot and mount namespaces")
    for program in courier_root.NEEDED:
        if not (COURIER / program).exists():
            missing("Debian's courier-authdaemon and courier-authlib-userdb, see `make tools`")
    root = courier_root.make(tmp_path / "root")
    source = root.configuration / "userdb"
    home = site.homes / "u@example.com"
    owner = home.stat()
    source.write_text(
        f"u@example.com\tuid={owner.st_uid}|gid={owner.st_gid}|home={home}|systempw={SECRET_HASH}\n"
    )
    source.chmod(0o600)
    userdb_source.build(source)
    daemon = authdaemon.start_inside(
        root, {"authmodulelist": "authuserdb", "daemons": "2"}, ours=False
    )
    yield root
    daemon.stop()


def test_log_in_through_their_authdaemond(site: Site, theirs: CourierRoot) -> None:
    """The right password opens the mailbox, a wrong one is a failed log-in."""
    imapd = site.start(environment={"PYCOURIER_AUTHDAEMONVAR": str(theirs.authdaemonvar)})

    with imapd.session("u@example.com", "secret") as client:
        assert client.command("SELECT INBOX")[-1].endswith(b"OK [READ-WRITE] Ok\r\n")
    with imapd.connect() as client:
        assert client.command("LOGIN u@example.com wrong")[-1].endswith(b" Login failed.\r\n")
    imapd.wait_for_log("INFO: LOGIN FAILED, user=u@example.com")


def test_pop3_and_scram_through_their_authdaemond(site: Site, theirs: CourierRoot) -> None:
    """Theirs knows no SCRAM: who tries it fails as by a wrong password, and may go on by another."""
    pop3d = site.start(
        "pop3d",
        environment={"PYCOURIER_AUTHDAEMONVAR": str(theirs.authdaemonvar)},
        POP3_SASL="SCRAM-SHA-256",
    )
    with pop3d.connect() as client:
        client.send(b"AUTH SCRAM-SHA-256 " + b64encode(b"n,,n=u@example.com,r=x") + b"\r\n")
        assert client.line().endswith(b" Authentication failed.\r\n")
        client.send(b"USER u@example.com\r\nPASS secret\r\nSTAT\r\n")
        assert client.line().startswith(b"+OK ")
        assert client.line() == b"+OK logged in.\r\n"
        assert client.line().startswith(b"+OK ")


FAILURES = [
    b"a LOGIN nobody wrong\r\n",
    b'a LOGIN "two words" x\r\n',
    b"a LOGIN {11}\r\nu\xc3\xa9\x01\x7f\tx\r\ny] x\r\n",
    b'a LOGIN x ""\r\n',
    b"a LOGIN u@example.com wrong\r\n",
    b'a LOGIN "[a]=b" wrong\r\n',
    b"a AUTHENTICATE NONSENSE\r\n",
    b"a AUTHENTICATE plain AHgAeA==\r\n",
]


def test_log_of_failed_log_ins(site: Site, theirs: CourierRoot) -> None:
    """The line is Courier's, whatever was typed, but for a comma: that hides the address."""
    imapd = site.start(environment={"PYCOURIER_AUTHDAEMONVAR": str(theirs.authdaemonvar)})
    program = ["/usr/lib/courier/courier/imaplogin", "/opt/usr/bin/imapd", "Maildir"]
    variables = {"TCPREMOTEIP": "::ffff:127.0.0.1", "TCPREMOTEPORT": "1", "TCPLOCALPORT": "143"}
    programs, clients = [], []
    for said in FAILURES:  # all at once: each waits five seconds
        ours, other_end = socket.socketpair()
        programs.append(
            subprocess.Popen(
                theirs.command_line(program),
                stdin=other_end,
                stdout=other_end,
                stderr=subprocess.PIPE,
                env=theirs.variables(variables),
            )
        )
        other_end.close()
        ours.sendall(said + b"b LOGOUT\r\n")
        clients += [ours, imapd.raw()]
        clients[-1].sendall(said.replace(b"}\r\n", b"+}\r\n"))

    logs = [program.communicate(timeout=60)[1].decode("latin-1") for program in programs]
    imapd.wait_for_log("LOGIN FAILED", len(FAILURES))
    for client in clients:
        client.close()

    assert sorted(failures(imapd.log)) == sorted(failures("".join(logs)))


def failures(log: str) -> list[str]:
    return [re.sub(r"port=\[\d+\]", "", line) for line in log.split("\n") if "LOGIN FAILED" in line]


SMAP = [
    b"a1 NOOP\r\n",
    b"\\SMAP1 NOOP\r\n",
    b"a2 NOOP\n",
    b"\\SMAP1 LANGUAGE FR\r\n",
    b"\\SMAP1\r\n",
    b"\\SMAP1 LOGIN u\r\n",
    b"\\SMAP1 AUTHENTICATE LOGIN\r\n",
    b"*\r\n",
    b"\\SMAP1 LOGIN {13}\r\n",
    b"u@example.com {5}\r\n",
    b"wrong\r\n",
    b"\\SMAP1 LOGOUT\r\n",
]


def test_smap(site: Site, theirs: CourierRoot) -> None:
    """What is said before the log-in is what Courier says."""
    imapd = site.start(
        environment={"PYCOURIER_AUTHDAEMONVAR": str(theirs.authdaemonvar)},
        SMAP_CAPABILITY="SMAP1",
        IMAP_KEYWORDS="1",
        IMAP_EXTENSIONS="0",
    )
    program = ["/usr/lib/courier/courier/imaplogin", "/opt/usr/bin/imapd", "Maildir"]
    variables = {
        "TCPREMOTEIP": "::ffff:127.0.0.1",
        "TCPREMOTEPORT": "1",
        "TCPLOCALPORT": "143",
        "SMAP_CAPABILITY": "SMAP1",
        "IMAP_CAPABILITY": "IMAP4rev1",
        "IMAP_KEYWORDS": "1",
    }
    ours, other_end = socket.socketpair()
    real = subprocess.Popen(
        theirs.command_line(program),
        stdin=other_end,
        stdout=other_end,
        stderr=subprocess.PIPE,
        env=theirs.variables(variables),
    )
    other_end.close()

    with ThreadPoolExecutor() as both:  # for each waits five seconds, again and again
        said = list(both.map(_conversation, [Peer(ours), Peer(imapd.raw())]))
    real.communicate(timeout=60)

    assert said[0] == said[1]
    assert said[0][-1].endswith(b"+OK LOGOUT completed\r\n")


def _conversation(client: Peer) -> list[bytes]:
    """Send each line when the one before is answered; give the answers."""
    assert b" SMAP1 KEYWORDS " in client.line()
    answers = []
    for line in SMAP:
        client.send(line)
        answer = last = client.line()
        while last.startswith(b"* "):
            last = client.line()
            answer += last
        answers.append(answer)
    return answers
