"""The outbox in odd circumstances; `tests/sessions/test_outbox.py` has it beside real Courier's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imapd import outbox
from tests.imapd.conftest import Log
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver, make_folder, message_files

LARGE = b"Subject: x\n\n" + b"x" * 72 * 10_000 + b"\n"


def driven(maildir: Path, program: str, user: str = "joe", **settings: str) -> Driven:
    """A session whose mail goes to this shell script."""
    for name in ("INBOX.Outbox", "INBOX.Outbox.sub"):
        make_folder(maildir, name)
    path = maildir.parent / "sendmail"
    path.write_text(f"#!/bin/sh\n{program}\n")
    path.chmod(0o755)
    deliver(maildir, LARGE, number=1, flags="S")
    found = Driven(
        maildir,
        {"OUTBOX": ".Outbox", "SENDMAIL": str(path), "HEADERFROM": "X-From", **settings},
        user=user,
    )
    found.ask("s SELECT INBOX")
    return found


def test_program_that_reads_nothing(maildir: Path, logged: Log) -> None:
    """Its status counts, not whether it wanted the message."""
    session = driven(maildir, "exit 0")

    assert session.ask("a COPY 1 INBOX.Outbox")[-1].name == "OK"

    assert len(message_files(maildir / ".Outbox")) == 1
    assert logged.lines == []


def test_program_that_says_too_much(maildir: Path, logged: Log) -> None:
    """As much as a line holds is logged; it does not stop for want of somebody who listens."""
    session = driven(maildir, "cat; cat /dev/zero | head -c 300000; exit 1")

    assert session.ask("a COPY 1 INBOX.Outbox")[-1].name == "NO"

    assert len(logged.lines) == 1 and len(logged.lines[0]) < 1000
    assert message_files(maildir / ".Outbox") == {}


def test_program_that_never_ends(
    maildir: Path, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended, and so is the client's wait."""
    monkeypatch.setattr(outbox, "_PATIENCE_S", 0.1)
    session = driven(maildir, "echo $$ >pid; exec sleep 1000")

    assert session.ask("a COPY 1 INBOX.Outbox")[-1].name == "NO"

    with pytest.raises(ProcessLookupError):
        os.kill(int((maildir / "pid").read_text()), 0)
    assert "still running after" in logged.lines[0]


def test_no_program(maildir: Path, logged: Log) -> None:
    session = driven(maildir, "", SENDMAIL="/nonexistent")

    answer = session.send(b"a APPEND INBOX.Outbox {1+}\r\nx\r\n")

    assert answer == b"a NO [ALERT] Unable to send E-mail message.\r\n"
    assert logged.lines == [
        "ERR: error sending a message, user=joe: "
        "/nonexistent: No such file or directory/Message send FAILED./"
    ]


def test_sender_is_one_line(maildir: Path, logged: Log) -> None:
    """Whatever a user is called, no field of the header can be made of it."""
    session = driven(maildir, "cat >sent", user="joe\nBcc: all@example.com")

    session.send(b"a APPEND INBOX.Outbox {1+}\r\nx\r\n")

    assert (maildir / "sent").read_text() == "X-From: joe?Bcc: all@example.com\nx\n"


def test_move_sends_and_other_folders_do_not(maildir: Path, logged: Log) -> None:
    """What lies below the outbox is no outbox."""
    session = driven(maildir, "cat >>sent")
    session.send(b"a APPEND INBOX.Outbox.sub {1+}\r\nx\r\n")
    session.ask("b COPY 1 INBOX.Outbox.sub")
    assert not (maildir / "sent").exists()

    assert session.ask("c MOVE 1 INBOX.Outbox")[-1].name == "OK"

    assert (maildir / "sent").stat().st_size == len(LARGE) + len("X-From: joe\n")
    assert message_files(maildir) == {}


def test_over_quota_is_not_sent(maildir: Path, logged: Log) -> None:
    """What could not be stored must not be sent either."""
    session = driven(maildir, "cat >>sent")
    (maildir / "maildirsize").write_bytes(b"1C\n           1            1\n")

    assert session.ask("a COPY 1 INBOX.Outbox")[-1].code == "OVERQUOTA"

    assert not (maildir / "sent").exists()
