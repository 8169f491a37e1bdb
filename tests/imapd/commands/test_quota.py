"""What commands do to maildirsize, beyond what the dialogs show."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.imapd.conftest import Drive, Log
from tests.imapd.driver import Driven
from tests.imapd.failing import failing_call
from tests.support.maildirs import deliver, make_folder, message_files

pytestmark = pytest.mark.usefixtures("logged")

MESSAGE = b"Subject: x\n\n" + b"x" * 87 + b"\n"  # 100 octets


@pytest.fixture
def size(maildir: Path) -> Path:
    """The quota file of a maildir with three messages and two folders."""
    for number in range(3):
        deliver(maildir, MESSAGE, number=number, flags="")
    make_folder(maildir, "INBOX.a")
    make_folder(maildir, "INBOX.Trash")
    path = maildir / "maildirsize"
    path.write_bytes(b"300S,3C\n         300            3\n")
    return path


def used(path: Path) -> tuple[int, int]:
    pairs = [tuple(map(int, line.split())) for line in path.read_bytes().splitlines()[1:]]
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


def test_move_needs_no_room(driven: Driven, size: Path) -> None:
    """In a full account messages can be moved, and what is used stays the same."""
    driven.ask("a SELECT INBOX")

    assert driven.ask("b MOVE 1:2 INBOX.a")[-1].raw.startswith(b"b OK")

    assert used(size) == (300, 3)


@pytest.mark.parametrize("name", ["Trash", "a"])
def test_move_out_of_what_is_not_counted(driven: Driven, size: Path, name: str) -> None:
    """From the trash folder a message comes back only if there is room."""
    driven.ask("a SELECT INBOX")
    driven.ask(f"b MOVE 1:2 INBOX.{name}")
    assert used(size) == ((300, 3) if name == "a" else (100, 1))
    deliver(size.parent, MESSAGE, number=9, flags="")
    with size.open("ab") as file:
        file.write(b"         100            1\n")

    driven.ask(f"c SELECT INBOX.{name}")
    answer = driven.ask("d MOVE 1:2 INBOX")[-1]

    if name == "a":
        assert answer.raw.startswith(b"d OK")
    else:
        assert answer.raw.startswith(b"d NO [OVERQUOTA] ")
        assert used(size) == (200, 2)
        assert len(message_files(size.parent / ".Trash")) == 2


def test_names_without_size(driven: Driven, size: Path) -> None:
    """Then the file's own size counts, on the way in and on the way out."""
    (size.parent / "cur" / "1.plain:2,").write_bytes(MESSAGE)
    size.write_bytes(b"1000S\n         400            4\n")
    driven.ask("a SELECT INBOX")
    driven.ask("b STORE 1:4 +FLAGS (\\Deleted)")
    assert used(size) == (0, 0)

    driven.ask("c STORE 1:4 -FLAGS (\\Deleted)")
    assert used(size) == (400, 4)
    driven.ask("d MOVE 1:4 INBOX.Trash")

    assert used(size) == (0, 0)


def test_flags_that_others_changed(driven: Driven, size: Path) -> None:
    """What counts is the rename that happens, not what the session believed."""
    driven.ask("a SELECT INBOX")
    name = min(os.listdir(size.parent / "cur"))
    os.rename(size.parent / "cur" / name, size.parent / "cur" / f"{name}T")
    size.write_bytes(b"300S,3C\n         200            2\n")

    driven.ask("b STORE 1 +FLAGS (\\Deleted)")

    assert used(size) == (200, 2)


def test_refused_store_changes_nothing(driven: Driven, size: Path) -> None:
    """The session sees what is on disk: the message is still marked."""
    driven.ask("a SELECT INBOX")
    driven.ask("b STORE 1 +FLAGS (\\Deleted)")
    size.write_bytes(b"200S,3C\n         200            2\n")

    driven.ask("c STORE 1 -FLAGS (\\Deleted)")
    fetched = driven.ask("d FETCH 1 FLAGS")

    assert fetched[0].raw == b"* 1 FETCH (FLAGS (\\Deleted \\Recent))\r\n"
    assert used(size) == (200, 2)


def test_alert_without_extensions(drive: Drive, size: Path) -> None:
    """IMAP_EXTENSIONS=0: Courier's code."""
    driven = drive(IMAP_EXTENSIONS="0")
    driven.ask("a SELECT INBOX")

    assert driven.ask("b COPY 1 INBOX.a")[-1].raw == (
        b"b NO [ALERT] You exceeded your mail quota.\r\n"
    )


