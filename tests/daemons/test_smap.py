"""SMAP over the daemon: the log-in, TLS, what follows in the same segment, and the log's lines."""

from __future__ import annotations

import pytest

from tests.support.client import Connection
from tests.support.daemon import Daemon, Peer, Site, anybody
from tests.support.smap import Refused, SmapClient

LOGIN = b'\\SMAP1 LOGIN "u@example.com" "pw"\n'
LIST = [
    b'* LIST "INBOX" "New Mail" FOLDER\n',
    b'* LIST "INBOX" "Folders" DIRECTORY\n',
    b'* LIST "public" "Public Folders" DIRECTORY\n',
    b"+OK LIST completed\n",
]
BYE = [b"* BYE Courier-SMAP server shutting down\n", b"+OK LOGOUT completed\n"]


def started(site: Site) -> Daemon:
    return site.start(SMAP_CAPABILITY="SMAP1", IMAP_KEYWORDS="1", IMAP_ACL="1")


def test_whole_session_in_one_segment(site: Site) -> None:
    """Log-in, commands, an upload, all sent at once."""
    daemon = started(site)
    message = b"Subject: x\n\nLOGOUT\n"
    with daemon.connect() as client:
        client.send(
            LOGIN
            + b'LIST\nADD FOLDER INBOX ""\nADD {%d/%d}\n' % (len(message), len(message))
            + message
            + b"\nSTATUS FULL INBOX\nLOGOUT\n"
        )
        lines = client.rest().splitlines(keepends=True)

    assert lines[0] == b"+OK SMAP1 LOGIN Ok.\n"
    assert lines[1:5] == LIST
    assert lines[5:7] == [b"+OK Will add to this folder\n", b"> Go ahead\n"]
    assert lines[7].startswith(b'* ADD "UID=')
    assert lines[8:] == [
        b"+OK Message saved\n",
        b"* STATUS EXISTS=1 UNSEEN=1\n",
        b"+OK Folder status retrieved\n",
        *BYE,
    ]
    daemon.wait_for_log(r"LOGIN, user=u@example.com, .*protocol=SMAP1\b")
    daemon.wait_for_log(r"LOGOUT, user=u@example.com, ")


def test_starttls(site: Site) -> None:
    """As Cone does it: capabilities, STARTTLS, capabilities again, log-in."""
    daemon = started(site)
    with daemon.connect() as client:
        client.send(b"\\SMAP1 CAPABILITY\r\n")
        assert b" STARTTLS" in client.line()
        assert client.line() == b"+OK CAPABILITY completed\r\n"
        client.send(b"\\SMAP1 STARTTLS\r\n")
        assert client.line() == b"+OK Begin SSL/TLS negotiation now.\r\n"
        client.socket = anybody().wrap_socket(client.socket)
        client.send(b"\\SMAP1 CAPABILITY\n")
        assert b" STARTTLS" not in client.line()
        assert client.line() == b"+OK CAPABILITY completed\r\n"
        client.send(LOGIN + b"LOGOUT\n")
        assert client.rest().splitlines(keepends=True) == [b"+OK SMAP1 LOGIN Ok.\n", *BYE]
    daemon.wait_for_log(r"LOGIN, user=u@example.com, .*protocol=SMAP1, starttls=1")


@pytest.mark.fast
def test_beside_imap(site: Site) -> None:
    """Both protocols in one worker; what one stores the other tells."""
    daemon = started(site)
    with daemon.session() as imap, daemon.connect() as client:
        imap.command("SELECT INBOX")
        client.send(LOGIN + b'ADD FOLDER INBOX "" {5/5}\na: b\n\n')
        assert client.line() == b"+OK SMAP1 LOGIN Ok.\n"
        assert client.line() == b"> Go ahead\n"
        assert client.line().startswith(b"* ADD ")
        assert client.line() == b"+OK Message saved\n"
        assert b"* 1 EXISTS\r\n" in imap.command("NOOP")


# --- Cone ----------------------------------------------------------------------------------------


class Cone(SmapClient):
    """The conversation of the mail reader Cone: every word in quotes, ranges always with two ends,
    superfluous blanks, the next command after the status of the last one. No Debian has it any more.
    """

    def __init__(self, peer: Peer) -> None:
        greeting = peer.line()
        assert greeting.startswith(b"* OK ")
        assert b" SMAP1 " in greeting
        for _ in range(2):
            peer.send(b"\\SMAP1 CAPABILITY\r\n")
            words = peer.line().split()
            assert words[:2] == [b"*", b"CAPABILITY"]
            assert peer.line().startswith(b"+OK")
            if b"STARTTLS" in words:
                peer.send(b"\\SMAP1 STARTTLS\r\n")
                assert peer.line().startswith(b"+OK")
                peer.socket = anybody().wrap_socket(peer.socket)
        assert {b"KEYWORDS", b"ACL2=UNION"} <= set(words)
        peer.send(LOGIN)
        assert peer.line() == b"+OK SMAP1 LOGIN Ok.\n"
        self.peer = peer
        super().__init__(_Encrypted(peer))

    def open(self, *path: str) -> None:
        """Open a folder and take its index: what is new after OPEN and after every EXISTS, then NOOP."""
        self.command(f'SOPEN "{self.snapshot}"  ' + words_of(path))
        self.look()

    def look(self) -> None:
        count = 0
        while count != len(self.messages):
            count = len(self.messages)
            known = sum(1 for message in self.messages if message.uid)
            if known < count:
                self.command(f"FETCH {known + 1}-{count} FLAGS UID")
            self.command("NOOP")

    def add(self, message: bytes, *path: str, flags: str = "") -> None:
        self.command(f'ADD FOLDER  {words_of(path)} ""')
        self.command(f'ADD FLAGS={flags} "INTERNALDATE=Mon, 03 Feb 2025 08:00:00 -0500"')
        self.command(f"ADD {{{len(message)}/{len(message)}}}", message + b"\n")


