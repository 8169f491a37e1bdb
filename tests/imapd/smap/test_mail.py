"""ADD with recipients: the message is sent by SENDMAIL, stored if there is a folder, or both or neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imapd.smap.conftest import Drive
from tests.imapd.smap.driver import DrivenSmap
from tests.support.maildirs import message_files

MESSAGE = b"{12/12}\nSubject: x\n\n\n"


class Mailer:
    """A program in SENDMAIL's place."""

    def __init__(self, path: Path) -> None:
        self.path = path / "sendmail"
        self.arguments = path / "arguments"
        self.message = path / "message"
        self.does("")

    def does(self, more: str) -> None:
        self.path.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >"{self.arguments}"\ncat >"{self.message}"\n{more}\n'
        )
        self.path.chmod(0o755)

    @property
    def called_with(self) -> list[str] | None:
        return self.arguments.read_text().splitlines() if self.arguments.exists() else None


@pytest.fixture
def mailer(tmp_path: Path) -> Mailer:
    return Mailer(tmp_path)


@pytest.fixture
def session(drive: Drive, mailer: Mailer) -> DrivenSmap:
    return drive(SENDMAIL=str(mailer.path))


def add(session: DrivenSmap, *words: str) -> bytes:
    for word in words:
        session.do(f'ADD "{word}"' if "=" in word else f"ADD {word}")
    said = session.send(b"ADD " + MESSAGE)
    assert said.startswith(b"> Go ahead\n")
    return said.removeprefix(b"> Go ahead\n")


def test_sent_and_stored(session: DrivenSmap, mailer: Mailer, maildir: Path) -> None:
    """Recipients in the order given, as newer Courier has them."""
    said = add(
        session,
        'FOLDER INBOX ""',
        "MAILFROM=bob@example.com",
        "RCPTTO=alice@example.com",
        "rcptto=carol@example.com",
        "NOTIFY=success,delay,fail",
    )

    assert said.startswith(b'* ADD "UID=')
    assert said.endswith(b"+OK Message saved\n")
    assert mailer.called_with == [
        *("-oi", "-f", "bob@example.com", "-N", "success,delay,fail"),
        *("alice@example.com", "carol@example.com"),
    ]
    assert mailer.message.read_bytes() == b"Subject: x\n\n"
    assert len(message_files(maildir)) == 1


def test_sent_and_not_stored(session: DrivenSmap, mailer: Mailer, maildir: Path) -> None:
    """The sender is the account if nobody says otherwise."""
    assert add(session, "RCPTTO=alice@example.com") == b"+OK Message saved\n"

    assert mailer.called_with == ["-oi", "-f", "user", "alice@example.com"]
    assert message_files(maildir) == {}
    assert list((maildir / "tmp").iterdir()) == []


def test_neither(session: DrivenSmap, mailer: Mailer, maildir: Path) -> None:
    """Courier: accepted, and gone."""
    assert add(session) == b"+OK Message saved\n"

    assert mailer.called_with is None
    assert message_files(maildir) == {}


def test_header(drive: Drive, mailer: Mailer, maildir: Path) -> None:
    """HEADERFROM stands before what is sent, not in what is stored."""
    session = drive(SENDMAIL=str(mailer.path), HEADERFROM="X-From", AUTHADDR="a@example.com")

    add(session, 'FOLDER INBOX ""', "RCPTTO=alice@example.com")

    assert mailer.message.read_bytes() == b"X-From: a@example.com\nSubject: x\n\n"
    (name,) = (maildir / "cur").iterdir()
    assert name.read_bytes() == b"Subject: x\n\n"


def test_program_that_fails(session: DrivenSmap, mailer: Mailer, maildir: Path) -> None:
    """What it said is told in one line; nothing is stored, and the next try has all that was set."""
    mailer.does('printf "550 no such\\nsecond line\\n"; exit 75')

    said = add(session, 'FOLDER INBOX ""', "RCPTTO=nobody@example.com")

    assert said == b"-ERR 550 no such/second line/Message send FAILED./\n"
    assert message_files(maildir) == {}
    mailer.does("")
    assert b"Message saved" in session.send(b"ADD " + MESSAGE)
    assert mailer.called_with == ["-oi", "-f", "user", "nobody@example.com"]


def test_program_that_fails_without_a_word(session: DrivenSmap, mailer: Mailer) -> None:
    mailer.does("exit 1")

    assert add(session, "RCPTTO=nobody@example.com") == b"-ERR Message send FAILED./\n"


def test_program_that_is_not_there(drive: Drive) -> None:
    session = drive(SENDMAIL="/nonexistent/sendmail")

    assert b"-ERR /nonexistent/sendmail: No such file or directory" in add(session, "RCPTTO=a@b")


def test_without_room(session: DrivenSmap, mailer: Mailer, maildir: Path) -> None:
    """What can't be stored is not sent either."""
    (maildir / "maildirsize").write_text("10S\n           0            0\n")

    said = add(session, 'FOLDER INBOX ""', "RCPTTO=alice@example.com")

    assert said == b"-ERR No space left on device\n"
    assert mailer.called_with is None


@pytest.mark.parametrize("word", ["RCPTTO=-C/etc/passwd", "MAILFROM=-t", "RCPTTO=a\x01b"])
def test_what_would_be_an_option(session: DrivenSmap, mailer: Mailer, word: str) -> None:
    """Courier hands on what it gets."""
    assert session.ask(f'ADD "{word}"') == ["-ERR Invalid argument"]

    add(session, "RCPTTO=alice@example.com")
    assert mailer.called_with == ["-oi", "-f", "user", "alice@example.com"]


def test_notify_is_what_it_can_be(session: DrivenSmap) -> None:
    assert session.ask('ADD "NOTIFY=success -X /tmp/x"') == ["-ERR Invalid argument"]


def test_recipients_without_end(session: DrivenSmap) -> None:
    for _ in range(1000):
        session.do("ADD RCPTTO=a@example.com")

    assert session.ask("ADD RCPTTO=a@example.com") == ["-ERR Argument list too long"]


def test_other_commands_forget(session: DrivenSmap, mailer: Mailer) -> None:
    """Whatever was set before them."""
    session.do('ADD FOLDER INBOX "" RCPTTO=alice@example.com')
    session.do("NOOP")

    add(session)

    assert mailer.called_with is None