def test_trash_is_counted(drive: Drive, size: Path) -> None:
    """MAILDIR_TRASHQUOTA=1: there too a message takes room, until it is expunged."""
    driven = drive(MAILDIR_TRASHQUOTA="1")
    driven.ask("a SELECT INBOX")
    driven.ask("b STORE 1 +FLAGS (\\Deleted)")
    assert used(size) == (300, 3)
    assert driven.ask("c COPY 2 INBOX.Trash")[-1].raw.startswith(b"c NO [OVERQUOTA]")

    driven.ask("d EXPUNGE")
    assert used(size) == (200, 2)

    assert driven.ask("e COPY 1 INBOX.Trash")[-1].raw.startswith(b"e OK")
    assert used(size) == (300, 3)


def test_trash_folder_of_another_name(drive: Drive, size: Path) -> None:
    """It counts; yet no quota keeps anybody from deleting."""
    driven = drive(IMAP_MOVE_EXPUNGE_TO_TRASH="1", IMAP_TRASHFOLDERNAME="Bin")
    driven.ask("a SELECT INBOX")
    driven.ask("b STORE 1 +FLAGS (\\Deleted)")
    assert used(size) == (200, 2)
    size.write_bytes(b"200S,3C\n         200            2\n")

    assert driven.ask("c EXPUNGE")[-1].raw.startswith(b"c OK")

    assert used(size) == (300, 3)
    assert len(message_files(size.parent / ".Bin")) == 1


def test_append_that_fails_is_not_paid_for(maildir: Path, size: Path) -> None:
    """Whatever call fails, the line comes with the message or is taken back."""
    for number in range(200):
        there = len(message_files(maildir))
        size.write_bytes(b"100000S,1000C\n%12d %12d\n" % (there * 100, there))
        driven = Driven(maildir, {})
        driven.send(b"a APPEND INBOX {100}\r\n")
        with failing_call(number) as calls:
            answer = driven.send(MESSAGE.replace(b"\n", b"\r\n")[:100] + b"\r\n")
        stored = len(message_files(maildir))
        if calls.failed not in ("open", "write"):  # a file that can't be written is no quota
            assert used(size)[1] == stored, (number, calls.failed, answer)
        if calls.failed is None:
            break
    assert number > 5 and answer.startswith(b"a OK")


def test_copy_of_several_is_one_line(driven: Driven, size: Path) -> None:
    """All or none."""
    size.write_bytes(b"600S,100C\n         300            3\n")
    driven.ask("a SELECT INBOX")

    driven.ask("b COPY 1:3 INBOX.a")

    assert size.read_bytes().splitlines()[2:] == [b"%12d %12d" % (300, 3)]
    assert driven.ask("c COPY 1:3 INBOX.a")[-1].raw.startswith(b"c NO [OVERQUOTA]")
    assert len(message_files(size.parent / ".a")) == 3


@pytest.mark.parametrize("root", [b'"x"', b'""', b"root", b"{5+}\r\nx\r\ny "])
def test_root_that_is_not_there(driven: Driven, logged: Log, root: bytes) -> None:
    """RFC 9208 4.1.1: NO; nothing of it comes back."""
    assert driven.send(b"a GETQUOTA " + root + b"\r\n") == (
        b"a NO [NONEXISTENT] GETQUOTA No such quota root.\r\n"
    )


def test_status_of_what_an_expunge_would_free(driven: Driven, size: Path) -> None:
    """RFC 9208 4.1.4: how many, and their octets; in the mailbox at hand and in any other."""
    (size.parent / "cur" / "1.plain:2,T").write_bytes(MESSAGE)
    deliver(size.parent, MESSAGE, number=7, flags="ST")
    wanted = "STATUS INBOX (UNSEEN DELETED DELETED-STORAGE)"
    expected = b'* STATUS "INBOX" (UNSEEN 4 DELETED 2 DELETED-STORAGE 200)\r\n'

    assert driven.ask(f"a {wanted}")[0].raw == expected
    driven.ask("b SELECT INBOX")
    assert driven.ask(f"c {wanted}")[0].raw == expected


def test_quota_of_the_account_alone(drive: Drive, maildir: Path) -> None:
    """It is told, though nothing was delivered yet and there is no file."""
    deliver(maildir, MESSAGE, number=1)
    driven = Driven(maildir, {}, quota="2048S,5C")

    assert driven.ask("a GETQUOTAROOT INBOX")[1].raw == (
        b'* QUOTA "ROOT" (STORAGE 1 2 MESSAGE 1 5)\r\n'
    )
    assert (maildir / "maildirsize").exists()
