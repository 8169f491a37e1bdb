from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.failing import failing_call
from tests.imapd.responses import read
from tests.support.maildirs import message_files

pytestmark = pytest.mark.usefixtures("logged")

NO_ROOM = b"Cannot create message - no write permission or out of disk space."


def content(maildir: Path) -> bytes:
    """What the only message of the mailbox is."""
    (name,) = os.listdir(maildir / "cur")
    return (maildir / "cur" / name).read_bytes()


@pytest.mark.parametrize(
    ("pieces", "stored"),
    [
        ([b"a\r\nb\r\n"], b"a\nb\n"),
        ([b"a\r", b"\nb"], b"a\nb\n"),
        ([b"a\r\n", b"\r"], b"a\n"),
        ([b"a\rb\r\r\n"], b"ab\n"),
        ([b"a\n", b"", b"\n"], b"a\n\n"),
        ([b"\r"], b"\n"),
        ([b"a\x00\xff"], b"a\x00\xff\n"),
        ([bytes([octet]) for octet in b"a\r\n\r\nb\r\n"], b"a\n\nb\n"),
    ],
)
def test_line_ends(driven: Driven, maildir: Path, pieces: list[bytes], stored: bytes) -> None:
    """Stored are lines that end with LF and hold no CR, wherever the network cut the message."""
    size = sum(map(len, pieces))

    assert driven.send(b"a APPEND INBOX {%d}\r\n" % size) == b"+ OK\r\n"
    sent = driven.send(*filter(None, pieces), b"\r\n")

    assert b"a OK [APPENDUID " in sent
    assert content(maildir) == stored


def test_large_message_in_constant_memory(driven: Driven, maildir: Path) -> None:
    """It goes to the file as it comes; nobody sees it before it is whole."""
    driven.send(b"a APPEND INBOX {20000000}\r\n")

    for _ in range(400):
        assert driven.send(b"x" * 50_000) == b""
        assert driven.session.connection.reader.unread() == b""
    assert message_files(maildir) == {}
    (unfinished,) = (maildir / "tmp").iterdir()
    assert unfinished.stat().st_size == 20_000_000

    assert driven.send(b"\r\n").startswith(b"a OK")
    assert len(content(maildir)) == 20_000_001
    assert os.listdir(maildir / "tmp") == []


@pytest.mark.parametrize(
    "rest", [b"{3}\r\n", b"{3+}\r\nabc\r\n", b" x\r\n", b")\r\n", b"x" * 200_000 + b"\r\n"]
)
@pytest.mark.parametrize("plus", [b"", b"+"])
def test_what_may_not_follow_the_message(
    driven: Driven, maildir: Path, rest: bytes, plus: bytes
) -> None:
    """Junk, or a second message without SP before it: BAD, nothing stored, the next command is served."""
    sent = driven.send(b"a APPEND INBOX {3%b}\r\n" % plus)
    sent += driven.send(b"abc" + rest + b"b NOOP\r\n")

    assert sent.removeprefix(b"+ OK\r\n") == (
        b"a BAD Error in IMAP command received by server.\r\nb OK NOOP completed\r\n"
    )
    assert message_files(maildir) == {}
    assert os.listdir(maildir / "tmp") == []


@pytest.mark.parametrize(
    ("arguments", "completion"),
    [
        (b"INBOX.none", b"NO [TRYCREATE] Must create mailbox before append"),
        (b"elsewhere", b"NO [CANNOT] Invalid mailbox name."),
        (b"INBOX (\\Recent)", b"BAD Error in IMAP command received by server."),
        (b'INBOX "01-Jan-0000 00:00:00 +0000"', b"BAD Error in IMAP command received by server."),
        (b"INBOX UTF8 (", b"BAD Error in IMAP command received by server."),
        (b"INBOX ~", b"NO [TOOBIG] Message is too large."),
        (b"INBOX", b"NO [TOOBIG] Message is too large."),
    ],
)
@pytest.mark.parametrize("plus", [b"", b"+"])
def test_refused_message(
    drive: Drive, maildir: Path, arguments: bytes, completion: bytes, plus: bytes
) -> None:
    """It is refused before it is asked for, and passed over if it is sent all the same."""
    driven = drive(IMAP_MAX_APPEND="1000")
    blank = b"" if arguments.endswith((b"~", b"(")) else b" "
    sent = driven.send(b"a APPEND " + arguments + blank + b"{2000%b}\r\n" % plus)
    if plus:
        sent += driven.send(b"x LOGOUT\r\n" * 200, b"\r\n")
    sent += driven.send(b"b NOOP\r\n")

    assert sent == b"a " + completion + b"\r\nb OK NOOP completed\r\n"
    assert os.listdir(maildir / "tmp") == []


