"""IMAPDEBUGFILE: the lines of our server and of real Courier."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from courier import log
from imapd import transcript
from tests.conftest import Start
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver
from tests.support.servers import Implementation

SETTINGS = {"IMAPDEBUGFILE": "imaplog.dat"}
COMMANDS = (
    "SELECT INBOX",
    "FETCH 1:* (FLAGS BODY[HEADER.FIELDS (Subject)]<0.5>)",
    "STORE 1 +FLAGS (\\Seen $x)",
    'SEARCH TEXT "a \\"b\\" c"',
    'LIST "*" %',
)
READ = r"""READ: ATOM: t1
READ: ATOM: SELECT
READ: ATOM: INBOX
READ: EOL
READ: ATOM: t2
READ: ATOM: FETCH
READ: ATOM: 1:*
READ: LPAREN
READ: ATOM: FLAGS
READ: ATOM: BODY
READ: LBRACKET
READ: ATOM: HEADER.FIELDS
READ: LPAREN
READ: ATOM: Subject
READ: RPAREN
READ: RBRACKET
READ: ATOM: <0.5>
READ: RPAREN
READ: EOL
READ: ATOM: t3
READ: ATOM: STORE
READ: NUMBER: 1
READ: ATOM: +FLAGS
READ: LPAREN
READ: ATOM: \Seen
READ: ATOM: $x
READ: RPAREN
READ: EOL
READ: ATOM: t4
READ: ATOM: SEARCH
READ: ATOM: TEXT
READ: QUOTED_STRING: a "b" c
READ: EOL
READ: ATOM: t5
READ: ATOM: LIST
READ: QUOTED_STRING: *
READ: ATOM: %
READ: EOL
READ: ATOM: t6
READ: ATOM: STATUS
READ: {5}
READ: LPAREN
READ: ATOM: MESSAGES
READ: RPAREN
READ: EOL
READ: ATOM: t7
READ: ATOM: APPEND
READ: ATOM: INBOX
READ: LPAREN
READ: RPAREN
READ: {17}
READ: EOL
READ: ATOM: t8
READ: ATOM: LOGOUT
READ: EOL
"""


@pytest.mark.slow
def test_lines(maildir: Path, start: Start, implementation: Implementation) -> None:
    """What is read, token by token, and what is said, in the order in which it happens."""
    deliver(maildir, b"Subject: x\n\nbody\n", number=1)
    file = maildir / "imaplog.dat"
    file.write_bytes(b"before\n")
    server = start(implementation, SETTINGS)
    for command in COMMANDS:
        server.client.command(command)
    server.client.command("STATUS {} (MESSAGES)", b"INBOX")
    server.client.append("INBOX", b"Subject: y\r\n\r\nb\r\n", "()")
    server.client.command("LOGOUT")
    server.finish()

    written = file.read_bytes()
    assert written.startswith(b"before\nWRITE: * PREAUTH Ready.\r\nREAD: ATOM: t1\n")
    lines = [line for line in written.split(b"\n") if line.startswith(b"READ: ")]
    assert b"\n".join(lines).decode() + "\n" == READ
    assert b"\nREAD: {5}\nWRITE: + OK\r\nREAD: LPAREN\n" in written
    assert b"READ: EOL\nWRITE: * BYE Courier-IMAP server shutting down\r\nt8 OK " in written
    assert b"BODY[HEADER.FIELDS (" in written.replace(b'("Subject")', b"(")
    assert b"Subject: y" not in written


def test_file_that_is_not_there(maildir: Path) -> None:
    """It is not made."""
    assert b" OK " in Driven(maildir, SETTINGS).send(b"a NOOP\r\n")

    assert not (maildir / "imaplog.dat").exists()


def test_what_is_no_file(maildir: Path) -> None:
    """It holds nobody up."""
    os.mkfifo(maildir / "imaplog.dat")
    assert b" OK " in Driven(maildir, SETTINGS).send(b"a NOOP\r\n")
    os.mkdir(maildir / "directory")
    directory = Driven(maildir, {"IMAPDEBUGFILE": "directory"})
    assert b" OK " in directory.send(b"a NOOP\r\n")


def test_arguments_that_are_literals(maildir: Path) -> None:
    """Courier: their size stands for them. One that is refused, and what follows, too."""
    file = maildir / "imaplog.dat"
    file.touch()
    driven = Driven(maildir, SETTINGS)
    driven.send(b"a LIST {0+}\r\n {3+}\r\nx y\r\nb NOOP {99999+}\r\n" + b"q" * 99999)
    driven.send(b" x\r\nc NOOP\r\n")

    read = [line[6:] for line in file.read_bytes().split(b"\n") if line.startswith(b"READ")]
    assert b" ".join(read) == (
        b"ATOM: a ATOM: LIST {0+} {3+} EOL ATOM: b ATOM: NOOP {99999+} ERROR ATOM: c ATOM: NOOP EOL"
    )


def test_disk_that_is_full(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session goes on without it, and the log says so once."""
    lines: list[str] = []
    monkeypatch.setattr(log, "write", lines.append)
    made = transcript.Transcript(os.open("/dev/full", os.O_WRONLY), "there")

    for _ in range(3):
        made.wrote(b"x")

    assert lines == ["ERR: cannot write transcript: there: No space left on device"]


def test_quotes_without_an_end() -> None:
    """The first says of all that follow that they have none; each is no token, as before."""
    line = b'x "a" "' + b'\\"b' * 40_000 + b"\n"

    tokens = list(transcript._tokens(line, 0))

    expected = [b"ATOM: x", b"QUOTED_STRING: a", b"ERROR"]
    assert tokens == [*expected, *[b"ERROR", b"ERROR", b"ATOM: b"] * 40_000, b"EOL"]
