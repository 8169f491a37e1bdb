"""A disk without a block left, or without an inode, below real sessions of IMAP, POP3 and SMAP.

What is there can be read and removed, whatever has to be written is refused with the reason, nobody sees half of
anything, and all goes on without a restart as soon as there is room.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.support.daemon import Daemon, Peer, Site, give, wait_until
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import (
    deliver,
    folder_path,
    make_folder,
    make_maildir,
    message_files,
    uid_database,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root"),
]

BODY = b"Subject: %d\n\nThis is message %d.\n"
LITERAL = "{14+}\r\nSubject: x\r\n\r\n"


class Disk:
    """A small file system of its own, and a maildir on it."""

    def __init__(self, path: Path, lacks: str) -> None:
        self.path = path
        self._lacks = lacks
        options = "mode=755,size=4m" + (",nr_inodes=400" if lacks == "inodes" else "")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "pycourier", str(path)],
            check=False,
            capture_output=True,
        )
        if done.returncode:
            missing(f"a mount of tmpfs: {done.stderr.decode()}")
        self.maildir = make_maildir(path / "Maildir")
        self.give()

    def give(self) -> None:
        """Let all that lies in the maildir be the account's."""
        give(self.path, *own_ids())

    def fill(self) -> None:
        """Leave no room at all."""
        self.give()
        (self.path / "filler").mkdir()
        try:
            if self._lacks == "inodes":
                for number in range(1000):
                    (self.path / "filler" / str(number)).touch()
            else:
                with (self.path / "filler" / "blocks").open("wb", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
        except OSError:
            pass

    def make_room(self) -> None:
        for file in (self.path / "filler").iterdir():
            file.unlink()
        (self.path / "filler").rmdir()

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)


@pytest.fixture(params=["blocks", "inodes"])
def disk(site: Site, request: pytest.FixtureRequest) -> Iterator[Disk]:
    """The disk that the account u@example.com has its home on."""
    maildir = site.homes / "u@example.com/Maildir"
    for directory in ("tmp", "new", "cur", ""):
        (maildir / directory).rmdir()
    made = Disk(maildir.parent, request.param)
    yield made
    made.unmount()


def asked(peer: Peer, *lines: str) -> list[bytes]:
    """Give the completion of each command, without its tag."""
    return [peer.command(line)[-1].partition(b" ")[2].rstrip(b"\r\n") for line in lines]


def expect(peer: Peer, beginning: str, *lines: str) -> None:
    assert [
        (line, one[: len(beginning)]) for line, one in zip(lines, asked(peer, *lines), strict=True)
    ] == [(line, beginning.encode()) for line in lines]