class _Encrypted(Connection):
    """The client's reading, over TLS."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def send(self, data: bytes) -> None:
        self._peer.send(data)

    def line(self) -> bytes:
        return self._peer.line()

    def exactly(self, size: int) -> bytes:
        return self._peer.exactly(size)


def words_of(path: tuple[str, ...]) -> str:
    return " ".join('"' + word.replace('"', '""') + '"' for word in path)


TWO_PARTS = b"""From: carol@example.com
Date: Wed, 05 Mar 2025 10:00:00 +0000
To: bob@example.com
Subject: two
 parts
Mime-Version: 1.0
Content-Type: multipart/mixed; boundary="x"

--x
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

caf=C3=A9
--x
Content-Type: message/rfc822

Subject: inner

.inside
--x--
"""


def test_conversation_of_cone(site: Site) -> None:
    """From its greeting to its next session: all the commands that it sends, as it sends them."""
    daemon = started(site)
    with Peer(daemon.raw()) as peer:
        cone = Cone(peer)
        assert cone.command("LIST")[-1] == '* LIST "public" "Public Folders" DIRECTORY'
        assert cone.command('LIST "INBOX"') == []
        cone.command('CREATE "INBOX" "Sent ""Mail"""')
        cone.command('MKDIR "INBOX" "Projects"')
        assert cone.command('STATUS FULL "INBOX" "Sent ""Mail"""') == ["* STATUS EXISTS=0 UNSEEN=0"]
        cone.add(TWO_PARTS, "INBOX")
        cone.add(b"Subject: one\n\nhello\n", "INBOX", flags="SEEN,MARKED")
        cone.open("INBOX")
        assert [message.flags for message in cone.messages] == [set(), {"MARKED", "SEEN"}]
        first = cone.snapshot
        assert first

        lines = cone.command("FETCH 1-2 INTERNALDATE SIZE CONTENTS.PEEK=HEADERS(:ENVELOPE)")
        assert "Subject: two parts\n" in lines[0]
        assert " Feb 2025 " in lines[2]
        tree = cone.command("FETCH 1-1 CONTENTS.PEEK=MIME(:MIME)")
        ids = [line.split('"MIME.ID=', 1)[1].split('"')[0] for line in tree]
        assert ids == ["", "1.1", "1.2", "1.2.0"]
        (text, told) = cone.command('FETCH 1-1 "CONTENTS=BODY.DECODED[1.1]"')
        assert text.endswith("\ncafé")
        assert told == "* FETCH 1 FLAGS=SEEN"
        (inner,) = cone.command('FETCH 1-1 "CONTENTS.PEEK=BODY[1.2.0]"')
        assert inner.endswith("\n.inside")

        cone.command("STORE 1-2 -FLAGS=DELETED +FLAGS=MARKED ")
        cone.command('STORE 1-1 "KEYWORDS=Work,$Label1"')
        cone.command('STORE 1-1 "-KEYWORDS=Work"')
        assert cone.messages[0].keywords == {"$Label1"}
        assert cone.command('SEARCH ALL NOT SUBJECT "TWO PARTS"') == ["* SEARCH 2"]
        assert cone.command('SEARCH 1-2 SENTSINCE "01-Jan-2025"') == ["* SEARCH 1"]
        assert len(cone.command('COPY 1-1 "" "INBOX" "Sent ""Mail"""')) == 1
        assert cone.command('MOVE 2-2 "" "INBOX" "Sent ""Mail"""')[-1] == "* EXPUNGE 2"
        assert cone.command('ACL "INBOX"') == ['* ACL "aceilrstwx"']
        cone.command('SETACL "INBOX" "" "user=alice" "lr"')
        cone.command('DELETEACL "INBOX" "" "user=alice"')
        cone.command("IDLE")
        with daemon.session() as other:
            other.send(b"a APPEND INBOX {10+}\r\nSubject: x\r\n")
            other.until(b"a OK")
        assert cone.connection.line() == b"* EXISTS 2\n"
        cone.take("* EXISTS 2")
        cone.command("RESUME")
        cone.look()
        cone.command("EXPUNGE 2-2")
        cone.command("NOOP")
        assert cone.snapshot != first
        with pytest.raises(Refused):
            cone.command('RENAME "INBOX" "" "INBOX" "x"')
        cone.command("LOGOUT")
    with Peer(daemon.raw()) as peer:
        again = Cone(peer)
        again.snapshot, again.known = cone.snapshot, cone.known
        again.open("INBOX")
        assert again.messages == cone.messages
        assert len(again.messages) == 1
