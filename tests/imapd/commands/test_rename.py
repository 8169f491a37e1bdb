"""RENAME of INBOX: its messages go to a new mailbox (RFC 9051 6.3.6)."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from pathlib import Path

import pytest

from imapd import transfer
from tests.imapd.conftest import Drive, Log
from tests.imapd.driver import Driven
from tests.imapd.failing import failing_call
from tests.support.maildirs import deliver, make_folder, message_files, uid_database

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
def filled(maildir: Path) -> Path:
    """Three messages in INBOX, one below it."""
    for number, flags in enumerate(("S", "F", ""), 1):
        deliver(maildir, b"Subject: %d\n\nx\n" % number, number=number, flags=flags, date=number)
    deliver(make_folder(maildir, "INBOX.below"), b"below\n", number=9)
    return maildir


def subjects(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (folder / "cur").iterdir())


def test_all_messages_move(filled: Path, drive: Drive) -> None:
    """With flags, keywords and dates, in their order; INBOX and what is below it stay."""
    driven = drive()
    driven.ask("a SELECT INBOX")
    driven.ask("b STORE 2 +FLAGS (kw)")
    driven.ask("c UNSELECT")
    before = uid_database(filled).uidvalidity

    assert driven.ask("d RENAME INBOX INBOX.old.mail")[-1].line == "d OK Folder renamed."

    assert uid_database(filled).uidvalidity == before
    assert [r.number for r in driven.ask("e SELECT INBOX") if r.name == "EXISTS"] == [0]
    assert driven.ask("f STATUS INBOX (UIDNEXT)")[0].values[-1] == {"UIDNEXT": 4}
    assert driven.ask("g STATUS INBOX.below (MESSAGES)")[0].values[-1] == {"MESSAGES": 1}
    driven.ask("h EXAMINE INBOX.old.mail")
    found = driven.send(b"i FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[HEADER.FIELDS (Subject)])\r\n")
    assert [line for line in found.split(b"\r\n") if line.startswith(b"Subject")] == [
        b"Subject: 1",
        b"Subject: 2",
        b"Subject: 3",
    ]
    for flags in (
        b"(\\Seen \\Recent)",
        b"(\\Flagged \\Recent kw)",
        b"FLAGS (\\Recent)",
        b'"01-Jan-1970',
    ):
        assert flags in found
    assert os.listdir(filled / ".old.mail" / "tmp") == []


def test_selected_inbox(filled: Path, drive: Drive) -> None:
    """Its messages are told to be gone, here and to others."""
    driven, other = drive(), drive()
    driven.ask("a SELECT INBOX")
    other.ask("a SELECT INBOX")

    responses = driven.ask("b RENAME INBOX INBOX.x")

    assert [r.name for r in responses if r.name == "EXPUNGE"] == ["EXPUNGE"] * 3
    assert driven.ask("c NOOP")[-1].name == "OK"
    assert [r.name for r in other.ask("b NOOP")].count("EXPUNGE") == 3


def test_more_than_one_slice(maildir: Path, drive: Drive) -> None:
    count = 2 * transfer._SLICE + 3
    for number in range(count):
        deliver(maildir, b"Subject: %d\n\nx\n" % number, number=number)
    driven = drive()

    assert driven.ask("a RENAME INBOX INBOX.x")[-1].name == "OK"

    assert len(subjects(maildir / ".x")) == count
    assert not message_files(maildir)


def test_empty_inbox(driven: Driven, maildir: Path) -> None:
    assert driven.ask("a RENAME INBOX INBOX.x")[-1].name == "OK"
    assert (maildir / ".x" / "cur").is_dir()


def test_full_account(filled: Path, drive: Drive) -> None:
    """There is no more than there was."""
    (filled / "maildirsize").write_bytes(b"10S,1C\n")

    assert drive().ask("a RENAME INBOX INBOX.x")[-1].name == "OK"
    assert len(subjects(filled / ".x")) == 3


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("INBOX.below", "ALREADYEXISTS"),
        ("INBOX.Trash", "CANNOT"),
        ("INBOX", "CANNOT"),
        ("elsewhere", "CANNOT"),
        ("INBOX.a..b", "CANNOT"),
        ("#shared.x", "NOPERM"),
    ],
)
def test_names_that_are_refused(filled: Path, drive: Drive, name: str, code: str) -> None:
    before = sorted(os.listdir(filled))

    completion = drive().ask(f"a RENAME INBOX {name}")[-1]

    assert (completion.name, completion.code) == ("NO", code)
    assert len(message_files(filled)) == 3
    assert sorted(os.listdir(filled)) == before


def test_without_the_right(filled: Path, drive: Drive) -> None:
    driven = drive()
    driven.ask("a SETACL INBOX owner alr")

    assert driven.ask("b RENAME INBOX INBOX.x")[-1].code == "NOPERM"


@pytest.mark.slow
def test_disk_that_fails(filled: Path, tmp_path: Path) -> None:
    """Whatever fails, no message is lost; refused, none has moved."""
    refused = 0
    for number in itertools.count():
        maildir = tmp_path / f"{number}" / "Maildir"
        shutil.copytree(filled, maildir)
        driven = Driven(maildir)
        with failing_call(number, errno.ENOSPC) as calls:
            completion = driven.ask("a RENAME INBOX INBOX.x")[-1]
        if calls.failed is None:
            break
        there = subjects(maildir) + [path.read_bytes() for path in (maildir / "new").iterdir()]
        moved = subjects(maildir / ".x") if (maildir / ".x").exists() else []
        assert len({*there, *moved}) == 3, (number, calls.failed)
        if completion.name == "NO":
            assert len(there) == 3 and not moved, (number, calls.failed)
            refused += not (maildir / ".x").exists()
        assert os.listdir(maildir / "tmp") == [], (number, calls.failed)
    assert completion.name == "OK"
    assert refused > 3


def test_messages_that_cannot_be_removed(
    filled: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in both, and none is lost."""

    def refuse(path: object, **_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    driven = drive()
    driven.ask("a STATUS INBOX (UIDNEXT)")
    remove = os.unlink
    kept = itertools.count()
    monkeypatch.setattr(
        os,
        "unlink",
        lambda path, **named: (
            refuse(path)
            if os.path.dirname(os.fsdecode(path)).endswith("Maildir/cur") and next(kept)
            else remove(path, **named)
        ),
    )

    completion = driven.ask("b RENAME INBOX INBOX.x")[-1]

    assert completion.name == "NO"
    assert len(subjects(filled / ".x")) == 3


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ("INBOX.below INBOX.there", "ALREADYEXISTS"),
        ("INBOX.below INBOX.below.it", "CANNOT"),
        ("INBOX INBOX.there", "ALREADYEXISTS"),
        ("INBOX.below INBOX.&AGE-", "CANNOT"),  # RFC 3501 5.1.3: an encoded "a"
    ],
)
def test_name_that_can_not_be_is_no_error_of_the_system(
    filled: Path, drive: Drive, logged: Log, names: str, code: str
) -> None:
    """The client is told; nothing is logged that an administrator would have to look after."""
    driven = drive()
    driven.ask("a CREATE INBOX.there")

    assert driven.ask(f"b RENAME {names}")[-1].code == code

    assert logged.lines == []