def uids_of(peer: Peer) -> dict[int, bytes]:
    """The selected mailbox's UIDs, and the subjects of its messages."""
    text = b"".join(peer.command("UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
    found = re.findall(rb"UID ([0-9]+) .*?Subject: ([^\r]*)\r\n", text, re.DOTALL)
    return {int(uid): subject for uid, subject in found}


def filled(imapd: Daemon, disk: Disk) -> None:
    """Five messages that have been seen, two that have not, a folder, and what a client has set."""
    maildir = disk.maildir
    for number in range(5):
        deliver(maildir, BODY % (number, number), number=number, flags="S")
    for name in ("INBOX.Work", "INBOX.Old"):
        make_folder(maildir, name)
    deliver(maildir / ".Work", BODY % (99, 99), number=99, flags="S")
    disk.give()
    with imapd.session() as peer:
        expect(
            peer,
            "OK",
            "SELECT INBOX.Old",
            "SELECT INBOX.Work",
            "SELECT INBOX",
            "STORE 2 +FLAGS (old)",
            "SUBSCRIBE INBOX.Work",
            'SETMETADATA INBOX.Work (/private/comment "old")',
            "LOGOUT",
        )
    for number in (5, 6):
        deliver(maildir, BODY % (number, number), number=number)


def test_imap(site: Site, disk: Disk) -> None:
    """Reading and removing go on; writing is refused; IDLE and NOTIFY say what is removed."""
    imapd = site.start(IMAP_ACL="1")
    filled(imapd, disk)
    idle = imapd.session()
    expect(idle, "OK", "EXAMINE INBOX.Work", "NOTIFY SET (SELECTED (MessageNew MessageExpunge))")
    idle.send(b"i IDLE\r\n")
    assert idle.line().startswith(b"+ ")
    disk.fill()

    client = imapd.session()
    selected = client.command("SELECT INBOX")
    assert b"* 5 EXISTS\r\n" in selected
    assert any(line.startswith(b"* NO [OVERQUOTA] There is no room") for line in selected)
    before = uids_of(client)
    assert list(before) == [1, 2, 3, 4, 5]
    expect(
        client,
        "OK",
        'LIST "" *',
        'LSUB "" *',
        "STATUS INBOX (MESSAGES UIDNEXT)",
        "SEARCH BODY message",
        "SORT (SUBJECT) UTF-8 ALL",
        "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)",
        "GETACL INBOX.Work",
        "GETMETADATA INBOX.Work /private/comment",
        "NOOP",
    )
    expect(
        client,
        "NO [OVERQUOTA] ",
        f"APPEND INBOX {LITERAL}",
        f"APPEND INBOX.Work (kw) {LITERAL} {LITERAL}",
        f"APPEND INBOX ~{LITERAL}",
        f'APPEND INBOX CATENATE (URL "/INBOX/;UID=1" TEXT {LITERAL})',
        f"REPLACE 1 INBOX {LITERAL}",
        "COPY 1:2 INBOX.Work",
        "MOVE 1 INBOX.Work",
        "STORE 1 +FLAGS (new)",
        "SUBSCRIBE INBOX",
        "UNSUBSCRIBE INBOX.Work",
        'SETMETADATA INBOX.Work (/private/comment "new")',
        "CREATE INBOX.New",
        "RENAME INBOX.Old INBOX.Older",
    )
    expect(client, "NO ", "SETACL INBOX.Work carl lr")
    assert uids_of(client) == before
    assert message_files(disk.maildir / ".Work").keys() == {"1700000099.M99P1.test,S=33"}
    assert os.listdir(disk.maildir / "tmp") == []

    expect(client, "OK", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "SELECT INBOX.Work")
    expect(client, "OK", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "DELETE INBOX.Old")
    assert idle.until(b"* 1 EXPUNGE")


def test_what_is_logged(site: Site, disk: Disk) -> None:
    """A trouble is one line, however often it comes again."""
    imapd = site.start()
    filled(imapd, disk)
    disk.fill()

    with imapd.session() as client:
        expect(client, "OK", "SELECT INBOX", *["NOOP"] * 30, "SELECT INBOX", *["NOOP"] * 30)

    assert imapd.log.count("No space left on device") == 1


def test_room_comes_back(site: Site, disk: Disk) -> None:
    """Nothing that was told changes, nothing that was there is lost, and what waited comes."""
    imapd = site.start(IMAP_ACL="1")
    filled(imapd, disk)
    disk.fill()
    client = imapd.session()
    expect(client, "OK", "SELECT INBOX")
    before = uids_of(client)
    validity = uid_database(disk.maildir).uidvalidity
    expect(client, "NO", "STORE 1 +FLAGS (new)", f"APPEND INBOX {LITERAL}", "SUBSCRIBE INBOX")
    disk.make_room()

    wait_until(lambda: b"* 7 EXISTS\r\n" in client.command("NOOP"))
    assert uids_of(client) == {**before, 6: b"5", 7: b"6"}
    expect(client, "OK", "STORE 1 +FLAGS (new)", f"APPEND INBOX {LITERAL}", "SUBSCRIBE INBOX")
    flags = b"".join(client.command("FETCH 1:2 (FLAGS)"))
    assert re.findall(rb"FLAGS \(([^)]*)\)", flags) == [b"\\Seen new", b"\\Seen old"]
    subscribed = client.command('LSUB "" *')[:-1]
    assert {line.split()[-1] for line in subscribed} == {b'"INBOX"', b'"INBOX.Work"'}
    assert uid_database(disk.maildir).uidvalidity == validity
    assert b'"old"' in b"".join(client.command("GETMETADATA INBOX.Work /private/comment"))


def test_mailbox_that_nobody_has_opened(site: Site, disk: Disk) -> None:
    """It can be read, by UIDs that pass; a message is removed; then the UIDs are kept as they were told."""
    imapd = site.start()
    for number in range(3):
        deliver(disk.maildir, BODY % (number, number), number=number)
    disk.fill()
    client = imapd.session()

    selected = client.command("SELECT INBOX")
    assert b"* 3 EXISTS\r\n" in selected
    assert any(line.startswith(b"* NO [UIDNOTSTICKY] ") for line in selected)
    told = uids_of(client)
    assert told == {1: b"0", 2: b"1", 3: b"2"}
    disk.make_room()
    assert not any(line.startswith(b"* NO") for line in client.command("SELECT INBOX"))

    assert uids_of(client) == told
    assert list(uid_database(disk.maildir).uids.values()) == [1, 2, 3]


@pytest.mark.parametrize("known", [True, False])
def test_pop3(site: Site, disk: Disk, known: bool) -> None:
    """Known messages are shown, or one of those that are not; it is fetched, and it can be removed."""
    for number in range(3):
        deliver(disk.maildir, BODY % (number, number), number=number)
    pop3d = site.start("pop3d")

    def said(*commands: bytes) -> list[bytes]:
        with pop3d.connect() as peer:
            for command in (b"USER u@example.com", b"PASS pw"):
                peer.send(command + b"\r\n")
                assert peer.line().startswith(b"+OK")
            lines = []
            for command in commands:
                peer.send(command + b"\r\n")
                lines.append(peer.line())
                if command.startswith(b"RETR"):
                    lines += peer.until(b".\r\n")
            return lines

    disk.give()
    if known:
        said(b"QUIT")
    disk.fill()

    assert said(b"STAT", b"RETR 1", b"DELE 1", b"QUIT") == [
        b"+OK 3 102\r\n" if known else b"+OK 1 34\r\n",
        b"+OK 34 octets follow.\r\n",
        b"Subject: 0\r\n",
        b"\r\n",
        b"This is message 0.\r\n",
        b".\r\n",
        b"+OK Deleted.\r\n",
        b"+OK Bye-bye.\r\n",
    ]
    disk.make_room()
    assert said(b"STAT", b"QUIT")[0] == b"+OK 2 68\r\n"
    assert len(message_files(disk.maildir)) == 2


def test_smap(site: Site, disk: Disk) -> None:
    """Reading and removing go on; the rest is an error."""
    imapd = site.start(SMAP_CAPABILITY="SMAP1")
    filled(imapd, disk)
    disk.fill()

    def last(peer: Peer, command: str) -> bytes:
        peer.send(command.encode() + b"\n")
        while not (line := peer.line()).startswith((b"+OK", b"-ERR")):
            assert line
        return line

    with imapd.connect() as client:
        assert last(client, '\\SMAP1 LOGIN "u@example.com" "pw"').startswith(b"+OK")
        for command in ("LIST", "OPEN INBOX", "FETCH 1-3 CONTENTS=ALL", "NOOP"):
            assert last(client, command).startswith(b"+OK"), command
        for command in ("STORE 2 KEYWORDS=foo", 'COPY 2 "" INBOX Work', "CREATE INBOX New"):
            assert last(client, command).endswith(b"No space left on device\n"), command
        for command in ("STORE 1 FLAGS=SEEN,DELETED", "EXPUNGE", "DELETE INBOX Old", "LOGOUT"):
            assert last(client, command).startswith(b"+OK"), command
    assert len(message_files(disk.maildir)) == 6
    assert not folder_path(disk.maildir, "INBOX.Old").exists()