@pytest.mark.parametrize("date", ["31-Dec-1969 10:00:00 +0000", "01-Jan-1970 00:00:00 +0100"])
def test_date_before_1970(driven: Driven, maildir: Path, date: str) -> None:
    """Messages of a clock that was never set are taken, and keep their date."""
    driven.send(f'a APPEND INBOX "{date}" {{1+}}\r\nx\r\n'.encode())

    (name,) = os.listdir(maildir / "cur")
    assert (maildir / "cur" / name).stat().st_mtime < 0
    driven.send(b"b SELECT INBOX\r\n")
    (fetched, _) = driven.ask("c FETCH 1 INTERNALDATE")
    ((_, value),) = fetched.values  # type: ignore[misc]
    assert b"-19" in value


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
@pytest.mark.parametrize("selected", [False, True])
def test_every_system_call_failing(tmp_path: Path, code: int, selected: bool) -> None:
    """OK and one message, or NO and none; never anything in tmp/; and the session goes on."""
    refused = stored = 0
    for number in itertools.count():
        maildir = tmp_path / f"M{number}"
        for name in ("tmp", "new", "cur"):
            (maildir / name).mkdir(parents=True)
        driven = Driven(maildir, {"IMAP_FSYNC": "1"})
        driven.send(b"s STATUS INBOX (UIDNEXT)\r\n")
        if selected:
            driven.send(b"s SELECT INBOX\r\n")

        with failing_call(number, code) as calls:
            sent = driven.send(b"a APPEND INBOX (\\Seen kw) {6+}\r\n", b"abc", b"def\r\n")
        if calls.failed is None:
            break

        completion = read(sent)[-1]
        there = len(os.listdir(maildir / "cur")) + len(os.listdir(maildir / "new"))
        assert completion.tag == b"a"
        assert there == (completion.name == "OK"), (calls.failed, number, sent)
        assert os.listdir(maildir / "tmp") == [], (calls.failed, number)
        again = read(driven.send(b"b APPEND INBOX {1+}\r\nx\r\nc SELECT INBOX\r\n"))
        assert [r.name for r in again if r.is_tagged] == ["OK", "OK"], (calls.failed, number, again)
        assert [r.number for r in again if r.name == "EXISTS"][-1] == there + 1
        refused += not there
        stored += there
    assert refused > 8
    assert stored > 0


def test_disk_full_within_the_message(driven: Driven, maildir: Path) -> None:
    """The rest of the message is read before NO is said: it is not taken for commands."""
    driven.send(b"a APPEND INBOX {1000}\r\n", b"x" * 500)
    with failing_call(0):
        assert driven.send(b"y" * 100) == b""
    assert os.listdir(maildir / "tmp") == []
    sent = driven.send(b"a LOGOUT\r\n" * 40, b"\r\nb NOOP\r\n")

    assert sent == b"a NO [OVERQUOTA] " + NO_ROOM + b"\r\nb OK NOOP completed\r\n"
    assert message_files(maildir) == {}


def test_client_gone_within_the_message(driven: Driven, maildir: Path) -> None:
    """Nothing is left."""
    driven.send(b"a APPEND INBOX {1000}\r\n", b"x" * 500)
    assert len(os.listdir(maildir / "tmp")) == 1

    driven.close()

    assert os.listdir(maildir / "tmp") == []
    assert message_files(maildir) == {}


def test_flags_that_are_not_known(driven: Driven) -> None:
    """They are passed over, the others are set (RFC 9051 7.1, PERMANENTFLAGS)."""
    assert driven.ask("a APPEND INBOX (\\Other \\Flagged) {1+}\r\nx")[-1].name == "OK"

    driven.ask("b SELECT INBOX")
    assert b"FLAGS (\\Flagged \\Recent)" in driven.send(b"c FETCH 1 FLAGS\r\n")


@pytest.mark.parametrize(
    "command", ["APPEND INBOX.in {1+}\r\nx", "COPY 1 INBOX.in", "MOVE 1 INBOX.in"]
)
def test_mailbox_that_may_not_be_read(driven: Driven, command: str) -> None:
    """Nothing of it is told, UIDs among that (RFC 9051 6.3.12, 6.4.7, 6.4.8)."""
    for line in (
        "CREATE INBOX.in",
        "SETACL INBOX.in owner ali",
        "APPEND INBOX {1+}\r\nx",
        "SELECT INBOX",
    ):
        assert driven.ask(f"s {line}")[-1].name == "OK"

    responses = driven.ask(f"a {command}")

    assert responses[-1].name == "OK"
    assert not [response.code for response in responses if response.code]
